/* SPDX-License-Identifier: MIT */
/*
 * policy_signature.c - signed policy sets. Beside the policies of a directory lie the list of their
 * digests, as sha256sum writes it, and the list's Ed25519 signature, so that both can be made and
 * checked without Dray. What is compared with the list are the bytes that the planner uses: no file
 * is read twice.
 */
#include "core/plan/draft.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/io.h"
#include "core/tree/manifest.h"

#define LIST      "policies.sha256"
#define SIGNATURE "policies.sha256.sig"
/* Some ten thousand policies. */
#define LARGEST_LIST ((size_t)1 << 20)

struct signed_file {
    const char *name;
    char digest[DRAY_SHA256_HEX];
    int seen;
};

struct dray_policy_list {
    struct dray_draft *draft;
    const char *directory;
    struct signed_file *files;
    size_t count, capacity;
};

/* ---- Reading a list ---- */

/* Whoever changed it on purpose signs it; everybody else has to ask. */
static int deny(struct dray_draft *draft, const char *directory)
{
    dray_hint(draft->error,
              "if that is meant, sign it: dray policy sign '%s' --key PRIVATE-KEY\nelse ask whose "
              "policies these are: nothing is delivered under a set that is not as it was signed",
              directory);
    return DRAY_DENIED;
}

/* One of the two files. A missing one has a message of its own. */
static int read_part(struct dray_draft *draft, const char *directory, const char *name,
                     struct dray_buffer *buffer)
{
    const char *path = dray_draft_format(draft, "%s/%s", directory, name);
    struct stat status;

    if (!path)
        return DRAY_NO_MEMORY;
    if (stat(path, &status) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        (void)dray_fail(draft->error, DRAY_DENIED,
                        "the policies in %s are not signed: there is no %s, and the configuration "
                        "names a key",
                        directory, name);
        return deny(draft, directory);
    }
    /* A pipe would hang the reader. */
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return dray_fail(draft->error, DRAY_DENIED, "%s is not a regular file", path);
    int result = dray_read_file(path, buffer, draft->error);
    if (result != 0 && result != DRAY_NO_MEMORY)
        result = draft->error->class_ = DRAY_DENIED;
    return result;
}

static struct signed_file *find(const struct dray_policy_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->files[i].name, name) == 0)
            return &list->files[i];
    return NULL;
}

/* One line of the list. */
static int add(void *arg, const uint8_t *digest, size_t digest_bytes, const char *path,
               size_t path_length, struct dray_error *error)
{
    struct dray_policy_list *list = arg;

    if (digest_bytes != DRAY_SHA256_BYTES)
        return dray_fail(error, DRAY_DENIED, "%s has no SHA-256 in %s/" LIST, path,
                         list->directory);
    if (path[0] == '.' || strchr(path, '/') || !dray_policy_is_yaml(path))
        return dray_fail(error, DRAY_DENIED, "%s/" LIST " lists %s, which is no policy's name",
                         list->directory, path);
    if (find(list, path))
        return dray_fail(error, DRAY_DENIED, "%s/" LIST " lists %s twice", list->directory, path);
    if (DRAY_GROW(list->files, list->count, list->capacity))
        return dray_fail_memory(error);
    struct signed_file *file = &list->files[list->count];
    file->name = dray_draft_copy(list->draft, path, path_length);
    if (!file->name)
        return DRAY_NO_MEMORY;
    file->seen = 0;
    (void)dray_hex(digest, DRAY_SHA256_BYTES, file->digest);
    list->count++;
    return 0;
}

static int verify(struct dray_draft *draft, const char *directory, const struct dray_key *key,
                  const struct dray_buffer *text, const struct dray_buffer *signature)
{
    int result = dray_signature_check(key, text->data ? text->data : "", text->length,
                                      signature->data, signature->length, draft->error);

    if (result != 0)
        return result < 0 ? result : 0;
    if (signature->length != DRAY_SIGNATURE_BYTES)
        (void)dray_fail(draft->error, DRAY_DENIED,
                        "%s/" SIGNATURE " is no Ed25519 signature: it has %zu bytes, not %d",
                        directory, signature->length, DRAY_SIGNATURE_BYTES);
    else
        (void)dray_fail(draft->error, DRAY_DENIED,
                        "the signature of %s/" LIST " is not that of key %s: the list was changed, "
                        "or another key signed it",
                        directory, dray_key_id(key));
    return deny(draft, directory);
}

/* The lines of a list whose signature is good: who signed it may have erred all the same. */
static int parse(struct dray_draft *draft, struct dray_policy_list *list,
                 const struct dray_buffer *text)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer name = {.cap = 8192};

    dray_buffer_format(&name, "%s/" LIST, list->directory);
    if (name.failed)
        return dray_fail_memory(draft->error);
    int result = dray_manifest_read(name.data, text->data ? text->data : "", text->length, add,
                                    list, draft->error);
    if (result == DRAY_INVALID)
        draft->error->class_ = result = DRAY_DENIED;
    return result == DRAY_DENIED ? deny(draft, list->directory) : result;
}

