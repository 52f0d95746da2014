/* SPDX-License-Identifier: MIT */
/*
 * scratch.c - where scratch lies: in the state directory, or in one that the site configured, which
 * others may use as well. There each state directory has a directory of its own, whose name it
 * keeps: what lies in it is judged by the locks of that state.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/digest.h"
#include "core/base/io.h"
#include "core/engine/deliver.h"

#define DIGITS  16
#define EARLIER "scratch.d"

static int make_name(const char *file, struct dray_error *error)
{
    dray_autofree char *fresh = dray_format("%s.%ld", file, (long)getpid());
    uint64_t random = 0;

    if (!fresh)
        return dray_fail_memory(error);
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return dray_fail_errno(error, errno, "making a name for scratch");
    dray_autofree char *text = dray_format("%016llx\n", (unsigned long long)random);
    if (!text)
        return dray_fail_memory(error);
    int result = dray_write_file(fresh, text, strlen(text), 0600, error);
    /* Another process may have been first: then it is that name. */
    if (result == 0 && link(fresh, file) != 0 && errno != EEXIST)
        result = dray_fail_errno(error, errno, "making %s", file);
    (void)unlink(fresh);
    return result;
}

/* The name that this state directory has where others have theirs. */
static int read_name(const struct dray_engine *engine, char ret_name[static DIGITS + 1],
                     struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 64};
    dray_autofree char *file = dray_format("%s/scratch.id", engine->state);

    if (!file)
        return dray_fail_memory(error);
    int result = access(file, F_OK) == 0 ? 0 : dray_make_directories(engine->state, 0700, error);
    if (result == 0 && access(file, F_OK) != 0)
        result = make_name(file, error);
    if (result == 0)
        result = dray_read_file(file, &text, error);
    if (result != 0)
        return result;
    if (text.length < DIGITS || strspn(text.data, "0123456789abcdef") < DIGITS)
        return dray_fail(error, DRAY_INVALID, "%s is damaged: it names the directory in scratch",
                         file);
    memcpy(ret_name, text.data, DIGITS);
    ret_name[DIGITS] = '\0';
    return 0;
}

static int is_own(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
           (status.st_mode & 077) == 0;
}

/* Others may write where it lies, and must not have put something there. */
static int make_own(const char *path, struct dray_error *error)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        (void)dray_fail_errno(error, errno, "making the scratch directory %s", path);
        dray_hint(error, "`scratch.path` of the configuration names a directory that has to be "
                         "there, and that you may write");
        return error->class_;
    }
    if (!is_own(path)) {
        (void)dray_fail(error, DRAY_DENIED, "%s is not a directory that only you may enter", path);
        dray_hint(error, "nothing is put there: have it removed, or make it yours, mode 0700");
        return DRAY_DENIED;
    }
    return 0;
}

/* What lies in it is looked for also when scratch lies elsewhere some day: a link to each. */
static int remember(const struct dray_engine *engine, const char *path, struct dray_error *error)
{
    uint8_t digest[DRAY_SHA256_BYTES];
    char digits[DIGITS + 1];
    dray_autofree char *folder = dray_format("%s/" EARLIER, engine->state);

    if (!folder || dray_sha256(path, strlen(path), digest) != 0)
        return dray_fail_memory(error);
    dray_autofree char *name = dray_format("%s/%s", folder, dray_hex(digest, DIGITS / 2, digits));
    if (!name)
        return dray_fail_memory(error);
    if ((mkdir(folder, 0700) != 0 && errno != EEXIST) ||
        (symlink(path, name) != 0 && errno != EEXIST))
        return dray_fail_errno(error, errno, "making %s", name);
    return 0;
}

/* Where a link leads, if that is still a directory of ours. */
static int visit_earlier(int folder, const char *name, int (*visit)(void *arg, const char *parent),
                         void *arg)
{
    char path[PATH_MAX];
    ssize_t length = readlinkat(folder, name, path, sizeof(path) - 1);

    if (length <= 0)
        return 0;
    path[length] = '\0';
    return is_own(path) ? visit(arg, path) : 0;
}

int dray_scratch_each(const struct dray_engine *engine, int (*visit)(void *arg, const char *parent),
                      void *arg)
{
    dray_autofree char *first = dray_format("%s/scratch", engine->state);
    dray_autofree char *folder = dray_format("%s/" EARLIER, engine->state);
    DIR *listing = folder ? opendir(folder) : NULL;
    int result = first && folder ? visit(arg, first) : DRAY_NO_MEMORY;

    for (const struct dirent *one; listing && result == 0 && (one = readdir(listing));)
        result = visit_earlier(dirfd(listing), one->d_name, visit, arg);
    if (listing)
        (void)closedir(listing);
    return result;
}

char *dray_scratch_parent(const struct dray_engine *engine, struct dray_error *error)
{
    dray_autofree char *path = NULL;
    char name[DIGITS + 1];
    int result = 0;

    if (engine->scratch)
        result = read_name(engine, name, error);
    if (result != 0)
        return NULL;
    path = engine->scratch ? dray_format("%s/dray-%s", engine->scratch, name)
                           : dray_format("%s/scratch", engine->state);
    if (!path) {
        dray_fail_memory(error);
        return NULL;
    }
    result = engine->scratch ? make_own(path, error) : 0;
    if (result == 0 && engine->scratch)
        result = remember(engine, path, error);
    return result == 0 ? DRAY_TAKE(path) : NULL;
}
