/* SPDX-License-Identifier: MIT */
/* services_tree.c - what plugins do with entries: see them, read their bytes, add, keep and create
 * them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "core/base/io.h"
#include "core/run/run.h"
#include "core/tree/attributes.h"
#include "core/tree/walk.h"

/* A file that a source or transform is writing. */
struct dray_writer_state {
    struct dray_writer_state *next;
    int fd; /* -1: of a preview without scratch, which keeps no bytes */
    struct dray_digest *digest;
    struct dray_tree_entry entry;
    char *path;
    char name[32]; /* in scratch */
};

/* An added item that is a hard link to an earlier one. */
struct dray_hard_link {
    char *path, *same_as;
    size_t path_length, same_as_length;
};

static struct dray_call *call_of(struct dray_ctx *ctx)
{
    return (struct dray_call *)(void *)ctx;
}

/* ---- Seeing entries ---- */

void dray_entry_view(const struct dray_tree *tree, size_t index, struct dray_entry *ret_entry)
{
    const struct dray_tree_entry *entry = tree->entries[index];

    *ret_entry = (struct dray_entry){
        .size = sizeof(*ret_entry),
        .type = entry->type,
        .id = index,
        .path = entry->path,
        .path_length = entry->path_length,
        .link = entry->type == DRAY_LINK ? entry->at : NULL,
        .link_length = entry->type == DRAY_LINK ? strlen(entry->at) : 0,
        .bytes = entry->bytes,
        .mtime = entry->mtime,
        .mode = entry->mode,
        .parent = entry->type == DRAY_DIRECTORY && dray_tree_is_parent(tree, index),
        .link_group = entry->link_group,
        .sha256 = entry->flags & DRAY_ENTRY_SHA256 ? entry->sha256 : NULL,
        .md5 = entry->flags & DRAY_ENTRY_MD5 ? entry->md5 : NULL,
    };
}

uint64_t dray_service_count(struct dray_ctx *ctx)
{
    const struct dray_tree *input = call_of(ctx)->step->input;

    return input ? input->count : 0;
}

/* The input entry of that id, or NULL with the reason recorded. */
static const struct dray_tree_entry *input_entry(struct dray_call *call, uint64_t id)
{
    const struct dray_tree *input = call->step->input;

    if (input && id < input->count)
        return input->entries[id];
    dray_fail(&call->error, DRAY_BUG, "plugin %s asked for entry %llu of a tree of %llu",
              call->step->step->uses, (unsigned long long)id,
              (unsigned long long)(input ? input->count : 0));
    return NULL;
}

int dray_service_entry(struct dray_ctx *ctx, uint64_t id, struct dray_entry *ret_entry)
{
    struct dray_call *call = call_of(ctx);

    if (!input_entry(call, id))
        return DRAY_BUG;
    dray_entry_view(call->step->input, id, ret_entry);
    return DRAY_OK;
}

/* ---- Reading bytes ---- */

static void remember_digest(struct dray_step_run *step, uint64_t id, const uint8_t *sha256)
{
    /* Once they are in the manifest they stay as they are. */
    if (!step->digests || step->committed)
        return;
    memcpy(step->digests[id], sha256, DRAY_SHA256_BYTES);
    __atomic_store_n(&step->digested[id], 1, __ATOMIC_RELEASE);
}

int dray_service_open(struct dray_ctx *ctx, uint64_t id, struct dray_reader *ret_reader)
{
    struct dray_call *call = call_of(ctx);
    const struct dray_tree_entry *entry = input_entry(call, id);

    if (!entry)
        return DRAY_BUG;
    dray_autofree struct dray_bytes *bytes = calloc(1, sizeof(*bytes));
    if (!bytes)
        return dray_fail_memory(&call->error);
    dray_blame_entry(entry->path, entry->path_length);
    int result = dray_bytes_open(bytes, call->step->run->roots, entry, &call->error);
    if (result != 0)
        return result;
    *ret_reader = (struct dray_reader){
        .size = sizeof(*ret_reader),
        .flags = DRAY_READER_SIZE_KNOWN | DRAY_READER_REPEATABLE |
                 (entry->flags & DRAY_ENTRY_SHA256 ? DRAY_READER_DIGEST_KNOWN : 0),
        .fd = bytes->fd,
        .offset = entry->offset,
        .length = entry->bytes,
        .private_ = DRAY_TAKE(bytes),
    };
    return DRAY_OK;
}

