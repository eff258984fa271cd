"""The verdict and the picture of a soak run, on given samples."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.soak.plot import POINTS, draw
from tests.soak.samples import Sample, SampleFile, read
from tests.soak.verdict import problems, summary

MIB = 1 << 20


def sample(minute: float) -> Sample:
    """Return a sample of a run without problems."""
    return Sample(
        time=60 * minute,
        resident=100 * MIB,
        files=40,
        tasks=60,
        cpu=6 * minute,
        lag=0.1 * minute,
        health=0.004,
        scrapes=int(800 * minute),
        failures=0,
        other_scrapes=int(1600 * minute),
        restarts=int(minute * 3),
        reloads=int(minute * 4),
    )


SAMPLES = [sample(i / 12) for i in range(1, 1441)]


def test_a_steady_run_has_no_problem() -> None:
    """Neither noise nor a peak is a problem."""
    noisy = [
        replace(each, files=each.files + i % 3, resident=each.resident + i % 7) for i, each in enumerate(SAMPLES)
    ]
    noisy[1000] = replace(noisy[1000], resident=900 * MIB, health=3.0)
    assert problems(noisy) == []
    assert re.search(r"^scrapes of healthy targets: +96,000, of which 0 failed$", summary(noisy), re.MULTILINE)


@pytest.mark.parametrize(
    ("field", "per_minute", "problem"),
    [
        ("resident", 0.1 * MIB, "resident memory: the median grew from 105"),
        ("files", 0.1, "file descriptors: the median grew from 45 in the first half to 49"),
        ("tasks", 0.2, "tasks: the median grew from 70 in the first half to 78"),
        ("failures", 0.01, "1 scrapes of healthy targets failed"),
    ],
)
def test_each_leak_is_a_problem(field: str, per_minute: float, problem: str) -> None:
    """Memory, file descriptors and tasks must not grow, and no scrape may fail."""
    growing = [
        replace(each, **{field: int(getattr(each, field) + per_minute * each.time / 60)}) for each in SAMPLES
    ]
    (found,) = problems(growing)
    assert found.startswith(problem)


def test_the_file_has_all_samples(tmp_path: Path) -> None:
    """Samples are the same after they were written and read."""
    file = SampleFile(tmp_path / "samples.csv")
    rounded = [replace(each, time=round(each.time, 4), cpu=round(each.cpu, 4), lag=0.5) for each in SAMPLES[:30]]
    for each in rounded:
        file.add(each)
    assert read(tmp_path / "samples.csv") == rounded


def test_the_picture_is_small() -> None:
    """The picture is valid SVG with a bounded number of points."""
    picture = draw(SAMPLES)
    lines = ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}polyline")  # noqa: S314  made here
    points = [len(line.attrib["points"].split()) for line in lines]
    assert len(points) == 8
    assert max(points) <= POINTS
