# Parthaul. `make demo` shows it, `make test` proves it, `make help` lists the rest.
#
# One C core (src/core) is built three times: natively, natively under the sanitizers, and to
# WebAssembly. Everything that is made lies under build/ and web/dist/.

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
covered := -O1 -g -fprofile-instr-generate -fcoverage-mapping
# Small where bytes of the file do not pass, fast where they do.
wasm = $(scalar) -msimd128
scalar = $(optimise) -mbulk-memory
optimise := -Oz -flto
$B/native/core/crc.o $B/native/core/lanes.o: CFLAGS += -O3
$B/wasm/core/crc.o $B/wasm/core/lanes.o $B/scalar/core/crc.o: optimise := -O3
$B/wasm/bearssl/% $B/scalar/bearssl/%: optimise := -O3
export NODE_PATH ?= /usr/share/nodejs# where Debian's emcc finds its JavaScript packages

core := $(sort $(wildcard src/core/*.c))
cli := $(sort $(wildcard src/cli/*.c))
api := $(sort $(wildcard src/api/*.c))
units := $(sort $(wildcard tests/unit/test_*.c))
fuzzers := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
core_tests := $(filter-out test_api% fuzz_api%,$(units:tests/unit/%.c=%) $(fuzzers)) sim host
api_fuzzers := $(filter fuzz_api%,$(fuzzers))
web := $(patsubst web/src/%,web/dist/%,$(wildcard web/src/*.js web/src/*.d.ts))
types := $(if $(wildcard web/tsconfig.types.json),web/dist/parthaul.d.ts)
suites := $(sort $(wildcard tests/*/run))
sources := $(sort $(wildcard src/*.h src/*/*.[ch] wasm/*.c tests/*/*.[ch]))

api_libs := libmicrohttpd gnutls libcurl jose jansson libcrypto
programs := $(if $(cli),$B/parthaul) $(if $(api),$B/parthaul-api)
module := $(if $(wildcard wasm/exports.c),web/dist/parthaul.wasm web/dist/parthaul-scalar.wasm)

# V=1 shows the commands.
Q := $(if $(V),,@)
show = $(if $(V),,@printf '  %-5s %s\n' $1 $@)

all: $(programs) $(module) $(web) $(types) ## the programs and the web files
	@:

demo: ## everything installed, built and running on this machine (PORT=8080)
	@. tests/setup/ports.sh && refuse_busy_ports demo $(PORT)
	@tests/setup/deps.sh build wasm node server
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@PORT=$(PORT) exec tests/setup/demo.sh

test: ## all tests
	@tests/setup/deps.sh build wasm node server strict browser lint fuzz ceph pack
	@$(MAKE) --no-print-directory -j$$(nproc) all $(units:tests/unit/%.c=$B/tests/%) \
		$(core_tests:%=$B/covered/%) $(if $(api),$B/tests/parthaul-api $B/parthaul-lambda.zip)
	@$(MAKE) --no-print-directory check
	@tests/run.sh $(suites)

