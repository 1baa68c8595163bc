# The commands of the README. Each works on a fresh machine: what it needs, it installs or builds.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

CACHE   := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/matverse
IMAGE   := target/image/matverse.tar
TRIPLE  := x86_64-unknown-linux-gnu
# A static binary needs its own build of every dependency, so it is kept across checkouts.
STATICS := $(CACHE)/target-image
STATIC  := $(STATICS)/$(TRIPLE)/release/matverse

.PHONY: help test demo unit e2e lint fmt crds image campaign mutants fuzz coverage bench-speed bench-quality bench-scale up down clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

test: lint unit e2e ## everything that CI runs

demo: image ## a service under load, run by the operator, on a real control plane
	@PATH="$(dir $(STATIC)):$$PATH" e2e/demo $(IMAGE)

# Many tests of the operator wait, so there are more of them at once than cores.
unit: ## pure rooms, the scripted API server and Prometheus, and the ledger's formats against other people's code
	MATVERSE_MERKLE_VECTORS="$$(e2e/vectors target/vectors)" RUST_TEST_THREADS=8 cargo test --locked
	cd e2e/auditor && go test ./...
	cd e2e && go test ./cmd/load ./cmd/shop

e2e: image ## the real control plane: up, every scenario, down
	@PATH="$(dir $(STATIC)):$$PATH" e2e/run $(IMAGE)

campaign: ## leaders killed, paused and rivalled at every write; DECISIONS=N SEED=S
	@e2e/campaign

lint: ## format and lints
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

fmt: ## format
	cargo fmt

crds: ## write crds/ and the chart's copy from the types
	MATVERSE_BLESS=1 cargo test --locked --test api definitions

image: ## the operator's image, as an archive, without a container engine
	@mkdir -p $(STATICS)
	@# Cargo compares times alone: what another checkout built later would be taken for this one's.
	@[[ $$(cat $(STATICS)/built-from 2>/dev/null) == "$(CURDIR)" ]] || \
	  cargo clean --quiet --locked --release --target $(TRIPLE) --target-dir $(STATICS) -p matverse
	@echo "$(CURDIR)" >$(STATICS)/built-from
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target $(TRIPLE) --target-dir $(STATICS)
	@mkdir -p $(dir $(IMAGE))
	e2e/image -o $(IMAGE) -ref localhost/matverse:e2e -entrypoint /matverse -user 65532:65532 $(STATIC):/matverse

mutants: ## seeded bugs, each of which a named test must notice
	@tests/mutants/run

fuzz: ## every parser against random input, FUZZ_SECONDS each (60); needs nightly, installs cargo-fuzz
	@fuzz/run $(or $(FUZZ_SECONDS),60)

coverage: ## line coverage of the pure rooms
	@.ci/coverage

bench-speed: ## the hot step of the filters, and a turn of orient and decide
	cargo bench --locked --bench speed

bench-quality: ## canary, nab, faro, rushes, incidents, calibration; DATA=DIR names the data
	for name in canary nab faro rushes incidents calibration; do cargo bench --locked --bench $$name -- --data $(or $(DATA),../shared/data); done

bench-scale: image ## cost at 10, 100, 1,000 resources on the test cluster; COUNTS="…"
	@e2e/scale $(IMAGE) $(COUNTS)

up: ## the test cluster
	@e2e/cluster up && e2e/prometheus up

down: ## and away with it
	@e2e/prometheus down && e2e/cluster down

clean: ## this checkout's builds
	cargo clean
