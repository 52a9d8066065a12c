# Every target sets up what it needs in .venv; a second run costs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
MASKWATCH := $(BIN)/maskwatch
PYTEST := $(BIN)/python -m pytest
# Where the environment forbids to write bytecode, every process of ours would compile its hundred modules anew: 0.4 s.
BYTECODE := $(BIN)/python -m compileall -q common producers workers trainer maskwatch
SECONDS ?=
MINUTES ?= 2
SEED ?= 1
OPTIONS ?=

# What a machine brings its own build of: left out of the hashes.
TORCH := torch torchvision triton cuda-bindings cuda-pathfinder cuda-toolkit $(addprefix nvidia-,cublas cuda-cupti \
  cuda-nvrtc cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse cusparselt-cu13 nccl-cu13 nvjitlink \
  nvshmem-cu13 nvtx)
TOOLS := build/tools
COMPILE := $(TOOLS)/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
  --constraints constraints.txt --no-emit-index-url --no-emit-find-links --no-header --no-annotate

.PHONY: help demo test lint types bench bench-gpu clean faults soak base dev lock sbom secrets settings rights images

help:
	@echo "make demo [SECONDS=30] [OPTIONS=--view]  four synthetic cameras through the whole pipeline"
	@echo "make test | lint | types | bench | clean"
	@echo "make bench-gpu [OPTIONS='--batch 128']   what the GPU of this machine does, in build/bench-gpu.json"
	@echo "make faults | soak [MINUTES=30 SEED=1]    harm a running station in every known way; see docs/reliability.md"
	@echo "make secrets                              broker passwords and users for Compose and Kubernetes, in ./secrets"
	@echo "make images [OPTIONS=…]                   build every image and run Compose's services with them; needs root"
	@echo "make lock | sbom                          hashes of all that is installed; bill of materials in build/"

demo: base
	$(MASKWATCH) demo $(if $(SECONDS),--seconds $(SECONDS)) $(OPTIONS)

# The second line runs whole stations, one at a time beside everything else (tests/conftest.py); what takes longest comes
# first, so that both cores have work to the end. The third has the machine to itself. Status 5: OPTIONS chose no test of
# a line.
test: dev lint types
	$(PYTEST) --numprocesses 2 --dist loadgroup tests/unit tests/architecture tests/contract $(OPTIONS) || test $$? -eq 5
	$(PYTEST) --numprocesses 2 --dist loadgroup --no-loadscope-reorder -m "not alone" tests/e2e tests/faults \
	  tests/integration $(OPTIONS) || test $$? -eq 5
	$(PYTEST) -m alone tests/e2e $(OPTIONS) || test $$? -eq 5

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev
	$(BIN)/mypy common producers workers trainer maskwatch tests

bench: dev
	$(BIN)/python -m pytest tests/bench -q --override-ini "python_files=bench_*.py" --override-ini "timeout=1200" -s

# On a machine with a GPU; torch first, as for `dev`: here its build for CUDA, which the machine may bring.
bench-gpu: $(VENV)/bin/python
	$(PIP) "torch>=2.13,<3" torchvision
	$(PIP) --editable ".[gpu]"
	@mkdir -p build
	$(MASKWATCH) bench gpu --json $(OPTIONS) > build/bench-gpu.json.new && mv build/bench-gpu.json.new build/bench-gpu.json
	@cat build/bench-gpu.json

secrets: base
	$(BIN)/python -m maskwatch broker secrets --mounted secrets

settings rights: base
	$(BIN)/python -m maskwatch.settings_list > docs/settings.md
	$(BIN)/python -m maskwatch.rights.page docs/security.md

lock: $(TOOLS)/bin/uv
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --extra train --extra signed $(addprefix --no-emit-package ,$(TORCH)) --output-file requirements-train.lock

sbom: $(TOOLS)/bin/cyclonedx-py
	$(TOOLS)/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible \
	  --output-format JSON --output-file build/sbom.json

$(TOOLS)/bin/uv $(TOOLS)/bin/cyclonedx-py:
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.8 cyclonedx-bom==7.5.0

faults: dev
	$(BIN)/python -m tests.faults.campaign --json build/faults.json $(OPTIONS)

images: dev
	$(BIN)/python -m tests.images.rehearse $(OPTIONS)

soak: dev
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) --seed $(SEED) --json build/soak.json $(OPTIONS)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

base: $(VENV)/.base
dev: $(VENV)/.dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable .
	@$(BYTECODE)
	@touch $@

# torch first and by itself: the build that the machine brings is kept, whatever asks for torch afterwards.
$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) torch==2.13.0
	$(PIP) --editable ".[dev]"
	@$(BYTECODE) tests
	@touch $@ $(VENV)/.base
