/* SPDX-License-Identifier: MIT */
/* filter/mime: keep and drop entries by what is in them, as libmagic sees it (docs/filters.md). */
#include <dray/plugin.h>

#include <errno.h>
#include <inttypes.h>
#include <magic.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Of a file this much is looked at. It holds what libmagic's tests ask for: the farthest that are
 * common, of ISO 9660, begin at 32 KiB. */
#define PREFIX 262144u

/* A magic_t serves one thread at a time. */
struct looker {
    struct looker *next;
    magic_t magic;
    char bytes[PREFIX];
};

struct mime {
    struct dray_strings include;
    struct dray_strings exclude;
    char *database; /* paths, as libmagic takes them */
    struct looker *idle;
    pthread_mutex_t lock; /* guards idle */
};

enum { OPTION_INCLUDE, OPTION_EXCLUDE }; /* rows of the table */

static const struct dray_option options[] = {
    DRAY_OPTION_STRINGS(struct mime, include, 0,
                        "Keep only content of one of these types: text/csv, image/*"),
    DRAY_OPTION_STRINGS(struct mime, exclude, 0, "Drop content of one of these, kept or not"),
};

/* ---- libmagic ------------------------------------------------------------------------------ */

static void looker_free(struct looker *looker)
{
    if (looker == NULL)
        return;
    if (looker->magic != NULL)
        magic_close(looker->magic);
    free(looker);
}

static const char *reason_of(const struct looker *looker)
{
    const char *reason = magic_error(looker->magic);

    return reason != NULL ? reason : "libmagic gives no reason";
}

/* libmagic says both that memory is out and that there is something wrong with its database. */
static int class_of(const struct looker *looker, int class_)
{
    return magic_errno(looker->magic) == ENOMEM ? DRAY_NO_MEMORY : class_;
}

/* Nothing is expanded and no program is started: what is in a compressed file is not looked at. */
static int new_looker(struct dray_ctx *ctx, const struct mime *mime, struct looker **ret_looker)
{
    struct looker *looker = malloc(sizeof(*looker));

    *ret_looker = NULL;
    if (looker != NULL)
        looker->magic = magic_open(MAGIC_MIME_TYPE | MAGIC_ERROR);
    if (looker == NULL || looker->magic == NULL) {
        looker_free(looker);
        return ctx->host->fail(ctx, DRAY_NO_MEMORY, "cannot prepare libmagic: out of memory");
    }
    if (magic_load(looker->magic, mime->database) != 0) {
        int result = ctx->host->fail(ctx, class_of(looker, DRAY_UNSUPPORTED),
                                     "cannot load libmagic's database: %s", reason_of(looker));
        if (result == DRAY_UNSUPPORTED)
            ctx->host->hint(ctx, "install it (Debian: libmagic-mgc; RHEL: file-libs)");
        looker_free(looker);
        return result;
    }
    looker->next = NULL;
    *ret_looker = looker;
    return DRAY_OK;
}

static int borrow(struct dray_ctx *ctx, struct mime *mime, struct looker **ret_looker)
{
    (void)pthread_mutex_lock(&mime->lock);
    *ret_looker = mime->idle;
    if (mime->idle != NULL)
        mime->idle = mime->idle->next;
    (void)pthread_mutex_unlock(&mime->lock);
    return *ret_looker != NULL ? DRAY_OK : new_looker(ctx, mime, ret_looker);
}

static void give_back(struct mime *mime, struct looker *looker)
{
    (void)pthread_mutex_lock(&mime->lock);
    looker->next = mime->idle;
    mime->idle = looker;
    (void)pthread_mutex_unlock(&mime->lock);
}

/* ---- Types --------------------------------------------------------------------------------- */

/* What is wrong with a type and where, or NULL. */
static const char *find_fault(const char *type, uint64_t *ret_offset)
{
    static const char *const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789!#$&^_.+-*";
    size_t length = strspn(type, allowed);

    *ret_offset = length;
    if (length == 0)
        return type[0] == '\0' ? "the type is empty" : "a type is written text/csv or image/*";
    if (type[length] == '\0')
        return "a type has two parts: text/csv, or text/* for all of text";
    if (type[length] != '/')
        return "this stands in no type";
    *ret_offset += 1 + strspn(type + length + 1, allowed);
    if (*ret_offset == length + 1)
        return "nothing stands after the slash; write * for all";
    return type[*ret_offset] != '\0' ? "this stands in no type" : NULL;
}

/* Every bad type is reported, not only the first. */
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

static char lower(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? (char)(letter | 0x20) : letter;
}

/* `*` is any number of characters but the slash. What was tried last for the last one is enough to
 * go back to, so that the time grows with the product of the lengths at most. */
