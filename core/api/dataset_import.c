/* SPDX-License-Identifier: MIT */
/*
 * dataset_import.c - many datasets from a file of JSON lines. It is read twice: whether each line
 * can be so, so that all that is wrong is told at once; then into the catalog, in one transaction.
 */
#include "core/api/datasets.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/io.h"
#include "core/base/text.h"

#define MOST_LINE ((size_t)1 << 30)

struct import {
    struct dray_api *api;
    const char *base; /* that relative sources start from */
    struct dray_diagnostics *diagnostics;
    struct dray_error *error;
    uint32_t source; /* of the diagnostics */
    uint32_t line;
    int storing; /* the second time */
    int open;    /* lines of files are of the dataset above them: */
    int listing; /* and its list was begun */
    uint64_t id; /* of it, when storing */
    uint64_t added, changed, files;
    uint64_t dropped; /* lists that were of another source, and that no other took the place of */
    int told;         /* how lines of JSON are made of other JSON */
    int dropping;     /* the list of the dataset above is among them */
};

/* What is wrong with the line is a problem at its place; what else fails is an error. */
static int settle(struct import *import, int result)
{
    struct dray_place place = {
        .source = import->source, .line = import->line, .column = 1, .width = 1};

    if (result != DRAY_INVALID && result != DRAY_CONFLICT)
        return result;
    dray_diagnose(import->diagnostics, place, DRAY_SEVERITY_ERROR, "%s", import->error->message);
    if (import->error->hint[0])
        dray_diagnose_hint(import->diagnostics, "%s", import->error->hint);
    *import->error = (struct dray_error){0};
    return 0;
}

/* ---- files */

/* The list of the dataset above begins with the first file that is said of it. */
static int begin_list(struct import *import)
{
    int began = import->listing;

    import->listing = 1;
    import->dropped -= import->dropping ? 1 : 0;
    import->dropping = 0;
    return import->storing && !began
               ? dray_store_dataset_list(import->api->engine.store, import->id, import->error)
               : 0;
}

/* And ends before the next dataset. */
static int end_list(struct import *import)
{
    int began = import->listing;

    import->listing = 0;
    return import->storing && began
               ? dray_store_dataset_listed(import->api->engine.store, import->id, import->error)
               : 0;
}

static int take_file(struct import *import, json_t *said)
{
    struct dray_dataset_file_said file = {0};
    int result = dray_dataset_file_say(said, &file, import->error);

    if (result == 0)
        result = begin_list(import);
    if (result == 0 && import->storing)
        result = dray_store_dataset_add(import->api->engine.store, import->id, &file.file,
                                        import->error);
    import->files += import->storing && result == 0 ? 1 : 0;
    free(file.path);
    return result;
}

static int take_files(struct import *import, const json_t *files)
{
    int result = files ? begin_list(import) : 0;

    for (size_t i = 0; result == 0 && i < json_array_size(files); i++)
        result = take_file(import, json_array_get(files, i));
    return result;
}

/* ---- datasets */

/* By name alone another dataset of the platform would be overwritten. */
static int check_same(struct import *import, const struct dray_dataset_row *row,
                      const char *external_id)
{
    if (row->id == 0 || !row->external_id || strcmp(row->external_id, external_id) == 0)
        return 0;
    (void)dray_fail(import->error, DRAY_CONFLICT,
                    "the dataset \"%s\" (id:%llu) has the external id \"%s\", and this line "
                    "says \"%s\"",
                    row->name, (unsigned long long)row->id, row->external_id, external_id);
    dray_hint(import->error,
              "if it is the same dataset: dray dataset set id:%llu --external-id %s; else give it "
              "another name or type",
              (unsigned long long)row->id, external_id);
    return DRAY_CONFLICT;
}