int64_t dray_service_read(struct dray_ctx *ctx, struct dray_reader *reader, void *buffer,
                          uint64_t size)
{
    struct dray_call *call = call_of(ctx);

    if (dray_run_cancelled(call->step->run))
        return dray_fail(&call->error, DRAY_CANCELLED, "cancelled");
    int64_t got = dray_bytes_read(reader->private_, buffer, size, &call->error);
    if (got > 0)
        dray_service_progress(ctx, 0, (uint64_t)got);
    return got;
}

int dray_service_close(struct dray_ctx *ctx, struct dray_reader *reader)
{
    struct dray_call *call = call_of(ctx);
    dray_autofree struct dray_bytes *bytes = reader->private_;
    uint8_t sha256[DRAY_SHA256_BYTES];

    reader->private_ = NULL;
    reader->fd = -1;
    if (!bytes)
        return DRAY_OK;
    const struct dray_tree_entry *entry = bytes->entry;
    int whole = bytes->position == entry->bytes;
    int result = dray_bytes_close(bytes, whole ? sha256 : NULL, &call->error);
    const struct dray_tree *input = call->step->input;
    if (result == 0 && whole) {
        int64_t id = dray_tree_find(input, entry->path, entry->path_length);
        if (id >= 0)
            remember_digest(call->step, (uint64_t)id, sha256);
    }
    return result;
}

/* What a thread needs for copying is kept for the next copy: by a call that copies one entry after
 * the other, then for any other. */
static struct dray_bytes_scratch *borrow_scratch(struct dray_call *call)
{
    struct dray_run *run = call->step->run;

    if (call->scratch)
        return call->scratch;
    pthread_mutex_lock(&run->lock);
    if (run->idle_count > 0)
        call->scratch = run->idle[--run->idle_count];
    pthread_mutex_unlock(&run->lock);
    if (!call->scratch)
        call->scratch = dray_bytes_scratch_new(run->pool);
    return call->scratch;
}

void dray_scratch_return(struct dray_call *call)
{
    struct dray_run *run = call->step->run;
    struct dray_bytes_scratch *scratch = DRAY_TAKE(call->scratch);

    if (!scratch)
        return;
    pthread_mutex_lock(&run->lock);
    if (DRAY_GROW(run->idle, run->idle_count, run->idle_capacity) == 0)
        run->idle[run->idle_count++] = DRAY_TAKE(scratch);
    pthread_mutex_unlock(&run->lock);
    dray_bytes_scratch_free(scratch);
}

static int copy_progress(void *arg, uint64_t bytes)
{
    struct dray_call *call = arg;

    dray_service_progress(&call->ctx, 0, bytes);
    dray_adopt_tick(call->step);
    return dray_run_cancelled(call->step->run);
}

int dray_service_copy(struct dray_ctx *ctx, uint64_t id, int32_t fd)
{
    struct dray_call *call = call_of(ctx);
    struct dray_run *run = call->step->run;
    const struct dray_tree_entry *entry = input_entry(call, id);
    uint8_t sha256[DRAY_SHA256_BYTES];

    if (!entry)
        return DRAY_BUG;
    if (fd < 0 && entry->bytes > 0)
        return dray_fail(&call->error, DRAY_BUG, "plugin %s copies %s to no file",
                         call->step->step->uses, entry->path);
    struct dray_bytes_scratch *scratch = borrow_scratch(call);
    if (!scratch)
        return dray_fail_memory(&call->error);
    dray_blame_entry(entry->path, entry->path_length);
    int result =
        dray_bytes_copy(run->roots, entry, fd, scratch, copy_progress, call, sha256, &call->error);
    if (!call->keeps)
        dray_scratch_return(call);
    if (result == 0) {
        remember_digest(call->step, id, sha256);
        dray_adopt_note(call->step, id);
        dray_service_progress(ctx, 1, 0);
    }
    return result;
}

/* ---- Modes and attributes ---- */

int dray_service_set_mode(struct dray_ctx *ctx, uint64_t id, uint32_t mode)
{
    struct dray_call *call = call_of(ctx);
    struct dray_step_run *step = call->step;

    if (!input_entry(call, id))
        return DRAY_BUG;
    pthread_mutex_lock(&step->run->lock);
    if (!step->modes)
        step->modes = calloc(step->input->count, sizeof(*step->modes));
    if (step->modes)
        step->modes[id] = (uint16_t)((mode & 07777) | DRAY_MODE_SET);
    pthread_mutex_unlock(&step->run->lock);
    return step->modes ? DRAY_OK : dray_fail_memory(&call->error);
}

