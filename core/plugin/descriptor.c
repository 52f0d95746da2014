/* SPDX-License-Identifier: MIT */
/* descriptor.c - see descriptor.h. The checks stand in the order in which a host may trust what it
 * reads. */
#include "core/plugin/descriptor.h"

#include <inttypes.h>
#include <stdalign.h>
#include <string.h>

#include "core/base/text.h"
#include "core/plugin/info.h"
#include "core/plugin/value.h"

/* Up to and with a member: how large a struct was in the release that added it. */
#define THROUGH(T, M) (offsetof(T, M) + sizeof(((T *)0)->M))

/* The sizes of ABI 0.1. They stay when the structs grow. */
#define FIRST_PLUGIN THROUGH(struct dray_plugin, operations)
#define FIRST_OPTION THROUGH(struct dray_option, reserved)

/* The `needs` that this host can serve. */
#define KNOWN_NEEDS UINT64_C(0)

static int refuse(struct dray_error *error, const char *file, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int refuse(struct dray_error *error, const char *file, const char *format, ...)
{
    char reason[sizeof error->message];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return dray_fail(error, DRAY_INVALID, "%s: %s", file, reason);
}

static int check_version(const char *file, const struct dray_head *head, struct dray_error *error)
{
    int result = 0;

    if (head->major != DRAY_ABI_MAJOR || (DRAY_ABI_MAJOR == 0 && head->minor != DRAY_ABI_MINOR))
        result = refuse(error, file, "built for plugin ABI %u.%u, this Dray has %d.%d%s",
                        head->major, head->minor, DRAY_ABI_MAJOR, DRAY_ABI_MINOR,
                        head->major == 0 ? " (before 1.0 both numbers must be equal)" : "");
    else if (head->min_minor > DRAY_ABI_MINOR)
        result = refuse(error, file, "needs plugin ABI %u.%u or later, this Dray has %d.%d",
                        head->major, head->min_minor, DRAY_ABI_MAJOR, DRAY_ABI_MINOR);
    if (result != 0)
        dray_hint(error, "build it anew with this Dray's dray/plugin.h (pkg-config dray)");
    return result;
}

static int check_head(const char *file, const struct dray_head *head, size_t readable,
                      struct dray_error *error)
{
    int result;

    if (head->magic != DRAY_PLUGIN_MAGIC)
        return refuse(error, file,
                      "no plugin of Dray: its magic number is 0x%016" PRIx64 ", not 0x%016" PRIx64,
                      head->magic, DRAY_PLUGIN_MAGIC);
    result = check_version(file, head, error);
    if (result != 0)
        return result;
    if ((head->needs & ~KNOWN_NEEDS) != 0) {
        result = refuse(error, file,
                        "needs features 0x%" PRIx64 " of the host, this Dray knows 0x%" PRIx64,
                        head->needs, KNOWN_NEEDS);
        dray_hint(error, "install the Dray that it was made for");
        return result;
    }
    if (head->size < FIRST_PLUGIN)
        return refuse(error, file,
                      "its descriptor says it has %u bytes, ABI %d.%d has at least %zu", head->size,
                      DRAY_ABI_MAJOR, DRAY_ABI_MINOR, FIRST_PLUGIN);
    if (head->size > readable)
        return refuse(error, file, "its descriptor says it has %u bytes, the file holds %zu of it",
                      head->size, readable);
    if (dray_kind_name(head->kind) == NULL)
        return refuse(error, file, "of kind %u, this Dray knows %u (source) to %u (notify)",
                      head->kind, DRAY_KIND_SOURCE, DRAY_KIND_NOTIFY);
    return 0;
}

/* Operations by kind: sizes, and the function that is missing, if one is. */
static size_t first_operations(uint32_t kind)
{
    switch (kind) {
    case DRAY_KIND_SOURCE:
        return THROUGH(struct dray_source_operations, stage);
    case DRAY_KIND_FILTER:
        return THROUGH(struct dray_filter_operations, decide);
    case DRAY_KIND_TRANSFORM:
        return THROUGH(struct dray_transform_operations, apply);
    case DRAY_KIND_PUSH:
        return THROUGH(struct dray_push_operations, discard);
    case DRAY_KIND_NOTIFY:
        return THROUGH(struct dray_notify_operations, notify);
    }
    return SIZE_MAX;
}

static size_t own_operations(uint32_t kind)
{
    switch (kind) {
    case DRAY_KIND_SOURCE:
        return sizeof(struct dray_source_operations);
    case DRAY_KIND_FILTER:
        return sizeof(struct dray_filter_operations);
    case DRAY_KIND_TRANSFORM:
        return sizeof(struct dray_transform_operations);
    case DRAY_KIND_PUSH:
        return sizeof(struct dray_push_operations);
    case DRAY_KIND_NOTIFY:
        return sizeof(struct dray_notify_operations);
    }
    return 0;
}

static const char *missing_operation(const struct dray_loaded *loaded)
{
    const struct dray_push_operations *push = &loaded->operations.push;

    switch (loaded->plugin.head.kind) {
    case DRAY_KIND_SOURCE:
        if (loaded->operations.source.identify == NULL)
            return "identify";
        if (loaded->operations.source.stage == NULL)
            return "stage";
        return (loaded->plugin.head.caps & DRAY_CAP_BRINGS) &&
                       loaded->operations.source.bring == NULL
                   ? "bring"
                   : NULL;
    case DRAY_KIND_FILTER:
        return loaded->operations.filter.decide == NULL ? "decide" : NULL;
    case DRAY_KIND_TRANSFORM:
        return loaded->operations.transform.apply == NULL ? "apply" : NULL;
    case DRAY_KIND_PUSH:
        if (push->describe == NULL)
            return "describe";
        if (push->probe == NULL)
            return "probe";
        if (push->push == NULL)
            return "push";
        return push->discard == NULL ? "discard" : NULL;
    case DRAY_KIND_NOTIFY:
        return loaded->operations.notify.notify == NULL ? "notify" : NULL;
    }
    return "every";
}

static int check_operations(const char *file, struct dray_loaded *loaded, struct dray_error *error)
{
    uint32_t kind = loaded->plugin.head.kind;
    size_t own = own_operations(kind);
    const char *missing;
    uint32_t size;

    if (loaded->plugin.operations == NULL)
        return refuse(error, file, "has no operations, a %s needs them", dray_kind_name(kind));
    memcpy(&size, loaded->plugin.operations, sizeof size);
    if (size < first_operations(kind))
        return refuse(error, file,
                      "its operations say they have %u bytes, those of a %s have at "
                      "least %zu",
                      size, dray_kind_name(kind), first_operations(kind));
    memcpy(&loaded->operations, loaded->plugin.operations, size < own ? size : own);
    loaded->plugin.operations = &loaded->operations;
    missing = missing_operation(loaded);
    if (missing != NULL)
        return refuse(error, file, "has no operation \"%s\", a %s needs it", missing,
                      dray_kind_name(kind));
    if (kind == DRAY_KIND_PUSH &&
        dray_target_type_name(loaded->operations.push.target_type) == NULL)
        return refuse(error, file,
                      "delivers to targets of type %u, this Dray knows %u (hpfs) to %u "
                      "(other)",
                      loaded->operations.push.target_type, DRAY_TARGET_HPFS, DRAY_TARGET_OTHER);
    return 0;
}

/* One line of printable UTF-8, with an end in sight. */
static int is_line(const char *text)
{
    size_t length = strnlen(text, DRAY_LONGEST_TEXT);

    if (length == DRAY_LONGEST_TEXT || !dray_utf8_valid(text, length))
        return 0;
    for (size_t i = 0; i < length; i += dray_utf8_length(text + i, length - i))
        if (dray_utf8_is_control(text + i, dray_utf8_length(text + i, length - i)))
            return 0;
    return 1;
}

static int check_identity(const char *file, const struct dray_plugin *plugin,
                          struct dray_error *error)
{
    if (plugin->name == NULL)
        return refuse(error, file, "has no name");
    if (!is_line(plugin->name) || !dray_plugin_name_valid(plugin->name))
        return refuse(error, file, "its name is \"%.80s\", a name is made of a-z, 0-9 and -",
                      plugin->name);
    if (plugin->version == NULL || plugin->version[0] == '\0')
        return refuse(error, file, "has no version");
    if (!is_line(plugin->version))
        return refuse(error, file, "its version is not one line of UTF-8");
    if (plugin->summary == NULL || plugin->summary[0] == '\0')
        return refuse(error, file, "has no summary");
    if (!is_line(plugin->summary))
        return refuse(error, file, "its summary is not one line of UTF-8");
    return 0;
}

struct dray_option dray_descriptor_option(const struct dray_plugin *plugin, uint32_t index)
{
    struct dray_option option = {0};
    const char *rows = (const char *)plugin->options;
    size_t known = plugin->option_size < sizeof option ? plugin->option_size : sizeof option;

    memcpy(&option, rows + (size_t)index * plugin->option_size, known);
    return option;
}

/* A default means the same as if it stood in a workflow, so it is read the same way. */
static int check_fallback(const char *file, const struct dray_option *option,
                          struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer why = {.cap = 2048};
    size_t length = strlen(option->fallback);
    int64_t number;
    int result = 0;

    if ((option->flags & DRAY_OPTION_REQUIRED) != 0)
        return refuse(error, file, "option \"%s\" is required and has a default", option->name);
    if (dray_type_is_number(option->type)) {
        result = dray_value_number(option, option->fallback, length, &number, &why);
    } else if (option->type == DRAY_TYPE_PATH) {
        dray_autofree char *path = NULL;
        result = dray_value_path("/", option->fallback, &path, &why);
    } else if (option->type != DRAY_TYPE_STRING) {
        return refuse(error, file, "option \"%s\" has a default, one of type %s cannot have any",
                      option->name, dray_type_name(option->type));
    }
    if (result == 0)
        return 0;
    if (why.failed != 0 || why.data == NULL)
        return dray_fail_memory(error);
    return refuse(error, file, "the default of option \"%s\" is wrong: it %s", option->name,
                  why.data);
}

static int check_choices(const char *file, const struct dray_option *option,
                         struct dray_error *error)
{
    const char *choice;
    size_t length;

    if (option->choices == NULL || option->choices[0] == '\0')
        return refuse(error, file, "option \"%s\" is a choice of nothing", option->name);
    for (size_t i = 0; (choice = dray_choice_at(option->choices, i, &length)) != NULL; i++) {
        if (length == 0)
            return refuse(error, file, "option \"%s\" has an empty choice in \"%s\"", option->name,
                          option->choices);
        if (dray_choice_find(option->choices, choice, length) != (int64_t)i)
            return refuse(error, file, "option \"%s\" has a choice twice in \"%s\"", option->name,
                          option->choices);
    }
    return 0;
}

/* The texts of a row, which the checks that follow rely on. */
static int check_option_texts(const char *file, const struct dray_option *option, uint32_t index,
                              struct dray_error *error)
{
    if (option->name == NULL)
        return refuse(error, file, "option %u has no name", index);
    if (!is_line(option->name) || !dray_option_name_valid(option->name))
        return refuse(error, file,
                      "option %u is called \"%.80s\", a name is made of a-z, 0-9 and _", index,
                      option->name);
    if (option->help == NULL || option->help[0] == '\0')
        return refuse(error, file, "option \"%s\" has no line of help", option->name);
    if (!is_line(option->help))
        return refuse(error, file, "the help of option \"%s\" is not one line of UTF-8",
                      option->name);
    if (option->fallback != NULL && !is_line(option->fallback))
        return refuse(error, file, "the default of option \"%s\" is not one line of UTF-8",
                      option->name);
    if (option->choices != NULL && !is_line(option->choices))
        return refuse(error, file, "the choices of option \"%s\" are not one line of UTF-8",
                      option->name);
    return 0;
}

static int check_option(const char *file, const struct dray_plugin *plugin, uint32_t index,
                        struct dray_error *error)
{
    struct dray_option option = dray_descriptor_option(plugin, index);
    size_t size = dray_type_size(option.type);
    int result = check_option_texts(file, &option, index, error);

    if (result != 0)
        return result;
    for (uint32_t i = 0; i < index; i++)
        if (strcmp(dray_descriptor_option(plugin, i).name, option.name) == 0)
            return refuse(error, file, "has two options \"%s\"", option.name);
    if (size == 0)
        return refuse(error, file, "option \"%s\" is of type %u, this Dray knows %u to %u",
                      option.name, option.type, DRAY_TYPE_BOOL, DRAY_TYPE_SECRET);
    if (size > plugin->instance_size || option.offset > plugin->instance_size - size)
        return refuse(error, file,
                      "option \"%s\" lies at byte %u and takes %zu, the instance has %" PRIu64,
                      option.name, option.offset, size, plugin->instance_size);
    if (option.offset % dray_type_alignment(option.type) != 0)
        return refuse(error, file, "option \"%s\" lies at byte %u, which is no multiple of %zu",
                      option.name, option.offset, dray_type_alignment(option.type));
    if (dray_type_is_number(option.type) && option.min > option.max)
        return refuse(error, file, "option \"%s\" is at least %" PRId64 " and at most %" PRId64,
                      option.name, option.min, option.max);
    if (option.type == DRAY_TYPE_CHOICE)
        result = check_choices(file, &option, error);
    if (result == 0 && option.fallback != NULL)
        result = check_fallback(file, &option, error);
    return result;
}

static int check_options(const char *file, const struct dray_plugin *plugin,
                         struct dray_error *error)
{
    int result = 0;

    if (plugin->option_count == 0)
        return 0;
    if (plugin->option_count > DRAY_MOST_OPTIONS)
        return refuse(error, file, "says it has %u options, %d are the most", plugin->option_count,
                      DRAY_MOST_OPTIONS);
    if (plugin->options == NULL)
        return refuse(error, file, "says it has %u options and has no table", plugin->option_count);
    if (plugin->option_size < FIRST_OPTION)
        return refuse(error, file, "a row of its options has %u bytes, in ABI %d.%d at least %zu",
                      plugin->option_size, DRAY_ABI_MAJOR, DRAY_ABI_MINOR, FIRST_OPTION);
    for (uint32_t i = 0; i < plugin->option_count && result == 0; i++)
        result = check_option(file, plugin, i, error);
    return result;
}

int dray_descriptor_check(const char *file, const struct dray_plugin *found, size_t readable,
                          struct dray_loaded *ret_loaded, struct dray_error *error)
{
    struct dray_loaded loaded = {0};
    struct dray_head head;
    int result;

    if (readable < sizeof head)
        return refuse(error, file,
                      "its dray_plugin_v1 has %zu bytes, a descriptor has at least %zu", readable,
                      FIRST_PLUGIN);
    memcpy(&head, found, sizeof head);
    result = check_head(file, &head, readable, error);
    if (result != 0)
        return result;
    memcpy(&loaded.plugin, found,
           head.size < sizeof loaded.plugin ? head.size : sizeof loaded.plugin);
    result = check_operations(file, &loaded, error);
    if (result == 0)
        result = check_identity(file, &loaded.plugin, error);
    if (result == 0)
        result = check_options(file, &loaded.plugin, error);
    if (result != 0)
        return result;
    *ret_loaded = loaded;
    ret_loaded->plugin.operations = &ret_loaded->operations;
    return 0;
}

int dray_descriptor_named(const char *file, const struct dray_plugin *plugin,
                          struct dray_error *error)
{
    const char *kind = dray_kind_name(plugin->head.kind);
    const char *slash = strrchr(file, '/');
    const char *base = slash == NULL ? file : slash + 1;
    dray_autofree char *expected = dray_format("%s-%s.so", kind, plugin->name);

    if (expected == NULL)
        return dray_fail_memory(error);
    if (strcmp(base, expected) == 0)
        return 0;
    int result = refuse(error, file, "holds %s/%s, whose file must be called %s", kind,
                        plugin->name, expected);
    dray_hint(error, "rename the file to %s", expected);
    return result;
}
