/* SPDX-License-Identifier: MIT */
#include "tests/unit/tree_files.h"

#include "core/tree/bytes.h"
#include "core/tree/internal.h"
#include "core/tree/walk.h"

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)

/* A source that was walked, and what a test reads it with. */
struct source {
    struct dray_roots *roots;
    struct dray_tree *tree;
    struct dray_bytes_scratch *scratch;
};

static struct source source_open(const struct files *files, const char *name)
{
    struct source source = {dray_roots_new(), NULL, dray_bytes_scratch_new(NULL)};
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_error error = {0};

    assert_non_null(source.roots);
    assert_non_null(source.scratch);
    assert_done(dray_walk(builder, source.roots, NULL, files_at(files, name), NULL, NULL, &error));
    assert_done(dray_tree_builder_finish(builder, &source.tree, &error));
    dray_tree_builder_free(builder);
    return source;
}

static void source_close(struct source *source)
{
    dray_tree_unref(source->tree);
    dray_bytes_scratch_free(source->scratch);
    dray_roots_free(source->roots);
}

/* A file of the source with these digests recorded; the entry is good as long as the source. */
static struct dray_tree_entry recorded(const struct source *source, const char *path,
                                       const void *data, size_t length)
{
    struct dray_tree_entry entry = *tree_entry(source->tree, path);

    assert_int_equal(dray_sha256(data, length, entry.sha256), 0);
    entry.flags |= DRAY_ENTRY_SHA256;
    return entry;
}

static void md5_of(const void *data, size_t length, uint8_t md5[static DRAY_MD5_BYTES])
{
    struct dray_digest *digest = dray_digest_new(DRAY_MD5);

    if (digest == NULL) {
        skip(); /* a library without MD5 */
        return;
    }
    assert_int_equal(dray_digest_start(digest), 0);
    assert_int_equal(dray_digest_add(digest, data, length), 0);
    assert_int_equal(dray_digest_end(digest, md5), 0);
    dray_digest_free(digest);
}

/* All of an entry by open, read and close. */
static int read_all(const struct source *source, const struct dray_tree_entry *entry,
                    uint8_t *ret_sha256, struct dray_error *error)
{
    struct dray_bytes bytes;
    char room[1000];
    int64_t got;
    int result = dray_bytes_open(&bytes, source->roots, entry, error);

    if (result != 0) {
        assert_int_equal(bytes.fd, -1);
        return result;
    }
    do
        got = dray_bytes_read(&bytes, room, sizeof room, error);
    while (got > 0);
    struct dray_error late = {0};
    result = dray_bytes_close(&bytes, got == 0 ? ret_sha256 : NULL, got == 0 ? error : &late);
    assert_int_equal(bytes.fd, -1);
    return got < 0 ? (int)got : result;
}

/* A new file for a copy to go to. */
static int target_open(const struct files *files, const char *name)
{
    int fd = openat(files->fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    return fd;
}

static int copy_to(const struct source *source, const struct files *files,
                   const struct dray_tree_entry *entry, const char *name, uint8_t *ret_sha256,
                   struct dray_error *error)
{
    uint8_t sha256[DRAY_SHA256_BYTES];
    int fd = target_open(files, name);
    int result =
        dray_bytes_copy(source->roots, entry, fd, source->scratch, NULL, NULL, sha256, error);

    assert_int_equal(close(fd), 0);
    if (result == 0 && ret_sha256 != NULL)
        memcpy(ret_sha256, sha256, sizeof sha256);
    return result;
}

static void assert_file(const struct files *files, const char *name, const uint8_t *data,
                        size_t length)
{
    int fd = openat(files->fd, name, O_RDONLY | O_CLOEXEC);
    uint8_t *found = malloc(length + 1);

    assert_true(fd >= 0);
    assert_non_null(found);
    assert_int_equal(dray_read_full(fd, found, length + 1), (ssize_t)length);
    assert_memory_equal(found, data, length);
    free(found);
    assert_int_equal(close(fd), 0);
}

static void assert_sha256(const uint8_t *found, const void *data, size_t length)
{
    uint8_t expected[DRAY_SHA256_BYTES];

    assert_int_equal(dray_sha256(data, length, expected), 0);
    assert_memory_equal(found, expected, sizeof expected);
}

/* ---- Reading ------------------------------------------------------------------------------- */

static void bytes_come_in_order_and_with_their_digest(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};
    uint8_t data[5000];
    uint8_t sha256[DRAY_SHA256_BYTES];
    uint8_t room[700];
    struct dray_bytes bytes;

    files_fill(data, sizeof data);
    files_folder(files, "d");
    files_write(files, "d/f", data, sizeof data);
    files_text(files, "empty", "");
    struct source source = source_open(files, "");
    assert_done(dray_bytes_open(&bytes, source.roots, tree_entry(source.tree, "d/f"), &error));
    for (size_t done = 0; done < sizeof data;) {
        int64_t got = dray_bytes_read(&bytes, room, sizeof room, &error);
        assert_true(got > 0);
        assert_memory_equal(room, data + done, (size_t)got);
        done += (size_t)got;
        assert_int_equal(bytes.position, done);
    }
    assert_int_equal(dray_bytes_read(&bytes, room, sizeof room, &error), 0);
    assert_done(dray_bytes_close(&bytes, sha256, &error));
    assert_sha256(sha256, data, sizeof data);
    assert_done(read_all(&source, tree_entry(source.tree, "empty"), sha256, &error));
    assert_sha256(sha256, "", 0);
    source_close(&source);
}

