/* SPDX-License-Identifier: MIT */
/* push.c - the workflow that `dray push` stands for, and that `dray init` writes. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/api/api.h"
#include "core/base/io.h"
#include "core/base/text.h"

/* A double-quoted YAML scalar; bytes that are no UTF-8 cannot stand in YAML. */
static int add_quoted(struct dray_buffer *out, const char *text, struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer plain = {.cap = 1u << 20};
    size_t length = strlen(text);

    if (!dray_utf8_valid(text, length)) {
        dray_fail(error, DRAY_INVALID, "%s is not UTF-8, and a workflow can hold nothing else",
                  text);
        dray_hint(error, "names of files in a dataset may be any bytes; the path of the dataset "
                         "itself,\nof the target, and patterns may not");
        return error->class_;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '$' && text[i + 1] == '{')
            dray_buffer_text(&plain, "$"); /* it is no parameter */
        dray_buffer_add(&plain, &text[i], 1);
    }
    if (plain.failed)
        return dray_fail_memory(error);
    dray_quote_add(out, plain.data ? plain.data : "");
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

/* What `dray init` says around it. */
static const char head_comment[] =
    "# A workflow, made by dray init. It delivers as it stands; change it as you like.\n"
    "#\n"
    "#   dray check FILE      what is wrong with it, all of it at once\n"
    "#   dray preview FILE    each entry with its verdict; nothing is delivered\n"
    "#   dray run FILE        deliver\n"
    "#\n"
    "# Every key is in dray-workflow(5), every option of a plugin in dray-plugins(5), and in what\n"
    "# dray plugin show KIND/NAME prints. Editors with a YAML language server complete and check\n"
    "# this file when they know its schema: dray check --schema workflow > workflow.schema.json,\n"
    "# and then, as the first line here, a comment of yaml-language-server: "
    "$schema=workflow.schema.json\n"
    "version: 1\n"
    "\n"
    "# For people. Without it, the dataset's name.\n"
    "# name: what this delivery is\n"
    "\n"
    "# What is delivered: a directory, a file or an archive. --dataset names another one.\n"
    "dataset: ";
static const char top_comment[] =
    "\n\n"
    "# What ${NAME} stands for below; --set lab=smith sets one on the command line.\n"
    "# parameters:\n"
    "#   lab: { type: string, default: smith }\n"
    "\n"
    "# Links are kept, skipped, copied (the file that they name) or refused (fail). Directories\n"
    "# that filters leave empty are left out, or kept.\n"
    "# tree: { symlinks: keep, keep_empty_dirs: false }\n"
    "\n"
    "# From the top to the bottom: each step takes the tree of the one above.\n"
    "steps:\n"
    "  # Check the dataset against a list of its own that sha256sum wrote.\n"
    "  # - id: verify\n"
    "  #   uses: validate\n"
    "  #   with: { manifest: manifest-sha256.txt }\n"
    "\n"
    "  # Which part of it. What `exclude` matches is dropped, whatever `include` says; without\n"
    "  # `include` everything else is kept. A pattern matches at any depth, after a leading / "
    "only\n"
    "  # at the root; quote each.\n";
static const char pick_comment[] = "  # - id: pick\n"
                                   "  #   uses: filter/glob\n"
                                   "  #   with:\n"
                                   "  #     include: [\"*.nc\", \"tables/\"]\n"
                                   "  #     exclude: [\"tmp/\"]\n";
static const char target_comment[] = "\n"
                                     "  # Where it goes. `into: DIR` puts it into DIR, under the "
                                     "dataset's name; `path: DIR` makes it\n"
                                     "  # DIR itself. It is there whole or not at all. More pushes "
                                     "may follow: all get the same tree.\n";
static const char tail_comment[] = "    # timeout: 24h\n"
                                   "    # retry: { tries: 3, backoff: 10s, max_backoff: 10m }\n";

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
    if (to[0] == '~') {
        dray_fail(error, DRAY_INVALID, "--to %s: only a shell knows what ~ stands for", to);
        dray_hint(error,
                  "write it without quotes, or the whole path; ./%s is what is called so here", to);
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

static int add_pick(struct dray_buffer *out, const struct dray_workflow_draft *draft,
                    struct dray_error *error)
{
    dray_buffer_text(out, "  - id: pick\n    uses: filter/glob\n    with:\n");
    int result = add_list(out, "include", draft->include, draft->include_count, error);

    return result != 0 ? result
                       : add_list(out, "exclude", draft->exclude, draft->exclude_count, error);
}

static int make(const struct dray_workflow_draft *draft, int comments, struct dray_buffer *out,
                struct dray_error *error)
{
    dray_autofree char *here = getcwd(NULL, 0);
    if (!here)
        return dray_fail_errno(error, errno, "finding the working directory");
    dray_autofree char *settled = settle(here, draft->dataset);

    if (!settled)
        return dray_fail_memory(error);
    dray_buffer_text(out, comments ? head_comment : "version: 1\nname: dray push\ndataset: ");
    int result = add_quoted(out, settled, error);
    dray_buffer_text(out, comments ? top_comment : "\nsteps:\n");
    if (result == 0 && draft->include_count + draft->exclude_count > 0)
        result = add_pick(out, draft, error);
    else if (comments)
        dray_buffer_text(out, pick_comment);
    dray_buffer_text(out, comments ? target_comment : "");
    if (result == 0)
        result = add_target(out, here, draft->to, error);
    dray_buffer_text(out, comments ? tail_comment : "");
    return result == 0 && out->failed ? dray_fail_memory(error) : result;
}

int dray_api_push_workflow(const struct dray_workflow_draft *draft, char **ret_text,
                           struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 1u << 20};
    int result = make(draft, 0, &out, error);

    if (result == 0)
        *ret_text = DRAY_TAKE(out.data);
    return result;
}

int dray_api_init_workflow(const struct dray_workflow_draft *draft, char **ret_text,
                           struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 1u << 20};
    int result = make(draft, 1, &out, error);

    if (result == 0)
        *ret_text = DRAY_TAKE(out.data);
    return result;
}
