# Everything here works on a machine that has only python3 (3.11 or newer, with venv) and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := UV_PROJECT_ENVIRONMENT=$(VENV) UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never $(BIN)/uv
SYNC   := $(UV) sync --frozen --inexact --python $(BIN)/python
LOCKS  := pyproject.toml uv.lock
# What the tests need beyond the plain package.
EXTRAS := --extra sftp --extra fsspec --extra tui --extra django --extra postgres --extra mongo --extra downloads --extra sheets --extra server --extra web --extra celery --extra inventory
AZURITE := tests/servers/node_modules/.installed
# Containers set it. Each start of the command, and each test's process, would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
# The dashboard is tested in a browser; `CHROMIUM=/path make test` takes another one.
export CHROMIUM ?= /usr/bin/chromium

# One test process more than cores, as a test waits for a third of its time; at most 8: the servers are shared, and more
# only queue in front of them. Neighbours stay together (`worksteal`), so that a module's servers start once and not once
# for each process; whoever has done its own takes half of another's.
JOBS ?= $(shell n=$$(($$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) + 1)); [ $$n -gt 8 ] && n=8; echo $$n)
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test check bench docs clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.main ## Install, then run the main jobs on real input
	$(BIN)/trueup demo

test: $(VENV)/.test $(AZURITE) | $(CHROMIUM) ## Run every test against real servers on loopback (ARGS="-k name" narrows it)
	$(BIN)/pytest -n $(JOBS) --dist worksteal $(ARGS)

check: $(VENV)/.test ## Lint, formatting, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench ## Compare with rclone, s5cmd and aws-cli; the tables go to bench/results/ too
	$(BIN)/python bench/run.py $(ARGS)

docs: $(VENV)/.docs ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## Remove all that make made
	rm -rf $(VENV) site tests/servers/node_modules

# --inexact: one target's packages stay when another target is made.
$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'

$(VENV)/.main: $(BIN)/uv $(LOCKS)
	$(SYNC)
	@touch $@

$(VENV)/.test: $(BIN)/uv $(LOCKS)
	$(SYNC) $(EXTRAS) --group dev --group servers
	@touch $@

$(VENV)/.bench: $(BIN)/uv $(LOCKS)
	$(SYNC) $(EXTRAS) --group dev --group servers --group bench
	@touch $@

$(VENV)/.docs: $(BIN)/uv $(LOCKS)
	$(SYNC) --group docs
	@touch $@

# Node and npm come from the test group, so the machine needs neither. Azurite needs none of its install scripts.
$(AZURITE): tests/servers/package.json tests/servers/package-lock.json | $(VENV)/.test
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm ci --prefix tests/servers --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error
	@touch $@

# Debian's, where that can be had; elsewhere the tests of the dashboard fail, and say why.
$(CHROMIUM):
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium >/dev/null; \
	fi || true
	@[ -x $@ ] || echo "no Chromium at $@: install it, or name another one, CHROMIUM=/path make test; the dashboard's tests need it" >&2
