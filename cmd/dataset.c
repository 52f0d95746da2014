/* SPDX-License-Identifier: MIT */
/* dataset.c - dray dataset: the catalog. */
#include <string.h>

#include "cmd/command.h"
#include "core/base/text.h"

/* ---- what the command line says of one */

/* NULL, with the error, for what cannot stand in the catalog. */
static json_t *one_text(struct work *work, const char *value)
{
    json_t *json = json_string(value);

    if (!json && !dray_utf8_valid(value, strlen(value)))
        (void)dray_fail(&work->error, DRAY_INVALID, "%s is not UTF-8", value);
    else if (!json)
        (void)dray_fail_memory(&work->error);
    return json;
}

static int set(struct work *work, json_t *said, const char *key, const char *value)
{
    json_t *json = value ? one_text(work, value) : NULL;

    if (!value)
        return 0;
    if (!json)
        return -1;
    return json_object_set_new(said, key, json) == 0 ? 0 : dray_fail_memory(&work->error);
}

static int set_tags(struct work *work, json_t *said)
{
    const struct list *tags = &work->options->tags;
    json_t *list = json_array();
    int result = tags->count == 0 ? 0 : json_object_set(said, "tags", list);

    if (result != 0)
        (void)dray_fail_memory(&work->error);
    for (size_t i = 0; result == 0 && i < tags->count; i++) {
        json_t *tag = one_text(work, tags->items[i]);
        result = tag ? json_array_append_new(list, tag) : -1;
    }
    json_decref(list);
    return result;
}

static int set_labels(struct work *work, json_t *said)
{
    const struct list *labels = &work->options->labels;
    json_t *object = json_object();
    int result = labels->count == 0 ? 0 : json_object_set(said, "labels", object);

    if (result != 0)
        (void)dray_fail_memory(&work->error);
    for (size_t i = 0; result == 0 && i < labels->count; i++) {
        const char *value = strchr(labels->items[i], '=');
        dray_autofree char *name = strndup(labels->items[i], (size_t)(value - labels->items[i]));
        if (name && !dray_utf8_valid(name, strlen(name)))
            result = dray_fail(&work->error, DRAY_INVALID, "%s is not UTF-8", name);
        else
            result = name ? set(work, object, name, value + 1) : dray_fail_memory(&work->error);
    }
    json_decref(object);
    return result;
}

/* "sha256:DIGITS", which says its kind; an empty text takes all digests away. */
static int set_digest(struct work *work, json_t *bundle, const char *value)
{
    const char *colon = strchr(value, ':');
    size_t length = colon ? (size_t)(colon - value) : 0;
    const char *kind = length == 6 && strncasecmp(value, "sha256", 6) == 0 ? "sha256"
                       : length == 3 && strncasecmp(value, "md5", 3) == 0  ? "md5"
                                                                           : NULL;

    if (!*value)
        return json_object_set_new(bundle, "sha256", json_null()) == 0
                   ? 0
                   : dray_fail_memory(&work->error);
    if (kind)
        return set(work, bundle, kind, colon + 1);
    (void)dray_fail(&work->error, DRAY_INVALID, "--digest %s does not say of which kind it is",
                    value);
    dray_hint(&work->error, "write sha256: or md5: in front of its digits");
    return -1;
}

/* What the file at the source is to be. */
static int set_bundle(struct work *work, json_t *said)
{
    const struct options *options = work->options;
    json_t *bundle = json_object();
    int wanted = options->digests.count > 0 || options->bundle_size;
    int result = bundle ? 0 : dray_fail_memory(&work->error);

    for (size_t i = 0; result == 0 && i < options->digests.count; i++)
        result = set_digest(work, bundle, options->digests.items[i]);
    if (result == 0 && options->bundle_size) {
        const char *why = NULL;
        int64_t size = 0;
        int empty = !*options->bundle_size;
        if (!empty && (dray_size_parse(options->bundle_size, strlen(options->bundle_size), &size,
                                       &why) != 0 ||
                       size < 0 || size == DRAY_NONE))
            result = dray_fail(&work->error, DRAY_INVALID, "--bundle-size %s: %s",
                               options->bundle_size, why ? why : "it takes a number of bytes");
        else if (json_object_set_new(bundle, "size", empty ? json_null() : json_integer(size)) != 0)
            result = dray_fail_memory(&work->error);
    }
    if (result == 0 && wanted && json_object_set(said, "bundle", bundle) != 0)
        result = dray_fail_memory(&work->error);
    json_decref(bundle);
    return result;
}