struct attributes {
    struct dray_ctx *ctx;
    int (*fn)(struct dray_ctx *ctx, void *arg, const char *name, const void *value, uint64_t size);
    void *arg;
};

static int tell_attribute(void *arg, const char *name, const void *value, uint64_t size)
{
    const struct attributes *attributes = arg;

    return attributes->fn(attributes->ctx, attributes->arg, name, value, size);
}

int dray_service_attributes(struct dray_ctx *ctx, uint64_t id,
                            int (*fn)(struct dray_ctx *ctx, void *arg, const char *name,
                                      const void *value, uint64_t size),
                            void *arg)
{
    struct dray_call *call = call_of(ctx);
    const struct dray_tree_entry *entry = input_entry(call, id);
    struct attributes attributes = {ctx, fn, arg};

    if (!entry)
        return DRAY_BUG;
    dray_blame_entry(entry->path, entry->path_length);
    return dray_attributes_read(call->step->run->roots, entry, tell_attribute, &attributes,
                                &call->error);
}

/* ---- Adding entries ---- */

static int wrong_kind(struct dray_call *call, const char *service)
{
    return dray_fail(&call->error, DRAY_BUG, "plugin %s called %s, which its kind may not",
                     call->step->step->uses, service);
}

static void entry_of_item(const struct dray_item *item, struct dray_tree_entry *entry)
{
    *entry = (struct dray_tree_entry){
        .path = item->path,
        .path_length = (uint32_t)item->path_length,
        .type = (uint8_t)item->type,
        .at = item->type == DRAY_LINK ? item->link : NULL,
        .bytes = item->type == DRAY_FILE ? item->bytes : 0,
        .offset = item->offset,
        .mtime = item->mtime,
        .mode = (uint16_t)(item->mode & 07777),
        .root = item->root,
        .md5 = item->md5,
        .flags =
            (uint8_t)((item->sha256 ? DRAY_ENTRY_SHA256 : 0) | (item->md5 ? DRAY_ENTRY_MD5 : 0)),
    };
    if (item->sha256)
        memcpy(entry->sha256, item->sha256, DRAY_SHA256_BYTES);
}

int dray_service_root(struct dray_ctx *ctx, const char *path, uint32_t *ret_root)
{
    struct dray_call *call = call_of(ctx);

    return dray_roots_add(call->step->run->roots, path, ret_root, &call->error);
}

static int remember_link(struct dray_call *call, const struct dray_item *item)
{
    struct dray_step_run *step = call->step;
    dray_autofree char *path = strndup(item->path, item->path_length);
    dray_autofree char *same_as = strndup(item->same_as, item->same_as_length);
    int result = 0;

    if (!path || !same_as)
        return dray_fail_memory(&call->error);
    pthread_mutex_lock(&step->run->lock);
    if (DRAY_GROW(step->links, step->link_count, step->link_capacity) == 0)
        step->links[step->link_count++] = (struct dray_hard_link){
            DRAY_TAKE(path), DRAY_TAKE(same_as), item->path_length, item->same_as_length};
    else
        result = dray_fail_memory(&call->error);
    pthread_mutex_unlock(&step->run->lock);
    return result;
}

int dray_service_add(struct dray_ctx *ctx, const struct dray_item *item)
{
    struct dray_call *call = call_of(ctx);
    struct dray_tree_entry entry;

    if (!call->step->builder || call->step->step->role != DRAY_STEP_SOURCE)
        return wrong_kind(call, "add");
    if (item->type < DRAY_FILE || item->type > DRAY_LINK ||
        (item->type == DRAY_LINK && !item->link))
        return dray_fail(&call->error, DRAY_BUG,
                         "plugin %s added an entry that is no file, directory or link",
                         call->step->step->uses);
    dray_blame_entry(item->path, item->path_length);
    dray_service_progress(ctx, 1, 0);
    if (item->path_length == 0 && item->type == DRAY_DIRECTORY) {
        dray_tree_builder_root(call->step->builder, (uint16_t)(item->mode & 07777), item->mtime);
        return DRAY_OK;
    }
    if (item->same_as)
        return remember_link(call, item);
    entry_of_item(item, &entry);
    return dray_tree_builder_add(call->step->builder, &entry, &call->error);
}

