# `make` lists the targets. ARGS are passed to the command: make demo ARGS="--listen 127.0.0.1:9000"

# .venv comes first, for its Python and its Go (if that was installed from PyPI). Debian's nats-server is in /usr/sbin.
export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/local/sbin:/usr/sbin:/sbin

# Container images often set this. Without cached bytecode each worker of pytest compiles all tests (6 s), and each
# process that a test starts compiles leakwatch.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
QUICK = tests/unit tests/pipeline tests/fuzz tests/test_layout.py tests/test_structure.py tests/docs/test_wording.py

.PHONY: help setup venv test test-quick test-slow test-faults fuzz demo lint types detection kills soak dashboards docs pictures vendor bench image image-lock audit fmt clean
MAKEFLAGS += --no-print-directory

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## install missing tools: .venv, Go, and the servers and programs that the tests use
	@.ci/tools.sh venv go go1.27 prometheus promtool alertmanager amtool nats-server checkov buildah debootstrap podman runc \
	  catatonit ip curl jq chromium

venv:
	@.ci/tools.sh venv

test: setup ## run the linters, the type checker and all tests
	@failed=; \
	$(MAKE) test-quick || failed="$$failed test-quick"; \
	$(MAKE) test-slow || failed="$$failed test-slow"; \
	[ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

test-quick: ## run the linters, the type checker and the tests without services
	@.ci/tools.sh venv go promtool; \
	failed=; \
	$(MAKE) lint || failed="$$failed lint"; \
	$(MAKE) types || failed="$$failed types"; \
	pytest -n 2 --dist worksteal $(QUICK) || failed="$$failed pytest"; \
	[ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

# The tests wait for a part of the time, so there are more workers than cores: with 3 of them, two cores were idle for 38 % of
# the time. With 6, programs and daemons that run in real time get too little CPU (load 22 on 2 cores). The longest modules come
# first (tests/e2e/conftest.py).
test-slow: setup ## run the tests with real services, Prometheus, Alertmanager, Chromium and containers
	pytest -n 4 --dist loadfile --no-loadscope-reorder $(addprefix --ignore=,$(QUICK))

test-faults: setup ## run only the tests of test-slow with bad targets of all kinds
	pytest tests/faults

fuzz: venv ## fuzz all parsers, guided by coverage, 60 s each; ARGS are options and targets: --seconds 600 text proto
	@python -c "import atheris" 2>/dev/null || pip install --quiet -e ".[fuzz]"
	@nice -n 19 python -m tests.fuzz.run $(ARGS)

demo: ## run a leaking Go service and leakwatch; ARGS are passed to leakwatch demo
	@.ci/tools.sh venv go
	@exec .venv/bin/leakwatch demo $(ARGS)

lint: venv ## run ruff (rules and format), hadolint and zizmor
	ruff check
	ruff format --check
	hadolint Dockerfile deploy/demo/service/Dockerfile
	zizmor --quiet --offline --pedantic --strict-collection .

types: venv ## run mypy --strict
	mypy --strict leakwatch tests benchmarks deploy/grafana/source deploy/helm deploy/image docs/source

detection: venv ## fail if detection is clearly worse than benchmarks/detection/quick.json
	python benchmarks/detection/run.py --quick --check --jobs 2

kills: venv ## kill a process 50 times, and compare its leaks and alerts with those of one that runs on; ARGS="--kills 10"
	python -m tests.kill $(ARGS)

soak: ## run leakwatch for two hours at 50 times the normal rate, and fail if it leaks; ARGS="--minutes 10"
	@.ci/tools.sh venv go
	python -m tests.soak $(ARGS)

dashboards: venv ## generate deploy/grafana/*.json
	python deploy/grafana/source

docs: venv ## generate docs/configuration.md, docs/causes.md, the docs of the pages, the plots in docs/images and the chart's schema
	python docs/source/configuration.py
	python deploy/helm/values_schema.py
	python docs/source/causes.py
	python docs/source/help.py
	python docs/source/judging.py
	python docs/source/stuck.py

pictures: ## take the pictures of the pages in docs/images, from a real run of about three minutes
	@.ci/tools.sh venv go chromium
	python docs/source/screenshots.py

vendor: ## download the npm packages of the web pages (leakwatch/web/pages/static/vendor)
	@.ci/vendor.sh

bench: setup ## run the benchmarks and compare each with its baseline
	@set -e; for script in benchmarks/cost/*.py benchmarks/*/run.py; do echo "== $$script"; python "$$script" $(ARGS); done

image: ## build the image leakwatch:<version> with Docker or buildah; dist/ gets the wheel and the SBOMs
	@deploy/image/build.sh $(ARGS)

image-lock: venv ## update the pinned dependencies of the image (deploy/image/*.txt)
	@deploy/image/lock.sh

audit: ## look up known vulnerabilities of the pinned dependencies (needs a network)
	@.ci/tools.sh pip-audit
	@.venv/pip-audit/bin/pip-audit --strict --disable-pip --require-hashes $(foreach lock,requirements build sbom,-r deploy/image/$(lock).txt)

fmt: venv ## fix and format with ruff
	ruff check --fix
	ruff format

clean: ## remove .venv, caches and build output
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find leakwatch tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
