/* SPDX-License-Identifier: MIT */
/*
 * syntax.c - libyaml says what its grammar missed ("did not find expected key"); people need to
 * know what they wrote. Each of its problems is looked at together with the text around it, and
 * told as the mistake that most likely was made.
 */
#include "core/conf/syntax.h"

#include <string.h>

/* What a problem's explainer sees. */
struct mishap {
    const struct dray_source *source;
    const yaml_parser_t *parser;
    struct dray_diagnostics *diagnostics;
    struct dray_span quoted;
    size_t at;      /* byte where the problem is */
    size_t context; /* byte where the thing being read began */
};

/* --- Looking at the text ---------------------------------------------------------------------- */

static char byte_at(const struct dray_source *source, size_t at)
{
    return at < source->length ? source->text[at] : '\0';
}

static int is_space(char character)
{
    return character == '\0' || dray_is_blank(character) || dray_is_break(character);
}

static size_t line_start(const struct dray_source *source, size_t at)
{
    while (at > 0 && !dray_is_break(source->text[at - 1]))
        at--;
    return at;
}

static size_t line_end(const struct dray_source *source, size_t at)
{
    while (at < source->length && !dray_is_break(source->text[at]))
        at++;
    return at;
}

static size_t skip_blanks(const struct dray_source *source, size_t at)
{
    while (dray_is_blank(byte_at(source, at)))
        at++;
    return at;
}

static size_t trim_end(const struct dray_source *source, size_t start, size_t end)
{
    while (end > start && dray_is_blank(source->text[end - 1]))
        end--;
    return end;
}

static size_t indentation(const struct dray_source *source, size_t at)
{
    size_t start = line_start(source, at);
    return skip_blanks(source, start) - start;
}

/* Past `- `, as often as it stands there. */
static size_t skip_dashes(const struct dray_source *source, size_t at)
{
    at = skip_blanks(source, at);
    while (byte_at(source, at) == '-' && is_space(byte_at(source, at + 1)) &&
           !dray_is_break(byte_at(source, at + 1)) && at + 1 < source->length)
        at = skip_blanks(source, at + 1);
    return at;
}

/* The first ":" with a blank behind it (or, when `glued`, without one) from `at` to `end`; `end`
 * when there is none. */
static size_t find_colon(const struct dray_source *source, size_t at, size_t end, int glued)
{
    for (; at < end; at++) {
        if (source->text[at] == ':' && is_space(byte_at(source, at + 1)) == !glued)
            return at;
        if (source->text[at] == '#' && at > 0 && is_space(source->text[at - 1]))
            break;
    }
    return end;
}

/* A key as people choose them, with a colon that has nothing between it and the value: `id:pick`.
 * The colon's place, or 0. */
static size_t find_glued_colon(const struct dray_source *source, size_t line)
{
    size_t at = skip_dashes(source, line);
    for (size_t start = at; at < source->length; at++) {
        char c = source->text[at];
        int word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' ||
                   (c >= '0' && c <= '9');
        if (c == ':' && at > start && !is_space(byte_at(source, at + 1)) &&
            byte_at(source, at + 1) != '/' && byte_at(source, at + 1) != ':')
            return at;
        if (!word)
            break;
    }
    return 0;
}

static size_t previous_line(const struct dray_source *source, size_t at)
{
    size_t start = line_start(source, at);
    while (start > 0) {
        size_t end = start - 1;
        if (end > 0 && source->text[end] == '\n' && source->text[end - 1] == '\r')
            end--;
        start = line_start(source, end);
        size_t text = skip_blanks(source, start);
        if (text < end && source->text[text] != '#')
            break;
    }
    return start;
}

/* --- Saying it -------------------------------------------------------------------------------- */

static void say(const struct mishap *mishap, size_t start, size_t end, const char *format, ...)
    DRAY_FORMAT(4, 5);
static void say(const struct mishap *mishap, size_t start, size_t end, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    dray_diagnose(mishap->diagnostics, dray_source_place(mishap->source, start, end),
                  DRAY_SEVERITY_ERROR, "%s", length < 0 ? "this is not valid YAML" : text);
}

static uint32_t line_of(const struct mishap *mishap, size_t at)
{
    return dray_source_place(mishap->source, at, at).line;
}

/* Does YAML read something into this character at a value's beginning, or inside brackets? */
static int is_special(char character)
{
    return character != '\0' && strchr("[]{},:*&!@`%|>?#", character) != NULL;
}

