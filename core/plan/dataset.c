/* SPDX-License-Identifier: MIT */
/* dataset.c - what is delivered: a path, its name and what identifies it. */
#include "core/plan/draft.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/tree/tree.h"

static const char *const archive_suffixes[] = {
    ".tar.gz",  ".tgz",  ".tar.bz2", ".tbz2", ".tar.xz", ".txz",
    ".tar.zst", ".tzst", ".tar",     ".zip",  ".7z",
};

int dray_is_path(const char *text)
{
    return text[0] == '/' || strncmp(text, "./", 2) == 0 || strncmp(text, "../", 3) == 0 ||
           strcmp(text, ".") == 0 || strcmp(text, "..") == 0;
}

int dray_is_remote(const char *text)
{
    const char *colon = strchr(text, ':');

    return colon && colon[1] && dray_is_id(text, (size_t)(colon - text));
}

/* Bytes of the name's suffix that says it is an archive; 0: none, or what would be left is no name:
 * records are kept under it. */
static size_t archive_suffix(const char *name)
{
    size_t length = strlen(name);

    for (size_t i = 0; i < DRAY_COUNT(archive_suffixes); i++) {
        size_t suffix = strlen(archive_suffixes[i]);
        if (length <= suffix || strcasecmp(name + length - suffix, archive_suffixes[i]) != 0)
            continue;
        size_t left = length - suffix;
        return left <= 2 && strncmp(name, "..", left) == 0 ? 0 : suffix;
    }
    return 0;
}

/* The last part of a path, that of an archive without its suffix. */
static const char *name_of(struct dray_draft *draft, const char *path, int is_file)
{
    const char *name = strrchr(path, '/') + 1;
    size_t suffix = is_file ? archive_suffix(name) : 0;

    return dray_draft_copy(draft, name, strlen(name) - suffix);
}

char *dray_dataset_name(const char *real)
{
    const char *name = strrchr(real, '/') ? strrchr(real, '/') + 1 : real;
    struct stat status;

    /* Of what is not there a suffix is an archive's. */
    if (stat(real, &status) == 0 && !S_ISREG(status.st_mode))
        return strdup(name);
    return strndup(name, strlen(name) - archive_suffix(name));
}

/* A fault of the command line is an error, one of the file a problem at its place. */
static int refuse(struct dray_draft *draft, const struct dray_place *place, int class_,
                  const char *message, const char *hint)
{
    if (place) {
        dray_problem(draft, *place, "%s", message);
        if (hint)
            dray_diagnose_hint(draft->diagnostics, "%s", hint);
        return 0;
    }
    (void)dray_fail(draft->error, class_, "%s", message);
    if (hint)
        dray_hint(draft->error, "%s", hint);
    return class_;
}

/* `instead`: what the catalog had to say; NULL: nothing. */
static int refuse_name(struct dray_draft *draft, const char *text, const char *base,
                       const struct dray_place *place, const char *instead)
{
    dray_autofree char *path = dray_path_absolute(base, text);
    dray_autofree char *message = dray_format("there is no dataset \"%s\" in the catalog", text);
    struct stat status;

    if (!path || !message)
        return dray_fail_memory(draft->error);
    dray_autofree char *hint =
        *text == '~'   ? strdup("only a shell knows what ~ stands for: write the whole path")
        : *text == '$' ? strdup("the environment is not read: write the path itself")
        : *text && stat(path, &status) == 0
            ? dray_format("for the path of that name write ./%s", text)
            : strdup(instead && *instead ? instead : "a path begins with /, ./ or ../");
    if (!hint)
        return dray_fail_memory(draft->error);
    return refuse(draft, place, DRAY_NOT_FOUND, message, hint);
}

static int refuse_path(struct dray_draft *draft, const char *path, const struct dray_place *place,
                       int class_, const char *why)
{
    dray_autofree char *message = dray_format("the dataset %s cannot be read: %s", path, why);

    return message ? refuse(draft, place, class_, message, NULL) : dray_fail_memory(draft->error);
}

