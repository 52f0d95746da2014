/* SPDX-License-Identifier: MIT */
/* The plugin transform/rename as the host sees it: random trees through random options. What each
 * entry becomes is asked of the plugin for that entry alone; from that follows, pair by pair,
 * whether the whole must be refused. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include <dray/plugin.h>

#include "plugins/transforms/rename.h"

#define MOST   64
#define LENGTH 256
#define ROUNDS 4000

/* ---- A host with a tree ---- */

struct made {
    char path[LENGTH];
    uint32_t type, parent, mode;
    char out[LENGTH]; /* what it became; kept: how often it was passed on */
    unsigned kept;
};

struct fake {
    struct dray_ctx ctx; /* first */
    struct made entries[MOST];
    uint64_t count;
    int failed;
    unsigned calls, fail_at;   /* of services; 0: none fails */
    unsigned asked, cancel_at; /* whether the job is cancelled: from which time on; 0: never */
    char message[1024], link[LENGTH], written[1024];
};

static struct fake *fake_of(struct dray_ctx *ctx)
{
    return (struct fake *)(void *)ctx;
}

static int fake_fail(struct dray_ctx *ctx, int class_, const char *format, ...) DRAY_PRINTF(3, 4);
static int fake_fail(struct dray_ctx *ctx, int class_, const char *format, ...)
{
    struct fake *fake = fake_of(ctx);
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(fake->message, sizeof(fake->message), format, arguments);
    va_end(arguments);
    fake->failed = class_;
    return class_;
}

static int fake_fail_option(struct dray_ctx *ctx, const char *option, int64_t index,
                            uint64_t offset, const char *format, ...) DRAY_PRINTF(5, 6);
static int fake_fail_option(struct dray_ctx *ctx, const char *option, int64_t index,
                            uint64_t offset, const char *format, ...)
{
    (void)offset;
    return fake_fail(ctx, DRAY_INVALID, "%s[%lld] %s", option, (long long)index, format);
}

static void fake_hint(struct dray_ctx *ctx, const char *format, ...) DRAY_PRINTF(2, 3);
static void fake_hint(struct dray_ctx *ctx, const char *format, ...)
{
    assert_non_null(format);
    assert_int_not_equal(fake_of(ctx)->failed, 0);
}

/* The service that is to fail does. */
static int service(struct dray_ctx *ctx)
{
    struct fake *fake = fake_of(ctx);

    return ++fake->calls == fake->fail_at
               ? fake_fail(ctx, DRAY_TEMPORARY, "service %u", fake->calls)
               : DRAY_OK;
}

static uint64_t fake_count(struct dray_ctx *ctx)
{
    return fake_of(ctx)->count;
}

static int fake_entry(struct dray_ctx *ctx, uint64_t id, struct dray_entry *ret_entry)
{
    const struct made *made = &fake_of(ctx)->entries[id];

    assert_true(id < fake_of(ctx)->count);
    *ret_entry = (struct dray_entry){
        .size = sizeof(*ret_entry),
        .type = made->type,
        .id = id,
        .path = made->path,
        .path_length = strlen(made->path),
        .link = made->type == DRAY_LINK ? fake_of(ctx)->link : NULL,
        .link_length = made->type == DRAY_LINK ? strlen(fake_of(ctx)->link) : 0,
        .mode = made->mode,
        .parent = made->parent,
    };
    return service(ctx);
}

static int fake_keep(struct dray_ctx *ctx, uint64_t id, const char *path)
{
    struct made *made = &fake_of(ctx)->entries[id];

    made->kept++;
    (void)snprintf(made->out, sizeof(made->out), "%s", path != NULL ? path : made->path);
    return service(ctx);
}

static int fake_keep_link(struct dray_ctx *ctx, uint64_t id, const char *path, const char *link)
{
    (void)snprintf(fake_of(ctx)->link, LENGTH, "%s", link);
    return fake_keep(ctx, id, path);
}

static int fake_create(struct dray_ctx *ctx, const struct dray_item *item,
                       struct dray_writer *ret_writer)
{
    assert_int_equal(item->type, DRAY_FILE);
    assert_int_equal(strlen(item->path), item->path_length);
    ret_writer->private_ = fake_of(ctx)->written;
    fake_of(ctx)->written[0] = '\0';
    return service(ctx);
}

static int fake_write(struct dray_ctx *ctx, struct dray_writer *writer, const void *data,
                      uint64_t size)
{
    size_t length = strlen(writer->private_);

    assert_true(length + size < sizeof(fake_of(ctx)->written));
    memcpy((char *)writer->private_ + length, data, size);
    ((char *)writer->private_)[length + size] = '\0';
    return service(ctx);
}

