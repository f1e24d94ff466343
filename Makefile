# Gwanmun: two commands do everything on a fresh Debian machine with Rust: `make demo` and `make test`.

CARGO ?= cargo
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PACKAGES := pkg-config gcc libssl-dev libxml2-dev libxmlsec1-dev
# What tests need beside: strace lets syncs fail, libfaketime sets the clock of one process.
TEST_PACKAGES := strace libfaketime
DEMO_DIR ?= var/demo
SERVE_DIR ?= var/serve

.DEFAULT_GOAL := help
.PHONY: help deps test-deps build demo demo-full serve test simulate differential fuzz soak planted conformance lint bench \
	bench-restart bench-large clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Installs the packages of $(1) that are missing.
define install
@missing=$$(for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'install ok installed' || echo $$p; done); \
if [ -n "$$missing" ]; then \
	echo "installing:" $$missing; \
	$(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
fi
endef

deps: ## install the system libraries that are missing
	$(call install,$(PACKAGES))

test-deps: deps
	$(call install,$(TEST_PACKAGES))

build: deps ## the release binary
	$(CARGO) build --release

demo: build ## one declaration from lodging to clearance, with real processes on loopback
	@rm -rf $(DEMO_DIR)
	target/release/gwanmun demo --directory $(DEMO_DIR)

demo-full: build ## twenty whole cases at once, with a process for each of seventeen agencies
	@rm -rf $(DEMO_DIR)-full
	target/release/gwanmun demo --rules routing-rules/kr-agencies --cases tests/samples/cases --deadline 5m --directory $(DEMO_DIR)-full

serve: build ## gateway and practice partners, left running
	target/release/gwanmun demo --keep --directory $(SERVE_DIR)

test: test-deps ## every test
	$(CARGO) test --all-targets

simulate: deps ## many more simulated runs and histories of cases, from where the same program was broken off (SEEDS=1000000 HISTORIES=20000)
	SIMULATION_SEEDS=$(or $(SEEDS),1000000) SIMULATION_PLACE=$(CURDIR)/target/simulation.seed $(CARGO) test --test simulation every_seed -- --nocapture
	CASE_HISTORIES=$(or $(HISTORIES),20000) $(CARGO) test --lib histories

differential: deps ## both signature engines over many more envelopes, and canonical forms against libxml2 (ENVELOPES=10000 TREES=100000)
	DIFFERENTIAL_ENVELOPES=$(or $(ENVELOPES),10000) $(CARGO) test --lib both_engines_say_the_same -- --nocapture
	DIFFERENTIAL_TREES=$(or $(TREES),100000) $(CARGO) test --lib canonical_forms_are_those -- --nocapture

# libFuzzer wants a nightly compiler and g++; what has been found is kept in target/fuzz-corpus for the next run.
fuzz: deps ## HTTP, MIME, XML, canonical form, signatures and CPA documents, fuzzed for a while each (FUZZ_SECONDS=300 FUZZ="http cpa")
	@test -x target/tools/bin/cargo-fuzz || $(CARGO) install cargo-fuzz --version 0.13.2 --locked --root target/tools
	$(CARGO) build
	sh tests/fuzz/seeds.sh target/debug/gwanmun target/fuzz-corpus
	@for target in $(or $(FUZZ),http mime xml c14n signature cpa); do \
		echo "== $$target"; \
		RUSTUP_TOOLCHAIN=nightly target/tools/bin/cargo-fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz $$target \
			target/fuzz-corpus/$$target -- -max_total_time=$(or $(FUZZ_SECONDS),300) -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
			-print_final_stats=1 || exit 1; \
	done

soak: test-deps ## many more real faults on the real program, from where it was broken off (KILLS=10000 SYNCS=200 STEPS=401 STOPS=200 LONG_STOPS=5 LONG_SECONDS=150 CLOCK_STEPS=200 FLIP_STRIDE=64)
	SOAK_PLACE=$(CURDIR)/target/soak KILLS=$(or $(KILLS),10000) SYNCS=$(or $(SYNCS),200) STEPS=$(or $(STEPS),401) STOPS=$(or $(STOPS),200) \
	LONG_STOPS=$(or $(LONG_STOPS),5) LONG_SECONDS=$(or $(LONG_SECONDS),150) CLOCK_STEPS=$(or $(CLOCK_STEPS),200) \
	$(CARGO) test --test end_to_end real_faults -- --nocapture --test-threads=1
	FLIP_STRIDE=$(or $(FLIP_STRIDE),64) $(CARGO) test --test simulation flips -- --nocapture
	rm -rf target/soak

bench-restart: deps ## a start with a million deliveries pending, and a store of ten million finished messages (PENDING= FINISHED= PURGED=)
	PENDING=$(or $(PENDING),1000000) FINISHED=$(or $(FINISHED),10000000) PURGED=$(or $(PURGED),9700000) SMALL=10000 $(CARGO) test --release --test end_to_end restart:: -- --nocapture

bench-large: deps ## a large attachment to three agencies, many connections, a dead partner: memory and pace (LARGE_MIB= WAITING=)
	LARGE_MIB=$(or $(LARGE_MIB),1024) WAITING=$(or $(WAITING),100000) $(CARGO) test --release --test end_to_end -- \
	  --nocapture --test-threads=1 large::a_ crowd::

planted: test-deps ## faults that are planted on purpose: which check finds each, and after how many states or seeds
	$(CARGO) test --test simulation a_planted -- --nocapture --test-threads=1

conformance: deps ## docs/conformance.md, written from what the tests say they show
	CONFORMANCE_PAGE=write $(CARGO) test --test pages conformance

lint: deps ## format, clippy, documentation
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --quiet

bench: build ## open-loop load on the real binary, with the crypto floor of this machine
	target/release/gwanmun bench

clean: ## remove what was built
	$(CARGO) clean