/* `"*.nc, "*.csv"`: where the string on the same line begins whose closing quote stands right
 * before `at`; `at` when there is none. */
static size_t stuck_to_quote(const struct dray_source *source, size_t at)
{
    size_t start = line_start(source, at);
    char quote = at > start ? source->text[at - 1] : '\0';
    if (quote != '"' && quote != '\'')
        return at;
    for (size_t i = at - 1; i-- > start;) {
        if (source->text[i] == quote)
            return i;
    }
    return at;
}

/* The value at a place would be fine if it were quoted. */
static void say_quote(const struct mishap *mishap, size_t at)
{
    size_t quote = stuck_to_quote(mishap->source, at);
    if (quote < at) {
        say(mishap, quote, at,
            "this string ends with its second quote, and \"%c\" follows: is a quote missing?",
            byte_at(mishap->source, at));
        return;
    }
    const yaml_parser_t *parser = mishap->parser;
    int flow = parser->error == YAML_SCANNER_ERROR
                   ? parser->flow_level > 0
                   : parser->context && strstr(parser->context, "flow") != NULL;
    struct dray_span value = dray_syntax_value(mishap->source, at, flow);
    if (value.start >= value.end)
        value = (struct dray_span){at, at + 1};
    char first = byte_at(mishap->source, value.start);
    char here = byte_at(mishap->source, at);
    if (is_special(first) && is_special(here) && first != here)
        say(mishap, value.start, value.end,
            "this value must be quoted: YAML gives \"%c\" and \"%c\" a meaning of their own here",
            first, here);
    else if (is_special(first) || is_special(here))
        say(mishap, value.start, value.end,
            "this value must be quoted: YAML gives \"%c\" a meaning of its own here",
            is_special(first) ? first : here);
    else
        say(mishap, at, line_end(mishap->source, at),
            "this cannot stand here: the value before it has ended");
    dray_syntax_hint_quote(mishap->source, value, mishap->diagnostics);
}

/* --- One explainer for each problem ------------------------------------------------------------
 */

static void explain_value_start(const struct mishap *mishap)
{
    say_quote(mishap, mishap->context);
}

static void explain_tab(const struct mishap *mishap, size_t tab)
{
    const struct dray_source *source = mishap->source;
    size_t end = skip_blanks(source, tab);
    if (skip_blanks(source, line_start(source, tab)) >= tab) {
        say(mishap, tab, end, "a tab indents this line, and YAML allows only spaces there");
        dray_diagnose_hint(mishap->diagnostics, "use spaces");
    } else {
        say(mishap, tab, end, "YAML allows no tab here");
        dray_diagnose_hint(mishap->diagnostics, "use a space");
    }
}

/* libyaml points at the line's beginning when a tab comes after some spaces. */
static void explain_indenting_tab(const struct mishap *mishap)
{
    size_t at = mishap->at;
    while (byte_at(mishap->source, at) == ' ')
        at++;
    explain_tab(mishap, byte_at(mishap->source, at) == '\t' ? at : mishap->at);
}

static void explain_bad_start(const struct mishap *mishap)
{
    char here = byte_at(mishap->source, mishap->at);
    if (here == '\t')
        explain_tab(mishap, mishap->at);
    else
        say_quote(mishap, mishap->at);
}

/* `-item`; 1 when that is it. */
static int explain_glued_dash(const struct mishap *mishap, size_t at)
{
    if (byte_at(mishap->source, at) != '-' || is_space(byte_at(mishap->source, at + 1)))
        return 0;
    say(mishap, at, at + 1, "a space is missing after this \"-\"");
    return 1;
}

/* `key: value` where the line, or the lines above, have a value already. */
static void explain_second_colon(const struct mishap *mishap)
{
    const struct dray_source *source = mishap->source;
    size_t key = skip_dashes(source, line_start(source, mishap->at));
    size_t colon = find_colon(source, key, mishap->at, 0);
    if (colon < mishap->at) {
        struct dray_span value = {skip_blanks(source, colon + 1), 0};
        value.end = trim_end(source, value.start, line_end(source, value.start));
        say(mishap, mishap->at, mishap->at + 1,
            "a second \": \" on this line: a value that holds one must be quoted");
        dray_syntax_hint_quote(source, value, mishap->diagnostics);
        return;
    }
    size_t above = previous_line(source, mishap->at);
    size_t glued = above < line_start(source, mishap->at) ? find_glued_colon(source, above) : 0;
    if (glued) {
        say(mishap, glued, glued + 1, "a space is missing after this \":\"");
        return;
    }
    if (explain_glued_dash(mishap, key) || (above < line_start(source, mishap->at) &&
                                            explain_glued_dash(mishap, skip_blanks(source, above))))
        return;
    say(mishap, key, mishap->at,
        "a key cannot stand here: by its indentation, this line goes on with the value above");
    if (above < line_start(source, mishap->at))
        dray_diagnose_hint(mishap->diagnostics,
                           "indent it like the keys it belongs with (see line %u)",
                           line_of(mishap, above));
}