static int fake_finish(struct dray_ctx *ctx, struct dray_writer *writer)
{
    assert_non_null(writer->private_);
    return service(ctx);
}

static void fake_progress(struct dray_ctx *ctx, uint64_t entries, uint64_t bytes)
{
    (void)ctx;
    assert_true(entries == 0 && bytes == 0);
}

static int fake_cancelled(struct dray_ctx *ctx)
{
    struct fake *fake = fake_of(ctx);

    return ++fake->asked >= fake->cancel_at && fake->cancel_at > 0;
}

static const struct dray_host host = {
    .size = sizeof(host),
    .fail = fake_fail,
    .fail_option = fake_fail_option,
    .hint = fake_hint,
    .count = fake_count,
    .entry = fake_entry,
    .keep = fake_keep,
    .keep_link = fake_keep_link,
    .create = fake_create,
    .write = fake_write,
    .finish = fake_finish,
    .progress = fake_progress,
    .cancelled = fake_cancelled,
};

/* ---- The plugin ---- */

struct step {
    const struct dray_plugin *plugin;
    void *self;
};

static void *member(const struct step *step, const char *name)
{
    for (uint32_t i = 0; i < step->plugin->option_count; i++)
        if (strcmp(step->plugin->options[i].name, name) == 0)
            return (char *)step->self + step->plugin->options[i].offset;
    fail_msg("transform/rename has no option %s", name);
    return NULL;
}

static void set_number(struct step *step, const char *name, int64_t value)
{
    memcpy(member(step, name), &value, sizeof(value));
}

static void set_text(struct step *step, const char *name, const char *text)
{
    memcpy(member(step, name), &text, sizeof(text));
}

static void set_map(struct step *step, const char *name, const struct dray_map *map)
{
    memcpy(member(step, name), map, sizeof(*map));
}

static void load(struct step *step)
{
    char path[4096];
    const char *build = getenv("DRAY_BUILD");

    (void)snprintf(path, sizeof(path), "%s/plugins/transform-rename.so",
                   build != NULL ? build : ".");
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL)
        fail_msg("%s", dlerror());
    step->plugin = dlsym(object, "dray_plugin_v1");
    assert_non_null(step->plugin);
    step->self = calloc(1, step->plugin->instance_size);
    assert_non_null(step->self);
}

static void start(struct step *step)
{
    struct fake fake = {.ctx = {&host}};

    if (step->plugin->prepare(step->self, &fake.ctx) != DRAY_OK)
        fail_msg("prepare: %s", fake.message);
}

static void finish(struct step *step)
{
    step->plugin->destroy(step->self);
    free(step->self);
}

static int apply(const struct step *step, struct fake *fake)
{
    const struct dray_transform_operations *operations = step->plugin->operations;

    fake->ctx.host = &host;
    fake->failed = 0;
    fake->message[0] = '\0';
    return operations->apply(step->self, &fake->ctx);
}

/* ---- Random trees ---- */

static uint32_t state;

static uint32_t any(uint32_t below)
{
    state = state * 1664525 + 1013904223;
    return (state >> 8) % below;
}

static int compare(const void *left, const void *right)
{
    const unsigned char *a = (const unsigned char *)((const struct made *)left)->path;
    const unsigned char *b = (const unsigned char *)((const struct made *)right)->path;

    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    int x = *a == '/' ? 1 : *a == '\0' ? 0 : *a + 1, y = *b == '/' ? 1 : *b == '\0' ? 0 : *b + 1;
    return x - y;
}

static int is_below(const char *path, const char *folder)
{
    size_t length = strlen(folder);

    return strncmp(path, folder, length) == 0 && path[length] == '/';
}

/* 0 where the tree has it already, or cannot have it. */
static int can_add(const struct fake *fake, const char *path)
{
    for (uint64_t i = 0; i < fake->count; i++) {
        const struct made *made = &fake->entries[i];
        if (strcmp(made->path, path) == 0 || is_below(made->path, path) ||
            (!made->parent && is_below(path, made->path)))
            return 0;
    }
    return 1;
}

static void add_parents(struct fake *fake, const char *path)
{
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        char folder[LENGTH];
        int known = 0;
        (void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
        for (uint64_t i = 0; i < fake->count; i++)
            known = known || strcmp(fake->entries[i].path, folder) == 0;
        if (known)
            continue;
        struct made *made = &fake->entries[fake->count++];
        *made = (struct made){.type = DRAY_DIRECTORY, .parent = 1, .mode = any(2) ? 0755 : 0700};
        memcpy(made->path, folder, sizeof(folder));
    }
}

