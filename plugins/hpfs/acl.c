/* SPDX-License-Identifier: MIT */
/*
 * acl.c - POSIX ACLs, as the kernel takes and gives them: extended attributes in the form of
 * linux/posix_acl_xattr.h, little-endian, entries sorted by tag and id. Directories get theirs as a
 * default too, so that what is made in them later has it as well.
 */
#include "rights.h"

#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define ACCESS  "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"
/* The header, the four entries that stand for the mode and the mask, and those asked for. */
#define ACL_ROOM                                                                                   \
    (sizeof(struct posix_acl_xattr_header) +                                                       \
     (HPFS_ACL_MAX + 4) * sizeof(struct posix_acl_xattr_entry))

/* ---- Options ---- */

static int parse_rights(const char *text, struct hpfs_acl_entry *entry)
{
    for (; *text != '\0'; text++) {
        if (*text == 'r')
            entry->rights |= ACL_READ;
        else if (*text == 'w')
            entry->rights |= ACL_WRITE;
        else if (*text == 'x')
            entry->rights |= ACL_EXECUTE;
        else if (*text == 'X')
            entry->x_where_useful = 1;
        else if (*text != '-')
            return 0;
    }
    return 1;
}

/* "user:NAME:rwX" or "group:NAME:rwX". */
static int parse(struct dray_ctx *ctx, const char *text, int64_t index,
                 struct hpfs_acl_entry *ret_entry)
{
    const struct dray_host *host = ctx->host;
    struct hpfs_acl_entry entry = {0};
    const char *first = strchr(text, ':');
    const char *last = strrchr(text, ':');
    char name[256];

    if (strncmp(text, "user:", 5) == 0)
        entry.tag = ACL_USER;
    else if (strncmp(text, "group:", 6) == 0)
        entry.tag = ACL_GROUP;
    if (entry.tag == 0 || last == first || last == first + 1 || last[1] == '\0' ||
        (size_t)(last - first) > sizeof(name))
        return host->fail_option(ctx, "acl", index, 0,
                                 "write user:NAME:rwX or group:NAME:r-X; what owner, group and "
                                 "others may is said by `permissions`");
    if (!parse_rights(last + 1, &entry))
        return host->fail_option(ctx, "acl", index, (uint64_t)(last + 1 - text),
                                 "rights are written with r, w, x and -, and X for x where it is "
                                 "of use: directories, and files that their owner may execute");
    memcpy(name, first + 1, (size_t)(last - first) - 1);
    name[last - first - 1] = '\0';
    int result =
        entry.tag == ACL_USER ? hpfs_find_user(name, &entry.id) : hpfs_find_group(name, &entry.id);
    if (result == DRAY_NO_MEMORY)
        return host->fail(ctx, result, "looking for who is named in the ACL: out of memory");
    if (result != DRAY_OK)
        return host->fail_option(ctx, "acl", index, (uint64_t)(first + 1 - text),
                                 "there is no %s of this name here; a number is taken too",
                                 entry.tag == ACL_USER ? "user" : "group");
    *ret_entry = entry;
    return DRAY_OK;
}

static int compare(const void *a, const void *b)
{
    const struct hpfs_acl_entry *left = a, *right = b;

    if (left->tag != right->tag)
        return left->tag < right->tag ? -1 : 1;
    return left->id < right->id ? -1 : left->id > right->id;
}

int hpfs_acl_prepare(struct hpfs *hpfs, struct dray_ctx *ctx)
{
    int result = DRAY_OK;

    if (hpfs->acl.count > HPFS_ACL_MAX)
        return ctx->host->fail_option(ctx, "acl", HPFS_ACL_MAX, 0, "an ACL has at most %d entries",
                                      HPFS_ACL_MAX);
    for (uint64_t i = 0; result == DRAY_OK && i < hpfs->acl.count; i++) {
        result = parse(ctx, hpfs->acl.items[i], (int64_t)i, &hpfs->acl_entries[i]);
        for (uint64_t k = 0; result == DRAY_OK && k < i; k++)
            if (compare(&hpfs->acl_entries[k], &hpfs->acl_entries[i]) == 0)
                result =
                    ctx->host->fail_option(ctx, "acl", (int64_t)i, 0, "the same %s is named twice",
                                           hpfs->acl_entries[i].tag == ACL_USER ? "user" : "group");
    }
    if (result == DRAY_OK && hpfs->acl.count > 0) {
        qsort(hpfs->acl_entries, hpfs->acl.count, sizeof(hpfs->acl_entries[0]), compare);
        hpfs->acl_count = hpfs->acl.count;
    }
    return result;
}