/* NULL with the error. */
static json_t *said_of(struct work *work, const char *name)
{
    const struct options *options = work->options;
    json_t *said = json_object();

    if (!said)
        (void)dray_fail_memory(&work->error);
    if (said && set(work, said, "name", name) == 0 && set(work, said, "type", options->type) == 0 &&
        set(work, said, "source", options->source) == 0 &&
        set(work, said, "owner", options->owner) == 0 &&
        set(work, said, "external_id", options->external_id) == 0 && set_tags(work, said) == 0 &&
        set_labels(work, said) == 0 && set_bundle(work, said) == 0)
        return said;
    json_decref(said);
    return NULL;
}

/* ---- the same for people */

static void print_name(const json_t *dataset)
{
    if (text(dataset, "type")[0]) {
        print_text(stdout, text(dataset, "type"));
        (void)fputc('/', stdout);
    }
    print_text(stdout, text(dataset, "name"));
}

static void print_tags(const json_t *dataset)
{
    const json_t *tags = json_object_get(dataset, "tags");

    for (size_t i = 0; i < json_array_size(tags); i++) {
        (void)fputs(i ? ", " : "", stdout);
        print_text(stdout, json_string_value(json_array_get(tags, i)));
    }
}

static void print_labels(const json_t *dataset)
{
    const char *name, *comma = "";
    json_t *value;

    json_object_foreach(json_object_get(dataset, "labels"), name, value)
    {
        (void)fputs(comma, stdout);
        print_text(stdout, name);
        (void)fputc('=', stdout);
        print_text(stdout, json_string_value(value));
        comma = ", ";
    }
}

static void print_member(const json_t *dataset, const char *key, const char *title)
{
    if (!text(dataset, key)[0])
        return;
    (void)printf("%-12s", title);
    print_text(stdout, text(dataset, key));
    (void)fputc('\n', stdout);
}

static void print_size(const json_t *dataset)
{
    char size[24];
    unsigned long long entries = number(dataset, "entries");

    (void)printf("%llu file%s, %s", entries, entries == 1 ? "" : "s",
                 dray_size_print(number(dataset, "bytes"), size));
}

static void print_files(const json_t *files)
{
    json_t *file;
    size_t i;

    json_array_foreach(files, i, file)
    {
        const char *digest = text(file, text(file, "sha256")[0] ? "sha256" : "md5");
        (void)printf("  %12llu  %-12.12s  ", number(file, "size"), *digest ? digest : "-");
        print_text(stdout, text(file, "path"));
        (void)fputc('\n', stdout);
    }
}

static void print_bundle(const json_t *bundle)
{
    const char *comma = "";

    if (!bundle)
        return;
    (void)printf("%-12s", "bundle");
    if (json_object_get(bundle, "size")) {
        (void)printf("%llu bytes", number(bundle, "size"));
        comma = ", ";
    }
    for (size_t i = 0; i < 2; i++) {
        const char *kind = i == 0 ? "sha256" : "md5", *digits = text(bundle, kind);
        if (!*digits)
            continue;
        (void)printf("%s%s:%s", comma, kind, digits);
        comma = ", ";
    }
    (void)fputc('\n', stdout);
}