static void grow(struct fake *fake)
{
    static const char *const names[] = {"a",  "A",    "b",         "aa", "a.b",
                                        "c ", "\xff", "u\xcc\x88", "d."};

    memset(fake, 0, sizeof(*fake));
    for (uint32_t i = 0, most = 1 + any(10); i < most; i++) {
        char path[LENGTH];
        size_t at = 0;
        for (uint32_t j = 0, depth = 1 + any(4); j < depth; j++)
            at += (size_t)snprintf(path + at, sizeof(path) - at, "%s%s", j > 0 ? "/" : "",
                                   names[any(sizeof(names) / sizeof(names[0]))]);
        if (!can_add(fake, path))
            continue;
        add_parents(fake, path);
        struct made *made = &fake->entries[fake->count++];
        *made = (struct made){.type = any(5) ? DRAY_FILE : DRAY_DIRECTORY, .mode = 0755};
        memcpy(made->path, path, at + 1);
    }
    qsort(fake->entries, fake->count, sizeof(fake->entries[0]), compare);
}

/* ---- What must hold ---- */

static const char *const map_keys[] = {"a", "a/b", "A/a", "b"};
static const char *const map_values[] = {"b", "c", "a", "b/b"};
static const char *const regex_keys[] = {"^a/(.)", "[AB]", "aa"};
static const char *const regex_values[] = {"$1", "b", "a/a"};

static void choose(struct step *step, int *ret_windows)
{
    struct dray_map map = {any(5), map_keys, map_values};
    struct dray_map regex = {any(4), regex_keys, regex_values};
    int64_t safe = any(3);

    *ret_windows = safe == 1;
    set_number(step, "strip", any(4) == 0);
    set_text(step, "strip_prefix", any(4) == 0 ? "a/b" : NULL);
    set_map(step, "map", &map);
    set_map(step, "regex", &regex);
    set_text(step, "prefix", any(4) == 0 ? "p/q" : NULL);
    set_number(step, "case", any(3));
    set_number(step, "unicode", any(2));
    set_number(step, "safe", safe);
}

/* The new path of each entry, asked for it alone; 0 where one has none. */
static int ask_alone(const struct step *step, struct fake *tree)
{
    for (uint64_t i = 0; i < tree->count; i++) {
        static struct fake alone;
        if (tree->entries[i].parent)
            continue;
        memset(&alone, 0, sizeof(alone));
        alone.entries[0] = tree->entries[i];
        alone.count = 1;
        int result = apply(step, &alone);
        if (result != DRAY_OK) {
            assert_int_equal(result, DRAY_INVALID);
            assert_non_null(strstr(alone.message, tree->entries[i].path));
            return 0;
        }
        assert_int_equal(alone.entries[0].kept, 1);
        memcpy(tree->entries[i].out, alone.entries[0].out, LENGTH);
    }
    return 1;
}

/* Would two entries meet? On Windows also where a directory is written in two ways. */
static int meet(const char *a, const char *b, int windows)
{
    size_t same = 0;

    while (a[same] != '\0' && a[same] == b[same])
        same++;
    if ((a[same] == '\0' && (b[same] == '/' || b[same] == '\0')) ||
        (b[same] == '\0' && a[same] == '/'))
        return 1;
    if (!windows)
        return 0;
    /* the first segment that differs, without regard to case */
    while (same > 0 && a[same - 1] != '/')
        same--;
    size_t left = strcspn(a + same, "/"), right = strcspn(b + same, "/");
    return left == right && strncasecmp(a + same, b + same, left) == 0;
}

static int must_be_refused(const struct fake *tree, int windows)
{
    for (uint64_t i = 0; i < tree->count; i++)
        for (uint64_t j = 0; j < i; j++)
            if (!tree->entries[i].parent && !tree->entries[j].parent &&
                meet(tree->entries[i].out, tree->entries[j].out, windows))
                return 1;
    return 0;
}

