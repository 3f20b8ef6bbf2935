# Two commands for newcomers: `make demo` and `make test`. Both install what is missing first.
PY := .venv/bin/python
# Servers that only tests need are unpacked there, see scripts/setup.
# An ordinary user's PATH lacks sbin, where mkfs, depmod and dnsmasq are.
export PATH := $(CURDIR)/build/tools/root/usr/sbin:$(CURDIR)/build/tools/root/sbin:$(PATH):/usr/sbin:/sbin
export RACKFLOW_SSHD := $(CURDIR)/build/tools/root/usr/sbin/sshd
# What waits for machines in one process, the rest beside it: tests/conftest.py.
LANES := -n 2
.PHONY: help setup parts demo test lint unit rack test-rack soak fuzz bench bench-edge lock docs

help:
	@echo "make demo      two virtual machines from power-on to the OS their specs declare (KEEP=1 leaves it running)"
	@echo "make test      lint, unit, property, interop tests and one rack scenario per firmware"
	@echo "make test-rack all rack scenarios, resumable [K=expression]; writes docs/rack-results.md"
	@echo "make soak      the edge is killed in 50 boot storms; then simulated machines live and 200 times"
	@echo "               something is killed [STORMS=50 KILLS=200 MACHINES=5 SEED=1]"
	@echo "make fuzz      what the edge reads from the network, under libFuzzer [SECONDS=600 TARGETS=...]"
	@echo "make lint      ruff, mypy, import contracts"
	@echo "make bench     benchmarks, as ratios"
	@echo "make bench-edge  the PXE edge against Kea, dnsmasq, dhcpd, TFTP servers, nginx [ONLY=dhcp,tftp QUICK=1 WRITE=1]"

setup:
	@scripts/setup

demo: setup
	@$(PY) -m lab.demo

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

unit: setup
	$(PY) -m pytest -q $(LANES) -m "not rack and not long"

rack: setup
	$(PY) -m pytest -q -m "rack and chosen"

# What every rack boots, built before the tests: a scenario's limit is for what its machines do.
parts: setup
	@$(PY) -m bootos build --data $(CURDIR)/build/rack/demo >/dev/null & boot=$$!; \
	$(PY) -m lab.image build --data $(CURDIR)/build/rack/demo >/dev/null && wait $$boot

test: lint parts
	$(PY) -m pytest -q $(LANES) -m "(not rack or chosen) and not long"

test-rack:
	@scripts/setup --arm64
	$(PY) tests/rack/run.py $(if $(K),-k "$(K)")

soak: setup
	@$(PY) -m lab.sim avalanche --kills $(or $(STORMS),50) --seed $(or $(SEED),1)
	@$(PY) -m lab.sim soak --kills $(or $(KILLS),200) --machines $(or $(MACHINES),5) --seed $(or $(SEED),1)

bench: setup
	$(PY) -m bench

bench-edge:
	@scripts/setup --bench
	@$(PY) -m bench.edge $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick) $(if $(WRITE),--write)

fuzz: setup
	@scripts/setup --fuzz
	@$(PY) -m tests.fuzz.run --seconds $(or $(SECONDS),600) $(TARGETS)

lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url -o requirements.lock

docs: setup
	$(PY) docs/generate.py