static int walk_cancelled(void *arg)
{
    struct dray_call *call = arg;

    dray_service_progress(&call->ctx, 0, 0);
    return dray_run_cancelled(call->step->run);
}

int dray_service_walk(struct dray_ctx *ctx, const char *path)
{
    struct dray_call *call = call_of(ctx);

    if (!call->step->builder || call->step->step->role != DRAY_STEP_SOURCE)
        return wrong_kind(call, "walk");
    int result = dray_walk(call->step->builder, call->step->run->roots, call->step->run->pool, path,
                           walk_cancelled, call, &call->error);
    if (result == DRAY_DENIED)
        dray_hint(&call->error,
                  "a filter cannot leave it out, since what is not listed is not judged: "
                  "ask for the right to read it, or deliver a directory without it");
    return result;
}

/* Turn the links into entries of one group with what they link to. */
static int resolve_links(struct dray_step_run *step, struct dray_tree *tree,
                         struct dray_tree **ret_tree, struct dray_error *error)
{
    dray_cleanup(dray_tree_builder_freep) struct dray_tree_builder *builder =
        dray_tree_builder_new();
    dray_autofree uint32_t *groups = calloc(tree->count + 1, sizeof(*groups));
    int result = 0;

    if (!builder || !groups)
        return dray_fail_memory(error);
    dray_tree_builder_root(builder, tree->root_mode, tree->root_mtime);
    for (size_t i = 0; result == 0 && i < step->link_count; i++) {
        const struct dray_hard_link *link = &step->links[i];
        int64_t found = dray_tree_find(tree, link->same_as, link->same_as_length);
        if (found < 0 || tree->entries[found]->type != DRAY_FILE)
            return dray_fail(error, DRAY_INVALID,
                             "%s is a hard link to %s, which is no file of the dataset", link->path,
                             link->same_as);
        if (groups[found] == 0)
            groups[found] = dray_roots_link_group(step->run->roots);
        struct dray_tree_entry entry = *tree->entries[found];
        entry.at = entry.at ? entry.at : entry.path;
        entry.path = link->path;
        entry.path_length = (uint32_t)link->path_length;
        entry.link_group = groups[found];
        result = dray_tree_builder_add(builder, &entry, error);
    }
    for (size_t i = 0; result == 0 && i < tree->count; i++) {
        struct dray_tree_entry entry = *tree->entries[i];
        entry.link_group = groups[i];
        result = groups[i] ? dray_tree_builder_add(builder, &entry, error)
                           : dray_tree_builder_keep(builder, tree, i, error);
    }
    return result != 0 ? result : dray_tree_builder_finish(builder, ret_tree, error);
}

int dray_builder_take(struct dray_step_run *step, struct dray_tree **ret_tree,
                      struct dray_error *error)
{
    dray_cleanup(dray_tree_unrefp) struct dray_tree *tree = NULL;
    int result = dray_tree_builder_finish(step->builder, &tree, error);

    if (result == 0 && step->link_count > 0)
        result = resolve_links(step, tree, ret_tree, error);
    else if (result == 0)
        *ret_tree = DRAY_TAKE(tree);
    for (size_t i = 0; i < step->link_count; i++) {
        free(step->links[i].path);
        free(step->links[i].same_as);
    }
    free(step->links);
    step->links = NULL;
    step->link_count = step->link_capacity = 0;
    return result;
}

char *dray_service_revision(struct dray_ctx *ctx)
{
    struct dray_call *call = call_of(ctx);
    dray_cleanup(dray_tree_unrefp) struct dray_tree *tree = NULL;

    if (!call->step->builder || call->step->step->role != DRAY_STEP_SOURCE) {
        wrong_kind(call, "revision");
        return NULL;
    }
    if (dray_builder_take(call->step, &tree, &call->error) != 0)
        return NULL;
    call->step->counted = 1;
    call->step->counted_entries = tree->listed;
    call->step->counted_bytes = tree->bytes;
    char *revision = dray_tree_revision(tree);
    if (!revision)
        dray_fail_memory(&call->error);
    return revision;
}

