# `make app` and `make test` are the two commands; everything they need is installed into .venv from requirements.lock.

PYTHON  ?= $(shell command -v python3.11 || command -v python3.12 || echo python3)
VENV    ?= .venv
WORKERS ?= 2
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
# Extra words for the two commands: make app ARGS="--port 7861", make test ARGS="-k tokens"
ARGS    ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONUTF8 := 1

.PHONY: help app lab test lint format setup lock clean

help:  ## these lines
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1|/' | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

app: $(READY)  ## install what is missing and open the page on the embedded twins
	$(BIN)/workbench app $(ARGS)

# Its own settings stay as they are; only the question for news is off, which would ask another host.
lab: $(READY)  ## install what is missing and open JupyterLab with the notebooks
	$(BIN)/jupyter lab notebooks/01_first_look.ipynb --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate $(ARGS)

# One pytest process group, so that its summary is the last line. Browser and kernel tests are grouped into one worker each
# (conftest.py); one thread a worker, or two workers on two cores fight.
test: lint  ## lint, then every test
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff rewrite imports and layout
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(READY)  ## only the environment

# torch goes first and alone: a build for this machine that is already there (CPU, another CUDA) satisfies the lock and stays.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || \
		{ echo "$(PYTHON) is not Python 3.11 or 3.12; name one: make PYTHON=/path/to/python3.11 app"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time)"
	$(BIN)/python -m pip install -qq "$$(grep '^torch==' requirements.lock)"
	$(BIN)/python -m pip install -qq -r requirements.lock
	$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	@touch $@

# Adds what pyproject.toml newly asks for, leaves what satisfies it alone, and writes down the result.
# To raise a version: install it into .venv by hand, run the tests, then `make lock`.
lock:  ## write requirements.lock from pyproject.toml and what is installed
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq "$$(grep -s '^torch==' requirements.lock || echo torch)"
	$(BIN)/python -m pip install -qq -e '.[apps,notebooks,dev]'
	$(BIN)/python -m pip check
	@{ echo "# Exact versions of what make installs: core, apps, notebooks, dev. Written by make lock."; \
	   $(BIN)/python -m pip freeze --all --exclude-editable --exclude pip --exclude mistral-workbench \
	   | sed -E 's/\+[A-Za-z0-9.]+$$//' | LC_ALL=C sort -f; } > requirements.lock.tmp
	@! grep -nE '@|://' requirements.lock.tmp || { echo "a package was installed from a place, not by version"; exit 1; }
	@mv requirements.lock.tmp requirements.lock
	@touch $(READY)

clean:  ## remove caches and build output; the environment and the twins stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis requirements.lock.tmp
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
