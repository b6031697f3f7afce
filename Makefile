# Every target sets itself up: a virtual environment here, packages by hash, nothing outside this folder.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
REDIS ?= redis-server
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-kafka test-redis test-bounds test-mutations test-image faults soak check bench bench-guard bench-peers lock clean

help:  ## Say what can be made.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY)  ## Score a shop live, on embedded servers; options as ARGS="--events 100000 --no-ui".
	@$(BIN)/tierwise demo $(ARGS)

test: $(READY)  ## Run all tests, on real embedded servers.
	$(BIN)/python -m pytest -n $(or $(WORKERS),3) --dist loadfile --ignore tests/kafka $(ARGS)

# Needs Java 17 or newer and Maven, which fetches broker and registry into build/; without them these tests skip.
test-kafka: $(READY)  ## Run the tests of what only Apache Kafka has, on one that is started here.
	$(BIN)/python -m pytest -n $(or $(WORKERS),2) --dist loadfile tests/kafka $(ARGS)

# All but the tests of the embedded servers themselves; or those that ARGS names.
test-redis: $(READY)  ## Run the tests that use the store once more, on redis-server in place of Valkey.
	@command -v $(REDIS) >/dev/null || \
		{ echo "make test-redis needs redis-server; install it, or name one: make REDIS=/path/to/redis-server" >&2; exit 2; }
	TIERWISE_TEST_STORE=$(REDIS) $(BIN)/python -m pytest -n $(or $(WORKERS),2) --dist loadfile \
		--ignore tests/integration/test_embedded.py --ignore tests/integration/test_demo.py \
		$(or $(ARGS),tests/integration)

# The kernels have no bounds checks of their own; these are compiled with them, into a cache apart.
test-bounds: $(READY)  ## Run the tests of the kernels once more, every array access checked.
	NUMBA_BOUNDSCHECK=1 TIERWISE_KERNEL_CACHE=$(CURDIR)/$(VENV)/kernels-with-bounds \
		$(BIN)/python -m pytest -n $(or $(WORKERS),2) --dist loadfile tests/unit tests/property $(ARGS)

test-mutations: $(READY)  ## Decode a million mutated messages, and compare each with what the contract says of it.
	TIERWISE_TEST_MUTATIONS=$(or $(TIERWISE_TEST_MUTATIONS),1000000) \
		$(BIN)/python -m pytest -s tests/property/test_mutated_messages.py $(ARGS)

# Needs root, for a file system of its own and another user; without it these tests skip.
test-image: $(READY)  ## Carry out the Dockerfile in a bare directory, and run what comes of it.
	$(BIN)/python -m pytest tests/image $(ARGS)

faults: $(READY)  ## Break workers and servers under load, and compare with the reference.
	$(BIN)/python -m tests.faults $(ARGS)

# What is finished is in build/soak.jsonl; the same command goes on where it was interrupted.
soak: $(READY)  ## The same for about an hour.
	$(BIN)/python -m tests.faults --soak --resume build/soak.jsonl $(ARGS)

check: $(READY)  ## Lint, format, types, import directions.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## Measure one worker end to end.
	$(BIN)/python -m benchmarks.end_to_end $(ARGS)

# Shares of one run are compared, no seconds, so that a slow machine changes little.
bench-guard: $(READY)  ## Fail when a worker has become slower or dearer than in the saved run.
	$(BIN)/python -m benchmarks.guard $(ARGS)

# Each peer's packages go to .peers/, which no other target looks at; Java and Maven for those of the JVM.
bench-peers: $(READY)  ## Measure what others make of the same stream: Bytewax, Flink, and so on.
	$(BIN)/python -m benchmarks.peers.run $(ARGS)

# uv, because it locks for all supported Pythons at once; hashes are the registry's own, no host is written.
LOCK := uv pip compile --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet

lock:  ## Renew the pinned requirements (needs uv).
	$(LOCK) pyproject.toml -o requirements.txt
	$(LOCK) pyproject.toml --all-extras -c requirements.txt -o requirements-dev.txt
	echo hatchling | $(LOCK) - -c requirements-dev.txt -o requirements-build.txt

clean:  ## Remove what was set up and built here.
	rm -rf $(VENV) .peers build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# Older than a requirement file, or absent: set up anew. Only wheels, so that nothing unpinned is fetched to build.
$(READY): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || \
		{ echo "tierwise needs Python 3.11 or 3.12; name one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .
	@echo "compiling the kernels, once"
	@$(BIN)/python -c 'import scoring.migration, sinks.profile_encoder'
	@touch $@
