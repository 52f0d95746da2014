/* SPDX-License-Identifier: MIT */
/* registry.c - the plugins of a list of directories, examined when they are asked for and
 * remembered. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/process.h"
#include "core/base/text.h"
#include "core/plugin/examine.h"
#include "core/plugin/info.h"

#define KINDS (DRAY_KIND_NOTIFY + 1)

/* A growing list of strings of our own. */
struct names {
    char **items;
    size_t count, capacity;
};

/* A file that was examined, by the path it was found at. */
struct known {
    char *entry;
    struct dray_plugin_info *info;
};

/* Used by one thread at a time. */
struct dray_registry {
    struct names directories; /* real paths of those that exist, each once */
    char *cache;              /* NULL: none */
    char *probe;              /* the helper program, once it was needed */
    struct known *known;
    size_t known_count, known_capacity;
    const struct dray_plugin_info **all; /* the last answer of dray_registry_all */
    size_t all_count, all_capacity;
    struct names names[KINDS]; /* by kind, once they were asked for */
    int names_read;
};

static int names_add(struct names *names, const char *text)
{
    char *copy = strdup(text);

    if (copy == NULL || DRAY_GROW(names->items, names->count, names->capacity) != 0) {
        free(copy);
        return DRAY_NO_MEMORY;
    }
    names->items[names->count++] = copy;
    return 0;
}

static int names_have(const struct names *names, const char *text)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], text) == 0)
            return 1;
    return 0;
}

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct names){0};
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_sort(struct names *names)
{
    if (names->count > 1)
        qsort(names->items, names->count, sizeof *names->items, compare_texts);
}

int dray_registry_new(const char *const *directories, size_t count, const char *cache,
                      struct dray_registry **ret_registry, struct dray_error *error)
{
    dray_cleanup(dray_registry_freep) struct dray_registry *registry = calloc(1, sizeof *registry);

    if (registry == NULL)
        return dray_fail_memory(error);
    for (size_t i = 0; i < count; i++) {
        /* One that is not there may come later: it is asked for by the name that was given. */
        dray_autofree char *real = realpath(directories[i], NULL);
        const char *directory = real == NULL ? directories[i] : real;
        if (real == NULL && errno != ENOENT && errno != ENOTDIR)
            return dray_fail_errno(error, errno, "looking for plugins in %s", directories[i]);
        if (directory[0] != '/')
            return dray_fail(error, DRAY_NOT_FOUND, "there is no plugin directory %s", directory);
        if (!names_have(&registry->directories, directory) &&
            names_add(&registry->directories, directory) != 0)
            return dray_fail_memory(error);
    }
    if (cache != NULL) {
        registry->cache = strdup(cache);
        if (registry->cache == NULL)
            return dray_fail_memory(error);
    }
    *ret_registry = DRAY_TAKE(registry);
    return 0;
}

void dray_registry_free(struct dray_registry *registry)
{
    if (registry == NULL)
        return;
    for (size_t i = 0; i < registry->known_count; i++) {
        free(registry->known[i].entry);
        dray_info_free(registry->known[i].info);
    }
    free(registry->known);
    free(registry->all);
    for (size_t i = 0; i < KINDS; i++)
        names_free(&registry->names[i]);
    names_free(&registry->directories);
    free(registry->cache);
    free(registry->probe);
    free(registry);
}

void dray_registry_freep(struct dray_registry **registry)
{
    dray_registry_free(*registry);
}

static const struct dray_plugin_info *known_find(const struct dray_registry *registry,
                                                 const char *entry)
{
    for (size_t i = 0; i < registry->known_count; i++)
        if (strcmp(registry->known[i].entry, entry) == 0)
            return registry->known[i].info;
    return NULL;
}

/* Takes the info over, whether it succeeds or not. */
static int known_add(struct dray_registry *registry, const char *entry,
                     struct dray_plugin_info *info, struct dray_error *error)
{
    char *copy = strdup(entry);

    if (copy == NULL ||
        DRAY_GROW(registry->known, registry->known_count, registry->known_capacity) != 0) {
        free(copy);
        dray_info_free(info);
        return dray_fail_memory(error);
    }
    registry->known[registry->known_count++] = (struct known){copy, info};
    return 0;
}

