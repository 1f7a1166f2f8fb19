# `make run` and `make test` do all the set-up on a Debian machine that has
# Rust (rustup), Go and Node. Everything else here is a part of them.

BPF_LINKER := 0.13.0
CARGO_DENY := 0.20.2
BUF        := 1.75.0
CARGO_FUZZ := 0.13.2
GRPCIO     := 1.85.3

FUZZ_SECONDS ?= 60
SOAK_MINUTES ?= 30
# Inputs are as long as the bounds of what they reach: patterns of a request have
# 16 KiB, and what is longer must be refused.
FUZZ_LONG    := filter filter_text cel selector request policy compile apply
FUZZ_TARGETS := decode dns sni replay_json replay_pcap filter filter_text cel selector flow_proto record request http2 config identities policy compile apply

TOOLS := $(CURDIR)/.tools
BIN   := $(TOOLS)/bin
# With the gRPC of Python, for the tests.
PYTHON := $(CURDIR)/target/python
GO    := integration-tests/go
COLLECTOR := integration-tests/collector
SUDO  := $(if $(filter 0,$(shell id -u)),,sudo)
AS_ROOT := $(if $(SUDO),sudo --preserve-env env "PATH=$$PATH")
LLVM  := /usr/lib/llvm-22

# What bpf-linker is built with.
BUILD_PACKAGES := llvm-22-dev libpolly-22-dev zlib1g-dev libzstd-dev libxml2-dev build-essential
# Traffic, captures and inspection for the tests.
TEST_PACKAGES := iproute2 iputils-ping ethtool nftables tcpdump tshark iperf3 \
	dnsmasq-base dnsutils curl python3 python3-venv bpftool procps util-linux valgrind dropbear-bin
# Engines of containers, by what they install. Those of others that are there are as good. Docker is only unpacked:
# installed, it would start, and change the rules of this host's firewall. That of Debian 13: the one before knows
# no CAP_BPF, and has no compose.
ENGINE_TOOLS := containerd:containerd runc:runc podman:podman conmon:conmon busybox:busybox-static \
	newuidmap:uidmap slirp4netns:slirp4netns
DOCKER := $(TOOLS)/docker-trixie
# Prometheus likewise, which would be a service.
PROMETHEUS := $(TOOLS)/prometheus
# A system that a test boots: Debian with systemd and nginx, unpacked once.
SYSTEM := $(TOOLS)/systemd
SYSTEM_PACKAGES := debootstrap systemd-container
SYSTEM_HAS := systemd-sysv,dbus,libpam-systemd,python3-minimal,nginx-light
# Other kernels, booted without being installed.
KERNEL_PACKAGES := qemu-system-x86 busybox-static cpio xz-utils iproute2 nftables bpftool util-linux python3
# Load for the benchmark.
BENCH_PACKAGES := wrk nginx-light

export SEXTANT_TOOLS := $(BIN)

.PHONY: run release test setup setup-build setup-test hubble collector lint built allocator optimized unit differential integration kernels kernels-changed kubernetes demo bench \
	fuzz soak image clean

# The way to the first flow is short: no link-time optimisation, and the real
# `hubble` is built beside the running daemon.
run: setup-build ## Build sextantd and run it on this host's interfaces.
	@echo "building sextantd and sextant (a few minutes the first time)"
	cargo build --profile quick --package sextantd --package sextant
	@mkdir -p $(BIN)
	@if [ ! -x $(BIN)/hubble ]; then \
		echo "building the real hubble meanwhile; its log is $(TOOLS)/hubble.log"; \
		( $(MAKE) --no-print-directory hubble >$(TOOLS)/hubble.log 2>&1 && \
			echo "the real one is there now:  $(BIN)/hubble observe --follow" || \
			echo "the real hubble was not built; see $(TOOLS)/hubble.log" ) & \
	fi
	@echo
	@echo "In another terminal:  target/quick/sextant observe --follow"
	@echo "or the real one:      $(BIN)/hubble observe --follow"
	@echo
	$(SUDO) ./target/quick/sextantd

