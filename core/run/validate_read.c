/* SPDX-License-Identifier: MIT */
/* validate_read.c - `read: now`: every file of a dataset from end to end, before a filter leaves
 * any of them out. */
#include <string.h>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/run/run.h"
#include "core/tree/recorded.h"

/* Files that one task reads, and how much of one at once. */
#define CHUNK 32u
#define PIECE ((size_t)256 << 10)

struct reading {
    struct dray_step_run *step;
    const struct dray_tree *tree;
    pthread_mutex_t lock; /* guards what follows */
    struct dray_error error;
    struct dray_error changed; /* what was said of the first that is not what is recorded */
    uint8_t *differs;          /* by entry */
    uint64_t files, bytes, compared;
};

/* For whoever makes a record of it. */
static void tell_found(struct dray_step_run *step, const struct dray_tree_entry *entry,
                       const uint8_t *sha256)
{
    char hex[DRAY_SHA256_HEX];

    dray_hex(sha256, DRAY_SHA256_BYTES, hex);
    json_t *event = NULL;
    json_t *file = json_pack("{s:I, s:s}", "size", (json_int_t)entry->bytes, "sha256", hex);
    if (file && dray_json_set_path(file, "path", entry->path, entry->path_length) == 0)
        event =
            json_pack("{s:s, s:s, s:O}", "event", "found", "step", step->step->id, "file", file);
    json_decref(file);
    dray_validate_send(step, event);
}

static int read_to_end(struct dray_call *call, const struct dray_tree_entry *entry, void *piece)
{
    struct dray_run *run = call->step->run;
    struct dray_bytes bytes;
    uint8_t sha256[DRAY_SHA256_BYTES];
    int64_t got = 1;

    int result = dray_bytes_open(&bytes, run->roots, entry, &call->error);
    if (result != 0)
        return result;
    while (got > 0) {
        if (dray_run_cancelled(run))
            got = dray_fail(&call->error, DRAY_CANCELLED, "cancelled");
        else
            got = dray_bytes_read(&bytes, piece, PIECE, &call->error);
        if (got > 0)
            dray_service_progress(&call->ctx, 0, (uint64_t)got);
    }
    if (got == 0) {
        result = dray_bytes_close(&bytes, sha256, &call->error);
        if (result == 0 && run->recording)
            tell_found(call->step, entry, sha256);
        return result;
    }
    struct dray_error first = call->error;
    if (dray_bytes_close(&bytes, NULL, &call->error) != 0 || got < 0)
        call->error = first; /* what came first is the reason */
    return call->error.class_;
}

/* Who asks what of a dataset is as recorded wants to hear of the other files, too. A record that is
 * made must be of all. */
static int is_finding(const struct dray_run *run, int class_)
{
    return run->verifying && !run->recording && class_ != DRAY_CANCELLED &&
           class_ != DRAY_NO_MEMORY && class_ != DRAY_BUG && class_ != DRAY_INTEGRITY;
}

/* What differs is noted, and the others are read too; anything else ends the pass. */
static int note(struct reading *reading, struct dray_call *call, size_t index, int result)
{
    pthread_mutex_lock(&reading->lock);
    if (result == 0 || result == DRAY_INTEGRITY) {
        reading->files++;
        reading->bytes += reading->tree->entries[index]->bytes;
        reading->compared +=
            (reading->tree->entries[index]->flags & (DRAY_ENTRY_SHA256 | DRAY_ENTRY_MD5)) != 0;
    }
    if (result == DRAY_INTEGRITY) {
        reading->differs[index] = 1;
        if (reading->changed.class_ == 0)
            reading->changed = call->error;
        if (reading->step->run->verifying)
            dray_validate_tell(reading->step, "changed", reading->tree->entries[index]->path,
                               reading->tree->entries[index]->path_length, call->error.message);
        call->error.class_ = result = 0;
    } else if (result != 0 && is_finding(reading->step->run, result)) {
        dray_validate_tell(reading->step, "unreadable", reading->tree->entries[index]->path,
                           reading->tree->entries[index]->path_length, call->error.message);
        call->error.class_ = result = 0;
    } else if (result != 0 && reading->error.class_ == 0) {
        reading->error = call->error;
    }
    pthread_mutex_unlock(&reading->lock);
    return result;
}

