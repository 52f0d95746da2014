/* SPDX-License-Identifier: MIT */
/* validate_recorded.c - what the catalog records of its dataset's files against what its source
 * brought. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/base/text.h"
#include "core/run/run.h"
#include "core/run/runner.h"
#include "core/tree/recorded.h"

/* Is this the source that the record speaks of? */
static int is_recorded(const struct dray_step_run *step)
{
    const struct dray_run *run = step->run;

    /* A list that stands for the source may be that record itself, or any other. */
    return run->recorded && !run->listing && step->step->needs_count == 1 &&
           strcmp(run->plan->steps[step->step->needs[0]].id, run->recorded) == 0;
}

static int read_record(struct dray_recorded_list *list, struct dray_error *error)
{
    struct stat status;

    if (fstat(DRAY_RECORDED_FD, &status) != 0)
        return dray_fail_errno(error, errno, "reading the catalog's record");
    if (status.st_size == 0)
        return 0;
    size_t length = (size_t)status.st_size;
    void *text = mmap(NULL, length, PROT_READ, MAP_PRIVATE, DRAY_RECORDED_FD, 0);
    if (text == MAP_FAILED)
        return dray_fail_errno(error, errno, "reading the catalog's record");
    int result = dray_recorded_read("the catalog", text, length, list, error);
    (void)munmap(text, length);
    return result;
}

void dray_validate_send(struct dray_step_run *step, json_t *event)
{
    struct dray_error ignored = {0};

    if (!event || dray_pipe_send(step->run->pipe, event, &ignored) != 0)
        __atomic_store_n(&step->run->untold, 1, __ATOMIC_RELAXED);
}

void dray_validate_tell(struct dray_step_run *step, const char *what, const char *path,
                        size_t length, const char *why)
{
    json_t *event = json_pack("{s:s, s:s, s:s, s:s*}", "event", "differs", "step", step->step->id,
                              "what", what, "why", why);

    if (event && dray_json_set_path(event, "path", path, length) != 0) {
        json_decref(event);
        event = NULL;
    }
    dray_validate_send(step, event);
}

static void tell_missing(void *arg, const char *path, size_t length, const char *why)
{
    dray_validate_tell(arg, "missing", path, length, why);
}

static void tell_changed(void *arg, const char *path, size_t length, const char *why)
{
    dray_validate_tell(arg, "changed", path, length, why);
}

static void tell_extra(void *arg, const char *path, size_t length, const char *why)
{
    dray_validate_tell(arg, "extra", path, length, why);
}

static int compare(struct dray_step_run *step, const struct dray_recorded_list *list,
                   struct dray_tree **ret_tree, struct dray_error *error)
{
    const char *extra = json_string_value(json_object_get(step->step->with, "extra"));
    dray_cleanup(dray_differences_free) struct dray_differences differences = DRAY_DIFFERENCES;
    dray_autofree uint8_t *passed = calloc(step->input->count + 1, 1);

    if (!passed)
        return dray_fail_memory(error);
    if (step->run->verifying) {
        differences.missing.tell = tell_missing;
        differences.changed.tell = tell_changed;
        differences.extra.tell = tell_extra;
        differences.missing.arg = differences.changed.arg = differences.extra.arg = step;
    }
    if (extra && strcmp(extra, "ignore") == 0)
        memset(passed, 1, step->input->count);
    for (size_t i = 0; i < list->count; i++)
        step->recorded_digests +=
            (list->items[i].has & (DRAY_RECORDED_SHA256 | DRAY_RECORDED_MD5)) &&
            dray_tree_find(step->input, list->items[i].path, list->items[i].path_length) >= 0;
    int result = dray_recorded_compare(step->input, list, passed, &differences, ret_tree, error);
    return result == 0 && !step->run->verifying
               ? dray_differences_judge(&differences, "the catalog records", error)
               : result;
}

int dray_validate_recorded(struct dray_step_run *step, struct dray_tree **ret_tree,
                           struct dray_error *error)
{
    dray_cleanup(dray_recorded_free) struct dray_recorded_list list = {0};

    if (!is_recorded(step)) {
        *ret_tree = dray_tree_ref(step->input);
        return 0;
    }
    int result = read_record(&list, error);
    if (result == 0)
        result = compare(step, &list, ret_tree, error);
    return result == 0 ? dray_validate_note(step,
                                            json_pack("{s:s, s:I}", "what", "catalog", "files",
                                                      (json_int_t)list.count),
                                            error)
                       : result;
}