# Cargo leaves line tables in the program, whatever `split-debuginfo` says. Names of
# functions stay, for perf and backtraces; lines are found in NAME.debug by a link.
define lines_apart
	@if readelf --section-headers --wide $(1) | grep -q ' \.debug_info'; then \
		objcopy --only-keep-debug --compress-debug-sections $(1) $(1).debug && \
		objcopy --strip-debug --add-gnu-debuglink=$(1).debug $(1); \
	fi
endef

release: setup-build ## The programs as they are installed, debug information apart.
	cargo build --release --package sextantd --package sextant
	$(call lines_apart,target/release/sextantd)
	$(call lines_apart,target/release/sextant)

# Each part by itself, so that it is told how long it took.
test: ## Install what is missing; run every test and lint.
	@times=; for part in setup lint built unit differential integration; do \
		echo "== $$part"; began=$$(date +%s); \
		$(MAKE) --no-print-directory $$part || { echo "== $$part failed"; exit 1; }; \
		times="$$times $$part $$(($$(date +%s) - began)) s,"; \
	done; \
	echo "== all tests and lints passed:$${times%,}"

setup: setup-build setup-test hubble collector

# $(1): packages. Nothing is asked of apt when all are there.
define install
	@missing=; for package in $(1); do \
		dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "installing:$$missing"; \
		$(SUDO) apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
endef

setup-build:
	$(call install,$(BUILD_PACKAGES))
	@rustup component list --installed | grep -q '^rust-src' || rustup component add rust-src
	@bpf-linker --version 2>/dev/null | grep -q '$(BPF_LINKER)' || { echo "building bpf-linker (once, a minute or two)"; \
		LLVM_PREFIX=$(LLVM) cargo install --quiet --locked --version $(BPF_LINKER) \
		--no-default-features --features llvm-22 bpf-linker; }

absent = $(foreach one,$(1),$(if $(shell command -v $(firstword $(subst :, ,$(one)))),,$(lastword $(subst :, ,$(one)))))

setup-test:
	$(call install,$(TEST_PACKAGES) $(SYSTEM_PACKAGES) $(call absent,$(ENGINE_TOOLS)))
	@test -x $(DOCKER)/usr/sbin/dockerd || integration-tests/unpack.sh trixie $(DOCKER) docker.io docker-cli docker-compose
	@test -e $(SYSTEM)/.complete || { echo "unpacking a system to boot (once, a minute)"; $(SUDO) rm -rf $(SYSTEM) && \
		$(SUDO) debootstrap --variant=minbase --include=$(SYSTEM_HAS) bookworm $(SYSTEM) >$(TOOLS)/systemd.log 2>&1 && \
		$(SUDO) touch $(SYSTEM)/.complete || { tail -5 $(TOOLS)/systemd.log; exit 1; }; }
	@test -x $(BIN)/prometheus || { mkdir -p $(PROMETHEUS) $(BIN) && cd $(PROMETHEUS) && \
		{ apt-get download -qq prometheus 2>/dev/null || { $(SUDO) apt-get update -qq && apt-get download -qq prometheus; } } && \
		dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb && \
		mv usr/bin/prometheus usr/bin/promtool $(BIN) && rm -rf $(PROMETHEUS); }
	@cargo deny --version 2>/dev/null | grep -q '$(CARGO_DENY)' || \
		cargo install --quiet --locked --version $(CARGO_DENY) cargo-deny
	@test -x $(TOOLS)/node_modules/.bin/buf || \
		npm install --silent --no-save --prefix $(TOOLS) @bufbuild/buf@$(BUF)
	@$(PYTHON)/bin/python -c 'import grpc; assert grpc.__version__ == "$(GRPCIO)"' 2>/dev/null || \
		{ python3 -m venv --clear $(PYTHON) && $(PYTHON)/bin/pip install --quiet grpcio==$(GRPCIO); }

