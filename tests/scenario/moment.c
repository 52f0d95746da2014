/* SPDX-License-Identifier: MIT */
/*
 * moment.c - kill at a system call: run a program and all that it starts, count the calls by which
 * they change what is on a disk, and act right before the Nth one, which then never happens.
 *     moment LOG N WHO PROGRAM ARGUMENT...
 * LOG gets a line for each call: its number, who made it, and its name. N of 0 only counts. WHO is
 * killed: `runner` (the process that makes the call, or the newest runner), `engine` (the program
 * itself), `both`; or `hold`: the engine is killed, and the runner that makes the call is frozen,
 * as a machine that sleeps is, until somebody has made the file LOG.go; LOG.held says that it is.
 *
 * With MOMENT_DISK=DIR in the environment LOG.synced gets the inode and size of each regular file
 * that is synced: of all below DIR by syncfs. What is not in there, a crash may lose.
 *
 * The kernel stops a process there (SECCOMP_RET_TRACE), so it works for whatever it is linked with,
 * in a sandbox too. Calls of the program are not counted by threads: N means the same in each run
 * as far as their order is the same. All are waited for, so that what is still running when this
 * ends was not started here.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROCESSES 256

static const char *const counted[] = {"rename",  "renameat", "renameat2", "fsync",     "fdatasync",
                                      "syncfs",  "unlink",   "unlinkat",  "rmdir",     "mkdir",
                                      "mkdirat", "pwrite64", "ftruncate", "symlinkat", "linkat",
                                      "fchmod",  "fchmodat", "utimensat", "fchown"};

struct watched {
    pid_t pid; /* of the process, not the thread */
    int runner;
};

static struct watched processes[MAX_PROCESSES];
static size_t process_count;
static pid_t engine;

static void fail(const char *what)
{
    perror(what);
    exit(99);
}

/* One that is frozen must not be killed with its engine: as if the engine ran elsewhere, or the
 * runner were in a call that cannot be interrupted. */
static int load_filter(int orphans_live)
{
    struct scmp_arg_cmp dies = SCMP_A0(SCMP_CMP_EQ, PR_SET_PDEATHSIG);
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    struct scmp_arg_cmp creates = SCMP_A2(SCMP_CMP_MASKED_EQ, O_CREAT, O_CREAT);
    int result = filter == NULL ? -1 : 0;

    for (size_t i = 0; result == 0 && i < sizeof(counted) / sizeof(counted[0]); i++) {
        int call = seccomp_syscall_resolve_name(counted[i]);
        /* Not every machine has all of them. */
        if (call >= 0)
            result = seccomp_rule_add(filter, SCMP_ACT_TRACE(1), call, 0);
    }
    if (result == 0)
        result = seccomp_rule_add_array(filter, SCMP_ACT_TRACE(1), SCMP_SYS(openat), 1, &creates);
    if (result == 0 && orphans_live)
        result = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(0), SCMP_SYS(prctl), 1, &dies);
    return result == 0 ? seccomp_load(filter) : result;
}

/* The process that a thread is of. */
static pid_t process_of(pid_t thread)
{
    char path[64], line[256];
    pid_t found = thread;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)thread);
    FILE *status = fopen(path, "re");
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "Tgid: %d", &found) == 1)
            break;
    if (status != NULL)
        (void)fclose(status);
    return found;
}

static struct watched *find(pid_t process)
{
    for (size_t i = 0; i < process_count; i++)
        if (processes[i].pid == process)
            return &processes[i];
    if (process_count == MAX_PROCESSES)
        fail("too many processes");
    processes[process_count] = (struct watched){.pid = process};
    return &processes[process_count++];
}

static void note_program(pid_t process)
{
    char path[64], program[PATH_MAX];

    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)process);
    ssize_t length = readlink(path, program, sizeof(program) - 1);
    program[length < 0 ? 0 : length] = '\0';
    find(process)->runner = strstr(program, "dray-runner") != NULL;
}

static void kill_runners(void)
{
    for (size_t i = 0; i < process_count; i++)
        if (processes[i].runner)
            (void)kill(processes[i].pid, SIGKILL);
}

/* ---- Frozen ---- */

static void pause_a_moment(void)
{
    struct timespec moment = {.tv_nsec = 1000000};

    (void)nanosleep(&moment, NULL);
}

/* All threads of the process stop, whatever they do: what they are told they hear later. */
static void freeze(pid_t process)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)process);
    DIR *listing = opendir(path);
    for (const struct dirent *one; listing != NULL && (one = readdir(listing)) != NULL;)
        if (one->d_name[0] != '.')
            (void)ptrace(PTRACE_INTERRUPT, (pid_t)strtol(one->d_name, NULL, 10), 0L, 0L);
    if (listing != NULL)
        (void)closedir(listing);
}

/* The thread that was about to make the call goes on alone, before the others hear that their
 * engine is dead. */
