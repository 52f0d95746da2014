/* SPDX-License-Identifier: MIT */
/*
 * probe.c - the body of dray-probe. It runs in a process of its own, since opening a plugin runs
 * its constructors, which may crash or hang. Two lines of JSON go to standard output: {"opened":
 * true} once that is survived, and
 * {"plugin": {...}} or {"refused": {...}}. Whatever ends the process before the second is blamed on
 * the plugin.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "core/base/io.h"
#include "core/plugin/descriptor.h"
#include "core/plugin/info.h"

static int write_line(int fd, json_t *json)
{
    dray_autofree char *text = NULL;
    int failed;

    if (json == NULL)
        return -1;
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (text == NULL)
        return -1;
    failed = dray_write_all(fd, text, strlen(text));
    return failed != 0 ? failed : dray_write_all(fd, "\n", 1);
}

/* Standard output is for the answer alone: whatever a constructor prints goes to standard error. */
static int take_output(void)
{
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);

    if (fd >= 0 && dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* Die as a crash asks for, without a core file, and not later than the one who asked. */
static void prepare_process(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    const struct rlimit no_core = {0, 0};

    /* None of these can fail with these arguments, and a probe without them still answers rightly.
     */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setrlimit(RLIMIT_CORE, &no_core);
    for (size_t i = 0; i < DRAY_COUNT(fatal); i++)
        (void)signal(fatal[i], SIG_DFL); /* a library that was linked in may have set others */
}

/* The loader's own words, without the name of the file that our message begins with. */
static int refuse_open(const char *file, struct dray_error *error)
{
    const char *reason = dlerror();
    size_t length = strlen(file);

    if (reason == NULL)
        reason = "the loader gives no reason";
    if (strncmp(reason, file, length) == 0 && strncmp(reason + length, ": ", 2) == 0)
        reason += length + 2;
    return dray_fail(error, DRAY_INVALID, "%s: cannot be loaded: %s", file, reason);
}

/* The descriptor, with how many bytes the symbol table says it has. */
static int find_descriptor(const char *file, void *handle, const struct dray_plugin **ret_found,
                           size_t *ret_readable, struct dray_error *error)
{
    void *address = dlsym(handle, "dray_plugin_v1");
    const ElfW(Sym) *symbol = NULL;
    void *extra = NULL;
    Dl_info info;

    if (address == NULL)
        return dray_fail(error, DRAY_INVALID,
                         "%s: has no symbol \"dray_plugin_v1\", every plugin exports it", file);
    if (dladdr1(address, &info, &extra, RTLD_DL_SYMENT) == 0 || extra == NULL)
        return dray_fail(error, DRAY_INVALID,
                         "%s: its symbol \"dray_plugin_v1\" lies in no loaded file", file);
    symbol = extra;
    if (ELF64_ST_TYPE(symbol->st_info) != STT_OBJECT)
        return dray_fail(error, DRAY_INVALID,
                         "%s: its symbol \"dray_plugin_v1\" is not an object, a descriptor is one",
                         file);
    *ret_found = address;
    *ret_readable = (size_t)symbol->st_size;
    return 0;
}

/* Everything after the file was opened. */
static json_t *read_plugin(const char *file, void *handle, struct dray_error *error)
{
    const struct dray_plugin *found = NULL;
    struct dray_loaded loaded;
    size_t readable = 0;
    uint32_t target_type = 0;
    json_t *plugin;

    if (find_descriptor(file, handle, &found, &readable, error) != 0 ||
        dray_descriptor_check(file, found, readable, &loaded, error) != 0 ||
        dray_descriptor_named(file, &loaded.plugin, error) != 0)
        return NULL;
    if (loaded.plugin.head.kind == DRAY_KIND_PUSH)
        target_type = loaded.operations.push.target_type;
    plugin = dray_info_pack(&loaded.plugin, target_type);
    if (plugin == NULL)
        (void)dray_fail_memory(error);
    return plugin;
}

static int answer(int fd, const char *file)
{
    struct dray_error error = {0};
    json_t *plugin = NULL;
    void *handle = NULL;

    if (dray_plugin_trusted(file, &error) == 0) {
        handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
        if (handle == NULL)
            (void)refuse_open(file, &error);
    }
    if (write_line(fd, json_pack("{s:b}", "opened", 1)) != 0)
        return 1;
    if (handle != NULL)
        plugin = read_plugin(file, handle, &error);
    if (plugin != NULL)
        return write_line(fd, json_pack("{s:o}", "plugin", plugin)) == 0 ? 0 : 1;
    return write_line(fd, json_pack("{s:o}", "refused", dray_error_to_json(&error))) == 0 ? 0 : 1;
}

int dray_probe_main(int argc, char **argv)
{
    int fd;

    if (argc != 2 || argv[1][0] != '/') {
        (void)fprintf(stderr, "usage: dray-probe FILE\n"
                              "Opens one plugin by its absolute path and prints its descriptor as "
                              "JSON. dray starts it.\n");
        return 2;
    }
    prepare_process();
    fd = take_output();
    if (fd < 0) {
        (void)fprintf(stderr, "dray-probe: cannot set up standard output: %s\n", strerror(errno));
        return 1;
    }
    /* Neither the plugin's destructors nor what it registered for exit: the answer stands. */
    _exit(answer(fd, argv[1]));
}
