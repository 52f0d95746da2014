/* SPDX-License-Identifier: MIT */
/* step.c - what workflows and policies have in common: `uses` and `with`. */
#include "core/plan/draft.h"

#include <string.h>

#include "core/base/text.h"
#include "core/plugin/options.h"

int dray_role_of_uses(const char *uses, enum dray_step_role *ret_role)
{
    const char *slash = strchr(uses, '/');

    if (!slash) {
        *ret_role = strcmp(uses, "guard") == 0 ? DRAY_STEP_GUARD : DRAY_STEP_VALIDATE;
        return strcmp(uses, "guard") == 0 || strcmp(uses, "validate") == 0 ? 0 : -1;
    }
    switch (dray_kind_of_name(uses, (size_t)(slash - uses))) {
    case DRAY_KIND_SOURCE:
        *ret_role = DRAY_STEP_SOURCE;
        return 0;
    case DRAY_KIND_FILTER:
        *ret_role = DRAY_STEP_FILTER;
        return 0;
    case DRAY_KIND_TRANSFORM:
        *ret_role = DRAY_STEP_TRANSFORM;
        return 0;
    case DRAY_KIND_PUSH:
        *ret_role = DRAY_STEP_PUSH;
        return 0;
    default:
        return -1;
    }
}

/* A hint of an error may have several lines; behind a caret there is room for one. */
void dray_step_hint(struct dray_draft *draft, const struct dray_error *error)
{
    struct dray_buffer line = {.cap = 2 * sizeof(error->hint)};

    for (const char *c = error->hint; *c; c++) {
        if (*c == '\n')
            dray_buffer_text(&line, c > error->hint && c[-1] == '?' ? " " : "; ");
        else
            dray_buffer_add(&line, c, 1);
    }
    if (line.length && !line.failed)
        dray_diagnose_hint(draft->diagnostics, "%s", line.data);
    dray_buffer_free(&line);
}

/* `uses: glob`: say which plugin has that name. */
static void suggest_plugin(struct dray_draft *draft, const char *name)
{
    static const uint32_t kinds[] = {DRAY_KIND_SOURCE, DRAY_KIND_FILTER, DRAY_KIND_TRANSFORM,
                                     DRAY_KIND_PUSH};

    for (size_t i = 0; i < DRAY_COUNT(kinds); i++) {
        size_t count = 0;
        const char *const *names = dray_registry_names(draft->registry, kinds[i], &count);
        for (size_t k = 0; k < count; k++) {
            if (strcmp(names[k], name) == 0) {
                dray_diagnose_hint(draft->diagnostics, "did you mean \"%s/%s\"?",
                                   dray_kind_name(kinds[i]), name);
                return;
            }
        }
    }
}

static void report_uses(struct dray_draft *draft, const struct dray_node *node)
{
    static const char *const words[] = {"validate",  "source", "filter",
                                        "transform", "push",   "recipe"};
    const char *slash = strchr(node->text, '/');
    dray_autofree char *kind =
        slash ? strndup(node->text, (size_t)(slash - node->text)) : strdup(node->text);

    if (!kind) {
        draft->diagnostics->no_memory = 1;
    } else if (slash && strcmp(kind, "recipe") == 0) {
        /* a workflow's step does not come here */
        dray_problem(draft, node->place, "only a workflow uses recipes");
        dray_diagnose_hint(draft->diagnostics, "write its steps here: dray recipe show %s",
                           slash + 1);
    } else if (slash && strcmp(kind, "notify") == 0) {
        dray_problem(draft, node->place, "%s is no step: a notifier gets no tree", node->text);
    } else if (slash && strcmp(kind, "validate") == 0) {
        dray_problem(draft, node->place, "`validate` is built in: no plugin's name follows it");
        dray_diagnose_hint(draft->diagnostics, "write uses: validate");
    } else if (slash) {
        dray_problem(draft, node->place, "there is no kind of step \"%s\"", kind);
        dray_diagnose_hint(draft->diagnostics, "source, filter, transform, push or recipe");
        dray_diagnose_nearest(draft->diagnostics, kind, words + 1, DRAY_COUNT(words) - 1);
    } else {
        dray_problem(draft, node->place, "`uses` takes KIND/PLUGIN or `validate`, not \"%s\"",
                     node->text);
        if (strcmp(kind, "recipe") == 0)
            dray_diagnose_hint(draft->diagnostics, "write recipe/NAME");
        else
            dray_diagnose_nearest(draft->diagnostics, kind, words, DRAY_COUNT(words));
        if (dray_kind_of_name(kind, strlen(kind)) != 0)
            dray_diagnose_hint(draft->diagnostics, "name the plugin too: %s/NAME", kind);
        suggest_plugin(draft, kind);
    }
}