int dray_policy_list_read(struct dray_draft *draft, const char *directory,
                          const struct dray_key *key, struct dray_policy_list **ret_list)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = LARGEST_LIST};
    dray_cleanup(dray_buffer_free) struct dray_buffer signature = {.cap = LARGEST_LIST};
    struct dray_policy_list *list = dray_draft_array(draft, 1, sizeof(*list));

    if (!list)
        return DRAY_NO_MEMORY;
    int result = read_part(draft, directory, LIST, &text);
    if (result == 0)
        result = read_part(draft, directory, SIGNATURE, &signature);
    if (result == 0)
        result = verify(draft, directory, key, &text, &signature);
    if (result != 0)
        return result;
    list->draft = draft;
    list->directory = directory;
    result = parse(draft, list, &text);
    /* The arena ends it. */
    dray_autofree struct signed_file *files = DRAY_TAKE(list->files);
    if (result != 0)
        return result;
    list->files = dray_draft_array(draft, list->count, sizeof(*list->files));
    if (!list->files)
        return DRAY_NO_MEMORY;
    if (list->count > 0)
        memcpy(list->files, files, list->count * sizeof(*list->files));
    *ret_list = list;
    return 0;
}

/* ---- Comparing ---- */

int dray_policy_list_check(struct dray_draft *draft, struct dray_policy_list *list,
                           const char *file, const char *digest)
{
    const char *slash = strrchr(file, '/');
    struct signed_file *found = list ? find(list, slash ? slash + 1 : file) : NULL;

    if (!list)
        return 0;
    if (found && strcmp(found->digest, digest) == 0) {
        found->seen = 1;
        return 0;
    }
    if (found)
        (void)dray_fail(draft->error, DRAY_DENIED,
                        "the policy %s was changed after the set was signed", file);
    else
        (void)dray_fail(draft->error, DRAY_DENIED,
                        "the policy %s was added after the set was signed", file);
    return deny(draft, list->directory);
}

int dray_policy_list_end(struct dray_draft *draft, const struct dray_policy_list *list)
{
    for (size_t i = 0; list && i < list->count; i++) {
        if (list->files[i].seen)
            continue;
        (void)dray_fail(draft->error, DRAY_DENIED,
                        "the policy %s/%s was removed after the set was signed", list->directory,
                        list->files[i].name);
        return deny(draft, list->directory);
    }
    return 0;
}

int dray_policies_missing(struct dray_draft *draft, const char *directory)
{
    (void)dray_fail(draft->error, DRAY_DENIED,
                    "%s holds no policies, and the configuration says that it must", directory);
    dray_hint(draft->error, "put them there, or ask whose policies these are");
    return DRAY_DENIED;
}

/* ---- Signing ---- */

/* What sha256sum writes of the files that were read: they are in byte order of their names. */
static int print_list(const struct dray_draft *draft, struct dray_buffer *out,
                      struct dray_error *error)
{
    for (size_t i = 0; i < draft->policy_count; i++) {
        const char *name = strrchr(draft->policies[i]->file, '/') + 1;
        uint8_t digest[DRAY_SHA256_BYTES];
        int result = dray_unhex(draft->policies[i]->digest, DRAY_SHA256_BYTES, digest);
        if (result != 0)
            return result;
        dray_manifest_add(out, digest, DRAY_SHA256_BYTES, name, strlen(name));
    }
    return out->failed ? dray_fail_memory(error) : 0;
}

static int write_signed(const char *directory, const struct dray_key *key,
                        const struct dray_buffer *text, struct dray_error *error)
{
    dray_autofree char *list = dray_format("%s/" LIST, directory);
    dray_autofree char *signature = dray_format("%s/" SIGNATURE, directory);
    uint8_t bytes[DRAY_SIGNATURE_BYTES];

    if (!list || !signature)
        return dray_fail_memory(error);
    int result = dray_sign(key, text->data, text->length, bytes, error);
    if (result == 0)
        result = dray_write_file(list, text->data, text->length, 0644, error);
    if (result == 0)
        result = dray_write_file(signature, bytes, sizeof(bytes), 0644, error);
    return result;
}

static int check_files(struct dray_draft *draft, const struct dray_asker *asker)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < draft->policy_count; i++)
        result = dray_check_file(draft->policies[i]->file, draft->registry, asker, NULL,
                                 draft->diagnostics, draft->error);
    return result;
}

static int sign(struct dray_draft *draft, const char *directory, const struct dray_key *key,
                const struct dray_asker *asker)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = LARGEST_LIST};
    const struct dray_plan_request request = {.policy_directories = &directory,
                                              .policy_directory_count = 1};
    int result = dray_policies_read(draft, &request);

    if (result != 0)
        return result;
    if (draft->policy_count == 0)
        return dray_fail(draft->error, DRAY_INVALID, "%s holds no policies (*.yaml)", directory);
    result = dray_diagnostics_error(draft->diagnostics, draft->error);
    if (result == 0)
        result = check_files(draft, asker);
    if (result == 0)
        result = print_list(draft, &text, draft->error);
    return result == 0 ? write_signed(directory, key, &text, draft->error) : result;
}

int dray_policy_sign(const char *directory, const struct dray_key *key,
                     struct dray_registry *registry, const struct dray_asker *asker,
                     struct dray_diagnostics *diagnostics, size_t *ret_count,
                     struct dray_error *error)
{
    struct dray_error own = {0};
    struct dray_draft draft = {
        .diagnostics = diagnostics, .registry = registry, .error = &own, .checking = 1};
    int result = sign(&draft, directory, key, asker);

    dray_diagnostics_sort(diagnostics);
    if (result == 0)
        *ret_count = draft.policy_count;
    else if (error)
        *error = own;
    dray_draft_free(&draft);
    return result;
}
