# SPDX-License-Identifier: MIT
libdraycore_a_SOURCES += \
	core/plan/ask.c \
	core/plan/check.c \
	core/plan/compose.c \
	core/plan/compose.h \
	core/plan/compose_plan.c \
	core/plan/condition.c \
	core/plan/condition.h \
	core/plan/dataset.c \
	core/plan/draft.c \
	core/plan/draft.h \
	core/plan/explain.c \
	core/plan/match.c \
	core/plan/parameters.c \
	core/plan/plan.c \
	core/plan/plan.h \
	core/plan/plan_json.c \
	core/plan/plan_parse.c \
	core/plan/plan_print.c \
	core/plan/planner.c \
	core/plan/policy.c \
	core/plan/policy_exception.c \
	core/plan/policy_test.c \
	core/plan/policy_history.c \
	core/plan/policy_set.c \
	core/plan/policy_signature.c \
	core/plan/prove.c \
	core/plan/recheck.c \
	core/plan/recipe.c \
	core/plan/recipe_cut.c \
	core/plan/recipe_text.c \
	core/plan/recipe_use.c \
	core/plan/request_key.c \
	core/plan/rule.c \
	core/plan/step.c \
	core/plan/wire.c \
	core/plan/workflow.c
