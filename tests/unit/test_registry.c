/* SPDX-License-Identifier: MIT */
/*
 * Finding plugins: which files are plugins, what is known of one without loading it here, and the
 * exact line that each broken one of tests/badplugins gets. dray-probe is the built program, found
 * beside this one.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/base/digest.h"
#include "core/base/io.h"
#include "core/base/text.h"
#include "tests/unit/made_plugins.h"

/* The refusal of one file: its message without the file's path before it. */
static const char *refusal(struct dray_registry *registry, const char *directory, const char *name,
                           struct dray_error *error)
{
    const struct dray_plugin_info *info = NULL;
    dray_autofree char *prefix = dray_format("%s/filter-%s.so: ", directory, name);

    *error = (struct dray_error){0};
    assert_int_not_equal(dray_registry_find(registry, DRAY_KIND_FILTER, name, &info, error), 0);
    assert_null(info);
    assert_non_null(prefix);
    if (strncmp(error->message, prefix, strlen(prefix)) != 0)
        fail_msg("%s: the message does not begin with the file: %s", name, error->message);
    return error->message + strlen(prefix);
}

static void assert_refused(const char *source, const char *expected)
{
    char *directory = plugins_directory();
    plugins_add(directory, source);
    dray_cleanup(dray_registry_freep) struct dray_registry *registry =
        plugins_registry(directory, NULL, NULL);
    struct dray_error error;

    assert_string_equal(refusal(registry, directory, source, &error), expected);
    assert_int_equal(error.class_, DRAY_INVALID);
    plugins_remove(directory);
}

static void every_broken_descriptor_gets_its_message(void **state)
{
    static const char *const table[][2] = {
        {"wrong-magic", "no plugin of Dray: its magic number is 0x4d4c4b4a49484746, not "
                        "0x47554c5059415244"},
        {"wrong-major", "built for plugin ABI 1.3, this Dray has 0.3"},
        {"wrong-minor", "built for plugin ABI 0.4, this Dray has 0.3 (before 1.0 both numbers must "
                        "be equal)"},
        {"min-minor", "needs plugin ABI 0.4 or later, this Dray has 0.3"},
        {"unknown-needs", "needs features 0x10000000000 of the host, this Dray knows 0x0"},
        {"short-struct", "its descriptor says it has 112 bytes, ABI 0.3 has at least 120"},
        {"long-struct", "its descriptor says it has 4216 bytes, the file holds 120 of it"},
        {"tiny-symbol", "its dray_plugin_v1 has 8 bytes, a descriptor has at least 120"},
        {"function-symbol", "its symbol \"dray_plugin_v1\" is not an object, a descriptor is one"},
        {"missing-symbol", "has no symbol \"dray_plugin_v1\", every plugin exports it"},
        {"undefined-symbol", "cannot be loaded: undefined symbol: dray_test_nobody_has_this"},
        {"wrong-kind", "of kind 9, this Dray knows 1 (source) to 5 (notify)"},
        {"no-operations", "has no operations, a filter needs them"},
        {"short-operations",
         "its operations say they have 8 bytes, those of a filter have at least 16"},
        {"null-operation", "has no operation \"decide\", a filter needs it"},
        {"no-version", "has no version"},
        {"no-summary", "has no summary"},
        {"bad-summary", "its summary is not one line of UTF-8"},
        {"small-rows", "a row of its options has 8 bytes, in ABI 0.3 at least 64"},
        {"no-table", "says it has 3 options and has no table"},
        {"many-options", "says it has 100000 options, 512 are the most"},
        {"two-options", "has two options \"limit\""},
        {"outside-option", "option \"limit\" lies at byte 0 and takes 8, the instance has 4"},
        {"crooked-option", "option \"limit\" lies at byte 4, which is no multiple of 8"},
        {"unknown-type", "option \"limit\" is of type 77, this Dray knows 1 to 10"},
        {"nameless-option", "option 0 has no name"},
        {"upper-option", "option 0 is called \"Limit\", a name is made of a-z, 0-9 and _"},
        {"helpless-option", "option \"limit\" has no line of help"},
        {"bad-default", "the default of option \"limit\" is wrong: it takes at most 100, not "
                        "\"900\""},
        {"required-default", "option \"text\" is required and has a default"},
        {"no-choices", "option \"limit\" is a choice of nothing"},
        {"bad-choice-default", "the default of option \"limit\" is wrong: it takes fail or merge, "
                               "not \"never\""},
    };

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(table); i++)
        assert_refused(table[i][0], table[i][1]);
}

