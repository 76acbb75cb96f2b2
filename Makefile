# make book: the environment, the benchmark notebook on embedded real data, the book.   make pdf: the same as one file.
# make test: the tests.   make bench: what a step costs here.
# CPU-only PyTorch on Linux: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make book

# The pages train small networks, for which a second thread is not worth waiting for.
export OMP_NUM_THREADS ?= 1

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PAGES := $(patsubst notebooks/%,results/executed/%,$(filter-out %/target.ipynb,$(wildcard notebooks/*.ipynb)))
HTML := _build/html/index.html
RECORDS := $(shell find results -name '*.json' -not -path '*/executed/*' -not -path '*/.*')

STRIPPED := --extra-keys "metadata.papermill cell.metadata.papermill cell.metadata.execution"

.PHONY: book pdf test bench lint lock readme clean

book: $(HTML)
	@echo "Open $(CURDIR)/$(HTML)"

# The whole book as one file, _build/alasso.pdf.
pdf: $(PAGES)
	@$(BIN)/python book/browser.py
	$(BIN)/python book/pdf.py

test: $(READY)
	@$(BIN)/python book/browser.py
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/nbstripout $(STRIPPED) --verify notebooks/*.ipynb
	$(BIN)/python -m pytest

# What a step costs on this machine, with two threads; wants it quiet for ten minutes.
bench: $(READY)
	OMP_NUM_THREADS=2 $(BIN)/python benchmarks/speed.py

lint: $(READY)
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .
	$(BIN)/nbstripout $(STRIPPED) notebooks/*.ipynb

# The versions that the committed results were made with, for `pip install --constraint`.
lock: $(READY)
	$(BIN)/pip freeze --exclude alasso | grep -Ev '^(-e|cuda|nvidia|triton)' | sed 's/+cpu$$//' > constraints.txt

# The README's figure and table, from the committed results.
readme: $(READY)
	$(BIN)/python book/readme.py

clean:
	rm -rf _build results/executed

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

# This page trains its runs here, once for each version of the code that decides numbers, and holds them against
# results/. The others load results/.
results/executed/permuted_mnist.ipynb: PARAMETERS = -p results _build/runs/$$($(BIN)/python -c 'from alasso.run import CODE; print(CODE[:12])')

results/executed/%.ipynb: notebooks/%.ipynb $(wildcard alasso/*.py) $(wildcard book/*.json) $(RECORDS) $(READY)
	@mkdir -p $(@D)
	$(BIN)/papermill --no-progress-bar $(PARAMETERS) $< $(@:.ipynb=.partial.ipynb)
	@mv $(@:.ipynb=.partial.ipynb) $@

$(HTML): $(PAGES) $(wildcard _build/alasso.pdf) $(wildcard benchmarks/results/*.json) $(filter-out %.partial.ipynb,$(wildcard results/executed/*-*.ipynb)) _config.yml _toc.yml $(shell find book -type f -not -name '*.pyc')
	$(BIN)/jupyter-book build . --all -W --keep-going -n
	@touch $@
