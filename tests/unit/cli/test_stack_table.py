"""Live table of stacks."""

from leakwatch.cli import terminal
from leakwatch.cli.stack_table import stack_table
from leakwatch.leaks.settings import DetectionSettings
from leakwatch.pipeline import Pipeline
from tests.support.simulated import START, TARGET, samples

BLOCK = 5.0


def shown(blocks: int) -> str:
    """Return the row of a stack that gains one goroutine per second, after so many blocks."""
    pipeline = Pipeline(DetectionSettings(block=BLOCK))
    for second in range(round(blocks * BLOCK) + 1):
        pipeline.observe(pipeline.add_target(TARGET), START + second, second, samples({"grows": second}))
    recorder = terminal.recorder()
    recorder.print(stack_table(pipeline.targets.values(), 10, first={}))
    (row,) = [line for line in terminal.recorded(recorder).splitlines() if "main.grows" in line]
    return row


def test_growth_is_empty_until_it_is_known() -> None:
    """A rate needs four blocks. Before that, the cell is empty instead of +0.0."""
    assert shown(3).split()[:3] == ["15", "+15", "main.grows"]
    assert shown(5).split()[:3] == ["25", "+25", "+60.0"]
