# make demo   the main job on data it makes: tune -> cv -> run, then retrain and test the best
# make test   every test that needs nothing but this repository
# make bench  benches: ratios to what they are compared with, measured side by side in one run
# make bench-peers   the engine beside PyTorch, Lightning, Optuna and Ray Tune; ARGS="--only run --pairs 7", ARGS=--list
# make lint   clippy and rustdoc, warnings are errors        make fmt   formatting        make deny   licences and advisories
#
# Both set up what they need: libtorch is fetched once, and where it cannot be had they say so and use the pure-Rust
# backend. They build the same profile with the same features, so that the second of them has little left to build.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help libtorch demo test bench bench-peers lint fmt deny

DEMO_DIR ?= demo

# Asked when a recipe runs, after `libtorch` has done what it can.
have_libtorch = scripts/libtorch.sh --path > /dev/null 2>&1
features = $$($(have_libtorch) && echo --features engine-tests/tch,engine-benches/tch)

help:
	@sed -n '1,5s/^# //p' Makefile

libtorch:
	@scripts/libtorch.sh || echo "going on without libtorch, on the pure-Rust backend"

demo: libtorch
	cargo build --workspace $(features)
	scripts/demo.sh target/debug/engine $(DEMO_DIR) $$($(have_libtorch) && echo tch || echo flex)

test: libtorch
	cargo test --workspace $(features)

bench: libtorch
	cargo bench --workspace $(features) --bench leases --bench workers --bench messages --bench overlap --bench tracking $$($(have_libtorch) && echo --bench exchange)

# Half an hour on two cores. What it measures must be the only thing that runs.
bench-peers: libtorch
	@$(have_libtorch) || { echo "bench-peers needs libtorch: the engine is compared with PyTorch" >&2; exit 3; }
	scripts/python-peers.sh bench
	cargo build --release --workspace $(features)
	cargo bench --workspace $(features) --bench messages --no-run
	python3 benches/peers/compare.py $(ARGS)

lint: libtorch
	cargo clippy --workspace --all-targets $(features) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps $(features)

fmt:
	cargo fmt --all --check

deny:
	cargo deny check
