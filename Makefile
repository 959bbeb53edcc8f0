# `make quickstart` starts a real three-node cluster; `make test` runs the full test suite. All other targets are for developers.

VENV       := .venv
PYTHON     := $(VENV)/bin/python
PRAGMASPEC := $(VENV)/bin/pragmaspec
QUICKSTART := examples/quickstart

.DEFAULT_GOAL := help
.PHONY: help quickstart clean-quickstart install test lint types layers schema schema-check unit openstack e2e golden torture bench clean

help: ## list the targets
	@awk -F':.*## *' '/^[a-z0-9-]+:.*##/ {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: ## install everything, build a Debian image, plan and apply: a running cluster
	@$(QUICKSTART)/up

clean-quickstart: ## remove the quickstart cluster and everything it created
	@$(QUICKSTART)/down

install: $(VENV)/.installed ## create the virtual environment with all development tools

$(VENV)/.installed: pyproject.toml $(QUICKSTART)/packages.txt tests/packages.txt
	@$(QUICKSTART)/install-packages $(QUICKSTART)/packages.txt tests/packages.txt
	@test -x $(PYTHON) || python3 -m venv $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[libvirt,ec2,gdrive,openstack,s3,postgresql,dev]'
	@touch $@

test: install ## run everything: style, types, layers, and all tests including real libvirt and a real OpenStack
	@tests/run

lint: install ## run ruff
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

types: install ## run mypy --strict
	@$(VENV)/bin/mypy

layers: install ## run import-linter: packages import only lower layers
	@$(VENV)/bin/lint-imports --no-logo 2>/dev/null || $(VENV)/bin/lint-imports

unit: install ## run the tests that need neither hypervisor nor OpenStack
	@$(VENV)/bin/pytest -m 'not hypervisor and not guest and not openstack and not slow and not torture' -n auto

openstack: install ## run the tests that need an OpenStack, which is built once and started for them
	@$(VENV)/bin/pytest -m 'openstack and not torture'

golden: install ## update the golden files; review the difference before committing
	@$(VENV)/bin/pytest -m 'not hypervisor and not guest and not openstack and not slow and not torture' --update-golden

schema: install ## regenerate schemas/
	@$(PYTHON) -m pragmaspec.spec.json_schema > schemas/pragmaspec.schema.json
	@$(PYTHON) -m pragmaspec.spec.json_schema sites > schemas/pragmaspec-sites.schema.json

schema-check: ## fail if schemas/ does not match the spec models
	@$(PYTHON) -m pragmaspec.spec.json_schema | diff -u schemas/pragmaspec.schema.json -
	@$(PYTHON) -m pragmaspec.spec.json_schema sites | diff -u schemas/pragmaspec-sites.schema.json -

torture: install ## inject faults into every request, and run 100,000 simulated histories; a failure prints its seed
	@$(VENV)/bin/pytest -m torture -n auto -q
	@$(PYTHON) -m tests.simulation --seeds 0:100000

bench: install ## run all benchmarks
	@for one in benchmarks/structure.py benchmarks/startup.py benchmarks/scale.py benchmarks/bring_up.py benchmarks/openstack_cloud.py benchmarks/staging.py benchmarks/images.py benchmarks/reliability.py; do $(PYTHON) $$one || exit 1; done

clean: ## remove caches and build output
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage build dist
