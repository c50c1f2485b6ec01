# `make` alone prints this list. Everything is built into .venv and build/.
# PYTHON=... picks the interpreter; PIP_ARGS="..." is handed to pip. HASHES=require takes nothing but
# the builds whose SHA-256 is in tools/locks (but for torch), HASHES=no goes by versions alone.

FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	if $$p -c '$(FITS)' >/dev/null 2>&1; then echo $$p; break; fi; done)
PIP_ARGS ?=
HASHES ?= try
PIP = $(BIN)/python -m pip install $(PIP_ARGS) -q --no-compile
BY_VERSION = test "$(HASHES)" = try && echo "Not the builds of tools/locks: going on by versions alone."
BIN := .venv/bin
STAMP := .venv/.ready
TESTS := .venv/.ready-for-tests

.PHONY: help setup setup-tests course test torture matrix lab book notebooks bench full lock
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(firstword $(MAKEFILE_LIST)) \
	  | awk -F ':.*## ' '{ printf "make %-12s %s\n", $$1, $$2 }'

setup: $(STAMP) ## build .venv with the versions of constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c '$(FITS)' 2>/dev/null || { \
	  echo "The course needs Python 3.11, 3.12 or 3.13; found: $$($(or $(PYTHON),python3) -V 2>&1)." >&2; \
	  echo "Install one, or name it: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.12" >&2; exit 1; }
	@test "$$(uname -sm)" != "Darwin x86_64" || { \
	  echo "PyTorch has no builds for Macs with Intel processors any more: the course needs Apple silicon." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo "Setting up .venv: some minutes the first time, nothing to do the next."
	@test "$(HASHES)" = no || $(PIP) --no-deps --require-hashes -r tools/locks/course.txt || { $(BY_VERSION); }
	$(BIN)/python -m pip install $(PIP_ARGS) -q --no-compile -c constraints.txt -e '.[course,tf,book]'
	@touch $@

setup-tests: $(TESTS)

$(TESTS): $(STAMP)
	@echo "Adding to .venv what only the tests use."
	@test "$(HASHES)" = no || $(PIP) --no-deps --require-hashes -r tools/locks/tests.txt || { $(BY_VERSION); }
	$(BIN)/python -m pip install $(PIP_ARGS) -q --no-compile -c constraints.txt -e '.[test,cluster,gpu]'
	@touch $@

course: setup ## digits, every notebook (quick profile), the book: build/html
	@$(BIN)/python -m tools.course

test: setup-tests ## every check; one exit code
	@$(BIN)/python -m tools.check

torture: setup-tests ## kills, full disks, turned bits, nonsense: half an hour, not part of test
	@$(BIN)/python -m tools.torture

matrix: setup-tests ## oldest and newest Python and packages, each in a venv of its own
	@$(BIN)/python -m tools.matrix

lab: setup ## JupyterLab, at notebook 01
	$(BIN)/python -c 'import stn_course, jupyterlab.labapp as lab; lab.main()' notebooks/01_invariance.ipynb

book: setup ## the book from the stored outputs: build/html
	@$(BIN)/python -m tools.book --course build/none.json $(BOOK_ARGS)

notebooks: setup ## run the notebooks again from notebooks/src and store them
	@$(BIN)/python -m tools.notebooks execute

bench: setup-tests ## every speed target beside its peer; leave the machine alone meanwhile
	@$(BIN)/python -m benchmarks

full: setup ## remake every record (prints the plan and the time first)
	$(BIN)/stn-course run --all --again

lock: setup ## resolve constraints.txt and tools/locks anew
	bash tools/lock.sh
