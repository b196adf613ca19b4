# SPDX-License-Identifier: ISC
#
# What compilers, sanitizers and instruments say of the code; included by tests.mk.
#
#   make tsan          threads that do all operations at once, under the thread sanitizer, and faults that it must report

EXTRA_CHECKS += "tests/clean/tsan lib $(BUILD)/tsan 10"
LINT_SH += tests/clean/tsan

tsan:
	CC="$(CC)" tests/clean/tsan lib $(BUILD)/tsan 200 mutants

.PHONY: tsan
