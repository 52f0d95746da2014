/* SPDX-License-Identifier: MIT */
/* examine.c - see examine.h. */
#include "core/plugin/examine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/base/io.h"
#include "core/plugin/info.h"
#include "core/plugin/load.h"

/* How much of a file is read at a time. */
#define PIECE ((size_t)256 << 10)

int dray_plugin_digest(const char *file, char text[static DRAY_SHA256_HEX], struct stat *ret_status,
                       struct dray_error *error)
{
    dray_cleanup(dray_digest_freep) struct dray_digest *digest = dray_digest_new(DRAY_SHA256);
    dray_autoclose int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    dray_autofree char *piece = malloc(PIECE);
    uint8_t bytes[DRAY_SHA256_BYTES];
    struct stat status;
    ssize_t got;
    int failed;

    if (fd < 0 || fstat(fd, &status) != 0)
        return dray_fail_errno(error, errno, "%s: reading the plugin", file);
    if (digest == NULL || piece == NULL)
        return dray_fail_memory(error);
    failed = dray_digest_start(digest);
    while ((got = dray_read_full(fd, piece, PIECE)) > 0 && failed == 0)
        failed = dray_digest_add(digest, piece, (size_t)got);
    if (got < 0)
        return dray_fail_errno(error, errno, "%s: reading the plugin", file);
    if (failed != 0 || dray_digest_end(digest, bytes) != 0)
        return dray_fail(error, DRAY_BUG, "%s: computing its SHA-256 failed", file);
    (void)dray_hex(bytes, sizeof bytes, text);
    *ret_status = status;
    return 0;
}

/* The same file, unchanged as far as the file system tells? */
static int is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* An info of what the plugin packed; it must be the plugin that the file is called after. */
static int unpack(const char *entry, const json_t *plugin, struct dray_plugin_info **ret_info)
{
    dray_cleanup(dray_info_freep) struct dray_plugin_info *info = calloc(1, sizeof *info);
    uint32_t kind = 0;
    const char *name = NULL;
    size_t length = 0;
    int result;

    if (info == NULL)
        return DRAY_NO_MEMORY;
    result = dray_info_unpack(info, plugin);
    if (result != 0)
        return result;
    if (!dray_plugin_file_parse(entry, &kind, &name, &length) || kind != info->kind ||
        strlen(info->name) != length || memcmp(info->name, name, length) != 0)
        return DRAY_INVALID;
    *ret_info = DRAY_TAKE(info);
    return 0;
}

/* A file that is no use: its file name is all that is known of it. */
static int refusal(const char *entry, const struct dray_error *refused,
                   struct dray_plugin_info **ret_info, struct dray_error *error)
{
    dray_cleanup(dray_info_freep) struct dray_plugin_info *info = NULL;
    const char *name = NULL;
    size_t length = 0;

    /* Out of memory is no property of the file. */
    if (refused->class_ == DRAY_NO_MEMORY)
        return dray_fail_memory(error);
    info = calloc(1, sizeof *info);
    if (info == NULL)
        return dray_fail_memory(error);
    info->file = strdup(entry);
    if (dray_plugin_file_parse(entry, &info->kind, &name, &length))
        info->name = strndup(name, length);
    if (info->file == NULL || (name != NULL && info->name == NULL))
        return dray_fail_memory(error);
    info->refused = *refused;
    *ret_info = DRAY_TAKE(info);
    return 0;
}

int dray_plugin_refuse(const char *entry, struct dray_plugin_info **ret_info,
                       struct dray_error *error, const char *format, ...)
{
    struct dray_error refused = {0};
    va_list arguments;

    va_start(arguments, format);
    (void)dray_fail_va(&refused, DRAY_INVALID, format, arguments);
    va_end(arguments);
    return refusal(entry, &refused, ret_info, error);
}

/* Ask dray-probe and keep an answer that is good. `refused` tells what is wrong with the file. */
static int probe_file(const char *entry, const char *probe, const char *cache,
                      const struct dray_file_key *key, struct dray_plugin_info **ret_info,
                      struct dray_error *refused, struct dray_error *error)
{
    json_t *plugin = NULL;
    struct stat status;
    int result = dray_probe_ask(entry, probe, &plugin, refused, error);

    if (result != 0 || refused->class_ != 0)
        return result;
    result = unpack(entry, plugin, ret_info);
    if (result == DRAY_NO_MEMORY) {
        result = dray_fail_memory(error);
    } else if (result != 0) {
        result = 0;
        (void)dray_fail(refused, DRAY_BUG, "%s: the answer of dray-probe cannot be read", entry);
    } else if (stat(entry, &status) != 0 || !is_same(&status, &key->status)) {
        dray_info_free(DRAY_TAKE(*ret_info));
        (void)dray_fail(refused, DRAY_CHANGED, "%s: was changed while it was looked at", entry);
    } else if (cache != NULL) {
        dray_cache_put(cache, entry, key, plugin);
    }
    json_decref(plugin);
    return result;
}

/* A kept answer that is no answer counts as none. */
static struct dray_plugin_info *from_cache(const char *entry, const char *cache,
                                           const struct dray_file_key *key)
{
    json_t *plugin = cache == NULL ? NULL : dray_cache_get(cache, entry, key);
    struct dray_plugin_info *info = NULL;

    if (plugin != NULL && unpack(entry, plugin, &info) != 0)
        info = NULL;
    json_decref(plugin);
    return info;
}

int dray_plugin_examine(const char *entry, const char *probe, const char *cache,
                        struct dray_plugin_info **ret_info, struct dray_error *error)
{
    dray_cleanup(dray_info_freep) struct dray_plugin_info *info = NULL;
    char digest[DRAY_SHA256_HEX];
    struct dray_file_key key = {.digest = digest};
    struct dray_error refused = {0};

    if (dray_plugin_trusted(entry, &refused) != 0 ||
        dray_plugin_digest(entry, digest, &key.status, &refused) != 0)
        return refusal(entry, &refused, ret_info, error);
    info = from_cache(entry, cache, &key);
    if (info == NULL) {
        int result = probe_file(entry, probe, cache, &key, &info, &refused, error);
        if (result != 0)
            return result;
        if (refused.class_ != 0)
            return refusal(entry, &refused, ret_info, error);
    }
    info->file = realpath(entry, NULL);
    info->digest = strdup(digest);
    if (info->file == NULL)
        return dray_fail_errno(error, errno, "%s: looking at the plugin", entry);
    if (info->digest == NULL)
        return dray_fail_memory(error);
    *ret_info = DRAY_TAKE(info);
    return 0;
}
