/* SPDX-License-Identifier: MIT */
/* probe.c - what is at the target: nothing, a whole delivery of ours, or something else. Bytes are
 * not read: `dray verify` does that. */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>

#define MARKER_CAP ((size_t)64 << 10)

/* ---- Reading records ---- */

int probe_open_file(int directory, const char *name)
{
    struct stat status;
    HPFS_FD fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &status) != 0)
        return -1;
    if (!S_ISREG(status.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    int kept = fd;
    fd = -1;
    return kept;
}

ssize_t probe_read(int fd, char *buffer, size_t size)
{
    ssize_t got;

    do
        got = read(fd, buffer, size);
    while (got < 0 && errno == EINTR);
    return got;
}

/* The marker of the records' directory, or NULL: there is none, or none that can be read. */
static json_t *read_marker(struct probe *probe, int records)
{
    HPFS_FD fd = probe_open_file(records, "delivered.json");
    PROBE_TEXT text = malloc(MARKER_CAP);
    size_t length = 0;

    if (text == NULL)
        probe_no_memory(probe);
    if (text == NULL || fd < 0)
        return NULL;
    for (ssize_t got; length < MARKER_CAP; length += (size_t)got) {
        got = probe_read(fd, text + length, MARKER_CAP - length);
        if (got < 0)
            return NULL;
        if (got == 0)
            return json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    }
    return NULL; /* no marker is that long */
}

const char *probe_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

static int is_digest(const char *text)
{
    return strspn(text, "0123456789abcdef") == 64 && text[64] == '\0';
}

/* Does it say all that a marker says, about this dataset? */
static int is_marker(const json_t *marker, const char *dataset)
{
    return json_integer_value(json_object_get(marker, "version")) == 1 &&
           is_digest(probe_text(marker, "request_key")) &&
           is_digest(probe_text(marker, "manifest_sha256")) &&
           probe_text(marker, "job")[0] != '\0' && probe_text(marker, "time")[0] != '\0' &&
           strcmp(probe_text(marker, "dataset"), dataset) == 0;
}

/* ---- Telling ---- */

static void tell_delivered(struct probe *probe, const json_t *marker,
                           struct dray_presence *presence)
{
    const struct dray_host *host = probe->ctx->host;

    presence->state = DRAY_DELIVERED;
    presence->entries = probe->listed;
    presence->bytes = probe->bytes;
    presence->request_key = host->format("%s", probe_text(marker, "request_key"));
    presence->job = host->format("%s", probe_text(marker, "job"));
    presence->time = host->format("%s", probe_text(marker, "time"));
    probe->manifest = host->format("%s", probe_text(marker, "manifest_sha256"));
    if (presence->request_key == NULL || presence->job == NULL || presence->time == NULL ||
        probe->manifest == NULL)
        probe_no_memory(probe);
}

/* A directory without a marker of this dataset. */
static void tell_directory(struct probe *probe, struct dray_presence *presence)
{
    const struct dray_host *host = probe->ctx->host;
    int64_t count = hpfs_count_names(probe->root, ".");

    if (count < 0)
        presence->what = host->format("a directory that cannot be listed: %s", strerror(errno));
    else if (count == 0)
        presence->what = host->format("an empty directory");
    else
        presence->what = host->format("a directory with %" PRId64 " %s", count,
                                      count == 1 ? "entry" : "entries");
    if (presence->what == NULL)
        probe_no_memory(probe);
}

/* Was any dataset added to what is there? Then more may be there than one of them knows. Records
 * that cannot be listed may be of one. */
static int is_merged(struct probe *probe, int ours)
{
    int fd = openat(ours, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), merged = 0;
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *one = NULL;

    if (listing == NULL) {
        PROBE_NOT_WHOLE(probe, "its records cannot be listed: %s", strerror(errno));
        hpfs_close(&fd);
        return 0;
    }
    for (errno = 0; !merged && (one = readdir(listing)) != NULL; errno = 0) {
        HPFS_FD records =
            openat(ours, one->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        PROBE_JSON marker = records < 0 ? NULL : read_marker(probe, records);
        merged = is_marker(marker, one->d_name) && json_is_true(json_object_get(marker, "merged"));
    }
    if (one == NULL && errno != 0)
        PROBE_NOT_WHOLE(probe, "its records cannot be listed: %s", strerror(errno));
    (void)closedir(listing);
    return merged;
}

void probe_look_inside(struct probe *probe, struct dray_presence *presence)
{
    const char *dataset = probe->ctx->host->job(probe->ctx)->dataset;
    HPFS_FD ours = openat(probe->root, ".dray", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    HPFS_FD records =
        ours < 0 ? -1 : openat(ours, dataset, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    PROBE_JSON marker = records < 0 ? NULL : read_marker(probe, records);

    if (!is_marker(marker, dataset)) {
        tell_directory(probe, presence);
        return;
    }
    probe->merged = is_merged(probe, ours);
    probe_compare(probe, records, probe_text(marker, "manifest_sha256"));
    if (probe->failed != 0)
        return;
    if (probe->why == NULL) {
        tell_delivered(probe, marker, presence);
        return;
    }
    presence->what =
        probe->ctx->host->format("a delivery of %s that is not whole: %s", dataset, probe->why);
    if (presence->what == NULL)
        probe_no_memory(probe);
}

static int is_record(const char *name)
{
    static const char *const names[] = {"manifest-sha256.txt", "tree.jsonl", "receipt.json",
                                        "receipt.sig",         "README.txt", "delivered.json"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return 1;
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int64_t time_of(const struct stat *status)
{
    return (int64_t)status->st_mtim.tv_sec * 1000000000 + status->st_mtim.tv_nsec;
}

/* The marker is written last: what has a later time is somebody's edit. */
static int is_as_written(int records, const char *name)
{
    struct stat marker, status;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 1;
    return is_record(name) &&
           fstatat(records, "delivered.json", &marker, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstatat(records, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode) &&
           time_of(&status) <= time_of(&marker);
}

int probe_only_records(struct dray_ctx *ctx, int root, const char *path, const char *dataset,
                       char **ret_time)
{
    struct probe probe = {.ctx = ctx, .root = root};
    HPFS_FD records = openat(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int copy = records < 0 ? -1 : openat(records, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy < 0 ? NULL : fdopendir(copy);
    int only = 1, reason = 0;

    if (listing == NULL) {
        reason = errno;
        hpfs_close(&copy);
        errno = reason;
        return reason == ENOTDIR || reason == ELOOP ? 0 : -1;
    }
    for (const struct dirent *one; only && reason == 0;) {
        errno = 0;
        one = readdir(listing);
        reason = one == NULL ? errno : 0;
        if (one == NULL)
            break;
        only = is_as_written(records, one->d_name);
    }
    (void)closedir(listing);
    PROBE_JSON marker = reason == 0 && only ? read_marker(&probe, records) : NULL;
    if (reason == 0 && is_marker(marker, dataset))
        *ret_time = ctx->host->format("%s", probe_text(marker, "time"));
    errno = reason;
    return reason != 0 ? -1 : is_marker(marker, dataset);
}

static const char *type_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "a file";
    case S_IFLNK:
        return "a symbolic link";
    default:
        return "neither a directory nor a file";
    }
}

/* Is the delivery added to the directory? As asked for, or into one that is empty and ours to write
 * where nothing can be made beside it. */
static int goes_into(const struct hpfs *hpfs, const struct hpfs_place *place, int root)
{
    if (hpfs->existing == HPFS_MERGE)
        return 1;
    return hpfs->existing == HPFS_FAIL && hpfs_count_names(root, ".") == 0 &&
           faccessat(root, ".", W_OK | X_OK, AT_EACCESS) == 0 &&
           faccessat(place->fd, ".", W_OK, AT_EACCESS) != 0;
}

static int look(const struct hpfs *hpfs, struct dray_ctx *ctx, const struct hpfs_place *place,
                struct dray_presence *presence)
{
    const struct dray_host *host = ctx->host;
    struct probe probe = {.ctx = ctx, .strict = hpfs->existing == HPFS_REPLACE};
    struct stat status;

    if (fstatat(place->fd, place->name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT)
            return host->fail_errno(ctx, errno, "looking for %s", place->whole);
        presence->state = DRAY_ABSENT;
        return DRAY_OK;
    }
    presence->state = DRAY_OCCUPIED;
    HPFS_FD root = openat(place->fd, place->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0) {
        presence->what =
            S_ISDIR(status.st_mode)
                ? host->format("a directory that cannot be opened: %s", strerror(errno))
                : host->format("%s", type_name(status.st_mode));
        return presence->what != NULL
                   ? DRAY_OK
                   : host->fail(ctx, DRAY_NO_MEMORY, "looking at %s: out of memory", place->whole);
    }
    if (fstat(root, &status) != 0)
        return host->fail_errno(ctx, errno, "looking at %s", place->whole);
    probe.root = root;
    probe_look_inside(&probe, presence);
    if (probe.failed == 0 && goes_into(hpfs, place, root)) {
        presence->goes_over = DRAY_GOES_INTO;
        probe.failed = hpfs_check_mode(ctx, place->whole, &status);
    } else {
        presence->goes_over = probe.strict && presence->state == DRAY_DELIVERED;
    }
    host->free(probe.why);
    host->free(probe.manifest);
    return probe.failed;
}

/* What somebody without rights of their own may still write there. A quota may be less. */
static uint64_t free_bytes(int directory)
{
    struct statvfs status;
    uint64_t bytes;

    /* Some file systems that keep no blocks say nothing by saying 0. */
    if (fstatvfs(directory, &status) != 0 || status.f_blocks == 0 ||
        __builtin_mul_overflow((uint64_t)status.f_bavail, (uint64_t)status.f_frsize, &bytes))
        return DRAY_NOT_KNOWN;
    return bytes;
}

int hpfs_probe(void *self, struct dray_ctx *ctx, struct dray_presence *ret_presence)
{
    struct hpfs_place place = {.fd = -1};
    int result = hpfs_place_find(self, ctx, &place);

    if (result == DRAY_OK)
        result = look(self, ctx, &place, ret_presence);
    if (result == DRAY_OK) {
        HPFS_FD into = openat(place.fd, place.name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        ret_presence->free_bytes =
            free_bytes(ret_presence->goes_over == DRAY_GOES_INTO && into >= 0 ? into : place.fd);
        ret_presence->note = hpfs_recipient_note(self, ctx, &place);
    }
    hpfs_place_free(ctx->host, &place);
    return result;
}
