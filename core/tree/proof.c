/* SPDX-License-Identifier: MIT */
#include "core/tree/proof.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "core/base/digest.h"
#include "core/tree/internal.h"

/* Making and removing names takes both. */
#define NEEDED (ACL_WRITE | ACL_EXECUTE)

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

static uint16_t rights_of(const struct posix_acl_xattr_entry *entries, size_t count, uint16_t tag)
{
    for (size_t i = 0; i < count; i++)
        if (le16toh(entries[i].e_tag) == tag)
            return le16toh(entries[i].e_perm);
    return NEEDED;
}

/* As the kernel judges: an entry of the user's own decides alone, of groups' any one is enough, and
 * the mask takes off what it has not. */
static int acl_lets(const json_t *whom, uint32_t group, const struct posix_acl_xattr_entry *entries,
                    size_t count)
{
    json_int_t uid = json_integer_value(json_object_get(whom, "uid"));
    uint16_t mask = rights_of(entries, count, ACL_MASK);

    for (size_t i = 0; i < count; i++)
        if (le16toh(entries[i].e_tag) == ACL_USER && (json_int_t)le32toh(entries[i].e_id) == uid)
            return (le16toh(entries[i].e_perm) & mask & NEEDED) == NEEDED;
    for (size_t i = 0; i < count; i++) {
        uint16_t tag = le16toh(entries[i].e_tag);
        if ((tag == ACL_GROUP || tag == ACL_GROUP_OBJ) &&
            (le16toh(entries[i].e_perm) & mask & NEEDED) == NEEDED &&
            is_group(whom, tag == ACL_GROUP ? le32toh(entries[i].e_id) : group))
            return 1;
    }
    return 0;
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
           status.st_nlink == 1 &&
           (json_int_t)status.st_uid == json_integer_value(json_object_get(whom, "uid"));
}

/* ---- All of it ---- */

const char *dray_proof_of(const json_t *whom, int fd, const char *real)
{
    size_t count = 0;
    struct stat status;

    if (fstat(fd, &status) != 0)
        return NULL;
    if ((json_int_t)status.st_uid == json_integer_value(json_object_get(whom, "uid")))
        return "owner";
    dray_autofree struct posix_acl_xattr_entry *entries = NULL;
    int has_acl = read_acl(fd, &entries, &count);
    if (has_acl > 0 && acl_lets(whom, status.st_gid, entries, count))
        return "acl";
    /* With an ACL these bits are its mask, and no right of the group's. */
    if (has_acl == 0 && ((status.st_mode >> 3) & NEEDED) == NEEDED && is_group(whom, status.st_gid))
        return "group";
    return is_claimed(whom, fd, real) ? "claim" : NULL;
}

int dray_proof_check(const json_t *whom, int fd, const char *real, struct dray_error *error)
{
    const char *user = json_string_value(json_object_get(whom, "user"));

    if (!whom || dray_proof_of(whom, fd, real))
        return 0;
    (void)dray_fail(
        error, DRAY_DENIED,
        "nothing shows that %s may be delivered to for %s: they do not own it, neither "
        "its group nor its ACL lets them write in it, and no claim of theirs stands there",
        real, user);
    dray_hint(error, "how it can be claimed says:  dray target claim '%s' --for %s", real, user);
    return DRAY_DENIED;
}
