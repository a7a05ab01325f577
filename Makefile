# pyrt: the commands a user and a contributor need. What each does, and why, is in tools/.
#
#   make demo    a container, run by an unprivileged user, on a machine that had nothing of it
#   make test    every test
#   make bench   the promises, measured against podman, containerd, runc and crun
#   make build   .venv with pyrt and pyrt-runtime      make lint   what the style tests check, faster
#
# Each can be repeated: what is there already is not made again.

SHELL := /bin/sh
.DEFAULT_GOAL := build
.PHONY: build demo test bench lint clean

SOURCES := $(shell find pyrt rust -name target -prune -o -type f ! -name '*.pyc' ! -name '*.so' ! -path '*/_bin/*' -print) \
	Cargo.toml Cargo.lock pyproject.toml README.md

build: .venv/.installed

.venv/.installed: $(SOURCES) tools/environment
	@tools/packages build run
	@tools/environment install

.venv/.dev: .venv/.installed pyproject.toml
	@tools/environment dev

demo: build
	@tools/as-user sh -c "$$(cat tools/demo)" tools/demo "$$(readlink -f .venv)/bin/pyrt"

test: .venv/.dev
	@tools/packages build run test
	@tools/test

bench: .venv/.dev
	@tools/packages build run bench
	@tools/bench

lint: .venv/.dev
	@tools/lint

clean:
	rm -rf target .venv pyrt/_bin pyrt/*.so
