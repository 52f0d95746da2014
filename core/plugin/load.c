/* SPDX-License-Identifier: MIT */
/* load.c - see load.h. What a process loads stays until it ends: code of a plugin may be running,
 * or be called at exit. */
#include "core/plugin/load.h"

#include <ltdl.h>
#include <string.h>
#include <sys/stat.h>

#include "core/plugin/descriptor.h"
#include "core/plugin/examine.h"

/* The address of the descriptor. libltdl knows no reasons, but the file was probed before:
 * dray-probe does. */
static int open_file(const char *file, const struct dray_plugin **ret_found,
                     struct dray_error *error)
{
    lt_dladvise advise = NULL;
    lt_dlhandle handle = NULL;
    int failed = lt_dlinit() != 0 || lt_dladvise_init(&advise) != 0 ||
                 lt_dladvise_local(&advise) != 0 || lt_dladvise_resident(&advise) != 0;

    if (!failed)
        handle = lt_dlopenadvise(file, advise);
    if (handle != NULL)
        *ret_found = lt_dlsym(handle, "dray_plugin_v1");
    if (advise != NULL)
        (void)lt_dladvise_destroy(&advise);
    if (handle == NULL) {
        int result = dray_fail(error, DRAY_INVALID, "%s: cannot be loaded: %s", file, lt_dlerror());
        dray_hint(error, "ask dray-probe for the loader's own reason: dray-probe '%s'", file);
        return result;
    }
    if (*ret_found == NULL)
        return dray_fail(error, DRAY_INVALID,
                         "%s: has no symbol \"dray_plugin_v1\", every plugin exports it", file);
    return 0;
}

int dray_plugin_load(const char *file, const char *digest, struct dray_loaded **ret_loaded,
                     struct dray_error *error)
{
    dray_autofree struct dray_loaded *loaded = calloc(1, sizeof *loaded);
    const struct dray_plugin *found = NULL;
    char found_digest[DRAY_SHA256_HEX];
    struct stat status;
    int result;

    if (loaded == NULL)
        return dray_fail_memory(error);
    result = dray_plugin_trusted(file, error);
    if (result == 0 && digest != NULL)
        result = dray_plugin_digest(file, found_digest, &status, error);
    if (result != 0)
        return result;
    if (digest != NULL && strcmp(found_digest, digest) != 0)
        return dray_fail(error, DRAY_CHANGED,
                         "%s: was changed since it was probed: its SHA-256 is %s, not %s", file,
                         found_digest, digest);
    result = open_file(file, &found, error);
    if (result == 0)
        result = dray_descriptor_check(file, found, SIZE_MAX, loaded, error);
    if (result != 0)
        return result;
    *ret_loaded = DRAY_TAKE(loaded);
    return 0;
}
