/* SPDX-License-Identifier: MIT */
/* tree_files.h - real files for the tests of core/tree: a folder of their own, made anew for each
 * test. */
#ifndef DRAY_TESTS_TREE_FILES_H
#define DRAY_TESTS_TREE_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/tree/tree.h"

/* cmocka hands it to each test; `path` is the folder. */
struct files {
    char path[256];
    int fd;
};

static inline int files_setup(void **state)
{
    struct files *files = calloc(1, sizeof *files);
    const char *base = getenv("TMPDIR");

    if (files == NULL)
        return -1;
    (void)snprintf(files->path, sizeof files->path, "%s/dray-tree-XXXXXX",
                   base == NULL ? "/tmp" : base);
    if (mkdtemp(files->path) == NULL)
        return -1;
    files->fd = open(files->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = files;
    return files->fd < 0 ? -1 : 0;
}

static inline int files_teardown(void **state)
{
    struct files *files = *state;
    struct dray_error error = {0};
    const char *slash = strrchr(files->path, '/');
    char base[256];

    (void)close(files->fd);
    (void)snprintf(base, sizeof base, "%.*s", (int)(slash - files->path), files->path);
    int fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 ? -1 : dray_remove_tree(fd, slash + 1, &error);
    if (fd >= 0)
        (void)close(fd);
    free(files);
    return result;
}

#define files_test(TEST) cmocka_unit_test_setup_teardown(TEST, files_setup, files_teardown)

/* "<folder>/NAME", good until the fourth call after it. */
static inline const char *files_at(const struct files *files, const char *name)
{
    static char room[4][4400];
    static unsigned next;
    char *path = room[next++ % 4];

    (void)snprintf(path, sizeof room[0], "%s/%s", files->path, name);
    return path;
}

static inline void files_write(const struct files *files, const char *name, const void *data,
                               size_t length)
{
    int fd = openat(files->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(dray_write_all(fd, data, length), 0);
    assert_int_equal(close(fd), 0);
}

static inline void files_text(const struct files *files, const char *name, const char *text)
{
    files_write(files, name, text, strlen(text));
}

static inline void files_folder(const struct files *files, const char *name)
{
    assert_int_equal(mkdirat(files->fd, name, 0755), 0);
}

static inline void files_link(const struct files *files, const char *target, const char *name)
{
    assert_int_equal(symlinkat(target, files->fd, name), 0);
}

/* Bytes that repeat nowhere near a block's size. */
static inline void files_fill(uint8_t *data, size_t length)
{
    uint64_t seed = 0x9e3779b97f4a7c15u;

    for (size_t i = 0; i < length; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        data[i] = (uint8_t)(seed >> 56);
    }
}

/* The entry of a path, or a failed test. */
static inline const struct dray_tree_entry *tree_entry(const struct dray_tree *tree,
                                                       const char *path)
{
    int64_t index = dray_tree_find(tree, path, strlen(path));

    if (index < 0)
        fail_msg("the tree has no %s", path);
    return tree->entries[index];
}

/* All paths of a tree, each with a line feed behind it; frees: caller. */
static inline char *tree_paths(const struct dray_tree *tree)
{
    struct dray_buffer paths = {.cap = (size_t)64 << 20};

    dray_buffer_text(&paths, "");
    for (size_t i = 0; i < tree->count; i++)
        dray_buffer_format(&paths, "%s\n", tree->entries[i]->path);
    assert_int_equal(paths.failed, 0);
    return paths.data == NULL ? strdup("") : paths.data;
}

static inline void assert_paths(const struct dray_tree *tree, const char *expected)
{
    char *paths = tree_paths(tree);

    assert_string_equal(paths, expected);
    free(paths);
}

/* A call that must fail: its class, and what its message has to say. */
static inline void assert_failed(int result, int class_, const struct dray_error *error,
                                 const char *says)
{
    if (result != class_ || error->class_ != class_)
        fail_msg("result %d, class %d instead of %d: %s", result, error->class_, class_,
                 error->message);
    if (strstr(error->message, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error->message, says);
}

#define assert_done(CALL)                                                                          \
    do {                                                                                           \
        int done_ = (CALL);                                                                        \
        if (done_ != 0)                                                                            \
            fail_msg("%s: %d: %s", #CALL, done_, error.message);                                   \
    } while (0)

/* "a/" is a directory, "a>b" a link to b, "a" a file of as many bytes as its path has. */
static inline int add_word(struct dray_tree_builder *builder, const char *word,
                           struct dray_error *error)
{
    struct dray_tree_entry entry = {
        .path = word, .path_length = (uint32_t)strlen(word), .mode = 0644, .type = DRAY_FILE};
    const char *arrow = strchr(word, '>');

    if (arrow != NULL) {
        entry.type = DRAY_LINK;
        entry.mode = 0777;
        entry.at = arrow + 1;
        entry.path_length = (uint32_t)(arrow - word);
    } else if (entry.path_length > 0 && word[entry.path_length - 1] == '/') {
        entry.type = DRAY_DIRECTORY;
        entry.mode = 0755;
        entry.path_length--;
    } else {
        entry.bytes = entry.path_length;
    }
    return dray_tree_builder_add(builder, &entry, error);
}

/* A tree of such words with spaces between them. */
static inline struct dray_tree *make_tree(const char *words)
{
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;

    assert_non_null(builder);
    for (const char *word = words; *word != '\0';) {
        size_t length = strcspn(word, " ");
        char *copy = strndup(word, length);
        assert_done(add_word(builder, copy, &error));
        free(copy);
        word += length + (word[length] == ' ');
    }
    assert_done(dray_tree_builder_finish(builder, &tree, &error));
    dray_tree_builder_free(builder);
    return tree;
}

#endif
