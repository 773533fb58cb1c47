# Parthaul. `make demo` shows it, `make test` proves it, `make help` lists the rest.
#
# One C core (src/core) is built natively, under the sanitizers, and to WebAssembly. Everything that is made lies under build/ and web/dist/.

CC ?= cc
EMCC ?= emcc
FUZZ_CC ?= clang
CFLAGS ?= -O2 -g
PORT ?= 8080
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
BINDIR ?= $(PREFIX)/bin
UNITDIR ?= $(PREFIX)/lib/systemd/system
DOCDIR ?= $(PREFIX)/share/doc/parthaul
T ?= 60
SEEDS ?= 20000
FIRST ?= 1
B := build
D := $B/deps

# Ours has to be free of warnings; BearSSL and cJSON come with their own habits.
strict := -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wswitch-enum -Wvla -Werror
include := -Isrc -I$B/gen -isystem $D/bearssl/inc -isystem $D/cjson
bearssl := hash/sha2small hash/sha1 hash/md5 hash/dig_size mac/hmac codec/ccopy codec/dec32be \
	codec/dec32le codec/dec64be codec/dec64le codec/enc32be codec/enc32le codec/enc64be codec/enc64le
sanitize := -fsanitize=address,undefined -fno-sanitize-recover -fno-omit-frame-pointer
# Small where bytes of the file do not pass, fast where they do. At -Oz emcc inlines nothing unless it is told to,
# and is then too eager: below zero is what makes the caller shorter.
inline := -inline-threshold=-25
optimise := -Oz -flto -finline-functions -mllvm $(inline)
$B/native/core/crc.o $B/native/core/lanes.o: CFLAGS += -O3
$B/wasm/core/crc.o $B/wasm/core/lanes.o $B/scalar/core/crc.o: optimise := -O2
export NODE_PATH ?= /usr/share/nodejs# where Debian's emcc finds its JavaScript packages

core := $(sort $(wildcard src/core/*.c))
cli := $(sort $(wildcard src/cli/*.c))
api := $(sort $(wildcard src/api/*.c))
units := $(patsubst tests/unit/%.c,%,$(sort $(wildcard tests/unit/test_*.c)))
fuzzers := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
core_tests := $(filter-out test_api% fuzz_api%,$(units) $(fuzzers)) sim host
web := $(patsubst web/src/%,web/dist/%,$(wildcard web/src/*.js web/src/*.d.ts))
suites := $(sort $(wildcard tests/*/run))
sources := $(sort $(wildcard src/*.h src/*/*.[ch] wasm/*.c tests/*/*.[ch]))

api_libs := libmicrohttpd gnutls libcurl jose jansson libcrypto
programs := $B/parthaul $B/parthaul-api
module := web/dist/parthaul.wasm web/dist/parthaul-scalar.wasm
bench_kernels := $(module) $B/bench/kernels-native $B/bench/sum.wasm $D/bench-kernels.ok
every_dep := build wasm node server strict browser lint fuzz ceph pack

# One command, named in short; V=1 shows it whole.
show = $(if $(V),,@printf '  %-5s %s\n' $1 $@ &&) mkdir -p $(@D) &&

all: $(programs) $(module) $(web) web/dist/parthaul.d.ts web/dist/LICENSE ## the programs and the web files
	@:

demo: ## everything installed, built and running on this machine (PORT=8080)
	@. tests/setup/ports.sh && refuse_busy_ports demo $(PORT)
	@tests/setup/deps.sh build wasm node server
	@$(MAKE) -j$$(nproc) all
	@PORT=$(PORT) exec tests/setup/demo.sh

test: ## all tests
	@tests/setup/deps.sh $(every_dep)
	@$(MAKE) -j$$(nproc) all $(units:%=$B/tests/%) $(core_tests:%=$B/covered/%) $B/tests/parthaul-api $B/parthaul-lambda.zip
	@$(MAKE) check
	@tests/run.sh $(suites)

