/* SPDX-License-Identifier: MIT */
#include "core/run/blame.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALTERNATE_STACK (64u << 10)

/* A signal handler finds its thread's slot only through what is global to the process: these are
 * the exception to "no mutable globals". They are set once, before a second thread exists, or
 * belong to one thread. */
static struct dray_blame_page *page;
static struct dray_blame_slot spare;
static _Thread_local struct dray_blame_slot *slot = &spare;

const char *dray_operation_name(enum dray_operation operation)
{
    switch (operation) {
    case DRAY_OPERATION_NONE:
        return "nothing";
    case DRAY_OPERATION_LOAD:
        return "load";
    case DRAY_OPERATION_PREPARE:
        return "prepare";
    case DRAY_OPERATION_IDENTIFY:
        return "identify";
    case DRAY_OPERATION_STAGE:
        return "stage";
    case DRAY_OPERATION_DECIDE:
        return "decide";
    case DRAY_OPERATION_APPLY:
        return "apply";
    case DRAY_OPERATION_DESCRIBE:
        return "describe";
    case DRAY_OPERATION_PROBE:
        return "probe";
    case DRAY_OPERATION_PUSH:
        return "push";
    case DRAY_OPERATION_DISCARD:
        return "discard";
    case DRAY_OPERATION_DESTROY:
        return "destroy";
    case DRAY_OPERATION_BRING:
        return "bring";
    }
    return "an unknown operation";
}

int dray_blame_create(struct dray_blame_page **ret_page, int *ret_fd, struct dray_error *error)
{
    dray_autoclose int fd = memfd_create("dray-blame", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, sizeof(struct dray_blame_page)) != 0)
        return dray_fail_errno(error, errno, "making the page shared with the runner");
    void *mapped =
        mmap(NULL, sizeof(struct dray_blame_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        return dray_fail_errno(error, errno, "mapping the page shared with the runner");
    *ret_page = mapped;
    *ret_fd = DRAY_TAKE_FD(fd);
    return 0;
}

void dray_blame_free(struct dray_blame_page *mapped)
{
    if (mapped)
        (void)munmap(mapped, sizeof(*mapped));
}

const struct dray_blame_slot *dray_blame_find(const struct dray_blame_page *mapped)
{
    const struct dray_blame_slot *inside = NULL;

    for (size_t i = 0; i < DRAY_BLAME_SLOTS; i++) {
        const struct dray_blame_slot *candidate = &mapped->slots[i];
        if (candidate->signal != 0 || candidate->exited != 0)
            return candidate;
        if (!inside && candidate->operation != DRAY_OPERATION_NONE)
            inside = candidate;
    }
    return inside;
}

static void on_fatal_signal(int number)
{
    slot->signal = number;
    /* SA_RESETHAND restored the default action: the process dies of the same signal. */
    (void)raise(number);
}

/* On the thread that called exit(), while others may be inside of plugins that did nothing. The
 * runner itself ends without. */
static void on_exit_called(void)
{
    slot->exited = 1;
}

int dray_blame_attach(struct dray_error *error)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};
    void *mapped = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, DRAY_BLAME_FD, 0);

    if (mapped == MAP_FAILED)
        mapped =
            mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        return dray_fail_errno(error, errno, "mapping the page shared with the engine");
    page = mapped;
    (void)close(DRAY_BLAME_FD);
    if (atexit(on_exit_called) != 0)
        return dray_fail_memory(error);
    struct sigaction action = {.sa_handler = on_fatal_signal,
                               .sa_flags = SA_ONSTACK | (int)SA_RESETHAND | SA_NODEFER};
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
        if (sigaction(fatal[i], &action, NULL) != 0)
            return dray_fail_errno(error, errno, "installing a signal handler");
    dray_blame_thread(NULL);
    return 0;
}

void dray_blame_thread(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < DRAY_BLAME_SLOTS; i++) {
        uint32_t none = 0;
        if (__atomic_compare_exchange_n(&page->slots[i].taken, &none, 1, 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
            slot = &page->slots[i];
            break;
        }
    }
    /* Without memory a stack overflow goes unnamed, nothing else. */
    stack_t stack = {.ss_sp = mmap(NULL, ALTERNATE_STACK, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                     .ss_size = ALTERNATE_STACK};
    if (stack.ss_sp != MAP_FAILED)
        (void)sigaltstack(&stack, NULL);
}

void dray_blame_thread_end(void)
{
    stack_t none = {.ss_flags = SS_DISABLE}, stack = {0};

    if (sigaltstack(&none, &stack) == 0 && !(stack.ss_flags & SS_DISABLE) &&
        stack.ss_size == ALTERNATE_STACK)
        (void)munmap(stack.ss_sp, stack.ss_size);
    if (slot != &spare) {
        struct dray_blame_slot *ours = slot;
        slot = &spare;
        __atomic_store_n(&ours->taken, 0, __ATOMIC_RELEASE);
    }
}

struct dray_blame_note dray_blame_enter(uint32_t step, enum dray_operation operation)
{
    struct dray_blame_note before = {slot->step, slot->operation};

    slot->step = step;
    slot->entry[0] = '\0';
    __atomic_store_n(&slot->operation, (uint32_t)operation, __ATOMIC_RELEASE);
    return before;
}

void dray_blame_leave(struct dray_blame_note before)
{
    __atomic_store_n(&slot->operation, before.operation, __ATOMIC_RELEASE);
    slot->step = before.step;
}

void dray_blame_entry(const char *path, size_t length)
{
    size_t kept = length < sizeof(slot->entry) ? length : sizeof(slot->entry) - 1;

    memcpy(slot->entry, path, kept);
    slot->entry[kept] = '\0';
}
