/* SPDX-License-Identifier: MIT */
/* What shows that a directory may be written for a user. What only root can set up, ACLs of the
 * kernel's own and files of others, is tested by tests/scenario/test_target.py. */
#include "tests/unit/tree_files.h"

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/xattr.h>

#include "core/tree/proof.h"

#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
int __wrap_fstat(int fd, struct stat *status);
int __real_fstat(int fd, struct stat *status);
ssize_t __wrap_getxattr(const char *path, const char *name, void *value, size_t size);

static int no_memory;

void *__wrap_malloc(size_t size)
{
    return no_memory ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return no_memory ? NULL : __real_calloc(count, size);
}

/* ---- A directory that belongs to user 1 and group 2, and its ACL ------------------------------
 */

static mode_t directory_mode;
static struct {
    struct posix_acl_xattr_header header;
    struct posix_acl_xattr_entry entries[8];
} acl;
static size_t acl_bytes; /* 0: it has none, as acl_errno says */
static int acl_errno = ENODATA;

int __wrap_fstat(int fd, struct stat *status)
{
    int result = __real_fstat(fd, status);

    status->st_uid = 1;
    status->st_gid = 2;
    status->st_mode = S_IFDIR | directory_mode;
    return result;
}

ssize_t __wrap_getxattr(const char *path, const char *name, void *value, size_t size)
{
    assert_non_null(strstr(path, "/proc/self/fd/"));
    assert_string_equal(name, "system.posix_acl_access");
    if (acl_bytes == 0) {
        errno = acl_errno;
        return -1;
    }
    if (size > 0)
        memcpy(value, &acl, acl_bytes);
    return (ssize_t)acl_bytes;
}

static void set_acl(const struct posix_acl_xattr_entry *entries, size_t count)
{
    memcpy(acl.entries, entries, count * sizeof(*entries));
    acl_bytes = sizeof(acl.header) + count * sizeof(*entries);
}

static void check(const struct files *files, int uid, int group, const char *expected)
{
    json_t *whom = json_pack("{s:s, s:i, s:[i, i], s:s}", "user", "smith", "uid", uid, "groups", 99,
                             group, "key", KEY);
    const char *by = dray_proof_of(whom, files->fd, "/real");

    if (expected)
        assert_string_equal(by, expected);
    else
        assert_null(by);
    struct dray_error error = {0};
    assert_int_equal(dray_proof_check(whom, files->fd, "/real", &error),
                     expected ? 0 : DRAY_DENIED);
    if (!expected)
        assert_string_equal(
            error.hint, "whether it can be claimed says:  dray target claim '/real' --for smith");
    json_decref(whom);
}

static void test_owner_and_group_by_modes(void **state)
{
    acl_bytes = 0;
    directory_mode = 0700;
    check(*state, 1, 5, "owner");
    check(*state, 5, 2, NULL);
    directory_mode = 02770;
    check(*state, 5, 2, "group");
    check(*state, 5, 5, NULL);
    directory_mode = 0760; /* without x nothing can be made in it */
    check(*state, 5, 2, NULL);
    directory_mode = 0777; /* all may, which shows nothing */
    check(*state, 5, 5, NULL);
    directory_mode = 0757; /* the group may less than all others */
    check(*state, 5, 2, NULL);
    directory_mode = 0770;
    acl_errno = EOPNOTSUPP;
    check(*state, 5, 2, "group");
    acl_errno =
        ENOENT; /* no /proc: whether there is one is not known, and the bits may be its mask */
    check(*state, 5, 2, NULL);
    acl_errno = ENODATA;
    struct dray_error error = {0};
    assert_int_equal(dray_proof_check(NULL, -1, "/real", &error), 0); /* the kernel decides */
}

static void test_an_acl_is_judged_as_the_kernel_does(void **state)
{
    const struct posix_acl_xattr_entry named[] = {
        {ACL_USER_OBJ, 7, UINT32_MAX},  {ACL_USER, 7, 10},         {ACL_USER, 5, 11},
        {ACL_GROUP_OBJ, 5, UINT32_MAX}, {ACL_GROUP, 7, 20},        {ACL_GROUP, 6, 21},
        {ACL_MASK, 7, UINT32_MAX},      {ACL_OTHER, 7, UINT32_MAX}};
    struct posix_acl_xattr_entry masked[8], group[8];

    directory_mode = 0777;
    set_acl(named, 8);
    check(*state, 10, 5, "acl");
    check(*state, 11, 20, NULL); /* their own entry decides, whatever groups may */
    check(*state, 5, 20, "acl");
    check(*state, 5, 21, NULL);
    check(*state, 5, 2, NULL); /* the group's own entry has no w, and mode bits are the mask */
    check(*state, 5, 5, NULL);
    memcpy(masked, named, sizeof(named));
    masked[6].e_perm = 5;
    set_acl(masked, 8);
    check(*state, 10, 5, NULL);
    check(*state, 5, 20, NULL);
    check(*state, 1, 5, "owner");
    memcpy(group, named, sizeof(named));
    group[3].e_perm = 7;
    set_acl(group, 8);
    check(*state, 5, 2, "acl");
    acl_bytes = sizeof(acl.header); /* nothing in it */
    directory_mode = 0755;
    check(*state, 5, 2, NULL);
}

static void test_without_memory_nothing_is_shown(void **state)
{
    const struct posix_acl_xattr_entry entry = {ACL_USER, 7, 10};
    const struct files *files = *state;
    json_t *whom =
        json_pack("{s:s, s:i, s:[i], s:s}", "user", "smith", "uid", 10, "groups", 2, "key", KEY);

    set_acl(&entry, 1);
    directory_mode = 0775;
    no_memory = 1;
    const char *by = dray_proof_of(whom, files->fd, "/real");
    no_memory = 0;
    assert_null(by);
    assert_string_equal(dray_proof_of(whom, files->fd, "/real"), "acl");
    json_decref(whom);
}

static void test_the_name_of_a_claim_says_user_path_and_inode(void **state)
{
    const struct files *files = *state;
    json_t *whom = json_pack("{s:s}", "key", KEY), *other = json_pack("{s:s}", "key", "ff");
    char name[DRAY_CLAIM_BYTES], again[DRAY_CLAIM_BYTES], folder[] = "folder";

    assert_int_equal(dray_claim_name(whom, files->fd, "/real", name), 0);
    assert_int_equal(strlen(name), DRAY_CLAIM_BYTES - 1);
    assert_int_equal(strncmp(name, ".dray-claim-", 12), 0);
    assert_int_equal(dray_claim_name(whom, files->fd, "/real", again), 0);
    assert_string_equal(name, again);
    assert_int_equal(dray_claim_name(whom, files->fd, "/other", again), 0);
    assert_string_not_equal(name, again);
    assert_int_equal(dray_claim_name(other, files->fd, "/real", again), 0);
    assert_string_not_equal(name, again);
    assert_int_equal(mkdirat(files->fd, folder, 0755), 0);
    int fd = openat(files->fd, folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(dray_claim_name(whom, fd, "/real", again), 0);
    assert_string_not_equal(name, again);
    assert_int_equal(close(fd), 0);
    json_decref(whom);
    json_decref(other);
    whom = json_object();
    assert_int_equal(dray_claim_name(whom, files->fd, "/real", name), DRAY_NOT_FOUND);
    json_decref(whom);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, files_setup, files_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_owner_and_group_by_modes),
        TEST(test_an_acl_is_judged_as_the_kernel_does),
        TEST(test_without_memory_nothing_is_shown),
        TEST(test_the_name_of_a_claim_says_user_path_and_inode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
