# SPDX-License-Identifier: ISC
#
# Attacks on the bytes of segments and streams, and the models; included by tests.mk.
#
# make fuzz [SECONDS=60]  each target that long, on a growing corpus in build/fuzz; what is found stays there too
# make fuzz-smoke         the corpus in the tree, and five seconds of each target, as TAP

FUZZ = build/fuzz
FUZZ_TARGETS = $(FUZZ)/segment $(FUZZ)/lengths
FUZZ_CLANG = clang -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -O1 -g -fno-strict-aliasing -fno-omit-frame-pointer \
	-Wall -Wextra -Wconversion -Wshadow -Ilib -Icmd -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_LIB = $(LIB:%=$(FUZZ)/lib-%.o) $(if $(wildcard lib/attempt.c),$(FUZZ)/lib-attempt.o)
FUZZ_INPUT = $(patsubst %,$(FUZZ)/cmd-%.o,$(filter input%,$(CMD)))
SECONDS = 60

EXTRA_CHECKS += "tests/model/run" "tests/fuzz/run smoke" "$(FUZZ)/sweep" "$(FUZZ)/words" "$(FUZZ)/live 5"
LINT_SH += tests/model/run tests/fuzz/run

check: $(FUZZ)/sweep $(FUZZ)/words $(FUZZ)/live

$(FUZZ)/lib-%.o: lib/%.c $(wildcard lib/*.h)
	@mkdir -p $(@D)
	$(FUZZ_CLANG) -fsanitize=fuzzer-no-link -c -o $@ $<

$(FUZZ)/cmd-%.o: cmd/%.c $(wildcard lib/*.h cmd/*.h)
	@mkdir -p $(@D)
	$(FUZZ_CLANG) -fsanitize=fuzzer-no-link -c -o $@ $<

$(FUZZ)/segment: tests/fuzz/segment.c tests/fuzz/world.h $(sort $(FUZZ_LIB))
	$(FUZZ_CLANG) -fsanitize=fuzzer -o $@ $(filter %.c %.o,$^) -lpthread

$(FUZZ)/lengths: tests/fuzz/lengths.c tests/fuzz/world.h $(FUZZ_INPUT) $(sort $(FUZZ_LIB))
	$(FUZZ_CLANG) -fsanitize=fuzzer -o $@ $(filter %.c %.o,$^) -lpthread

$(FUZZ)/sweep $(FUZZ)/words $(FUZZ)/live: $(FUZZ)/%: tests/fuzz/%.c tests/fuzz/world.h tests/unit/tap.h build/lib/libmpq.a $(BUILD)/settings
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Ilib -o $@ $< build/lib/libmpq.a -lpthread

# The first target without libFuzzer, for other builds.
$(FUZZ)/replay: tests/fuzz/replay.c tests/fuzz/segment.c tests/fuzz/world.h tests/unit/tap.h build/lib/libmpq.a $(BUILD)/settings
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Ilib -o $@ $(filter tests/fuzz/%.c,$^) build/lib/libmpq.a -lpthread

fuzz-targets: $(FUZZ_TARGETS)

fuzz:
	tests/fuzz/run long $(SECONDS)

fuzz-smoke:
	tests/fuzz/run smoke

.PHONY: fuzz fuzz-smoke fuzz-targets
