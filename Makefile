# The commands that a newcomer needs. `make help` lists them.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# Where cargo puts what it builds; the lab starts the products from there.
TARGET := $(or $(CARGO_TARGET_DIR),target)
export KEEP PEER
# Which Kubernetes clusters are made of: 1.32, 1.33 or 1.34 (tests/src/cluster/release.rs).
ifdef KUBERNETES
export LATEEN_KUBERNETES := $(KUBERNETES)
endif

.PHONY: help demo test bench scale images images-twice push cluster conformance upgrade-test soak fuzz crds fmt lint deny build clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

demo: ## Build everything and run a two-node mesh on this machine (KEEP=1 leaves it running)
	@scripts/setup.sh demo
	scripts/step.sh "Building (release)" $(CARGO) build --release --locked --bins
	exec $(TARGET)/release/demo --products $(TARGET)/release $(if $(KEEP),--keep)

test: ## Format, lints, dependency rules and every test
	@scripts/setup.sh test
	scripts/step.sh "Format" $(CARGO) fmt --all --check
	scripts/step.sh "Lints (warnings denied)" $(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	scripts/step.sh "Dependency rules" scripts/deny.sh
	scripts/step.sh "Building products and tests" $(CARGO) build --workspace --locked --bins --tests
	scripts/step.sh "Building the CNI plugin, static" scripts/plugin.sh dev
	CARGO=$(CARGO) scripts/step.sh "Tests" scripts/tests.sh

bench: ## Measure the mesh against direct TCP, and against PEER=/path/to/ztunnel (a table; JSON in out/)
	@scripts/setup.sh bench
	scripts/step.sh "Building (dist)" scripts/dist.sh build --bins
	exec $(TARGET)/dist/bench --products $(TARGET)/dist $(if $(PEER),--peer $(PEER)) $(BENCH_ARGS)

scale: ## Measure the control plane beside a real API server with 10,000 pods (a table; JSON in out/; root, Go)
	@scripts/setup.sh cluster
	scripts/step.sh "Building (dist)" scripts/dist.sh build --bin lateen-controlplane --bin scale
	exec $(TARGET)/dist/scale --products $(TARGET)/dist --tools $(TARGET)/cluster $(SCALE_ARGS)

images: ## Container images of the products, made without a container engine (out/images)
	@scripts/setup.sh images
	scripts/step.sh "Building (dist)" scripts/dist.sh build --bins
	scripts/step.sh "Building the CNI plugin, static" scripts/plugin.sh dist
	exec $(TARGET)/dist/images --products $(TARGET)/dist $(IMAGES_ARGS)

images-twice: ## The same, built in two places and compared byte by byte (two whole builds)
	scripts/images-twice.sh $(TARGET)/twice

push: ## The images, pushed to a registry: make push HUB=registry.example.com/mesh
	@$(MAKE) images IMAGES_ARGS='--push $(if $(HUB),--hub $(HUB)) $(IMAGES_ARGS)'

cluster: ## Kubernetes of two nodes on this machine with the mesh and a small application (root, Go; BARE=1 without them; KUBERNETES=1.32)
	@scripts/setup.sh cluster
	scripts/step.sh "Building (release)" $(CARGO) build --release --locked --bins
	scripts/step.sh "Building the CNI plugin, static" scripts/plugin.sh release
	exec $(TARGET)/release/cluster --tools $(TARGET)/cluster $(if $(BARE),--bare) $(CLUSTER_ARGS)

conformance: ## Gateway API's conformance suite against the mesh, on such a cluster (report in out/conformance)
	@scripts/setup.sh cluster
	scripts/step.sh "Building (release)" $(CARGO) build --release --locked --bins
	scripts/step.sh "Building the CNI plugin, static" scripts/plugin.sh release
	exec $(TARGET)/release/conformance --tools $(TARGET)/cluster $(CONFORMANCE_ARGS)

upgrade-test: ## The upgrade from an earlier commit's own programs, under load (root, Go, git's history; tests/cluster/earlier)
	@scripts/setup.sh cluster
	scripts/step.sh "Building the earlier version" scripts/earlier.sh $(TARGET)/earlier
	scripts/step.sh "Building products and the test" $(CARGO) build --workspace --locked --bins --test cluster
	scripts/step.sh "Building the CNI plugin, static" scripts/plugin.sh dev
	export LATEEN_EARLIER=$$(realpath $(TARGET))/earlier/target/debug
	$(CARGO) test --workspace --locked --test cluster -- an_earlier_version

soak: ## What the cluster tests do, again and again under load: make soak MINUTES=60 (root, Go)
	@scripts/setup.sh cluster
	scripts/step.sh "Building products and tests" $(CARGO) build --workspace --locked --bins --test cluster
	scripts/step.sh "Building the CNI plugin, static" scripts/plugin.sh dev
	$(CARGO) test --workspace --locked --test cluster -- --soak $(or $(MINUTES),60)

fuzz: ## Every fuzz target for so many seconds each: make fuzz SECONDS_EACH=10 (a C++ compiler)
	scripts/fuzz.sh $(or $(SECONDS_EACH),10)

crds: ## Write the charts' CRDs anew, from the types that objects are read into
	$(CARGO) run --locked --package controlplane-crds --bin crds

fmt: ## Format the sources
	$(CARGO) fmt --all

lint: ## Clippy alone, warnings denied
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

deny: ## Dependency rules alone
	scripts/deny.sh

build: ## The binaries as they are shipped
	scripts/dist.sh build --bins

clean: ## Remove everything that was built
	$(CARGO) clean
	rm -rf out