static void explain_missing_colon(const struct mishap *mishap)
{
    const struct dray_source *source = mishap->source;
    size_t start = mishap->context;
    size_t end = trim_end(source, start, line_end(source, start));
    size_t glued = find_glued_colon(source, start);
    if (glued && glued < end) {
        say(mishap, glued, glued + 1, "a space is missing after this \":\"");
        return;
    }
    if (!explain_glued_dash(mishap, start))
        say(mishap, start, end, "\":\" is missing after this key");
}

static void explain_misplaced_dash(const struct mishap *mishap)
{
    const struct dray_source *source = mishap->source;
    size_t key = skip_dashes(source, line_start(source, mishap->at));
    if (find_colon(source, key, mishap->at, 0) < mishap->at) {
        say(mishap, mishap->at, mishap->at + 1, "a list cannot begin on the line of its key");
        dray_diagnose_hint(mishap->diagnostics,
                           "put each \"- \" on a line of its own, or write [a, b]");
        return;
    }
    say(mishap, mishap->at, mishap->at + 1, "a list item cannot stand here");
    dray_diagnose_hint(mishap->diagnostics, "check the indentation");
}

static void explain_misplaced_question(const struct mishap *mishap)
{
    say_quote(mishap, mishap->at);
}

static void explain_open_quote(const struct mishap *mishap)
{
    say(mishap, mishap->context, mishap->context + 1, "this quote is never closed");
}

static void explain_escape(const struct mishap *mishap)
{
    size_t start = mishap->at;
    if (byte_at(mishap->source, start) != '\\' && start > 0 &&
        byte_at(mishap->source, start - 1) == '\\')
        start--;
    say(mishap, start, start + 2, "there is no such escape in a string between double quotes");
    dray_diagnose_hint(mishap->diagnostics,
                       "write \\\\ for a backslash, or put the string between single quotes");
}

static void explain_escape_digits(const struct mishap *mishap)
{
    say(mishap, mishap->at, mishap->at + 1,
        "the escapes \\x, \\u and \\U need 2, 4 and 8 hexadecimal digits of a Unicode character");
    dray_diagnose_hint(mishap->diagnostics,
                       "write \\\\ for a backslash, or put the string between single quotes");
}

static void explain_block_header(const struct mishap *mishap)
{
    say_quote(mishap, mishap->context);
}

/* Is what follows a bracket, or a quote, stuck to it or on the same line? */
static int same_line(const struct mishap *mishap, size_t a, size_t b)
{
    return line_start(mishap->source, a) == line_start(mishap->source, b);
}

/* `message: Ask: an operator` between brackets; 1 when that is it. */
static int explain_second_colon_in_pair(const struct mishap *mishap)
{
    const struct dray_source *source = mishap->source;
    size_t start = line_start(source, mishap->at);
    size_t colon = mishap->at;
    while (colon > start && !strchr(":,[]{}\"'", source->text[colon - 1]))
        colon--;
    if (colon == start || source->text[colon - 1] != ':' || !is_space(byte_at(source, colon)))
        return 0;
    struct dray_span value = {skip_blanks(source, colon), mishap->at};
    while (value.end < line_end(source, value.end) && !strchr(",]}", source->text[value.end]))
        value.end++;
    value.end = trim_end(source, value.start, value.end);
    say(mishap, mishap->at, mishap->at + 1,
        "a second \": \" in this pair: a value that holds one must be quoted");
    dray_syntax_hint_quote(source, value, mishap->diagnostics);
    return 1;
}

