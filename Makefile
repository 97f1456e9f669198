# The words one types here. What they do is in scripts/, meson.build and CONTRIBUTING.md.

prefix ?= /usr/local
SEEDS ?= 10000
FUZZ_SECONDS ?= 30

.DEFAULT_GOAL := build
.NOTPARALLEL:
.PHONY: build demo check check-analysis check-asan check-tsan check-valgrind check-long check-portable \
        sim sim-mutants sim-coverage fuzz bench bench-core silences format package install uninstall clean help

build: ## build everything into build/ (the default)
	@scripts/build build

demo: ## install what building needs, build, and see a file survive its connections
	@scripts/bootstrap --build
	@scripts/build build
	@scripts/demo build

check: ## install what testing needs, and run all tests: at most ten minutes
	@scripts/bootstrap
	@scripts/check

check-analysis: ## clang-tidy with its static analyzer over all C files
	@scripts/check analysis

check-asan: ## unit tests, simulation and fuzz corpus under ASan and UBSan
	@scripts/check asan

check-tsan: ## all tests under ThreadSanitizer
	@scripts/check tsan

check-valgrind: ## unit tests and simulation under valgrind
	@scripts/check valgrind

check-long: ## what takes too long for make check: many seeds, long fuzzing, long tests
	@scripts/check long

check-portable: ## the core with -m32, with musl and on a big-endian machine
	@scripts/check-portable

sim: ## simulate seeded hostile networks: 1 to SEEDS=10000, or SEEDS=FIRST-LAST
	@scripts/build build
	@build/tests/sim/sim '$(or $(TT_SEED),$(if $(findstring -,$(SEEDS)),$(SEEDS),1-$(SEEDS)))'

sim-mutants: ## plant bugs in the core, and see how the simulation finds each
	@scripts/bootstrap
	@scripts/sim-mutants

sim-coverage: ## how much of the core the simulation runs through
	@scripts/bootstrap
	@scripts/sim-coverage

fuzz: ## run each fuzz target for FUZZ_SECONDS=30
	@scripts/fuzz $(FUZZ_SECONDS)

bench: ## measure, side by side with the Go peers, and write docs/benchmarks.md with plots
	@scripts/bootstrap
	@scripts/build build
	@scripts/bench build

bench-core: ## count the core's instructions beside the recorded ones; RECORD=1 records them
	@scripts/bootstrap
	@scripts/build build
	@tests/bench/counts.py build $(if $(filter-out 0,$(RECORD)),--record)

silences: ## how long each fault silences an application, beside TCP and Go: docs/silences.md
	@scripts/bootstrap
	@scripts/build build
	@tests/bench/silences.py build

format: ## put all C files into the one format
	@scripts/format

package: ## build the Debian packages into build/packages/
	@scripts/bootstrap
	@scripts/package

install: ## install under prefix=/usr/local, and DESTDIR if given
	@scripts/build build --prefix='$(prefix)'
	@DESTDIR='$(DESTDIR)' meson install -C build --no-rebuild

uninstall: ## remove what install put there, with the same prefix and DESTDIR
	@scripts/build --setup-only build --prefix='$(prefix)'
	@scripts/uninstall build '$(DESTDIR)'

clean: ## remove all build directories
	@rm -rf build build-*

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]*:.*## / { printf "  make %-16s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)
