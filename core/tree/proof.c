/* SPDX-License-Identifier: MIT */
#include "core/tree/proof.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "core/base/digest.h"
#include "core/base/io.h"
#include "core/tree/internal.h"

/* Making and removing names takes both. */
#define NEEDED (ACL_WRITE | ACL_EXECUTE)

static int is_user(const json_t *whom, uid_t uid)
{
    return (json_int_t)uid == json_integer_value(json_object_get(whom, "uid"));
}

static int is_group(const json_t *whom, uint32_t group)
{
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(whom, "groups"), i,
                       one) if (json_integer_value(one) == (json_int_t)group) return 1;
    return 0;
}

/* ---- ACLs ---- */

/* The entries of the directory's ACL, which the caller frees. 1; 0: it has none, and its modes say
 * all; -1: it cannot be read. */
static int read_acl(int fd, struct posix_acl_xattr_entry **ret_entries, size_t *ret_count)
{
    const size_t head = sizeof(struct posix_acl_xattr_header);
    char path[64];

    /* A descriptor that is O_PATH allows no look at it, its name does. */
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t size = getxattr(path, "system.posix_acl_access", NULL, 0);
    if (size < 0)
        return errno == ENODATA || errno == EOPNOTSUPP ? 0 : -1;
    dray_autofree char *bytes = malloc((size_t)size + 1);
    if (!bytes || (size_t)size < head ||
        getxattr(path, "system.posix_acl_access", bytes, (size_t)size) != size)
        return -1;
    *ret_count = ((size_t)size - head) / sizeof(**ret_entries);
    *ret_entries = calloc(*ret_count + 1, sizeof(**ret_entries));
    if (!*ret_entries)
        return -1;
    memcpy(*ret_entries, bytes + head, *ret_count * sizeof(**ret_entries));
    return 1;
}

static uint16_t rights_of(const struct posix_acl_xattr_entry *entries, size_t count, uint16_t tag,
                          uint16_t otherwise)
{
    for (size_t i = 0; i < count; i++)
        if (le16toh(entries[i].e_tag) == tag)
            return le16toh(entries[i].e_perm);
    return otherwise;
}

/* As the kernel judges: an entry of the user's own decides alone, of groups' any one is enough, and
 * the mask takes off what it has not. Who has none of these is one of all others. */
static const char *acl_lets(const json_t *whom, uint32_t group, uint16_t needed,
                            const struct posix_acl_xattr_entry *entries, size_t count)
{
    json_int_t uid = json_integer_value(json_object_get(whom, "uid"));
    uint16_t mask = rights_of(entries, count, ACL_MASK, NEEDED);
    int is_other = 1;

    for (size_t i = 0; i < count; i++)
        if (le16toh(entries[i].e_tag) == ACL_USER && (json_int_t)le32toh(entries[i].e_id) == uid)
            return (le16toh(entries[i].e_perm) & mask & needed) == needed ? "acl" : NULL;
    for (size_t i = 0; i < count; i++) {
        uint16_t tag = le16toh(entries[i].e_tag);
        if ((tag != ACL_GROUP && tag != ACL_GROUP_OBJ) ||
            !is_group(whom, tag == ACL_GROUP ? le32toh(entries[i].e_id) : group))
            continue;
        if ((le16toh(entries[i].e_perm) & mask & needed) == needed)
            return "acl";
        is_other = 0;
    }
    return is_other && (rights_of(entries, count, ACL_OTHER, 0) & needed) == needed ? "all" : NULL;
}

/* ---- A right to one directory ---- */

/* What gives it: "owner", who can give it to themselves, "group", "acl", or "all", who have it;
 * NULL: they have it not, or it is not known. */
static const char *right_to(const json_t *whom, int fd, uint16_t needed)
{
    size_t count = 0;
    struct stat status;

    if (fstat(fd, &status) != 0)
        return NULL;
    if (is_user(whom, status.st_uid))
        return "owner";
    dray_autofree struct posix_acl_xattr_entry *entries = NULL;
    int has_acl = read_acl(fd, &entries, &count);
    if (has_acl < 0)
        return NULL;
    if (has_acl > 0)
        return acl_lets(whom, status.st_gid, needed, entries, count);
    /* With an ACL these bits are its mask, and no right of the group's. */
    if (is_group(whom, status.st_gid))
        return ((status.st_mode >> 3) & needed) == needed ? "group" : NULL;
    return (status.st_mode & needed) == needed ? "all" : NULL;
}

