/* SPDX-License-Identifier: MIT */
/* replay_past.c - the stored verdicts of a job: read, put in order, and written as a list. */
#include <errno.h>
#include <string.h>

#include "core/api/replay.h"
#include "core/base/io.h"
#include "core/base/text.h"
#include "core/run/verdict_list.h"
#include "core/tree/tree.h"

void dray_past_free(struct dray_past *past)
{
    dray_arena_free(&past->arena);
    free(past->rows);
    json_decref(past->names);
    *past = (struct dray_past){0};
}

/* ---- reading */

struct reading {
    struct dray_past *past;
    struct dray_error *error;
};

static int take_row(void *arg, const struct dray_verdict_row *from)
{
    struct reading *reading = arg;
    struct dray_past *past = reading->past;
    char *path = dray_arena_text(&past->arena, from->path, from->path_length);

    if (!path || DRAY_GROW(past->rows, past->count, past->capacity) != 0)
        return dray_fail_memory(reading->error);
    past->rows[past->count++] = (struct dray_past_row){
        .path = path,
        .length = from->path_length,
        .bytes = from->bytes,
        .mtime = from->mtime,
        .type = from->type,
        .verdict = from->verdict,
    };
    return 0;
}

static int take_chunk(void *arg, const void *data, size_t length)
{
    struct reading *reading = arg;
    int result = dray_verdict_read(data, length, take_row, reading, reading->error);

    reading->past->unusable = result != 0 && result != DRAY_NO_MEMORY;
    return result;
}

static int compare_rows(const void *a, const void *b)
{
    const struct dray_past_row *one = a, *other = b;

    return dray_path_compare(one->path, one->length, other->path, other->length);
}

/* Behind a transform two entries may come from one of the source: it was kept where one was. */
static void merge_rows(struct dray_past *past)
{
    size_t count = 0;

    if (past->count > 1)
        qsort(past->rows, past->count, sizeof(*past->rows), compare_rows);
    for (size_t i = 0; i < past->count; i++) {
        struct dray_past_row *last = count > 0 ? &past->rows[count - 1] : NULL;
        if (!last || compare_rows(last, &past->rows[i]) != 0)
            past->rows[count++] = past->rows[i];
        else if (last->verdict != 'k' && past->rows[i].verdict == 'k')
            *last = past->rows[i];
    }
    past->count = count;
}

int dray_past_read(struct dray_store *store, const struct dray_plan *plan, const char *job,
                   size_t push, struct dray_past *past, struct dray_error *error)
{
    struct reading reading = {past, error};
    size_t alike = dray_plan_alike(plan, push);
    int result = dray_store_verdicts(store, job, plan->steps[push].id, take_chunk, &reading, error);

    for (size_t i = 0; result == 0 && i < plan->step_count; i++)
        if (i != push && plan->steps[i].role == DRAY_STEP_PUSH && dray_plan_alike(plan, i) == alike)
            result =
                dray_store_verdicts(store, job, plan->steps[i].id, take_chunk, &reading, error);
    if (result > 0)
        merge_rows(past);
    return result;
}

/* ---- writing */

/* An object a line; NULL: no memory. */
static char *line_of(const struct dray_past_row *row, int links)
{
    const char *type = row->type == 'd' ? "directory" : row->type == 'l' && links ? "link" : "file";
    json_t *line = json_pack("{s:s, s:I, s:I, s:s}", "type", type, "size", (json_int_t)row->bytes,
                             "mtime", (json_int_t)row->mtime, "link", "not-stored");
    char *text = line && dray_json_set_path(line, "path", row->path, row->length) == 0
                     ? json_dumps(line, JSON_COMPACT)
                     : NULL;

    json_decref(line);
    return text;
}

int dray_past_write(const struct dray_past *past, int links, int fd, struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 4u << 20};

    for (size_t i = 0; i < past->count; i++) {
        dray_autofree char *text = line_of(&past->rows[i], links);
        if (!text)
            return dray_fail_memory(error);
        dray_buffer_format(&out, "%s\n", text);
        if (out.length < (1u << 20) && i + 1 < past->count)
            continue;
        if (out.failed)
            return dray_fail_memory(error);
        if (dray_write_all(fd, out.data, out.length) != 0)
            return dray_fail_errno(error, errno, "writing a list of stored verdicts to scratch");
        dray_buffer_clear(&out);
    }
    return lseek(fd, 0, SEEK_SET) == 0
               ? 0
               : dray_fail_errno(error, errno, "reading a list of stored verdicts from scratch");
}
