# Two commands do everything: `make run` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PROTOS := $(wildcard protos/lictor/v1/*.proto)
PB     := lib/lictor/pb
SEEDS  ?= 1-2000
JOBS   ?= 2
TESTS  ?= tests --ignore=tests/compat
PREFIX ?= /usr
INTERPRETER ?= /usr/bin/python3
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	touch $@

$(PB)/.generated: $(PROTOS) tools/gen_proto.py $(STAMP)
	$(BIN)/python tools/gen_proto.py
	touch $@

.PHONY: proto
proto: $(PB)/.generated ## generate the protobuf code

.PHONY: build
build: $(STAMP) $(PB)/.generated ## virtual environment, generated code; leaves .venv/bin/consul

.PHONY: run
run: build ## build, then one server agent with HTTP, DNS and the web page
	$(BIN)/python tools/run_agent.py

.PHONY: lab
lab: build ## the walk-through's cluster (3 servers in BJ, 1 in SH) on test hosts of its own
	$(BIN)/python tools/lab.py

.PHONY: compose-lab
compose-lab: build ## the same with a web service and nginx, in containers (needs docker and docker-compose)
	@$(BIN)/python tools/compose_lab.py

.PHONY: compose-lab-down
compose-lab-down: ## end it and remove its data
	@$(BIN)/python tools/compose_lab.py --down

.PHONY: test
test: build ## build and all tests but those of `make compat`, JOBS files at a time
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(TESTS)

.PHONY: retest
retest: build ## once more the tests that failed last time
	$(BIN)/python -m pytest $(TESTS) --last-failed

.PHONY: compat
compat: build ## unmodified clients: py-consul, npm consul, Traefik, Patroni, Ansible, Prometheus, nginx
	@# The failover waits for a session to expire: it runs beside the others, and is shown after them.
	@$(BIN)/python -m pytest tests/compat/test_patroni.py >$(VENV)/patroni.log 2>&1 & patroni=$$!; \
	$(BIN)/python -m pytest tests/compat --ignore=tests/compat/test_patroni.py; others=$$?; \
	wait $$patroni; failover=$$?; cat $(VENV)/patroni.log; test $$others = 0 -a $$failover = 0

.PHONY: lint
lint: build ## ruff, strict types, import rules, protobuf lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy lib services sim tools bench
	$(BIN)/lint-imports
	$(BIN)/python tools/lint_proto.py

.PHONY: sim
sim: build ## long simulation: make sim SEEDS=1-10000
	$(BIN)/python -m sim.raft --seeds $(SEEDS)
	$(BIN)/python -m sim.gossip --seeds $(SEEDS)
	$(BIN)/python -m sim.checks --seeds $(SEEDS)

.PHONY: crash
crash: build ## kill -9 of a whole cluster under load, 50 rounds
	LICTOR_CRASH_ROUNDS=50 $(BIN)/python -m pytest tests/faults -k kill_everything

.PHONY: fuzz
fuzz: build ## a million mutated DNS packets
	$(BIN)/python -m tests.dnsd.fuzz --packets 1000000

.PHONY: faults
faults: build ## every server lost in every way, long cuts: minutes (see campaigns/)
	$(BIN)/python -m pytest campaigns --ignore=campaigns/deploy -s

.PHONY: deploy-test
deploy-test: build ## the files of deploy/ on booted machines and in containers: minutes, as root
	$(BIN)/python -m pytest campaigns/deploy -s

.PHONY: install
install: build ## copy programs, units and examples: make install DESTDIR= PREFIX=/usr
	@$(BIN)/python tools/install.py --destdir "$(DESTDIR)" --prefix "$(PREFIX)" --interpreter "$(INTERPRETER)"

.PHONY: bench
bench: build ## measure beside etcd and bind9, as ratios
	$(BIN)/python -m bench

.PHONY: conformance
conformance: build ## replay the recorded exchanges with a real Consul
	$(BIN)/python tools/conformance.py

.PHONY: clean
clean: ## remove what build made
	rm -rf $(VENV) $(PB)/lictor $(PB)/.generated
