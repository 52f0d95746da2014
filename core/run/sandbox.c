/* SPDX-License-Identifier: MIT */
#include "core/run/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Facts of newer kernels than the header's (kernel documentation, userspace-api/landlock). */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif
#define NET_BIND_TCP        (1ULL << 0)
#define NET_CONNECT_TCP     (1ULL << 1)
#define RULE_NET_PORT       2
#define SCOPE_ABSTRACT_UNIX (1ULL << 0)
#define SCOPE_SIGNAL        (1ULL << 1)

/* struct landlock_ruleset_attr as of version 6; older kernels get a shorter size. */
struct ruleset {
    uint64_t fs, net, scoped;
};
/* struct landlock_net_port_attr */
struct port_rule {
    uint64_t allowed, port;
};

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define OF_FILES                                                                                   \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE |   \
     LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_IOCTL_DEV)
#define WRITE                                                                                      \
    (READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE |                          \
     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |                              \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM |     \
     LANDLOCK_ACCESS_FS_REFER)
#define REMOVE        (READ | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE)
#define EXECUTE       (READ | LANDLOCK_ACCESS_FS_EXECUTE)
#define DELIVER       (LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR)
#define EVERYTHING_V1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

static int add_grant(struct dray_sandbox *sandbox, enum dray_grant_kind kind, const char *path,
                     int fd, struct dray_error *error)
{
    dray_autofree char *copy = path ? strdup(path) : NULL;

    if ((path && !copy) || DRAY_GROW(sandbox->grants, sandbox->count, sandbox->capacity) != 0)
        return dray_fail_memory(error);
    sandbox->grants[sandbox->count++] = (struct dray_grant){kind, DRAY_TAKE(copy), fd};
    return 0;
}

int dray_sandbox_path(struct dray_sandbox *sandbox, enum dray_grant_kind kind, const char *path,
                      struct dray_error *error)
{
    return add_grant(sandbox, kind, path, -1, error);
}

int dray_sandbox_fd(struct dray_sandbox *sandbox, enum dray_grant_kind kind, int fd,
                    struct dray_error *error)
{
    return add_grant(sandbox, kind, NULL, fd, error);
}

int dray_sandbox_port(struct dray_sandbox *sandbox, int port, struct dray_error *error)
{
    return add_grant(sandbox, DRAY_GRANT_CONNECT, NULL, port, error);
}

void dray_sandbox_free(struct dray_sandbox *sandbox)
{
    for (size_t i = 0; i < sandbox->count; i++)
        free(sandbox->grants[i].path);
    free(sandbox->grants);
    *sandbox = (struct dray_sandbox){0};
}

/* The Landlock version of this kernel; 0: none. */
static int landlock_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    return version < 0 ? 0 : (int)version;
}

int dray_sandbox_limits(struct dray_error *error)
{
    struct rlimit none = {0, 0}, files;

    if (setrlimit(RLIMIT_CORE, &none) != 0 || getrlimit(RLIMIT_NOFILE, &files) != 0)
        return dray_fail_errno(error, errno, "setting limits of the runner");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        return dray_fail_errno(error, errno, "raising the limit of open files");
    if (prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) != 0)
        return dray_fail_errno(error, errno, "making the runner untraceable");
    return 0;
}

/* What this kernel can guard. */
static struct ruleset handled(int version, size_t *ret_size)
{
    struct ruleset all = {.fs = EVERYTHING_V1};

    if (version >= 2)
        all.fs |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3)
        all.fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
    if (version >= 4)
        all.net = NET_BIND_TCP | NET_CONNECT_TCP;
    if (version >= 5)
        all.fs |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
    if (version >= 6)
        all.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
    *ret_size = version >= 6 ? sizeof(all) : version >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
    return all;
}

static uint64_t rights_of(enum dray_grant_kind kind)
{
    switch (kind) {
    case DRAY_GRANT_READ:
        return READ;
    case DRAY_GRANT_WRITE:
        return WRITE;
    case DRAY_GRANT_REMOVE:
        return REMOVE;
    case DRAY_GRANT_DELIVER:
        return DELIVER;
    case DRAY_GRANT_EXECUTE:
        return EXECUTE;
    case DRAY_GRANT_CONNECT:
        break;
    }
    return 0;
}

