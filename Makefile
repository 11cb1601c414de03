# Every target does its own set-up and is quick when there is nothing to do.
#   make quickstart   the whole loop on this machine, with real weights
#   make test         the tests
#   make soak         rollouts under chaos for twenty minutes
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK ?= requirements/cpu.lock
STAMP := $(VENV)/.installed
PROJECTS := . environments/database environments/alfworld
PLUGINS := $(wildcard environments/*/pyproject.toml)

.PHONY: install quickstart test soak check format lock clean

install: $(STAMP)

$(STAMP): $(LOCK) pyproject.toml $(PLUGINS) requirements/install.sh
	@PYTHON=$(PYTHON) VENV=$(VENV) LOCK=$(LOCK) sh requirements/install.sh $(PROJECTS)
	@touch $@

quickstart: install
	@$(BIN)/agentray quickstart --out runs/quickstart $(ARGS)

test: install
	@$(BIN)/python -m pytest $(ARGS)

soak: install
	@$(BIN)/python benchmarks/faults.py --measure soak --minutes 20 --out runs/soak.json $(ARGS)

check: install
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/mypy environments/database/agentray_database environments/alfworld/agentray_alfworld

format: install
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: install
	@sh requirements/lock.sh $(BIN)/uv

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