/* "," or a closing bracket was expected. */
static void explain_flow(const struct mishap *mishap)
{
    const struct dray_source *source = mishap->source;
    char open = byte_at(source, mishap->context);
    char close = open == '{' ? '}' : ']';
    char here = byte_at(source, mishap->at);
    int first_on_line = skip_blanks(source, line_start(source, mishap->at)) == mishap->at;
    if (!same_line(mishap, mishap->context, mishap->at) && here != ']' && here != '}' &&
        indentation(source, mishap->at) <= indentation(source, mishap->context)) {
        say(mishap, mishap->context, mishap->context + 1, "this \"%c\" is never closed", open);
        return;
    }
    if (here == ']' || here == '}') {
        say(mishap, mishap->at, mishap->at + 1,
            "\"%c\" is missing before this \"%c\": it would close the \"%c\" of line %u", close,
            here, open, line_of(mishap, mishap->context));
        return;
    }
    if (mishap->at >= source->length) {
        say(mishap, mishap->context, mishap->context + 1, "this \"%c\" is never closed", open);
        return;
    }
    if (here == ':' && explain_second_colon_in_pair(mishap))
        return;
    if (here == ':') {
        size_t key = skip_blanks(source, line_start(source, mishap->at));
        say(mishap, key > mishap->context ? key : mishap->at, mishap->at + 1,
            "\",\" or \"%c\" is missing before this key", close);
        return;
    }
    if (!first_on_line && mishap->at > 0 && !is_space(source->text[mishap->at - 1])) {
        say_quote(mishap, mishap->at);
        return;
    }
    say(mishap, mishap->at, mishap->at + 1, "\",\" or \"%c\" is missing before this", close);
}

static void explain_missing_value(const struct mishap *mishap)
{
    char here = byte_at(mishap->source, mishap->at);
    if (mishap->at >= mishap->source->length)
        say(mishap, mishap->at, mishap->at, "a value is missing at the end of the file");
    else if (here == '-' && is_space(byte_at(mishap->source, mishap->at + 1)))
        say(mishap, mishap->at, mishap->at + 1,
            "inside brackets, items do not begin with \"-\": \",\" stands between them");
    else if (strchr("]},:", here))
        say(mishap, mishap->at, mishap->at + 1, "a value is missing before \"%c\"", here);
    else
        say(mishap, mishap->at, mishap->at + 1, "a value is missing before this");
}

/* Text that sticks to a closing quote shows that this quote was meant to be part of the string. */
static void hint_trailing_quote(const struct mishap *mishap)
{
    if (mishap->quoted.end < mishap->at)
        dray_diagnose_hint(mishap->diagnostics, "put the whole value between the quotes");
    else if (mishap->source->text[mishap->quoted.start] == '"')
        dray_diagnose_hint(mishap->diagnostics,
                           "write \\\" for a quote within a string in double quotes");
    else
        dray_diagnose_hint(mishap->diagnostics,
                           "write '' for a quote within a string in single quotes");
}

/* A value has ended, and something more stands behind it on its line. */
static void explain_trailing(const struct mishap *mishap)
{
    const struct dray_source *source = mishap->source;
    struct dray_span quoted = mishap->quoted;
    if (quoted.end > quoted.start && quoted.end <= mishap->at &&
        same_line(mishap, quoted.end, mishap->at)) {
        if (!same_line(mishap, quoted.start, quoted.end)) {
            say(mishap, quoted.start, quoted.start + 1,
                "the string that this quote begins ends only on line %u: is its closing quote "
                "missing?",
                line_of(mishap, quoted.end));
            return;
        }
        if (skip_blanks(source, quoted.end) == mishap->at) {
            say(mishap, mishap->at, line_end(source, mishap->at),
                "nothing may follow the closing quote");
            hint_trailing_quote(mishap);
            return;
        }
    }
    say_quote(mishap, mishap->at);
}

/* The next key, or item, of a block was expected. */
static void explain_block(const struct mishap *mishap)
{
    const struct dray_source *source = mishap->source;
    size_t start = line_start(source, mishap->at);
    size_t first = skip_blanks(source, start);
    int is_list = strstr(mishap->parser->context, "collection") != NULL;
    const char *what = is_list ? "list" : "mapping";
    uint32_t line = line_of(mishap, mishap->context);
    if (byte_at(source, mishap->at) == ':' && is_space(byte_at(source, mishap->at + 1))) {
        say(mishap, mishap->at, mishap->at + 1, "a key is missing before this \":\"");
        return;
    }
    if (first < mishap->at && same_line(mishap, skip_dashes(source, start), mishap->at)) {
        explain_trailing(mishap);
        return;
    }
    size_t end = trim_end(source, mishap->at, line_end(source, mishap->at));
    size_t spaces = mishap->at - start;
    if (spaces == mishap->parser->context_mark.column) {
        say(mishap, mishap->at, is_list ? end : mishap->at + 1,
            is_list ? "a list item (\"- …\") is expected here: the list began on line %u"
                    : "a key is expected here: the mapping began on line %u",
            line);
        return;
    }
    say(mishap, mishap->at, end, "this line is indented by %zu, which fits nothing above", spaces);
    dray_diagnose_hint(mishap->diagnostics, "the %s that began on line %u is indented by %zu", what,
                       line, mishap->parser->context_mark.column);
}

