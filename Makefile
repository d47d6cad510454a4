# The commands of this project. Each one makes the virtual environment that it needs and leaves it for the next time.
#   make PYTHON=/path/to/python ...     chooses the interpreter (3.11 or newer)
#   make test PYTEST_ARGS="-k conv -n 0"

VENV := .venv
OLDEST := .venv-oldest
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
# Keras 2, of the same release as TensorFlow; it asks for "tensorflow", which tensorflow-cpu stands in for.
TF_MINOR := -c "import importlib.metadata as m; print(m.version('tensorflow-cpu').rpartition('.')[0])"
DEMO_OUT := demo-report
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-oldest check lint types imports doctest docs docs-check format clean

help:
	@echo "make demo         install, then analyse examples/squeezenet.py into $(DEMO_OUT)/"
	@echo "make test         the test suite"
	@echo "make check        ruff, mypy, import contracts, doctests, generated pages"
	@echo "make test-oldest  the test suite on the oldest Keras that is supported"
	@echo "make format       let ruff rewrite the code in the project's form"
	@echo "make docs         write the generated pages and reports anew"
	@echo "make clean        remove what these targets made"

demo: $(VENV)/.installed
	$(BIN)/costlens report examples/squeezenet.py -o $(DEMO_OUT)
	@echo "The report is in $(DEMO_OUT)/"

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python -m pytest $(PYTEST_ARGS)

check: lint types imports doctest docs-check

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.installed-dev
	$(BIN)/mypy

imports: $(VENV)/.installed-dev
	$(BIN)/lint-imports

doctest: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 0 --doctest-modules src/costlens
	$(BIN)/python tools/doctests.py README.md docs

docs-check: $(VENV)/.installed-dev
	$(BIN)/python tools/docs.py --check

docs: $(VENV)/.installed-dev
	$(BIN)/python tools/docs.py

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) $(OLDEST) $(DEMO_OUT) build dist
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests tools examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@python=$$(sh tools/find_python.sh "$(PYTHON)") && "$$python" -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing costlens and TensorFlow into $(VENV); this takes a minute or two."
	@$(BIN)/python $(PIP_INSTALL) -e '.[tensorflow-cpu]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what the tests and checks need into $(VENV)."
	@$(BIN)/python $(PIP_INSTALL) -e '.[tensorflow-cpu,jax,dev]'
	@$(BIN)/python $(PIP_INSTALL) --no-deps "tf_keras==$$($(BIN)/python $(TF_MINOR)).*"
	@touch $@

$(OLDEST)/bin/python:
	@python=$$(sh tools/find_python.sh "$(PYTHON)") && "$$python" -m venv $(OLDEST)

$(OLDEST)/.installed: pyproject.toml tools/oldest.txt | $(OLDEST)/bin/python
	@echo "Installing the oldest supported Keras and TensorFlow into $(OLDEST)."
	@$(OLDEST)/bin/python $(PIP_INSTALL) -c tools/oldest.txt -e '.[tensorflow-cpu,test]'
	@$(OLDEST)/bin/python $(PIP_INSTALL) --no-deps "tf_keras==$$($(OLDEST)/bin/python $(TF_MINOR)).*"
	@touch $@