/* `path` as an error shows it, `real` what it is. */
static int take_real(struct dray_draft *draft, const char *path, const char *real, int is_file,
                     const struct dray_place *place)
{
    const char *name = strrchr(real, '/') + 1;

    if (*name == '\0')
        return refuse_path(draft, path, place, DRAY_INVALID, "the root directory has no name");
    if (!dray_utf8_valid(real, strlen(real)))
        return refuse_path(draft, path, place, DRAY_INVALID, "its path is not UTF-8");
    draft->dataset = name_of(draft, real, is_file);
    draft->dataset_is_archive = is_file && archive_suffix(name) > 0;
    draft->dataset_id = draft->dataset_path = dray_draft_copy(draft, real, strlen(real));
    return draft->dataset && draft->dataset_id ? 0 : DRAY_NO_MEMORY;
}

static int take_path(struct dray_draft *draft, const char *text, const char *base,
                     const struct dray_place *place)
{
    struct stat status;
    dray_autofree char *path = dray_path_absolute(base, text);

    if (!path)
        return dray_fail_memory(draft->error);
    /* What a list stands for is known by its name alone. */
    if (draft->listed)
        return take_real(draft, path, path, 1, place);
    dray_autofree char *real = realpath(path, NULL);
    if (!real || stat(real, &status) != 0)
        return errno == ENOMEM
                   ? dray_fail_memory(draft->error)
                   : refuse_path(draft, path, place, dray_class_of_errno(errno), strerror(errno));
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
        return refuse_path(draft, path, place, DRAY_INVALID,
                           "it is neither a file nor a directory");
    return take_real(draft, path, real, S_ISREG(status.st_mode), place);
}

/* What identifies a dataset of the catalog is its number there: whatever it is called, and wherever
 * its bytes are. */
static int take_identity(struct dray_draft *draft)
{
    const char *name = json_string_value(json_object_get(draft->known, "name"));
    json_int_t id = json_integer_value(json_object_get(draft->known, "id"));

    draft->dataset = dray_draft_copy(draft, name, strlen(name));
    draft->dataset_id = dray_draft_format(draft, "id:%lld", (long long)id);
    return draft->dataset && draft->dataset_id ? 0 : DRAY_NO_MEMORY;
}

/* NAME:REMOTE, of the site's sources. */
static int take_remote(struct dray_draft *draft, const char *source, const struct dray_place *place)
{
    const char *colon = strchr(source, ':');
    const char *name = dray_draft_copy(draft, source, (size_t)(colon - source));

    if (!name || take_identity(draft) != 0)
        return DRAY_NO_MEMORY;
    if (draft->has_sources)
        return 0;
    if (json_object_get(draft->sources, name)) {
        draft->source_name = name;
        draft->source_remote = dray_draft_copy(draft, colon + 1, strlen(colon + 1));
        return draft->source_remote ? 0 : DRAY_NO_MEMORY;
    }
    dray_autofree char *message =
        dray_format("the bytes of \"%s\" are at %s, and the configuration has no source \"%s\"",
                    draft->dataset, source, name);
    draft->dataset_id = NULL;
    return message ? refuse(draft, place, DRAY_NOT_FOUND, message,
                            "an admin adds it to `sources` of /etc/dray/dray.yaml, or of --config")
                   : dray_fail_memory(draft->error);
}

/* A workflow that has sources of its own needs none of the catalog's. */
static int take_known(struct dray_draft *draft, const struct dray_place *place)
{
    const char *source = json_string_value(json_object_get(draft->known, "source"));

    if (source && *source != '/')
        return take_remote(draft, source, place);
    if (source) {
        int optional = draft->has_sources && access(source, F_OK) != 0;
        int result = optional ? 0 : take_path(draft, source, "/", place);
        /* Without a path there was a problem. */
        return result != 0 || (!optional && !draft->dataset_path) ? result : take_identity(draft);
    }
    int result = take_identity(draft);
    if (result != 0 || draft->has_sources)
        return result;
    dray_autofree char *message =
        dray_format("the catalog does not say where the bytes of \"%s\" are", draft->dataset);
    dray_autofree char *hint = dray_format("dray dataset set %s --source PATH", draft->dataset_id);
    if (!message || !hint)
        return dray_fail_memory(draft->error);
    draft->dataset_id = NULL;
    return refuse(draft, place, DRAY_INVALID, message, hint);
}