# The real clients, at the versions that the Go module pins.
hubble: $(BIN)/.built
$(BIN)/.built: $(GO)/go.mod $(GO)/go.sum
	@mkdir -p $(BIN)
	cd $(GO) && CGO_ENABLED=0 go build -ldflags='-s -w' -o $(BIN) \
		github.com/cilium/cilium/hubble \
		github.com/cilium/cilium/hubble-relay \
		github.com/fullstorydev/grpcurl/cmd/grpcurl
	@touch $@

# The real OpenTelemetry Collector, of the parts that tests need.
collector: $(BIN)/otel-collector
$(BIN)/otel-collector: $(COLLECTOR)/main.go $(COLLECTOR)/go.mod $(COLLECTOR)/go.sum
	@mkdir -p $(BIN)
	cd $(COLLECTOR) && CGO_ENABLED=0 go build -ldflags='-s -w' -o $(BIN)/otel-collector .
	@touch $@

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	cargo deny --log-level error check bans licenses sources
	$(TOOLS)/node_modules/.bin/buf lint
	cd $(GO) && test -z "$$(gofmt -l . ../collector)" && CGO_ENABLED=0 go vet ./...
	cd docker/prometheus && $(BIN)/promtool check config prometheus.yml && $(BIN)/promtool test rules tests.yml

# All that is tested, by one call: each other choice of packages has other features, for
# which most dependencies would be compiled once more.
PROGRAMS := target/tests.json
built:
	@mkdir -p target
	cargo build --workspace --tests --example judge --bin sextantd --bin sextant \
		--message-format=json-render-diagnostics >$(PROGRAMS)

# The allocator takes longer to compile than all crates of a profile, and is the same for
# each: JEMALLOC_OVERRIDE names one to take. For machines that build all of it once.
ALLOCATOR := $(TOOLS)/allocator
allocator: $(ALLOCATOR)/libjemalloc_pic.a
$(ALLOCATOR)/libjemalloc_pic.a: Cargo.lock .cargo/config.toml
	env -u JEMALLOC_OVERRIDE cargo build --quiet --release --package tikv-jemalloc-sys --target-dir $(ALLOCATOR)/target
	cp $(ALLOCATOR)/target/release/build/tikv-jemalloc-sys-*/out/lib/libjemalloc_pic.a $@
	rm -r $(ALLOCATOR)/target

# For what counts instructions, or is emulated. Optimising across crates would take five
# minutes for each of the two; a count is held against one of the same profile.
optimized:
	cargo build --profile quick --package sextantd --bin sextantd --example instructions

RUN := env SEXTANTD=$(CURDIR)/target/debug/sextantd integration-tests/run.py $(PROGRAMS)

# Those of the command line compare with the real one, over a real server.
unit: hubble built
	$(RUN) --without sextant-integration-tests

# Against the real observer and the real policy engine, in one process with the test. Verbose: it prints its seeds.
differential: built
	cd $(GO) && SEXTANTD=$(CURDIR)/target/debug/sextantd POLICY_JUDGE=$(CURDIR)/target/debug/examples/judge \
		CGO_ENABLED=0 go test -count=1 -v ./...

# In network namespaces, with real programs and real traffic. Most of their time is spent
# waiting; what measures, floods or changes the whole machine runs alone.
ALONE := attach costs engines flood image limits memory policy_costs rlimits stack start systemd tcp wake
integration: hubble collector built optimized
	$(AS_ROOT) $(RUN) --package sextant-integration-tests --jobs 2 --alone $(ALONE)

# Debian's kernels in qemu: the newest of each version, `newest` of all.
KERNELS ?= 6.1 6.12 newest
TRY_KERNELS = KERNELS='$(KERNELS)' SEXTANTD=$(CURDIR)/target/quick/sextantd \
	SEXTANT=$(CURDIR)/target/debug/sextant HUBBLE=$(BIN)/hubble integration-tests/kernels/kernels.sh

kernels: setup-build hubble optimized ## Boot other kernels in qemu and try sextantd on each: all cases.
	$(call install,$(KERNEL_PACKAGES))
	cargo build --package sextant
	$(TRY_KERNELS)