check: lint types unit $(module) $(web) $B/sim $(patsubst %,$B/tests/%,$(fuzzers) sim host parthaul multiples) ## the fast half of the tests: no network, no server
	@tests/run.sh $(sort $(wildcard tests/*/check))

sim: $B/sim ## uploads in SEEDS=20000 simulated worlds, from FIRST=1 on; or one, with its transcript: SEED=n
	@$B/sim $(if $(SEED),--seed $(SEED),--first $(FIRST) $(SEEDS))

sim-mutants: SEEDS := 200000
sim-mutants: $B/sim ## is each of the faults found that tests/sim/mutants.txt plants into the core?
	@tests/sim/mutants.py $(SEEDS)

unit: $(units:%=$B/tests/%) ## the unit tests, under the sanitizers
	@tests/run.sh $^

fuzz: $(fuzzers:%=$B/fuzz/%) ## each parser under a fuzzer, for T=60 seconds
	@tests/fuzz/fuzz.sh $T $^

coverage: $(core_tests:%=$B/covered/%) $D/node.ok ## how much of src/core the tests reach, into build/coverage; less than 95 % of its branches fails
	@tests/coverage/run

types: $D/node.ok ## the types of the JavaScript
	@web/node_modules/.bin/tsc -p web

lint: $D/lint.ok ## formatting, static analysis, that the core does no I/O and every file has its line in a README
	@clang-format --dry-run -Werror $(sources)
	@cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr -Isrc \
		--enable=warning,portability --suppress='*:$D/*' $(core) $(cli) $(api)
	@! grep -nE '#include *<(stdio|time|errno|fcntl|unistd|pthread|sys/|netinet/|arpa/|signal)' \
		src/parthaul.h src/core/*
	@tests/setup/readmes.py

format: $D/lint.ok ## rewrites our C files in the one format
	@clang-format -i $(sources)

lambda: ## build/parthaul-lambda.zip: the credentials API for AWS Lambda (examples/aws)
	@tests/setup/deps.sh build pack
	@$(MAKE) $B/parthaul-lambda.zip

# DESTDIR is for packagers: where PREFIX and SYSCONFDIR lie for now. An /etc of somebody's is kept.
install: $(programs) ## the programs, and the API as a service (PREFIX=/usr/local DESTDIR=)
	install -d $(addprefix $(DESTDIR),$(BINDIR) $(UNITDIR) $(DOCDIR))
	install -d -m 700 $(DESTDIR)$(SYSCONFDIR)/parthaul/secrets
	install $(programs) $(DESTDIR)$(BINDIR)
	install -m 644 src/api/parthaul-api.conf $(DESTDIR)$(DOCDIR)
	install -m 644 src/api/README.md $(DESTDIR)$(DOCDIR)/parthaul-api.md
	sed 's|@BINDIR@|$(BINDIR)|; s|@SYSCONFDIR@|$(SYSCONFDIR)|; s|@DOCDIR@|$(DOCDIR)|' \
		src/api/parthaul-api.service >$(DESTDIR)$(UNITDIR)/parthaul-api.service
	chmod 644 $(DESTDIR)$(UNITDIR)/parthaul-api.service
	[ -e $(DESTDIR)$(SYSCONFDIR)/parthaul/parthaul-api.conf ] || install -m 600 src/api/parthaul-api.conf $(DESTDIR)$(SYSCONFDIR)/parthaul

deps: ## all that a fresh Debian lacks
	@tests/setup/deps.sh $(every_dep)

clean: ## removes what was built
	rm -rf $(filter-out $D $B/venv $B/bench,$(wildcard $B/*)) web/dist

bench: ## uploaders side by side, into build/bench/report.md (RUNS=5 SIZES=256,2048 CASES= WHO=)
	@tests/setup/deps.sh build wasm node server browser bench
	@$(MAKE) -j$$(nproc) all $B/bench/sink $(bench_kernels)
	@node tests/bench/bench.mjs

bench-kernels: $(bench_kernels) ## the kernels beside others, into build/bench/kernels.md
	@tests/setup/deps.sh browser
	@node tests/bench/kernels.mjs

bench-api: $B/parthaul-api ## what one processor of the API answers, into build/bench/api.md
	@tests/setup/deps.sh server bench
	@$B/venv/bin/python tests/bench/api.py

size: $B/wasm/named.wasm $(web) ## what each kilobyte of the web files is for
	@python3 tests/bench/size.py $<

distclean: clean ## and what was fetched
	rm -rf $B web/node_modules

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

.PHONY: all demo test check unit sim sim-mutants fuzz coverage bench bench-kernels bench-api size types lint format lambda install deps clean distclean help force
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# ---- What deps.sh installs, one stamp for each group ------------------------------------------

$D/server.ok: tests/setup/requirements.txt
$D/lint.ok: tests/setup/requirements-lint.txt
$D/node.ok: $(wildcard web/package-lock.json)
$D/%.ok: tests/setup/deps.sh
	@tests/setup/deps.sh $*

# ---- The library, for each way to build --------------------------------------------------------------

# Changes when CC does: one program is not linked of two compilers' objects.
$B/compiler: force
	@mkdir -p $B && echo '$(CC) $(CFLAGS)' | cmp -s - $@ || echo '$(CC) $(CFLAGS)' >$@

# Sources of tests and objects are linked, then the archives, then what these need.
wrap := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free# see tests/unit/test.h
needs = $(if $(filter tests/sim/% %/test.o,$^),$(wrap)) \
	$(if $(findstring /cli/,$^),-pthread $$(pkg-config --libs libcurl)) \
	$(if $(findstring /api/,$^)$(findstring libapi.a,$^),$$(pkg-config --libs $(api_libs)))
link = $(call show,LD) $(ours_$1) $(if $(filter tests/%.c,$^),$(strict) $(include) -MMD -MP -MT $@ -MF $@.d) \
	$(filter tests/%.c %.o,$^) $(sort $(filter %.a,$^)) $(LDFLAGS) $(needs) -o $@

# How our files are compiled for each folder, and theirs where that is not the same.
ours_native = $(CC) $(CFLAGS)
ours_asan = $(CC) -O1 -g $(sanitize)
theirs_asan = $(CC) -O1 -g -fsanitize=address
ours_fuzz = $(FUZZ_CC) -O1 -g $(sanitize) -fsanitize=fuzzer-no-link
theirs_fuzz = $(FUZZ_CC) -O1 -fsanitize=address -fsanitize=fuzzer-no-link
ours_covered = $(FUZZ_CC) -O1 -g -w -fprofile-instr-generate -fcoverage-mapping# the others warn
theirs_covered = $(FUZZ_CC) -O1
ours_wasm = $(ours_scalar) -msimd128
ours_scalar = $(EMCC) $(optimise) -mbulk-memory -mnontrapping-fptoint -msign-ext# what browsers had before SIMD

# $1 folder, $2 archiver, $3 group of deps.sh, $4 what says that the compiler or its flags are others
define library
$B/$1/libparthaul.a: $(core:src/%.c=$B/$1/%.o) $(bearssl:%=$B/$1/bearssl/%.o) $B/$1/cjson.o
$B/$1/libapi.a: $(patsubst src/%.c,$B/$1/%.o,$(filter-out src/api/main.c,$(api)))
$B/$1/libparthaul.a $B/$1/libapi.a:
	$$(call show,AR) rm -f $$@ && $2 rcs $$@ $$^

$B/$1/%.o: src/%.c $4 | $D/build.ok $D/$3.ok
	$$(call show,CC) $$(ours_$1) $(strict) $(include) -MMD -MP -c $$< -o $$@

$B/$1/%.o: %.c $4 | $D/build.ok $D/$3.ok
	$$(call show,CC) $$(ours_$1) $(strict) $(include) -MMD -MP -c $$< -o $$@

$B/$1/bearssl/%.o: $4 | $D/build.ok $D/$3.ok
	$$(call show,CC) $$(or $$(theirs_$1),$$(ours_$1)) -I$D/bearssl/inc -I$D/bearssl/src -c $D/bearssl/src/$$*.c -o $$@

$B/$1/cjson.o: $4 | $D/build.ok $D/$3.ok
	$$(call show,CC) $$(or $$(theirs_$1),$$(ours_$1)) -Dstrtod=ph_json_number -Drealloc=ph_json_no_realloc -c $D/cjson/cJSON.c -o $$@
endef
$(eval $(call library,native,$(AR),build,$B/compiler))
$(eval $(call library,asan,$(AR),build,$B/compiler))
$(eval $(call library,fuzz,$(AR),fuzz))
$(eval $(call library,covered,$(AR),fuzz))
$(eval $(call library,wasm,emar,wasm,Makefile))
$(eval $(call library,scalar,emar,wasm,Makefile))

# ---- The programs ----------------------------------------------------------------------------------

# From the library in $B/$2 into $1: ours, the tests of the core, fuzz targets without a fuzzer, which read
# the files that they are given, the simulator, and the border without a browser, to which the transcripts
# talk as they do to the module.
define executables
$1/test_%: tests/unit/test_%.c $B/$2/tests/unit/test.o $B/$2/libparthaul.a
	$$(call link,$2)

$1/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c $B/$2/libparthaul.a
	$$(call link,$2)

$1/parthaul: $(cli:src/%.c=$B/$2/%.o)
$1/parthaul-api: $(api:src/%.c=$B/$2/%.o)
$1/sim: $(wildcard tests/sim/*.c)
$1/host: tests/transcripts/host.c $B/$2/wasm/exports.o
$1/parthaul $1/parthaul-api $1/sim $1/host: $B/$2/libparthaul.a
	$$(call link,$2)
endef
$(eval $(call executables,$B,native))
$(eval $(call executables,$B/tests,asan))
$(eval $(call executables,$B/covered,covered))

$B/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $B/fuzz/libparthaul.a
	$(call link,fuzz) -fsanitize=fuzzer

# The API's tests call its routes without a socket: they get all of it but main().
$(patsubst %,$B/tests/%,$(filter test_api% fuzz_api%,$(units) $(fuzzers))): $B/asan/libapi.a
$(patsubst %,$B/fuzz/%,$(filter fuzz_api%,$(fuzzers))): $B/fuzz/libapi.a

# Where the constants of the kernels come from.
$B/tests/multiples: tests/kernels/multiples.c src/core/crc.def
	$(call link,asan)

# What `make bench` and `make bench-kernels` measure with.
$B/bench/kernels-native: tests/bench/kernels/native.c $B/native/libparthaul.a
$B/bench/sink: tests/bench/sink.c
$B/bench/kernels-native $B/bench/sink:
	$(call link,native)

$B/bench/sum.wasm: tests/bench/kernels/sum.c | $D/wasm.ok
	$(call show,EMCC) $(EMCC) $(strict) -O3 -msimd128 $< -o $@ -sSTANDALONE_WASM --no-entry

$D/bench-kernels.ok: tests/bench/kernels/package-lock.json | $D/node.ok
	@npm --prefix $(<D) ci --no-audit --no-fund --silent && touch $@

$B/parthaul-lambda.zip: $B/parthaul-api src/api/lambda-zip.sh | $D/pack.ok
	$(call show,ZIP) src/api/lambda-zip.sh $< $@

# What describes the API is served by it, so it is compiled in: its bytes as numbers.
$B/gen/openapi.inc: src/api/openapi.json
	$(call show,GEN) od -v -An -tu1 $< | sed 's/[0-9][0-9]*/&,/g' >$@

$B/native/api/info.o $B/asan/api/info.o $B/fuzz/api/info.o: $B/gen/openapi.inc

# ---- The web files ---------------------------------------------------------------------------------

# One name a line in exports.txt; the linker knows them with an underscore. The scalar one is for browsers
# and processors without SIMD (web/src/engine.js chooses), the one with names for `make size`.
web/dist/parthaul.wasm $B/wasm/named.wasm: $B/wasm/libparthaul.a
web/dist/parthaul-scalar.wasm: $B/scalar/libparthaul.a
$(module) $B/wasm/named.wasm: wasm/exports.c wasm/exports.txt
	$(call show,EMCC) $(ours_$(if $(filter %-scalar.wasm,$@),scalar,wasm)) $(strict) $(include) $< \
		$(filter %.a,$^) -o $@ -sSTANDALONE_WASM --no-entry -sMALLOC=emmalloc -sFILESYSTEM=0 \
		-sALLOW_MEMORY_GROWTH=1 -Wl,-mllvm,$(inline) $(if $(filter %/named.wasm,$@),--profiling-funcs) \
		-sEXPORTED_FUNCTIONS=$$(sed -n 's/^[a-z]/_&/p' wasm/exports.txt | paste -sd,) \
		-MMD -MP -MT $@ -MF $B/wasm/$(@F).d

# Only what the JSDoc says is written: the modules themselves are copied as they are.
web/dist/parthaul.d.ts: $(wildcard web/src/*.js web/src/*.d.ts) web/tsconfig.types.json | $D/node.ok
	$(call show,TSC) web/node_modules/.bin/tsc -p web/tsconfig.types.json && touch $@

# The same modules in fewer bytes, each with all that it imports, since one file is smaller and sooner there
# than four; with maps back to the sources that a browser's debugger shows.
web/dist/worker.js web/dist/parthaul.js: $(wildcard web/src/*.js)
web/dist/%.js: web/src/%.js Makefile | $D/node.ok
	$(call show,MIN) web/node_modules/.bin/esbuild $< --bundle --target=safari16 --format=esm --minify --sourcemap \
		--log-level=warning --outfile=$@

web/dist/%: web/src/%
	$(call show,COPY) cp $< $@

# Whoever serves or publishes these files owes the notices of all that is linked into the module.
web/dist/LICENSE: LICENSE | $D/build.ok $D/wasm.ok
	$(call show,COPY) tail -n +1 $< $D/bearssl/LICENSE.txt $D/cjson/LICENSE \
		$(wildcard /usr/share/emscripten/system/lib/libc/musl/COPYRIGHT) >$@

-include $(wildcard $B/*.d $B/*/*.d $B/*/*/*.d $B/*/*/*/*.d)
