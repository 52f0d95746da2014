/* SPDX-License-Identifier: MIT */
/* document.c - a file's text through libyaml's parser to a document. */
#include "core/conf/node.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "core/base/io.h"
#include "core/conf/builder.h"

struct dray_document {
    struct dray_arena arena;
    const char *text;
    size_t length;
    const struct dray_node *root;
};

static enum dray_outcome open_document(struct dray_builder *builder, const yaml_event_t *event)
{
    const yaml_version_directive_t *version = event->data.document_start.version_directive;
    if (builder->documents++ > 0) {
        dray_diagnose(builder->diagnostics, dray_build_event_place(builder, event),
                      DRAY_SEVERITY_ERROR,
                      "a second document begins here, and a file can hold only one");
        return DRAY_STOPPED;
    }
    if (version && (version->major != 1 || version->minor != 2)) {
        dray_diagnose(builder->diagnostics, dray_build_event_place(builder, event),
                      DRAY_SEVERITY_ERROR,
                      "this file says that it is YAML %d.%d, and only YAML 1.2 is read",
                      version->major, version->minor);
        return DRAY_STOPPED;
    }
    return DRAY_GO_ON;
}

static enum dray_outcome handle_event(struct dray_builder *builder, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return open_document(builder, event);
    case YAML_SCALAR_EVENT:
        return dray_build_scalar(builder, event);
    case YAML_ALIAS_EVENT:
        return dray_build_alias(builder, event);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return dray_build_open(builder, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return dray_build_close(builder, event);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return DRAY_GO_ON;
}

static enum dray_outcome read_events(struct dray_builder *builder, yaml_parser_t *parser)
{
    enum dray_outcome outcome = DRAY_GO_ON;
    int ended = 0;
    while (outcome == DRAY_GO_ON && !ended) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            if (parser->error == YAML_MEMORY_ERROR)
                return DRAY_OUT_OF_MEMORY;
            dray_syntax_diagnose(&builder->source, parser, builder->quoted, builder->diagnostics);
            return DRAY_STOPPED;
        }
        ended = event.type == YAML_STREAM_END_EVENT;
        outcome = handle_event(builder, &event);
        yaml_event_delete(&event);
    }
    return outcome;
}

static enum dray_outcome read_document(struct dray_builder *builder)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return DRAY_OUT_OF_MEMORY;
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)builder->source.text,
                                 builder->source.length);
    enum dray_outcome outcome = read_events(builder, &parser);
    yaml_parser_delete(&parser);
    if (outcome == DRAY_GO_ON && builder->documents == 0) {
        dray_diagnose(builder->diagnostics, (struct dray_place){.source = builder->source.number},
                      DRAY_SEVERITY_ERROR, "the file has nothing in it");
        return DRAY_STOPPED;
    }
    return outcome;
}

/* Read a text, of which the document holds the bytes, into the document's root. */
static enum dray_outcome build(struct dray_document *document, struct dray_source source,
                               struct dray_diagnostics *diagnostics)
{
    dray_autofree struct dray_builder *builder = NULL;
    if (!dray_source_check(&source, diagnostics))
        return DRAY_STOPPED;
    builder = calloc(1, sizeof(*builder));
    if (!builder || dray_source_map(&source, &document->arena))
        return DRAY_OUT_OF_MEMORY;
    builder->arena = &document->arena;
    builder->diagnostics = diagnostics;
    builder->source = source;
    enum dray_outcome outcome = read_document(builder);
    if (outcome == DRAY_GO_ON)
        document->root = builder->root;
    free(builder->stack);
    return outcome;
}

static struct dray_document *new_document(const char *text, size_t length)
{
    struct dray_document *document = calloc(1, sizeof(*document));
    if (!document)
        return NULL;
    document->text = dray_arena_text(&document->arena, text, length);
    document->length = length;
    if (!document->text)
        dray_document_freep(&document);
    return document;
}

int dray_document_parse(const char *name, const char *text, size_t length,
                        struct dray_diagnostics *diagnostics, struct dray_document **ret_document,
                        struct dray_error *error)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    enum dray_outcome outcome = DRAY_STOPPED;
    int too_large = length > DRAY_YAML_MAX_BYTES;
    if (too_large)
        length = 0;
    dray_cleanup(dray_document_freep) struct dray_document *document = new_document(text, length);
    if (!document)
        return dray_fail_memory(error);
    /* Places and quoted lines do without a byte order mark; the document's text keeps it. */
    size_t mark = length >= 3 && memcmp(text, byte_order_mark, 3) == 0 ? 3 : 0;
    struct dray_source source = {.text = document->text + mark, .length = length - mark};
    source.number = dray_diagnostics_source(diagnostics, name, source.text, source.length);
    if (too_large)
        dray_diagnose(diagnostics, (struct dray_place){.source = source.number},
                      DRAY_SEVERITY_ERROR, "the text is larger than %u MiB",
                      DRAY_YAML_MAX_BYTES >> 20);
    else if (!diagnostics->no_memory)
        outcome = build(document, source, diagnostics);
    if (outcome == DRAY_OUT_OF_MEMORY || diagnostics->no_memory)
        return dray_fail_memory(error);
    *ret_document = DRAY_TAKE(document);
    return 0;
}

int dray_document_load(const char *path, struct dray_diagnostics *diagnostics,
                       struct dray_document **ret_document, struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer buffer = {.cap = DRAY_YAML_MAX_BYTES};
    int result = dray_read_file(path, &buffer, error);
    if (result)
        return result;
    return dray_document_parse(path, buffer.data ? buffer.data : "", buffer.length, diagnostics,
                               ret_document, error);
}

void dray_document_free(struct dray_document *document)
{
    if (!document)
        return;
    dray_arena_free(&document->arena);
    free(document);
}

void dray_document_freep(struct dray_document **document)
{
    dray_document_free(*document);
    *document = NULL;
}

const struct dray_node *dray_document_root(const struct dray_document *document)
{
    return document->root;
}

const char *dray_document_text(const struct dray_document *document, size_t *ret_length)
{
    *ret_length = document->length;
    return document->text;
}
