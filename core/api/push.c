/* SPDX-License-Identifier: MIT */
/* push.c - the workflow that `dray push` stands for. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/api/api.h"
#include "core/base/io.h"
#include "core/base/text.h"

/* A double-quoted YAML scalar; bytes that are no UTF-8 cannot stand in YAML. */
static int add_quoted(struct dray_buffer *out, const char *text, struct dray_error *error)
{
    size_t length = strlen(text);

    if (!dray_utf8_valid(text, length)) {
        dray_fail(error, DRAY_INVALID, "%s is not UTF-8, and a workflow can hold nothing else",
                  text);
        dray_hint(error, "names of files in a dataset may be any bytes; the path of the dataset "
                         "itself,\nof the target, and patterns may not");
        return error->class_;
    }
    dray_buffer_text(out, "\"");
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            dray_buffer_format(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            dray_buffer_format(out, "\\x%02x", c);
        else if (c == '$' && text[i + 1] == '{')
            dray_buffer_text(out, "$$");
        else
            dray_buffer_add(out, &text[i], 1);
    }
    dray_buffer_text(out, "\"");
    return 0;
}

static int add_list(struct dray_buffer *out, const char *name, const char *const *items,
                    size_t count, struct dray_error *error)
{
    int result = 0;

    if (count == 0)
        return 0;
    dray_buffer_format(out, "      %s: [", name);
    for (size_t i = 0; result == 0 && i < count; i++) {
        dray_buffer_text(out, i > 0 ? ", " : "");
        result = add_quoted(out, items[i], error);
    }
    dray_buffer_text(out, "]\n");
    return result;
}

/* A path, as the command line writes one, made absolute; a catalog name as it is. */
static char *settle(const char *here, const char *argument)
{
    return dray_is_path(argument) ? dray_path_absolute(here, argument) : strdup(argument);
}

static int add_target(struct dray_buffer *out, const char *here, const char *to,
                      struct dray_error *error)
{
    size_t length = strlen(to);
    const char *colon = strstr(to, "://");

    if (colon) {
        dray_fail(error, DRAY_INVALID, "this release has no push plugin for %.*s:// targets",
                  (int)(colon - to), to);
        dray_hint(error, "deliver to a directory:  --to /path/to/parent/");
        return error->class_;
    }
    dray_autofree char *path = length > 0 ? dray_path_absolute(here, to) : NULL;
    if (length == 0)
        return dray_fail(error, DRAY_INVALID, "--to is empty: it takes a directory");
    if (!path)
        return dray_fail_memory(error);
    dray_buffer_text(out, "  - id: deliver\n    uses: push/hpfs\n    with: { ");
    dray_buffer_text(out, to[length - 1] == '/' ? "into: " : "path: ");
    int result = add_quoted(out, path, error);
    dray_buffer_text(out, " }\n");
    return result;
}

int dray_api_push_workflow(const char *dataset, const char *to, const char *const *include,
                           size_t include_count, const char *const *exclude, size_t exclude_count,
                           char **ret_text, struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 1u << 20};
    dray_autofree char *here = getcwd(NULL, 0);
    if (!here)
        return dray_fail_errno(error, errno, "finding the working directory");
    dray_autofree char *settled = settle(here, dataset);

    if (!settled)
        return dray_fail_memory(error);
    dray_buffer_text(&out, "version: 1\nname: dray push\ndataset: ");
    int result = add_quoted(&out, settled, error);
    dray_buffer_text(&out, "\nsteps:\n");
    if (result == 0 && include_count + exclude_count > 0) {
        dray_buffer_text(&out, "  - id: pick\n    uses: filter/glob\n    with:\n");
        result = add_list(&out, "include", include, include_count, error);
        if (result == 0)
            result = add_list(&out, "exclude", exclude, exclude_count, error);
    }
    if (result == 0)
        result = add_target(&out, here, to, error);
    if (result == 0 && out.failed)
        result = dray_fail_memory(error);
    if (result == 0)
        *ret_text = DRAY_TAKE(out.data);
    return result;
}
