/* SPDX-License-Identifier: MIT */
/* target.c - dray target: where may be delivered for another user. */
#include <string.h>

#include "cmd/command.h"

/* The job that asks for it would wait for a person. */
#define NOT_CLAIMED 6

static void print_claim(const json_t *claim)
{
    static const struct {
        const char *by, *what;
    } shown[] = {{"owner", "owns"},
                 {"group", "may write in, by a group,"},
                 {"acl", "may write in, by an ACL,"},
                 {"claim", "has claimed"}};
    const char *by = json_string_value(json_object_get(claim, "by"));

    for (size_t i = 0; by && i < DRAY_COUNT(shown); i++)
        if (strcmp(shown[i].by, by) == 0) {
            (void)printf("%s %s ", text(claim, "user"), shown[i].what);
            print_text(stdout, text(claim, "directory"));
            (void)puts(": it may be delivered into");
        }
    if (by)
        return;
    print_text(stdout, text(claim, "directory"));
    if (!json_is_string(json_object_get(claim, "file"))) {
        (void)printf(" is not for %s, who cannot claim it either: they may not write in it, or not "
                     "search what is above it\n",
                     text(claim, "user"));
        return;
    }
    (void)printf(" is not claimed for %s, who claims it by making this file:\n  touch ",
                 text(claim, "user"));
    dray_autofree char *file = dray_format("%s/%s", text(claim, "directory"), text(claim, "file"));
    print_word(stdout, file ? file : text(claim, "file"));
    (void)fputc('\n', stdout);
}

static int claim(struct work *work)
{
    json_t *answer = NULL;

    if (work_open(work) != 0 || dray_api_claim(work->api, work->options->arguments[1],
                                               &work->diagnostics, &answer, &work->error) != 0)
        return work_fail(work);
    int claimed = json_is_string(json_object_get(answer, "by"));
    if (work->options->json) {
        int status = print_json(answer);
        return status != 0 || claimed ? status : NOT_CLAIMED;
    }
    print_claim(answer);
    json_decref(answer);
    return claimed ? 0 : NOT_CLAIMED;
}

static const struct verb verbs[] = {
    {"claim", " DIRECTORY --for USER", "Wn", 1, 1, claim},
};
const struct verbs target_verbs = {verbs, DRAY_COUNT(verbs)};

int command_target(struct options *options)
{
    return run_verb(options, "target", &target_verbs);
}
