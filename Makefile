# `make demo` and `make test` need python3 (3.11 or newer) with venv, pip, and make; the rest they bring themselves.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/installed

.PHONY: demo test lint clean

demo: $(STAMP)  ## the main job on this machine: base score, a real fine-tuning, the score after it
	$(BIN)/ptb run --agent sft --task bfcl-simple --model smollm2-135m --protocol smoke

test: $(STAMP)  ## all tests that this machine can run; PYTEST_ARGS adds arguments
	$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -c "from posttrainbench import record; print(record.schema().decode(), end='')" | diff -u docs/record.schema.json -

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[local,gateway,judge,dev]'
	touch $@

clean:
	rm -rf $(VENV)
