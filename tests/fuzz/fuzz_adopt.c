/* SPDX-License-Identifier: MIT */
/*
 * fuzz_adopt.c - any bytes at all as a journal of what was copied. The first one says how they
 * come: as they are (r), or each line but the first with the digits that prove it put before it
 * (c), which no fuzzer would find. Each line that is believed has a path that an entry may have,
 * and is the same once written and read again; in which pieces it comes makes no difference.
 */
#include <assert.h>
#include <string.h>

#include "core/run/adopt.h"

#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t lines;
    struct dray_buffer text; /* of all of them, written again */
};

static int see(void *arg, const struct dray_adopt_line *line)
{
    struct seen *seen = arg;

    assert(dray_path_fault(line->path, line->path_length) == NULL);
    assert(line->path[line->path_length] == '\0');
    seen->lines++;
    dray_adopt_print(&seen->text, line);
    return 0;
}

static void read_in(const char *text, size_t length, size_t piece, struct seen *seen)
{
    static struct dray_adopt_reader reader;
    int result = 0;

    reader = (struct dray_adopt_reader){.request_key = KEY, .fn = see, .arg = seen};
    *seen = (struct seen){.text = {.cap = (size_t)1 << 26}};
    for (size_t at = 0; result == 0 && at < length; at += piece)
        result = dray_adopt_feed(&reader, text + at, length - at < piece ? length - at : piece);
    assert(result == 0 || result == 1);
    assert(seen->text.failed == 0);
}

/* Each line with its proof. */
static void prove(struct dray_buffer *out, const char *text, size_t length)
{
    uint8_t digest[DRAY_SHA256_BYTES];
    char hex[DRAY_SHA256_HEX];

    dray_adopt_print_first(out, KEY);
    while (length > 0) {
        const char *end = memchr(text, '\n', length);
        size_t line = end ? (size_t)(end - text) : length;
        assert(dray_sha256(text, line, digest) == 0);
        dray_hex(digest, sizeof(digest), hex);
        dray_buffer_add(out, hex, 16);
        dray_buffer_text(out, " ");
        dray_buffer_add(out, text, line);
        dray_buffer_text(out, "\n");
        text += line + (end != NULL);
        length -= line + (end != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dray_buffer text = {.cap = (size_t)1 << 26};
    struct seen whole, pieces, again;

    if (size == 0 || (data[0] != 'r' && data[0] != 'c'))
        return -1;
    if (data[0] == 'c')
        prove(&text, (const char *)data + 1, size - 1);
    else
        dray_buffer_add(&text, data + 1, size - 1);
    assert(text.failed == 0);
    read_in(text.data ? text.data : "", text.length, text.length + 1, &whole);
    read_in(text.data ? text.data : "", text.length, 7, &pieces);
    assert(whole.lines == pieces.lines && whole.text.length == pieces.text.length);
    assert(whole.lines == 0 || memcmp(whole.text.data, pieces.text.data, whole.text.length) == 0);
    dray_buffer_clear(&text);
    dray_adopt_print_first(&text, KEY);
    dray_buffer_add(&text, whole.text.data ? whole.text.data : "", whole.text.length);
    read_in(text.data, text.length, 4096, &again);
    assert(again.lines == whole.lines);
    assert(again.lines == 0 || memcmp(whole.text.data, again.text.data, whole.text.length) == 0);
    dray_buffer_free(&whole.text);
    dray_buffer_free(&pieces.text);
    dray_buffer_free(&again.text);
    dray_buffer_free(&text);
    return 0;
}
