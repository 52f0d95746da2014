/* SPDX-License-Identifier: MIT */
/*
 * fingerprint.c - the digest of a tree and the revision of a source.
 *
 * What is hashed is a text that can be read in one way only: a name of the format ending in NUL,
 * then for each entry in the tree's order its fields. Numbers have a fixed width and come low byte
 * first; a text is its length as 32 bits and its bytes.
 *
 *   digest    "dray tree 1": path, type (8 bits), size (64), mode (32), mtime (64); a link's
 * target; what is recorded (8 bits: 1 SHA-256, 2 MD5) and those digests revision  "dray revision
 * 1": path, type (8 bits); a link's target, of all else size (64) and mtime (64)
 */
#include <string.h>

#include "core/tree/internal.h"

#define CHUNK ((size_t)32 << 10)
/* Fields of one entry that have a fixed width, with room to spare. */
#define FIXED_BYTES 128

struct chunk {
    struct dray_digest *digest;
    size_t used;
    int failed;
    uint8_t bytes[CHUNK];
};

static void flush(struct chunk *chunk)
{
    if (dray_digest_add(chunk->digest, chunk->bytes, chunk->used) != 0)
        chunk->failed = 1;
    chunk->used = 0;
}

static void put_bytes(struct chunk *chunk, const void *bytes, size_t length)
{
    memcpy(chunk->bytes + chunk->used, bytes, length);
    chunk->used += length;
}

static void put_number(struct chunk *chunk, uint64_t number, size_t width)
{
    for (size_t i = 0; i < width; i++)
        chunk->bytes[chunk->used++] = (uint8_t)(number >> (8 * i));
}

static void put_text(struct chunk *chunk, const char *text, size_t length)
{
    put_number(chunk, length, 4);
    put_bytes(chunk, text, length);
}

static void put_link(struct chunk *chunk, const struct dray_tree_entry *entry)
{
    put_text(chunk, entry->at, strlen(entry->at));
}

static void put_entry(struct chunk *chunk, const struct dray_tree_entry *entry)
{
    unsigned recorded = entry->flags & (DRAY_ENTRY_SHA256 | DRAY_ENTRY_MD5);

    put_text(chunk, entry->path, entry->path_length);
    put_number(chunk, entry->type, 1);
    put_number(chunk, entry->bytes, 8);
    put_number(chunk, entry->mode, 4);
    put_number(chunk, (uint64_t)entry->mtime, 8);
    if (entry->type == DRAY_LINK)
        put_link(chunk, entry);
    put_number(chunk, recorded, 1);
    if (recorded & DRAY_ENTRY_SHA256)
        put_bytes(chunk, entry->sha256, DRAY_SHA256_BYTES);
    if (recorded & DRAY_ENTRY_MD5)
        put_bytes(chunk, entry->md5, DRAY_MD5_BYTES);
}

static void put_revision(struct chunk *chunk, const struct dray_tree_entry *entry)
{
    put_text(chunk, entry->path, entry->path_length);
    put_number(chunk, entry->type, 1);
    if (entry->type == DRAY_LINK) {
        put_link(chunk, entry);
        return;
    }
    put_number(chunk, entry->bytes, 8);
    put_number(chunk, (uint64_t)entry->mtime, 8);
}

static int hash_tree(const struct dray_tree *tree, const char *format,
                     void (*put)(struct chunk *chunk, const struct dray_tree_entry *entry),
                     uint8_t ret_digest[static DRAY_SHA256_BYTES])
{
    dray_cleanup(dray_digest_freep) struct dray_digest *digest = dray_digest_new(DRAY_SHA256);
    dray_autofree struct chunk *chunk = malloc(sizeof *chunk);

    if (digest == NULL || chunk == NULL)
        return DRAY_NO_MEMORY;
    int result = dray_digest_start(digest);
    if (result != 0)
        return result;
    chunk->digest = digest;
    chunk->used = 0;
    chunk->failed = 0;
    put_bytes(chunk, format, strlen(format) + 1);
    for (size_t i = 0; i < tree->count; i++) {
        if (chunk->used + DRAY_PATH_LONGEST + DRAY_LINK_LONGEST + FIXED_BYTES > CHUNK)
            flush(chunk);
        put(chunk, tree->entries[i]);
    }
    flush(chunk);
    return chunk->failed ? DRAY_BUG : dray_digest_end(digest, ret_digest);
}

int dray_tree_digest(const struct dray_tree *tree, uint8_t ret_digest[static DRAY_SHA256_BYTES])
{
    return hash_tree(tree, "dray tree 1", put_entry, ret_digest);
}

char *dray_tree_revision(const struct dray_tree *tree)
{
    uint8_t digest[DRAY_SHA256_BYTES];
    char *text = malloc(DRAY_SHA256_HEX);

    if (text == NULL || hash_tree(tree, "dray revision 1", put_revision, digest) != 0) {
        free(text);
        return NULL;
    }
    return dray_hex(digest, sizeof digest, text);
}
