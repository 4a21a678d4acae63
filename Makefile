# Two commands do everything on a machine that has Python, make and gcc:
#   make demo   install, then make a small world of videos, learn from it, measure, and write runs/demo/report.html
#   make test   install, lint, then run the whole test suite
PYTHON ?= python3
JOBS   ?= $(shell $(PYTHON) -c "import os; print(min(4, os.cpu_count() or 1))")
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: install demo test lint bench clean
.DEFAULT_GOAL := install

install: $(STAMP)

# Runs again only when what is to be installed changed.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,openvino]' -c constraints.txt
	touch $@

demo: install
	$(BIN)/mmpt demo

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/codespell

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

bench: install
	$(BIN)/python -m benchmarks.inference --memory
	$(BIN)/python -m benchmarks.data

clean:
	rm -rf $(VENV) runs/demo .pytest_cache .ruff_cache