static int find_plugin(struct dray_draft *draft, struct dray_draft_step *step, uint32_t kind)
{
    const char *name = strchr(step->uses, '/') + 1;
    struct dray_error error = {0};

    if (!dray_is_id(name, strlen(name))) {
        dray_problem(draft, step->uses_place, "\"%s\" cannot be the name of a plugin", name);
        return 0;
    }
    int result = dray_registry_find(draft->registry, kind, name, &step->plugin, &error);
    if (result == 0)
        return 0;
    step->plugin = NULL;
    if (result == DRAY_NO_MEMORY || result == DRAY_TEMPORARY || result == DRAY_CANCELLED) {
        *draft->error = error;
        return result;
    }
    dray_problem(draft, step->uses_place, "%s", error.message);
    dray_step_hint(draft, &error);
    return 0;
}

/* The texts of a table of the registry are its own. */
static int own_text(struct dray_arena *arena, char **text, const char *from)
{
    *text = from ? dray_arena_text(arena, from, strlen(from)) : NULL;
    return from && !*text ? DRAY_NO_MEMORY : 0;
}

const struct dray_plugin_info *dray_validate_table(struct dray_arena *arena)
{
    /* Without defaults: a step that is added has no options, and is the same request. */
    static const struct {
        const char *name, *help, *choices;
        uint32_t type, flags;
    } rows[] = {
        {"manifest",
         "Path in the dataset of a list that sha256sum or md5sum wrote, or several; `bagit`: the "
         "manifests of a BagIt bag, which are also compared where a bag is found and nothing else "
         "is named; `none`: nothing is compared",
         NULL, DRAY_TYPE_STRINGS, DRAY_OPTION_OR_ONE},
        {"extra", "Files that no manifest lists; without it they fail", "fail|ignore",
         DRAY_TYPE_CHOICE, 0},
        {"entries", "How many there must be: files, links and empty directories", NULL,
         DRAY_TYPE_INT, 0},
        {"bytes", "What all files together must have", NULL, DRAY_TYPE_SIZE, 0},
        {"read",
         "When digests are compared: later, where the bytes are first read, as without it; or now, "
         "in a pass over all files, also those that are left out afterwards",
         "later|now", DRAY_TYPE_CHOICE, 0},
    };
    struct dray_plugin_info *info = dray_arena_alloc(arena, sizeof(*info), _Alignof(max_align_t));
    struct dray_option_info *options =
        dray_arena_alloc(arena, sizeof(*options) * DRAY_COUNT(rows), _Alignof(max_align_t));

    if (!info || !options)
        return NULL;
    *info = (struct dray_plugin_info){.options = options, .option_count = DRAY_COUNT(rows)};
    int failed =
        own_text(arena, &info->name, "validate") ||
        own_text(arena, &info->summary, "Check that the dataset is what is recorded of it");
    for (size_t i = 0; !failed && i < DRAY_COUNT(rows); i++) {
        options[i] = (struct dray_option_info){
            .max = INT64_MAX, .type = rows[i].type, .flags = rows[i].flags};
        failed = own_text(arena, &options[i].name, rows[i].name) ||
                 own_text(arena, &options[i].help, rows[i].help) ||
                 own_text(arena, &options[i].choices, rows[i].choices);
    }
    return failed ? NULL : info;
}

static const struct dray_plugin_info *validate_table(struct dray_draft *draft)
{
    if (!draft->validate)
        draft->validate = dray_validate_table(&draft->arena);
    if (!draft->validate)
        (void)dray_fail_memory(draft->error);
    return draft->validate;
}

