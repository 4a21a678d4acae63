# Two commands do everything on a machine that has Python, make and gcc:
#   make demo   install, then make a small world of videos, learn from it, measure, and write runs/demo/report.html
#   make test   install, lint, and run the whole test suite
PYTHON ?= python3
JOBS   ?= $(shell $(PYTHON) -c "import os; print(min(4, os.cpu_count() or 1))")
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Instructions that other processors lack, switched off one after the other, and sums split over two threads.
CPUS   := ATEN_CPU_CAPABILITY=default ATEN_CPU_CAPABILITY=avx2 DNNL_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell OMP_NUM_THREADS=2

.PHONY: install demo test test-cpus pytest lint bench clean
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

# Both at once: pyright keeps one core busy, and tests wait for other processes now and then.
test: install
	$(MAKE) --no-print-directory -j2 lint pytest

pytest: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# For every night, not for every change: the suite must pass on processors that sum in another order.
test-cpus: install
	failed=; for setting in $(CPUS); do \
	    echo "== $$setting"; \
	    env OMP_NUM_THREADS=1 $$setting $(BIN)/python -m pytest -n $(JOBS) --dist worksteal || failed="$$failed $$setting"; \
	done; test -z "$$failed" || { echo "failed with:$$failed"; exit 1; }

bench: install
	$(BIN)/python -m benchmarks.inference --memory
	$(BIN)/python -m benchmarks.data

clean:
	rm -rf $(VENV) runs/demo .pytest_cache .ruff_cache