static void a_part_can_be_read_but_has_no_digest(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};
    uint8_t sha256[DRAY_SHA256_BYTES];
    char room[4];
    struct dray_bytes bytes;

    files_text(files, "f", "0123456789");
    struct source source = source_open(files, "");
    struct dray_tree_entry entry = recorded(&source, "f", "something else", 14);
    for (int round = 0; round < 2; round++) {
        assert_done(dray_bytes_open(&bytes, source.roots, &entry, &error));
        assert_int_equal(dray_bytes_read(&bytes, room, sizeof room, &error), 4);
        if (round == 0)
            assert_done(dray_bytes_close(&bytes, NULL, &error));
        else
            assert_failed(dray_bytes_close(&bytes, sha256, &error), DRAY_BUG, &error,
                          "after 4 of 10 bytes");
    }
    source_close(&source);
}

static void only_files_can_be_read(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};
    struct dray_bytes bytes;

    files_folder(files, "d");
    files_text(files, "f", "");
    struct source source = source_open(files, "");
    assert_failed(dray_bytes_open(&bytes, source.roots, tree_entry(source.tree, "d"), &error),
                  DRAY_BUG, &error, "a directory");
    struct dray_tree_entry entry = *tree_entry(source.tree, "f");
    entry.root = 5;
    assert_failed(dray_bytes_open(&bytes, source.roots, &entry, &error), DRAY_BUG, &error,
                  "root 5");
    source_close(&source);
}

/* ---- Files that changed -------------------------------------------------------------------- */

static void set_back(const struct files *files, const char *name,
                     const struct dray_tree_entry *entry)
{
    const struct timespec times[2] = {{0, UTIME_OMIT},
                                      {entry->mtime / 1000000000, entry->mtime % 1000000000}};

    assert_int_equal(utimensat(files->fd, name, times, 0), 0);
}

/* Each way to change data/f after it was walked. */
static void rewrite(const struct files *files, const struct dray_tree_entry *entry)
{
    (void)entry;
    files_text(files, "data/f", "abcdefghij");
}

static void rewrite_and_set_time_back(const struct files *files,
                                      const struct dray_tree_entry *entry)
{
    files_text(files, "data/f", "abcdefghij");
    set_back(files, "data/f", entry);
}

static void append(const struct files *files, const struct dray_tree_entry *entry)
{
    files_text(files, "data/f", "0123456789+");
    set_back(files, "data/f", entry);
}

static void cut(const struct files *files, const struct dray_tree_entry *entry)
{
    files_text(files, "data/f", "01234");
    set_back(files, "data/f", entry);
}

static void replace(const struct files *files, const struct dray_tree_entry *entry)
{
    files_text(files, "other", "0123456789");
    set_back(files, "other", entry);
    assert_int_equal(renameat(files->fd, "other", files->fd, "data/f"), 0);
}