/* The one that the line is about: by its external id, else by type and name. */
static int find(struct import *import, const json_t *said, struct dray_dataset_row *row)
{
    const char *type = json_string_value(json_object_get(said, "type"));
    struct dray_dataset_wanted by_name = {.name = json_string_value(json_object_get(said, "name")),
                                          .type = type ? type : ""};
    struct dray_dataset_wanted by_id = {
        .external_id = json_string_value(json_object_get(said, "external_id"))};
    int result = 0;

    if (by_id.external_id && *by_id.external_id)
        result = dray_dataset_first(import->api, &by_id, row, import->error);
    if (result != 0 || row->id != 0 || !by_name.name)
        return result;
    result = dray_dataset_first(import->api, &by_name, row, import->error);
    return result == 0 && by_id.external_id && *by_id.external_id
               ? check_same(import, row, by_id.external_id)
               : result;
}

static int take_dataset(struct import *import, json_t *said)
{
    dray_cleanup(dray_dataset_row_clear) struct dray_dataset_row row = {0};
    int result = end_list(import);

    if (result == 0)
        result = find(import, said, &row);
    import->open = 1;
    int known = row.id != 0, listed = row.listed != 0;
    if (result == 0)
        result = dray_dataset_say(&row, said, import->base, 0, import->error);
    if (result == 0 && import->storing)
        result = dray_store_dataset_put(import->api->engine.store, &row, import->error);
    if (result != 0)
        return result;
    import->id = row.id;
    import->dropping = listed && row.listed == 0;
    import->dropped += import->dropping ? 1 : 0;
    import->added += known ? 0 : 1;
    import->changed += known ? 1 : 0;
    return take_files(import, json_object_get(said, "files"));
}

/* ---- lines */

static int is_file_line(const json_t *line)
{
    return json_object_get(line, "path") || json_object_get(line, "path_b64");
}

/* JSON that is spread over lines, or a list of datasets, is what people have; once it is said how
 * that becomes lines. */
static int fail_shape(struct import *import, const char *format, ...) DRAY_FORMAT(2, 3);
static int fail_shape(struct import *import, const char *format, ...)
{
    char message[sizeof(import->error->message)];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    (void)dray_fail(import->error, DRAY_INVALID, "%s", message);
    if (!import->told)
        dray_hint(import->error, "each line is one whole JSON object: jq -c '.[]' makes such lines "
                                 "of a list, jq -c . of objects");
    import->told = 1;
    return DRAY_INVALID;
}

static int take_line(struct import *import, const char *text, size_t length)
{
    json_error_t problem = {0};
    int result;

    while (length > 0 && strchr(" \t\r\n", text[length - 1]))
        length--;
    if (length == 0)
        return 0;
    if (length > MOST_LINE)
        return dray_fail(import->error, DRAY_INVALID, "the line is longer than 1 GiB");
    json_t *line = json_loadb(text, length, JSON_REJECT_DUPLICATES, &problem);
    if (!line && json_error_code(&problem) == json_error_out_of_memory)
        return dray_fail_memory(import->error);
    if (!line)
        return fail_shape(import, "this is not JSON: %s, at character %d", problem.text,
                          problem.column);
    if (!json_is_object(line))
        result = fail_shape(import, "a line is an object: a dataset, or a file of the one above");
    else if (!is_file_line(line))
        result = take_dataset(import, line);
    else if (import->open)
        result = take_file(import, line);
    else
        result = dray_fail(import->error, DRAY_INVALID,
                           "a file stands here before any dataset that it would be of");
    json_decref(line);
    return result;
}

/* All lines; when storing the first that is wrong is the last. */
static int pass(struct import *import, FILE *file, const char *name)
{
    dray_autofree char *text = NULL;
    size_t capacity = 0, before = import->diagnostics->errors;
    ssize_t length;
    int result = 0;

    rewind(file);
    import->line = 0;
    import->open = import->listing = 0;
    import->added = import->changed = import->dropped = 0;
    import->dropping = 0;
    errno = 0;
    while (result == 0 && (length = getline(&text, &capacity, file)) >= 0) {
        import->line++;
        result = settle(import, take_line(import, text, (size_t)length));
        if (import->storing && import->diagnostics->errors > before)
            break;
        errno = 0;
    }
    if (result == 0 && ferror(file))
        result = dray_fail_errno(import->error, errno, "reading %s", name);
    if (result == 0 && import->diagnostics->errors == before)
        result = settle(import, end_list(import));
    if (result != 0 || import->diagnostics->errors == before)
        return result;
    dray_diagnostics_sort(import->diagnostics);
    return dray_diagnostics_error(import->diagnostics, import->error);
}

