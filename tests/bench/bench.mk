# SPDX-License-Identifier: ISC
#
# Benchmarks; included by tests/tests.mk. See tests/bench/README.md.
#
#   make bench            tables on standard output
#   make bench-report     build/bench/report.md, rate.svg, consumers.svg
#   make bench BENCH="-s 0.1 b d"      options and tables of tests/bench/run

BENCH =
BENCH_DIR = $(BUILD)/bench
BENCH_PEERS = $(BENCH_DIR)/empty $(BENCH_DIR)/tools $(BENCH_DIR)/pipe $(BENCH_DIR)/posixmq $(BENCH_DIR)/futex \
	$(if $(wildcard /usr/include/boost/interprocess/ipc/message_queue.hpp),$(BENCH_DIR)/boost)
BENCH_CXX = g++
BENCH_CXXFLAGS = -std=gnu++17 $(OPT) -Wall -Wextra -Wshadow
LINT_SH += tests/bench/run

bench: bench-build
	BUILD=$(BUILD) tests/bench/run $(BENCH)

bench-report: bench-build
	BUILD=$(BUILD) tests/bench/run -o $(BENCH_DIR) $(BENCH)

bench-build: all $(BUILD)/bin/mpq-bench $(BENCH_PEERS)

$(BENCH_DIR)/%.o: tests/bench/%.c $(BUILD)/settings
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Ilib -MMD -MP -c -o $@ $<

$(BENCH_DIR)/boost.o: tests/bench/boost.cpp tests/bench/channel.h
	@mkdir -p $(@D)
	$(BENCH_CXX) $(BENCH_CXXFLAGS) -c -o $@ $<

$(BUILD)/bin/mpq-bench: $(BENCH_DIR)/mpq-bench.o $(BENCH_DIR)/driver.o $(BENCH_DIR)/clock.o $(BUILD)/lib/libmpq.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The same C library and the same way to link as the commands, for the peers too: what differs is the queue.
$(BENCH_DIR)/empty: $(BENCH_DIR)/empty.o
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^

$(BENCH_DIR)/tools: $(BENCH_DIR)/tools.o $(BENCH_DIR)/clock.o
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^

$(BENCH_DIR)/pipe $(BENCH_DIR)/posixmq $(BENCH_DIR)/futex: $(BENCH_DIR)/%: $(BENCH_DIR)/%.o $(BENCH_DIR)/plain.o \
		$(BENCH_DIR)/driver.o $(BENCH_DIR)/clock.o
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^

# C++ comes with the compiler's own C library, so what else it is made of is compiled apart from the others'.
BOOST_REST = $(BENCH_DIR)/boost-plain.o $(BENCH_DIR)/boost-driver.o $(BENCH_DIR)/boost-clock.o

$(BOOST_REST): $(BENCH_DIR)/boost-%.o: tests/bench/%.c tests/bench/channel.h $(BUILD)/settings
	@mkdir -p $(@D)
	gcc $(subst $(LIBC_CFLAGS),,$(ALL_CFLAGS)) -c -o $@ $<

$(BENCH_DIR)/boost: $(BENCH_DIR)/boost.o $(BOOST_REST)
	$(BENCH_CXX) -o $@ $^

.PHONY: bench bench-report bench-build