static void a_plugin_that_crashes_or_leaves_while_loaded_is_named(void **state)
{
    (void)state;
    assert_refused("constructor-crash", "dray-probe died of SIGSEGV (segmentation fault) while it "
                                        "was loaded, a plugin must do nothing then");
    assert_refused("constructor-exit", "dray-probe exited with status 0 while it was loaded, a "
                                       "plugin must do nothing then");
    assert_refused("wild-pointer", "dray-probe died of SIGSEGV (segmentation fault) while its "
                                   "descriptor was read, every pointer in it must be good");
}

static void what_a_dying_plugin_wrote_last_becomes_the_hint(void **state)
{
    char *directory = plugins_directory();
    plugins_add(directory, "constructor-abort");
    dray_cleanup(dray_registry_freep) struct dray_registry *registry =
        plugins_registry(directory, NULL, NULL);
    struct dray_error error;

    (void)state;
    assert_string_equal(
        refusal(registry, directory, "constructor-abort", &error),
        "dray-probe died of SIGABRT (aborted) while it was loaded, a plugin must do "
        "nothing then");
    assert_string_equal(error.hint, "it wrote: no \xef\xbf\xbd[1mlicence\xef\xbf\xbd[0m found");
    plugins_remove(directory);
}

static void a_plugin_that_hangs_while_loaded_is_stopped_and_named(void **state)
{
    char *directory = plugins_directory();
    plugins_add(directory, "constructor-hang");
    dray_cleanup(dray_registry_freep) struct dray_registry *registry =
        plugins_registry(directory, NULL, NULL);
    struct dray_error error;
    int64_t start = dray_monotonic();

    (void)state;
    assert_string_equal(refusal(registry, directory, "constructor-hang", &error),
                        "still being loaded after 5 seconds and stopped, a plugin must do nothing "
                        "then");
    assert_string_equal(error.hint, "it wrote: waiting for a licence server");
    assert_true(dray_monotonic() - start < INT64_C(15000000000));
    plugins_remove(directory);
}

static void a_missing_dependency_is_named(void **state)
{
    char *directory = plugins_directory();
    dray_autofree char *gone = plugins_path(directory, "libdray-test-gone.so");
    dray_cleanup(dray_registry_freep) struct dray_registry *registry =
        plugins_registry(directory, NULL, NULL);
    struct dray_error error;

    (void)state;
    plugins_make(directory, "missing-symbol", "libdray-test-gone.so",
                 "-Wl,-soname,libdray-test-gone.so");
    plugins_make(directory, "missing-dependency", "filter-missing-dependency.so", gone);
    assert_int_equal(unlink(gone), 0);
    assert_string_equal(
        refusal(registry, directory, "missing-dependency", &error),
        "cannot be loaded: libdray-test-gone.so: cannot open shared object file: No "
        "such file or directory");
    plugins_remove(directory);
}

static void a_file_that_is_no_library_is_refused(void **state)
{
    char *directory = plugins_directory();
    dray_autofree char *folder = plugins_path(directory, "filter-folder.so");
    dray_autofree char *link = plugins_path(directory, "filter-link.so");
    dray_cleanup(dray_registry_freep) struct dray_registry *registry =
        plugins_registry(directory, NULL, NULL);
    struct dray_error error;

    (void)state;
    plugins_write(directory, "filter-text.so",
                  "This is a text, and it is longer than the head of "
                  "any library could be, so that it is looked at.\n");
    plugins_write(directory, "filter-empty.so", "");
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_int_equal(symlink("nowhere", link), 0);
    assert_string_equal(refusal(registry, directory, "text", &error),
                        "cannot be loaded: invalid ELF header");
    assert_string_equal(refusal(registry, directory, "empty", &error),
                        "cannot be loaded: file too short");
    assert_string_equal(refusal(registry, directory, "folder", &error),
                        "is not a file, a plugin is one");
    assert_string_equal(refusal(registry, directory, "link", &error),
                        "looking at the plugin: No such file or directory");
    plugins_remove(directory);
}

static void a_plugin_must_be_called_as_its_file(void **state)
{
    char *directory = plugins_directory();
    dray_cleanup(dray_registry_freep) struct dray_registry *registry =
        plugins_registry(directory, NULL, NULL);
    struct dray_error error;

    (void)state;
    plugins_make(directory, "good", "filter-other.so", NULL);
    assert_string_equal(refusal(registry, directory, "other", &error),
                        "holds filter/good, whose file must be called filter-good.so");
    assert_string_equal(error.hint, "rename the file to filter-good.so");
    plugins_remove(directory);
}

