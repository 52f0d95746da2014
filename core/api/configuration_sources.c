/* SPDX-License-Identifier: MIT */
/*
 * configuration_sources.c - `sources:` of the configuration: the programs that bring bytes from
 * where no file system shows them. It is the only place where command lines are written.
 */
#include <limits.h>
#include <string.h>

#include "core/api/configuration.h"
#include "core/base/text.h"
#include "core/plan/draft.h"

static const char *const source_keys[] = {"uses", "with", "grants", "concurrency"};
static const char *const with_keys[] = {"argv",    "exits",   "later_exits",
                                        "timeout", "outputs", "strip"};
static const char *const grant_keys[] = {"exec", "read", "connect"};
static const char *const exit_words[] = {"retry",  "permanent", "not_found",
                                         "denied", "no_space",  "credential"};

struct sources {
    struct dray_diagnostics *diagnostics;
    const char *name; /* of the source at hand */
    int no_memory;
};

#define problem(SOURCES, PLACE, ...)                                                               \
    dray_diagnose((SOURCES)->diagnostics, PLACE, DRAY_SEVERITY_ERROR, __VA_ARGS__)

/* Is the value there and of the kind? A problem where it is of another. */
static int is_kind(struct sources *sources, const struct dray_node *node, const char *key,
                   enum dray_node_kind kind, const char *what)
{
    if (!node || node->kind == kind)
        return node != NULL;
    problem(sources, node->place, "`%s` of the source %s is %s, not %s", key, sources->name, what,
            dray_node_what(node));
    return 0;
}

static void set(struct sources *sources, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        sources->no_memory = 1;
}

/* A list of texts; NULL when there is none. */
static json_t *read_texts(struct sources *sources, const struct dray_node *node, const char *key)
{
    if (!is_kind(sources, node, key, DRAY_NODE_SEQUENCE, "a list of texts"))
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < node->count; i++) {
        const struct dray_node *item = node->items[i];
        if (item->kind != DRAY_NODE_SCALAR || item->length == 0)
            problem(sources, item->place, "`%s` of the source %s lists texts, not %s", key,
                    sources->name,
                    item->kind == DRAY_NODE_SCALAR ? "nothing" : dray_node_what(item));
        else if (json_array_append_new(list, json_string(item->text)) != 0)
            sources->no_memory = 1;
    }
    sources->no_memory |= !list;
    return list;
}

/* ---- argv */

static const char *const places[] = {"{local}", "{remote}", "{local:hsi}", "{remote:hsi}"};

/* The placeholders of one word, and {{ for a brace. */
static void check_word(struct sources *sources, const struct dray_node *word, int *local,
                       int *remote)
{
    for (const char *at = strchr(word->text, '{'); at; at = strchr(at, '{')) {
        struct dray_place place = dray_node_place_at(word, (size_t)(at - word->text));
        size_t length = at[1] == '{' ? 2 : 0;
        for (size_t i = 0; length == 0 && i < DRAY_COUNT(places); i++)
            if (strncmp(at, places[i], strlen(places[i])) == 0) {
                length = strlen(places[i]);
                *(i % 2 ? remote : local) = 1;
            }
        at += length > 0 ? length : 1;
        if (length > 0)
            continue;
        problem(sources, place, "no such placeholder in a command's words");
        dray_diagnose_hint(sources->diagnostics,
                           "{remote} and {local} are filled in, {remote:hsi} and {local:hsi} as "
                           "hsi quotes them; {{ is the character {");
    }
}

static void check_argv(struct sources *sources, const struct dray_node *argv)
{
    const struct dray_node *first = argv->count ? argv->items[0] : NULL;
    int local = 0, remote = 0;

    if (!first) {
        problem(sources, argv->place, "`argv` of the source %s names no program", sources->name);
        return;
    }
    if (first->kind == DRAY_NODE_SCALAR && (first->text[0] != '/' || strchr(first->text, '{'))) {
        problem(sources, first->place, "the program of the source %s is no absolute path: %s",
                sources->name, first->text);
        dray_diagnose_hint(sources->diagnostics,
                           "no shell looks for it: write /opt/hpss/bin/hsi, for example");
    }
    for (size_t i = 1; i < argv->count; i++)
        if (argv->items[i]->kind == DRAY_NODE_SCALAR)
            check_word(sources, argv->items[i], &local, &remote);
    if (local && remote)
        return;
    problem(sources, argv->place, "no word of the command has %s", remote ? "{local}" : "{remote}");
    dray_diagnose_hint(sources->diagnostics, "{remote} is what to bring, {local} where to put it");
}

/* ---- the rest of with */

