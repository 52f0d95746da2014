# SPDX-License-Identifier: MIT
# Unit tests, on cmocka. A test is one line here and a file of that name with .c behind it.

unit_tests += tests/unit/test_adopt
unit_tests += tests/unit/test_bag
unit_tests += tests/unit/test_base_memory
unit_tests += tests/unit/test_buffer
unit_tests += tests/unit/test_bytes
unit_tests += tests/unit/test_configuration
unit_tests += tests/unit/test_destination
unit_tests += tests/unit/test_diagnostic
unit_tests += tests/unit/test_digest
unit_tests += tests/unit/test_error
unit_tests += tests/unit/test_file_schema
unit_tests += tests/unit/test_filter_glob
unit_tests += tests/unit/test_filter_mime
unit_tests += tests/unit/test_filter_regex
unit_tests += tests/unit/test_filter_size
unit_tests += tests/unit/test_filter_time
unit_tests += tests/unit/test_filter_type
unit_tests += tests/unit/test_hpfs_commit
unit_tests += tests/unit/test_hpfs_compare
unit_tests += tests/unit/test_io
unit_tests += tests/unit/test_listing
unit_tests += tests/unit/test_load
unit_tests += tests/unit/test_log
unit_tests += tests/unit/test_made
unit_tests += tests/unit/test_manifest
unit_tests += tests/unit/test_memory
unit_tests += tests/unit/test_merge
unit_tests += tests/unit/test_merge_holder
unit_tests += tests/unit/test_merge_races
unit_tests += tests/unit/test_node
unit_tests += tests/unit/test_options
unit_tests += tests/unit/test_overlap
unit_tests += tests/unit/test_pattern
unit_tests += tests/unit/test_pattern_property
unit_tests += tests/unit/test_pipe
unit_tests += tests/unit/test_plan
unit_tests += tests/unit/test_plan_cost
unit_tests += tests/unit/test_plan_golden
unit_tests += tests/unit/test_plan_json
unit_tests += tests/unit/test_plan_key
unit_tests += tests/unit/test_plan_memory
unit_tests += tests/unit/test_plan_policy
unit_tests += tests/unit/test_plan_property
unit_tests += tests/unit/test_plan_prove
unit_tests += tests/unit/test_plan_renew
unit_tests += tests/unit/test_plan_renew_facts
unit_tests += tests/unit/test_plan_rules
unit_tests += tests/unit/test_plan_same
unit_tests += tests/unit/test_plan_signature
unit_tests += tests/unit/test_plan_recheck
unit_tests += tests/unit/test_plan_recipe
unit_tests += tests/unit/test_plugin_memory
unit_tests += tests/unit/test_pool
unit_tests += tests/unit/test_command_words
unit_tests += tests/unit/test_process
unit_tests += tests/unit/test_program_allowed
unit_tests += tests/unit/test_proof
unit_tests += tests/unit/test_recorded
unit_tests += tests/unit/test_registry
unit_tests += tests/unit/test_sandbox
unit_tests += tests/unit/test_sign
unit_tests += tests/unit/test_staged_list
unit_tests += tests/unit/test_step_memory
unit_tests += tests/unit/test_store
unit_tests += tests/unit/test_store_datasets
unit_tests += tests/unit/test_store_memory
unit_tests += tests/unit/test_store_open
unit_tests += tests/unit/test_store_past
unit_tests += tests/unit/test_store_recipes
unit_tests += tests/unit/test_store_verdicts
unit_tests += tests/unit/test_store_policies
unit_tests += tests/unit/test_store_take_up
unit_tests += tests/unit/test_sweep_race
unit_tests += tests/unit/test_symlinks
unit_tests += tests/unit/test_syntax
unit_tests += tests/unit/test_text
unit_tests += tests/unit/test_transform_rename
unit_tests += tests/unit/test_tree
unit_tests += tests/unit/test_tree_memory
unit_tests += tests/unit/test_verdict_list
unit_tests += tests/unit/test_verdict_memory
unit_tests += tests/unit/test_verdicts
unit_tests += tests/unit/test_walk

# What several tests share.
libdraytest_a_SOURCES = \
	tests/unit/failing.c \
	tests/unit/failing.h \
	tests/unit/filter_fixture.c \
	tests/unit/filter_fixture.h \
	tests/unit/made.c \
	tests/unit/made.h \
	tests/unit/made_plugins.c \
	tests/unit/made_plugins.h \
	tests/unit/merge_place.c \
	tests/unit/merge_place.h \
	tests/unit/plan_fixture.c \
	tests/unit/plan_fixture.h \
	tests/unit/stand_ins.c \
	tests/unit/stand_ins.h \
	tests/unit/store_fixture.h \
	tests/unit/tree_files.h

# What a test needs beyond the core.
tests_unit_test_command_words_LDADD = libdraycommand.la $(LDADD)
tests_unit_test_pattern_LDADD = libdraypattern.la $(LDADD)
tests_unit_test_pattern_LDFLAGS = $(fail_allocations)
tests_unit_test_pattern_property_LDADD = libdraypattern.la $(LDADD)

# A file system that answers as it is told.
tests_unit_test_merge_races_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=renameat2,--wrap=renameat,--wrap=linkat,--wrap=unlinkat,--wrap=fsync,--wrap=write,--wrap=syscall
tests_unit_test_sweep_race_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=renameat
tests_unit_test_adopt_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=syncfs
tests_unit_test_merge_holder_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fcntl,--wrap=fcntl64
tests_unit_test_hpfs_commit_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=renameat2,--wrap=renameat,--wrap=syncfs,--wrap=fsync

# A directory that cannot be read to its end.
tests_unit_test_merge_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=readdir

