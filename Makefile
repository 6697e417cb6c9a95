# The house's commands. CI calls the same ones. Settings: PYTHON=python3.12, ARGS="--port 9000", MINUTES=10.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
MINUTES ?= 5

BIN := $(VENV)/bin
# What a new installation depends on: the Python files are used where they lie.
SOURCES := pyproject.toml setup.py $(shell find fastchat -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h')

.PHONY: help serve test check bench bench-quick bench-compare lab peers fuzz soak durability recovery sanitize dist clean

help:
	@echo "make serve        build, install and start the server (ARGS=\"--port 9000\")"
	@echo "make test         everything that must pass: lint, types, stubs, tests"
	@echo "make check        lint, types and stubs only"
	@echo "make bench        all benchmarks, into bench_results/"
	@echo "make bench-quick  a first impression of them, in some minutes"
	@echo "make bench-compare BASE=main~3   what has become slower since that commit"
	@echo "make peers        other servers to compare with, as far as they can be had"
	@echo "make lab          fastchat bench in full: capacity, compare, connections, report; takes hours"
	@echo "make fuzz         a million mutated frames against framing and codec"
	@echo "make soak         a real server under mixed load for MINUTES=5"
	@echo "make durability   kill -9 a server 100 times while 10,000 messages are published"
	@echo "make recovery     cut 1,000 clients 100 times each while people publish"
	@echo "make sanitize     the C code under AddressSanitizer and UBSan"
	@echo "make dist         sdist and wheel, into dist/"
	@echo "make clean        remove everything that was made"

serve: $(VENV)/.installed
	@exec $(BIN)/fastchat serve $(ARGS)

test: $(VENV)/.tested
	@$(BIN)/python -m tools.verify lint types stubs tests

check: $(VENV)/.tested
	@$(BIN)/python -m tools.verify lint types stubs

bench: $(VENV)/.tested
	$(BIN)/python -m benchmarks.micro
	-$(BIN)/python -m benchmarks.bench_presence
	-$(BIN)/python -m benchmarks.bench_flood
	-$(BIN)/python -m benchmarks.bench_store
	@$(BIN)/python -m benchmarks.bench_server $(ARGS); status=$$?; \
	  $(BIN)/python -m benchmarks.table && $(BIN)/python -m tools.readme; exit $$status

bench-quick: $(VENV)/.tested
	$(BIN)/python -m benchmarks.micro --quick
	-$(BIN)/python -m benchmarks.bench_store --quick
	$(BIN)/python -m benchmarks.bench_server --quick $(ARGS)

# It builds in directories of its own, so what is built here is left alone, however old.
bench-compare:
	@test -n "$(BASE)" || { echo "say with what: make bench-compare BASE=main~3"; exit 2; }
	@test -e $(VENV)/.tested || $(MAKE) --no-print-directory $(VENV)/.tested
	@$(BIN)/python -m benchmarks.compare_commits "$(BASE)" $(ARGS)

peers: $(VENV)/.installed
	@$(BIN)/python -m benchmarks.peers.install $(ARGS)

lab: $(VENV)/.tested
	@status=0; for part in "capacity --servers fastchat,threaded" "capacity --overload" compare connections; do \
	  $(BIN)/fastchat bench $$part || status=$$?; [ $$status -ne 130 ] || exit 130; done; \
	  $(BIN)/fastchat bench report && $(BIN)/python -m benchmarks.table && $(BIN)/python -m tools.readme; \
	  exit $$status

fuzz: $(VENV)/.tested
	$(BIN)/python -m tests.protocol.fuzz $(ARGS)

soak: $(VENV)/.tested
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(ARGS)

durability: $(VENV)/.tested
	$(BIN)/python -m tests.durability $(ARGS)

recovery: $(VENV)/.tested
	$(BIN)/python -m tests.durability.recovery $(ARGS)

sanitize: $(VENV)/.tested
	$(BIN)/python -m tools.sanitize $(ARGS)

dist: $(VENV)/.tested
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	rm -rf benchmarks/reference/build benchmarks/peers/.venv benchmarks/peers/node_modules
	find fastchat tests benchmarks tools -name __pycache__ -prune -exec rm -rf {} +
	find fastchat \( -name '*.so' -o -name '*.c' \) -delete

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "fastchat needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "$(PYTHON) has no venv module: install it (Debian, Ubuntu: apt-get install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A compiler is optional here: without one the server runs its pure Python twins and says so.
$(VENV)/.installed: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

# ... and required here, so that a broken build cannot pass.
$(VENV)/.tested: $(SOURCES) | $(BIN)/python
	FASTCHAT_REQUIRE_EXT=1 $(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $(VENV)/.installed $@
