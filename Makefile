# make run      the main job; against a sample Patchwork, or with CONFIG=FILE against a real one
# make install  what development needs, in .venv; each of these does that first
# make test     what CI runs, in some minutes: lint, types, tests
# make check    lint, types and unit tests, in a minute
# make lint     ruff alone; make types: mypy alone
# make tests    the tests alone; ARGS="tests/faults -k redis" a part of them
# make faults   the long random runs, each time with another seed; PATCHSYNC_SEED=N tries one again
# make pictures take the pictures of the pages in docs/ anew; it wants Debian's chromium
# make bench    all benchmarks, and what they found in docs/performance.md; ARGS="--help" says what else
# make lock     pin the dependencies anew
# make clean    remove what all that made
# make help     this; with PYTHON=python3.13 each has an environment of its own for that Python

PYTHON ?= python3
# Another Python has an environment of its own beside the usual one: make test PYTHON=python3.13
VENV := .venv$(patsubst %,-%,$(filter-out python3,$(notdir $(PYTHON))))
BIN := $(VENV)/bin
CONFIG ?=
# Files of tests at once: most of those that take their time wait for others
JOBS ?= 4
PYTEST := $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
LOCK := --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

.PHONY: run install test check lint types tests faults pictures bench lock clean help

run: install
ifeq ($(CONFIG),)
	$(BIN)/patchsync demo
else
	$(BIN)/patchsync -c "$(CONFIG)" sync
endif

install: $(VENV)/installed

$(VENV)/installed: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

test: lint types tests

check: lint types
	$(PYTEST) tests/unit

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

# Hundreds of processes load the same modules: compiled once, wherever that is not wanted else.
check tests faults bench: export PYTHONDONTWRITEBYTECODE :=

tests: install
	$(PYTEST) $(ARGS)

faults: export PATCHSYNC_SEED := $(or $(PATCHSYNC_SEED),$(shell date +%s))
faults: install
	$(PYTEST) -m long --timeout 1800 $(ARGS)

pictures: install
	$(BIN)/python -m pytest --quiet tests/browser/pictures.py

bench: install
	$(BIN)/python benchmarks/performance.py $(ARGS)

lock:
	echo "setuptools>=77" | uv pip compile $(LOCK) pyproject.toml - --output-file requirements.lock
	uv pip compile $(LOCK) --extra dev --constraint requirements.lock pyproject.toml \
		--output-file requirements-dev.lock

clean:
	rm -rf .venv* build run *.egg-info

help:
	@sed -n '/^#/!q; s/^# //p' $(firstword $(MAKEFILE_LIST))
