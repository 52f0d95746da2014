/* SPDX-License-Identifier: MIT */
/*
 * manual.c - the reference of all plugins' options as a manual page, for man(1). It names no files,
 * so that the page is the same wherever the same plugins are.
 */
#include <inttypes.h>
#include <string.h>

#include "core/base/text.h"
#include "core/plugin/plugin.h"
#include "core/plugin/value.h"

/* Text as roff takes it for what it says, a line at most. */
static void add_text(struct dray_buffer *out, const char *text)
{
    size_t length = strlen(text);

    for (size_t i = 0; i < length;) {
        size_t bytes = dray_utf8_length(text + i, length - i);
        unsigned char byte = (unsigned char)text[i];
        if (bytes > 1) {
            uint32_t character = byte & (0xffu >> (bytes + 1));
            for (size_t k = 1; k < bytes; k++)
                character = character << 6 | ((unsigned char)text[i + k] & 0x3fu);
            dray_buffer_format(out, "\\[u%04" PRIX32 "]", character);
        } else if (byte == '\\') {
            dray_buffer_text(out, "\\e");
        } else if (byte == '-') {
            dray_buffer_text(out, "\\-");
        } else if (byte == '\'') {
            dray_buffer_text(out, "\\(aq");
        } else if (byte == '`') {
            dray_buffer_text(out, "\\(ga");
        } else if (byte == '"') {
            dray_buffer_text(out, "\\(dq");
        } else if (byte == '^') {
            dray_buffer_text(out, "\\(ha");
        } else if (byte == '~') {
            dray_buffer_text(out, "\\(ti");
        } else {
            dray_buffer_add(out, byte < 0x20 || bytes == 0 ? " " : text + i, 1);
        }
        i += bytes ? bytes : 1;
    }
}

/* A line of text; a period at its start is no request. */
static void add_line(struct dray_buffer *out, const char *text)
{
    dray_buffer_text(out, "\\&");
    add_text(out, text);
    dray_buffer_text(out, "\n");
}

static void add_bold(struct dray_buffer *out, const char *text)
{
    dray_buffer_text(out, "\\fB");
    add_text(out, text);
    dray_buffer_text(out, "\\fP");
}

/* A number of an option's range, in its unit: bytes, or for a duration its nanoseconds in words. */
static void add_bound(struct dray_buffer *out, const struct dray_option_info *option, int64_t bound)
{
    static const struct {
        int64_t ns;
        const char *unit;
    } units[] = {{INT64_C(86400000000000), "d"},
                 {INT64_C(3600000000000), "h"},
                 {INT64_C(60000000000), "m"},
                 {INT64_C(1000000000), "s"},
                 {INT64_C(1000000), "ms"}};
    char number[48];

    if (option->type == DRAY_TYPE_DURATION && bound != 0) {
        for (size_t i = 0; i < DRAY_COUNT(units); i++) {
            if (bound % units[i].ns != 0)
                continue;
            (void)snprintf(number, sizeof(number), "%" PRId64 "%s", bound / units[i].ns,
                           units[i].unit);
            add_text(out, number);
            return;
        }
    }
    (void)snprintf(number, sizeof(number), "%" PRId64 "%s", bound,
                   option->type == DRAY_TYPE_DURATION ? "ns"
                   : option->type == DRAY_TYPE_SIZE   ? " B"
                                                      : "");
    add_text(out, number);
}

static void add_range(struct dray_buffer *out, const struct dray_option_info *option)
{
    int low = option->min != INT64_MIN && (option->min != 0 || option->type == DRAY_TYPE_INT);
    int high = option->max != INT64_MAX;

    if (option->type != DRAY_TYPE_INT && option->type != DRAY_TYPE_SIZE &&
        option->type != DRAY_TYPE_DURATION)
        return;
    if (!low && !high)
        return;
    dray_buffer_text(out, low ? "At least " : "At most ");
    add_bound(out, option, low ? option->min : option->max);
    if (low && high) {
        dray_buffer_text(out, " and at most ");
        add_bound(out, option, option->max);
    }
    dray_buffer_text(out, ".\n");
}

static void add_choices(struct dray_buffer *out, const struct dray_option_info *option)
{
    const char *choice;
    size_t length;

    if (option->type != DRAY_TYPE_CHOICE)
        return;
    dray_buffer_text(out, "One of");
    for (size_t i = 0; (choice = dray_choice_at(option->choices, i, &length)) != NULL; i++) {
        dray_autofree char *name = strndup(choice, length);
        dray_buffer_text(out, i > 0 ? ", " : " ");
        if (name)
            add_bold(out, name);
        else
            out->failed = DRAY_NO_MEMORY;
    }
    dray_buffer_text(out, ".\n");
}

