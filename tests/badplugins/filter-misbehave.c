/* SPDX-License-Identifier: MIT */
/* A filter that does what no plugin may, as its option says: what a runner has to survive. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <dray/plugin.h>

struct misbehave {
    int64_t how;
    const char *path; /* of the source, or of something else that may not be written */
};

enum how {
    NOTHING,
    CRASH,
    ABORT,
    FREE_TWICE,
    EXIT,
    EXIT_AT_ONCE,
    HANG,
    OVERFLOW_STACK,
    WRITE,
    CONNECT,
    PRINT,
    NO_VERDICT,
    NO_REASON,
    PREPARE
};

static const struct dray_option options[] = {
    DRAY_OPTION_CHOICE(
        struct misbehave, how, "nothing",
        "nothing|crash|abort|free-twice|exit|exit-at-once|hang|overflow-stack|write|connect|print|"
        "no-verdict|no-reason|prepare",
        "What to do wrong"),
    DRAY_OPTION_STRING(struct misbehave, path, 0, NULL, "A path to try to write"),
};

/* Every way to change a file or directory; how many of them worked. */
static int harm(const char *path)
{
    char below[4096], other[4096];
    int done = 0, fd;

    (void)snprintf(below, sizeof(below), "%s/planted", path);
    (void)snprintf(other, sizeof(other), "%s/a.txt", path);
    done += (fd = open(below, O_WRONLY | O_CREAT, 0600)) >= 0;
    done += (fd = open(other, O_WRONLY)) >= 0;
    done += (fd = open(other, O_RDONLY | O_TRUNC)) >= 0;
    done += truncate(other, 1) == 0;
    done += unlink(other) == 0;
    done += rename(other, below) == 0;
    done += link(other, below) == 0;
    done += symlink("a.txt", below) == 0;
    done += mkfifo(below, 0600) == 0;
    (void)fd;
    return done;
}

static int reach_out(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int done = 0, stream = socket(AF_INET, SOCK_STREAM, 0);

    /* Refused by the sandbox, not by a port that nobody listens on. */
    done += connect(stream, (struct sockaddr *)&address, sizeof(address)) == 0 || errno != EACCES;
    done += socket(AF_INET, SOCK_DGRAM, 0) >= 0;
    done += ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
    return done;
}

static int deepen(volatile char *above)
{
    volatile char frame[65536];

    frame[0] = above ? above[0] : 1;
    return deepen(frame) + frame[65535];
}

static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *verdict)
{
    const struct misbehave *misbehave = self;
    int (*volatile deeper)(volatile char *) = deepen;
    char *volatile twice;

    (void)entry;
    *verdict = (struct dray_verdict){DRAY_KEEP, 0, DRAY_NO_INDEX};
    switch ((enum how)misbehave->how) {
    case NOTHING:
    case PREPARE:
        break;
    case CRASH:
        (void)raise(SIGSEGV);
        break;
    case ABORT:
        abort();
    case FREE_TWICE:
        twice = malloc(100);
        free(twice);
        free(twice);
        abort(); /* where the allocator does not notice */
    case EXIT:
        exit(0);
    case EXIT_AT_ONCE:
        _exit(3);
    case HANG:
        for (;;)
            (void)pause();
    case OVERFLOW_STACK:
        return deeper(NULL);
    case WRITE:
        return ctx->host->fail(ctx, DRAY_PERMANENT, "%d of 9 ways to write %s worked",
                               harm(misbehave->path), misbehave->path);
    case CONNECT:
        return ctx->host->fail(ctx, DRAY_PERMANENT, "%d of 3 ways out worked", reach_out());
    case PRINT:
        (void)printf("{\"event\":\"job-ended\"}\n");
        (void)fflush(stdout);
        (void)!write(1, "{}\n", 3);
        break;
    case NO_VERDICT:
        verdict->verdict = 77;
        break;
    case NO_REASON:
        return DRAY_PERMANENT;
    }
    return DRAY_OK;
}

static int prepare(void *self, struct dray_ctx *ctx)
{
    const struct misbehave *misbehave = self;

    (void)ctx;
    if (misbehave->how == PREPARE)
        (void)raise(SIGSEGV);
    return DRAY_OK;
}

static const struct dray_filter_operations operations = {sizeof(operations), 0, decide};

DRAY_PLUGIN(DRAY_KIND_FILTER, 0, "misbehave", "1.0.0", "Does what no plugin may", struct misbehave,
            options, &operations, .prepare = prepare);
