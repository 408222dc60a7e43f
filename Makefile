# The user's face of the project: `make help`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Everything that is checked is checked with the faults of the tests compiled in; what is run or shipped has none.
CHECKED := --workspace --features fault-injection
# Arguments of the measurement: make bench BENCH_ARGS="--events 200000"
BENCH_ARGS ?=
# How long `make chaos` makes trouble (600) and `make reader` looks (60), and the seed of a run to be had again.
SECONDS ?=
SEED ?=
# How often `make stress` runs the tests.
RUNS ?=
# Another browser than `chromium` for the tests of the status page: make test CHROMIUM=google-chrome
CHROMIUM ?=
export CHROMIUM
BROWSER = $(or $(CHROMIUM),chromium)
# Where `make uw-websocket` writes its log file.
LOG_DIR ?= logs
IMAGE ?= uw-websocket
# More options of `docker build`: make image BUILD_OPTIONS="--network host"
BUILD_OPTIONS ?=

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
REVISION = $(shell git describe --always --dirty --exclude '*' 2>/dev/null || echo unknown)
SCRIPTS := .ci/run $(wildcard config/*.sh)

.PHONY: help test stress chaos reader screenshots lint audit demo uw-websocket bench drain profile image image-test clean

help: ## this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## every test; installs redis-server, chromium and redis for Python when they are missing
	@config/install-tools.sh cc redis-server python3-redis $(BROWSER)
	cargo test --doc $(CHECKED)
	@if cargo nextest --version >/dev/null 2>&1; then \
	  set -x; cargo nextest run $(CHECKED) $(if $(CI),--profile ci); \
	else \
	  echo "cargo-nextest is not installed: cargo test runs the tests"; \
	  set -x; cargo test --lib --bins --tests $(CHECKED) $(if $(CI),--no-fail-fast); \
	fi

stress: ## `make test` RUNS=10 times beside three busy loops on two processors: what failed, and how long each took
	cargo test --no-run $(CHECKED)
	@RUNS=$(or $(RUNS),10) exec config/stress.sh

chaos: ## everything that can go wrong, for SECONDS=600; SEED=7 does again what a run with that seed did
	@config/install-tools.sh cc redis-server
	CHAOS_SECONDS=$(or $(SECONDS),600) CHAOS_SEED=$(SEED) cargo test --features fault-injection --test it -- \
	  --ignored --exact --nocapture chaos::long_run

reader: ## a fetcher and a consumer of the snapshots, in Python, beside the service, for SECONDS=60
	@config/install-tools.sh cc redis-server python3-redis
	READER_SECONDS=$(or $(SECONDS),60) READER_SEED=$(SEED) cargo test --features fault-injection --test it -- \
	  --ignored --exact --nocapture rest_reader::long_run

screenshots: ## the pictures of the status page in docs/, in twelve minutes: they show ten of them
	@config/install-tools.sh cc redis-server pngquant $(BROWSER)
	cargo test --features fault-injection --test it -- --ignored --exact --nocapture page::screenshots::screenshots
	pngquant --force --ext .png --strip --speed 1 docs/status-page*.png

lint: ## form, clippy, documentation; scripts and dependencies when their tools are installed
	cargo fmt --all --check
	cargo clippy $(CHECKED) --all-targets -- -D warnings
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc $(CHECKED) --no-deps --document-private-items
	@if command -v shellcheck >/dev/null; then \
	  set -x; shellcheck $(SCRIPTS); \
	else \
	  echo "shellcheck is not installed: the scripts are not checked"; \
	fi
	@if cargo deny --version >/dev/null 2>&1; then \
	  set -x; cargo deny check bans licenses sources; \
	else \
	  echo "cargo-deny is not installed: bans, licences and sources of the dependencies are not checked"; \
	fi

audit: ## the dependencies against the published advisories (cargo-deny and the network)
	cargo deny check advisories

demo: ## the service against a simulated feed and a Redis of its own; Ctrl-C ends it and leaves nothing
	@exec config/demo.sh

uw-websocket: ## the service with the settings of .env, logging to the terminal and to logs/
	@if [ ! -f .env ]; then \
	  echo "there is no .env: cp config/example.env .env, then put your token there and set ENABLE_WEBSOCKET=true" >&2; \
	  exit 1; \
	fi
	@config/install-tools.sh cc
	cargo build --release --locked --bin uw-websocket
	@LOG_DIR="$(LOG_DIR)" exec cargo run --quiet --release --locked --bin uw-websocket

bench: ## how many events a second, and at what cost (BENCH_ARGS="--help" for its options)
	@config/install-tools.sh cc redis-server
	cargo bench --bench throughput -- $(BENCH_ARGS)

drain: ## how fast a backlog of a million events on disk empties once Redis is back
	@config/install-tools.sh cc redis-server
	cargo bench --bench throughput -- drain

profile: ## what the service spends its processor time on: a flame graph and the hottest functions, in target/profile
	@config/install-tools.sh cc redis-server perf
	RUSTFLAGS="$(RUSTFLAGS) -C force-frame-pointers=yes" cargo bench --profile profiling --bench throughput -- profile

image: ## the container image
	docker build $(BUILD_OPTIONS) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) -t $(IMAGE) .

image-test: ## the container image, built and tried for real (needs a running Docker engine)
	@config/install-tools.sh curl make redis-server
	@config/image-test.sh

clean: ## remove what was built; logs/, data/ and .env stay
	cargo clean
