# Squall's commands. Everything they need is made in .venv; MODE=containers|processes forces how the lab runs.
MODE ?= auto
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
SQUALL := $(VENV)/bin/squall

.DEFAULT_GOAL := help
.PHONY: help up down status test e2e load compiled bench mutate doctor lint proto base clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-10s %s\n",$$1,$$2}' $(MAKEFILE_LIST)

up: $(STAMP) ## Start the lab, seed it, wait until it is ready, print what to try
	@$(SQUALL) up --mode $(MODE)

down: ## End the lab: leaves no process, container, network, volume or port
	@if [ -x $(SQUALL) ]; then $(SQUALL) down --purge; else echo "squall is not installed here, so nothing runs"; fi

status: $(STAMP) ## Show every process of the lab
	@$(SQUALL) status

test: $(STAMP) ## Unit, property and integration tests: real sockets, real valkey
	@$(VENV)/bin/python -m pytest $(ARGS)

e2e: $(STAMP) ## Tests against the whole lab, which they start and end; MODE=containers|processes
	@$(VENV)/bin/python -m pytest tests/e2e --e2e=$(if $(filter auto,$(MODE)),processes,$(MODE)) $(ARGS)

load: $(STAMP) ## Locust against the lab, its page at 127.0.0.1:8089
	@$(SQUALL) load --ui

compiled: $(STAMP) ## The L7 proxy's hot modules as C extensions, for SQUALL_COMPILED=1; half a minute, needs gcc
	@$(VENV)/bin/python -m bench.compiling

bench: $(STAMP) ## Our policies' cost per call beside others', which it installs; a minute and a half
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements/bench.txt
	@$(SQUALL) bench policies $(ARGS)

mutate: $(STAMP) ## Turn each comparison of a policy round and see a test fail; ARGS="--policy bbr" for one
	@$(VENV)/bin/python -m tests.mutation $(ARGS)

doctor: $(STAMP) ## Check what this machine has and lacks; says how to mend each
	@$(SQUALL) doctor --mode $(MODE)

lint: $(STAMP) ## Style, types, floors, docstrings, spelling, and stubs that match their contracts
	@sh deploy/lint.sh

proto: $(STAMP) ## Write the stubs of api/ anew
	@sh api/generate.sh

base: ## Make the image's base on this machine, where no image registry answers (root)
	@deploy/make-base.sh

clean: down ## down, and remove .venv and every cache
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

$(STAMP): requirements/dev.txt pyproject.toml
	@PYTHON=$(PYTHON) sh deploy/make-venv.sh $(VENV)
	@touch $@
