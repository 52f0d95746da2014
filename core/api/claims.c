/* SPDX-License-Identifier: MIT */
/*
 * claims.c - for whom is delivered, where that is another user than the one who runs Dray, and the
 * claims that show that a directory is theirs to be delivered into (core/tree/proof.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/api/internal.h"
#include "core/base/digest.h"
#include "core/base/io.h"
#include "core/tree/destination.h"
#include "core/tree/proof.h"

#define KEY_BYTES 32

/* ---- The key ---- */

static int damaged(const char *path, struct dray_error *error)
{
    (void)dray_fail(error, DRAY_INTEGRITY,
                    "%s is not a key of %d bytes that only its owner may read", path, KEY_BYTES);
    dray_hint(error, "remove it, and directories have to be claimed anew");
    return error->class_;
}

/* DRAY_NOT_FOUND: there is none yet. */
static int read_key(const char *path, uint8_t key[static KEY_BYTES], struct dray_error *error)
{
    uint8_t more[KEY_BYTES + 1];
    struct stat status;
    dray_autoclose int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &status) != 0)
        return errno == ENOENT ? DRAY_NOT_FOUND : dray_fail_errno(error, errno, "opening %s", path);
    ssize_t got = dray_read_full(fd, more, sizeof(more));
    if (got < 0)
        return dray_fail_errno(error, errno, "reading %s", path);
    if (got != KEY_BYTES || !S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
        (status.st_mode & 077) != 0)
        return damaged(path, error);
    memcpy(key, more, KEY_BYTES);
    return 0;
}

/* Written whole under another name; who is first to give it its own name is right. */
static int make_key(const char *path, struct dray_error *error)
{
    dray_autofree char *fresh = dray_format("%s.%ld", path, (long)getpid());
    uint8_t key[KEY_BYTES];

    if (!fresh)
        return dray_fail_memory(error);
    if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
        return dray_fail_errno(error, errno, "asking for random bytes");
    int result = dray_write_file(fresh, key, sizeof(key), 0600, error);
    if (result != 0)
        return result;
    if (link(fresh, path) != 0 && errno != EEXIST)
        result = dray_fail_errno(error, errno, "making %s", path);
    if (unlink(fresh) != 0 && result == 0)
        result = dray_fail_errno(error, errno, "removing %s", fresh);
    return result;
}

/* What a user's claims are made from: it lets a runner judge those of this user, and no others. */
static int set_key(json_t *whom, const uint8_t key[static KEY_BYTES], struct dray_error *error)
{
    dray_autofree char *text =
        dray_format("claim %lld", (long long)json_integer_value(json_object_get(whom, "uid")));
    uint8_t bytes[DRAY_SHA256_BYTES];
    char hex[DRAY_SHA256_HEX];

    if (!text)
        return dray_fail_memory(error);
    if (dray_hmac_sha256(key, KEY_BYTES, text, strlen(text), bytes) != 0)
        return dray_fail(error, DRAY_BUG, "an HMAC cannot be computed");
    return json_object_set_new(whom, "key", json_string(dray_hex(bytes, sizeof(bytes), hex))) == 0
               ? 0
               : dray_fail_memory(error);
}

static int add_key(const struct dray_api *api, int make, struct dray_error *error)
{
    dray_autofree char *path = dray_format("%s/claim.key", api->state);
    uint8_t key[KEY_BYTES];

    if (!path)
        return dray_fail_memory(error);
    int result = read_key(path, key, error);
    if (result == DRAY_NOT_FOUND && !make)
        return 0;
    if (result == DRAY_NOT_FOUND) {
        result = dray_make_directories(api->state, 0700, error);
        if (result == 0)
            result = make_key(path, error);
        if (result == 0)
            result = read_key(path, key, error);
    }
    return result != 0 ? result : set_key(api->whom, key, error);
}

/* ---- For whom ---- */