static void explain_document(const struct mishap *mishap)
{
    const struct dray_source *source = mishap->source;
    size_t before = mishap->at;
    while (before > 0 && is_space(source->text[before - 1]))
        before--;
    if (before > 0 && same_line(mishap, before, mishap->at)) {
        explain_trailing(mishap);
        return;
    }
    say(mishap, mishap->at, line_end(source, mishap->at),
        "the document has ended above, and nothing may follow it");
    if (indentation(source, before) > indentation(source, mishap->at))
        dray_diagnose_hint(mishap->diagnostics, "indent it like the lines above");
}

static void explain_directive(const struct mishap *mishap)
{
    size_t start = line_start(mishap->source, mishap->at);
    say(mishap, start, line_end(mishap->source, start),
        "a line that begins with \"%%\" must be a YAML directive such as %%YAML 1.2");
}

static void explain_version(const struct mishap *mishap)
{
    size_t start = line_start(mishap->source, mishap->at);
    say(mishap, start, line_end(mishap->source, start), "only YAML 1.2 is read");
}

static void explain_tag_handle(const struct mishap *mishap)
{
    say_quote(mishap, mishap->at);
}

/* --- Choosing --------------------------------------------------------------------------------- */

/* Found by a part of libyaml's context and of its problem ("" fits all); the first that fits is
 * taken. */
struct explanation {
    const char *context;
    const char *problem;
    void (*explain)(const struct mishap *mishap);
};

static const struct explanation explanations[] = {
    {"scanning a block scalar", "tab character", explain_indenting_tab},
    {"", "tab character that violates", explain_indenting_tab},
    {"", "cannot start any token", explain_bad_start},
    {"scanning an alias", "", explain_value_start},
    {"scanning an anchor", "", explain_value_start},
    {"scanning a tag", "", explain_value_start},
    {"parsing a tag", "", explain_value_start},
    {"scanning a block scalar", "", explain_block_header},
    {"directive", "", explain_directive},
    {"", "undefined tag handle", explain_tag_handle},
    {"", "incompatible YAML document", explain_version},
    {"", "directive", explain_directive},
    {"", "mapping values are not allowed", explain_second_colon},
    {"", "block sequence entries are not allowed", explain_misplaced_dash},
    {"", "mapping keys are not allowed", explain_misplaced_question},
    {"", "could not find expected ':'", explain_missing_colon},
    {"", "unexpected end of stream", explain_open_quote},
    {"", "unexpected document indicator", explain_open_quote},
    {"", "unknown escape character", explain_escape},
    {"", "hexdecimal", explain_escape_digits},
    {"", "Unicode character escape", explain_escape_digits},
    {"", "expected ',' or", explain_flow},
    {"", "expected node content", explain_missing_value},
    {"", "expected key", explain_block},
    {"", "expected '-' indicator", explain_block},
    {"", "expected <document start>", explain_document},
};

void dray_syntax_diagnose(const struct dray_source *source, const yaml_parser_t *parser,
                          struct dray_span quoted, struct dray_diagnostics *diagnostics)
{
    const char *context = parser->context ? parser->context : "";
    const char *problem = parser->problem ? parser->problem : "";
    struct mishap mishap = {
        .source = source,
        .parser = parser,
        .diagnostics = diagnostics,
        .quoted = quoted,
        .at = dray_source_offset(source, parser->problem_mark.index),
        .context = dray_source_offset(source, parser->context_mark.index),
    };
    for (size_t i = 0; i < sizeof(explanations) / sizeof(explanations[0]); i++) {
        if (strstr(context, explanations[i].context) && strstr(problem, explanations[i].problem)) {
            explanations[i].explain(&mishap);
            return;
        }
    }
    say(&mishap, mishap.at, mishap.at + 1, "this is not valid YAML: %s%s%s", context,
        *context ? ", " : "", problem);
}
