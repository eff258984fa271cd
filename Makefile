# `make` lists what there is. ARGS are passed on: make demo ARGS="--listen 127.0.0.1:9000"

# .venv first: its Go (if it had to come from PyPI) and its Python; Debian's nats-server is in /usr/sbin.
export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/local/sbin:/usr/sbin:/sbin

.DEFAULT_GOAL := help
.PHONY: help setup venv test demo lint types detection dashboards docs vendor bench image image-lock fmt clean
MAKEFLAGS += --no-print-directory

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## install all that is missing: .venv, Go, and the servers and tools that tests run
	@.ci/tools.sh venv go go1.27 prometheus promtool alertmanager amtool nats-server checkov buildah debootstrap podman runc \
	  catatonit ip curl jq chromium

venv:
	@.ci/tools.sh venv

test: setup ## lint, types and all tests
	@failed=; \
	$(MAKE) lint || failed="$$failed lint"; \
	$(MAKE) types || failed="$$failed types"; \
	pytest -n 3 --dist loadfile -m "not alone" || failed="$$failed pytest"; \
	pytest -n 2 --dist loadfile -m alone || failed="$$failed pytest-alone"; \
	$(MAKE) detection || failed="$$failed detection"; \
	[ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

demo: ## a leaking Go service and leakwatch watching it; ARGS go to leakwatch demo
	@.ci/tools.sh venv go
	@exec .venv/bin/leakwatch demo $(ARGS)

lint: venv ## ruff: rules and format; hadolint
	ruff check
	ruff format --check
	hadolint Dockerfile deploy/demo/service/Dockerfile

types: venv ## mypy --strict
	mypy --strict leakwatch tests benchmarks deploy/grafana/source docs/source

detection: venv ## fail if detection has become clearly worse than benchmarks/detection/quick.json
	python benchmarks/detection/run.py --quick --check --jobs 2

dashboards: venv ## make deploy/grafana/*.json from their script
	python deploy/grafana/source

docs: venv ## make docs/configuration.md and docs/images/judging.svg from their scripts
	python docs/source/configuration.py
	python docs/source/judging.py

vendor: ## fetch anew what pages take from npm (leakwatch/web/pages/static/vendor)
	@.ci/vendor.sh

bench: setup ## run the benchmarks, each next to its baseline
	@set -e; for script in benchmarks/cost/*.py benchmarks/*/run.py; do echo "== $$script"; python "$$script" $(ARGS); done

image: ## build the container image leakwatch:<version>, with Docker or with buildah
	@deploy/image/build.sh $(ARGS)

image-lock: venv ## pin what the image installs anew (deploy/image/*.txt)
	@deploy/image/lock.sh

fmt: venv ## let ruff fix and format
	ruff check --fix
	ruff format

clean: ## remove .venv, caches and build results
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find leakwatch tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