/* Examine a file, once. */
static int know(struct dray_registry *registry, const char *entry,
                const struct dray_plugin_info **ret_info, struct dray_error *error)
{
    const struct dray_plugin_info *known = known_find(registry, entry);
    struct dray_plugin_info *info = NULL;
    int result;

    if (known != NULL) {
        *ret_info = known;
        return 0;
    }
    if (registry->probe == NULL)
        registry->probe = dray_helper_path("dray-probe", error);
    if (registry->probe == NULL)
        return error->class_;
    result = dray_plugin_examine(entry, registry->probe, registry->cache, &info, error);
    if (result == 0)
        result = known_add(registry, entry, info, error);
    if (result == 0)
        *ret_info = info;
    return result;
}

/* Names of the files that end in .so, sorted. A directory that is not there has none. */
static int list_directory(const char *directory, struct names *ret_files, struct dray_error *error)
{
    DIR *stream = opendir(directory);
    const struct dirent *found;
    int result = 0;

    if (stream == NULL && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (stream == NULL)
        return dray_fail_errno(error, errno, "looking for plugins in %s", directory);
    while (result == 0 && (errno = 0, found = readdir(stream)) != NULL) {
        size_t length = strlen(found->d_name);
        if (length > 3 && found->d_name[0] != '.' &&
            strcmp(found->d_name + length - 3, ".so") == 0 &&
            names_add(ret_files, found->d_name) != 0)
            result = dray_fail_memory(error);
    }
    if (result == 0 && errno != 0)
        result = dray_fail_errno(error, errno, "looking for plugins in %s", directory);
    (void)closedir(stream);
    names_sort(ret_files);
    return result;
}

/* The path of the first of the first `count` directories that has a file of that name; *ret_entry
 * NULL: none has. */
static int locate(const struct dray_registry *registry, size_t count, const char *file,
                  char **ret_entry, struct dray_error *error)
{
    for (size_t i = 0; i < count; i++) {
        struct stat status;
        dray_autofree char *entry = dray_format("%s/%s", registry->directories.items[i], file);
        if (entry == NULL)
            return dray_fail_memory(error);
        if (lstat(entry, &status) == 0) {
            *ret_entry = DRAY_TAKE(entry);
            return 0;
        }
        if (errno != ENOENT && errno != ENOTDIR)
            return dray_fail_errno(error, errno, "looking for the plugin %s", entry);
    }
    *ret_entry = NULL;
    return 0;
}

/* What may be meant instead, and where was looked. */
static int not_found(struct dray_registry *registry, uint32_t kind, const char *name,
                     struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer hint = {.cap = 1 << 16};
    size_t count;
    const char *const *names = dray_registry_names(registry, kind, &count);
    const char *nearest = dray_nearest(name, names, count);
    int result =
        dray_fail(error, DRAY_NOT_FOUND, "there is no plugin %s/%.80s", dray_kind_name(kind), name);

    if (nearest != NULL)
        dray_buffer_format(&hint, "did you mean %s/%s?\n", dray_kind_name(kind), nearest);
    if (registry->directories.count == 0)
        dray_buffer_text(&hint, "there is no directory to look for plugins in");
    for (size_t i = 0; i < registry->directories.count; i++)
        dray_buffer_format(&hint, "%s%s", i == 0 ? "plugins were looked for in " : ", ",
                           registry->directories.items[i]);
    if (hint.failed == 0 && hint.data != NULL)
        dray_hint(error, "%s", hint.data);
    return result;
}

int dray_registry_find(struct dray_registry *registry, uint32_t kind, const char *name,
                       const struct dray_plugin_info **ret_plugin, struct dray_error *error)
{
    const struct dray_plugin_info *info = NULL;
    dray_autofree char *file = NULL;
    dray_autofree char *entry = NULL;
    int result;

    if (dray_kind_name(kind) == NULL)
        return dray_fail(error, DRAY_BUG, "there is no kind of plugin %u", kind);
    /* Before it becomes part of a path. */
    if (!dray_plugin_name_valid(name))
        return not_found(registry, kind, name, error);
    file = dray_format("%s-%s.so", dray_kind_name(kind), name);
    if (file == NULL)
        return dray_fail_memory(error);
    result = locate(registry, registry->directories.count, file, &entry, error);
    if (result != 0)
        return result;
    if (entry == NULL)
        return not_found(registry, kind, name, error);
    result = know(registry, entry, &info, error);
    if (result != 0)
        return result;
    if (info->refused.class_ != 0) {
        *error = info->refused;
        return info->refused.class_;
    }
    *ret_plugin = info;
    return 0;
}

/* A file that can be told from its name to be no use is refused without being opened. */
static int know_file(struct dray_registry *registry, size_t directory, const char *file,
                     const struct dray_plugin_info **ret_info, struct dray_error *error)
{
    dray_autofree char *entry = dray_format("%s/%s", registry->directories.items[directory], file);
    dray_autofree char *earlier = NULL;
    struct dray_plugin_info *info = NULL;
    uint32_t kind;
    const char *name;
    size_t length;
    int result;

    if (entry == NULL)
        return dray_fail_memory(error);
    result = locate(registry, directory, file, &earlier, error);
    if (result != 0)
        return result;
    *ret_info = known_find(registry, entry);
    if (*ret_info != NULL)
        return 0;
    if (!dray_plugin_file_parse(file, &kind, &name, &length))
        result = dray_plugin_refuse(entry, &info, error,
                                    "%s: is not called KIND-NAME.so, where KIND is source, filter, "
                                    "transform, push or notify and NAME is made of a-z, 0-9 and -",
                                    entry);
    else if (earlier != NULL)
        result = dray_plugin_refuse(entry, &info, error,
                                    "%s: is hidden by %s, the first of a name "
                                    "is taken",
                                    entry, earlier);
    else
        return know(registry, entry, ret_info, error);
    if (result == 0)
        result = known_add(registry, entry, info, error);
    if (result == 0)
        *ret_info = info;
    return result;
}

/* By kind and name, then as the directories stand; files that are called otherwise last. */
static int compare_infos(const void *a, const void *b)
{
    const struct dray_plugin_info *x = *(const struct dray_plugin_info *const *)a;
    const struct dray_plugin_info *y = *(const struct dray_plugin_info *const *)b;
    int order;

    if (x->kind != y->kind)
        return x->kind - 1 < y->kind - 1 ? -1 : 1; /* 0 becomes the largest */
    order = x->name == NULL || y->name == NULL ? 0 : strcmp(x->name, y->name);
    if (order == 0)
        order = (x->refused.class_ != 0) - (y->refused.class_ != 0);
    return order != 0 ? order : strcmp(x->file, y->file);
}

int dray_registry_all(struct dray_registry *registry,
                      const struct dray_plugin_info *const **ret_plugins, size_t *ret_count,
                      struct dray_error *error)
{
    registry->all_count = 0;
    for (size_t i = 0; i < registry->directories.count; i++) {
        dray_cleanup(names_free) struct names files = {0};
        int result = list_directory(registry->directories.items[i], &files, error);
        for (size_t j = 0; j < files.count && result == 0; j++) {
            if (DRAY_GROW(registry->all, registry->all_count, registry->all_capacity) != 0)
                return dray_fail_memory(error);
            result =
                know_file(registry, i, files.items[j], &registry->all[registry->all_count], error);
            if (result == 0)
                registry->all_count++;
        }
        if (result != 0)
            return result;
    }
    if (registry->all_count > 1)
        qsort(registry->all, registry->all_count, sizeof *registry->all, compare_infos);
    *ret_plugins = registry->all;
    *ret_count = registry->all_count;
    return 0;
}

/* Only suggestions are made of these: a directory that cannot be read has none to offer. */
static void read_names(struct dray_registry *registry)
{
    struct dray_error ignored;

    for (size_t i = 0; i < registry->directories.count; i++) {
        dray_cleanup(names_free) struct names files = {0};
        (void)!list_directory(registry->directories.items[i], &files, &ignored);
        for (size_t j = 0; j < files.count; j++) {
            uint32_t kind;
            const char *name;
            size_t length;
            if (!dray_plugin_file_parse(files.items[j], &kind, &name, &length))
                continue;
            files.items[j][(size_t)(name - files.items[j]) + length] = '\0';
            if (!names_have(&registry->names[kind], name))
                (void)!names_add(&registry->names[kind], name);
        }
    }
    for (size_t i = 0; i < KINDS; i++)
        names_sort(&registry->names[i]);
    registry->names_read = 1;
}

const char *const *dray_registry_names(struct dray_registry *registry, uint32_t kind,
                                       size_t *ret_count)
{
    *ret_count = 0;
    if (kind >= KINDS)
        return NULL;
    if (!registry->names_read)
        read_names(registry);
    *ret_count = registry->names[kind].count;
    return (const char *const *)registry->names[kind].items;
}