static int is_same(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

/* May they search all that is above it? By `..`, so it is asked of what it lies in now, whatever
 * its path was. *ret_up: how far above the one is that they may not search. */
static int way_lets(const json_t *whom, int fd, int *ret_up)
{
    struct stat root, status, above_status;
    int at = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC), lets = -1;

    for (*ret_up = 1; lets < 0; (*ret_up)++) {
        dray_autoclose int below = at;
        at = below < 0 ? -1 : openat(below, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (at < 0 || fstat(below, &status) != 0 || fstat(at, &above_status) != 0 ||
            stat("/", &root) != 0 || *ret_up > PATH_MAX)
            lets = 0;
        else if (is_same(&status, &above_status) && is_same(&status, &root))
            lets = 1;
        else if (!right_to(whom, at, ACL_EXECUTE))
            lets = 0;
    }
    (*ret_up)--;
    dray_close_descriptor(&at);
    return lets;
}

/* ---- Claims ---- */

int dray_claim_name(const json_t *whom, int fd, const char *real,
                    char ret_name[static DRAY_CLAIM_BYTES])
{
    const char *key = json_string_value(json_object_get(whom, "key"));
    uint8_t bytes[DRAY_SHA256_BYTES];
    char hex[DRAY_SHA256_HEX];
    struct stat status;

    if (!key || fstat(fd, &status) != 0)
        return DRAY_NOT_FOUND;
    dray_autofree char *text = dray_format("%" PRIu64 " %s", (uint64_t)status.st_ino, real);
    if (!text)
        return DRAY_NO_MEMORY;
    if (dray_hmac_sha256(key, strlen(key), text, strlen(text), bytes) != 0)
        return DRAY_BUG;
    (void)dray_hex(bytes, DRAY_SHA256_BYTES, hex);
    (void)snprintf(ret_name, DRAY_CLAIM_BYTES, ".dray-claim-%.32s", hex);
    return 0;
}

/* Only the user can have made it: it is theirs, and has no other name that it could have come by.
 */
static int is_claimed(const json_t *whom, int fd, const char *real)
{
    char name[DRAY_CLAIM_BYTES];
    struct stat status;

    return dray_claim_name(whom, fd, real, name) == 0 &&
           fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode) &&
           status.st_nlink == 1 && is_user(whom, status.st_uid);
}

/* ---- All of it ---- */

/* A claim counts only while they could make it there: who lost the right has lost the claim. */
static const char *write_proof(const json_t *whom, int fd, const char *real)
{
    const char *by = right_to(whom, fd, NEEDED);

    if (!by || strcmp(by, "all") != 0)
        return by;
    return real && is_claimed(whom, fd, real) ? "claim" : NULL;
}

const char *dray_proof_of(const json_t *whom, int fd, const char *real)
{
    int up = 0;
    const char *by = write_proof(whom, fd, real);

    return by && way_lets(whom, fd, &up) ? by : NULL;
}

int dray_proof_claimable(const json_t *whom, int fd)
{
    int up = 0;
    const char *by = right_to(whom, fd, NEEDED);

    return by && strcmp(by, "all") == 0 && way_lets(whom, fd, &up);
}

/* In a directory with the sticky bit, only who owns it or the other can take that from it. */
static int lets_go(const json_t *whom, int fd, const struct stat *other)
{
    struct stat status;

    return fstat(fd, &status) == 0 &&
           (!(status.st_mode & S_ISVTX) || is_user(whom, status.st_uid) ||
            is_user(whom, other->st_uid));
}

int dray_proof_lets_go(const json_t *whom, int fd, const char *name)
{
    struct stat status;

    return !whom ||
           (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && lets_go(whom, fd, &status));
}

/* How much of the path is what lies `up` above it; 1 of "/". */
static int length_above(const char *real, int up)
{
    size_t length = strlen(real);

    while (up-- > 0)
        while (length > 1 && real[--length] != '/')
            ;
    return (int)length;
}

static int fail_unreachable(const char *user, const char *real, int up, struct dray_error *error)
{
    int length = length_above(real, up);

    (void)dray_fail(error, DRAY_DENIED,
                    "%s cannot come to %s, so nothing is delivered there for them: nothing lets "
                    "them search %.*s",
                    user, real, length, real);
    dray_hint(error, "its owner can let them:  setfacl -m 'u:%s:x' '%.*s'", user, length, real);
    return DRAY_DENIED;
}

int dray_proof_check(const json_t *whom, int fd, const char *real, struct dray_error *error)
{
    const char *user = json_string_value(json_object_get(whom, "user"));
    int up = 0;

    if (!whom)
        return 0;
    if (write_proof(whom, fd, real))
        return way_lets(whom, fd, &up) ? 0 : fail_unreachable(user, real, up, error);
    (void)dray_fail(
        error, DRAY_DENIED,
        "nothing shows that %s may be delivered to for %s: they do not own it, neither "
        "its group nor its ACL lets them write in it, and no claim of theirs counts there",
        real, user);
    dray_hint(error, "whether it can be claimed says:  dray target claim '%s' --for %s", real,
              user);
    return DRAY_DENIED;
}

int dray_proof_check_over(const json_t *whom, int parent, int old, const char *whole,
                          struct dray_error *error)
{
    const char *user = json_string_value(json_object_get(whom, "user"));
    struct stat status;

    if (!whom || (fstat(old, &status) == 0 && lets_go(whom, parent, &status)))
        return 0;
    (void)dray_fail(error, DRAY_DENIED,
                    "%s may not replace %s: its directory has the sticky bit, and neither of the "
                    "two belongs to them",
                    user, whole);
    dray_hint(error,
              "deliver by another name; what is delivered with  owner: %s  is theirs to "
              "replace",
              user);
    return DRAY_DENIED;
}
