# One obvious command for each task; `make` alone lists them. Nothing but Python >= 3.11 and make is needed before.
PYTHON ?= python3
UV     := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
RUN    := .venv/bin/
OUTPUT ?= .
ARGS   ?=
SPREAD  = --dist loadfile --no-loadscope-reorder --max-worker-restart 1
# Tests that judge figures of a load, or hold a hostile server to a time limit, run after the others, and the whole
# validation runs alone. Three run at once: with four, a slow machine lets each wait for longer than it may.
JUDGING = $(wildcard $(patsubst %,tests/integration/test_%*.py,load_ scenario_ api_ rfid_ websocket_ socketio_ cache_c) \
	$(patsubst %,tests/faults/test_%*.py,redis http websocket postgresql s3 aws))
ALONE   = tests/e2e/test_development.py
# What fails beside other tests is run once more by itself, and has failed if it fails again: docs/adr/0025-run-again-alone.md
AGAIN   = --last-failed --last-failed-no-failures none --maxfail 3
export UV_PYTHON_DOWNLOADS = never

.DEFAULT_GOAL := help
.PHONY: help setup development staging production quick database lambda realtime report serve setup-server check test faults sbom audit bench clean

help:         ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed 's/:.*## */\t/' | expand -t 14

.tools/bin/uv: .ci/get_uv.py
	@$(PYTHON) .ci/get_uv.py && touch $@

.venv/.synced: pyproject.toml uv.lock | $(filter .tools/bin/uv,$(UV))
	@$(UV) sync --frozen --quiet --compile-bytecode --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	@touch $@

setup: .venv/.synced  ## bring uv and the locked dependencies

development: setup  ## validate the development environment (the embedded platform, unless DEVELOPMENT_* are set)
	@$(RUN)hasivu-perf run development --output $(OUTPUT) $(ARGS)

staging: setup      ## validate staging (needs STAGING_API_URL and its like)
	@$(RUN)hasivu-perf run staging --output $(OUTPUT) $(ARGS)

production: setup   ## validate production, read-only (needs PRODUCTION_API_URL and its like)
	@$(RUN)hasivu-perf run production --output $(OUTPUT) $(ARGS)

quick: setup        ## the database and a report
	@$(RUN)hasivu-perf run quick --output $(OUTPUT) $(ARGS)

database: setup     ## the database alone
	@$(RUN)hasivu-perf database --output $(OUTPUT) $(ARGS)

lambda: setup       ## the Lambda functions alone
	@$(RUN)hasivu-perf lambda --output $(OUTPUT) $(ARGS)

realtime: setup     ## API, WebSocket, cache and RFID
	@$(RUN)hasivu-perf realtime --output $(OUTPUT) $(ARGS)

report: setup       ## the newest run's report again, from disk
	@$(RUN)hasivu-perf report latest --output $(OUTPUT) $(ARGS)

serve: setup        ## hold a Prefect server with UI, schedules and a worker (ARGS=--local: the embedded platform too)
	@$(RUN)hasivu-perf serve $(ARGS)

setup-server: setup ## set up the Prefect server that PREFECT_API_URL names
	@$(RUN)hasivu-perf setup

check: setup        ## lint, types, layers, known vulnerabilities, unit and architecture tests
	@$(RUN)ruff check .
	@$(RUN)ruff format --check --quiet .
	@$(RUN)mypy --no-error-summary
	@.ci/audit || [ $$? -eq 2 ]  # where it cannot be asked, that is said: docs/adr/0026-audit.md
	@$(RUN)lint-imports --no-logo > .venv/layers.log || { cat .venv/layers.log; exit 1; }
	@$(RUN)pytest -n 2 tests/unit tests/architecture

test: check         ## everything: check, integration and end-to-end tests on real servers
	@.ci/system-packages
	@code=0; \
	OTHERS="tests/integration tests/faults tests/e2e $(patsubst %,--ignore=%,$(JUDGING) $(ALONE))"; \
	$(RUN)pytest -n 3 $(SPREAD) $$OTHERS || $(RUN)pytest $(AGAIN) $$OTHERS || code=1; \
	$(RUN)pytest -n 3 $(SPREAD) $(JUDGING) || $(RUN)pytest $(AGAIN) $(JUDGING) || code=1; \
	$(RUN)pytest $(ALONE) || code=1; exit $$code

faults: setup       ## hostile servers, faults of the network, long outages, the whole schedule of kills (hours)
	@HASIVU_PERF_FAULTS=whole $(RUN)pytest -o faulthandler_timeout=3700 -n 2 $(SPREAD) tests/faults tests/integration/test_watch_alerts.py tests/integration/test_guard.py

sbom: setup         ## the bill of materials of the locked dependencies (CycloneDX), as sbom.json
	@$(UV) export --frozen --no-dev --format cyclonedx1.5 --quiet --output-file sbom.json

audit: setup        ## known vulnerabilities of the locked dependencies (asks osv.dev, or the mirror of OSV_URL)
	@.ci/audit

bench: setup        ## speed against what a user would pick instead, as ratios
	@$(RUN)python -m benchmarks.load_engine
	@$(RUN)python -m benchmarks.load
	@$(RUN)python -m benchmarks.redis_get
	@$(RUN)python -m benchmarks.websocket
	@$(RUN)python -m benchmarks.recording
	@$(RUN)python -m benchmarks.orchestration
	@$(RUN)python -m benchmarks.database

clean:              ## remove what the targets above brought
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
