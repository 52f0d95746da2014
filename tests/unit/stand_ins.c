/* SPDX-License-Identifier: MIT */
/* stand_ins.c - see stand_ins.h. */
#include "tests/unit/stand_ins.h"

#include <stdlib.h>
#include <string.h>

#include "core/plugin/info.h"

/* ---- plugins */

struct source {
    const char *path;
};
static const struct dray_option source_options[] = {
    DRAY_OPTION_PATH(struct source, path, DRAY_OPTION_REQUIRED | DRAY_OPTION_READS, NULL,
                     "Where it lies"),
};
struct glob {
    struct dray_strings include, exclude;
    int64_t ignore_case;
};
static const struct dray_option glob_options[] = {
    DRAY_OPTION_STRINGS(struct glob, include, 0, "Keep what matches one of these"),
    DRAY_OPTION_STRINGS(struct glob, exclude, 0, "Drop what matches one of these"),
    DRAY_OPTION_BOOL(struct glob, ignore_case, "false", "Whether case matters"),
};
struct size {
    int64_t min, max;
};
static const struct dray_option size_options[] = {
    DRAY_OPTION_SIZE(struct size, min, "0", "Drop what is smaller"),
    DRAY_OPTION_SIZE(struct size, max, "none", "Drop what is larger"),
};
struct listed {
    const char *list;
};
static const struct dray_option listed_options[] = {
    DRAY_OPTION_PATH(struct listed, list, DRAY_OPTION_REQUIRED | DRAY_OPTION_READS, NULL,
                     "A file with the paths to keep"),
};
struct mask {
    struct dray_strings columns;
};
static const struct dray_option mask_options[] = {
    DRAY_OPTION_STRINGS(struct mask, columns, DRAY_OPTION_REQUIRED, "Columns to leave out"),
};
struct hpfs {
    const char *into, *path;
    int64_t existing;
    const char *permissions;
};
static const struct dray_option hpfs_options[] = {
    DRAY_OPTION_PATH(struct hpfs, into, DRAY_OPTION_DELIVERS, NULL, "Deliver below this directory"),
    DRAY_OPTION_PATH(struct hpfs, path, DRAY_OPTION_DELIVERS, NULL, "Deliver as this directory"),
    DRAY_OPTION_CHOICE(struct hpfs, existing, "fail", "fail|merge|replace", "What if it is there"),
    DRAY_OPTION_STRING(struct hpfs, permissions, 0, NULL, "Mode of directories"),
};
struct cloud {
    const char *url;
    struct dray_secret credentials;
    int64_t connections, part_size, wait;
    struct dray_map labels;
};
static const struct dray_option cloud_options[] = {
    DRAY_OPTION_STRING(struct cloud, url, DRAY_OPTION_REQUIRED | DRAY_OPTION_DELIVERS, NULL,
                       "Where to"),
    DRAY_OPTION_SECRET(struct cloud, credentials, 0, "Who delivers"),
    DRAY_OPTION_INT(struct cloud, connections, NULL, 1, 64, "At the same time"),
    DRAY_OPTION_SIZE(struct cloud, part_size, NULL, "Of an upload in parts"),
    DRAY_OPTION_DURATION(struct cloud, wait, NULL, "For an answer"),
    DRAY_OPTION_MAP(struct cloud, labels, 0, "Of each object"),
};

static const struct stand_in {
    const char *name;
    uint32_t kind, target_type;
    const struct dray_option *options;
    uint32_t option_count;
} stand_ins[] = {
    {"directory", DRAY_KIND_SOURCE, 0, source_options, DRAY_COUNT(source_options)},
    {"archive", DRAY_KIND_SOURCE, 0, source_options, DRAY_COUNT(source_options)},
    {"glob", DRAY_KIND_FILTER, 0, glob_options, DRAY_COUNT(glob_options)},
    {"size", DRAY_KIND_FILTER, 0, size_options, DRAY_COUNT(size_options)},
    {"mask", DRAY_KIND_TRANSFORM, 0, mask_options, DRAY_COUNT(mask_options)},
    {"hpfs", DRAY_KIND_PUSH, DRAY_TARGET_HPFS, hpfs_options, DRAY_COUNT(hpfs_options)},
    {"cloud", DRAY_KIND_PUSH, DRAY_TARGET_CLOUD, cloud_options, DRAY_COUNT(cloud_options)},
    {"listed", DRAY_KIND_FILTER, 0, listed_options, DRAY_COUNT(listed_options)},
};

