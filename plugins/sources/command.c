/* SPDX-License-Identifier: MIT */
/*
 * source/command: what a program of the site brings into scratch: a file, an archive or a
 * directory. The program and its words stand in the configuration; a workflow cannot say any.
 */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "archive.h"

struct command {
    const char *source;
    const char *remote;
    struct dray_strings argv;
    struct dray_map exits;
    struct dray_strings later_exits;
    int64_t timeout;
    struct dray_strings outputs;
    const char *revision;
    const char *strip;
    int64_t max_bytes;
    int64_t max_ratio;
    int64_t max_entries;
    int64_t segments; /* what strip says */
    const char *bundle_sha256, *bundle_md5;
    int64_t bundle_size;
};

static const struct dray_option options[] = {
    DRAY_OPTION_STRING(struct command, source, DRAY_OPTION_REQUIRED, NULL,
                       "The name that the configuration has for this source"),
    DRAY_OPTION_STRING(struct command, remote, DRAY_OPTION_REQUIRED, NULL,
                       "What to bring, as the program calls it"),
    DRAY_OPTION_STRINGS(struct command, argv, DRAY_OPTION_REQUIRED,
                        "The program and its words, in which {remote} and {local} are filled in"),
    DRAY_OPTION_MAP(struct command, exits, 0,
                    "What exit statuses mean: retry, permanent, not_found, denied, no_space or "
                    "credential; permanent, where none is named"),
    DRAY_OPTION_STRINGS(struct command, later_exits, 0,
                        "Exit statuses that mean to ask again later; that is no try"),
    DRAY_OPTION_DURATION(struct command, timeout, "24h", "How long the program may take"),
    DRAY_OPTION_STRINGS(struct command, outputs, 0,
                        "What must be there afterwards, below {local}, which is an empty directory "
                        "then; without it, {local} itself"),
    DRAY_OPTION_STRING(struct command, revision, 0, NULL,
                       "What is recorded of the dataset: another revision is another dataset"),
    DRAY_OPTION_STRING(struct command, strip, DRAY_OPTION_RENAMES, "0",
                       "Of an archive, as of source/archive"),
    DRAY_OPTION_SIZE(struct command, max_bytes, "none", "Of an archive, as of source/archive"),
    DRAY_OPTION_INT(struct command, max_ratio, "1000", 1, INT64_MAX,
                    "Of an archive, as of source/archive"),
    DRAY_OPTION_INT(struct command, max_entries, "20000000", 1, INT64_MAX,
                    "Of an archive, as of source/archive"),
    DRAY_OPTION_STRING(struct command, bundle_sha256, 0, NULL,
                       "What is recorded of the file that is brought: its SHA-256"),
    DRAY_OPTION_STRING(struct command, bundle_md5, 0, NULL,
                       "What is recorded of the file that is brought: its MD5"),
    DRAY_OPTION_SIZE(struct command, bundle_size, "none",
                     "What is recorded of the file that is brought: how many bytes it has"),
};

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* ---- Options ------------------------------------------------------------------------------- */

static int check_remote(const struct command *command, struct dray_ctx *ctx)
{
    const char *name = last_part(command->remote);
    int64_t unfit = command_unfit(&command->argv, command->remote, 1);

    if (unfit >= 0)
        return ctx->host->fail_option(
            ctx, "remote", DRAY_NO_INDEX, (uint64_t)unfit,
            "%s:%s has a character that the source's command could take for more than a name, at "
            "byte %" PRId64,
            command->source, command->remote, unfit + 1);
    if (command->remote[0] == '-')
        return ctx->host->fail_option(ctx, "remote", DRAY_NO_INDEX, 0,
                                      "%s:%s begins as an option of a program", command->source,
                                      command->remote);
    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return ctx->host->fail_option(ctx, "remote", DRAY_NO_INDEX, 0,
                                      "%s:%s has no name at its end", command->source,
                                      command->remote);
    return DRAY_OK;
}

static int prepare(void *self, struct dray_ctx *ctx)
{
    struct command *command = self;
    struct archive_source archive = {.strip = command->strip};
    int result = check_remote(command, ctx);

    if (result == DRAY_OK)
        result = archive_prepare_strip(&archive, ctx);
    if (result == DRAY_OK)
        result = archive_prepare_digest(command->bundle_sha256, command->bundle_md5, ctx);
    command->segments = archive.segments;
    return result;
}

/* ---- The program --------------------------------------------------------------------------- */

static int class_of_exit(const struct command *command, int32_t status)
{
    static const struct {
        const char *word;
        int class_;
    } words[] = {{"retry", DRAY_TEMPORARY},     {"permanent", DRAY_PERMANENT},
                 {"not_found", DRAY_NOT_FOUND}, {"denied", DRAY_DENIED},
                 {"no_space", DRAY_NO_SPACE},   {"credential", DRAY_CREDENTIAL}};

    for (uint64_t i = 0; i < command->later_exits.count; i++)
        if (strtol(command->later_exits.items[i], NULL, 10) == status)
            return DRAY_LATER;
    for (uint64_t i = 0; i < command->exits.count; i++)
        for (size_t k = 0;
             strtol(command->exits.keys[i], NULL, 10) == status && k < DRAY_COUNT(words); k++)
            if (strcmp(command->exits.values[i], words[k].word) == 0)
                return words[k].class_;
    return DRAY_PERMANENT;
}