static void add_option(struct dray_buffer *out, const struct dray_option_info *option)
{
    dray_buffer_text(out, ".TP\n");
    add_bold(out, option->name);
    dray_buffer_format(out, " (\\fI%s\\fP", dray_type_name(option->type));
    if (option->flags & DRAY_OPTION_REQUIRED) {
        dray_buffer_text(out, ", required");
    } else if (option->fallback) {
        dray_buffer_text(out, ", default ");
        add_bold(out, option->fallback);
    }
    dray_buffer_text(out, ")\n");
    dray_buffer_text(out, "\\&");
    add_text(out, option->help);
    size_t end = strlen(option->help);
    dray_buffer_text(out, end > 0 && option->help[end - 1] == '.' ? "\n" : ".\n");
    add_choices(out, option);
    add_range(out, option);
    if (option->flags & DRAY_OPTION_DEPRECATED)
        dray_buffer_text(out, "Deprecated: a later release may drop it.\n");
}

static void add_plugin(struct dray_buffer *out, const struct dray_plugin_info *plugin)
{
    const char *kind = dray_kind_name(plugin->kind);

    dray_buffer_text(out, ".SS ");
    if (kind)
        dray_buffer_format(out, "%s/", kind);
    add_text(out, plugin->name);
    dray_buffer_text(out, "\n");
    add_line(out, plugin->summary);
    dray_buffer_text(out, ".br\n");
    if (!kind) {
        dray_buffer_text(out, "Built in.\n");
    } else {
        dray_buffer_format(out, "Kind: %s. Version: ", kind);
        add_text(out, plugin->version);
        dray_buffer_format(out, ". ABI: %" PRIu32 ".%" PRIu32 ".", plugin->major, plugin->minor);
        if (plugin->kind == DRAY_KIND_PUSH)
            dray_buffer_format(out, " Target type: %s.",
                               dray_target_type_name(plugin->target_type));
        dray_buffer_text(out, "\n");
    }
    if (plugin->option_count == 0)
        dray_buffer_text(out, ".PP\nIt has no options.\n");
    for (size_t i = 0; i < plugin->option_count; i++)
        add_option(out, &plugin->options[i]);
}

static void add_head(struct dray_buffer *out)
{
    dray_buffer_text(
        out,
        ".\\\" SPDX-License-Identifier: MIT\n"
        ".\\\" Made by `dray plugin manual` from the plugins' option tables; not to be "
        "edited.\n"
        ".TH dray\\-plugins 5 \"\" Dray \"File Formats\"\n"
        ".SH NAME\n"
        "dray\\-plugins \\- the options of Dray\\(aqs plugins\n"
        ".SH DESCRIPTION\n"
        "A step of a workflow names a plugin with \\fBuses\\fP, as KIND/NAME, and gives it the "
        "options below with \\fBwith\\fP;\n"
        "so does a step that a policy injects.\n"
        ".PP\n"
        "\\fBdray plugin show\\fP KIND/NAME says the same of one plugin, \\fBdray plugin "
        "manual\\fP prints this page for all that are found where it runs.\n"
        ".SS Types\n");
}

static void add_types(struct dray_buffer *out)
{
    static const uint32_t types[] = {
        DRAY_TYPE_BOOL, DRAY_TYPE_INT,    DRAY_TYPE_SIZE,    DRAY_TYPE_DURATION, DRAY_TYPE_STRING,
        DRAY_TYPE_PATH, DRAY_TYPE_CHOICE, DRAY_TYPE_STRINGS, DRAY_TYPE_MAP,      DRAY_TYPE_SECRET};

    for (size_t i = 0; i < DRAY_COUNT(types); i++) {
        dray_buffer_format(out, ".TP\n\\fI%s\\fP\n", dray_type_name(types[i]));
        add_line(out, dray_type_takes(types[i]));
    }
    dray_buffer_text(out, ".PP\nA relative path starts at the directory of the file that it stands "
                          "in.\n");
}

void dray_plugins_manual(const struct dray_plugin_info *const *plugins, size_t count,
                         struct dray_buffer *out)
{
    uint32_t kind = UINT32_MAX;

    add_head(out);
    add_types(out);
    for (size_t i = 0; i < count; i++) {
        if (plugins[i]->refused.class_ != 0)
            continue;
        if (plugins[i]->kind != kind) {
            kind = plugins[i]->kind;
            const char *name = dray_kind_name(kind);
            dray_buffer_text(out, ".SH ");
            for (const char *at = name ? name : "built-in steps"; *at; at++)
                dray_buffer_format(out, "%c", *at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
            dray_buffer_text(out, name ? " PLUGINS\n" : "\n");
        }
        add_plugin(out, plugins[i]);
    }
    dray_buffer_text(out, ".SH SEE ALSO\n"
                          ".BR dray (1),\n"
                          ".BR dray\\-workflow (5),\n"
                          ".BR dray\\-policy (5)\n");
}
