# Everything a newcomer types. `make` alone lists it.

PYTHON_OF_VENV := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup test lint format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## .venv with the pinned packages, Horovod and awsdet (quick when it is there)
	@PYTHON="$(PYTHON)" scripts/setup.sh

test: lint ## style checks and all tests
	$(PYTHON_OF_VENV) -m pytest -q -n 2 --durations=15

lint: setup ## style checks
	ruff check .
	ruff format --check .

format: setup ## rewrite the code in the project's style
	ruff check --fix .
	ruff format .

clean: ## remove what was built and downloaded here (.venv), but neither data nor runs
	rm -rf .venv build dist .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
