# Every target does its own setup, and is quick when there is nothing to do.
#   make quickstart   the whole loop on this machine, with real weights
#   make test         the tests
#   make soak         rollouts under chaos for twenty minutes
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
INSTALLED := $(shell cat $(STAMP) 2>/dev/null)
# The stamp holds the name of the lock that was installed, which stays the choice until another one is named.
LOCK ?= $(or $(INSTALLED),requirements/cpu.lock)
PLUGINS := $(wildcard environments/*/pyproject.toml)
PROJECTS := . $(PLUGINS:/pyproject.toml=)

RECORDS := $(wildcard $(or $(AGENTRAY_TEST_DATA),../shared/data)/dbbench/dev.jsonl)

.PHONY: install quickstart test soak check format lock clean another-lock

install: $(STAMP)

# Another lock starts from an empty environment: pip would keep what it finds and remove nothing.
$(STAMP): $(LOCK) pyproject.toml $(PLUGINS) requirements/install.sh $(if $(filter-out $(LOCK),$(INSTALLED)),another-lock)
	@PYTHON=$(PYTHON) VENV=$(VENV) LOCK=$(LOCK) sh requirements/install.sh $(PROJECTS)
	@echo $(LOCK) >$@

another-lock:
	rm -rf $(VENV)

quickstart: install
	@$(BIN)/agentray quickstart --out runs/quickstart $(addprefix --set quickstart.benchmark=,$(RECORDS)) $(ARGS)

test: install
	@$(BIN)/python -m pytest $(ARGS)

soak: install
	@$(BIN)/python benchmarks/faults.py --measure soak --minutes 20 --out runs/soak.json $(ARGS)

check: install
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/mypy $(wildcard environments/*/agentray_*)

format: install
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: install
	@sh requirements/lock.sh $(BIN)/uv

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