# These fail each allocation in turn: the linker sends our calls to failing.c.
fail_allocations = $(AM_LDFLAGS) \
	-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc \
	-Wl,--wrap=strdup,--wrap=strndup,--wrap=vasprintf
tests_unit_test_base_memory_LDFLAGS = $(fail_allocations)
tests_unit_test_configuration_LDFLAGS = $(fail_allocations)
tests_unit_test_proof_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=malloc,--wrap=calloc,--wrap=fstat,--wrap=getxattr
tests_unit_test_destination_LDFLAGS = $(fail_allocations)
tests_unit_test_file_schema_LDFLAGS = $(fail_allocations)
tests_unit_test_plugin_memory_LDFLAGS = $(fail_allocations)
tests_unit_test_store_memory_LDFLAGS = $(fail_allocations)
tests_unit_test_verdict_memory_LDFLAGS = $(fail_allocations)
tests_unit_test_verdicts_LDFLAGS = $(fail_allocations) -Wl,--wrap=dray_run_tell
tests_unit_test_tree_memory_LDFLAGS = $(fail_allocations)

# Plugins that are linked into their test, from objects of its own.
tests_unit_test_transform_rename_SOURCES = \
	plugins/transforms/rename_sort.c \
	tests/unit/test_transform_rename.c
tests_unit_test_transform_rename_CPPFLAGS = $(AM_CPPFLAGS)
tests_unit_test_step_memory_SOURCES = \
	plugins/transforms/rename_check.c \
	plugins/transforms/rename_link.c \
	plugins/transforms/rename_path.c \
	plugins/transforms/rename_regex.c \
	plugins/transforms/rename_safe.c \
	plugins/transforms/rename_sort.c \
	plugins/transforms/rename_tree.c \
	tests/unit/linked_mime.c \
	tests/unit/linked_regex.c \
	tests/unit/linked_rename.c \
	tests/unit/test_step_memory.c
tests_unit_test_step_memory_CPPFLAGS = $(AM_CPPFLAGS)
tests_unit_test_step_memory_LDADD = $(LDADD) $(MAGIC_LIBS) $(PCRE2_LIBS) $(UTF8PROC_LIBS)
tests_unit_test_step_memory_LDFLAGS = $(fail_allocations) \
	-Wl,--wrap=magic_open,--wrap=magic_load,--wrap=magic_buffer,--wrap=magic_errno \
	-Wl,--wrap=pcre2_compile_context_create_8,--wrap=pcre2_match_context_create_8 \
	-Wl,--wrap=pcre2_match_data_create_8,--wrap=pcre2_match_8,--wrap=pcre2_compile_8 \
	-Wl,--wrap=pcre2_substitute_8,--wrap=utf8proc_map

# These plan with stand-ins for plugins (plan_fixture.h).
stand_in_plugins = -Wl,--wrap=dray_registry_find,--wrap=dray_registry_names
tests_unit_test_plan_LDFLAGS = $(AM_LDFLAGS) $(stand_in_plugins)
tests_unit_test_plan_cost_LDFLAGS = $(AM_LDFLAGS) $(stand_in_plugins)
tests_unit_test_plan_golden_LDFLAGS = $(AM_LDFLAGS) $(stand_in_plugins)
tests_unit_test_plan_json_LDFLAGS = $(AM_LDFLAGS) $(stand_in_plugins)
tests_unit_test_plan_key_LDFLAGS = $(AM_LDFLAGS) $(stand_in_plugins)
tests_unit_test_plan_memory_LDFLAGS = $(fail_allocations) $(stand_in_plugins)
tests_unit_test_plan_policy_LDFLAGS = $(AM_LDFLAGS) $(stand_in_plugins)
tests_unit_test_plan_renew_LDFLAGS = $(AM_LDFLAGS) $(stand_in_plugins)
tests_unit_test_plan_renew_facts_LDFLAGS = $(AM_LDFLAGS) $(stand_in_plugins)
tests_unit_test_plan_rules_LDFLAGS = $(AM_LDFLAGS) $(stand_in_plugins)
tests_unit_test_plan_property_LDFLAGS = $(AM_LDFLAGS) $(stand_in_plugins)
tests_unit_test_plan_same_LDFLAGS = $(AM_LDFLAGS) $(stand_in_plugins)
tests_unit_test_plan_signature_LDFLAGS = $(AM_LDFLAGS) $(stand_in_plugins)
tests_unit_test_plan_recipe_LDFLAGS = $(AM_LDFLAGS) $(stand_in_plugins)
tests_unit_test_plan_recheck_LDFLAGS = $(AM_LDFLAGS) $(stand_in_plugins)
EXTRA_DIST += tests/unit/golden

if HAVE_CMOCKA
if !ENABLE_FUZZING
check_LIBRARIES += libdraytest.a
check_PROGRAMS += $(unit_tests)
test_support = libdraytest.a
TESTS = $(unit_tests)
test_libs = $(CMOCKA_LIBS)
endif
endif

# A program looks for its helpers beside itself, and here a test is the program.
test_helpers = tests/unit/dray-probe tests/unit/dray-runner
check_DATA = $(test_helpers)
CLEANFILES += $(test_helpers)
$(test_helpers):
	$(AM_V_GEN)$(MKDIR_P) $(@D) && rm -f $@ && $(LN_S) ../../$(@F) $@

# Tests run in the build directory; these say where sources and built plugins are.
AM_TESTS_ENVIRONMENT = \
	DRAY_SOURCE='$(abs_top_srcdir)'; export DRAY_SOURCE; \
	DRAY_BUILD='$(abs_top_builddir)'; export DRAY_BUILD;