/* A plugin that others may write is not even opened: its constructor leaves no mark. */
static void assert_untrusted(const char *directory, const char *expected, const char *hint)
{
    dray_autofree char *mark = plugins_path(directory, "mark");
    dray_autofree char *message = NULL;
    dray_cleanup(dray_registry_freep) struct dray_registry *registry =
        plugins_registry(directory, NULL, NULL);
    const struct dray_plugin_info *info = NULL;
    struct dray_error error = {0};

    assert_int_equal(setenv("DRAY_TEST_MARK", mark, 1), 0);
    assert_int_equal(dray_registry_find(registry, DRAY_KIND_FILTER, "leaves-mark", &info, &error),
                     DRAY_DENIED);
    message = dray_format("%s/filter-leaves-mark.so: %s", directory, expected);
    assert_string_equal(error.message, message);
    assert_string_equal(error.hint, hint);
    assert_int_equal(plugins_size(directory, "mark"), 0);
    assert_int_equal(unsetenv("DRAY_TEST_MARK"), 0);
}

static void a_plugin_that_others_may_write_is_not_opened(void **state)
{
    char *directory = plugins_directory();
    dray_autofree char *file = plugins_make_filter(directory, "leaves-mark");
    dray_autofree char *file_hint = dray_format("if you trust it: chmod go-w '%s'", file);
    dray_autofree char *folder_hint = dray_format("if you trust it: chmod go-w '%s'", directory);
    dray_autofree char *folder = dray_format("its directory %s may be written by others (mode "
                                             "0777), only its owner may write a plugin",
                                             directory);

    (void)state;
    assert_int_equal(chmod(file, 0757), 0);
    assert_untrusted(directory,
                     "the file may be written by others (mode 0757), only its owner may "
                     "write a plugin",
                     file_hint);
    assert_int_equal(chmod(file, 0775), 0);
    assert_untrusted(directory,
                     "the file may be written by others (mode 0775), only its owner may "
                     "write a plugin",
                     file_hint);
    assert_int_equal(chmod(file, 0755), 0);
    assert_int_equal(chmod(directory, 0777), 0);
    assert_untrusted(directory, folder, folder_hint);
    plugins_remove(directory);
}

static void a_link_is_trusted_no_more_than_what_it_leads_to(void **state)
{
    char *real = plugins_directory();
    char *directory = plugins_directory();
    dray_autofree char *file = plugins_make_filter(real, "leaves-mark");
    dray_autofree char *link = plugins_path(directory, "filter-leaves-mark.so");
    dray_autofree char *hint = dray_format("if you trust it: chmod go-w '%s'", real);
    dray_autofree char *expected = dray_format("its directory %s may be written by others (mode "
                                               "0733), only its owner may write a plugin",
                                               real);

    (void)state;
    assert_int_equal(symlink(file, link), 0);
    assert_int_equal(chmod(real, 0733), 0);
    assert_untrusted(directory, expected, hint);
    plugins_remove(directory);
    plugins_remove(real);
}

static void a_plugin_of_another_user_is_not_opened(void **state)
{
    char *directory = plugins_directory();
    dray_autofree char *file = plugins_make_filter(directory, "leaves-mark");
    dray_autofree char *hint = dray_format("if you trust it: chown root '%s'", file);

    (void)state;
    if (chown(file, 4711, (gid_t)-1) != 0) {
        plugins_remove(directory);
        skip();
    }
    assert_untrusted(directory,
                     "the file belongs to user 4711, a plugin must belong to root or to "
                     "the user who runs Dray (0)",
                     hint);
    plugins_remove(directory);
}