static const char *dataset_of(struct dray_ctx *ctx)
{
    const char *dataset = ctx->host->job(ctx)->dataset;

    return dataset != NULL ? dataset : "DATASET";
}

/* What to do about an exit status. Shells, env and the like say by 126 and 127 that there is no
 * program, or that they may not run it. */
static void hint_end(const struct command *command, struct dray_ctx *ctx, int32_t status)
{
    if (status == 126 || status == 127)
        ctx->host->hint(ctx,
                        "%" PRId32 " commonly means that it could not run another program: "
                        "`grants.exec` of the source %s in the configuration has to name each, "
                        "also the python3 of `#!/usr/bin/env python3`",
                        status, command->source);
    else
        ctx->host->hint(ctx,
                        "what it wrote is in the job's log; if the bytes are elsewhere now: dray "
                        "dataset set %s --source %s:REMOTE",
                        dataset_of(ctx), command->source);
}

/* A signal is nothing that the program decided. */
static int fail_end(const struct command *command, struct dray_ctx *ctx,
                    const struct dray_program_end *end)
{
    const struct dray_host *host = ctx->host;
    const char *program = last_part(command->argv.items[0]);
    const char *said = end->last[0] != '\0' ? end->last : "it wrote nothing";
    int result;

    if (end->status < 0)
        result = host->fail(ctx, DRAY_TEMPORARY, "%s died of signal %" PRIu32 " bringing %s:%s: %s",
                            program, end->signal, command->source, command->remote, said);
    else
        result = host->fail(ctx, class_of_exit(command, end->status), "%s exit %" PRId32 ": %s",
                            program, end->status, said);
    if (result == DRAY_TEMPORARY || result == DRAY_LATER)
        return result;
    hint_end(command, ctx, end->status);
    return result;
}

static int run(const struct command *command, struct dray_ctx *ctx, const char *local)
{
    struct dray_program_end end = {.size = sizeof(end)};
    char **words = command_words(&command->argv, local, command->remote);

    if (words == NULL)
        return ctx->host->fail(ctx, DRAY_NO_MEMORY, "starting %s: out of memory",
                               command->argv.items[0]);
    const struct dray_program program = {.size = sizeof(program),
                                         .count = command->argv.count,
                                         .argv = (const char *const *)words,
                                         .timeout = command->timeout};
    int result = ctx->host->program(ctx, &program, &end);
    command_free(words);
    if (result != DRAY_OK || end.status == 0)
        return result;
    return fail_end(command, ctx, &end);
}

/* ---- What it brought ----------------------------------------------------------------------- */

static int is_archive(const char *path)
{
    static const char *const suffixes[] = {".tar",  ".tar.gz", ".tgz", ".tar.bz2",
                                           ".tbz2", ".tar.xz", ".txz", ".tar.zst",
                                           ".tzst", ".zip",    ".7z"};
    size_t length = strlen(path);

    for (size_t i = 0; i < DRAY_COUNT(suffixes); i++) {
        size_t suffix = strlen(suffixes[i]);
        if (length > suffix && strcasecmp(path + length - suffix, suffixes[i]) == 0)
            return 1;
    }
    return 0;
}

static int fail_missing(const struct command *command, struct dray_ctx *ctx, const char *what)
{
    int result =
        ctx->host->fail(ctx, DRAY_PERMANENT, "%s ended well and did not bring %s of %s:%s",
                        last_part(command->argv.items[0]), what, command->source, command->remote);

    ctx->host->hint(ctx, "the `argv` of this source in the configuration has to put it at {local}");
    return result;
}

static int check_outputs(const struct command *command, struct dray_ctx *ctx, const char *local)
{
    struct stat status;

    for (uint64_t i = 0; i < command->outputs.count; i++) {
        char *path = ctx->host->format("%s/%s", local, command->outputs.items[i]);
        if (path == NULL)
            return ctx->host->fail(ctx, DRAY_NO_MEMORY, "looking for what was brought");
        int there = lstat(path, &status) == 0;
        ctx->host->free(path);
        if (!there)
            return fail_missing(command, ctx, command->outputs.items[i]);
    }
    return DRAY_OK;
}

/* What is recorded is of one file. */
static int fail_directory(const struct command *command, struct dray_ctx *ctx)
{
    int result = ctx->host->fail(
        ctx, DRAY_INTEGRITY,
        "what %s brought of %s:%s is a directory, and the size or digest of a file is recorded",
        last_part(command->argv.items[0]), command->source, command->remote);

    ctx->host->hint(ctx, "dray dataset set %s --digest \"\" --bundle-size \"\" forgets it",
                    dataset_of(ctx));
    return result;
}

