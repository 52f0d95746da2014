/* SPDX-License-Identifier: MIT */
/*
 * Patterns from strangers: a first line that is a pattern, the rest a path. Whatever they are,
 * compiling ends with a pattern or with a fault inside the text, and a verdict keeps its promises.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "plugins/filters/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int matches(const struct dray_pattern *pattern, const char *path, size_t length,
                   int directory)
{
    struct dray_pattern_path prepared;
    dray_pattern_path_init(&prepared, path, length, directory);
    return dray_pattern_matches(pattern, &prepared);
}

static void check_verdicts(const struct dray_pattern *pattern, const struct dray_pattern *folded,
                           const char *path, size_t length)
{
    int as_file = matches(pattern, path, length, 0);
    int as_directory = matches(pattern, path, length, 1);
    /* What a file matches, a directory of that name does. */
    assert(as_directory || !as_file);
    /* What a directory matches covers all below it. */
    for (size_t i = 1; i < length; i++) {
        if (path[i] == '/' && matches(pattern, path, i, 1))
            assert(as_file);
    }
    (void)matches(folded, path, length, 0);
    (void)matches(folded, path, length, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *line = size > 0 ? memchr(text, '\n', size) : NULL;
    size_t length = line == NULL ? size : (size_t)(line - text);
    struct dray_pattern *pattern = NULL;
    struct dray_pattern *folded = NULL;
    struct dray_pattern_fault fault = {0, ""};
    struct dray_pattern_fault other = {0, ""};
    if (size == 0)
        return 0;
    int result = dray_pattern_compile(text, length, 0, &pattern, &fault);
    assert(result != DRAY_PATTERN_NO_MEMORY);
    /* Case has no part in what a pattern is. */
    assert(dray_pattern_compile(text, length, DRAY_PATTERN_IGNORE_CASE, &folded, &other) == result);
    assert(fault.offset == other.offset && strcmp(fault.reason, other.reason) == 0);
    if (result == DRAY_PATTERN_FAULTY) {
        assert(fault.offset <= length && fault.reason[0] != '\0');
        assert(strpbrk(fault.reason, "\n\r") == NULL);
        assert(strlen(fault.reason) + 1 < sizeof(fault.reason));
    } else if (line != NULL) {
        check_verdicts(pattern, folded, line + 1, size - length - 1);
    }
    dray_pattern_free(pattern);
    dray_pattern_free(folded);
    return 0;
}