static int store(struct import *import, FILE *file, const char *name)
{
    struct dray_store *store = import->api->engine.store;
    int result = dray_store_begin(store, import->error);

    if (result != 0)
        return result;
    import->storing = 1;
    result = pass(import, file, name);
    if (result == 0)
        return dray_store_commit(store, import->error);
    dray_store_rollback(store);
    return result;
}

/* ---- where the lines come from */

/* What can be read once is kept, to be read twice. */
static FILE *keep(FILE *from)
{
    FILE *file = tmpfile();
    char bytes[1 << 16];
    size_t length;

    while (file && (length = fread(bytes, 1, sizeof(bytes), from)) > 0) {
        if (fwrite(bytes, 1, length, file) == length)
            continue;
        (void)fclose(file);
        return NULL;
    }
    if (!file || (!ferror(from) && fflush(file) == 0))
        return file;
    (void)fclose(file);
    return NULL;
}

static FILE *open_lines(const char *name)
{
    struct stat status;

    if (strcmp(name, "-") == 0)
        return keep(stdin);
    FILE *file = fopen(name, "re");
    if (!file || fstat(fileno(file), &status) != 0 || S_ISREG(status.st_mode))
        return file;
    if (S_ISDIR(status.st_mode)) {
        (void)fclose(file);
        errno = EISDIR;
        return NULL;
    }
    FILE *kept = keep(file);
    (void)fclose(file);
    return kept;
}

static void close_lines(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

/* The directory that the file's relative paths start from. */
static char *base_of(const struct dray_api *api, const char *name)
{
    char *path = strcmp(name, "-") == 0 ? dray_format("%s/-", api->here)
                                        : dray_path_absolute(api->here, name);
    char *slash = path ? strrchr(path, '/') : NULL;

    if (slash)
        slash[slash == path ? 1 : 0] = '\0';
    return path;
}

int dray_api_dataset_import(struct dray_api *api, const char *name,
                            struct dray_diagnostics *diagnostics, json_t **ret_imported,
                            struct dray_error *error)
{
    dray_autofree char *base = base_of(api, name);
    const char *shown = strcmp(name, "-") == 0 ? "standard input" : name;
    struct import import = {.api = api, .base = base, .diagnostics = diagnostics, .error = error};

    if (!base)
        return dray_fail_memory(error);
    dray_cleanup(close_lines) FILE *file = open_lines(name);
    if (!file)
        return errno == EISDIR ? dray_fail(error, DRAY_INVALID, "%s is a directory", shown)
                               : dray_fail_errno(error, errno, "reading %s", shown);
    import.source = dray_diagnostics_source(diagnostics, shown, NULL, 0);
    int result = dray_api_store(api, error);
    if (result == 0)
        result = pass(&import, file, shown);
    if (result == 0)
        result = store(&import, file, shown);
    if (result != 0)
        return result;
    *ret_imported =
        json_pack("{s:s, s:I, s:I, s:I}", "file", shown, "added", (json_int_t)import.added,
                  "changed", (json_int_t)import.changed, "files", (json_int_t)import.files);
    if (*ret_imported && import.dropped > 0 &&
        json_object_set_new(*ret_imported, "lists_dropped",
                            json_integer((json_int_t)import.dropped)) != 0) {
        json_decref(*ret_imported);
        *ret_imported = NULL;
    }
    return *ret_imported ? 0 : dray_fail_memory(error);
}