static void replace_by_link(const struct files *files, const struct dray_tree_entry *entry)
{
    (void)entry;
    assert_int_equal(renameat(files->fd, "data/f", files->fd, "moved"), 0);
    files_link(files, "../moved", "data/f");
}

static void replace_folder_by_link(const struct files *files, const struct dray_tree_entry *entry)
{
    (void)entry;
    assert_int_equal(renameat(files->fd, "data", files->fd, "moved"), 0);
    files_folder(files, "data");
    assert_int_equal(unlinkat(files->fd, "data", AT_REMOVEDIR), 0);
    files_link(files, "moved", "data");
}

static void take_away(const struct files *files, const struct dray_tree_entry *entry)
{
    (void)entry;
    assert_int_equal(unlinkat(files->fd, "data/f", 0), 0);
}

static void replace_by_folder(const struct files *files, const struct dray_tree_entry *entry)
{
    take_away(files, entry);
    files_folder(files, "data/f");
}

static void (*const changes[])(const struct files *, const struct dray_tree_entry *) = {
    rewrite,           rewrite_and_set_time_back, append, cut, replace, replace_by_link, take_away,
    replace_by_folder, replace_folder_by_link,
};

static void any_change_since_the_walk_is_found(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};

    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char name[32];
        struct files below = {.fd = -1};
        (void)snprintf(name, sizeof name, "round%zu", i);
        files_folder(files, name);
        (void)snprintf(below.path, sizeof below.path, "%.200s/%s", files->path, name);
        below.fd = open(below.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        files_folder(&below, "data");
        files_text(&below, "data/f", "0123456789");
        struct source source = source_open(&below, "");
        const struct dray_tree_entry *entry = tree_entry(source.tree, "data/f");
        /* The clock of the file system may tick slowly. */
        (void)usleep(20000);
        changes[i](&below, entry);
        assert_failed(read_all(&source, entry, NULL, &error), DRAY_CHANGED, &error, "data/f: it ");
        assert_int_equal(error.side, DRAY_SIDE_SOURCE);
        if (changes[i] == replace)
            assert_non_null(strstr(error.message, "replaced by another file"));
        error = (struct dray_error){0};
        assert_failed(copy_to(&source, files, entry, "copy", NULL, &error), DRAY_CHANGED, &error,
                      "data/f: it ");
        source_close(&source);
        assert_int_equal(close(below.fd), 0);
    }
}

static void touch(const struct files *files, const struct dray_tree_entry *entry)
{
    files_text(files, "data/f", "");
    set_back(files, "data/f", entry);
}

/* It is looked at, not opened; and its directory is held from the entry before it on. */
static void any_change_of_an_empty_file_is_found(void **state)
{
    const struct files *files = *state;
    size_t count = sizeof changes / sizeof *changes;
    uint8_t sha256[DRAY_SHA256_BYTES];

    for (size_t i = 0; i < 2 * (count + 1); i++) {
        char name[32];
        struct files below = {.fd = -1};
        struct dray_error error = {0};
        void (*change)(const struct files *, const struct dray_tree_entry *) =
            i / 2 < count ? changes[i / 2] : touch;
        (void)snprintf(name, sizeof name, "round%zu", i);
        files_folder(files, name);
        (void)snprintf(below.path, sizeof below.path, "%.200s/%s", files->path, name);
        below.fd = open(below.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        files_folder(&below, "data");
        files_text(&below, "data/e", "");
        files_text(&below, "data/f", "");
        struct source source = source_open(&below, "");
        const struct dray_tree_entry *entry = tree_entry(source.tree, "data/f");
        if (i % 2 == 1) {
            assert_done(dray_bytes_copy(source.roots, tree_entry(source.tree, "data/e"), -1,
                                        source.scratch, NULL, NULL, sha256, &error));
            assert_sha256(sha256, "", 0);
        }
        (void)usleep(20000);
        change(&below, entry);
        int result =
            dray_bytes_copy(source.roots, entry, -1, source.scratch, NULL, NULL, sha256, &error);
        /* In a directory that is held it is still the file that was listed. */
        if (change == replace_folder_by_link && i % 2 == 1)
            assert_int_equal(result, 0);
        else
            assert_failed(result, DRAY_CHANGED, &error, "data/f: it ");
        source_close(&source);
        assert_int_equal(close(below.fd), 0);
    }
}

static void neighbours_are_read_by_their_names_alone(void **state)
{
    const struct files *files = *state;
    static const char *const names[] = {"a/b/1", "a/b/2", "a/b/3", "a/c/1", "top", "a/b/c/d"};
    struct dray_error error = {0};

    files_folder(files, "data");
    files_folder(files, "data/a");
    files_folder(files, "data/a/b");
    files_folder(files, "data/a/b/c");
    files_folder(files, "data/a/c");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "data/%s", names[i]);
        files_text(files, path, names[i]);
    }
    struct source source = source_open(files, "data");
    for (size_t i = 0; i < 3 * sizeof names / sizeof *names; i++) {
        const char *name = names[i / 3];
        assert_done(copy_to(&source, files, tree_entry(source.tree, name), "copy", NULL, &error));
        assert_file(files, "copy", (const uint8_t *)name, strlen(name));
    }
    source_close(&source);
}

