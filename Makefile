# What there is to do here: `make help`.

SHELL = /bin/bash
CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
PYTHON ?=
# What is to be made first; empty where it has been made.
BUILD ?= build
FUZZ_SECONDS ?= 30
# How many parsers are fuzzed side by side.
FUZZ_AT_ONCE ?= $(shell nproc)
SEEDS ?= 16

TARGET = $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
BUILT = $(TARGET)/release
# Not by abspath, which takes a path with spaces in it for several.
ABSOLUTE_TARGET = $(if $(filter /%,$(firstword $(TARGET))),$(TARGET),$(CURDIR)/$(TARGET))
# Man pages and shell completions, made from the definitions of the commands' options.
PAGES = $(BUILT)/pages

# The commands do without a dynamic linker: so they start in two thirds of the time, and on any Linux.
# Where there is no libc.a they do with one.
COMMANDS = sleeper_agent_activate sa-run sa-list
static = $(if $(wildcard $(shell cc -print-file-name=libc.a)),-C target-feature=+crt-static)

# Takes the symbols and the debug information out of a command, into a file beside it, where gdb looks for
# them. (Cargo puts the whole command back at each call.)
split = objcopy --only-keep-debug $(1) $(1).debug && \
    objcopy --strip-all --add-gnu-debuglink=$(1).debug $(1) $(1).stripped && \
    chmod 644 $(1).debug && chmod 755 $(1).stripped && mv -f $(1).stripped $(1)

