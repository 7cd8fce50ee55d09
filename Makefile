# make demo   the main job: tune -> cv -> run, on data it makes
# make test   everything that needs nothing but this repository
# Both fetch libtorch first and fall back to the pure-Rust backend, saying so, where it cannot be had.

SHELL := /bin/bash
.DEFAULT_GOAL := help
DEMO ?= demo

# `tch` where scripts/libtorch.sh has put libtorch, else nothing: the default feature `flex` is always there.
features = $(shell scripts/libtorch.sh --path > /dev/null 2>&1 && echo tch)
cargo_features = $(if $(features),--features $(features))

.PHONY: help demo test shared libtorch fmt lint deny clean-demo

help:
	@sed -n '1,3s/^# //p' Makefile

libtorch:
	@scripts/libtorch.sh || echo "no libtorch (see above): going on with the pure-Rust backend"

demo: libtorch
	cargo build --release --package engine-cli $(if $(features),--features tch)
	scripts/demo.sh target/release/engine $(DEMO) $(if $(features),tch,flex)

test: libtorch
	cargo test --workspace $(if $(features),--features engine-tests/tch$(comma)engine-cli/tch$(comma)engine/tch)

comma := ,

fmt:
	cargo fmt --all --check

lint: libtorch
	cargo clippy --workspace --all-targets $(if $(features),--features engine-tests/tch$(comma)engine-cli/tch$(comma)engine/tch) -- -D warnings

deny:
	cargo deny check