static void a_change_while_it_is_read_is_found(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};
    struct dray_bytes bytes;
    char room[16];

    files_folder(files, "data");
    for (int round = 0; round < 2; round++) {
        files_text(files, "data/f", "0123456789");
        struct source source = source_open(files, "");
        assert_done(
            dray_bytes_open(&bytes, source.roots, tree_entry(source.tree, "data/f"), &error));
        assert_int_equal(dray_bytes_read(&bytes, room, 5, &error), 5);
        (void)usleep(20000);
        if (round == 0) {
            rewrite(files, NULL);
            assert_int_equal(dray_bytes_read(&bytes, room, 5, &error), 5);
        } else {
            assert_int_equal(truncate(files_at(files, "data/f"), 7), 0);
            assert_failed((int)dray_bytes_read(&bytes, room, 5, &error), DRAY_CHANGED, &error,
                          "ended after 7 of 10 bytes");
        }
        assert_failed(dray_bytes_close(&bytes, NULL, &error), DRAY_CHANGED, &error, "data/f");
        source_close(&source);
    }
}

/* Changes the source in the middle of a copy. */
struct meddling {
    const struct files *files;
    int calls;
};

static int meddle(void *arg, uint64_t bytes)
{
    struct meddling *meddling = arg;
    int fd;

    assert_true(bytes > 0);
    if (meddling->calls++ == 0) {
        (void)usleep(20000);
        fd = openat(meddling->files->fd, "f", O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "!", 1, 0), 1);
        assert_int_equal(close(fd), 0);
    }
    return 0;
}

static void a_change_while_it_is_copied_is_found(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};
    uint8_t sha256[DRAY_SHA256_BYTES];
    struct meddling meddling = {files, 0};
    uint8_t *data = calloc(1, MIB);

    files_fill(data, MIB);
    files_write(files, "f", data, MIB);
    struct source source = source_open(files, "");
    int fd = target_open(files, "copy");
    assert_failed(dray_bytes_copy(source.roots, tree_entry(source.tree, "f"), fd, source.scratch,
                                  meddle, &meddling, sha256, &error),
                  DRAY_CHANGED, &error, "it changed since it was listed");
    assert_int_equal(close(fd), 0);
    source_close(&source);
    free(data);
}

/* ---- Recorded digests ---------------------------------------------------------------------- */

static void a_recorded_digest_decides_over_times(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};
    uint8_t sha256[DRAY_SHA256_BYTES];

    files_text(files, "f", "0123456789");
    struct source source = source_open(files, "");
    struct dray_tree_entry entry = recorded(&source, "f", "0123456789", 10);
    struct dray_tree_entry plain = *tree_entry(source.tree, "f");
    (void)usleep(20000);
    files_text(files, "f", "0123456789");
    assert_failed(read_all(&source, &plain, NULL, &error), DRAY_CHANGED, &error, "changed");
    assert_done(read_all(&source, &entry, sha256, &error));
    assert_memory_equal(sha256, entry.sha256, sizeof sha256);
    assert_done(copy_to(&source, files, &entry, "copy", sha256, &error));
    assert_memory_equal(sha256, entry.sha256, sizeof sha256);
    /* Of another size it is not what was listed. */
    files_text(files, "f", "0123456789+");
    assert_failed(read_all(&source, &entry, sha256, &error), DRAY_CHANGED, &error,
                  "it had 10 bytes and has 11");
    source_close(&source);
}

