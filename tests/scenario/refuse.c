/* SPDX-License-Identifier: MIT */
/*
 * refuse.c - run a program to which the kernel answers a system call with an error of our choice:
 *     refuse NAME ERRNO INDEX eq|ne VALUE PROGRAM ARGUMENT...
 * NAME fails with ERRNO (0: it does nothing and succeeds) whenever its argument INDEX is, or is
 * not, VALUE.
 */
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 7)
        return 99;
    int call = seccomp_syscall_resolve_name(argv[1]);
    enum scmp_compare compare = strcmp(argv[4], "ne") == 0 ? SCMP_CMP_NE : SCMP_CMP_EQ;
    struct scmp_arg_cmp condition = {(unsigned)atoi(argv[3]), compare, strtoull(argv[5], NULL, 0),
                                     0};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    if (filter == NULL || call < 0 ||
        seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((unsigned)atoi(argv[2])), call, 1,
                               &condition) != 0 ||
        seccomp_load(filter) != 0)
        return 98;
    (void)execv(argv[6], argv + 6);
    return 97;
}