static void a_good_plugin_is_known_without_being_loaded_here(void **state)
{
    char *directory = plugins_directory();
    dray_autofree char *file = plugins_path(directory, "push-all-types.so");
    dray_cleanup(dray_registry_freep) struct dray_registry *registry =
        plugins_registry(directory, NULL, NULL);
    dray_cleanup(dray_buffer_free) struct dray_buffer bytes = {.cap = 1 << 24};
    const struct dray_plugin_info *info = NULL;
    const struct dray_plugin_info *again = NULL;
    struct dray_error error = {0};
    uint8_t digest[DRAY_SHA256_BYTES];
    char hex[DRAY_SHA256_HEX];

    (void)state;
    plugins_make(directory, "all-types", "push-all-types.so", NULL);
    assert_int_equal(dray_registry_find(registry, DRAY_KIND_PUSH, "all-types", &info, &error), 0);
    assert_string_equal(info->file, file);
    assert_int_equal(dray_read_file(file, &bytes, &error), 0);
    assert_int_equal(dray_sha256(bytes.data, bytes.length, digest), 0);
    assert_string_equal(info->digest, dray_hex(digest, sizeof digest, hex));
    assert_string_equal(info->name, "all-types");
    assert_string_equal(info->version, "2.1.0");
    assert_string_equal(info->summary, "Every type of option");
    assert_int_equal(info->kind, DRAY_KIND_PUSH);
    assert_int_equal(info->major, DRAY_ABI_MAJOR);
    assert_int_equal(info->minor, DRAY_ABI_MINOR);
    assert_int_equal(info->caps, DRAY_CAP_STREAM);
    assert_int_equal(info->target_type, DRAY_TARGET_CLOUD);
    assert_int_equal(info->option_count, 11);
    assert_string_equal(info->options[1].name, "number");
    assert_string_equal(info->options[1].help, "A number");
    assert_string_equal(info->options[1].fallback, "-5");
    assert_null(info->options[1].choices);
    assert_int_equal(info->options[1].min, -10);
    assert_int_equal(info->options[1].max, 10);
    assert_int_equal(info->options[1].type, DRAY_TYPE_INT);
    assert_string_equal(info->options[4].choices, "fail|merge|replace");
    assert_null(info->options[5].fallback);
    assert_int_equal(info->options[6].flags, DRAY_OPTION_READS);
    assert_int_equal(info->options[10].flags, DRAY_OPTION_REQUIRED);
    assert_int_equal(info->refused.class_, 0);
    assert_int_equal(dray_registry_find(registry, DRAY_KIND_PUSH, "all-types", &again, &error), 0);
    assert_ptr_equal(info, again);
    plugins_remove(directory);
}

static void structs_that_grew_at_their_tails_are_read_by_the_plugins_sizes(void **state)
{
    char *directory = plugins_directory();
    plugins_add(directory, "long-rows");
    dray_cleanup(dray_registry_freep) struct dray_registry *registry =
        plugins_registry(directory, NULL, NULL);
    const struct dray_plugin_info *info = NULL;
    struct dray_error error = {0};

    (void)state;
    assert_int_equal(dray_registry_find(registry, DRAY_KIND_FILTER, "long-rows", &info, &error), 0);
    assert_int_equal(info->option_count, 3);
    assert_string_equal(info->options[0].name, "number");
    assert_string_equal(info->options[1].name, "text");
    assert_string_equal(info->options[1].fallback, "hello");
    assert_string_equal(info->options[2].name, "list");
    assert_int_equal(info->options[2].type, DRAY_TYPE_STRINGS);
    assert_int_equal(info->caps, UINT64_C(1) << 50);
    plugins_remove(directory);
}

static void ill_manners_that_harm_nobody_are_survived(void **state)
{
    char *directory = plugins_directory();
    plugins_add(directory, "constructor-prints");
    plugins_add(directory, "destructor-crash");
    dray_cleanup(dray_registry_freep) struct dray_registry *registry =
        plugins_registry(directory, NULL, NULL);
    const struct dray_plugin_info *info = NULL;
    struct dray_error error = {0};
    int64_t start = dray_monotonic();

    (void)state;
    assert_int_equal(
        dray_registry_find(registry, DRAY_KIND_FILTER, "constructor-prints", &info, &error), 0);
    assert_string_equal(info->summary, "Keeps everything");
    assert_true(dray_monotonic() - start < INT64_C(4000000000));
    assert_int_equal(
        dray_registry_find(registry, DRAY_KIND_FILTER, "destructor-crash", &info, &error), 0);
    plugins_remove(directory);
}