static int read_chunk(void *arg, uint64_t chunk)
{
    struct reading *reading = arg;
    size_t end = (chunk + 1) * CHUNK < reading->tree->count ? (size_t)(chunk + 1) * CHUNK
                                                            : reading->tree->count;
    dray_autofree void *piece = malloc(PIECE);
    struct dray_call call;
    int result = 0;

    dray_call_init(&call, reading->step);
    if (!piece) {
        (void)dray_fail_memory(&call.error);
        return note(reading, &call, end - 1, DRAY_NO_MEMORY);
    }
    for (size_t i = (size_t)chunk * CHUNK; result == 0 && i < end; i++) {
        if (reading->tree->entries[i]->type != DRAY_FILE)
            continue;
        result = note(reading, &call, i, read_to_end(&call, reading->tree->entries[i], piece));
        dray_service_progress(&call.ctx, 1, 0);
    }
    return result;
}

/* One is told with its digests, several by their names. */
static int judge(struct reading *reading, struct dray_error *error)
{
    struct dray_differences differences = DRAY_DIFFERENCES;

    for (size_t i = 0; i < reading->tree->count; i++)
        if (reading->differs[i])
            dray_names_add(&differences.changed, reading->tree->entries[i]->path,
                           reading->tree->entries[i]->path_length, NULL);
    int result = dray_differences_judge(&differences, "is recorded of it", error);
    if (differences.changed.count == 1) {
        dray_fail(error, DRAY_INTEGRITY, "%s", reading->changed.message);
        dray_hint(error, "mend the file, or what is recorded of it, where the dataset comes from, "
                         "then run the same command again");
        error->side = DRAY_SIDE_SOURCE;
    }
    dray_differences_free(&differences);
    return result;
}

/* That it was done is told, also where nobody sees a receipt. */
static void tell(const struct dray_step_run *step, uint64_t compared)
{
    char size[24];

    if (step->run->verifying) {
        dray_run_tell(step->run, json_pack("{s:s, s:s, s:I, s:I, s:I}", "event", "read", "step",
                                           step->step->id, "entries", (json_int_t)step->read_files,
                                           "bytes", (json_int_t)step->read_bytes, "digests",
                                           (json_int_t)step->recorded_digests));
        return;
    }
    dray_autofree char *message =
        dray_format("read all %llu files, %s; the digests of %llu were compared",
                    (unsigned long long)step->read_files, dray_size_print(step->read_bytes, size),
                    (unsigned long long)compared);

    if (message)
        dray_run_tell(step->run, json_pack("{s:s, s:s, s:i, s:s, s:{s:s}}", "event", "log", "step",
                                           step->step->id, "level", DRAY_LOG_INFO, "what",
                                           "all was read", "fields", "message", message));
}

int dray_validate_read(struct dray_step_run *step, struct dray_error *error)
{
    const struct dray_tree *tree = step->output;
    dray_autofree uint8_t *differs = calloc(tree->count + 1, 1);
    struct reading reading = {
        .step = step, .tree = tree, .lock = PTHREAD_MUTEX_INITIALIZER, .differs = differs};

    if (!differs)
        return dray_fail_memory(error);
    int result =
        dray_pool_run(step->run->pool, (tree->count + CHUNK - 1) / CHUNK, read_chunk, &reading);
    if (result != 0) {
        *error = reading.error;
        return error->class_ != 0 ? error->class_ : dray_fail_memory(error);
    }
    result = step->run->verifying ? 0 : judge(&reading, error);
    if (result == 0 && __atomic_load_n(&step->run->untold, __ATOMIC_RELAXED))
        result = dray_fail_memory(error);
    if (result != 0)
        return result;
    step->read_files = reading.files;
    step->read_bytes = reading.bytes;
    tell(step, reading.compared);
    return 0;
}