static void print_dataset(const json_t *dataset)
{
    (void)printf("%-12s", "dataset");
    print_name(dataset);
    (void)printf(" (id:%llu)\n", number(dataset, "id"));
    print_member(dataset, "external_id", "external id");
    print_member(dataset, "owner", "owner");
    print_member(dataset, "source", "source");
    print_bundle(json_object_get(dataset, "bundle"));
    if (json_object_get(dataset, "tags")) {
        (void)printf("%-12s", "tags");
        print_tags(dataset);
        (void)fputc('\n', stdout);
    }
    if (json_object_get(dataset, "labels")) {
        (void)printf("%-12s", "labels");
        print_labels(dataset);
        (void)fputc('\n', stdout);
    }
    (void)printf("%-12s%s, changed %s\n", "added", text(dataset, "created"),
                 text(dataset, "updated"));
    if (!json_object_get(dataset, "listed"))
        return;
    (void)printf("%-12s", "files");
    print_size(dataset);
    (void)printf(", recorded %s\n", text(dataset, "listed"));
    print_files(json_object_get(dataset, "files"));
}

static void print_line(const json_t *dataset)
{
    (void)printf("id:%-6llu  ", number(dataset, "id"));
    print_name(dataset);
    if (text(dataset, "owner")[0]) {
        (void)fputs("  of ", stdout);
        print_text(stdout, text(dataset, "owner"));
    }
    if (json_object_get(dataset, "listed")) {
        (void)fputs("  ", stdout);
        print_size(dataset);
    }
    if (json_object_get(dataset, "tags")) {
        (void)fputs("  [", stdout);
        print_tags(dataset);
        (void)fputc(']', stdout);
    }
    (void)fputc('\n', stdout);
}

/* ---- the verbs */

/* Takes the reference. */
static int tell(struct work *work, json_t *dataset, const char *what)
{
    if (work->options->json)
        return print_json(dataset);
    print_name(dataset);
    (void)printf(" (id:%llu) %s", number(dataset, "id"), what);
    if (json_object_get(dataset, "list_dropped"))
        (void)printf("; the list of its %llu file%s was of the source before, and is dropped",
                     number(dataset, "list_dropped"),
                     number(dataset, "list_dropped") == 1 ? "" : "s");
    if (json_object_get(dataset, "bundle_dropped"))
        (void)fputs("; what was known of the file at the source before is dropped", stdout);
    (void)fputc('\n', stdout);
    json_decref(dataset);
    return 0;
}

static int add(struct work *work)
{
    json_t *said = said_of(work, work->options->arguments[1]), *dataset = NULL;
    int failed = !said || work_open(work) != 0 ||
                 dray_api_dataset_add(work->api, said, &dataset, &work->error) != 0;

    json_decref(said);
    return failed ? work_fail(work) : tell(work, dataset, "added");
}

static int change(struct work *work)
{
    json_t *said = said_of(work, work->options->name), *dataset = NULL;
    int failed = said == NULL;

    if (!failed && json_object_size(said) == 0) {
        failed = dray_fail(&work->error, DRAY_INVALID, "nothing is to be changed");
        dray_hint(&work->error, "--name, --type, --source, --digest, --bundle-size, --tag, "
                                "--label, --owner or --external-id says what");
    }
    failed = failed || work_open(work) != 0 ||
             dray_api_dataset_set(work->api, work->options->arguments[1], said, &dataset,
                                  &work->error) != 0;
    json_decref(said);
    return failed ? work_fail(work) : tell(work, dataset, "changed");
}

static int import(struct work *work)
{
    json_t *done = NULL;

    if (work_open(work) != 0 ||
        dray_api_dataset_import(work->api, work->options->arguments[1], &work->diagnostics, &done,
                                &work->error) != 0)
        return work_fail(work);
    if (work->options->json)
        return print_json(done);
    (void)printf("%llu added, %llu changed, %llu files", number(done, "added"),
                 number(done, "changed"), number(done, "files"));
    if (json_object_get(done, "lists_dropped"))
        (void)printf(", %llu list%s dropped, of another source than now",
                     number(done, "lists_dropped"), number(done, "lists_dropped") == 1 ? "" : "s");
    (void)fputc('\n', stdout);
    json_decref(done);
    return 0;
}