static void read_exits(struct sources *sources, const struct dray_node *node, json_t *with)
{
    if (!is_kind(sources, node, "exits", DRAY_NODE_MAPPING, "a mapping"))
        return;
    json_t *exits = json_object();
    for (size_t i = 0; i < node->count; i++) {
        const struct dray_node *key = node->pairs[i].key, *value = node->pairs[i].value;
        const char *why;
        int64_t number = 0;
        size_t word = 0;
        if (dray_int_parse(key->text, key->length, &number, &why) != 0 || number < 1 ||
            number > 255)
            problem(sources, key->place, "%s is no exit status of a failure, which is 1 to 255",
                    key->text);
        while (word < DRAY_COUNT(exit_words) &&
               (value->kind != DRAY_NODE_SCALAR || strcmp(value->text, exit_words[word]) != 0))
            word++;
        if (word == DRAY_COUNT(exit_words)) {
            problem(sources, value->place, "an exit status does not mean %s",
                    value->kind == DRAY_NODE_SCALAR ? value->text : dray_node_what(value));
            dray_diagnose_hint(
                sources->diagnostics,
                "one of retry, permanent, not_found, denied, no_space and credential");
        } else {
            set(sources, exits, key->text, json_string(value->text));
        }
    }
    set(sources, with, "exits", exits);
}

/* Each is listed once, and means nothing else. */
static void read_later(struct sources *sources, const struct dray_node *node, json_t *with)
{
    json_t *later = read_texts(sources, node, "later_exits"), *exit;
    size_t i;

    json_array_foreach(later, i, exit)
    {
        const char *text = json_string_value(exit), *why;
        int64_t number = 0;
        if (dray_int_parse(text, strlen(text), &number, &why) != 0 || number < 1 || number > 255)
            problem(sources, node->place, "%s is no exit status of a failure, which is 1 to 255",
                    text);
        else if (json_object_get(json_object_get(with, "exits"), text))
            problem(sources, node->place, "the exit status %s is in `exits`, too", text);
    }
    if (later)
        set(sources, with, "later_exits", later);
}

static void read_timeout(struct sources *sources, const struct dray_node *node, json_t *with)
{
    const char *why = NULL;
    int64_t duration = 0;

    if (!is_kind(sources, node, "timeout", DRAY_NODE_SCALAR, "a duration"))
        return;
    if (dray_duration_parse(node->text, node->length, &duration, &why) != 0 || duration <= 0) {
        problem(sources, node->place, "`timeout` of the source %s is a duration, not %s",
                sources->name, node->text);
        dray_diagnose_hint(sources->diagnostics, "for example 30m or 24h");
        return;
    }
    set(sources, with, "timeout", json_string(node->text));
}

static void check_outputs(struct sources *sources, const struct dray_node *outputs)
{
    for (size_t i = 0; i < outputs->count; i++) {
        const struct dray_node *item = outputs->items[i];
        if (item->kind != DRAY_NODE_SCALAR || dray_is_entry(item->text))
            continue;
        problem(sources, item->place, "\"%s\" is no path below {local}", item->text);
        dray_diagnose_hint(sources->diagnostics, "it begins without `/`, and has no `.` and `..`");
    }
}

static void read_with(struct sources *sources, const struct dray_node *node, json_t *source)
{
    json_t *with = json_object();
    const struct dray_node *argv = dray_node_get(node, "argv"),
                           *outputs = dray_node_get(node, "outputs"),
                           *strip = dray_node_get(node, "strip");

    dray_node_known_keys(node, "a source's `with`", with_keys, DRAY_COUNT(with_keys),
                         sources->diagnostics);
    if (!argv) {
        problem(sources, node->place, "the source %s has no `argv`", sources->name);
        dray_diagnose_hint(sources->diagnostics, "argv: [/PROGRAM, WORD, \"{remote}\", "
                                                 "\"{local}\"]");
    }
    json_t *words = read_texts(sources, argv, "argv");
    if (words) {
        check_argv(sources, argv);
        set(sources, with, "argv", words);
    }
    json_t *paths = read_texts(sources, outputs, "outputs");
    if (paths) {
        check_outputs(sources, outputs);
        set(sources, with, "outputs", paths);
    }
    read_exits(sources, dray_node_get(node, "exits"), with);
    read_later(sources, dray_node_get(node, "later_exits"), with);
    read_timeout(sources, dray_node_get(node, "timeout"), with);
    if (is_kind(sources, strip, "strip", DRAY_NODE_SCALAR, "auto or a number"))
        set(sources, with, "strip", json_string(strip->text));
    set(sources, source, "with", with); /* last: where it fails, `with` is gone */
}

/* ---- grants */

static void check_paths(struct sources *sources, const struct dray_node *list)
{
    for (size_t i = 0; list && list->kind == DRAY_NODE_SEQUENCE && i < list->count; i++)
        if (list->items[i]->kind == DRAY_NODE_SCALAR && list->items[i]->text[0] != '/')
            problem(sources, list->items[i]->place, "%s is no absolute path", list->items[i]->text);
}