check: lint types unit $(fuzzers:%=$B/tests/%) $B/sim $B/tests/sim $B/tests/host $(module) $(web) $(if $(cli),$B/tests/parthaul) $B/tests/multiples ## the fast half of the tests: no network, no server
	@tests/run.sh $(sort $(wildcard tests/*/check))

sim: $B/sim ## uploads in SEEDS=20000 simulated worlds, from FIRST=1 on; or one, with its transcript: SEED=n
	@$B/sim $(if $(SEED),--seed $(SEED),--first $(FIRST) $(SEEDS))

sim-mutants: $B/sim ## is each of the faults found that tests/sim/mutants.txt plants into the core?
	@tests/sim/mutants.py $(SEEDS)

unit: $(units:tests/unit/%.c=$B/tests/%) ## the unit tests, under the sanitizers
	@tests/run.sh $^

fuzz: $(fuzzers:%=$B/fuzz/%) ## each parser under a fuzzer, for T=60 seconds
	@tests/fuzz/fuzz.sh $T $^

coverage: $(core_tests:%=$B/covered/%) $D/node.ok ## how much of src/core the tests reach, into build/coverage; less than 95 % of its branches fails
	@tests/coverage/run

types: $D/node.ok ## the types of the JavaScript
	@web/node_modules/.bin/tsc -p web

lint: $D/lint.ok ## formatting, static analysis, and that the core does no I/O
	@clang-format --dry-run -Werror $(sources)
	@cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr -Isrc \
		--enable=warning,portability --suppress='*:$D/*' $(core) $(cli) $(api)
	@! grep -nE '#include *<(stdio|time|errno|fcntl|unistd|pthread|sys/|netinet/|arpa/|signal)' \
		src/parthaul.h src/core/*

format: $D/lint.ok ## rewrites our C files in the one format
	@clang-format -i $(sources)

lambda: ## build/parthaul-lambda.zip: the credentials API for AWS Lambda (examples/aws)
	@tests/setup/deps.sh build pack
	@$(MAKE) --no-print-directory $B/parthaul-lambda.zip

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
	[ -e $(DESTDIR)$(SYSCONFDIR)/parthaul/parthaul-api.conf ] || \
		install -m 600 src/api/parthaul-api.conf $(DESTDIR)$(SYSCONFDIR)/parthaul

deps: ## all that a fresh Debian lacks
	@tests/setup/deps.sh build wasm node server strict browser lint fuzz ceph pack

clean: ## removes what was built
	rm -rf $B/sim $B/mutants $B/native $B/asan $B/covered $B/coverage $B/fuzz $B/gen $B/wasm $B/scalar $B/tests $B/demo $B/parthaul $B/parthaul-api \
		$B/parthaul-lambda.zip web/dist

.PHONY: bench bench-kernels
bench: ## uploaders side by side, into build/bench/report.md (RUNS=5 SIZES=256,2048 CASES= WHO=)
	@tests/setup/deps.sh build wasm node server browser bench
	@$(MAKE) --no-print-directory -j$$(nproc) all $B/bench/sink
	@node tests/bench/bench.mjs

$B/bench/sink: tests/bench/sink.c
	$(call show,LD)
	$Q mkdir -p $(@D) && $(CC) $(strict) $(CFLAGS) $< -o $@

bench-kernels: $B/bench/kernels-native $B/bench/sum.wasm $(module) $D/bench-kernels.ok ## the kernels beside others, into build/bench/kernels.md
	@tests/setup/deps.sh browser
	@node tests/bench/kernels.mjs

$B/bench/kernels-native: tests/bench/kernels/native.c $B/native/libparthaul.a
	$(call show,LD)
	$Q mkdir -p $(@D) && $(CC) $(strict) $(include) $(CFLAGS) $^ -o $@

$B/bench/sum.wasm: tests/bench/kernels/sum.c | $D/wasm.ok
	$(call show,EMCC)
	$Q mkdir -p $(@D) && $(EMCC) $(strict) -O3 -msimd128 $< -o $@ -sSTANDALONE_WASM --no-entry

$D/bench-kernels.ok: tests/bench/kernels/package-lock.json | $D/node.ok
	$Q npm --prefix $(<D) ci --no-audit --no-fund --silent && touch $@

bench-api: $B/parthaul-api ## what one processor of the API answers, into build/bench/api.md
	@tests/setup/deps.sh server bench
	@$B/venv/bin/python tests/bench/api.py

size: $B/wasm/named.wasm $(web) ## what each kilobyte of the web files is for
	@python3 tests/bench/size.py $<

distclean: clean ## and what was fetched
	rm -rf $B web/node_modules

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: all demo test check unit sim sim-mutants fuzz coverage bench-api size types lint format lambda install deps clean distclean help force
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# ---- What deps.sh installs, one stamp for each group ------------------------------------------

$D/server.ok: tests/setup/requirements.txt
$D/lint.ok: tests/setup/requirements-lint.txt
$D/node.ok: $(wildcard web/package-lock.json)
$D/%.ok: tests/setup/deps.sh
	@tests/setup/deps.sh $*

# ---- The library, three times --------------------------------------------------------------------

# Changes when CC does: one program is not linked of two compilers' objects.
$B/compiler: force
	@mkdir -p $B && echo '$(CC) $(CFLAGS)' | cmp -s - $@ || echo '$(CC) $(CFLAGS)' >$@

# $1 folder, $2 compiler, $3 archiver, $4 flags for our files, $5 flags for theirs, $6 group of deps.sh,
# $7 what says that the compiler is another one
define library
$B/$1/libparthaul.a: $(core:src/%.c=$B/$1/%.o) $(bearssl:%=$B/$1/bearssl/%.o) $B/$1/cjson.o
	$$(call show,AR)
	$$Q rm -f $$@ && $3 rcs $$@ $$^

$B/$1/core/%.o: src/core/%.c $7 | $D/build.ok $D/$6.ok
	$$(call show,CC)
	$$Q mkdir -p $$(@D) && $2 $(strict) $(include) $4 -MMD -MP -c $$< -o $$@

$B/$1/bearssl/%.o: $7 | $D/build.ok $D/$6.ok
	$$(call show,CC)
	$$Q mkdir -p $$(@D) && $2 -I$D/bearssl/inc -I$D/bearssl/src $5 -c $D/bearssl/src/$$*.c -o $$@

$B/$1/cjson.o: $7 | $D/build.ok $D/$6.ok
	$$(call show,CC)
	$$Q mkdir -p $$(@D) && $2 $5 -Dstrtod=ph_json_number -c $D/cjson/cJSON.c -o $$@
endef
$(eval $(call library,native,$(CC),$(AR),$$(CFLAGS),$(CFLAGS),build,$B/compiler))
$(eval $(call library,asan,$(CC),$(AR),-O1 -g $(sanitize),-O1 -g -fsanitize=address,build,$B/compiler))
$(eval $(call library,fuzz,$(FUZZ_CC),$(AR),-O1 -g $(sanitize) -fsanitize=fuzzer-no-link,-O1 \
	-fsanitize=address -fsanitize=fuzzer-no-link,fuzz))
$(eval $(call library,covered,$(FUZZ_CC),$(AR),$(covered),-O1,fuzz))
$(eval $(call library,wasm,$(EMCC),emar,$$(wasm),$$(wasm),wasm))
$(eval $(call library,scalar,$(EMCC),emar,$$(scalar),$$(scalar),wasm))

# ---- The programs ----------------------------------------------------------------------------------

$B/parthaul: $(cli:src/%.c=$B/native/%.o) $B/native/libparthaul.a
	$(call show,LD)
	$Q $(CC) $(CFLAGS) $(LDFLAGS) -pthread $^ $$(pkg-config --libs libcurl) -o $@

$B/parthaul-api: $(api:src/%.c=$B/native/%.o) $B/native/libparthaul.a
	$(call show,LD)
	$Q $(CC) $(CFLAGS) $(LDFLAGS) $^ $$(pkg-config --libs $(api_libs)) -o $@

$B/parthaul-lambda.zip: $B/parthaul-api src/api/lambda-zip.sh | $D/pack.ok
	$(call show,ZIP)
	$Q src/api/lambda-zip.sh $< $@

$B/native/%.o: src/%.c $B/compiler | $D/build.ok
	$(call show,CC)
	$Q mkdir -p $(@D) && $(CC) $(strict) $(include) $(CFLAGS) -MMD -MP -c $< -o $@

# What describes the API is served by it, so it is compiled in: its bytes as numbers.
$B/gen/openapi.inc: src/api/openapi.json
	$(call show,GEN)
	$Q mkdir -p $(@D) && od -v -An -tu1 $< | sed 's/[0-9][0-9]*/&,/g' >$@

$B/native/api/info.o $B/asan/api/info.o $B/fuzz/api/info.o: $B/gen/openapi.inc

# ---- The web files ---------------------------------------------------------------------------------

# One name a line in exports.txt; the linker knows them with an underscore. $1: flags of the build.
link_wasm = $(EMCC) $(strict) $(include) $1 $< $(filter %.a,$^) -o $@ \
	-sSTANDALONE_WASM --no-entry -sMALLOC=emmalloc -sFILESYSTEM=0 -sALLOW_MEMORY_GROWTH=1 \
	-sEXPORTED_FUNCTIONS=$$(sed -n 's/^[a-z]/_&/p' wasm/exports.txt | paste -sd,)

web/dist/parthaul.wasm: wasm/exports.c wasm/exports.txt $B/wasm/libparthaul.a
	$(call show,EMCC)
	$Q mkdir -p $(@D) && $(call link_wasm,$(wasm)) -MMD -MP -MT $@ -MF $B/wasm/exports.d

# For browsers and processors without SIMD; web/src/engine.js chooses.
web/dist/parthaul-scalar.wasm: wasm/exports.c wasm/exports.txt $B/scalar/libparthaul.a
	$(call show,EMCC)
	$Q mkdir -p $(@D) && $(call link_wasm,$(scalar)) -MMD -MP -MT $@ -MF $B/scalar/exports.d

$B/wasm/named.wasm: wasm/exports.c web/dist/parthaul.wasm $B/wasm/libparthaul.a
	$Q $(call link_wasm,$(wasm)) --profiling-funcs

# Only what the JSDoc says is written: the modules themselves are copied as they are.
web/dist/parthaul.d.ts: $(wildcard web/src/*.js web/src/*.d.ts) web/tsconfig.types.json | $D/node.ok
	$(call show,TSC)
	$Q web/node_modules/.bin/tsc -p web/tsconfig.types.json && touch $@

# The same modules in fewer bytes, with maps back to the sources that a browser's debugger shows.
web/dist/%.js: web/src/%.js | $D/node.ok
	$(call show,MIN)
	$Q web/node_modules/.bin/esbuild $< --minify --sourcemap --log-level=warning --outfile=$@

web/dist/%: web/src/%
	$(call show,COPY)
	$Q mkdir -p $(@D) && cp $< $@

# ---- The tests -------------------------------------------------------------------------------------

# malloc can be made to fail at the nth call, free to look for secrets: see tests/unit/test.h.
wrap := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free

# The tests of the core, twice: under the sanitizers, and to count where they pass. $1 is their folder,
# $2 the library's, $3 the compiler, $4 its flags.
define tests
$B/$1/test_%: tests/unit/test_%.c $B/$2/tests/test.o $B/$2/libparthaul.a
	$$(call show,TEST)
	$$Q mkdir -p $$(@D) && $3 $(strict) $(include) $4 \
		-MMD -MP -MT $$@ -MF $$@.d $$(filter tests/%.c %.o %.a,$$^) $(wrap) -o $$@

# A fuzz target without a fuzzer: it reads the files that it is given.
$B/$1/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c $B/$2/libparthaul.a
	$$(call show,TEST)
	$$Q mkdir -p $$(@D) && $3 $(strict) $(include) $4 \
		-MMD -MP -MT $$@ -MF $$@.d $$(filter %.c %.a,$$^) -o $$@

$B/$1/sim: $(wildcard tests/sim/*.c) $B/$2/libparthaul.a
	$$(call show,TEST)
	$$Q mkdir -p $$(@D) && $3 $(strict) $(include) $4 \
		-MMD -MP -MT $$@ -MF $$@.d $$(filter %.c %.a,$$^) $(wrap) -o $$@

# The border without a browser: the transcripts talk to it as they do to the module.
$B/$1/host: wasm/exports.c tests/transcripts/host.c $B/$2/libparthaul.a
	$$(call show,TEST)
	$$Q mkdir -p $$(@D) && $3 $(strict) $(include) $4 $$^ -o $$@

$B/$2/tests/test.o: tests/unit/test.c $B/compiler | $D/build.ok
	$$(call show,CC)
	$$Q mkdir -p $$(@D) && $3 $(strict) $(include) $4 -MMD -MP -c $$< -o $$@
endef
$(eval $(call tests,tests,asan,$(CC),-O1 -g $(sanitize)))
$(eval $(call tests,covered,covered,$(FUZZ_CC),$(covered)))

$B/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $B/fuzz/libparthaul.a
	$(call show,FUZZ)
	$Q $(FUZZ_CC) $(strict) $(include) -O1 -g $(sanitize) -fsanitize=fuzzer \
		-MMD -MP -MT $@ -MF $@.d $(filter %.c %.a,$^) -o $@

# Those of the API get all of it but main(), as its unit tests do.
$(api_fuzzers:%=$B/fuzz/%): $B/fuzz/%: tests/fuzz/%.c $B/fuzz/libapi.a $B/fuzz/libparthaul.a
	$(call show,FUZZ)
	$Q $(FUZZ_CC) $(strict) $(include) -O1 -g $(sanitize) -fsanitize=fuzzer \
		-MMD -MP -MT $@ -MF $@.d $(filter %.c %.a,$^) $$(pkg-config --libs $(api_libs)) -o $@

$(api_fuzzers:%=$B/tests/%): $B/tests/%: tests/fuzz/%.c tests/fuzz/replay.c $B/asan/libapi.a \
		$B/asan/libparthaul.a
	$(call show,TEST)
	$Q mkdir -p $(@D) && $(CC) $(strict) $(include) -O1 -g $(sanitize) \
		-MMD -MP -MT $@ -MF $@.d $(filter %.c %.a,$^) $$(pkg-config --libs $(api_libs)) -o $@

$B/fuzz/api/%.o: src/api/%.c | $D/build.ok $D/fuzz.ok
	$(call show,CC)
	$Q mkdir -p $(@D) && $(FUZZ_CC) $(strict) $(include) -O1 -g $(sanitize) \
		-fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@

# The API's tests call its routes without a socket, so they get all of it but main().
$B/tests/test_api_%: tests/unit/test_api_%.c $B/asan/tests/test.o $B/asan/libapi.a \
		$B/asan/libparthaul.a
	$(call show,TEST)
	$Q mkdir -p $(@D) && $(CC) $(strict) $(include) -O1 -g $(sanitize) \
		-MMD -MP -MT $@ -MF $@.d $(filter %.c %.o %.a,$^) $(wrap) \
		$$(pkg-config --libs $(api_libs)) -o $@

$B/asan/libapi.a: $(patsubst src/%.c,$B/asan/%.o,$(filter-out src/api/main.c,$(api)))
$B/fuzz/libapi.a: $(patsubst src/%.c,$B/fuzz/%.o,$(filter-out src/api/main.c,$(api)))
$B/asan/libapi.a $B/fuzz/libapi.a:
	$(call show,AR)
	$Q rm -f $@ && $(AR) rcs $@ $^

$B/sim: $(wildcard tests/sim/*.c) $B/native/libparthaul.a
	$(call show,LD)
	$Q $(CC) $(strict) $(include) $(CFLAGS) -MMD -MP -MT $@ -MF $B/native/sim.d \
		$(filter %.c %.a,$^) $(wrap) -o $@

# Where the constants of the kernels come from.
$B/tests/multiples: tests/kernels/multiples.c src/core/crc.def
	$(call show,TEST)
	$Q mkdir -p $(@D) && $(CC) $(strict) $(include) -O1 -g $(sanitize) $< -o $@

# The programs that the tests start, under the sanitizers too.
$B/tests/parthaul: $(cli:src/%.c=$B/asan/%.o) $B/asan/libparthaul.a
	$(call show,LD)
	$Q mkdir -p $(@D) && $(CC) $(sanitize) -pthread $^ $$(pkg-config --libs libcurl) -o $@

$B/tests/parthaul-api: $(api:src/%.c=$B/asan/%.o) $B/asan/libparthaul.a
	$(call show,LD)
	$Q mkdir -p $(@D) && $(CC) $(sanitize) $^ $$(pkg-config --libs $(api_libs)) -o $@

$B/asan/%.o: src/%.c $B/compiler | $D/build.ok
	$(call show,CC)
	$Q mkdir -p $(@D) && $(CC) $(strict) $(include) -O1 -g $(sanitize) -MMD -MP -c $< -o $@

-include $(wildcard $B/*/*.d $B/*/*/*.d)