/* ---- Setting ---- */

struct encoded {
    size_t length;
    char bytes[ACL_ROOM];
};

static void add(struct encoded *encoded, unsigned tag, unsigned rights, uint32_t id)
{
    struct posix_acl_xattr_entry entry = {htole16((uint16_t)tag), htole16((uint16_t)rights),
                                          htole32(id)};

    memcpy(encoded->bytes + encoded->length, &entry, sizeof(entry));
    encoded->length += sizeof(entry);
}

static unsigned rights_of(const struct hpfs_acl_entry *entry, int directory, uint32_t mode)
{
    int useful = entry->x_where_useful && (directory || (mode & 0100) != 0);

    return entry->rights | (useful ? ACL_EXECUTE : 0u);
}

/* The mask lets through all that is asked for. */
static void encode(const struct hpfs *hpfs, int directory, uint32_t mode, struct encoded *encoded)
{
    struct posix_acl_xattr_header header = {htole32(POSIX_ACL_XATTR_VERSION)};
    unsigned owning = mode >> 3 & 7, mask = owning;
    int added = 0;

    memcpy(encoded->bytes, &header, sizeof(header));
    encoded->length = sizeof(header);
    add(encoded, ACL_USER_OBJ, mode >> 6 & 7, (uint32_t)ACL_UNDEFINED_ID);
    for (uint64_t i = 0; i < hpfs->acl_count; i++) {
        const struct hpfs_acl_entry *entry = &hpfs->acl_entries[i];
        unsigned rights = rights_of(entry, directory, mode);
        if (entry->tag == ACL_GROUP && !added++)
            add(encoded, ACL_GROUP_OBJ, owning, (uint32_t)ACL_UNDEFINED_ID);
        add(encoded, entry->tag, rights, entry->id);
        mask |= rights;
    }
    if (!added)
        add(encoded, ACL_GROUP_OBJ, owning, (uint32_t)ACL_UNDEFINED_ID);
    add(encoded, ACL_MASK, mask, (uint32_t)ACL_UNDEFINED_ID);
    add(encoded, ACL_OTHER, mode & 7, (uint32_t)ACL_UNDEFINED_ID);
}

uint32_t hpfs_acl_mode(const struct hpfs *hpfs, int directory, uint32_t mode)
{
    uint32_t mask = mode >> 3 & 7;

    for (uint64_t i = 0; i < hpfs->acl_count; i++)
        mask |= rights_of(&hpfs->acl_entries[i], directory, mode);
    return (mode & ~(uint32_t)070) | mask << 3;
}

static int set_one(struct dray_ctx *ctx, int fd, const char *attribute,
                   const struct encoded *encoded, const char *path)
{
    char kept[ACL_ROOM];

    if (fsetxattr(fd, attribute, encoded->bytes, encoded->length, 0) != 0)
        return ctx->host->fail_errno(ctx, errno, "setting the ACL of \"%.*s\" of the delivery",
                                     HPFS_SHOWN, path);
    ssize_t length = fgetxattr(fd, attribute, kept, sizeof(kept));
    if (length < 0)
        return ctx->host->fail_errno(ctx, errno, "reading the ACL of \"%.*s\" of the delivery",
                                     HPFS_SHOWN, path);
    if ((size_t)length != encoded->length || memcmp(kept, encoded->bytes, encoded->length) != 0)
        return ctx->host->fail(ctx, DRAY_UNSUPPORTED,
                               "\"%.*s\" of the delivery was given an ACL, but the file system "
                               "there keeps another",
                               HPFS_SHOWN, path);
    return DRAY_OK;
}

int hpfs_acl_set(const struct hpfs *hpfs, struct dray_ctx *ctx, int fd, int directory,
                 uint32_t mode, const char *path)
{
    struct encoded encoded;

    encode(hpfs, directory, mode, &encoded);
    int result = set_one(ctx, fd, ACCESS, &encoded, path);
    if (result == DRAY_OK && directory)
        result = set_one(ctx, fd, DEFAULT, &encoded, path);
    return result;
}

int hpfs_acl_check(const struct hpfs *hpfs, struct dray_ctx *ctx,
                   const struct dray_staging *staging)
{
    if (hpfs->acl_count == 0 || fgetxattr(staging->directory, ACCESS, NULL, 0) >= 0 ||
        errno == ENODATA)
        return DRAY_OK;
    int result = ctx->host->fail_errno(
        ctx, errno, "asking the target's file system for POSIX ACLs, which `acl` needs");
    ctx->host->hint(ctx, "leave out `acl`, or deliver to a file system that has them; "
                         "`permissions` and `group` may do instead");
    return result;
}
