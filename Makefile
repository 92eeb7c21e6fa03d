# make app        serve the dashboard on http://localhost:8501
# make test       every test; the browser's too where chromium is installed
# make test-fast  the core of every module, in less than a minute
# make bench      timing studies, minutes each
# make lint       style and types
# make docs       write the reference of all options, engine/REFERENCE.md

# Python compiles each file once, not in each of the many processes of the tests
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
TOOLS := pytest==9.2.0 pytest-timeout==2.4.0 pytest-xdist==3.8.0 hypothesis==6.170.15 playwright==1.65.2 ruff==0.17.5 mypy==2.4.1 types-psutil==7.2.2.20261111

.PHONY: app test test-browser test-others test-fast bench lint docs

app: $(VENV)/.installed
	$(BIN)/streamlit run app.py

test: $(VENV)/.tools
	$(MAKE) --jobs 2 test-browser test-others

# the browser's tests mostly wait, so the others run beside them, a file at a time in each of two processes
test-browser: $(VENV)/.tools
	$(BIN)/python -m pytest tests/browser

test-others: $(VENV)/.tools
	$(BIN)/python -m pytest --ignore tests/browser --numprocesses 2 --dist loadfile

# the first tests of each file, at most one case of each, none of them slow
test-fast: $(VENV)/.tools
	$(BIN)/python -m pytest --fast --ignore tests/browser --numprocesses 2 --dist loadfile

bench: $(VENV)/.tools
	$(BIN)/python -m pytest tests/benchmarks -m benchmark -s

lint: $(VENV)/.tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed
	$(BIN)/python -m engine docs --to engine/REFERENCE.md

$(VENV)/.installed: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; run make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.tools: $(VENV)/.installed Makefile
	$(BIN)/pip install --quiet --disable-pip-version-check $(TOOLS)
	@touch $@