static json_t *groups_of(const struct passwd *account)
{
    int count = 64;
    dray_autofree gid_t *groups = NULL;
    json_t *list = json_array();

    for (;;) {
        gid_t *grown = reallocarray(groups, (size_t)count, sizeof(*groups));
        if (!grown)
            break;
        groups = grown;
        int room = count;
        if (getgrouplist(account->pw_name, account->pw_gid, groups, &count) >= 0) {
            for (int i = 0; i < count; i++)
                if (json_array_append_new(list, json_integer((json_int_t)groups[i])) != 0)
                    break;
            if (json_array_size(list) == (size_t)count)
                return list;
            break;
        }
        if (count <= room)
            count = 2 * room;
    }
    json_decref(list);
    return NULL;
}

/* A directory service that does not answer knows neither that there is none. */
static int fail_unknown(const char *user, int reason, struct dray_error *error)
{
    if (reason == 0 || reason == ENOENT || reason == ESRCH)
        return dray_fail(error, DRAY_INVALID, "there is no user %s here", user);
    (void)dray_fail(error, DRAY_TEMPORARY, "whether there is a user %s cannot be found out: %s",
                    user, strerror(reason));
    dray_hint(error, "try again once this works:  getent passwd %s", user);
    return error->class_;
}

int dray_api_for(struct dray_api *api, const char *user, struct dray_error *error)
{
    errno = 0;
    const struct passwd *account = getpwnam(user);

    if (!account)
        return fail_unknown(user, errno, error);
    if (account->pw_uid == geteuid())
        return 0;
    if (geteuid() != 0) {
        (void)dray_fail(error, DRAY_DENIED, "only root delivers for another user, not %s for %s",
                        api->actor, user);
        dray_hint(error, "let %s run this, or root", user);
        return DRAY_DENIED;
    }
    char *name = strdup(account->pw_name);
    if (!name)
        return dray_fail_memory(error);
    free(api->user);
    api->user = name;
    api->whom = json_pack("{s:s, s:I, s:o}", "user", name, "uid", (json_int_t)account->pw_uid,
                          "groups", groups_of(account));
    return api->whom ? add_key(api, 0, error) : dray_fail_memory(error);
}

/* ---- dray target claim ---- */

static int answer(const struct dray_api *api, const char *real, int fd, json_t **ret_answer,
                  struct dray_error *error)
{
    const char *by = dray_proof_of(api->whom, fd, real);
    char name[DRAY_CLAIM_BYTES];

    if (dray_claim_name(api->whom, fd, real, name) != 0)
        return dray_fail(error, DRAY_BUG, "the claim of %s has no name", real);
    *ret_answer = json_pack("{s:s, s:s, s:s?, s:s?}", "directory", real, "user", api->user, "by",
                            by, "file", by || dray_proof_claimable(api->whom, fd) ? name : NULL);
    return *ret_answer ? 0 : dray_fail_memory(error);
}

int dray_api_claim(struct dray_api *api, const char *directory,
                   struct dray_diagnostics *diagnostics, json_t **ret_answer,
                   struct dray_error *error)
{
    struct dray_plan_request request;
    dray_autofree char *real = NULL;
    dray_autoclose int fd = -1;

    if (!api->whom) {
        (void)dray_fail(error, DRAY_INVALID,
                        "who delivers as %s needs no claim: the kernel decides where", api->user);
        dray_hint(error, "a claim is for who delivers for another user:  --for USER");
        return DRAY_INVALID;
    }
    dray_autofree char *path = dray_path_absolute(api->here, directory);
    if (!path)
        return dray_fail_memory(error);
    /* The roots stand in the configuration. */
    int result = dray_api_plan_request(api, &request, diagnostics, error);
    if (result == 0)
        result = dray_destination_find(api->engine.destinations, path, &real, &fd, error);
    if (result == 0)
        result = add_key(api, 1, error);
    return result == 0 ? answer(api, real, fd, ret_answer, error) : result;
}