# What is built holds no path of this machine, so that the same commit gives the same bytes wherever the
# clone lies. gdb finds the sources when it is started in the clone's folder.
CARGO_HOME ?= $(HOME)/.cargo
remap = "--remap-path-prefix=$(1)=$(2)",
REMAPPED = $(call remap,$(CURDIR),.) $(call remap,$(ABSOLUTE_TARGET),./target) $(foreach registry,$(wildcard \
    $(CARGO_HOME)/registry/src/*),$(call remap,$(registry),/registry))
# (Cargo's settings would need these characters escaped.)
SAME_BYTES = $(if $(findstring ",$(CURDIR))$(findstring \,$(CURDIR)),,--config \
    'target."cfg(all())".rustflags = [$(REMAPPED)]')

.PHONY: help demo test systems torture regrtest fuzz memcheck miri bench install packages shim lint clean build gdb \
    strace rpm pythons pips tools

help:
	@echo 'make demo                wake a threaded Python 2.7 program and see what it is doing'
	@echo 'make test                run all tests on every Python 2.6 and 2.7 found here'
	@echo 'make systems             every package on every system that can be had here: tests/systems/RESULTS.md'
	@echo 'make torture             many thousand activations of programs that are hard to ask: hours'
	@echo 'make regrtest            CPython 2.7'\''s own tests under the agent, activated all the time: an hour'
	@echo 'make fuzz                every parser, fed with anything for FUZZ_SECONDS (now $(FUZZ_SECONDS)) each'
	@echo 'make memcheck            the library under valgrind, and under AddressSanitizer'
	@echo 'make miri                the hand-over between threads, under Miri with SEEDS (now $(SEEDS)) schedules'
	@echo 'make bench               time, hold-up and memory, beside plain gdb and py-spy; loading; what it costs asleep'
	@echo '                         (THREADS="10 500": programs of so many threads only)'
	@echo 'make install             into PREFIX (now $(PREFIX)), below DESTDIR if that is set'
	@echo 'make packages            a wheel, a tarball, a deb and an rpm, into target/packages'
	@echo 'make shim PYTHON=...     the optional `import sleeper_agent`, for that Python 2.6 or 2.7'
	@echo 'make lint                formatting, clippy, the plan of the rooms (no circles, no import upwards),'
	@echo '                         and whether the fuzz targets compile'
	@echo 'make clean               remove what was built and fetched here'

build:
	@tests/tools.sh cargo cc objcopy flock
	@$(CARGO) $(SAME_BYTES) build --release --quiet -p preload -p launcher --lib
	@preload/strip.sh '$(BUILT)/libsleeper.so'
	@# Two that build at once would take the symbols out of what the other has just split.
	@exec 9>'$(BUILT)/.splitting' && flock 9 && for command in $(COMMANDS); do \
	    $(CARGO) $(SAME_BYTES) rustc --release --quiet -p launcher --bin $$command -- $(static) && \
	    $(call split,'$(BUILT)'/$$command) || exit; \
	done
	@install -m 755 launcher/sa-load.sh '$(BUILT)/sa-load'
	@$(CARGO) run --quiet -p launcher --example pages -- '$(PAGES)'

gdb:
	@tests/tools.sh gdb

# For what gdb opens: without it one case is skipped, by its name.
strace:
	@tests/tools.sh strace || true

# For the rpm: without it its case is skipped.
rpm:
	@tests/tools.sh rpm || true

pythons:
	@tests/interpreters/debian.sh
	@tests/interpreters/packages.sh

pips:
	@tests/systems/pips.sh

# What the tests need beside the build.
tools: gdb strace rpm pythons pips

demo: build gdb
	@tests/demo.sh '$(BUILT)'

# The trials on real interpreters come last: their summary is the last word. Without nfpm there is no
# deb and no rpm, and their cases are skipped.
test: build tools
	@$(MAKE) --no-print-directory packages BUILD= || true
	@tests/systems/roots.sh bullseye
	@$(CARGO) test --quiet --workspace --exclude tests
	@$(CARGO) test --quiet -p tests --test systems
	@$(CARGO) test --quiet -p tests --test torture
	@$(CARGO) test --quiet -p tests --test hostile
	@$(CARGO) test -p tests --test agent

# The short form of it is a part of `make test`; see tests/systems/README.md.
systems: packages gdb rpm pythons pips
	@tests/systems/roots.sh bullseye bookworm trixie
	@SLEEPER_SYSTEMS=full $(CARGO) test --quiet -p tests --test systems

# The short form of it is a part of `make test`; see tests/torture/README.md.
torture: build gdb pythons
	@tests/torture/allocators.sh
	@SLEEPER_TORTURE=full $(CARGO) test --quiet -p tests --test torture

# TESTS names some of them, or options (run.py --help); PYTHON names the interpreter.
regrtest: build gdb
	@PYTHON='$(PYTHON)' tests/regrtest/run.sh '$(BUILT)' --list '$(TARGET)/regrtest.txt' $(TESTS)

# Needs a nightly compiler and cargo-fuzz. FUZZ names some of the targets.
fuzz:
	@mkdir -p '$(TARGET)'
	@tests/fuzz/fuzz.sh '$(ABSOLUTE_TARGET)/fuzz' '$(FUZZ_SECONDS)' '$(FUZZ_AT_ONCE)' $(FUZZ)

memcheck: build
	@tests/memcheck.sh '$(BUILT)/libsleeper.so' '$(ABSOLUTE_TARGET)/asan' $(PYTHON)

miri:
	@$(CARGO) +nightly miri --version >/dev/null 2>&1 || { \
	    echo 'Miri is missing: rustup toolchain install nightly --component miri rust-src' >&2; exit 1; }
	@MIRIFLAGS='-Zmiri-disable-isolation -Zmiri-many-seeds=0..$(SEEDS)' \
	    $(CARGO) +nightly miri test --quiet -p preload --lib desk

# THREADS says of how many threads the programs are that are asked.
bench: build gdb pythons
	@tests/bench/py-spy.sh
	@tests/tools.sh valgrind
	@$(CARGO) bench --quiet -p tests --bench answer
	@$(CARGO) bench --quiet -p tests --bench idle

PAGE_FOLDERS = doc/sleeper-agent man/man1 bash-completion/completions zsh/site-functions fish/vendor_completions.d

install: $(BUILD)
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/lib' '$(DESTDIR)$(PREFIX)/share/sleeper-agent'
	install -m 755 '$(BUILT)/sa-list' '$(BUILT)/sa-load' '$(BUILT)/sa-run' '$(BUILT)/sleeper_agent_activate' \
	    '$(DESTDIR)$(PREFIX)/bin/'
	install -m 644 '$(BUILT)/libsleeper.so' '$(DESTDIR)$(PREFIX)/lib/'
	install -m 644 py-shim/sleeper_agent.py '$(DESTDIR)$(PREFIX)/share/sleeper-agent/'
	ln -sf ../../lib/libsleeper.so '$(DESTDIR)$(PREFIX)/share/sleeper-agent/_sleeper_agent_activation.so'
	install -d $(PAGE_FOLDERS:%='$(DESTDIR)$(PREFIX)/share/%')
	install -m 644 LICENSE CHANGELOG.md launcher/MANUAL.md launcher/TROUBLESHOOTING.md \
	    '$(DESTDIR)$(PREFIX)/share/doc/sleeper-agent/'
	install -m 644 '$(PAGES)'/man/* '$(DESTDIR)$(PREFIX)/share/man/man1/'
	install -m 644 '$(PAGES)'/completions/bash/* '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/'
	install -m 644 '$(PAGES)'/completions/zsh/* '$(DESTDIR)$(PREFIX)/share/zsh/site-functions/'
	install -m 644 '$(PAGES)'/completions/fish/* '$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/'

# The packages are made of what `make install` installs.
PACKAGES = $(ABSOLUTE_TARGET)/packages

packages: $(BUILD)
	@tests/tools.sh python3
	@py-shim/packages/nfpm.sh
	@rm -rf '$(PACKAGES)/tree' && rm -f '$(PACKAGES)'/sleeper?agent[-_]*
	@$(MAKE) --no-print-directory --silent install BUILD= DESTDIR='$(PACKAGES)/tree' PREFIX=
	@python3 -B py-shim/packages '$(PACKAGES)/tree' '$(PACKAGES)'; made=$$?; rm -rf '$(PACKAGES)/tree'; exit $$made

# Asks the Python itself where it imports from, and how its extension modules are called
# (a debug build looks for _d.so).
define ASK_PYTHON
import imp, sys
from distutils.sysconfig import get_python_lib
assert sys.version_info[:2] in ((2, 6), (2, 7))
suffixes = [s for s, _, kind in imp.get_suffixes() if kind == imp.C_EXTENSION]
suffix = [s for s in suffixes if not s.startswith('module')][0]
place = [p for p in (get_python_lib(plat_specific=True), get_python_lib()) if p in sys.path]
sys.stdout.write('%s %s' % (suffix, (place or [get_python_lib()])[0]))
endef
export ASK_PYTHON

shim: build
	@if [ -z '$(PYTHON)' ]; then \
	    echo 'say for which Python: make shim PYTHON=/usr/bin/python2.7' >&2; exit 1; \
	fi; \
	told=$$('$(PYTHON)' -c "$$ASK_PYTHON" 2>/dev/null) || told=; \
	if [[ $$told != ?*' /'* ]]; then \
	    echo '$(PYTHON) is no Python 2.6 or 2.7 that runs here and has distutils' >&2; exit 1; \
	fi; \
	suffix=$${told%% *}; place='$(DESTDIR)'$${told#* }; \
	install -d "$$place" && \
	install -m 644 py-shim/sleeper_agent.py "$$place/" && \
	install -m 755 '$(BUILT)/libsleeper.so' "$$place/_sleeper_agent_activation$$suffix" && \
	echo "import sleeper_agent: installed in $$place"

lint:
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --quiet --workspace --all-targets -- -D warnings
	@$(CARGO) test --quiet -p tests --test rooms
	@$(CARGO) check --quiet --manifest-path tests/fuzz/Cargo.toml --no-default-features --bins \
	    --target-dir '$(TARGET)'

clean:
	@$(CARGO) clean --quiet
	rm -rf .tools
