# The commands of this repository. `make help` lists them.
#
# One build of RocksDB (about 15 minutes of C++ on 2 cores) serves demo, test, examples, clippy and doc: they all
# use the dev profile, the same features of the dependencies, and never RUSTFLAGS, CC or CXX, which Cargo
# tracks and would answer with a rebuild. `scripts/layering.sh` checks the features.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# `check` runs its steps in the order they are listed, cheap ones first, also under `make -j`.
.NOTPARALLEL:

# A compiler cache, where installed, comes in through PATH: it's the one way that Cargo doesn't track, so
# plain `cargo build` and `make` share the build. Measured: RocksDB into an empty target folder, 1 minute
# instead of 16. The cache's own defaults (folder, 5 GB) are fine: RocksDB takes 20 MB of it. The folders needn't
# exist yet: `setup` may install the cache.
export PATH := /usr/lib/ccache:/usr/lib64/ccache:$(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

CARGO ?= cargo
# In CI a Cargo.lock that doesn't fit the manifests is an error, and one failed test doesn't hide the others.
LOCKED := $(if $(CI),--locked)
KEEP_GOING := $(if $(CI),--no-fail-fast)
# All members and all their features: they have no optional dependencies, so this rebuilds nothing.
ALL := --workspace --all-features $(LOCKED)
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
EXAMPLES := $(notdir $(basename $(wildcard examples/*.rs)))
BENCHES := $(wildcard benches/*.rs */benches/*.rs)

# Installed by `make check` and `make audit` when absent.
export CARGO_DENY_VERSION := 0.20.2

# Arguments for the demo: make demo ARGS="--record FILE"
ARGS ?=

# How long `make fuzz` runs each target.
export FUZZ_SECONDS ?= 60
TARGETS ?=

step = @printf '\n==> [%s] %s\n' "$$(date +%T)" "$(1)"

.PHONY: help
help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Look for the compiler, libclang and Rust; as root install what is missing
	@scripts/setup.sh build

.PHONY: setup-check
setup-check: setup
	@scripts/setup.sh check

.PHONY: setup-audit
setup-audit:
	@scripts/setup.sh audit

.PHONY: demo
demo: setup ## Run the main job end to end on an embedded cluster (ARGS="--record FILE")
	@[ -n "$$(scripts/setup.sh built)" ] || $(CARGO) build $(LOCKED)
	@$(CARGO) run --quiet $(LOCKED) -- demo $(ARGS)

.PHONY: test
test: setup ## Run all tests: unit, property, cluster and documentation tests
	$(call step,tests)
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run $(ALL) $(KEEP_GOING); \
	else \
		$(CARGO) test $(ALL) $(KEEP_GOING) --lib --bins --tests --examples; \
	fi
	$(call step,documentation tests)
	@$(CARGO) test $(ALL) --doc

.PHONY: examples
examples: setup ## Run every user story in examples/
	$(call step,examples: $(or $(EXAMPLES),none yet))
	@if [ -n "$(EXAMPLES)" ]; then \
		$(CARGO) build $(ALL) --examples; \
		for example in $(EXAMPLES); do \
			echo "--- $$example"; \
			"$(TARGET_DIR)/debug/examples/$$example" </dev/null; \
		done; \
	fi

.PHONY: check
check: setup-check fmt-check layering deny test examples clippy outside-check doc ## Everything CI runs, in CI's order
	$(call step,all checks passed)

.PHONY: fmt
fmt: ## Format the code
	@$(CARGO) fmt --all
	@for crate in fuzz bench bench/abe; do $(CARGO) fmt --manifest-path $$crate/Cargo.toml; done

.PHONY: fmt-check
fmt-check:
	$(call step,format)
	@$(CARGO) fmt --all --check

.PHONY: layering
layering:
	$(call step,layering)
	@scripts/layering.sh

.PHONY: deny
deny:
	$(call step,licences and bans and sources)
	@$(CARGO) deny --workspace --all-features --locked check licenses bans sources

# Twice: with everything, and as it ships, without tests and without the `testing` feature.
.PHONY: clippy
clippy:
	$(call step,clippy: everything)
	@$(CARGO) clippy $(ALL) --all-targets -- -D warnings
	$(call step,clippy: as it ships)
	@$(CARGO) clippy --workspace $(LOCKED) -- -D warnings

# The crates outside of the workspace, which no other step of `check` looks at. Of the measurements only what needs no other
# RocksDB than the workspace; `bench-check` does the rest.
.PHONY: outside-check
outside-check:
	$(call step,fuzz targets and measurements)
	@for crate in fuzz bench bench/abe; do $(CARGO) fmt --check --manifest-path $$crate/Cargo.toml || exit 1; done
	@CARGO_TARGET_DIR="$(abspath $(TARGET_DIR))" $(CARGO) clippy $(LOCKED) --manifest-path fuzz/Cargo.toml --all-targets -- -D warnings
	@CARGO_TARGET_DIR="$(abspath $(TARGET_DIR))" $(CARGO) clippy $(LOCKED) --manifest-path bench/Cargo.toml --lib --bins -- -D warnings
	@CARGO_TARGET_DIR="$(abspath $(TARGET_DIR))" $(CARGO) clippy $(LOCKED) --manifest-path bench/abe/Cargo.toml -- -D warnings

.PHONY: doc
doc: ## Build the API documentation, warnings denied
	$(call step,documentation)
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(ALL) --no-deps

.PHONY: bench
bench: setup ## Run the benchmarks (release profile: a build of its own)
	@echo "Benchmarks: $(or $(BENCHES),none yet; this only builds the workspace in the release profile)"
	@echo "The release profile compiles the dependencies once more; for RocksDB a compiler cache answers."
	@$(CARGO) bench --workspace $(LOCKED)

.PHONY: fuzz
fuzz: ## Fuzz every decoder, each for FUZZ_SECONDS (60); TARGETS="..." for some of them
	@scripts/fuzz.sh $(TARGETS)

.PHONY: benchmarks
benchmarks: setup ## Measure all tables and plots of docs/benchmarks.md anew (an hour; PARTS="security rate ...")
	@CARGO="$(CARGO)" scripts/benchmarks.sh $(PARTS)

.PHONY: bench-opening
bench-opening: setup ## Measure opening a record and a chart, and the same beside attribute-based encryption (no RocksDB)
	@CARGO="$(CARGO)" scripts/benchmarks.sh opening

# The crate that is measured against lies outside of the workspace: it's never part of a build that ships.
.PHONY: bench-check
bench-check: setup ## Check and test the crate of measurements
	@CARGO_TARGET_DIR="$(abspath $(TARGET_DIR))" $(CARGO) clippy --manifest-path bench/Cargo.toml --all-targets -- -D warnings
	@CARGO_TARGET_DIR="$(abspath $(TARGET_DIR))" $(CARGO) test --manifest-path bench/Cargo.toml --lib

SEEDS ?= 3
.PHONY: scenarios
scenarios: setup ## Play every scenario of config/scenarios with SEEDS (3) seeds
	@$(CARGO) run --quiet $(LOCKED) -- scenario run config/scenarios/*.toml --seeds $(SEEDS) --jobs $$(( 3 * $$(nproc) ))

# The simulator is no part of the shipped program, so this is a build of its own.
SIMULATE ?= --validators 4,5,7,10 --seeds 20000
.PHONY: simulate
simulate: setup ## Search 20,000 seeds of 4, 5, 7 and 10 validators for a broken rule (SIMULATE="--mutant NAME")
	@KITHKIN_COMMIT=$$(git rev-parse --short HEAD 2>/dev/null) $(CARGO) build --release --features simulator $(LOCKED)
	@"$(TARGET_DIR)/release/kithkin" simulate $(SIMULATE)

.PHONY: big
big: setup ## Measure a cluster of 40 validators, 10 hospitals and 50 patients with 9 kin each
	@KITHKIN_BIG=1 $(CARGO) test $(LOCKED) -p kithkin --test cluster forty_validators -- --nocapture

# The release program: what is measured is what ships.
KILLS ?= 200
.PHONY: soak
soak: setup ## Kill one of four validator processes under load, KILLS (200) times in a row
	@KITHKIN_KILLS=$(KILLS) $(CARGO) test --release $(LOCKED) -p kithkin --test node a_killed_node -- --nocapture

# The release program, and the attacker in the test: throughput before and during is measured.
.PHONY: flood
flood: setup ## Flood the ports of four validator processes under load; memory, throughput before and during
	@KITHKIN_FLOOD_FULL=1 $(CARGO) test --release $(LOCKED) -p kithkin --test node a_flood -- --nocapture

.PHONY: audit
audit: setup-audit ## Check the dependencies against the advisory database (needs the open network)
	@$(CARGO) deny --workspace --all-features --locked check advisories
