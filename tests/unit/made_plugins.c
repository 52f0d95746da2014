/* SPDX-License-Identifier: MIT */
/* made_plugins.c - see made_plugins.h. */
#include "tests/unit/made_plugins.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/base/io.h"
#include "core/base/process.h"

static const char *source_directory(void)
{
    const char *top = getenv("DRAY_SOURCE");

    return top == NULL ? "." : top;
}

char *plugins_directory(void)
{
    char name[] = "/tmp/dray-plugins-XXXXXX";
    char *real;

    assert_non_null(mkdtemp(name));
    real = realpath(name, NULL); /* /tmp may be a link */
    assert_non_null(real);
    return real;
}

void plugins_remove(char *directory)
{
    struct dray_error error = {0};
    dray_autoclose int parent = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dray_remove_tree(parent, strrchr(directory, '/') + 1, &error) != 0)
        fail_msg("%s", error.message);
    free(directory);
}

char *plugins_path(const char *directory, const char *file)
{
    char *path = dray_format("%s/%s", directory, file);

    assert_non_null(path);
    return path;
}

void plugins_make(const char *directory, const char *source, const char *file, const char *more)
{
    dray_autofree char *include = dray_format("-I%s/include", source_directory());
    dray_autofree char *from = dray_format("%s/tests/badplugins/%s.c", source_directory(), source);
    dray_autofree char *to = plugins_path(directory, file);
    const char *const argv[] = {"/usr/bin/env", "cc", "-std=gnu11", "-shared", "-fPIC", include,
                                from,           "-o", to,           more,      NULL};
    struct dray_process process;
    struct dray_error error = {0};
    int status = -1;

    assert_non_null(include);
    assert_non_null(from);
    if (dray_process_start(&process, argv, NULL, (const int[]){-1, 1, 2}, 3, 0, &error) != 0)
        fail_msg("%s", error.message);
    (void)dray_process_wait(&process, -1, &status);
    if (status != 0)
        fail_msg("%s did not compile", from);
    assert_int_equal(chmod(to, 0755), 0);
}

void plugins_add(const char *directory, const char *source)
{
    free(plugins_make_filter(directory, source));
}

char *plugins_make_filter(const char *directory, const char *source)
{
    dray_autofree char *file = dray_format("filter-%s.so", source);

    assert_non_null(file);
    plugins_make(directory, source, file, NULL);
    return plugins_path(directory, file);
}

void plugins_write(const char *directory, const char *file, const char *text)
{
    dray_autofree char *path = plugins_path(directory, file);
    struct dray_error error = {0};

    if (dray_write_file(path, text, strlen(text), 0644, &error) != 0)
        fail_msg("%s", error.message);
}

size_t plugins_size(const char *directory, const char *file)
{
    dray_autofree char *path = plugins_path(directory, file);
    struct stat status;

    return stat(path, &status) == 0 ? (size_t)status.st_size : 0;
}

struct dray_registry *plugins_registry(const char *first, const char *second, const char *cache)
{
    const char *const directories[] = {first, second};
    struct dray_registry *registry = NULL;
    struct dray_error error = {0};

    if (dray_registry_new(directories, second == NULL ? 1 : 2, cache, &registry, &error) != 0)
        fail_msg("%s", error.message);
    return registry;
}