int dray_service_wanted(struct dray_ctx *ctx, const struct dray_item *item)
{
    struct dray_step_run *step = call_of(ctx)->step;
    struct dray_run *run = step->run;
    struct dray_entry entry = {
        .size = sizeof(entry),
        .type = item->type,
        .id = DRAY_NOT_KNOWN,
        .path = item->path,
        .path_length = item->path_length,
        .bytes = item->bytes,
        .mtime = item->mtime,
        .mode = item->mode & 07777,
        .sha256 = item->sha256,
        .md5 = item->md5,
    };

    /* A preview without scratch needs no bytes. */
    if (!run->preview || run->scratch)
        return dray_is_wanted(step, &entry);
    __atomic_store_n(&step->unread, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&run->unread, 1, __ATOMIC_RELAXED);
    return 0;
}

static void entry_rename(struct dray_tree_entry *entry, const char *path)
{
    if (!entry->from)
        entry->from = entry->path;
    entry->path = path;
    entry->path_length = (uint32_t)strlen(path);
}

int dray_service_keep(struct dray_ctx *ctx, uint64_t id, const char *path)
{
    struct dray_call *call = call_of(ctx);
    struct dray_step_run *step = call->step;

    if (!step->builder || step->step->role != DRAY_STEP_TRANSFORM)
        return wrong_kind(call, "keep");
    if (!input_entry(call, id))
        return DRAY_BUG;
    dray_service_progress(ctx, 1, 0);
    if (!path)
        return dray_tree_builder_keep(step->builder, step->input, id, &call->error);
    struct dray_tree_entry entry = *step->input->entries[id];
    entry.at = entry.at ? entry.at : entry.path;
    entry_rename(&entry, path);
    return dray_tree_builder_add(step->builder, &entry, &call->error);
}

int dray_service_keep_link(struct dray_ctx *ctx, uint64_t id, const char *path, const char *link)
{
    struct dray_call *call = call_of(ctx);
    struct dray_step_run *step = call->step;

    if (!step->builder || step->step->role != DRAY_STEP_TRANSFORM)
        return wrong_kind(call, "keep_link");
    if (!input_entry(call, id))
        return DRAY_BUG;
    struct dray_tree_entry entry = *step->input->entries[id];
    if (entry.type != DRAY_LINK)
        return dray_fail(&call->error, DRAY_BUG,
                         "plugin %s gave %s a target, which is no symbolic link", step->step->uses,
                         entry.path);
    dray_service_progress(ctx, 1, 0);
    entry.at = link;
    if (path && strcmp(path, entry.path) != 0)
        entry_rename(&entry, path);
    return dray_tree_builder_add(step->builder, &entry, &call->error);
}

/* ---- Creating files ---- */

static void writer_free(struct dray_writer_state *writer)
{
    if (!writer)
        return;
    dray_close_descriptor(&writer->fd);
    dray_digest_free(writer->digest);
    free(writer->path);
    free(writer);
}

static void writer_freep(struct dray_writer_state **writer)
{
    writer_free(*writer);
}

void dray_writers_drop(struct dray_step_run *step)
{
    while (step->writers) {
        struct dray_writer_state *writer = step->writers;
        step->writers = writer->next;
        writer_free(writer);
    }
}

static int no_scratch(struct dray_call *call)
{
    return dray_fail(&call->error, DRAY_UNSUPPORTED,
                     "plugin %s needs scratch space, which this command does not give",
                     call->step->step->uses);
}

/* Where the writer's bytes go. A preview without scratch counts and hashes them: what comes behind
 * learns that they are not there. */
