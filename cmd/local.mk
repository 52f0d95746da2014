# SPDX-License-Identifier: MIT
# Programs: thin mains over the core. dray is for people; the others are started by it.

program_libs = libdraycore.a $(core_libs)

bin_PROGRAMS += dray
dray_SOURCES = \
	cmd/command.h \
	cmd/admin.c \
	cmd/cancel.c \
	cmd/cost.c \
	cmd/dataset.c \
	cmd/deliver.c \
	cmd/dray.c \
	cmd/init.c \
	cmd/look.c \
	cmd/options.c \
	cmd/output.c \
	cmd/policy.c \
	cmd/policy.h \
	cmd/policy_look.c \
	cmd/policy_replay.c \
	cmd/recipe.c \
	cmd/target.c \
	cmd/verb.c
dray_LDADD = $(program_libs)

pkglibexec_PROGRAMS += dray-probe
dray_probe_SOURCES = cmd/dray-probe.c
dray_probe_LDADD = $(program_libs)

pkglibexec_PROGRAMS += dray-runner
dray_runner_SOURCES = cmd/dray-runner.c
dray_runner_LDADD = $(program_libs)
