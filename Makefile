# Every target makes the environment it needs; nothing else has to be installed by hand than Python and make.
PYTHON ?= python3
PARALLEL = --numprocesses auto --maxprocesses 8 --dist loadfile
PIP = -m pip install --quiet --disable-pip-version-check

.PHONY: demo resume test bench fuzz lint fixtures clean
.DELETE_ON_ERROR:

# The main job on real pretrained weights, without torch.
demo: .venv/ready
	.venv/bin/python -m demo

# A real training run, killed 200 times and resumed, against one that was not.
resume: .venv-torch/ready
	.venv-torch/bin/python -m demo.resume

# The whole suite with torch, and again with no torch installed, where the slow tests of what needs none are not repeated.
test: .venv-torch/ready .venv-plain/ready
	.venv-torch/bin/python -m compileall -q src tests # hundreds of tests start Python anew
	.venv-torch/bin/python -m pytest $(PARALLEL)
	.venv-plain/bin/python -m pytest $(PARALLEL) -m "not slow"

# dotpt against its peers in one run: ratios, medians of interleaved rounds.
bench: .venv-torch/ready .venv-scanners/ready
	.venv-torch/bin/python -m bench

# Fuzzing for TIME seconds, one half by hypothesis and one by atheris, which needs Linux and Python 3.11 to 3.13.
TIME ?= 600
fuzz: .venv-fuzz/ready
	status=0; \
	.venv-fuzz/bin/python -m tests.fuzz.run --seconds $$(($(TIME) / 2)) || status=1; \
	.venv-fuzz/bin/python -m tests.fuzz.atheris_target -- -max_total_time=$$(($(TIME) / 2)) -verbosity=0 || status=1; \
	exit $$status

lint: .venv-torch/ready
	.venv-torch/bin/ruff check .
	.venv-torch/bin/mypy

# The torch-written files that the suite without torch reads.
fixtures: .venv-torch/ready
	.venv-torch/bin/python -m tests.corpus.make_fixtures

.venv/ready: pyproject.toml requirements/demo.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP) --editable .
	.venv/bin/python $(PIP) --no-deps --requirement requirements/demo.txt
	touch $@

.venv-plain/ready: pyproject.toml requirements/demo.txt requirements/test.txt
	$(PYTHON) -m venv .venv-plain
	.venv-plain/bin/python $(PIP) --editable '.[s3,sign]' --requirement requirements/test.txt
	.venv-plain/bin/python $(PIP) --no-deps --requirement requirements/demo.txt
	touch $@

.venv-torch/ready: pyproject.toml requirements/demo.txt requirements/test.txt requirements/torch.txt requirements/digits.txt requirements/managers.txt
	$(PYTHON) -m venv .venv-torch
	.venv-torch/bin/python $(PIP) --requirement requirements/torch.txt
	.venv-torch/bin/python $(PIP) --editable '.[torch,s3,sign]' --requirement requirements/test.txt --constraint requirements/torch.txt
	.venv-torch/bin/python $(PIP) --no-deps --requirement requirements/demo.txt
	.venv-torch/bin/python $(PIP) --requirement requirements/digits.txt
	.venv-torch/bin/python $(PIP) --requirement requirements/managers.txt --constraint requirements/torch.txt
	touch $@

# dotpt as users install it, beside the scanners that it is measured against.
.venv-scanners/ready: pyproject.toml requirements/scanners.txt $(shell find src -name '*.py')
	$(PYTHON) -m venv --clear .venv-scanners
	.venv-scanners/bin/python $(PIP) . --requirement requirements/scanners.txt
	touch $@

.venv-fuzz/ready: pyproject.toml requirements/fuzz.txt requirements/torch.txt
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/python $(PIP) --requirement requirements/torch.txt
	.venv-fuzz/bin/python $(PIP) --editable . --requirement requirements/fuzz.txt --constraint requirements/torch.txt
	touch $@

clean:
	rm -rf .venv .venv-plain .venv-torch .venv-fuzz .venv-scanners .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