/* Each once, where it would be alone; directories at most once, and above something. */
static void check_whole(const struct fake *whole, const struct fake *tree)
{
    for (uint64_t i = 0; i < whole->count; i++) {
        const struct made *made = &whole->entries[i];
        int above = 0;
        assert_true(made->kept <= 1);
        if (!made->parent) {
            assert_int_equal(made->kept, 1);
            assert_string_equal(made->out, tree->entries[i].out);
            continue;
        }
        for (uint64_t j = 0; made->kept && j < tree->count; j++)
            above =
                above || (is_below(tree->entries[j].path, made->path) && !tree->entries[j].parent &&
                          is_below(tree->entries[j].out, made->out));
        assert_int_equal(above, made->kept);
        for (uint64_t j = 0; made->kept && j < i; j++)
            assert_false(whole->entries[j].kept && strcmp(whole->entries[j].out, made->out) == 0);
    }
}

static void of_random_trees_none_loses_an_entry_and_no_collision_is_missed(void **unused)
{
    static struct fake tree, whole;
    unsigned passed = 0, refused = 0, faulty = 0;

    (void)unused;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct step step;
        int windows;
        state = round * 2654435761u;
        load(&step);
        choose(&step, &windows);
        start(&step);
        grow(&tree);
        int all = ask_alone(&step, &tree);
        whole = tree;
        for (uint64_t i = 0; i < whole.count; i++)
            whole.entries[i].kept = 0;
        int result = apply(&step, &whole);
        if (!all) {
            assert_int_equal(result, DRAY_INVALID);
            faulty++;
        } else if (must_be_refused(&tree, windows)) {
            assert_int_equal(result, DRAY_CONFLICT);
            refused++;
        } else {
            if (result != DRAY_OK)
                fail_msg("round %u: %s", round, whole.message);
            check_whole(&whole, &tree);
            passed++;
        }
        finish(&step);
    }
    assert_true(passed > ROUNDS / 10 && refused > ROUNDS / 10 && faulty > ROUNDS / 20);
}

/* ---- One by one ---- */

static void expect_link(const char *prefix, const char *path, const char *link, const char *becomes)
{
    struct step step;
    static struct fake tree;
    const struct dray_map map = {1, (const char *const[]){"x"}, (const char *const[]){"deep/y"}};

    memset(&tree, 0, sizeof(tree));
    (void)snprintf(tree.link, sizeof(tree.link), "%s", link);
    add_parents(&tree, path);
    (void)snprintf(tree.entries[tree.count].path, LENGTH, "%s", path);
    tree.entries[tree.count++].type = DRAY_LINK;
    add_parents(&tree, "x/sub/f");
    (void)snprintf(tree.entries[tree.count].path, LENGTH, "x/sub/f");
    tree.entries[tree.count++].type = DRAY_FILE;
    qsort(tree.entries, tree.count, sizeof(tree.entries[0]), compare);
    load(&step);
    set_map(&step, "map", &map);
    set_text(&step, "prefix", prefix);
    start(&step);
    if (apply(&step, &tree) != DRAY_OK)
        fail_msg("%s", tree.message);
    assert_string_equal(tree.link, becomes);
    finish(&step);
}

static void links_are_written_anew_where_they_would_lead_elsewhere(void **unused)
{
    (void)unused;
    expect_link(NULL, "l", "x/sub/f", "deep/y/sub/f");
    expect_link(NULL, "l", "x", "deep/y");
    expect_link(NULL, "a/l", "../x/./sub//f", "../deep/y/sub/f");
    expect_link(NULL, "x/l", "sub/f", "sub/f");
    expect_link(NULL, "x/l", ".", ".");
    expect_link(NULL, "x/sub/l", "../sub", ".");
    expect_link("p", "x/sub/l", "../..", "../.."); /* all of the root is in p/deep now */
    expect_link(NULL, "x/l", "../a/missing", "../a/missing");
    expect_link(NULL, "l", "/x/sub/f", "/x/sub/f");
    expect_link(NULL, "l", "x/../x/../x/sub/../../x/../x/.././x/sub/../sub/../sub//f",
                "deep/y/sub/f");
    expect_link(NULL, "a/b/l", "../../a/b/../../a/b/../../x/../x/sub/f", "../../deep/y/sub/f");
    expect_link("p", "l", "l", "l"); /* in a circle */
}