int dray_step_uses(struct dray_draft *draft, struct dray_draft_step *step,
                   const struct dray_node *node)
{
    const struct dray_node *uses = dray_node_get(node, "uses");

    step->uses_place = step->place;
    step->with_node = dray_node_get(node, "with");
    if (!uses) {
        dray_problem(draft, step->place, "the step does not say what it `uses`");
        dray_diagnose_hint(draft->diagnostics, "for example uses: filter/glob");
        return 0;
    }
    step->uses_place = uses->place;
    if (uses->kind != DRAY_NODE_SCALAR) {
        dray_problem(draft, uses->place, "`uses` takes KIND/PLUGIN or `validate`, not %s",
                     dray_node_what(uses));
        return 0;
    }
    if (!step->rule && strstr(uses->text, "${")) {
        dray_problem(draft, uses->place, "`uses` takes no parameters");
        dray_diagnose_hint(draft->diagnostics, "which plugins run stands in the file");
        return 0;
    }
    if (dray_role_of_uses(uses->text, &step->role) != 0) {
        report_uses(draft, uses);
        return 0;
    }
    if (step->role == DRAY_STEP_GUARD) {
        dray_problem(draft, uses->place, "`guard` is no step to write: a policy's `limit` adds it");
        return 0;
    }
    if (strcmp(uses->text, "source/command") == 0) {
        dray_problem(draft, uses->place,
                     "source/command is no step to write: which programs run "
                     "stands in the site's configuration");
        dray_diagnose_hint(
            draft->diagnostics,
            "name a dataset of the catalog whose source is NAME:REMOTE of one there");
        return 0;
    }
    step->uses = uses->text;
    step->known = 1;
    if (step->role == DRAY_STEP_VALIDATE)
        return validate_table(draft) ? 0 : DRAY_NO_MEMORY;
    return find_plugin(
        draft, step, dray_kind_of_name(uses->text, (size_t)(strchr(uses->text, '/') - uses->text)));
}

/* A manifest is looked for in the dataset, and nowhere else. */
static void check_manifest(struct dray_draft *draft, const char *path, int alone,
                           struct dray_place place)
{
    dray_autofree char *framed = dray_format("/%s/", path);

    if (!framed) {
        draft->diagnostics->no_memory = 1;
    } else if (*path == '\0' || strstr(framed, "//") || strstr(framed, "/./") ||
               strstr(framed, "/../")) {
        dray_problem(draft, place, "\"%s\" is no path in a dataset", path);
        dray_diagnose_hint(draft->diagnostics,
                           "it starts at the dataset's root, without `/`, `.` and `..`");
    } else if (!alone && (strcmp(path, "bagit") == 0 || strcmp(path, "none") == 0)) {
        dray_problem(draft, place, "`%s` is no manifest beside others", path);
        dray_diagnose_hint(draft->diagnostics, "write manifest: %s alone, or paths", path);
    }
}

static void check_manifests(struct dray_draft *draft, const struct dray_draft_step *step)
{
    const json_t *value = json_object_get(step->with, "manifest");
    const struct dray_node *node = dray_node_get(step->with_node, "manifest");

    if (!value || !node)
        return;
    if (json_is_string(value))
        check_manifest(draft, json_string_value(value), 1, node->place);
    for (size_t i = 0; i < json_array_size(value); i++)
        check_manifest(draft, json_string_value(json_array_get(value, i)), 0,
                       node->kind == DRAY_NODE_SEQUENCE && i < node->count ? node->items[i]->place
                                                                           : node->place);
    if (json_is_array(value) && json_array_size(value) == 0) {
        dray_problem(draft, node->place, "`manifest` names none");
        dray_diagnose_hint(draft->diagnostics, "write manifest: none to compare with nothing");
    }
}

/* A rule is the same for every delivery: ${} stands for nothing in it, and $${ for itself, as
 * everywhere. */
