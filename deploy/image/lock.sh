#!/usr/bin/env bash
# Pins the dependencies of the image with hashes, at the newest versions that pyproject.toml allows: requirements.txt for
# leakwatch with all extras except `dev` and `fuzz`, build.txt for the build of its wheel, sbom.txt for sbom.py.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

.ci/tools.sh venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
python=$(sed -nE 's/^FROM python:([0-9]+\.[0-9]+)\..*/\1/p' Dockerfile)
compile=(.venv/bin/uv pip compile --quiet --upgrade --generate-hashes --no-header --python-platform linux --python-version "$python")

read_project() { .venv/bin/python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb')); $1"; }
mapfile -t extras < <(read_project 'print(*(f"--extra={e}" for e in project["project"]["optional-dependencies"] if e not in ("dev", "fuzz")), sep="\n")')
"${compile[@]}" ${extras[0]:+"${extras[@]}"} --output-file deploy/image/requirements.txt pyproject.toml
read_project 'print(*project["build-system"]["requires"], sep="\n")' | "${compile[@]}" --output-file deploy/image/build.txt -
read_project 'print(*project["dependency-groups"]["sbom"], sep="\n")' | "${compile[@]}" --output-file deploy/image/sbom.txt -
