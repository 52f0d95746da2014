/* SPDX-License-Identifier: MIT */
/*
 * cache.c - answers of dray-probe, kept between runs: one JSON file for each plugin, named after
 * the digest of its path, that says in full which bytes it is about. One that is about other bytes,
 * or is damaged, is as good as none.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/digest.h"
#include "core/base/io.h"
#include "core/plugin/examine.h"

/* Changes whenever a descriptor that was accepted before might be refused now, or is told
 * differently. */
#define FORMAT 1

/* No answer is larger: DRAY_PROBE_MOST_BYTES and the key. */
#define MOST_BYTES (DRAY_PROBE_MOST_BYTES + 4096)

static char *cache_path(const char *cache, const char *entry)
{
    uint8_t digest[DRAY_SHA256_BYTES];
    char text[DRAY_SHA256_HEX];

    if (dray_sha256(entry, strlen(entry), digest) != 0)
        return NULL;
    return dray_format("%s/plugin-%s.json", cache, dray_hex(digest, 16, text));
}

static json_t *pack_time(const struct timespec *time)
{
    return json_pack("[I, I]", (json_int_t)time->tv_sec, (json_int_t)time->tv_nsec);
}

static json_t *pack_key(const struct dray_file_key *key)
{
    const struct stat *status = &key->status;

    return json_pack("{s:i, s:[i, i], s:I, s:I, s:I, s:o, s:o, s:s}", "format", FORMAT, "abi",
                     DRAY_ABI_MAJOR, DRAY_ABI_MINOR, "device", (json_int_t)status->st_dev, "inode",
                     (json_int_t)status->st_ino, "size", (json_int_t)status->st_size, "mtime",
                     pack_time(&status->st_mtim), "ctime", pack_time(&status->st_ctim), "sha256",
                     key->digest);
}

/* What somebody else may have written is not read: judged by the open file, which nobody can put
 * another in the place of. NULL also when there is none. */
static json_t *read_ours(const char *path)
{
    dray_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        status.st_uid != geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0 ||
        (uint64_t)status.st_size > MOST_BYTES)
        return NULL;
    size_t length = (size_t)status.st_size;
    dray_autofree char *text = malloc(length + 1);
    if (text == NULL || dray_read_full(fd, text, length) != (ssize_t)length)
        return NULL;
    return json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
}

json_t *dray_cache_get(const char *cache, const char *entry, const struct dray_file_key *key)
{
    dray_autofree char *path = cache_path(cache, entry);
    json_t *kept = path == NULL ? NULL : read_ours(path);
    json_t *wanted = pack_key(key);
    json_t *plugin = NULL;

    if (kept != NULL && wanted != NULL && json_equal(json_object_get(kept, "file"), wanted))
        plugin = json_incref(json_object_get(kept, "plugin"));
    json_decref(kept);
    json_decref(wanted);
    return plugin;
}

void dray_cache_put(const char *cache, const char *entry, const struct dray_file_key *key,
                    const json_t *plugin)
{
    dray_autofree char *path = cache_path(cache, entry);
    dray_autofree char *text = NULL;
    struct dray_error ignored;
    json_t *kept = json_pack("{s:o, s:o}", "file", pack_key(key), "plugin", json_deep_copy(plugin));

    if (kept != NULL)
        text = json_dumps(kept, JSON_INDENT(1));
    json_decref(kept);
    if (path == NULL || text == NULL || dray_make_directories(cache, 0700, &ignored) != 0)
        return;
    (void)!dray_write_file(path, text, strlen(text), 0600, &ignored);
}