static void what_a_service_says_is_passed_on(void **unused)
{
    static const char *const paths[] = {"a", "a/b", "l\tx"};
    struct step step;
    static struct fake tree;
    int result = DRAY_TEMPORARY;
    unsigned calls = 0;

    (void)unused;
    load(&step);
    set_text(&step, "prefix", "p");
    set_text(&step, "mapping", "m");
    start(&step);
    while (result != DRAY_OK) {
        memset(&tree, 0, sizeof(tree));
        for (tree.count = 0; tree.count < 3; tree.count++)
            (void)snprintf(tree.entries[tree.count].path, LENGTH, "%s", paths[tree.count]);
        tree.entries[0] = (struct made){.path = "a", .type = DRAY_DIRECTORY, .parent = 1};
        tree.entries[1].type = DRAY_FILE;
        tree.entries[2].type = DRAY_LINK;
        (void)snprintf(tree.link, LENGTH, "a/b");
        tree.fail_at = ++calls;
        result = apply(&step, &tree);
        assert_int_equal(result, tree.calls >= calls ? DRAY_TEMPORARY : DRAY_OK);
    }
    assert_true(calls > 9);
    assert_string_equal(tree.written, "new\told\np/a/b\ta/b\np/l\\tx\tl\\tx\n");
    finish(&step);
}

static void who_cancels_is_heard_between_any_two_entries(void **unused)
{
    struct step step;
    static struct fake tree;
    int result = DRAY_CANCELLED;
    unsigned at = 0;

    (void)unused;
    load(&step);
    set_text(&step, "prefix", "p");
    set_text(&step, "mapping", "m");
    start(&step);
    while (result != DRAY_OK) {
        memset(&tree, 0, sizeof(tree));
        for (tree.count = 0; tree.count < MOST; tree.count++) {
            tree.entries[tree.count].type = DRAY_FILE;
            (void)snprintf(tree.entries[tree.count].path, LENGTH, "%c%c",
                           (char)('a' + tree.count / 8), (char)('a' + tree.count % 8));
        }
        tree.cancel_at = ++at;
        result = apply(&step, &tree);
        assert_int_equal(result, tree.asked >= at ? DRAY_CANCELLED : DRAY_OK);
    }
    /* While they are read, compared, passed on and listed. */
    assert_true(at > 4 * (MOST - 1));
    finish(&step);
}

static void who_cancels_is_heard_between_the_matches_in_one_path(void **unused)
{
    struct step step;
    static struct fake tree;
    const struct dray_map map = {1, (const char *const[]){"a"}, (const char *const[]){"b"}};

    (void)unused;
    load(&step);
    set_map(&step, "regex", &map);
    start(&step);
    for (unsigned at = 0; at <= 100; at += 50) {
        memset(&tree, 0, sizeof(tree));
        tree.count = 1;
        tree.entries[0].type = DRAY_FILE;
        memset(tree.entries[0].path, 'a', 200);
        tree.cancel_at = at;
        assert_int_equal(apply(&step, &tree), at == 0 ? DRAY_OK : DRAY_CANCELLED);
        assert_true(at == 0 ? tree.asked > 200 : tree.asked <= at + 1);
    }
    finish(&step);
}

#define MANY 100000

static int by_number(const void *left, const void *right, void *nodes)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    assert_null(nodes);
    return (a > b) - (a < b);
}

static void many_are_sorted_in_pieces_and_who_cancels_is_heard(void **unused)
{
    static const uint64_t counts[] = {0, 1, 4096, 4097, 8193, 20000, MANY};
    uint64_t *items = calloc(MANY, sizeof(*items));
    static struct fake fake;
    struct rename_tree tree = {.ctx = &fake.ctx};

    (void)unused;
    assert_non_null(items);
    for (size_t i = 0; i < DRAY_COUNT(counts); i++) {
        fake = (struct fake){.ctx = {&host}};
        for (uint64_t k = 0; k < counts[i]; k++)
            items[k] = k * 7919 % counts[i];
        assert_int_equal(rename_sort(&tree, items, counts[i], by_number), DRAY_OK);
        for (uint64_t k = 0; k < counts[i]; k++)
            assert_int_equal(items[k], k);
        assert_true(fake.asked >= counts[i] / 4096);
    }
    unsigned all = fake.asked;
    for (unsigned at = 1; at <= all; at += all / 10) {
        fake = (struct fake){.ctx = {&host}, .cancel_at = at};
        assert_int_equal(rename_sort(&tree, items, MANY, by_number), DRAY_CANCELLED);
        assert_int_equal(fake.asked, at);
    }
    free(items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_random_trees_none_loses_an_entry_and_no_collision_is_missed),
        cmocka_unit_test(links_are_written_anew_where_they_would_lead_elsewhere),
        cmocka_unit_test(what_a_service_says_is_passed_on),
        cmocka_unit_test(who_cancels_is_heard_between_any_two_entries),
        cmocka_unit_test(who_cancels_is_heard_between_the_matches_in_one_path),
        cmocka_unit_test(many_are_sorted_in_pieces_and_who_cancels_is_heard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
