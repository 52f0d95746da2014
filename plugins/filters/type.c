/* SPDX-License-Identifier: MIT */
/* filter/type: keep and drop entries by the extensions of their names (docs/filters.md). What is in
 * a file is the business of filter/mime. */
#include <dray/plugin.h>

#include <string.h>

struct type {
    struct dray_strings extensions;
    struct dray_strings exclude_extensions;
};

enum { OPTION_EXTENSIONS, OPTION_EXCLUDE_EXTENSIONS }; /* rows of the table */

static const struct dray_option options[] = {
    DRAY_OPTION_STRINGS(struct type, extensions, 0,
                        "Keep only names that end in one of these: csv, fastq.gz"),
    DRAY_OPTION_STRINGS(struct type, exclude_extensions, 0,
                        "Drop names that end in one of these, kept or not"),
};

/* The dot in front is the user's choice. */
static const char *without_dot(const char *extension)
{
    return extension[0] == '.' ? extension + 1 : extension;
}

/* What is wrong with an extension and where, or NULL. */
static const char *find_fault(const char *extension, uint64_t *ret_offset)
{
    const char *bare = without_dot(extension);
    const char *odd = strpbrk(bare, "/*?[]{}\\");
    const char *twice = bare[0] == '.' ? bare : strstr(bare, "..");
    size_t length = strlen(bare);

    *ret_offset = 0;
    if (length == 0)
        return "the extension is empty";
    if (odd != NULL) {
        *ret_offset = (uint64_t)(odd - extension);
        return *odd == '/' ? "no extension holds a slash; filter/glob matches paths"
                           : "an extension is no pattern: write csv, not *.csv; patterns are for "
                             "filter/glob";
    }
    if (twice != NULL) {
        *ret_offset = (uint64_t)(twice - extension);
        return "nothing stands between two dots";
    }
    *ret_offset = (uint64_t)(bare - extension) + length - 1;
    return bare[length - 1] == '.' ? "nothing stands after the last dot" : NULL;
}

/* Every bad extension is reported, not only the first. */
static int check(struct dray_ctx *ctx, uint32_t row, const struct dray_strings *list)
{
    int result = DRAY_OK;

    for (uint64_t i = 0; i < list->count; i++) {
        uint64_t offset;
        const char *fault = find_fault(list->items[i], &offset);
        if (fault != NULL)
            result =
                ctx->host->fail_option(ctx, options[row].name, (int64_t)i, offset, "%s", fault);
    }
    return result;
}

static int prepare(void *self, struct dray_ctx *ctx)
{
    const struct type *type = self;
    int result = check(ctx, OPTION_EXTENSIONS, &type->extensions);
    int excluded = check(ctx, OPTION_EXCLUDE_EXTENSIONS, &type->exclude_extensions);

    return result != DRAY_OK ? result : excluded;
}

/* ASCII letters only, so that the answer depends on no locale. */
static int same_letter(char one, char other)
{
    if (one == other)
        return 1;
    return (one ^ other) == 0x20 && ((one | 0x20) >= 'a' && (one | 0x20) <= 'z');
}

/* A name that begins with its only dot has no extension. */
static int has_extension(const char *name, size_t length, const char *extension)
{
    size_t wanted = strlen(extension);

    if (length < wanted + 2 || name[length - wanted - 1] != '.')
        return 0;
    for (size_t i = 0; i < wanted; i++)
        if (!same_letter(name[length - wanted + i], extension[i]))
            return 0;
    return 1;
}

/* The number of the first extension that the name has, or DRAY_NO_INDEX. */
static int64_t find(const struct dray_strings *list, const char *name, size_t length)
{
    for (uint64_t i = 0; i < list->count; i++)
        if (has_extension(name, length, without_dot(list->items[i])))
            return (int64_t)i;
    return DRAY_NO_INDEX;
}

static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict)
{
    const struct type *type = self;
    const char *slash = memrchr(entry->path, '/', entry->path_length);
    const char *name = slash != NULL ? slash + 1 : entry->path;
    size_t length = entry->path_length - (size_t)(name - entry->path);
    int64_t index = find(&type->exclude_extensions, name, length);
    (void)ctx;
    if (index != DRAY_NO_INDEX) {
        *ret_verdict = (struct dray_verdict){DRAY_DROP, OPTION_EXCLUDE_EXTENSIONS, index};
        return DRAY_OK;
    }
    index = find(&type->extensions, name, length);
    int keep = index != DRAY_NO_INDEX || type->extensions.count == 0;
    *ret_verdict = (struct dray_verdict){keep ? DRAY_KEEP : DRAY_DROP, OPTION_EXTENSIONS, index};
    return DRAY_OK;
}

static const struct dray_filter_operations operations = {
    .size = sizeof(operations),
    .decide = decide,
};

DRAY_PLUGIN(DRAY_KIND_FILTER, DRAY_CAP_REENTRANT, "type", "1.0.0",
            "Keep and drop entries by the extensions of their names", struct type, options,
            &operations, .prepare = prepare);