# The most important cases, on the oldest kernel and the newest, when what concerns them changed.
kernels-changed: KERNELS = 6.1 newest
kernels-changed: hubble built optimized
	$(call install,$(KERNEL_PACKAGES))
	$(TRY_KERNELS) changed

# A real API server, which takes some minutes to build.
KUBERNETES := integration-tests/kubernetes/kubernetes.sh $(PROGRAMS)
kubernetes: hubble built ## Names and rights by a real API server of Kubernetes, and the manifests.
	$(AS_ROOT) env SEXTANT_TOOLS=$(BIN) $(KUBERNETES)

demo: setup-build hubble ## Two namespaces with traffic, watched with the real CLI, and a policy.
	$(call install,$(TEST_PACKAGES))
	cargo build --release --package sextantd --package sextant
	$(SUDO) SEXTANTD=$(CURDIR)/target/release/sextantd SEXTANT=$(CURDIR)/target/release/sextant HUBBLE=$(BIN)/hubble \
		integration-tests/demo.sh

# Beside the real observer, in turns. BENCH='drain filters' chooses scenarios, BENCH_RUNS the rounds.
BENCH_RUNS ?= 5
bench: setup-build ## Sextant beside the real Hubble observer; results in target/bench.
	$(call install,$(TEST_PACKAGES) $(BENCH_PACKAGES))
	@mkdir -p target/bench
	cargo build --release --package sextantd
	cargo build --release --package sextant-integration-tests --bin bench --bin flood
	cd $(GO) && CGO_ENABLED=0 go build -o $(CURDIR)/target/bench/ ./cmd/hubble-observer
	bpf-linker --export bench_empty,_license -o target/bench/empty.o integration-tests/src/bin/bench/empty.ll
	$(AS_ROOT) env SEXTANTD=$(CURDIR)/target/release/sextantd \
		HUBBLE_OBSERVER=$(CURDIR)/target/bench/hubble-observer \
		EMPTY_PROGRAM=$(CURDIR)/target/bench/empty.o BENCH_RUNS=$(BENCH_RUNS) \
		target/release/bench $(BENCH)

# The pinned tool chain with its sanitizer; no eBPF is fuzzed, so none is built.
fuzz: setup-build ## Each fuzz target for FUZZ_SECONDS; stops at the first bug.
	@cargo fuzz --version 2>/dev/null | grep -q '$(CARGO_FUZZ)' || \
		cargo install --quiet --locked --version $(CARGO_FUZZ) cargo-fuzz
	RUSTC_BOOTSTRAP=1 AYA_BUILD_SKIP=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		cargo fuzz build --fuzz-dir server/fuzz
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p target/fuzz/corpus/$$target target/fuzz/artifacts/$$target; \
		case " $(FUZZ_LONG) " in *" $$target "*) length=32768;; *) length=4096;; esac; \
		echo "fuzzing $$target for $(FUZZ_SECONDS) s, inputs up to $$length bytes"; \
		target/$$(rustc -vV | sed -n 's/host: //p')/release/$$target -max_total_time=$(FUZZ_SECONDS) \
			-max_len=$$length -timeout=20 -print_final_stats=1 -verbosity=0 \
			-artifact_prefix=target/fuzz/artifacts/$$target/ \
			target/fuzz/corpus/$$target server/fuzz/seeds/$$target || exit 1; \
	done

soak: setup-build hubble ## SOAK_MINUTES of traffic, clients and interfaces that come and go.
	$(call install,$(TEST_PACKAGES))
	cargo build --release --package sextantd
	cargo build --package sextant-integration-tests --bin soak
	$(AS_ROOT) env SEXTANTD=$(CURDIR)/target/release/sextantd SOAK_MINUTES=$(SOAK_MINUTES) target/debug/soak

image: ## The image of sextantd and sextant, by this host's docker.
	docker build --file docker/Dockerfile --tag sextant:0.1.0 .

clean:
	cargo clean
	rm -rf $(TOOLS)
