# Tillmesh. `make` alone says what there is.
SHELL := /bin/bash
PY := .venv/bin/python
.DEFAULT_GOAL := help

help: ## say what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

setup: .venv/.ready translations ## make .venv with everything in it, compile the translations

.venv/.ready: pyproject.toml constraints.txt deploy/setup.sh
	@bash deploy/setup.sh
	@touch $@

translations: .venv/.ready ## compile the message catalogues (.po to .mo)
	@$(PY) hatch_build.py

demo: setup ## a whole chain on this machine; TLS=1: with certificates
	@$(PY) -m deploy.demo $(if $(TLS),--tls)

demo-check: setup ## the same unattended: four walks, the latency of each hop; TLS=1
	@$(PY) -m deploy.demo --check $(if $(TLS),--tls)

test: setup ## all tests, on real servers and a real browser
	@bash deploy/test-servers.sh
	@$(PY) -m pytest -m "not nightly" -n 2 --dist loadfile --ignore tests/journeys
	@$(PY) -m pytest -m "not nightly" tests/journeys

nightly: setup ## the long runs too
	@bash deploy/test-servers.sh
	@$(PY) -c "import atheris" 2>/dev/null || $(PY) -m pip install -q -c constraints.txt atheris
	@HYPOTHESIS_PROFILE=night $(PY) -m pytest
	@$(PY) -m tests.chaos --minutes 20

lint: setup ## style, types, floors, spelling, size of modules
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache
	@.venv/bin/codespell
	@$(PY) deploy/module_size.py

fmt: setup ## format the code
	@.venv/bin/ruff check --fix-only .
	@.venv/bin/ruff format .

check: lint test ## what CI runs

bench: setup ## speed and memory, beside their baselines, in one run
	@bash deploy/test-servers.sh
	@$(PY) -c "import oscar" 2>/dev/null || $(PY) -m pip install -q -c constraints.txt django-oscar
	@$(PY) -m tests.bench

devices: setup ## a whole virtual shop of devices, with a page
	@$(PY) -m devices.sim

SEEDS ?= 200
sim: setup ## a chain under every fault, in virtual time: make sim SEEDS=5000
	@$(PY) -m tests.simulation --seeds $(SEEDS)

mutants: setup ## does the simulation find the bugs that were made on purpose?
	@$(PY) -m tests.simulation --mutants

MINUTES ?= 5
chaos: setup ## real processes killed, stopped, cut off, filled up: make chaos MINUTES=5 (as root)
	@bash deploy/test-servers.sh
	@$(PY) -m tests.chaos --minutes $(MINUTES)

.PHONY: help setup translations demo demo-check test nightly lint fmt check bench devices sim mutants chaos
