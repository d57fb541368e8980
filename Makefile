# Everything runs in a virtual environment of the project's own; Python >= 3.11, git and make are enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help setup demo serve test test-fast check format docs bench lock clean

help:  ## List the targets with a sentence each
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/runtime  ## Run the main job on a fixed story: webhooks in, a journey, alerts and contradictions out
	@$(BIN)/journey demo

serve: $(VENV)/runtime  ## Start every process in one, on http://127.0.0.1:8080, data under ./.journey
	$(BIN)/journey serve

test: $(VENV)/dev  ## Run all tests: fast ones first, then long ones, and those that kill processes and stop servers
	$(BIN)/pytest -q -m "not fault and not slow" -n 3 --dist loadgroup
	$(BIN)/pytest -q -m "fault or slow" -n 3 --dist worksteal

test-fast: $(VENV)/dev  ## Run the tests that need no server
	$(BIN)/pytest -q tests/unit tests/contracts

check: $(VENV)/dev  ## Check format, lint, types, import order of the packages, and that the docs are current
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m docs.generate --check

format: $(VENV)/dev  ## Format the code and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/dev  ## Write docs/reference/ anew from the code
	$(BIN)/python -m docs.generate

bench: $(VENV)/dev  ## Print a JSON line a figure, peers beside ours; `make bench only=NAME` runs one
	@$(BIN)/python -m bench $(if $(only),--only $(only)) $(if $(size),--size $(size)) $(if $(rounds),--rounds $(rounds))

setup: $(VENV)/dev  ## Make the virtual environment with everything the project needs

lock: $(VENV)/dev  ## Write requirements.lock and requirements-dev.lock anew from the ranges in pyproject.toml
	$(BIN)/pip-compile -q --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --allow-unsafe --strip-extras --generate-hashes -o requirements.lock pyproject.toml
	$(BIN)/pip-compile -q --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --allow-unsafe --strip-extras --generate-hashes --extra dev -o requirements-dev.lock pyproject.toml

clean:  ## Remove the virtual environment and caches; data under .journey stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: $(BIN)/python requirements.lock pyproject.toml
	@echo "Installing (once) …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/dev: $(BIN)/python requirements-dev.lock pyproject.toml
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@ $(VENV)/runtime