static struct dray_plugin_info *make_info(const struct stand_in *from)
{
    const struct dray_plugin plugin = {
        .head = {DRAY_PLUGIN_MAGIC, DRAY_ABI_MAJOR, DRAY_ABI_MINOR, DRAY_ABI_MINOR,
                 (uint32_t)sizeof(plugin), from->kind, 0, 0, 0},
        .name = from->name,
        .version = "1.0.0",
        .summary = "A stand-in",
        .options = from->options,
        .option_count = from->option_count,
        .option_size = (uint32_t)sizeof(struct dray_option),
    };
    struct dray_plugin_info *info = calloc(1, sizeof(*info));
    json_t *json = dray_info_pack(&plugin, from->target_type);

    if (!info || dray_info_unpack(info, json) != 0)
        abort();
    json_decref(json);
    info->file = dray_format("/plugins/%s-%s.so", dray_kind_name(from->kind), from->name);
    info->digest = dray_format("%064d", (int)(from - stand_ins) + 1);
    return info;
}

/* As long as the process lives: each is made once. */
static const struct dray_plugin_info *infos[DRAY_COUNT(stand_ins)];

/* ---- saved recipes */

static struct {
    char *name, *text;
} saved[16];
static size_t saved_count;

void stand_ins_save(const char *name, const char *text)
{
    if (saved_count == DRAY_COUNT(saved))
        abort();
    saved[saved_count].name = strdup(name);
    saved[saved_count++].text = strdup(text);
}

void stand_ins_forget(void)
{
    for (; saved_count > 0; saved_count--) {
        free(saved[saved_count - 1].name);
        free(saved[saved_count - 1].text);
    }
}

static int find_saved(void *arg, const char *name, int64_t version, char **ret_text,
                      int64_t *ret_version, struct dray_error *error)
{
    const char *text = NULL;
    int64_t count = 0;

    (void)arg;
    if (strcmp(name, "locked") == 0)
        return dray_fail(error, DRAY_TEMPORARY, "the database is locked");
    for (size_t i = 0; i < saved_count; i++) {
        if (strcmp(saved[i].name, name) != 0)
            continue;
        count++;
        if (version != 0 && version != count)
            continue;
        text = saved[i].text;
        *ret_version = count;
    }
    if (!text)
        return dray_fail(error, DRAY_NOT_FOUND, "not saved");
    *ret_text = strdup(text);
    return *ret_text ? 0 : dray_fail_memory(error);
}

