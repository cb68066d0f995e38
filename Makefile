# Everything runs in a virtual environment that is made when it is missing; only Python 3.11 or newer is needed.

VENV ?= .venv
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

BIN := $(abspath $(VENV))/bin
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check install
RUN_STAMP := $(VENV)/.installed-to-run
DEV_STAMP := $(VENV)/.installed-to-develop

# Options for `make serve`, e.g. FLAGS='--http-port=9000'.
FLAGS ?=
# Arguments for pytest, e.g. ARGS='-k supervisor'.
ARGS ?=

# What runs the real Triton and perf_analyzer for `make bench`; without it Shoal is measured alone.
PEER ?= ../shared/tools/peer

# The conformance kit: where it is, how strictly it compares, which cases (a pattern) and groups it runs.
CONFORMANCE ?= ../shared/conformance
LEVEL ?= semantic
ONLY ?= *
GROUP ?= *
HTTP_PORT ?= 18000
GRPC_PORT ?= 18001
METRICS_PORT ?= 18002
REPORT ?= .cache/conformance.json
CONFORMANCE_SERVER = $(BIN)/shoal serve --model-repository={repo} --allow-client-shm=true \
	--http-port={http_port} --grpc-port={grpc_port} --metrics-port={metrics_port} {flags}

.PHONY: serve test-fast test test-all lint bench conformance

serve: $(RUN_STAMP)
	@$(BIN)/shoal serve --model-repository=examples/models $(FLAGS)

# Two minutes at most: nothing slow, no processes.
test-fast: $(DEV_STAMP)
	@$(BIN)/python -m pytest -q tests/unit tests/test_import_rules.py -m 'not slow and not full' $(ARGS)

test: $(DEV_STAMP)
	@$(BIN)/python -m pytest -q -m 'not full' $(ARGS)

test-all: $(DEV_STAMP)
	@$(BIN)/python -m pytest -q $(ARGS)

lint: $(DEV_STAMP)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

# Shoal beside the real Triton, about 25 minutes; ARGS=--quick for a look.
bench: $(DEV_STAMP)
	@$(BIN)/python benchmarks/beside_triton.py --peer $(PEER) $(ARGS)

# Ends with a table of passed and total by area; cases that fail do not fail the target.
conformance: $(DEV_STAMP)
	@mkdir -p $(dir $(REPORT)) && rm -f $(REPORT)
	@cd $(CONFORMANCE) && PYTHONDONTWRITEBYTECODE=1 $(BIN)/python -m conformance check \
		--http localhost:$(HTTP_PORT) --grpc localhost:$(GRPC_PORT) --metrics localhost:$(METRICS_PORT) \
		--server-cmd '$(CONFORMANCE_SERVER)' \
		--level $(LEVEL) --only '$(ONLY)' --group '$(GROUP)' --report $(abspath $(REPORT)) $(ARGS) || test -f $(abspath $(REPORT))
	@$(BIN)/python tests/conformance/report.py $(REPORT) --level $(LEVEL)

$(RUN_STAMP): pyproject.toml | $(BIN)/python
	@$(PIP) --editable '.[all,examples]'
	@touch $@

$(DEV_STAMP): pyproject.toml | $(BIN)/python
	@$(PIP) --editable '.[all,dev,examples]'
	@touch $@ $(RUN_STAMP)

$(BIN)/python:
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or newer was not found; name one with PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
