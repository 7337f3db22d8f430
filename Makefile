# Two commands do everything on a fresh machine: `make run` and `make test`. `make help` lists the rest.
PYTHON ?= python3.11
SHELL  := /bin/bash
.SHELLFLAGS := -o pipefail -c
VENV   := .venv
BIN    := $(VENV)/bin
PY     := $(BIN)/python
STAMP  := $(VENV)/.installed-from-lock

# your own event logs, one or many, instead of a simulated shop: make run EVENTS=path/to/log.parquet
EVENTS ?=
PORT   ?= 8000

.DEFAULT_GOAL := help
.PHONY: help run install test check format bench bench-training lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  make run EVENTS=path/to/log.parquet    the same on your own event log (Parquet, CSV, CSV.gz)"

run: install ## install, train on a simulated shop if there is no champion yet, serve on 127.0.0.1:8000
	@$(PY) -m deployments free --port $(PORT)
	@$(PY) -m training ensure $(if $(EVENTS),--events $(EVENTS))
	@exec $(PY) -m deployments serve --port $(PORT)

install: $(STAMP) ## create .venv from the pinned, hashed lock file

$(STAMP): requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "error: Cartcast needs Python 3.11. Install it, or say where it is: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "error: $(PYTHON) is not Python 3.11. Say where that is: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "==> installing the locked environment into $(VENV): 2 GB, one to two minutes, once"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --disable-pip-version-check --no-input --progress-bar off --require-hashes --requirement requirements.lock \
	  | $(PYTHON) -uc 'import sys; [print("   ", line[:60].rstrip().rstrip(":,"), "..." if line[0] == "I" else "") for n, line in enumerate(sys.stdin) if (n and n % 40 == 0) or line.startswith("Installing")]'
	@echo "==> checking it"
	@$(PY) -c 'import ray, catboost, xgboost, lightgbm, shap' || { echo "error: the environment is incomplete. Remove $(VENV) and try again: rm -r $(VENV) && make install" >&2; exit 2; }
	@$(PY) -c 'from common import features; features.warm_up()'
	@touch $@

test: install ## every test: unit, contract, integration with real Ray and Redis, end to end
	@$(BIN)/pytest $(TESTS)

check: install ## format, lint, types, import rules
	@$(BIN)/ruff format --check --quiet . || { echo "error: not formatted. Run: make format" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: install ## rewrite the code in the house format
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

bench: install ## the benchmarks, each claim beside its peers in the same run
	@$(PY) -m benchmarks

bench-training: install ## the search beside plain Optuna, fit times, example making
	@$(PY) -m benchmarks.training
	@$(PY) -m benchmarks.examples

lock: ## pin every dependency of pyproject.toml again, with hashes (needs pip-tools)
	@pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --extra dev --no-emit-index-url \
	  --no-emit-find-links --no-emit-trusted-host --no-annotate --no-header --output-file requirements.lock pyproject.toml

clean: ## remove the environment and all state (trained bundles, Redis data)
	@rm -rf $(VENV) state