/* Of the names in turn, each with its versions. */
static int list_saved(void *arg, json_t **ret_list, struct dray_error *error)
{
    json_t *list = json_array();

    (void)arg;
    for (size_t i = 0; list && i < saved_count; i++) {
        json_t *versions = json_array();
        json_int_t count = 0;
        int is_first = 1;
        for (size_t k = 0; k < saved_count; k++) {
            if (strcmp(saved[i].name, saved[k].name) != 0)
                continue;
            is_first &= k >= i;
            if (json_array_append_new(versions, json_integer(++count)) != 0) {
                json_decref(versions);
                versions = NULL;
            }
        }
        if (!is_first) {
            json_decref(versions);
        } else if (json_array_append_new(list, json_pack("{s:s, s:o}", "name", saved[i].name,
                                                         "versions", versions)) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    *ret_list = list;
    return list ? 0 : dray_fail_memory(error);
}

const struct dray_recipes stand_ins_recipes = {find_saved, list_saved, NULL};

void stand_ins_make(void)
{
    for (size_t i = 0; i < DRAY_COUNT(stand_ins); i++)
        if (!infos[i])
            infos[i] = make_info(&stand_ins[i]);
}

void stand_ins_free(void)
{
    stand_ins_forget();
    for (size_t i = 0; i < DRAY_COUNT(stand_ins); i++) {
        struct dray_plugin_info *info;
        memcpy(&info, &infos[i], sizeof(info));
        dray_info_free(info);
        infos[i] = NULL;
    }
}

int __wrap_dray_registry_find(struct dray_registry *registry, uint32_t kind, const char *name,
                              const struct dray_plugin_info **ret_plugin, struct dray_error *error)
{
    (void)registry;
    for (size_t i = 0; i < DRAY_COUNT(stand_ins); i++) {
        if (stand_ins[i].kind != kind || strcmp(stand_ins[i].name, name) != 0)
            continue;
        if (!infos[i])
            infos[i] = make_info(&stand_ins[i]);
        *ret_plugin = infos[i];
        return 0;
    }
    if (strcmp(name, "broken") == 0)
        return dray_fail(error, DRAY_INVALID,
                         "/plugins/push-broken.so: built for plugin ABI 9.9, this Dray has 0.3");
    int result =
        dray_fail(error, DRAY_NOT_FOUND, "there is no plugin %s/%s", dray_kind_name(kind), name);
    dray_hint(error, "looked in /plugins\ndray plugin list shows all");
    return result;
}

const char *const *__wrap_dray_registry_names(struct dray_registry *registry, uint32_t kind,
                                              size_t *ret_count)
{
    static const char *const filters[] = {"glob", "size"};

    (void)registry;
    *ret_count = kind == DRAY_KIND_FILTER ? DRAY_COUNT(filters) : 0;
    return filters;
}

/* ---- answers */

static void add_problem(json_t *problems, const char *option, size_t index, size_t offset,
                        const char *message)
{
    (void)json_array_append_new(problems, json_pack("{s:s, s:I, s:I, s:s}", "option", option,
                                                    "index", (json_int_t)index, "offset",
                                                    (json_int_t)offset, "message", message));
}

static void answer_patterns(const json_t *with, const char *option, json_t *problems)
{
    const json_t *list = json_object_get(with, option);

    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *pattern = json_string_value(json_array_get(list, i));
        const char *stars = strstr(pattern, "**");
        if (stars && stars > pattern && stars[-1] != '/')
            add_problem(problems, option, i, (size_t)(stars - pattern),
                        "`**` stands only as a whole segment");
    }
}

static void set_error(json_t *answer, int class_, const char *message, const char *hint)
{
    struct dray_error error = {0};

    (void)dray_fail(&error, class_, "%s", message);
    dray_hint(&error, "%s", hint);
    (void)json_object_set_new(answer, "error", dray_error_to_json(&error));
}

static void set_presence(json_t *answer, const char *path)
{
    json_t *presence =
        strstr(path, "delivered")
            ? json_pack("{s:i, s:s, s:s, s:s}", "state", (int)DRAY_DELIVERED, "request_key",
                        "0000000000000000000000000000000000000000000000000000000000000000", "job",
                        "j-1", "time", "2026-11-23T12:34:31Z")
        : strstr(path, "occupied")
            ? json_pack("{s:i, s:s}", "state", (int)DRAY_OCCUPIED, "what", "14 entries")
            : json_pack("{s:i}", "state", (int)DRAY_ABSENT);
    if (strstr(path, "roomy"))
        (void)json_object_set_new(presence, "free_bytes", json_integer(5000));
    else if (strstr(path, "crammed"))
        (void)json_object_set_new(presence, "free_bytes", json_integer(0));
    (void)json_object_set_new(answer, "presence", presence);
}

static void describe_hpfs(json_t *answer, const json_t *with, const char *dataset)
{
    const char *path = json_string_value(json_object_get(with, "path"));
    const char *into = json_string_value(json_object_get(with, "into"));
    dray_autofree char *whole = path ? strdup(path) : dray_format("%s/%s", into, dataset);
    dray_autofree char *uri = dray_format("hpfs:%s", whole);

    if (strstr(whole, "missing")) {
        set_error(answer, DRAY_NOT_FOUND, "the directory does not exist",
                  "mkdir it\nor take another");
    } else if (strstr(whole, "forbidden")) {
        set_error(answer, DRAY_DENIED, "you may not write there", "ask its owner");
    } else if (strstr(whole, "busy")) {
        set_error(answer, DRAY_TEMPORARY, "the server is busy", "");
    } else {
        (void)json_object_set_new(
            answer, "target",
            json_pack("{s:i, s:s, s:s}", "type", (int)DRAY_TARGET_HPFS, "uri", uri, "path", whole));
        set_presence(answer, whole);
    }
}

static void describe_cloud(json_t *answer, const json_t *with)
{
    const char *url = json_string_value(json_object_get(with, "url"));
    const char *host = strstr(url, "://") ? strstr(url, "://") + 3 : url;
    dray_autofree char *name = strndup(host, strcspn(host, "/"));

    (void)json_object_set_new(answer, "target",
                              json_pack("{s:s, s:s, s:s, s:s}", "type", "cloud", "uri", url, "host",
                                        name, "path", host + strlen(name)));
    set_presence(answer, url);
}

/* A pattern drops what holds its text, but for a `*` before it. */
static void answer_entries(const json_t *step, json_t *answer)
{
    const json_t *entries = json_object_get(step, "entries");
    const json_t *list = json_object_get(json_object_get(step, "with"), "exclude");
    json_t *verdicts = json_array();

    for (size_t i = 0; i < json_array_size(entries); i++) {
        const char *path = json_string_value(json_object_get(json_array_get(entries, i), "path"));
        json_int_t index = -1;
        for (size_t k = 0; index < 0 && k < json_array_size(list); k++) {
            const char *pattern = json_string_value(json_array_get(list, k));
            if (strstr(path, pattern + (*pattern == '*')))
                index = (json_int_t)k;
        }
        (void)json_array_append_new(
            verdicts, json_pack("{s:s, s:s, s:I}", "verdict", index < 0 ? "keep" : "drop", "option",
                                index < 0 ? "include" : "exclude", "index", index));
    }
    (void)json_object_set_new(answer, "verdicts", verdicts);
}

/* A directory is listed for it, unless it is the other one; an archive is not. */
static void identify_source(json_t *answer, const json_t *with, const char *uses)
{
    const char *path = json_string_value(json_object_get(with, "path"));

    (void)json_object_set_new(answer, "revision", json_string("r1"));
    if (strcmp(uses, "source/archive") == 0 || strstr(path, "/other"))
        return;
    (void)json_object_set_new(answer, "entries", json_integer(3));
    (void)json_object_set_new(answer, "bytes", json_integer(1000));
}

static json_t *answer_step(const json_t *step, const char *dataset)
{
    const json_t *with = json_object_get(step, "with");
    const char *uses = json_string_value(json_object_get(step, "uses"));
    json_t *answer = json_pack("{s:[]}", "problems");
    json_t *problems = json_object_get(answer, "problems");

    if (strcmp(uses, "filter/glob") == 0) {
        answer_patterns(with, "include", problems);
        answer_patterns(with, "exclude", problems);
        if (json_object_get(step, "entries"))
            answer_entries(step, answer);
    }
    if (strcmp(uses, "push/hpfs") == 0 && !json_object_get(with, "path") &&
        !json_object_get(with, "into"))
        set_error(answer, DRAY_INVALID, "push/hpfs takes `into` or `path`", "into: DIRECTORY");
    else if (json_is_true(json_object_get(step, "describe")) && strcmp(uses, "push/hpfs") == 0)
        describe_hpfs(answer, with, dataset);
    else if (json_is_true(json_object_get(step, "describe")))
        describe_cloud(answer, with);
    if (json_is_true(json_object_get(step, "identify")))
        identify_source(answer, with, uses);
    return answer;
}

int stand_ins_answer(void *arg, const json_t *request, json_t **ret_answer,
                     struct dray_error *error)
{
    const char *dataset =
        json_string_value(json_object_get(json_object_get(request, "dataset"), "name"));
    const json_t *steps = json_object_get(request, "steps");
    json_t *answers = json_array();

    (void)arg;
    (void)error;
    for (size_t i = 0; i < json_array_size(steps); i++)
        (void)json_array_append_new(answers, answer_step(json_array_get(steps, i), dataset));
    *ret_answer = json_pack("{s:o}", "steps", answers);
    return 0;
}
