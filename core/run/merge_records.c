/* SPDX-License-Identifier: MIT */
/* merge_records.c - is what lies at .dray/DATASET of a target the records of a delivery, which a
 * merge may take the place of, or something of somebody? */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/run/merge.h"

#define MARKER_CAP ((size_t)64 << 10)

int dray_merge_is_record(const char *name)
{
    static const char *const names[] = {"manifest-sha256.txt", "tree.jsonl", "receipt.json",
                                        "receipt.sig",         "README.txt", "delivered.json"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return 1;
    return 0;
}

static void free_json(json_t **json)
{
    json_decref(*json);
}

static int is_digest(const json_t *text)
{
    const char *digits = json_string_value(text);

    return digits && strspn(digits, "0123456789abcdef") == 64 && digits[64] == '\0';
}

static int has_marker(int directory, const char *dataset)
{
    dray_autofree char *text = malloc(MARKER_CAP);
    dray_autoclose int fd = openat(directory, DRAY_MERGE_MARKER,
                                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    ssize_t got = fd < 0 || !text ? -1 : dray_read_full(fd, text, MARKER_CAP);

    if (!text)
        return -1;
    if (got < 0 || got == (ssize_t)MARKER_CAP)
        return 0;
    dray_cleanup(free_json) json_t *marker =
        json_loadb(text, (size_t)got, JSON_REJECT_DUPLICATES, NULL);
    const char *named = json_string_value(json_object_get(marker, "dataset"));
    return json_integer_value(json_object_get(marker, "version")) == 1 && named &&
           strcmp(named, dataset) == 0 && is_digest(json_object_get(marker, "request_key")) &&
           is_digest(json_object_get(marker, "manifest_sha256"));
}

static int64_t time_of(const struct stat *status)
{
    return (int64_t)status->st_mtim.tv_sec * 1000000000 + status->st_mtim.tv_nsec;
}

int dray_merge_is_as_written(int directory, const char *name)
{
    struct stat marker, status;

    return fstatat(directory, DRAY_MERGE_MARKER, &marker, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(marker.st_mode) &&
           S_ISREG(status.st_mode) && time_of(&status) <= time_of(&marker);
}

int dray_merge_is_records(int directory, const char *dataset)
{
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy >= 0 ? fdopendir(copy) : NULL;
    int only = 1, reason = 0;

    if (!listing) {
        reason = errno;
        dray_close_descriptor(&copy);
        errno = reason;
        return -1;
    }
    while (only) {
        errno = 0;
        const struct dirent *one = readdir(listing);
        reason = one ? 0 : errno;
        if (!one)
            break;
        if (strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0)
            continue;
        only =
            dray_merge_is_record(one->d_name) && dray_merge_is_as_written(directory, one->d_name);
    }
    (void)closedir(listing);
    errno = reason;
    return reason != 0 ? -1 : only ? has_marker(directory, dataset) : 0;
}
