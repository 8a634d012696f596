# `make run` trains HalfCheetah from 700 comparisons, `make test` runs the tests, `make check` format, lint, types, imports.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || echo python3)
BIN := .venv/bin
SOURCES := actors cluster labeling learners reward_service tests

# NumPy's own threads wait for each other where more than one test is at work (EXPERIMENTS.md, "Atari"). Torch's sleep
# meanwhile, as in a run.
export OPENBLAS_NUM_THREADS := 1
export OMP_WAIT_POLICY := passive
# Tests start hundreds of processes: each would compile all packages anew where their bytecode may not be kept.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test check slow chaos soak format clean

run: .venv/.ready
	$(BIN)/twoclips train half-cheetah --labels 700 --steps 2000000

# What the pages looked like to the browser tests.
test slow: export ARTEFACTS ?= build/artefacts

# Three at a time on two cores: half of the time a test waits, for a page, for a process to start.
test: .venv/.ready
	$(BIN)/python -m pytest -m "not slow" -n 3 --dist loadgroup

slow: .venv/.ready
	$(BIN)/python -m pytest -m slow --timeout 3000

# Every part of a run is killed, stopped and cut off, 120 times in all, while people label: the table at the end says
# what it cost. `make chaos FAULTS=24` goes through the matrix once. Then, where root may make networks, a second node of
# a cluster and its raylet.
FAULTS ?= 120
chaos: .venv/.ready
	$(BIN)/python -m tests.flows.chaos --faults $(FAULTS) --out chaos.json
	$(BIN)/python -m pytest -m slow -s -rs tests/deploy/test_two_nodes.py

# An hour of a run: does anything grow, does anything slow down?
MINUTES ?= 60
soak: .venv/.ready
	$(BIN)/python -m tests.flows.soak --minutes $(MINUTES) --out soak.json

check: .venv/.ready
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: .venv/.ready
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

# The pinned set first, then the project itself without asking the index again.
.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "twoclips needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "building .venv (a few minutes, once)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf .venv build/artefacts .pytest_cache .ruff_cache .hypothesis