/* HOST:PORT; the kernel guards ports. */
static void read_connect(struct sources *sources, const struct dray_node *node, json_t *grants)
{
    json_t *texts = read_texts(sources, node, "connect"), *ports = json_array(), *text;
    size_t i;

    json_array_foreach(texts, i, text)
    {
        const char *colon = strrchr(json_string_value(text), ':'), *why;
        int64_t port = 0;
        if (!colon || dray_int_parse(colon + 1, strlen(colon + 1), &port, &why) != 0 || port < 1 ||
            port > 65535) {
            problem(sources, node->place, "%s is not HOST:PORT", json_string_value(text));
        } else if (json_array_append_new(ports, json_integer(port)) != 0) {
            sources->no_memory = 1;
        }
    }
    json_decref(texts);
    set(sources, grants, "connect", ports);
}

static void read_grants(struct sources *sources, const struct dray_node *node, json_t *source)
{
    if (!is_kind(sources, node, "grants", DRAY_NODE_MAPPING, "a mapping"))
        return;
    json_t *grants = json_object();
    dray_node_known_keys(node, "a source's `grants`", grant_keys, DRAY_COUNT(grant_keys),
                         sources->diagnostics);
    for (size_t i = 0; i < 2; i++) {
        const struct dray_node *list = dray_node_get(node, grant_keys[i]);
        json_t *paths = read_texts(sources, list, grant_keys[i]);
        check_paths(sources, list);
        if (paths)
            set(sources, grants, grant_keys[i], paths);
    }
    if (dray_node_get(node, "connect"))
        read_connect(sources, dray_node_get(node, "connect"), grants);
    set(sources, source, "grants", grants);
}

static void read_concurrency(struct sources *sources, const struct dray_node *node, json_t *source)
{
    int64_t number = 0;

    if (!node)
        return;
    if (!dray_node_int(node, &number) || number < 1 || number > 1000) {
        problem(sources, node->place, "`concurrency` of the source %s is a number from 1 to 1000",
                sources->name);
        return;
    }
    set(sources, source, "concurrency", json_integer(number));
}

/* ---- all of them */

static void fill_source(struct sources *sources, const struct dray_pair *pair, json_t *source)
{
    const struct dray_node *node = pair->value, *uses = dray_node_get(node, "uses"),
                           *with = dray_node_get(node, "with");

    sources->name = pair->key->text;
    if (!dray_is_id(pair->key->text, pair->key->length)) {
        problem(sources, pair->key->place, "\"%s\" cannot be the name of a source",
                pair->key->text);
        dray_diagnose_hint(sources->diagnostics, "a to z, 0 to 9, `-` and `_`");
    }
    if (node->kind != DRAY_NODE_MAPPING) {
        problem(sources, node->place, "the source %s is a mapping, not %s", sources->name,
                dray_node_what(node));
        dray_diagnose_hint(sources->diagnostics, "{ uses: source/command, with: { argv: [...] } }");
        return;
    }
    dray_node_known_keys(node, "a source", source_keys, DRAY_COUNT(source_keys),
                         sources->diagnostics);
    if (!uses || uses->kind != DRAY_NODE_SCALAR || strcmp(uses->text, "source/command") != 0) {
        problem(sources, uses ? uses->place : pair->key->place,
                "the source %s has no `uses: source/command`, which is all that a source uses here",
                sources->name);
    }
    if (!with)
        problem(sources, pair->key->place, "the source %s has no `with`", sources->name);
    if (is_kind(sources, with, "with", DRAY_NODE_MAPPING, "a mapping"))
        read_with(sources, with, source);
    read_grants(sources, dray_node_get(node, "grants"), source);
    read_concurrency(sources, dray_node_get(node, "concurrency"), source);
}

static void read_source(struct sources *sources, const struct dray_pair *pair, json_t *all)
{
    json_t *source = json_object();

    fill_source(sources, pair, source);
    set(sources, all, pair->key->text, source);
}

int dray_configuration_sources(const struct dray_node *node, struct dray_diagnostics *diagnostics,
                               json_t **ret_sources)
{
    struct sources sources = {.diagnostics = diagnostics};

    if (!node)
        return 0;
    if (node->kind != DRAY_NODE_MAPPING) {
        dray_diagnose(diagnostics, node->place, DRAY_SEVERITY_ERROR,
                      "`sources` is a mapping of names, not %s", dray_node_what(node));
        return 0;
    }
    json_t *all = json_object();
    sources.no_memory = !all;
    for (size_t i = 0; i < node->count; i++)
        read_source(&sources, &node->pairs[i], all);
    *ret_sources = all;
    return sources.no_memory ? DRAY_NO_MEMORY : 0;
}