static void an_unknown_name_is_answered_with_the_nearest_and_where_was_looked(void **state)
{
    char *first = plugins_directory();
    char *second = plugins_directory();
    plugins_add(second, "good");
    dray_autofree char *expected = dray_format("did you mean filter/good?\n"
                                               "plugins were looked for in %s, %s",
                                               first, second);
    dray_autofree char *nowhere = dray_format("plugins were looked for in %s, %s", first, second);
    dray_cleanup(dray_registry_freep) struct dray_registry *registry =
        plugins_registry(first, second, NULL);
    const struct dray_plugin_info *info = NULL;
    struct dray_error error = {0};

    (void)state;
    assert_int_equal(dray_registry_find(registry, DRAY_KIND_FILTER, "goood", &info, &error),
                     DRAY_NOT_FOUND);
    assert_string_equal(error.message, "there is no plugin filter/goood");
    assert_string_equal(error.hint, expected);
    assert_int_equal(dray_registry_find(registry, DRAY_KIND_PUSH, "good", &info, &error),
                     DRAY_NOT_FOUND);
    assert_string_equal(error.message, "there is no plugin push/good");
    assert_string_equal(error.hint, nowhere);
    plugins_remove(first);
    plugins_remove(second);
}

static void a_name_never_leads_out_of_the_directory(void **state)
{
    static const char *const names[] = {"../good", "a/../../good", "", ".", "good.so", "Good"};
    char *outer = plugins_directory();
    dray_autofree char *inner = plugins_path(outer, "filter-a");
    dray_autofree char *file = NULL;
    dray_cleanup(dray_registry_freep) struct dray_registry *registry = NULL;
    const struct dray_plugin_info *info = NULL;
    struct dray_error error = {0};

    (void)state;
    assert_int_equal(mkdir(inner, 0755), 0);
    file = plugins_make_filter(outer, "good");
    registry = plugins_registry(inner, NULL, NULL);
    for (size_t i = 0; i < DRAY_COUNT(names); i++)
        assert_int_equal(dray_registry_find(registry, DRAY_KIND_FILTER, names[i], &info, &error),
                         DRAY_NOT_FOUND);
    plugins_remove(outer);
}

static void of_two_plugins_with_one_name_the_first_counts_and_the_other_is_listed(void **state)
{
    char *first = plugins_directory();
    char *second = plugins_directory();
    dray_autofree char *one = plugins_make_filter(first, "good");
    dray_autofree char *two = plugins_make_filter(second, "good");
    dray_autofree char *hidden =
        dray_format("%s: is hidden by %s, the first of a name is taken", two, one);
    dray_autofree char *unnamed = dray_format(
        "%s/odd.so: is not called KIND-NAME.so, where KIND is source, filter, transform, "
        "push or notify and NAME is made of a-z, 0-9 and -",
        second);
    dray_cleanup(dray_registry_freep) struct dray_registry *registry = NULL;
    const struct dray_plugin_info *const *plugins = NULL;
    const struct dray_plugin_info *info = NULL;
    struct dray_error error = {0};
    size_t count = 0;

    (void)state;
    plugins_make(second, "all-types", "push-all-types.so", NULL);
    plugins_write(second, "odd.so", "odd");
    plugins_write(second, "filter-old.so.bak", "no plugin by its name");
    registry = plugins_registry(first, second, NULL);
    assert_int_equal(dray_registry_all(registry, &plugins, &count, &error), 0);
    assert_int_equal(count, 4);
    assert_string_equal(plugins[0]->file, one);
    assert_int_equal(plugins[0]->refused.class_, 0);
    assert_string_equal(plugins[1]->refused.message, hidden);
    assert_string_equal(plugins[1]->name, "good");
    assert_string_equal(plugins[2]->name, "all-types");
    assert_int_equal(plugins[2]->refused.class_, 0);
    assert_string_equal(plugins[3]->refused.message, unnamed);
    assert_int_equal(dray_registry_find(registry, DRAY_KIND_FILTER, "good", &info, &error), 0);
    assert_string_equal(info->file, one);
    /* Asked again, the same. */
    assert_int_equal(dray_registry_all(registry, &plugins, &count, &error), 0);
    assert_int_equal(count, 4);
    assert_ptr_equal(plugins[0], info);
    plugins_remove(first);
    plugins_remove(second);
}

static void a_directory_that_is_given_twice_or_is_not_there_hides_nothing(void **state)
{
    char *directory = plugins_directory();
    plugins_add(directory, "good");
    dray_autofree char *link = dray_format("%s-link", directory);
    const char *const directories[] = {"/nonexistent/dray", directory, link};
    dray_cleanup(dray_registry_freep) struct dray_registry *registry = NULL;
    const struct dray_plugin_info *const *plugins = NULL;
    struct dray_error error = {0};
    size_t count = 0;

    (void)state;
    assert_int_equal(symlink(directory, link), 0);
    assert_int_equal(dray_registry_new(directories, 3, NULL, &registry, &error), 0);
    assert_int_equal(dray_registry_all(registry, &plugins, &count, &error), 0);
    assert_int_equal(count, 1);
    assert_int_equal(plugins[0]->refused.class_, 0);
    assert_int_equal(unlink(link), 0);
    plugins_remove(directory);
}

