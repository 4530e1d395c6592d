# Needs make and Python 3.11 or newer; everything else comes from requirements.lock.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
T ?= tests
SEED ?= 0

.DEFAULT_GOAL := help
.PHONY: help setup demo up doctor test test-long bench check lint types boundaries fmt golden lock clean

help: ## Show what can be made
	@echo "Heliograph: energy that people own together."
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: $(READY) ## Create the environment from the hashed lock

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Heliograph needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) (once, about half a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## Replay a real season of sunshine, from the meter to the proof
	@$(BIN)/heliograph demo

up: $(READY) ## Keep the whole stack running on this machine
	@$(BIN)/heliograph up

doctor: $(READY) ## Say what is missing or broken, and how to mend it
	@$(BIN)/heliograph doctor

test: check ## Run all checks and tests (heavy ones as a small fixed share)
	@$(BIN)/python -m pytest -m "not long" $(T)

test-long: $(READY) ## Run the kill, fuzz and mutation tests at their full counts (SEED=n)
	@HELIOGRAPH_TEST_SEED=$(SEED) $(BIN)/python -m pytest -m long -s --timeout 3600 $(T)

bench: $(READY) ## Measure the hot paths beside their raw parts, as ratios (writes bench.json)
	@$(BIN)/python -m bench --json bench.json

check: lint types boundaries ## Lint, types and import boundaries

lint: $(READY)
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet . && echo "lint: clean"

types: $(READY)
	@$(BIN)/mypy

boundaries: $(READY)
	@$(BIN)/lint-imports --no-cache | tail -n 3

fmt: $(READY) ## Format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix --quiet .

golden: $(READY) ## Write missing golden files, schemas and generated docs
	@$(BIN)/python -m tools.golden && $(BIN)/python -m tools.schemas \
	  && $(BIN)/python -m tools.settings_table && $(BIN)/python -m tools.cli_table

lock: $(READY) ## Make requirements.lock anew (needs uv)
	@uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	  --extra dev pyproject.toml -o requirements.lock

clean: ## Remove the environment and all data of the embedded stack
	@rm -rf $(VENV) .heliograph .mypy_cache .ruff_cache .pytest_cache
