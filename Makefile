# Every target sets up what it needs in .venv; a second run costs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
MASKWATCH := $(BIN)/maskwatch
SECONDS ?=
OPTIONS ?=

.PHONY: help demo test lint types bench clean base dev

help:
	@echo "make demo [SECONDS=30] [OPTIONS=--view]  four synthetic cameras through the whole pipeline"
	@echo "make test | lint | types | bench | clean"

demo: base
	$(MASKWATCH) demo $(if $(SECONDS),--seconds $(SECONDS)) $(OPTIONS)

test: dev lint types
	$(BIN)/python -m pytest $(OPTIONS)

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev
	$(BIN)/mypy common producers workers trainer maskwatch tests

bench: dev
	$(BIN)/python -m pytest tests/bench -q --override-ini "python_files=bench_*.py" --override-ini "timeout=1200" -s

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

base: $(VENV)/.base
dev: $(VENV)/.dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable .
	@touch $@

# torch first and by itself: the build that the machine brings is kept, whatever asks for torch afterwards.
$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) torch==2.13.0
	$(PIP) --editable ".[dev]"
	@touch $@ $(VENV)/.base