static char *expand_rule(void *argument, const struct dray_node *scalar)
{
    struct dray_draft *draft = argument;
    struct dray_parameters saved = draft->parameters;
    const char *found = scalar->text;

    while ((found = strstr(found, "${")) && found > scalar->text && found[-1] == '$')
        found += 2;
    if (found) {
        dray_problem(draft, scalar->place, "a policy has no parameters, so ${ stands for nothing");
        dray_diagnose_hint(draft->diagnostics, "write what is meant; $${ is the text ${");
        return NULL;
    }
    draft->parameters = (struct dray_parameters){0};
    char *text = dray_parameters_expand(draft, scalar);
    draft->parameters = saved;
    return text;
}

/* Is every option there that the plugin may count on? */
static int are_enough(const struct dray_plugin_info *table, const json_t *with)
{
    for (size_t i = 0; i < table->option_count; i++)
        if ((table->options[i].flags & DRAY_OPTION_REQUIRED) &&
            !json_object_get(with, table->options[i].name))
            return 0;
    return 1;
}

/* The site may say how bytes are made durable where a workflow does not. */
static int site_default(const struct dray_draft *draft, const struct dray_draft_step *step)
{
    if (!draft->durability || !step->with || strcmp(step->uses, "push/hpfs") != 0 ||
        dray_node_get(step->with_node, "durability"))
        return 0;
    return json_object_set_new(step->with, "durability", json_string(draft->durability));
}

int dray_step_options(struct dray_draft *draft, struct dray_draft_step *step, const char *base)
{
    const struct dray_plugin_info *table = step->plugin;
    struct dray_error error = {0};
    size_t before = draft->diagnostics->errors;

    if (step->known && step->role == DRAY_STEP_VALIDATE)
        table = draft->validate;
    if (!table)
        return 0;
    draft->unresolved = 0;
    int result = dray_options_check(table, step->uses, step->with_node, step->place, base,
                                    step->rule ? expand_rule : dray_parameters_expand, draft,
                                    draft->diagnostics, &step->with, &error);
    if (draft->error->class_)
        return draft->error->class_; /* memory ran out in an expansion */
    if (result == 0 && step->role == DRAY_STEP_VALIDATE)
        check_manifests(draft, step);
    if (result == 0 && site_default(draft, step) != 0)
        return dray_fail_memory(draft->error);
    int problems = draft->diagnostics->errors > before;
    if (result != 0 && !problems) {
        *draft->error = error;
        return result;
    }
    if (!problems && !draft->unresolved)
        return 0;
    if (step->plugin && !draft->unresolved && are_enough(table, step->with))
        step->trial = DRAY_TAKE(step->with);
    json_decref(step->with);
    step->with = NULL;
    return 0;
}

/* Options that nobody wrote in the workflow, as if somebody had. */
static int check_written(struct dray_draft *draft, struct dray_draft_step *step,
                         const struct dray_buffer *text, struct dray_diagnostics *diagnostics)
{
    struct dray_error error = {0};
    dray_cleanup(dray_document_freep) struct dray_document *document = NULL;
    int result = text->failed ? dray_fail_memory(&error)
                              : dray_document_parse(step->uses, text->data, text->length,
                                                    diagnostics, &document, &error);

    if (result == 0)
        result = dray_options_check(step->plugin, step->uses, dray_document_root(document),
                                    (struct dray_place){.line = 1, .column = 1, .width = 1}, "/",
                                    NULL, NULL, diagnostics, &step->with, &error);
    if (result != 0 && !diagnostics->errors)
        *draft->error = error;
    return result;
}

/* The step is the implied source; `text` its options. */
static int imply(struct dray_draft *draft, struct dray_draft_step *step, const char *plugin,
                 const struct dray_buffer *text)
{
    struct dray_diagnostics diagnostics = {0};

    step->uses = plugin;
    step->role = DRAY_STEP_SOURCE;
    step->known = 1;
    int result = find_plugin(draft, step, DRAY_KIND_SOURCE);
    if (result != 0 || !step->plugin)
        return result;
    result = check_written(draft, step, text, &diagnostics);
    if (diagnostics.errors) {
        result = 0;
        for (size_t i = 0; i < diagnostics.count; i++)
            dray_problem(draft, step->place, "%s", diagnostics.items[i].message);
        json_decref(step->with);
        step->with = NULL;
    } else if (diagnostics.no_memory) {
        result = dray_fail_memory(draft->error);
    }
    dray_diagnostics_free(&diagnostics);
    return result;
}