/* SOURCE:REMOTE as a workflow or the command line has it, of a source of the site. */
static int is_direct(const struct dray_draft *draft, const char *text)
{
    const char *colon = strchr(text, ':');
    dray_autofree char *name = dray_is_remote(text) ? strndup(text, (size_t)(colon - text)) : NULL;

    /* id:N is the catalog's. */
    return name && strcmp(name, "id") != 0 && json_object_get(draft->sources, name) != NULL;
}

/* It is called what the file is called there, and known by where it is. */
static int take_direct(struct dray_draft *draft, const char *text, const struct dray_place *place)
{
    const char *colon = strchr(text, ':'), *slash = strrchr(colon + 1, '/');
    const char *name = slash ? slash + 1 : colon + 1;

    if (!dray_utf8_valid(text, strlen(text)) || dray_path_fault(name, strlen(name)))
        return refuse(draft, place, DRAY_INVALID, "what to bring has no name at its end",
                      "SOURCE:PATH, as sda:/hpss/project/ocean-2024.tar");
    draft->dataset = dray_draft_copy(draft, name, strlen(name) - archive_suffix(name));
    draft->dataset_id = dray_draft_copy(draft, text, strlen(text));
    if (!draft->dataset || !draft->dataset_id)
        return DRAY_NO_MEMORY;
    if (draft->has_sources)
        return 0;
    draft->source_name = dray_draft_copy(draft, text, (size_t)(colon - text));
    draft->source_remote = dray_draft_copy(draft, colon + 1, strlen(colon + 1));
    return draft->source_name && draft->source_remote ? 0 : DRAY_NO_MEMORY;
}

static int take_name(struct dray_draft *draft, const char *text, const char *base,
                     const struct dray_place *place)
{
    struct dray_error error = {0};

    if (*text == '\0' || *text == '~' || *text == '$')
        return refuse_name(draft, text, base, place, NULL);
    if (draft->checking)
        return 0;
    if (is_direct(draft, text))
        return take_direct(draft, text, place);
    if (!draft->catalog)
        return refuse_name(draft, text, base, place, NULL);
    int result = draft->catalog->find(draft->catalog->arg, text, &draft->known, &error);
    if (result == 0)
        return take_known(draft, place);
    if (result == DRAY_NOT_FOUND && dray_is_remote(text) && strncmp(text, "id:", 3) != 0)
        return refuse_name(draft, text, base, place,
                           "what stands before the colon is no source of the configuration "
                           "(`sources` of /etc/dray/dray.yaml, or of --config)");
    if (result == DRAY_NOT_FOUND)
        return refuse_name(draft, text, base, place, error.hint);
    if (result == DRAY_INVALID)
        return refuse(draft, place, result, error.message, error.hint);
    *draft->error = error;
    return result;
}

/* The dataset of a workflow that says none is what its only source reads. */
static int take_source(struct dray_draft *draft)
{
    const char *path = NULL;
    size_t sources = 0;

    for (size_t i = 0; i < draft->step_count; i++) {
        const struct dray_draft_step *step = &draft->steps[i];
        if (!step->known || step->role != DRAY_STEP_SOURCE || !step->node)
            continue;
        sources++;
        if (!step->plugin || !step->with)
            return 0; /* its own problem is reported already */
        path = dray_step_flagged(step, DRAY_OPTION_READS, &draft->dataset_place);
    }
    if (sources == 1 && path)
        return take_path(draft, path, draft->base, &draft->dataset_place);
    dray_problem(draft, draft->top, "the workflow does not say which dataset it delivers");
    dray_diagnose_hint(draft->diagnostics, "dataset: ./PATH");
    return 0;
}

