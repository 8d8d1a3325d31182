# `make` lists the recipes. The two that matter: `make demo` shows it work, `make test` proves it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BROKER ?= local
KEEP ?=
SECONDS ?= 600
KERNEL := $(BIN)/python deploy/kernel.py
NEWS ?= ../shared/data/news
# Tests that do not look at milliseconds run three at a time, each of the three with a broker of its own: on two cores, since
# they mostly wait. The others come last.
# Those that take longest begin first, or one core would wait for the last of them.
PATIENT := $(addprefix integration_tests/test_,$(addsuffix .py,quality worker native_articles local_broker demo bench_score faults \
	faults_figures security alerts grafana rules compare verify partitions ports tools reload stuck killer \
	hostile_ports status_page signed_store wheel kernel_script consul_agent tracing \
	deploy_systemd deploy_aurora deploy_kubernetes deploy_settings))
THREE_AT_A_TIME := -n 3 --dist loadfile --no-loadscope-reorder
TWO_AT_A_TIME := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup kernel jars consul demo test thorough check format unit integration java faults compare deploy-check deploy-tools bench fuzz fuzz-ports audit clean

help: ## List these recipes
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(INSTALLED) kernel jars ## Install everything into .venv, and fetch the local broker's jars

$(INSTALLED): pyproject.toml constraints.txt
	@sh deploy/prerequisites.sh $(PYTHON)
	@echo "Installing into $(VENV) (about a minute the first time) ..."
	@$(PYTHON) -m venv $(VENV)
	@CLF_BUILD_KERNEL=0 PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --disable-pip-version-check --progress-bar on -e '.[dev]'
	@touch $@

# Not left to pip, which hides what a build says, and which would not build it again when its sources change. Cargo knows
# what is up to date. Where there is no Rust this says so and goes on; see deploy/kernel.py.
kernel: $(INSTALLED) ## Build the native scorer (Rust), if it is not up to date
	@$(KERNEL) install

jars: $(INSTALLED)
	@$(if $(CLF_BOOTSTRAP_SERVERS),,$(BIN)/clf kafka fetch > /dev/null)

demo: setup ## Broker, models, worker, documents, results: in half a minute. KEEP=1 stays up until Ctrl-C
	@$(BIN)/clf demo $(if $(KEEP),--keep)

test: setup ## Lint, types, unit tests, integration tests on a real broker. BROKER=docker: on testcontainers
	@nice $(MAKE) --no-print-directory deploy-tools consul & # in a few minutes, before their tests
	@$(MAKE) --no-print-directory check
	$(KERNEL) cargo test --release
	CLF_TEST_BROKER=$(BROKER) $(BIN)/pytest $(THREE_AT_A_TIME) $(PATIENT) training models worker schemas
	CLF_TEST_BROKER=$(BROKER) $(BIN)/pytest integration_tests $(addprefix --ignore=,$(PATIENT))

thorough: setup ## The tests that take minutes and are left out of `test`: real articles, a real schema registry, every right, and more
	CLF_THOROUGH=1 $(BIN)/pytest $(TWO_AT_A_TIME) \
		$(addprefix integration_tests/test_,$(addsuffix .py,quality native_articles schema_registry security local_broker demo \
			bench_score killer operations looks partitions wheel))
	CLF_THOROUGH=1 $(BIN)/pytest $(addprefix integration_tests/test_,$(addsuffix .py,capacity slow_host))  # these look at the clock

consul: $(INSTALLED) ## Build the Consul agent that tests of registration run on, if there is Go; once
	@$(BIN)/python -m integration_tests.consul_agent build

deploy-tools: $(INSTALLED) ## Build the tools of deploy-check, if there is Go; once
	@$(BIN)/python -m integration_tests.deploy.tools

check: $(INSTALLED) kernel ## Lint, format and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(KERNEL) cargo fmt --check
	$(KERNEL) cargo clippy --all-targets --features python -- -D warnings