static void names_come_from_file_names_alone(void **state)
{
    char *first = plugins_directory();
    char *second = plugins_directory();
    dray_cleanup(dray_registry_freep) struct dray_registry *registry = NULL;
    const char *const *names;
    size_t count = 0;

    (void)state;
    plugins_write(first, "filter-size.so", "never opened");
    plugins_write(first, "push-hpfs.so", "never opened");
    plugins_write(second, "filter-size.so", "never opened");
    plugins_write(second, "filter-by-age.so", "never opened");
    plugins_write(second, "filter.so", "no name");
    registry = plugins_registry(first, second, NULL);
    names = dray_registry_names(registry, DRAY_KIND_FILTER, &count);
    assert_int_equal(count, 2);
    assert_string_equal(names[0], "by-age");
    assert_string_equal(names[1], "size");
    (void)dray_registry_names(registry, DRAY_KIND_NOTIFY, &count);
    assert_int_equal(count, 0);
    plugins_remove(first);
    plugins_remove(second);
}

/* --- The cache: how often a plugin was opened is what its constructor marked ---------------------
 */

static size_t opened_by_find(const char *directory, const char *name, const char *cache)
{
    dray_autofree char *mark = plugins_path(directory, "mark");
    dray_cleanup(dray_registry_freep) struct dray_registry *registry =
        plugins_registry(directory, NULL, cache);
    const struct dray_plugin_info *info = NULL;
    struct dray_error error = {0};

    assert_int_equal(setenv("DRAY_TEST_MARK", mark, 1), 0);
    (void)!unlink(mark);
    if (dray_registry_find(registry, DRAY_KIND_FILTER, name, &info, &error) == 0) {
        assert_string_equal(info->summary, "Keeps everything");
        assert_string_equal(info->options[0].fallback, "10");
    }
    assert_int_equal(unsetenv("DRAY_TEST_MARK"), 0);
    return plugins_size(directory, "mark");
}

/* The path of the one file in the cache. */
static char *only_file(const char *cache, const char *entry)
{
    uint8_t digest[DRAY_SHA256_BYTES];
    char hex[DRAY_SHA256_HEX];
    char *path;

    assert_int_equal(dray_sha256(entry, strlen(entry), digest), 0);
    path = dray_format("%s/plugin-%s.json", cache, dray_hex(digest, 16, hex));
    assert_non_null(path);
    return path;
}

