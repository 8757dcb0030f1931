# make run     the main job; against a sample Patchwork, or with CONFIG=FILE against a real one
# make test    what CI runs
# make lock    pin the dependencies anew

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?=
LOCK := --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

.PHONY: run test lint lock clean

$(VENV)/installed: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

run: $(VENV)/installed
ifeq ($(CONFIG),)
	$(BIN)/patchsync demo
else
	$(BIN)/patchsync -c "$(CONFIG)" sync
endif

test: lint
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock:
	uv pip compile $(LOCK) pyproject.toml --output-file requirements.lock
	uv pip compile $(LOCK) --extra dev --constraint requirements.lock pyproject.toml \
		--output-file requirements-dev.lock

clean:
	rm -rf $(VENV) build run *.egg-info