format: $(INSTALLED) ## Format the code and repair what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(KERNEL) cargo fmt

unit: $(INSTALLED) kernel ## Unit tests only: no broker, a few seconds
	$(BIN)/pytest $(TWO_AT_A_TIME) schemas models training worker

integration: setup ## Integration tests only
	CLF_TEST_BROKER=$(BROKER) $(BIN)/pytest integration_tests

java: setup ## Build the Java client (deploy/clients/java) and run its tests against the real server
	$(BIN)/pytest integration_tests/test_java_client.py

faults: setup ## Break real workers on a real broker in every way and audit them after each; half an hour. FAULTS="--fault kill"
	$(BIN)/python -m integration_tests.faults $(FAULTS)

compare: setup ## clf beside MLServer and Quix Streams under the same kills; a quarter of an hour. COMPARE="--seed 7"
	$(BIN)/python -m integration_tests.compare $(COMPARE)

deploy-check: setup ## Hold deploy/ against the tools it is meant for; needs Go. CLF_IMAGE=clf runs that image too
	$(BIN)/pytest $(wildcard integration_tests/test_deploy_*.py)

bench: setup ## Measure scoring, throughput and latency beside references, on the real articles where they are present (NEWS=folder)
	$(BIN)/clf bench score $(foreach file,$(wildcard $(NEWS)/eng.*.jsonl.gz),--data $(file)) --open --growth
	$(BIN)/clf bench stream $(foreach file,$(wildcard $(NEWS)/eng.*.jsonl.gz),--data $(file))
	-$(BIN)/clf bench grpc $(foreach file,$(wildcard $(NEWS)/eng.*.jsonl.gz),--data $(file))

fuzz: ## Look for pages and bundles that hurt the native scorer, SECONDS=600 for each target; needs nightly Rust, cargo-fuzz
	@for needed in "cargo +nightly --version|rustup toolchain install nightly" "cargo fuzz --version|cargo install cargo-fuzz"; do \
		$${needed%%|*} > /dev/null 2>&1 || { echo "Missing: \`$${needed%%|*}\` does not run. Try: $${needed##*|}"; exit 1; }; done
	@cd models/kernel && for target in texts bundle; do mkdir -p fuzz/corpus/$$target && \
		ASAN_OPTIONS=malloc_context_size=0 cargo +nightly fuzz run --no-trace-compares $$target fuzz/corpus/$$target fuzz/seeds/$$target \
			-- -max_total_time=$(SECONDS) -timeout=30 -print_final_stats=1 || exit 1; done

fuzz-ports: setup ## Let hostile callers loose on the open ports of real processes, SECONDS=600 for each port
	$(BIN)/python -m integration_tests.hostile --seconds $(SECONDS)

audit: $(INSTALLED) ## Is what is installed pinned, its licence allowed, and (needs the network, pip-audit, cargo-audit) without known holes?
	@! $(BIN)/pip freeze --exclude-editable | grep -vixFf constraints.txt || \
		{ echo "That is installed, but not as constraints.txt pins it: make clean setup"; exit 1; }
	$(BIN)/pytest -q worker/tests/test_dependencies.py
	@for needed in "pip-audit --version|pipx install pip-audit" "cargo audit --version|cargo install cargo-audit"; do \
		$${needed%%|*} > /dev/null 2>&1 || { echo "Missing: \`$${needed%%|*}\` does not run. Try: $${needed##*|}"; exit 1; }; done
	pip-audit --strict --no-deps --disable-pip -r constraints.txt # without --strict, what it cannot look up counts as good
	cd models/kernel && cargo audit

clean: ## Remove everything that setup, tests and the demo made here
	@if [ -x $(BIN)/clf ]; then $(BIN)/clf kafka stop --delete-data || true; fi
	rm -rf $(VENV) .clf .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
	rm -rf deploy/clients/java/target models/kernel/target models/kernel/fuzz/target models/_kernel.*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
