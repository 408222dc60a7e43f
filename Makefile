# Commands for users and developers: `make help`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Checks compile fault injection in; binaries that are run or shipped have none.
CHECKED := --workspace --features fault-injection
# Arguments of the measurement: make bench BENCH_ARGS="--events 200000"
BENCH_ARGS ?=
# Duration of `make chaos` (600) and `make reader` (60), and the seed of a run to repeat.
SECONDS ?=
SEED ?=
# Events per second that `make profile` sends; as many as the service takes if empty.
RATE ?=
# Duration of `make soak`, and samples of an earlier run to judge.
HOURS ?=
SAMPLES ?=
# The Redis of `make chaos`: single, sentinel, or cluster; and INSTANCES=2, an owner and a stand-by with a single one.
REDIS ?=
INSTANCES ?=
CHAOS_OF_single := chaos::long_run
CHAOS_OF_sentinel := failover::run::long_run
CHAOS_OF_cluster := cluster::run::long_run
# Duration of `make fuzz` (10), a single target of it, and a kept input to repeat.
MINUTES ?=
TARGET ?=
INPUT ?=
# KEEP=1 writes each input to its file before it is tried: for one that ends the process.
KEEP ?=
# Servers of `make flavours`, by the names in config/flavours.sh; all if empty.
ONLY ?=
# How often `make stress` runs the tests.
RUNS ?=
# Tests that run in parallel: most of them wait most of the time. cargo-nextest limits those of the whole service by itself.
TEST_THREADS ?= $(shell echo $$((2 * $$(nproc))))
CARGO_TEST_THREADS ?= $(shell echo $$((1 + $$(nproc))))
# Another browser than `chromium` for the tests of the status page: make test CHROMIUM=google-chrome
CHROMIUM ?=
export CHROMIUM
BROWSER = $(or $(CHROMIUM),chromium)
# Where `make install` puts the binary: $(PREFIX)/bin, below $(DESTDIR) for packagers.
PREFIX ?= /usr/local
DESTDIR ?=
BINARY = $(or $(CARGO_TARGET_DIR),target)/release/uw-websocket
# Where `make uw-websocket` writes its log file.
LOG_DIR ?= logs
IMAGE ?= uw-websocket
# More options of `docker build`: make image BUILD_OPTIONS="--network host"; --build-arg BUILD_IMAGE=… is another base image.
BUILD_OPTIONS ?=

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
REVISION = $(shell git describe --always --dirty --exclude '*' 2>/dev/null || echo unknown)
SCRIPTS := .ci/run $(wildcard config/*.sh)

.PHONY: help build install test stress chaos flavours soak fuzz symbols reader screenshots lint audit demo uw-websocket bench drain bench-fill profile image image-test clean

help: ## print this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## run every test; installs redis-server, Chromium and redis for Python if they are missing
	@config/install-tools.sh cc redis-server python3-redis $(BROWSER)
	cargo test --doc $(CHECKED)
	@if cargo nextest --version >/dev/null 2>&1; then \
	  set -x; cargo nextest run $(CHECKED) --test-threads $(TEST_THREADS) $(if $(CI),--profile ci); \
	else \
	  echo "cargo-nextest is not installed: cargo test runs the tests"; \
	  set -x; cargo test --lib --bins --tests $(CHECKED) $(if $(CI),--no-fail-fast) -- --test-threads $(CARGO_TEST_THREADS); \
	fi

stress: ## run `make test` RUNS=10 times beside three busy loops on two processors; report failures and durations
	cargo test --no-run $(CHECKED)
	@RUNS=$(or $(RUNS),10) exec config/stress.sh

chaos: ## inject all faults at once for SECONDS=600; SEED=7 repeats that run; REDIS=sentinel or cluster: failovers; INSTANCES=2: takeovers
	@config/install-tools.sh cc redis-server
	CHAOS_SECONDS=$(or $(SECONDS),600) CHAOS_SEED=$(SEED) cargo test --features fault-injection --test it -- \
	  --ignored --exact --nocapture $(if $(filter 2,$(INSTANCES)),chaos::long_run_of_two,$(CHAOS_OF_$(or $(REDIS),single)))

flavours: ## test the basic promises on every Redis-compatible server that can be installed; ONLY="valkey-9 redis"
	@config/install-tools.sh cc redis-server
	@exec config/flavours.sh $(ONLY)

soak: ## run the demo's parts for HOURS=0.17 with restarts of Redis and the service; fails on growth; SAMPLES=file evaluates an earlier run
	@config/install-tools.sh cc redis-server
	SOAK_HOURS=$(HOURS) SOAK_SAMPLES=$(abspath $(SAMPLES)) cargo test --features fault-injection --test it -- \
	  --ignored --exact --nocapture soak::long_run

fuzz: ## fuzz every parser for MINUTES=10; TARGET=resp one parser, SEED=7 other inputs, INPUT=file one of them
	@config/install-tools.sh cc
	FUZZ_MINUTES=$(or $(MINUTES),10) FUZZ_SEED=$(SEED) FUZZ_TARGET=$(TARGET) FUZZ_INPUT=$(INPUT) FUZZ_KEEP=$(KEEP) \
	  cargo test --profile fuzz --test fuzz -- --ignored --exact --nocapture $(if $(INPUT),one_input,long_run)

symbols: ## send two million symbols that occur once each, and write the backlog; needs 4 GB of memory for Redis
	@config/install-tools.sh cc redis-server
	cargo test --release --features fault-injection --test it -- \
	  --ignored --exact --nocapture symbols::two_million_one_off_symbols

reader: ## run a fetcher and a consumer of the snapshots, in Python, beside the service, which fills gaps, for SECONDS=60
	@config/install-tools.sh cc redis-server python3-redis
	READER_SECONDS=$(or $(SECONDS),60) READER_SEED=$(SEED) cargo test --features fault-injection --test it -- \
	  --ignored --exact --nocapture rest_reader::long_run

screenshots: ## take the pictures of the status page in docs/; takes twelve minutes, because they show the last ten
	@config/install-tools.sh cc redis-server pngquant $(BROWSER)
	cargo test --features fault-injection --test it -- --ignored --exact --nocapture page::screenshots::screenshots
	pngquant --force --ext .png --strip --speed 1 docs/status-page*.png

lint: ## check formatting, clippy and rustdoc; scripts and dependencies if their tools are installed
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

audit: ## check the dependencies against the published advisories (needs cargo-deny and the network)
	cargo deny check advisories

build: ## build the release binary, target/release/uw-websocket
	@config/install-tools.sh cc
	cargo build --release --locked --bin uw-websocket
	@echo "built $(BINARY)"

install: ## install the binary of `make build` as PREFIX/bin/uw-websocket (PREFIX=/usr/local)
	@if [ ! -x "$(BINARY)" ]; then echo "there is no $(BINARY): run \`make build\` first" >&2; exit 1; fi
	install -D -m 755 "$(BINARY)" "$(DESTDIR)$(PREFIX)/bin/uw-websocket"

demo: ## run the service with a simulated feed and a private Redis; Ctrl-C ends all and leaves nothing behind
	@exec config/demo.sh

uw-websocket: ## run the service with the settings of .env; logs to the terminal and to logs/
	@if [ ! -f .env ]; then \
	  echo "there is no .env: cp config/example.env .env, then put your token there and set ENABLE_WEBSOCKET=true" >&2; \
	  exit 1; \
	fi
	@config/install-tools.sh cc
	cargo build --release --locked --bin uw-websocket
	@LOG_DIR="$(LOG_DIR)" exec cargo run --quiet --release --locked --bin uw-websocket

bench: ## measure events per second and their cost (BENCH_ARGS="--help" lists the options)
	@config/install-tools.sh cc redis-server
	cargo bench --bench throughput -- $(BENCH_ARGS)

drain: ## measure how fast a backlog of a million events on disk is written once Redis is back
	@config/install-tools.sh cc redis-server
	cargo bench --bench throughput -- drain

bench-fill: ## measure what a running fill costs the live events, beside a service without one (BENCH_ARGS="--help")
	@config/install-tools.sh cc redis-server
	cargo bench --bench throughput -- fill $(BENCH_ARGS)

profile: ## sample where the service spends CPU time, at full speed or RATE=5000: a flame graph and the hottest functions, in target/profile
	@config/install-tools.sh cc redis-server perf
	RUSTFLAGS="$(RUSTFLAGS) -C force-frame-pointers=yes" cargo bench --profile profiling --bench throughput -- profile $(if $(RATE),--at $(RATE))

image: ## build the container image
	docker build $$(config/base-images.sh) $(BUILD_OPTIONS) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) -t $(IMAGE) .

image-test: ## build the container image and test it (needs a running Docker engine)
	@config/install-tools.sh curl make redis-server
	@config/image-test.sh

clean: ## remove build output; logs/, data/ and .env stay
	cargo clean