static int list(struct work *work)
{
    const struct options *options = work->options;
    struct dray_datasets_request request = {
        .type = options->type, .owner = options->owner, .external_id = options->external_id};
    json_t *datasets = NULL, *dataset;
    size_t i;

    if (options->tags.count > 0)
        request.tag = options->tags.items[options->tags.count - 1];
    if (work_open(work) != 0 ||
        dray_api_dataset_list(work->api, &request, &datasets, &work->error) != 0)
        return work_fail(work);
    if (options->json)
        return print_json(datasets);
    json_array_foreach(datasets, i, dataset) print_line(dataset);
    if (json_array_size(datasets) == 0)
        (void)puts("no datasets");
    json_decref(datasets);
    return 0;
}

static int show(struct work *work)
{
    json_t *dataset = NULL;

    if (work_open(work) != 0 ||
        dray_api_dataset_show(work->api, work->options->arguments[1], &dataset, &work->error) != 0)
        return work_fail(work);
    if (work->options->json)
        return print_json(dataset);
    print_dataset(dataset);
    json_decref(dataset);
    return 0;
}

/* In words; what is wrong comes first. */
static void print_verdict(const json_t *verdict)
{
    const json_t *differences = json_object_get(verdict, "differences"), *one;
    char size[24];
    size_t i;

    json_array_foreach(differences, i, one)
    {
        const char *what = text(one, "what");
        (void)printf("%s: ", strcmp(what, "extra") == 0 ? "not listed" : what);
        print_text(stdout, text(one, "path"));
        if (text(one, "why")[0]) {
            (void)fputs(" (", stdout);
            print_text(stdout, text(one, "why"));
            (void)fputc(')', stdout);
        }
        (void)fputc('\n', stdout);
    }
    print_name(verdict);
    (void)printf(" (id:%llu) %s: %llu files, %s, read; ", number(verdict, "id"),
                 text(verdict, "verdict"), number(verdict, "entries"),
                 dray_size_print(number(verdict, "bytes"), size));
    if (number(verdict, "digests") > 0)
        (void)printf("digests of %llu compared; ", number(verdict, "digests"));
    (void)printf("recorded %s\n", text(verdict, "listed"));
}

static int verify(struct work *work)
{
    json_t *verdict = NULL;

    work->interruptible = 1;
    if (work_open(work) != 0)
        return work_fail(work);
    int result =
        dray_api_dataset_verify(work->api, work->options->arguments[1], work->options->record,
                                &work->diagnostics, &verdict, &work->error);
    if (!verdict)
        return work_fail(work);
    if (work->options->json) {
        int status = print_json(verdict);
        return status != 0 || result != 0;
    }
    print_verdict(verdict);
    json_decref(verdict);
    return result != 0;
}

static int delete (struct work *work)
{
    json_t *dataset = NULL;

    if (work_open(work) != 0 || dray_api_dataset_delete(work->api, work->options->arguments[1],
                                                        &dataset, &work->error) != 0)
        return work_fail(work);
    return tell(work, dataset, "deleted from the catalog; its files are where they were");
}

static const struct verb verbs[] = {
    {"add",
     " NAME [--source PATH] [--type T] [--tag T]... [--label N=V]... [--owner U] [--digest D]...",
     "nABCEFHQV", 1, 1, add},
    {"set",
     " DATASET [--name N] [--source PATH] [--type T] [--tag T]... [--label N=V]... [--digest D]...",
     "nABCEFHIQV", 1, 1, change},
    {"import", " FILE", "n", 1, 1, import},
    {"list", " [--type T] [--tag T] [--owner U] [--external-id ID]", "nACFH", 0, 0, list},
    {"show", " DATASET", "n", 1, 1, show},
    {"verify", " DATASET [--record]", "nO", 1, 1, verify},
    {"delete", " DATASET", "n", 1, 1, delete},
};
const struct verbs dataset_verbs = {verbs, DRAY_COUNT(verbs)};

int command_dataset(struct options *options)
{
    return run_verb(options, "dataset", &dataset_verbs);
}
