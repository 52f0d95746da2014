/* SPDX-License-Identifier: MIT */
/* sharing.c - what the catalog says of the same bytes under other names, of what they are a part of
 * and of parts of them: rules are judged by that, too, so that no row of the catalog hides what
 * another one says. */
#include "core/plan/draft.h"

#include <string.h>

#include "core/base/text.h"

struct sharing {
    struct dray_draft *draft;
    const struct dray_plan_request *request;
    json_t *seen; /* ids of rows that are weighed already */
};

/* 1 where it was noted before; -1 when memory is out. */
static int note(struct sharing *sharing, const json_t *dataset)
{
    dray_autofree char *id =
        dray_format("%lld", (long long)json_integer_value(json_object_get(dataset, "id")));

    if (id && json_object_get(sharing->seen, id))
        return 1;
    return id ? json_object_set_new(sharing->seen, id, json_true()) : -1;
}

static int add_row(struct sharing *sharing, const json_t *dataset)
{
    const char *name = json_string_value(json_object_get(dataset, "name"));
    int seen = note(sharing, dataset);

    if (seen != 0)
        return seen > 0 ? 0 : dray_fail_memory(sharing->draft->error);
    json_t *facts = dray_draft_facts_of(sharing->request, name);
    /* From here on the array owns them, whatever fails. */
    if (json_array_append_new(sharing->draft->facts, facts) != 0 ||
        dray_facts_of_dataset(facts, dataset) != 0)
        return dray_fail_memory(sharing->draft->error);
    return 0;
}

static int add_rows(struct sharing *sharing, const char *source)
{
    const struct dray_catalog *catalog = sharing->draft->catalog;
    json_t *rows = NULL, *row;
    size_t i;
    int result = catalog->sharing(catalog->arg, source, &rows, sharing->draft->error);

    json_array_foreach(rows, i, row)
    {
        if (result == 0)
            result = add_row(sharing, row);
    }
    json_decref(rows);
    return result;
}

/* What is read elsewhere than the dataset, once for each place. */
static int add_reads(struct sharing *sharing, size_t index)
{
    const struct dray_draft *draft = sharing->draft;
    const char *reads = draft->steps[index].reads;
    int again = reads && draft->dataset_path && strcmp(reads, draft->dataset_path) == 0;

    for (size_t i = 0; reads && !again && i < index; i++)
        again = draft->steps[i].reads && strcmp(reads, draft->steps[i].reads) == 0;
    return reads && !again ? add_rows(sharing, reads) : 0;
}

int dray_draft_facts_of_sharing(struct dray_draft *draft, const struct dray_plan_request *request)
{
    struct sharing sharing = {.draft = draft, .request = request, .seen = json_object()};
    /* The path of what is known is its source; what no row has a name for is known by its place. */
    const char *source = draft->dataset_path ? draft->dataset_path
                         : draft->known ? json_string_value(json_object_get(draft->known, "source"))
                                        : draft->dataset_id;
    int result = sharing.seen && (!draft->known || note(&sharing, draft->known) == 0)
                     ? 0
                     : dray_fail_memory(draft->error);

    if (result == 0 && source)
        result = add_rows(&sharing, source);
    for (size_t i = 0; result == 0 && i < draft->step_count; i++)
        result = add_reads(&sharing, i);
    json_decref(sharing.seen);
    return result;
}