static void bytes_that_are_not_the_recorded_ones_are_refused(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};
    uint8_t sha256[DRAY_SHA256_BYTES];
    uint8_t md5[DRAY_MD5_BYTES];

    files_text(files, "f", "0123456789");
    struct source source = source_open(files, "");
    struct dray_tree_entry entry = recorded(&source, "f", "0123456788", 10);
    assert_failed(read_all(&source, &entry, sha256, &error), DRAY_INTEGRITY, &error,
                  "f: its SHA-256 is 84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f78"
                  "82, recorded is ");
    error = (struct dray_error){0};
    assert_failed(copy_to(&source, files, &entry, "copy", NULL, &error), DRAY_INTEGRITY, &error,
                  "its SHA-256");

    entry = *tree_entry(source.tree, "f");
    md5_of("0123456789", 10, md5);
    entry.md5 = md5;
    entry.flags = DRAY_ENTRY_MD5;
    assert_done(read_all(&source, &entry, sha256, &error));
    assert_done(copy_to(&source, files, &entry, "copy", NULL, &error));
    md5[3] ^= 1;
    assert_failed(read_all(&source, &entry, sha256, &error), DRAY_INTEGRITY, &error, "its MD5 is");
    error = (struct dray_error){0};
    assert_failed(copy_to(&source, files, &entry, "copy", NULL, &error), DRAY_INTEGRITY, &error,
                  "its MD5 is");
    source_close(&source);
}

/* ---- Containers ---------------------------------------------------------------------------- */

/* An entry of `bytes` bytes from `offset` on in a container that was added to the roots. */
static struct dray_tree_entry part_of(struct source *source, const struct files *files,
                                      const char *container, uint64_t offset, uint64_t bytes)
{
    struct dray_tree_entry entry = {
        .path = "in/side", .path_length = 7, .bytes = bytes, .offset = offset, .type = DRAY_FILE};
    struct dray_error error = {0};

    assert_done(dray_roots_add(source->roots, files_at(files, container), &entry.root, &error));
    return entry;
}

static void a_part_of_a_container_is_read_in_place(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};
    uint8_t sha256[DRAY_SHA256_BYTES];
    uint8_t *data = malloc(2 * MIB);

    files_fill(data, 2 * MIB);
    files_folder(files, "empty");
    files_write(files, "x.tar", data, 2 * MIB);
    struct source source = source_open(files, "empty");
    struct dray_tree_entry entry = part_of(&source, files, "x.tar", 512, MIB + 7);
    assert_done(read_all(&source, &entry, sha256, &error));
    assert_sha256(sha256, data + 512, MIB + 7);
    assert_done(copy_to(&source, files, &entry, "copy", sha256, &error));
    assert_file(files, "copy", data + 512, MIB + 7);
    assert_sha256(sha256, data + 512, MIB + 7);
    /* The container stays open for the next. */
    assert_true(fcntl(dray_roots_get(source.roots, entry.root)->fd, F_GETFD) >= 0);

    entry.offset = MIB;
    assert_failed(read_all(&source, &entry, sha256, &error), DRAY_INTEGRITY, &error,
                  "ends before its last byte");
    source_close(&source);
    free(data);
}