static void an_answer_is_kept_until_the_file_changes(void **state)
{
    char *directory = plugins_directory();
    dray_autofree char *file = plugins_make_filter(directory, "leaves-mark");
    dray_autofree char *cache = plugins_path(directory, "deep/cache");
    dray_autofree char *kept = only_file(cache, file);
    struct stat status;

    (void)state;
    assert_int_equal(opened_by_find(directory, "leaves-mark", cache), 1);
    assert_int_equal(stat(kept, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(opened_by_find(directory, "leaves-mark", cache), 0);
    assert_int_equal(opened_by_find(directory, "leaves-mark", NULL), 1);
    /* Only the times differ. */
    assert_int_equal(utimensat(AT_FDCWD, file, NULL, 0), 0);
    assert_int_equal(opened_by_find(directory, "leaves-mark", cache), 1);
    assert_int_equal(opened_by_find(directory, "leaves-mark", cache), 0);
    plugins_remove(directory);
}

static void a_cache_that_is_damaged_or_not_ours_is_made_anew(void **state)
{
    static const char *const damage[] = {"", "{", "[]", "{\"file\": 1}", "\xff\xfe"};
    char *directory = plugins_directory();
    dray_autofree char *file = plugins_make_filter(directory, "leaves-mark");
    dray_autofree char *kept = only_file(directory, file);
    struct dray_error error = {0};
    json_t *json;

    (void)state;
    assert_int_equal(opened_by_find(directory, "leaves-mark", directory), 1);
    for (size_t i = 0; i < DRAY_COUNT(damage); i++) {
        assert_int_equal(dray_write_file(kept, damage[i], strlen(damage[i]), 0600, &error), 0);
        assert_int_equal(opened_by_find(directory, "leaves-mark", directory), 1);
        assert_int_equal(opened_by_find(directory, "leaves-mark", directory), 0);
    }
    /* The right key, and nonsense for an answer. */
    json = json_load_file(kept, 0, NULL);
    assert_int_equal(json_object_set_new(json, "plugin", json_pack("{s:s}", "name", "x")), 0);
    assert_int_equal(json_dump_file(json, kept, 0), 0);
    json_decref(json);
    assert_int_equal(opened_by_find(directory, "leaves-mark", directory), 1);
    assert_int_equal(opened_by_find(directory, "leaves-mark", directory), 0);
    assert_int_equal(chmod(kept, 0666), 0);
    assert_int_equal(opened_by_find(directory, "leaves-mark", directory), 1);
    plugins_remove(directory);
}

static void refusals_are_asked_for_anew(void **state)
{
    char *directory = plugins_directory();

    (void)state;
    plugins_make(directory, "leaves-mark", "filter-other.so", NULL);
    assert_int_equal(opened_by_find(directory, "other", directory), 1);
    assert_int_equal(opened_by_find(directory, "other", directory), 1);
    plugins_remove(directory);
}

/* --- What people and programs are shown
 * ------------------------------------------------------------ */

static void the_list_shows_the_good_in_a_table_and_why_others_are_refused(void **state)
{
    char *directory = plugins_directory();
    dray_autofree char *good = plugins_make_filter(directory, "good");
    dray_autofree char *major = plugins_make_filter(directory, "wrong-major");
    dray_autofree char *expected = NULL;
    dray_cleanup(dray_registry_freep) struct dray_registry *registry = NULL;
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 1 << 20};
    const struct dray_plugin_info *const *plugins = NULL;
    struct dray_error error = {0};
    size_t count = 0;

    (void)state;
    plugins_make(directory, "all-types", "push-all-types.so", NULL);
    registry = plugins_registry(directory, NULL, NULL);
    assert_int_equal(dray_registry_all(registry, &plugins, &count, &error), 0);
    dray_plugins_print(plugins, count, &out);
    expected = dray_format("PLUGIN          VERSION  ABI  SUMMARY               FILE\n"
                           "filter/good     1.0.0    0.3  Keeps everything      %s\n"
                           "push/all-types  2.1.0    0.3  Every type of option  "
                           "%s/push-all-types.so\n"
                           "\n"
                           "refused:\n"
                           "  %s: built for plugin ABI 1.3, this Dray has 0.3\n"
                           "    build it anew with this Dray's dray/plugin.h (pkg-config dray)\n",
                           good, directory, major);
    assert_int_equal(out.failed, 0);
    assert_string_equal(out.data, expected);
    plugins_remove(directory);
}

static void one_plugin_is_shown_with_its_options(void **state)
{
    char *directory = plugins_directory();
    dray_autofree char *good = plugins_make_filter(directory, "good");
    dray_autofree char *expected = NULL;
    dray_cleanup(dray_registry_freep) struct dray_registry *registry =
        plugins_registry(directory, NULL, NULL);
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 1 << 20};
    const struct dray_plugin_info *info = NULL;
    struct dray_error error = {0};

    (void)state;
    assert_int_equal(dray_registry_find(registry, DRAY_KIND_FILTER, "good", &info, &error), 0);
    dray_plugin_print(info, &out);
    expected = dray_format("filter/good  Keeps everything\n"
                           "\n"
                           "version  1.0.0\n"
                           "ABI      0.3\n"
                           "file     %s\n"
                           "sha256   %s\n"
                           "\n"
                           "OPTION  TYPE  DEFAULT  MEANING\n"
                           "limit   int   10       Does nothing\n",
                           good, info->digest);
    assert_string_equal(out.data, expected);
    plugins_remove(directory);
}

