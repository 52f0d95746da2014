# SPDX-License-Identifier: MIT
# Fuzzers, on libFuzzer. A fuzzer is one line here and a file of that name with .c behind it; files
# in tests/fuzz/corpus/NAME, where there are any, are what it starts from; for YAML the golden files
# of the unit tests too.

fuzzers += tests/fuzz/fuzz_adopt
fuzzers += tests/fuzz/fuzz_glob
fuzzers += tests/fuzz/fuzz_listing
fuzzers += tests/fuzz/fuzz_plan
fuzzers += tests/fuzz/fuzz_recorded
fuzzers += tests/fuzz/fuzz_verdicts
fuzzers += tests/fuzz/fuzz_yaml

tests_fuzz_fuzz_glob_LDADD = libdraypattern.la $(LDADD)

tests_fuzz_fuzz_plan_SOURCES = tests/fuzz/fuzz_plan.c tests/unit/stand_ins.c tests/unit/stand_ins.h
tests_fuzz_fuzz_plan_LDFLAGS = $(AM_LDFLAGS) $(stand_in_plugins)

EXTRA_DIST += tests/fuzz/corpus

if ENABLE_FUZZING
noinst_PROGRAMS += $(fuzzers)
test_libs = $(FUZZ_LDFLAGS)
endif

# `make fuzz` runs each for a while; what one finds stays in tests/fuzz/found/NAME.
FUZZ_SECONDS = 10

fuzz: $(fuzzers)
	@failed=; for fuzzer in $(fuzzers); do \
	    name=$${fuzzer##*/fuzz_}; found=tests/fuzz/found/$$name; \
	    seeds='$(srcdir)'/tests/fuzz/corpus/$$name; test -d "$$seeds" || seeds=; \
	    golden='$(srcdir)'/tests/unit/golden; \
	    case $$name in plan|yaml) seeds="$$seeds $$golden/workflows $$golden/policies";; esac; \
	    $(MKDIR_P) $$found; \
	    if ./$$fuzzer -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 \
	        -print_final_stats=1 -artifact_prefix=$$found/ $$found $$seeds >$$found.log 2>&1; \
	    then echo "PASS: $$fuzzer: $$(grep -o 'number_of_executed_units: .*' $$found.log)"; \
	    else echo "FAIL: $$fuzzer"; tail -n 60 $$found.log; failed=yes; fi; \
	done; test -z "$$failed"

.PHONY: fuzz