static void a_container_that_changed_is_found(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};
    struct dray_bytes bytes;
    char room[8];

    files_folder(files, "empty");
    files_text(files, "x.tar", "0123456789");
    struct source source = source_open(files, "empty");
    struct dray_tree_entry entry = part_of(&source, files, "x.tar", 2, 4);
    struct dray_tree_entry known = entry;
    assert_int_equal(dray_sha256("2345", 4, known.sha256), 0);
    known.flags = DRAY_ENTRY_SHA256;
    assert_done(dray_bytes_open(&bytes, source.roots, &entry, &error));
    assert_int_equal(dray_bytes_read(&bytes, room, sizeof room, &error), 4);
    (void)usleep(20000);
    files_text(files, "x.tar", "01234567890");
    assert_failed(dray_bytes_close(&bytes, NULL, &error), DRAY_CHANGED, &error, "in/side in ");
    assert_failed(read_all(&source, &entry, NULL, &error), DRAY_CHANGED, &error,
                  "x.tar: it changed");
    /* The part is what it is recorded to be, whatever else changed. */
    assert_done(read_all(&source, &known, NULL, &error));
    files_text(files, "x.tar", "012345");
    assert_done(read_all(&source, &known, NULL, &error));
    files_text(files, "x.tar", "01234");
    assert_failed(read_all(&source, &known, NULL, &error), DRAY_CHANGED, &error,
                  "it had 10 bytes and has 5");
    source_close(&source);
}

/* ---- Copying ------------------------------------------------------------------------------- */

static void copies_of_every_size_are_exact(void **state)
{
    static const size_t sizes[] = {
        0, 1, 4095, 4096, 4097, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 5 * 1024 * 1024 + 3};
    const struct files *files = *state;
    struct dray_error error = {0};
    uint8_t sha256[DRAY_SHA256_BYTES];
    uint8_t *data = malloc(6 * MIB);
    char name[32];

    files_fill(data, 6 * MIB);
    files_folder(files, "data");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        (void)snprintf(name, sizeof name, "data/%zu", sizes[i]);
        files_write(files, name, data, sizes[i]);
    }
    struct source source = source_open(files, "data");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        (void)snprintf(name, sizeof name, "%zu", sizes[i]);
        /* As it is; with its digest recorded; and as bytes of ours, which the kernel may copy. */
        struct dray_tree_entry entry = *tree_entry(source.tree, name);
        for (unsigned round = 0; round < 3; round++) {
            if (round > 0)
                entry = recorded(&source, name, data, sizes[i]);
            if (round > 1)
                entry.flags |= DRAY_ENTRY_OURS;
            assert_done(copy_to(&source, files, &entry, "copy", sha256, &error));
            assert_file(files, "copy", data, sizes[i]);
            assert_sha256(sha256, data, sizes[i]);
        }
    }
    source_close(&source);
    free(data);
}

static blkcnt_t blocks_of(const struct files *files, const char *name, size_t *ret_size)
{
    struct stat status;

    assert_int_equal(fstatat(files->fd, name, &status, 0), 0);
    *ret_size = (size_t)status.st_size;
    return status.st_blocks;
}

static void holes_stay_holes_and_count_as_zeros(void **state)
{
    /* Where there are data in files of 4 MiB: at the start, in the middle, at the end, nowhere. */
    static const struct {
        const char *name;
        size_t places[3];
        size_t count;
    } files_with_holes[] = {
        {"start", {0}, 1},
        {"middle", {2 * MIB}, 1},
        {"end", {4 * MIB - 100}, 1},
        {"none", {0}, 0},
        {"three", {0, MIB, 3 * MIB + 5}, 3},
        {"odd", {MIB + 1}, 1},
    };
    const struct files *files = *state;
    struct dray_error error = {0};
    uint8_t sha256[DRAY_SHA256_BYTES];
    uint8_t *data = malloc(4 * MIB);
    char name[32];
    size_t size;

    files_folder(files, "data");
    for (size_t i = 0; i < sizeof files_with_holes / sizeof *files_with_holes; i++) {
        (void)snprintf(name, sizeof name, "data/%s", files_with_holes[i].name);
        int fd = target_open(files, name);
        assert_int_equal(ftruncate(fd, (off_t)(4 * MIB)), 0);
        for (size_t j = 0; j < files_with_holes[i].count; j++)
            assert_int_equal(pwrite(fd, "data", 4, (off_t)files_with_holes[i].places[j]), 4);
        assert_int_equal(close(fd), 0);
        if (blocks_of(files, name, &size) > 128) {
            print_message("this file system keeps no holes\n");
            skip();
        }
    }
    struct source source = source_open(files, "data");
    for (size_t i = 0; i < sizeof files_with_holes / sizeof *files_with_holes; i++) {
        memset(data, 0, 4 * MIB);
        for (size_t j = 0; j < files_with_holes[i].count; j++)
            memcpy(data + files_with_holes[i].places[j], "data", 4);
        struct dray_tree_entry entry = *tree_entry(source.tree, files_with_holes[i].name);
        for (int round = 0; round < 2; round++) {
            if (round > 0) {
                entry = recorded(&source, files_with_holes[i].name, data, 4 * MIB);
                entry.flags |= DRAY_ENTRY_OURS;
            }
            assert_done(copy_to(&source, files, &entry, "copy", sha256, &error));
            assert_file(files, "copy", data, 4 * MIB);
            assert_sha256(sha256, data, 4 * MIB);
            assert_true(blocks_of(files, "copy", &size) <= 128);
        }
    }
    source_close(&source);
    free(data);
}