static void thaw(pid_t thread)
{
    int status;

    (void)ptrace(PTRACE_CONT, thread, 0L, 0L);
    for (int waited = 0; waited < 200; waited++) {
        if (waitpid(thread, &status, __WALL | WNOHANG) != thread) {
            pause_a_moment();
            continue;
        }
        if (!WIFSTOPPED(status))
            return;
        (void)ptrace(PTRACE_CONT, thread, 0L, 0L);
    }
}

/* The engine is dead, and a runner that is about to make a call is frozen until it is told to go
 * on. */
static void hold(pid_t thread, const struct watched *process, const char *log)
{
    char path[PATH_MAX];
    struct stat status;

    if (process->runner)
        freeze(process->pid);
    (void)kill(engine, SIGKILL);
    (void)snprintf(path, sizeof path, "%s.held", log);
    int held = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (held < 0)
        fail(path);
    (void)close(held);
    (void)snprintf(path, sizeof path, "%s.go", log);
    while (stat(path, &status) != 0)
        pause_a_moment();
    if (process->runner)
        thaw(thread);
}

/* ---- Killed ---- */

static void act(const char *who, pid_t thread, const struct watched *process, const char *log)
{
    if (strcmp(who, "hold") == 0) {
        hold(thread, process, log);
        return;
    }
    if (strcmp(who, "engine") != 0)
        kill_runners();
    if (strcmp(who, "runner") != 0)
        (void)kill(engine, SIGKILL);
}

static const char *name_of_call(pid_t thread)
{
    static char name[32];
    struct __ptrace_syscall_info info;

    memset(&info, 0, sizeof info);
    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) <= 0)
        return "gone";
    char *found = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)info.seccomp.nr);
    (void)snprintf(name, sizeof name, "%s", found != NULL ? found : "?");
    free(found);
    return name;
}

/* ---- What is synced ---- */

static FILE *synced;

static int note_synced(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)path;
    (void)type;
    (void)where;
    if (S_ISREG(status->st_mode))
        (void)fprintf(synced, "%llu %lld\n", (unsigned long long)status->st_ino,
                      (long long)status->st_size);
    return 0;
}

/* A call that syncs is about to be made. */
static void note_sync(pid_t thread, const char *name, const char *disk)
{
    struct __ptrace_syscall_info info;
    struct stat status;
    char path[64];

    memset(&info, 0, sizeof info);
    if (strcmp(name, "syncfs") == 0)
        (void)nftw(disk, note_synced, 64, FTW_PHYS);
    else if ((strcmp(name, "fsync") == 0 || strcmp(name, "fdatasync") == 0) &&
             ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) > 0) {
        (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)thread, (int)info.seccomp.args[0]);
        if (stat(path, &status) == 0)
            (void)note_synced(path, &status, 0, NULL);
    }
    (void)fflush(synced);
}

static void run(char **argv, int ready, int orphans_live)
{
    char byte;

    if (read(ready, &byte, 1) != 1 || load_filter(orphans_live) != 0)
        _exit(98);
    (void)execvp(argv[0], argv);
    _exit(97);
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 99;
    FILE *log = fopen(argv[1], "we");
    long wanted = strtol(argv[2], NULL, 10), number = 0;
    const char *who = argv[3], *disk = getenv("MOMENT_DISK");
    char path[PATH_MAX];
    int pair[2], status, code = 0;

    if (log == NULL || pipe2(pair, O_CLOEXEC) != 0)
        fail(argv[1]);
    (void)snprintf(path, sizeof path, "%s.synced", argv[1]);
    if (disk != NULL && (synced = fopen(path, "we")) == NULL)
        fail(path);
    engine = fork();
    if (engine == 0)
        run(argv + 4, pair[0], strcmp(who, "hold") == 0);
    if (engine < 0 ||
        ptrace(PTRACE_SEIZE, engine, 0L,
               (long)(PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                      PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)) != 0 ||
        write(pair[1], "", 1) != 1)
        fail("tracing");
    for (pid_t thread; (thread = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR;) {
        long passed = 0;
        int event = (status >> 16) & 0xff;
        if (thread < 0)
            continue;
        if (!WIFSTOPPED(status)) {
            if (thread == engine)
                code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            continue;
        }
        if (event == PTRACE_EVENT_EXEC) {
            note_program(thread);
        } else if (event == PTRACE_EVENT_SECCOMP) {
            const struct watched *process = find(process_of(thread));
            const char *name = name_of_call(thread);
            (void)fprintf(log, "%ld %s %s\n", ++number, process->runner ? "runner" : "engine",
                          name);
            (void)fflush(log);
            if (number == wanted)
                act(who, thread, process, argv[1]);
            else if (disk != NULL)
                note_sync(thread, name, disk);
        } else if (event == PTRACE_EVENT_STOP && WSTOPSIG(status) != SIGTRAP) {
            (void)ptrace(PTRACE_LISTEN, thread, 0L, 0L);
            continue;
        } else if (event == 0) {
            passed = WSTOPSIG(status);
        }
        (void)ptrace(PTRACE_CONT, thread, 0L, passed);
    }
    return code;
}
