/* SPDX-License-Identifier: MIT */
/* sandbox_program.c - what the kernel executes to start one program. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "core/base/io.h"
#include "core/run/sandbox.h"

/* A script may name a script as its interpreter, and the kernel goes no deeper than this. */
#define DEEPEST 5

/* The interpreter that the first line of a script names. */
static char *script_interpreter(const char *head)
{
    const char *from = head + 2 + strspn(head + 2, " \t");

    return strndup(from, strcspn(from, " \t\n"));
}

/* The dynamic loader of a program; "" when it has none or is of a form that is not known. */
static char *elf_interpreter(int fd, const unsigned char *head, size_t length)
{
    char path[PATH_MAX] = "";
    Elf64_Ehdr elf;
    Elf64_Phdr part;

    if (length < sizeof(elf))
        return strdup("");
    memcpy(&elf, head, sizeof(elf));
    if (memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0 || elf.e_ident[EI_CLASS] != ELFCLASS64)
        return strdup("");
    for (unsigned i = 0; i < elf.e_phnum; i++) {
        if (dray_pread_full(fd, &part, sizeof(part), elf.e_phoff + i * sizeof(part)) !=
            (ssize_t)sizeof(part))
            break;
        if (part.p_type != PT_INTERP || part.p_filesz >= sizeof(path))
            continue;
        ssize_t got = dray_pread_full(fd, path, part.p_filesz, part.p_offset);
        path[got > 0 ? got : 0] = '\0';
        break;
    }
    return strdup(path);
}

/* What starts the program at `path`: "" for nothing. NULL: no memory. */
static char *interpreter_of(const char *path)
{
    dray_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    unsigned char head[512] = {0};
    ssize_t length = fd < 0 ? 0 : dray_pread_full(fd, head, sizeof(head) - 1, 0);

    if (length >= 2 && head[0] == '#' && head[1] == '!')
        return script_interpreter((const char *)head);
    return length > 0 ? elf_interpreter(fd, head, (size_t)length) : strdup("");
}

int dray_sandbox_program(struct dray_sandbox *sandbox, const char *path, struct dray_error *error)
{
    dray_autofree char *at = strdup(path);
    int result = at ? 0 : dray_fail_memory(error);

    for (int depth = 0; result == 0 && *at && depth < DEEPEST; depth++) {
        result = dray_sandbox_path(sandbox, DRAY_GRANT_EXECUTE, at, error);
        char *next = result == 0 ? interpreter_of(at) : NULL;
        if (result == 0 && !next)
            result = dray_fail_memory(error);
        free(at);
        at = next;
    }
    return result;
}