struct counting {
    uint64_t bytes;
    uint64_t limit;
};

static int count(void *arg, uint64_t bytes)
{
    struct counting *counting = arg;

    counting->bytes += bytes;
    return counting->bytes > counting->limit;
}

static void progress_adds_up_and_can_stop_a_copy(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};
    uint8_t sha256[DRAY_SHA256_BYTES];
    uint8_t *data = calloc(3, MIB);

    files_folder(files, "data");
    files_write(files, "data/full", data, 3 * MIB);
    files_text(files, "data/hollow", "");
    assert_int_equal(truncate(files_at(files, "data/hollow"), (off_t)(3 * MIB)), 0);
    struct source source = source_open(files, "data");
    for (size_t i = 0; i < source.tree->count; i++) {
        struct counting all = {0, UINT64_MAX};
        struct counting some = {0, MIB};
        int fd = target_open(files, "copy");
        assert_done(dray_bytes_copy(source.roots, source.tree->entries[i], fd, source.scratch,
                                    count, &all, sha256, &error));
        assert_int_equal(all.bytes, 3 * MIB);
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_failed(dray_bytes_copy(source.roots, source.tree->entries[i], fd, source.scratch,
                                      count, &some, sha256, &error),
                      DRAY_CANCELLED, &error, "cancelled");
        assert_true(some.bytes < 2 * MIB);
        assert_int_equal(close(fd), 0);
    }
    source_close(&source);
    free(data);
}

/* A source of one large file that several threads copy. */
static struct source large_open(const struct files *files, const char *folder,
                                struct dray_pool **ret_pool, uint8_t **ret_data, size_t length)
{
    uint8_t *data = malloc(length);

    assert_non_null(data);
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)(i * 31 ^ i >> 11 ^ i >> 19);
    files_folder(files, folder);
    dray_autofree char *path = dray_format("%s/f", folder);
    assert_non_null(path);
    files_write(files, path, data, length);
    struct source source = source_open(files, folder);
    *ret_pool = dray_pool_new(3, NULL, NULL);
    assert_non_null(*ret_pool);
    dray_bytes_scratch_free(source.scratch);
    source.scratch = dray_bytes_scratch_new(*ret_pool);
    assert_non_null(source.scratch);
    *ret_data = data;
    return source;
}

static void a_large_file_is_copied_by_several_threads_exactly(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};
    const size_t lengths[] = {16 * MIB, 16 * MIB + 1, 33 * MIB - 7};
    const char *const folders[] = {"even", "odd", "cut"};

    for (size_t i = 0; i < DRAY_COUNT(lengths); i++) {
        uint8_t sha256[DRAY_SHA256_BYTES], expected[DRAY_SHA256_BYTES];
        struct dray_pool *pool;
        uint8_t *data;
        struct source source = large_open(files, folders[i], &pool, &data, lengths[i]);

        assert_done(copy_to(&source, files, tree_entry(source.tree, "f"), "copy", sha256, &error));
        assert_int_equal(dray_sha256(data, lengths[i], expected), 0);
        assert_memory_equal(sha256, expected, sizeof sha256);
        assert_file(files, "copy", data, lengths[i]);
        source_close(&source);
        dray_pool_free(pool);
        free(data);
    }
}

static int count_anywhere(void *arg, uint64_t bytes)
{
    struct counting *counting = arg;

    return __atomic_add_fetch(&counting->bytes, bytes, __ATOMIC_RELAXED) > counting->limit;
}