/* Is it what the command is to bring? */
static int check_brought(const struct command *command, struct dray_ctx *ctx, const char *local)
{
    struct stat status;
    int result = check_outputs(command, ctx, local);

    if (result != DRAY_OK)
        return result;
    /* A link would lead out of scratch. */
    if (lstat(local, &status) != 0)
        return errno == ENOENT ? fail_missing(command, ctx, "anything")
                               : ctx->host->fail_errno(ctx, errno, "looking at %s", local);
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
        return ctx->host->fail(ctx, DRAY_PERMANENT,
                               "what %s brought of %s:%s is neither a file nor a directory",
                               last_part(command->argv.items[0]), command->source, command->remote);
    return DRAY_OK;
}

/* {local}. The caller frees it. */
static int place(const struct command *command, struct dray_ctx *ctx, char **ret_local)
{
    const struct dray_host *host = ctx->host;
    char *directory = NULL;
    int result = host->scratch_directory(ctx, "brought", &directory);

    if (result == DRAY_UNSUPPORTED)
        host->hint(ctx,
                   "dray preview --stage brings the bytes; --from-catalog shows the files that "
                   "are recorded");
    if (result != DRAY_OK)
        return result;
    *ret_local = command->outputs.count > 0
                     ? host->format("%s", directory)
                     : host->format("%s/%s", directory, last_part(command->remote));
    host->free(directory);
    return *ret_local != NULL
               ? DRAY_OK
               : host->fail(ctx, DRAY_NO_MEMORY, "bringing %s: out of memory", command->remote);
}

static int fail_local(const struct command *command, struct dray_ctx *ctx, const char *local)
{
    int result = ctx->host->fail(ctx, DRAY_INVALID,
                                 "%s has a character that the command of the source %s could take "
                                 "for more than a name",
                                 local, command->source);

    ctx->host->hint(ctx, "let `scratch.path` of the configuration name a directory without it, or "
                         "give {local} a word of its own in `argv`");
    return result;
}

static int bring(void *self, struct dray_ctx *ctx)
{
    const struct command *command = self;
    const struct dray_host *host = ctx->host;
    char *local = NULL;
    int result = place(command, ctx, &local);

    if (result != DRAY_OK)
        return result;
    result = command_unfit(&command->argv, local, 0) >= 0 ? fail_local(command, ctx, local)
                                                          : run(command, ctx, local);
    if (result == DRAY_OK)
        result = check_brought(command, ctx, local);
    host->free(local);
    return result;
}

static int take(const struct command *command, struct dray_ctx *ctx,
                const struct archive_source *archive)
{
    int recorded = command->bundle_sha256 != NULL || command->bundle_md5 != NULL ||
                   command->bundle_size != DRAY_NONE;
    struct stat status;
    int result = DRAY_OK;

    if (lstat(archive->path, &status) != 0)
        return ctx->host->fail_errno(ctx, errno, "looking at %s", archive->path);
    if (S_ISREG(status.st_mode) && is_archive(archive->path))
        return archive_stage(archive, ctx);
    if (recorded && !S_ISREG(status.st_mode))
        return fail_directory(command, ctx);
    if (recorded)
        result = archive_check_file(archive, ctx);
    return result == DRAY_OK ? ctx->host->walk(ctx, archive->path) : result;
}

static int stage(void *self, struct dray_ctx *ctx)
{
    const struct command *command = self;
    char *local = NULL;
    int result = place(command, ctx, &local);

    if (result != DRAY_OK)
        return result;
    const struct archive_source archive = {.path = local,
                                           .max_bytes = command->max_bytes,
                                           .max_ratio = command->max_ratio,
                                           .max_entries = command->max_entries,
                                           .strip = command->strip,
                                           .segments = command->segments,
                                           .bundle_sha256 = command->bundle_sha256,
                                           .bundle_md5 = command->bundle_md5,
                                           .bundle_size = command->bundle_size};
    result = check_brought(command, ctx, local);
    if (result == DRAY_OK)
        result = take(command, ctx, &archive);
    ctx->host->free(local);
    return result;
}

/* The bytes are not looked at: that could take a day. */
static int identify(void *self, struct dray_ctx *ctx, char **ret_revision)
{
    const struct command *command = self;

    *ret_revision = command->revision != NULL
                        ? ctx->host->format("%s", command->revision)
                        : ctx->host->format("%s:%s", command->source, command->remote);
    return *ret_revision != NULL ? DRAY_OK : ctx->host->fail(ctx, DRAY_NO_MEMORY, "out of memory");
}

static const struct dray_source_operations operations = {
    .size = sizeof(operations),
    .identify = identify,
    .stage = stage,
    .bring = bring,
};

DRAY_PLUGIN(DRAY_KIND_SOURCE, DRAY_CAP_BRINGS, "command", "1.0.0",
            "Bring a dataset by a program that the site configured", struct command, options,
            &operations, .prepare = prepare);