static int matches(const char *pattern, const char *type)
{
    const char *star = NULL, *tried = NULL;

    while (*type != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            tried = type;
        } else if (lower(*pattern) == lower(*type)) {
            pattern++;
            type++;
        } else if (star != NULL && *tried != '/') {
            pattern = star;
            type = ++tried;
        } else {
            return 0;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

/* The number of the first type that matches, or DRAY_NO_INDEX. */
static int64_t find(const struct dray_strings *list, const char *type)
{
    for (uint64_t i = 0; i < list->count; i++)
        if (matches(list->items[i], type))
            return (int64_t)i;
    return DRAY_NO_INDEX;
}

/* ---- Operations ---------------------------------------------------------------------------- */

static void destroy(void *self)
{
    struct mime *mime = self;

    while (mime->idle != NULL) {
        struct looker *looker = mime->idle;
        mime->idle = looker->next;
        looker_free(looker);
    }
    free(mime->database);
    (void)pthread_mutex_destroy(&mime->lock);
}

/* The database is found and loaded here, before there are threads: libmagic keeps in static memory
 * where it is. */
static int prepare(void *self, struct dray_ctx *ctx)
{
    struct mime *mime = self;
    int result = check(ctx, OPTION_INCLUDE, &mime->include);
    int excluded = check(ctx, OPTION_EXCLUDE, &mime->exclude);

    if (result != DRAY_OK || excluded != DRAY_OK)
        return result != DRAY_OK ? result : excluded;
    mime->idle = NULL;
    const char *database = magic_getpath(NULL, 0);
    mime->database = database != NULL ? strdup(database) : NULL;
    if ((database != NULL && mime->database == NULL) ||
        pthread_mutex_init(&mime->lock, NULL) != 0) {
        free(mime->database);
        return ctx->host->fail(ctx, DRAY_NO_MEMORY, "cannot prepare libmagic: out of memory");
    }
    result = new_looker(ctx, mime, &mime->idle);
    if (result != DRAY_OK) /* then nobody calls destroy */
        destroy(mime);
    return result;
}

static int read_prefix(struct dray_ctx *ctx, uint64_t id, struct looker *looker, size_t *ret_length)
{
    struct dray_reader reader;
    int64_t got = 1;
    int result = ctx->host->open(ctx, id, &reader);

    *ret_length = 0;
    if (result != DRAY_OK)
        return result;
    while (*ret_length < PREFIX && got > 0) {
        got = ctx->host->read(ctx, &reader, looker->bytes + *ret_length, PREFIX - *ret_length);
        if (got > 0)
            *ret_length += (size_t)got;
    }
    result = ctx->host->close(ctx, &reader);
    return got < 0 ? (int)got : result;
}

static int decide_by(struct dray_ctx *ctx, const struct mime *mime, const char *type,
                     struct dray_verdict *ret_verdict)
{
    int64_t index = find(&mime->exclude, type);
    (void)ctx;
    if (index != DRAY_NO_INDEX) {
        *ret_verdict = (struct dray_verdict){DRAY_DROP, OPTION_EXCLUDE, index};
        return DRAY_OK;
    }
    index = find(&mime->include, type);
    int keep = index != DRAY_NO_INDEX || mime->include.count == 0;
    *ret_verdict = (struct dray_verdict){keep ? DRAY_KEEP : DRAY_DROP, OPTION_INCLUDE, index};
    return DRAY_OK;
}

/* What has no bytes is called as libmagic calls it. */
static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict)
{
    struct mime *mime = self;
    struct looker *looker;
    size_t length;

    if (entry->type != DRAY_FILE)
        return decide_by(ctx, mime, entry->type == DRAY_LINK ? "inode/symlink" : "inode/directory",
                         ret_verdict);
    if (entry->bytes == 0)
        return decide_by(ctx, mime, "inode/x-empty", ret_verdict);
    int result = borrow(ctx, mime, &looker);
    if (result != DRAY_OK)
        return result;
    result = read_prefix(ctx, entry->id, looker, &length);
    if (result == DRAY_OK) {
        const char *type = magic_buffer(looker->magic, looker->bytes, length);
        result = type != NULL ? decide_by(ctx, mime, type, ret_verdict)
                              : ctx->host->fail(ctx, class_of(looker, DRAY_PERMANENT),
                                                "cannot find out what is in %s: %s", entry->path,
                                                reason_of(looker));
    }
    give_back(mime, looker);
    return result;
}

static const struct dray_filter_operations operations = {
    .size = sizeof(operations),
    .decide = decide,
};

DRAY_PLUGIN(DRAY_KIND_FILTER, DRAY_CAP_REENTRANT | DRAY_CAP_CONTENT, "mime", "1.0.0",
            "Keep and drop entries by what is in them", struct mime, options, &operations,
            .prepare = prepare, .destroy = destroy);
