.PHONY: demo examples test clean

PYTHON ?= python3
RUN = .venv/bin/python -m
DEMO = --practice --folds 3 --workspace workspace/demo --submissions workspace/demo/submissions

demo: .venv/installed
	rm -rf workspace/demo
	$(RUN) toolkit.run competitions/mars $(DEMO) --budget 2m
	$(RUN) toolkit.run competitions/blood_cells $(DEMO) --budget 2m

examples: .venv/installed
	$(RUN) benchmarks.examples

# the processes that tests start import again what is compiled once
test: .venv/installed
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(RUN) pytest --numprocesses auto --dist worksteal

# made anew when what is to be installed has changed
.venv/installed: setup.cfg setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear .venv
	.venv/bin/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv workspace