static void the_json_of_a_plugin_has_its_documented_keys(void **state)
{
    char *directory = plugins_directory();
    dray_cleanup(dray_registry_freep) struct dray_registry *registry = NULL;
    const struct dray_plugin_info *info = NULL;
    struct dray_error error = {0};
    json_t *json;
    json_t *expected;

    (void)state;
    plugins_make(directory, "all-types", "push-all-types.so", NULL);
    registry = plugins_registry(directory, NULL, NULL);
    assert_int_equal(dray_registry_find(registry, DRAY_KIND_PUSH, "all-types", &info, &error), 0);
    json = dray_plugin_json(info);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "kind")), "push");
    assert_string_equal(json_string_value(json_object_get(json, "name")), "all-types");
    assert_string_equal(json_string_value(json_object_get(json, "version")), "2.1.0");
    assert_string_equal(json_string_value(json_object_get(json, "abi")), "0.3");
    assert_string_equal(json_string_value(json_object_get(json, "file")), info->file);
    assert_string_equal(json_string_value(json_object_get(json, "digest")), info->digest);
    assert_string_equal(json_string_value(json_object_get(json, "target_type")), "cloud");
    expected = json_pack("{s:s, s:s, s:b, s:s, s:s, s:[s, s, s]}", "name", "choice", "type",
                         "choice", "required", 0, "help", "A choice", "default", "merge", "choices",
                         "fail", "merge", "replace");
    assert_true(json_equal(json_array_get(json_object_get(json, "options"), 4), expected));
    json_decref(expected);
    expected = json_pack("{s:s, s:s, s:b, s:s, s:s, s:i, s:i}", "name", "number", "type", "int",
                         "required", 0, "help", "A number", "default", "-5", "min", -10, "max", 10);
    assert_true(json_equal(json_array_get(json_object_get(json, "options"), 1), expected));
    json_decref(expected);
    json_decref(json);
    plugins_remove(directory);
}

static void the_json_of_a_refused_plugin_says_why(void **state)
{
    char *directory = plugins_directory();
    plugins_add(directory, "wrong-kind");
    dray_cleanup(dray_registry_freep) struct dray_registry *registry =
        plugins_registry(directory, NULL, NULL);
    const struct dray_plugin_info *const *plugins = NULL;
    struct dray_error error = {0};
    size_t count = 0;
    json_t *json;
    json_t *refused;

    (void)state;
    assert_int_equal(dray_registry_all(registry, &plugins, &count, &error), 0);
    assert_int_equal(count, 1);
    json = dray_plugin_json(plugins[0]);
    refused = json_object_get(json, "refused");
    assert_string_equal(json_string_value(json_object_get(json, "name")), "wrong-kind");
    assert_string_equal(json_string_value(json_object_get(refused, "class")), "invalid");
    assert_non_null(strstr(json_string_value(json_object_get(refused, "message")), "of kind 9"));
    json_decref(json);
    plugins_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_broken_descriptor_gets_its_message),
        cmocka_unit_test(a_plugin_that_crashes_or_leaves_while_loaded_is_named),
        cmocka_unit_test(what_a_dying_plugin_wrote_last_becomes_the_hint),
        cmocka_unit_test(a_plugin_that_hangs_while_loaded_is_stopped_and_named),
        cmocka_unit_test(a_missing_dependency_is_named),
        cmocka_unit_test(a_file_that_is_no_library_is_refused),
        cmocka_unit_test(a_plugin_must_be_called_as_its_file),
        cmocka_unit_test(a_plugin_that_others_may_write_is_not_opened),
        cmocka_unit_test(a_link_is_trusted_no_more_than_what_it_leads_to),
        cmocka_unit_test(a_plugin_of_another_user_is_not_opened),
        cmocka_unit_test(a_good_plugin_is_known_without_being_loaded_here),
        cmocka_unit_test(structs_that_grew_at_their_tails_are_read_by_the_plugins_sizes),
        cmocka_unit_test(ill_manners_that_harm_nobody_are_survived),
        cmocka_unit_test(an_unknown_name_is_answered_with_the_nearest_and_where_was_looked),
        cmocka_unit_test(a_name_never_leads_out_of_the_directory),
        cmocka_unit_test(of_two_plugins_with_one_name_the_first_counts_and_the_other_is_listed),
        cmocka_unit_test(a_directory_that_is_given_twice_or_is_not_there_hides_nothing),
        cmocka_unit_test(names_come_from_file_names_alone),
        cmocka_unit_test(an_answer_is_kept_until_the_file_changes),
        cmocka_unit_test(a_cache_that_is_damaged_or_not_ours_is_made_anew),
        cmocka_unit_test(refusals_are_asked_for_anew),
        cmocka_unit_test(the_list_shows_the_good_in_a_table_and_why_others_are_refused),
        cmocka_unit_test(one_plugin_is_shown_with_its_options),
        cmocka_unit_test(the_json_of_a_plugin_has_its_documented_keys),
        cmocka_unit_test(the_json_of_a_refused_plugin_says_why),
    };

    /* Plugins that a compiler makes may be written by their owner only. */
    (void)umask(022);
    return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