/* What the catalog has of the bundle itself, as options of its source. */
static int add_bundle(const struct dray_draft *draft, json_t *with)
{
    const char *key;
    json_t *value;

    json_object_foreach(json_object_get(draft->known, "bundle"), key, value)
    {
        dray_autofree char *option = dray_format("bundle_%s", key);
        if (!option || json_object_set(with, option, value) != 0)
            return -1;
    }
    return 0;
}

int dray_step_source(struct dray_draft *draft, struct dray_draft_step *step, const char *plugin,
                     const char *path)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 1u << 20};
    const json_t *bundle =
        draft->dataset_is_archive ? json_object_get(draft->known, "bundle") : NULL;
    const char *key;
    json_t *value;

    dray_buffer_text(&text, "path: ");
    dray_quote_add(&text, path);
    json_object_foreach((json_t *)(uintptr_t)bundle, key, value)
    {
        if (json_is_string(value))
            dray_buffer_format(&text, "\nbundle_%s: \"%s\"", key, json_string_value(value));
        else
            dray_buffer_format(&text, "\nbundle_%s: %lld", key,
                               (long long)json_integer_value(value));
    }
    return imply(draft, step, plugin, &text);
}

/* What the catalog has recorded of the dataset's files; NULL: nothing. */
static const char *recorded_revision(struct dray_draft *draft)
{
    const char *listed = json_string_value(json_object_get(draft->known, "listed"));
    const json_t *bundle = json_object_get(draft->known, "bundle");
    const char *sha256 = json_string_value(json_object_get(bundle, "sha256"));
    const char *md5 = json_string_value(json_object_get(bundle, "md5"));
    dray_autofree char *of_files =
        listed
            ? dray_format(", entries %lld, bytes %lld, recorded %s",
                          (long long)json_integer_value(json_object_get(draft->known, "entries")),
                          (long long)json_integer_value(json_object_get(draft->known, "bytes")),
                          listed)
            : strdup("");

    if (!of_files) {
        (void)dray_fail_memory(draft->error);
        return NULL;
    }
    return dray_draft_format(draft, "%s:%s%s%s%s", draft->source_name, draft->source_remote,
                             of_files, sha256 || md5 ? ", digest " : "",
                             sha256 ? sha256
                             : md5  ? md5
                                    : "");
}

int dray_step_command(struct dray_draft *draft, struct dray_draft_step *step)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 1u << 20};
    const json_t *source = json_object_get(draft->sources, draft->source_name);
    const char *revision = recorded_revision(draft);
    json_t *with = json_deep_copy(json_object_get(source, "with"));

    if (!revision || !with ||
        json_object_set_new(with, "source", json_string(draft->source_name)) != 0 ||
        json_object_set_new(with, "remote", json_string(draft->source_remote)) != 0 ||
        json_object_set_new(with, "revision", json_string(revision)) != 0 ||
        add_bundle(draft, with) != 0) {
        json_decref(with);
        return dray_fail_memory(draft->error);
    }
    /* JSON is YAML. */
    dray_autofree char *json = json_dumps(with, JSON_COMPACT);
    json_decref(with);
    if (!json)
        return dray_fail_memory(draft->error);
    dray_buffer_text(&text, json);
    return imply(draft, step, "source/command", &text);
}

const char *dray_step_flagged(const struct dray_draft_step *step, uint32_t flag,
                              struct dray_place *ret_place)
{
    for (size_t i = 0; step->plugin && i < step->plugin->option_count; i++) {
        const struct dray_option_info *option = &step->plugin->options[i];
        const char *value = json_string_value(json_object_get(step->with, option->name));
        if (!(option->flags & flag) || !value)
            continue;
        const struct dray_node *node = dray_node_get(step->with_node, option->name);
        *ret_place = node ? node->place : step->place;
        return value;
    }
    return NULL;
}