static void a_shared_copy_adds_up_and_can_be_stopped(void **state)
{
    const struct files *files = *state;
    struct counting all = {0, UINT64_MAX}, some = {0, 4 * MIB};
    struct dray_error error = {0};
    uint8_t sha256[DRAY_SHA256_BYTES];
    struct dray_pool *pool;
    uint8_t *data;
    struct source source = large_open(files, "large", &pool, &data, 20 * MIB);
    const struct dray_tree_entry *entry = tree_entry(source.tree, "f");
    int fd = target_open(files, "copy");

    assert_done(dray_bytes_copy(source.roots, entry, fd, source.scratch, count_anywhere, &all,
                                sha256, &error));
    assert_int_equal(all.bytes, 20 * MIB);
    assert_failed(dray_bytes_copy(source.roots, entry, fd, source.scratch, count_anywhere, &some,
                                  sha256, &error),
                  DRAY_CANCELLED, &error, "cancelled");
    assert_true(some.bytes < 12 * MIB);
    assert_int_equal(close(fd), 0);
    fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_failed(
        dray_bytes_copy(source.roots, entry, fd, source.scratch, NULL, NULL, sha256, &error),
        DRAY_NO_SPACE, &error, "writing the copy of \"f\"");
    assert_int_equal(close(fd), 0);
    source_close(&source);
    dray_pool_free(pool);
    free(data);
}

static int cut_source(void *arg, uint64_t bytes)
{
    (void)bytes;
    (void)!truncate(arg, (off_t)(17 * MIB));
    return 0;
}

static void a_large_file_that_is_cut_while_several_threads_copy_it_is_found(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};
    uint8_t sha256[DRAY_SHA256_BYTES];
    struct dray_pool *pool;
    uint8_t *data;
    struct source source = large_open(files, "large", &pool, &data, 40 * MIB);
    char *path = strdup(files_at(files, "large/f"));
    int fd = target_open(files, "copy");

    assert_failed(dray_bytes_copy(source.roots, tree_entry(source.tree, "f"), fd, source.scratch,
                                  cut_source, path, sha256, &error),
                  DRAY_CHANGED, &error, "it changed while it was read: it ended after");
    assert_int_equal(close(fd), 0);
    source_close(&source);
    dray_pool_free(pool);
    free(path);
    free(data);
}

static void a_target_that_cannot_be_written_is_the_targets_fault(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};
    uint8_t sha256[DRAY_SHA256_BYTES];

    files_text(files, "f", "0123456789");
    struct source source = source_open(files, "");
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_failed(dray_bytes_copy(source.roots, tree_entry(source.tree, "f"), fd, source.scratch,
                                  NULL, NULL, sha256, &error),
                  DRAY_NO_SPACE, &error, "writing the copy of \"f\"");
    assert_int_equal(error.side, DRAY_SIDE_TARGET);
    assert_int_equal(close(fd), 0);
    source_close(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        files_test(bytes_come_in_order_and_with_their_digest),
        files_test(a_part_can_be_read_but_has_no_digest),
        files_test(only_files_can_be_read),
        files_test(any_change_since_the_walk_is_found),
        files_test(any_change_of_an_empty_file_is_found),
        files_test(neighbours_are_read_by_their_names_alone),
        files_test(a_change_while_it_is_read_is_found),
        files_test(a_change_while_it_is_copied_is_found),
        files_test(a_recorded_digest_decides_over_times),
        files_test(bytes_that_are_not_the_recorded_ones_are_refused),
        files_test(a_part_of_a_container_is_read_in_place),
        files_test(a_container_that_changed_is_found),
        files_test(copies_of_every_size_are_exact),
        files_test(holes_stay_holes_and_count_as_zeros),
        files_test(progress_adds_up_and_can_stop_a_copy),
        files_test(a_large_file_is_copied_by_several_threads_exactly),
        files_test(a_shared_copy_adds_up_and_can_be_stopped),
        files_test(a_large_file_that_is_cut_while_several_threads_copy_it_is_found),
        files_test(a_target_that_cannot_be_written_is_the_targets_fault),
    };

    return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
