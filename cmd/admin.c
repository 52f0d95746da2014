/* SPDX-License-Identifier: MIT */
/* admin.c - dray admin: what keeps an installation in order. */
#include <string.h>

#include "cmd/command.h"
#include "core/base/text.h"

static void print_item(const json_t *item, int dry)
{
    char bytes[24];
    const char *verb = !json_is_true(json_object_get(item, "removed")) ? "stays"
                       : dry                                           ? "goes"
                                                                       : "removed";

    (void)printf("%-8s %10s  ", verb, dray_size_print(number(item, "bytes"), bytes));
    print_text(stdout, text(item, "path"));
    (void)fputs(": ", stdout);
    print_text(stdout, text(item, "why"));
    if (json_object_get(item, "until"))
        (void)printf(", until %s", text(item, "until"));
    (void)fputc('\n', stdout);
}

static void print_answer(const json_t *answer)
{
    const json_t *items = json_object_get(answer, "items"), *item;
    int dry = json_is_true(json_object_get(answer, "dry_run"));
    char removed[24], kept[24];
    size_t i;

    json_array_foreach(items, i, item) print_item(item, dry);
    (void)printf("%s %s, %s stay\n", dray_size_print(number(answer, "removed_bytes"), removed),
                 dry ? "would be removed" : "removed",
                 dray_size_print(number(answer, "kept_bytes"), kept));
}

static int gc(struct work *work)
{
    json_t *answer = NULL;
    int result = work_open(work);

    if (result == 0)
        result = dray_api_gc(work->api, work->options->dry_run, &answer, &work->diagnostics,
                             &work->error);
    if (answer && work->options->json && result == 0)
        return print_json(answer);
    if (answer && !work->options->json)
        print_answer(answer);
    int status = result != 0 ? report(work->options, &work->error, &work->diagnostics, answer) : 0;
    json_decref(answer);
    return status;
}

static const struct verb verbs[] = {{"gc", " [--dry-run]", "r", 0, 0, gc}};
const struct verbs admin_verbs = {verbs, DRAY_COUNT(verbs)};

int command_admin(struct options *options)
{
    return run_verb(options, "admin", &admin_verbs);
}