static int take_file(struct dray_draft *draft)
{
    const struct dray_node *node = draft->dataset_node;

    draft->dataset_place = node->place;
    if (node->kind != DRAY_NODE_SCALAR) {
        dray_problem(draft, node->place, "`dataset` is a name or a path, not %s",
                     dray_node_what(node));
        dray_diagnose_hint(draft->diagnostics, "dataset: ./PATH");
        return 0;
    }
    const char *text = dray_draft_expand(draft, node);
    if (!text)
        return draft->error->class_;
    if (!dray_is_path(text))
        return take_name(draft, text, draft->base, &node->place);
    return draft->checking ? 0 : take_path(draft, text, draft->base, &node->place);
}

/* The command line is quoted like a file, for what a plugin finds wrong with the dataset. */
static struct dray_place quote(struct dray_draft *draft, const char *text)
{
    static const char option[] = "--dataset ";
    struct dray_place place = {.line = 1, .column = sizeof(option), .width = 1};
    dray_autofree char *line = dray_format("%s%s", option, text);

    if (!line) {
        draft->diagnostics->no_memory = 1;
        return place;
    }
    place.source = dray_diagnostics_source(draft->diagnostics, "command line", line, strlen(line));
    place.width = (uint32_t)strlen(text);
    return place;
}

int dray_dataset_find(struct dray_draft *draft, const char *text, const char *base)
{
    if (text) {
        draft->dataset_place = quote(draft, text);
        return dray_is_path(text) ? take_path(draft, text, base, NULL)
                                  : take_name(draft, text, base, NULL);
    }
    if (draft->dataset_node)
        return take_file(draft);
    if (draft->checking || draft->step_count == 0)
        return 0;
    if (draft->has_sources)
        return take_source(draft);
    dray_problem(draft, draft->top, "the workflow does not say which dataset it delivers");
    dray_diagnose_hint(draft->diagnostics,
                       "write dataset: ./PATH, or give one on the command line");
    return 0;
}

/* The name of what a flagged option of the step says, which is then a real path. */
static int resolve_source(struct dray_draft *draft, struct dray_draft_step *step)
{
    struct stat status;
    struct dray_place place;
    const char *path = dray_step_flagged(step, DRAY_OPTION_READS, &place);
    dray_autofree char *real = !path ? NULL : draft->listed ? strdup(path) : realpath(path, NULL);

    status.st_mode = S_IFREG;
    if (!real || (!draft->listed && stat(real, &status) != 0))
        return path && errno == ENOMEM ? dray_fail_memory(draft->error) : 0;
    if (!dray_utf8_valid(real, strlen(real)))
        return refuse_path(draft, path, &place, DRAY_INVALID, "its real path is not UTF-8");
    step->reads = dray_draft_copy(draft, real, strlen(real));
    step->reads_name = name_of(draft, real, S_ISREG(status.st_mode));
    if (!step->reads || !step->reads_name)
        return DRAY_NO_MEMORY;
    for (size_t i = 0; i < step->plugin->option_count; i++) {
        const struct dray_option_info *option = &step->plugin->options[i];
        const json_t *value = json_object_get(step->with, option->name);
        if ((option->flags & DRAY_OPTION_READS) && json_string_value(value) == path)
            return json_object_set_new(step->with, option->name, json_string(real)) == 0
                       ? 0
                       : dray_fail_memory(draft->error);
    }
    return 0;
}

/* A list does not say which of its entries come from where. */
static void refuse_second(struct dray_draft *draft, const struct dray_draft_step *step)
{
    dray_problem(draft, step->uses_place,
                 "a list stands for one source, and this is the second of the workflow");
    dray_diagnose_hint(draft->diagnostics, "preview it without --listing");
}

int dray_dataset_sources(struct dray_draft *draft)
{
    size_t sources = 0;
    int result = 0;

    for (size_t i = 0; result == 0 && i < draft->step_count; i++) {
        struct dray_draft_step *step = &draft->steps[i];
        if (!step->known || step->role != DRAY_STEP_SOURCE || !step->node)
            continue;
        if (++sources == 2 && draft->listed)
            refuse_second(draft, step);
        if (step->with)
            result = resolve_source(draft, step);
    }
    return result;
}
