/* SPDX-License-Identifier: MIT */
/* replay_compare.c - what became of a job's entries, beside what a preview says of them now. */
#include <errno.h>
#include <string.h>

#include "core/api/replay.h"
#include "core/base/text.h"
#include "core/tree/tree.h"

/* Of what a rule would have dropped, how many paths are named. */
#define EXAMPLES 5

/* ---- lines and rows */

struct judging {
    struct dray_past *past;
    const char *uri;
    size_t next; /* the row that is likely to be the next line's */
    struct dray_error *error;
};

/* Is there a row below this path? They stand right behind it. */
static int has_below(const struct dray_past *past, size_t at, const char *path, size_t length)
{
    return at < past->count && past->rows[at].length > length &&
           past->rows[at].path[length] == '/' && memcmp(past->rows[at].path, path, length) == 0;
}

/* The first row that is not before the path. */
static size_t find_row(const struct judging *judging, const char *path, size_t length)
{
    const struct dray_past *past = judging->past;
    size_t low = 0, high = past->count;

    if (judging->next < past->count && past->rows[judging->next].length == length &&
        memcmp(past->rows[judging->next].path, path, length) == 0)
        return judging->next;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct dray_past_row *row = &past->rows[middle];
        if (dray_path_compare(row->path, row->length, path, length) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A name that stays as long as the rows; NULL: no memory. */
static const char *keep_name(struct dray_past *past, const char *name)
{
    if (!past->names)
        past->names = json_object();
    json_t *kept = json_object_get(past->names, name);
    if (!kept && json_object_set_new(past->names, name, json_string(name)) == 0)
        kept = json_object_get(past->names, name);
    return json_string_value(kept);
}

static int judge_row(struct judging *judging, struct dray_past_row *row, const json_t *line)
{
    const char *verdict = json_string_value(json_object_get(line, "verdict"));
    const char *by = json_string_value(json_object_get(line, "by"));
    char would = verdict && *verdict == 'u' ? 'u' : verdict && *verdict == 'k' ? 'k' : 'd';

    /* Of two that come from one entry of the source. */
    if (row->would == 'k' || (row->would == 'u' && would == 'd'))
        return 0;
    row->would = would;
    row->by = by ? keep_name(judging->past, by) : NULL;
    return by && !row->by ? dray_fail_memory(judging->error) : 0;
}

/* The bytes of a path; NULL: no memory. */
static char *path_of(const json_t *line, const char *key, size_t *ret_length)
{
    dray_autofree char *key_b64 = dray_format("%s_b64", key);
    const json_t *plain = json_object_get(line, key);
    const char *coded = key_b64 ? json_string_value(json_object_get(line, key_b64)) : NULL;

    *ret_length = json_string_length(plain);
    if (coded)
        return dray_base64_decode(coded, ret_length);
    return key_b64 ? strdup(json_string_value(plain)) : NULL;
}

static int judge_line(struct judging *judging, const json_t *line)
{
    const char *target = json_string_value(json_object_get(line, "target"));
    const char *key = json_object_get(line, "from") ? "from" : "path";
    struct dray_past *past = judging->past;
    size_t length = 0;

    if (!json_is_string(json_object_get(line, "path")) ||
        (target && strcmp(target, judging->uri) != 0))
        return 0;
    dray_autofree char *path = path_of(line, key, &length);
    if (!path)
        return dray_fail_memory(judging->error);
    size_t at = find_row(judging, path, length);
    int ours = at < past->count && past->rows[at].length == length &&
               memcmp(past->rows[at].path, path, length) == 0;
    judging->next = at + (size_t)ours;
    if (ours)
        return judge_row(judging, &past->rows[at], line);
    /* A directory that filters have emptied. */
    if (has_below(past, at, path, length))
        return 0;
    return dray_fail(judging->error, DRAY_INTEGRITY,
                     "the preview tells of %s, which is not among the stored verdicts", path);
}

/* Directories follow what is below them, and one that is left empty may have no line. */
static int check_all_judged(const struct judging *judging)
{
    for (size_t i = 0; i < judging->past->count; i++) {
        const struct dray_past_row *row = &judging->past->rows[i];
        if (row->would == 0 && row->type != 'd')
            return dray_fail(judging->error, DRAY_INTEGRITY, "the preview says nothing of %s",
                             row->path);
    }
    return 0;
}

int dray_past_judge(struct dray_past *past, FILE *lines, const char *uri, struct dray_error *error)
{
    struct judging judging = {.past = past, .uri = uri, .error = error};
    dray_autofree char *text = NULL;
    size_t size = 0;
    ssize_t length = 0;
    int result = 0;

    rewind(lines);
    while (result == 0 && (errno = 0, length = getline(&text, &size, lines)) > 0) {
        json_error_t fault;
        json_t *line = json_loadb(text, (size_t)length, 0, &fault);
        if (!line)
            result = json_error_code(&fault) == json_error_out_of_memory
                         ? dray_fail_memory(error)
                         : dray_fail(error, DRAY_INTEGRITY, "a line of the preview is no JSON");
        else
            result = judge_line(&judging, line);
        json_decref(line);
    }
    if (result == 0 && !feof(lines))
        result = dray_fail_errno(error, errno, "reading a preview from scratch");
    return result == 0 ? check_all_judged(&judging) : result;
}

/* ---- the difference */

struct amount {
    uint64_t entries, bytes;
};

struct difference {
    struct amount was, would, more, undecided;
    json_t *dropped;      /* by rule */
    json_t *not_replayed; /* filters that would read the data */
};

static void add(struct amount *amount, const struct dray_past_row *row)
{
    amount->entries++;
    amount->bytes += row->bytes;
}

static json_t *amount_json(const struct amount *amount)
{
    return json_pack("{s:I, s:I}", "entries", (json_int_t)amount->entries, "bytes",
                     (json_int_t)amount->bytes);
}

static int count_up(json_t *object, const char *key, json_int_t more)
{
    return json_object_set_new(
        object, key, json_integer(json_integer_value(json_object_get(object, key)) + more));
}

static int add_example(json_t *examples, const struct dray_past_row *row)
{
    json_t *named = json_object();
    int failed = !named || dray_json_set_path(named, "path", row->path, row->length) != 0 ||
                 json_array_append(examples, json_object_get(named, "path")) != 0;

    json_decref(named);
    return failed ? -1 : 0;
}

/* One entry that was delivered and would not be. */
static int add_dropped(struct difference *difference, const struct dray_past_row *row)
{
    const char *by = row->by ? row->by : "?";
    json_t *rule = json_object_get(difference->dropped, by);

    if (!rule) {
        rule = json_pack("{s:i, s:i, s:[]}", "entries", 0, "bytes", 0, "examples");
        if (json_object_set_new(difference->dropped, by, rule) != 0)
            return -1;
    }
    json_t *examples = json_object_get(rule, "examples");
    if (json_array_size(examples) < EXAMPLES && add_example(examples, row) != 0)
        return -1;
    return count_up(rule, "entries", 1) || count_up(rule, "bytes", (json_int_t)row->bytes) ? -1 : 0;
}

static int add_row(struct difference *difference, const struct dray_past_row *row)
{
    int kept = row->verdict == 'k';

    if (kept)
        add(&difference->was, row);
    if (row->would == 'u') {
        add(&difference->undecided, row);
        return row->by ? json_object_set_new(difference->not_replayed, row->by, json_true()) : 0;
    }
    if (row->would == 'k')
        add(&difference->would, row);
    if (!kept && row->would == 'k')
        add(&difference->more, row);
    return kept && row->would == 'd' ? add_dropped(difference, row) : 0;
}

static json_t *difference_json(const struct difference *difference, const char *step,
                               const char *uri)
{
    json_t *rules = json_array(), *not_replayed = json_array();
    const char *by;
    json_t *rule;
    int failed = 0;

    json_object_foreach(difference->dropped, by, rule)
    {
        failed |= json_object_set_new(rule, "by", json_string(by));
        failed |= json_array_append(rules, rule);
    }
    json_object_foreach(difference->not_replayed, by, rule) failed |=
        json_array_append_new(not_replayed, json_string(by));
    json_t *json =
        json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "step", step, "destination", uri,
                  "was", amount_json(&difference->was), "would", amount_json(&difference->would),
                  "dropped", rules, "more", amount_json(&difference->more), "undecided",
                  amount_json(&difference->undecided), "not_replayed", not_replayed);
    if (failed) {
        json_decref(json);
        return NULL;
    }
    return json;
}

json_t *dray_past_compare(const struct dray_past *past, const char *step, const char *uri,
                          int *changed)
{
    struct difference difference = {.dropped = json_object(), .not_replayed = json_object()};
    json_t *json = NULL;
    int failed = !difference.dropped || !difference.not_replayed;

    for (size_t i = 0; !failed && i < past->count; i++) {
        const struct dray_past_row *row = &past->rows[i];
        if (row->would != 0 &&
            !(row->type == 'd' && has_below(past, i + 1, row->path, row->length)))
            failed = add_row(&difference, row) != 0;
    }
    if (!failed)
        json = difference_json(&difference, step, uri);
    *changed |= json_object_size(difference.dropped) > 0 || difference.more.entries > 0;
    json_decref(difference.dropped);
    json_decref(difference.not_replayed);
    return json;
}