/* A kernel that does not guard ports needs no rule. */
static int grant_port(int ruleset, int port, uint64_t known, struct dray_error *error)
{
    struct port_rule rule = {.allowed = known & NET_CONNECT_TCP, .port = (uint64_t)port};

    if (rule.allowed != 0 && syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0) != 0)
        return dray_fail_errno(error, errno, "adding port %d to the sandbox", port);
    return 0;
}

static int grant(int ruleset, const struct dray_grant *grant, uint64_t known,
                 struct dray_error *error)
{
    dray_autoclose int opened = grant->path ? open(grant->path, O_PATH | O_CLOEXEC) : -1;
    int fd = grant->path ? opened : grant->fd;
    struct stat status;

    if (grant->path && fd < 0)
        return errno == ENOENT || errno == EACCES || errno == ENOTDIR
                   ? 0
                   : dray_fail_errno(error, errno, "opening %s for the sandbox", grant->path);
    if (fstat(fd, &status) != 0)
        return dray_fail_errno(error, errno, "looking at a path for the sandbox");
    uint64_t rights = rights_of(grant->kind) & known;
    if (!S_ISDIR(status.st_mode))
        rights &= OF_FILES;
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    if (rights != 0 &&
        syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
        return dray_fail_errno(error, errno, "adding a path to the sandbox");
    return 0;
}

static int enter_landlock(const struct dray_sandbox *sandbox, struct dray_error *error)
{
    int version = landlock_version();
    size_t size;

    if (version < 2) {
        dray_fail(
            error, DRAY_UNSUPPORTED,
            "this kernel has no Landlock (version 2 or newer), so plugins cannot be confined");
        dray_hint(error, "run with --no-sandbox to go on without; every run will say so");
        return error->class_;
    }
    struct ruleset all = handled(version, &size);
    dray_autoclose int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
    if (ruleset < 0)
        return dray_fail_errno(error, errno, "making the sandbox");
    for (size_t i = 0; i < sandbox->count; i++) {
        const struct dray_grant *one = &sandbox->grants[i];
        int result = one->kind == DRAY_GRANT_CONNECT ? grant_port(ruleset, one->fd, all.net, error)
                                                     : grant(ruleset, one, all.fs, error);
        if (result != 0)
            return result;
    }
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
        return dray_fail_errno(error, errno, "entering the sandbox");
    return 0;
}

/* What Landlock does not cover and no plugin needs: other processes, mounts, namespaces, kernel
 * interfaces, datagrams. They fail with EPERM. */
static int enter_seccomp(struct dray_error *error)
{
    static const int refused[] = {
        SCMP_SYS(ptrace),
        SCMP_SYS(process_vm_readv),
        SCMP_SYS(process_vm_writev),
        SCMP_SYS(mount),
        SCMP_SYS(umount2),
        SCMP_SYS(pivot_root),
        SCMP_SYS(chroot),
        SCMP_SYS(unshare),
        SCMP_SYS(setns),
        SCMP_SYS(bpf),
        SCMP_SYS(perf_event_open),
        SCMP_SYS(userfaultfd),
        SCMP_SYS(keyctl),
        SCMP_SYS(add_key),
        SCMP_SYS(request_key),
        SCMP_SYS(io_uring_setup),
        SCMP_SYS(open_by_handle_at),
        SCMP_SYS(kexec_load),
        SCMP_SYS(init_module),
        SCMP_SYS(finit_module),
        SCMP_SYS(delete_module),
        SCMP_SYS(acct),
        SCMP_SYS(swapon),
        SCMP_SYS(reboot),
    };
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int result = filter ? 0 : -ENOMEM;

    for (size_t i = 0; result == 0 && i < sizeof(refused) / sizeof(refused[0]); i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
    static const unsigned families[] = {AF_INET, AF_INET6, AF_PACKET, AF_NETLINK};
    static const unsigned types[] = {SOCK_DGRAM, SOCK_RAW};
    for (size_t i = 0; result == 0 && i < 8; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 2,
                                  SCMP_A0(SCMP_CMP_EQ, families[i / 2]),
                                  SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, types[i % 2]));
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return result == 0 ? 0 : dray_fail_errno(error, -result, "loading the system call filter");
}

int dray_sandbox_enter(const struct dray_sandbox *sandbox, struct dray_error *error)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) != 0)
        return dray_fail_errno(error, errno, "giving up new privileges");
    int result = enter_landlock(sandbox, error);
    return result != 0 ? result : enter_seccomp(error);
}