static int open_scratch(struct dray_call *call, struct dray_writer_state *writer)
{
    struct dray_run *run = call->step->run;

    pthread_mutex_lock(&run->lock);
    unsigned long long number = ++run->next_scratch;
    pthread_mutex_unlock(&run->lock);
    (void)snprintf(writer->name, sizeof(writer->name), "file-%llu", number);
    if (!run->scratch) {
        __atomic_store_n(&call->step->unread, 1, __ATOMIC_RELAXED);
        return 0;
    }
    writer->fd = openat(run->scratch_fd, writer->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (writer->fd < 0)
        return dray_fail_errno(&call->error, errno, "making a file in scratch for %s",
                               writer->path);
    return dray_roots_add(run->roots, run->scratch, &writer->entry.root, &call->error);
}

int dray_service_create(struct dray_ctx *ctx, const struct dray_item *item,
                        struct dray_writer *ret_writer)
{
    struct dray_call *call = call_of(ctx);
    struct dray_step_run *step = call->step;
    struct dray_run *run = step->run;

    if (!step->builder)
        return wrong_kind(call, "create");
    if (!run->scratch && !run->preview)
        return no_scratch(call);
    dray_cleanup(writer_freep) struct dray_writer_state *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return dray_fail_memory(&call->error);
    writer->fd = -1;
    entry_of_item(item, &writer->entry);
    writer->path = strndup(item->path, item->path_length);
    writer->digest = dray_digest_new(DRAY_SHA256);
    if (!writer->path || !writer->digest || dray_digest_start(writer->digest) != 0)
        return dray_fail_memory(&call->error);
    writer->entry.bytes = 0;
    int result = open_scratch(call, writer);
    if (result != 0)
        return result;
    *ret_writer = (struct dray_writer){sizeof(*ret_writer), writer->fd, writer};
    pthread_mutex_lock(&run->lock);
    writer->next = step->writers;
    step->writers = DRAY_TAKE(writer);
    pthread_mutex_unlock(&run->lock);
    return DRAY_OK;
}

int dray_service_write(struct dray_ctx *ctx, struct dray_writer *writer, const void *data,
                       uint64_t size)
{
    struct dray_call *call = call_of(ctx);
    struct dray_writer_state *state = writer->private_;

    if (dray_run_cancelled(call->step->run))
        return dray_fail(&call->error, DRAY_CANCELLED, "cancelled");
    if (state->fd >= 0 && dray_write_all(state->fd, data, size) != 0)
        return dray_fail_errno(&call->error, errno, "writing %s to scratch", state->path);
    if (dray_digest_add(state->digest, data, size) != 0)
        return dray_fail(&call->error, DRAY_BUG, "hashing %s", state->path);
    state->entry.bytes += size;
    dray_service_progress(ctx, 0, size);
    return DRAY_OK;
}

int dray_service_finish(struct dray_ctx *ctx, struct dray_writer *writer)
{
    struct dray_call *call = call_of(ctx);
    struct dray_step_run *step = call->step;
    dray_cleanup(writer_freep) struct dray_writer_state *state = writer->private_;
    uint8_t sha256[DRAY_SHA256_BYTES];

    writer->private_ = NULL;
    pthread_mutex_lock(&step->run->lock);
    for (struct dray_writer_state **link = &step->writers; *link; link = &(*link)->next) {
        if (*link == state) {
            *link = state->next;
            break;
        }
    }
    pthread_mutex_unlock(&step->run->lock);
    off_t end = state->fd >= 0 ? lseek(state->fd, 0, SEEK_END) : (off_t)state->entry.bytes;
    if (end < 0 || (state->fd >= 0 && dray_close(&state->fd) != 0))
        return dray_fail_errno(&call->error, errno, "writing %s to scratch", state->path);
    if (dray_digest_end(state->digest, sha256) != 0)
        return dray_fail(&call->error, DRAY_BUG, "hashing %s", state->path);
    if ((state->entry.flags & DRAY_ENTRY_SHA256) &&
        memcmp(sha256, state->entry.sha256, sizeof(sha256)) != 0)
        return dray_fail(&call->error, DRAY_INTEGRITY, "%s does not have the recorded SHA-256",
                         state->path);
    memcpy(state->entry.sha256, sha256, sizeof(sha256));
    state->entry.flags |= DRAY_ENTRY_SHA256 | DRAY_ENTRY_OURS;
    state->entry.bytes = (uint64_t)end;
    state->entry.path = state->path;
    state->entry.path_length = (uint32_t)strlen(state->path);
    state->entry.at = state->name;
    dray_service_progress(ctx, 1, 0);
    return dray_tree_builder_add(step->builder, &state->entry, &call->error);
}

int dray_service_scratch(struct dray_ctx *ctx, const char *name, int32_t *ret_fd)
{
    struct dray_call *call = call_of(ctx);
    struct dray_run *run = call->step->run;

    if (!run->scratch)
        return no_scratch(call);
    if (strchr(name, '/'))
        return dray_fail(&call->error, DRAY_BUG, "a scratch file's name has a slash: %s", name);
    dray_autofree char *unique = dray_format("step-%zu-%s", call->step->index, name);
    if (!unique)
        return dray_fail_memory(&call->error);
    int fd = openat(run->scratch_fd, unique, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return dray_fail_errno(&call->error, errno, "opening the scratch file %s", name);
    *ret_fd = fd;
    return DRAY_OK;
}
