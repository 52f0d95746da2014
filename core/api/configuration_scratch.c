/* SPDX-License-Identifier: MIT */
/* configuration_scratch.c - `scratch:` of the configuration: where it lies and what stays there. */
#include <string.h>

#include "core/api/configuration.h"
#include "core/base/io.h"
#include "core/base/text.h"

static const char *const scratch_keys[] = {"path", "keep_failed", "reserve"};

struct scratch {
    struct dray_diagnostics *diagnostics;
    struct dray_configuration_scratch *to;
};

#define problem(SCRATCH, NODE, ...)                                                                \
    dray_diagnose((SCRATCH)->diagnostics, (NODE)->place, DRAY_SEVERITY_ERROR, __VA_ARGS__)

static const char *what_of(const struct dray_node *node)
{
    return node->kind != DRAY_NODE_SCALAR ? dray_node_what(node)
           : node->length == 0            ? "nothing"
                                          : node->text;
}

static int read_path(struct scratch *scratch, const struct dray_node *node, const char *base)
{
    if (!node)
        return 0;
    if (node->kind != DRAY_NODE_SCALAR || node->length == 0) {
        problem(scratch, node, "`path` of `scratch` is a directory, not %s", what_of(node));
        return 0;
    }
    /* Whether it is there is said by who needs it: it may be a file system that is not mounted. */
    scratch->to->path = dray_path_absolute(base, node->text);
    return scratch->to->path ? 0 : DRAY_NO_MEMORY;
}

static void read_keep(struct scratch *scratch, const struct dray_node *node)
{
    const char *why = NULL;
    int64_t duration = 0;

    if (!node)
        return;
    if (node->kind == DRAY_NODE_SCALAR &&
        dray_duration_parse(node->text, node->length, &duration, &why) == 0 &&
        (duration >= 0 || duration == DRAY_NONE)) {
        scratch->to->keep_failed = duration;
        return;
    }
    problem(scratch, node, "`keep_failed` of `scratch` is a duration, not %s", what_of(node));
    dray_diagnose_hint(scratch->diagnostics, "for example 48h; 0s keeps nothing, none for ever");
}

/* "10%": 1 with the number. */
static int read_percent(const struct dray_node *node, int *ret_percent)
{
    const char *why = NULL;
    int64_t number = 0;

    if (node->length < 2 || node->text[node->length - 1] != '%' ||
        dray_int_parse(node->text, node->length - 1, &number, &why) != 0 || number < 0 ||
        number > 99)
        return 0;
    *ret_percent = (int)number;
    return 1;
}

static void read_reserve(struct scratch *scratch, const struct dray_node *node)
{
    const char *why = NULL;
    int64_t bytes = 0;

    if (!node ||
        (node->kind == DRAY_NODE_SCALAR && read_percent(node, &scratch->to->reserve_percent)))
        return;
    if (node->kind == DRAY_NODE_SCALAR &&
        dray_size_parse(node->text, node->length, &bytes, &why) == 0 && bytes >= 0) {
        scratch->to->reserve = bytes;
        return;
    }
    problem(scratch, node, "`reserve` of `scratch` is a size or a part of the whole, not %s",
            what_of(node));
    dray_diagnose_hint(scratch->diagnostics, "for example 500 GiB, or 10%%; at most 99%%");
}

int dray_configuration_scratch(const struct dray_node *node, const char *base,
                               struct dray_diagnostics *diagnostics,
                               struct dray_configuration_scratch *to)
{
    struct scratch scratch = {diagnostics, to};

    if (!node)
        return 0;
    if (node->kind != DRAY_NODE_MAPPING) {
        problem(&scratch, node, "`scratch` is a mapping, not %s", what_of(node));
        dray_diagnose_hint(diagnostics, "scratch: { path: DIRECTORY }");
        return 0;
    }
    dray_node_known_keys(node, "scratch", scratch_keys, DRAY_COUNT(scratch_keys), diagnostics);
    read_keep(&scratch, dray_node_get(node, "keep_failed"));
    read_reserve(&scratch, dray_node_get(node, "reserve"));
    return read_path(&scratch, dray_node_get(node, "path"), base);
}
