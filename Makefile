# Every habitual command. `make demo` and `make test` need nothing but Rust, a C compiler and make:
# they install what else they need from the distribution.

# sshd, iptables and ip make the lab; protoc and its standard types build the etcd client; ZooKeeper runs
# on the machine's Java.
PACKAGES := openssh-server iptables iproute2 protobuf-compiler libprotobuf-dev
PACKAGES += $(shell [ -x /usr/bin/java ] || echo default-jre-headless)

# For the tests: xmllint checks junit.xml; Chromium looks at the pages, with a font to draw them, driven by
# the machine's Node.js.
test: PACKAGES += libxml2-utils chromium fonts-dejavu-core
test: PACKAGES += $(shell command -v npm >/dev/null || echo nodejs npm)
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E)

.PHONY: help demo test lint bench fuzz soak build packages clean

help:
	@echo 'make demo    partition a real Consul cluster for 30 s and judge its locks'
	@echo 'make test    every check: format, lints, unit tests, tests on the lab'
	@echo 'make bench   what recording, analysis and set-up cost; `locktest bench` measures locks'
	@echo 'make fuzz    the long search for a wrong verdict: a million histories of each model'
	@echo 'make soak    the long runs: every store, recipe, workload, version and fault; a hundred'
	@echo '             control nodes that are killed; the catalogue, twice'

demo: build
	$(SUDO) target/release/locktest --backend consul --nemesis partition --time-limit 30s

build: packages
	cargo build --release

test: packages lint
	@[ "$$(id -u)" = 0 ] || { echo 'the tests raise labs, which needs root: sudo -E make test'; exit 1; }
	cargo test --workspace --doc
	cargo test --workspace --lib --bins --tests

lint: packages
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

bench: packages
	cargo bench -p locktest-workloads --bench recorded_acquire
	cargo bench -p locktest-analyzer --bench analysis
	cargo bench -p locktest-checker --bench locks
	cargo bench -p locktest-checker --bench search
	cargo bench -p locktest-checker --bench stream
	cargo bench -p locktest-formats --bench run_stream
	cargo bench -p locktest-reports --bench render
	$(SUDO) cargo bench -p locktest-skew --bench clock_reads
	cargo bench -p locktest --bench recording
	$(SUDO) cargo bench -p locktest --bench client_latency
	$(SUDO) cargo bench -p locktest --bench patched_server
	$(SUDO) cargo bench -p locktest --bench cluster_ready

# The parsers have targets of their own: see CONTRIBUTING.md.
fuzz: packages
	LOCKTEST_FUZZ_HISTORIES=$${LOCKTEST_FUZZ_HISTORIES:-1000000} \
	  cargo test --release -p locktest-checker --test fuzz -- --nocapture

soak: build
	$(SUDO) env LOCKTEST_MATRIX=all cargo test --release --test matrix --test sim_bugs --test faults -- --nocapture
	$(SUDO) env LOCKTEST_TEST_ALL_VERSIONS=1 cargo test --release -p locktest-cluster --test servers --test redis
	$(SUDO) env LOCKTEST_CLOCK_CYCLES=95 cargo test --release -p locktest-skew --test servers -- --nocapture
	$(SUDO) env LOCKTEST_CHAOS_MOMENTS=100 cargo test --release --test chaos -- --nocapture
	$(SUDO) scripts/soak-faults target/release/locktest
	$(SUDO) scripts/soak target/release/locktest
	$(SUDO) scripts/soak-catalog target/release/locktest

# A server package must not leave its service running on this machine, so for the time of the
# installation services are told not to start.
packages:
	@missing=''; \
	for package in $(PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'install ok installed' \
	    || missing="$$missing $$package"; \
	done; \
	if [ -z "$$missing" ] && [ -n "$$(apt-get indextargets)" ]; then exit 0; fi; \
	set -e; \
	$(SUDO) apt-get update -qq; \
	[ -n "$$missing" ] || exit 0; \
	echo "installing$$missing"; \
	policy=/usr/sbin/policy-rc.d; \
	if [ ! -e $$policy ]; then \
	  printf '#!/bin/sh\nexit 101\n' | $(SUDO) tee $$policy >/dev/null; \
	  $(SUDO) chmod 755 $$policy; \
	  trap '$(SUDO) rm -f '$$policy EXIT; \
	fi; \
	DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing

clean:
	cargo clean
