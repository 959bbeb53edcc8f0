# `make quickstart` leaves a real three-node cluster running; `make test` proves the project. Everything else is for developers.

VENV       := .venv
PYTHON     := $(VENV)/bin/python
PRAGMASPEC := $(VENV)/bin/pragmaspec
QUICKSTART := examples/quickstart

.DEFAULT_GOAL := help
.PHONY: help quickstart clean-quickstart install test lint types layers schema unit e2e golden torture bench clean

help:  ## this list
	@awk -F':.*## *' '/^[a-z0-9-]+:.*##/ {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: ## packages, virtual environment, hypervisor, Debian image, plan, apply: a running cluster
	@$(QUICKSTART)/up

clean-quickstart: ## shut the quickstart cluster down and remove all it made
	@$(QUICKSTART)/down

install: $(VENV)/.installed ## the virtual environment with everything needed to work on the project

$(VENV)/.installed: pyproject.toml $(QUICKSTART)/packages.txt tests/packages.txt
	@$(QUICKSTART)/install-packages $(QUICKSTART)/packages.txt tests/packages.txt
	@test -x $(PYTHON) || python3 -m venv $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[libvirt,s3,postgresql,dev]'
	@touch $@

test: install lint types layers ## everything: style, types, layers, unit, golden, property, contract and end-to-end tests
	@tests/run

lint: install ## ruff
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

types: install ## mypy, strict
	@$(VENV)/bin/mypy

layers: install ## import-linter: rooms import downwards only
	@$(VENV)/bin/lint-imports --no-logo 2>/dev/null || $(VENV)/bin/lint-imports

unit: install ## the tests that need no hypervisor
	@$(VENV)/bin/pytest -m 'not hypervisor and not guest and not slow and not torture' -n auto

golden: install ## rewrite the golden files; read the difference before you commit it
	@$(VENV)/bin/pytest -m 'not hypervisor and not guest and not slow and not torture' --update-golden

schema: install ## write both files of schemas/ anew
	@$(PYTHON) -m pragmaspec.spec.json_schema > schemas/pragmaspec.schema.json
	@$(PYTHON) -m pragmaspec.spec.json_schema sites > schemas/pragmaspec-sites.schema.json

torture: install ## the faults at every request of slow servers, and 100,000 simulated stories; a failure prints its seed
	@$(VENV)/bin/pytest -m torture -n auto -q
	@$(PYTHON) -m tests.simulation --seeds 0:100000

bench: install ## every benchmark; prints ratios side by side
	@for one in benchmarks/startup.py benchmarks/scale.py benchmarks/bring_up.py benchmarks/staging.py benchmarks/images.py benchmarks/reliability.py; do $(PYTHON) $$one || exit 1; done

clean: ## caches and build leftovers
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage build dist
