/* SPDX-License-Identifier: MIT */
/*
 * fuzz_recorded.c - any bytes at all as what is recorded of files; the first one says what the
 * others are: a manifest (m), a bag's (b), its tags' (t), one of another algorithm (o), JSON lines
 * (j), a bag's declaration (d), its bag-info.txt (i), its fetch.txt (f). It gives records whose
 * paths may be an entry's, which are then compared with a tree; or it is refused, with the line
 * that is to blame.
 */
#include <assert.h>
#include <string.h>

#include "core/tree/bag.h"
#include "core/tree/internal.h"
#include "core/tree/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int add_line(void *arg, const uint8_t *digest, size_t digest_bytes, const char *path,
                    size_t path_length, struct dray_error *error)
{
    struct dray_recorded recorded = {.path = path, .path_length = (uint32_t)path_length};

    assert(digest_bytes == DRAY_SHA256_BYTES || digest_bytes == DRAY_MD5_BYTES);
    assert(path[path_length] == '\0');
    recorded.has = digest_bytes == DRAY_SHA256_BYTES ? DRAY_RECORDED_SHA256 : DRAY_RECORDED_MD5;
    memcpy(digest_bytes == DRAY_SHA256_BYTES ? recorded.sha256 : recorded.md5, digest,
           digest_bytes);
    return dray_recorded_add(arg, &recorded, error);
}

static struct dray_tree *made_tree(void)
{
    static const char *const paths[] = {"a", "data/a", "data/b", "bag/bagit.txt"};
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;

    for (size_t i = 0; i < DRAY_COUNT(paths); i++) {
        /* The last two are hard links to each other. */
        struct dray_tree_entry entry = {.path = paths[i],
                                        .path_length = (uint32_t)strlen(paths[i]),
                                        .bytes = i,
                                        .link_group = i > 1,
                                        .type = DRAY_FILE};
        assert(dray_tree_builder_add(builder, &entry, &error) == 0);
    }
    assert(dray_tree_builder_finish(builder, &tree, &error) == 0);
    dray_tree_builder_free(builder);
    return tree;
}

static void compare(const struct dray_recorded_list *list)
{
    struct dray_differences differences = DRAY_DIFFERENCES;
    struct dray_tree *tree = made_tree(), *recorded = NULL;
    uint8_t passed[8] = {0};
    struct dray_error error = {0};

    for (size_t i = 0; i < list->count; i++) {
        assert(dray_path_fault(list->items[i].path, list->items[i].path_length) == NULL);
        assert(strlen(list->items[i].path) == list->items[i].path_length);
    }
    int result = dray_recorded_compare(tree, list, passed, &differences, &recorded, &error);
    if (result == 0) {
        assert(recorded->count == tree->count);
        result = dray_differences_judge(&differences, "it says", &error);
    } else {
        assert(recorded == NULL);
    }
    assert(result == 0 || (result == DRAY_INTEGRITY && error.side == DRAY_SIDE_SOURCE));
    dray_tree_unref(recorded);
    dray_tree_unref(tree);
    dray_differences_free(&differences);
}

static int read_kind(char kind, const char *text, size_t length, struct dray_recorded_list *list,
                     struct dray_error *error)
{
    struct dray_bag_manifest manifest = {.name = "file",
                                         .base = kind == 't' ? "bag/" : "",
                                         .digest_bytes = kind == 'o'   ? 0
                                                         : kind == 't' ? DRAY_MD5_BYTES
                                                                       : DRAY_SHA256_BYTES,
                                         .payload = kind == 'b' || kind == 'o',
                                         .percent = kind == 'b'};
    struct dray_bag_oxum oxum;
    int major;

    switch (kind) {
    case 'm':
        return dray_manifest_read("file", text, length, add_line, list, error);
    case 'j':
        return dray_recorded_read("file", text, length, list, error);
    case 'd':
        return dray_bag_declaration("file", text, length, &major, error);
    case 'i':
        return dray_bag_info("file", text, length, &oxum, error);
    case 'f':
        return dray_bag_fetch("file", "bag/", 1, text, length, list, error);
    default:
        return dray_bag_read(&manifest, text, length, list, error);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dray_recorded_list list = {0};
    struct dray_error error = {0};

    if (size == 0 || strchr("mbtjdiof", data[0]) == NULL || data[0] == '\0')
        return -1;
    int result = read_kind((char)data[0], (const char *)data + 1, size - 1, &list, &error);
    assert(result == error.class_);
    assert(result == 0 || result == DRAY_INVALID || result == DRAY_UNSUPPORTED);
    assert(result == 0 || strncmp(error.where, "file:", 5) == 0);
    compare(&list);
    dray_recorded_free(&list);
    return 0;
}
