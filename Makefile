# Each target creates and fills .venv by itself.
#   make demo    the whole river on the clips and the model inside the package
#   make test    all tests       make lint    format, lint, types       make bench    benchmarks
# TORCH=cuda installs PyTorch with CUDA; the default never does.

PYTHON ?= python3
TORCH ?= auto
VENV := .venv
PY := $(VENV)/bin/python
INPUTS := pyproject.toml constraints.txt tools/install.py

.PHONY: demo test lint bench clean
.DELETE_ON_ERROR:

demo: $(VENV)/.base
	$(VENV)/bin/motive demo

test: $(VENV)/.dev
	$(PY) -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

bench: $(VENV)/.base
	$(PY) benchmarks/run_all.py

clean:
	rm -rf $(VENV) runs build dist

$(PY):
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(INPUTS) | $(PY)
	$(PY) tools/install.py --torch $(TORCH)
	@touch $@

$(VENV)/.dev: $(INPUTS) | $(PY)
	$(PY) tools/install.py --torch $(TORCH) --extras dev
	@touch $@ $(VENV)/.base
