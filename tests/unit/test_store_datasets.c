/* SPDX-License-Identifier: MIT */
/* The catalog: datasets by type and name, id and external id, and their lists of files. */
#include "store_fixture.h"

#define dray_dataset dray_cleanup(dray_dataset_row_clear) struct dray_dataset_row

static struct dray_dataset_row new_dataset(const char *name, const char *type)
{
    struct dray_dataset_row row = {.name = text_of(name), .type = text_of(type)};

    return row;
}

static uint64_t put(struct fixture *fixture, const char *name, const char *type)
{
    dray_dataset row = new_dataset(name, type);

    OK(dray_store_dataset_put(fixture->store, &row, &fixture->error));
    return row.id;
}

static size_t count_of(struct fixture *fixture, struct dray_dataset_wanted wanted)
{
    struct dray_dataset_row *rows = NULL;
    size_t count = 99;

    OK(dray_store_datasets(fixture->store, &wanted, &rows, &count, &fixture->error));
    dray_dataset_rows_free(rows, count);
    return count;
}

/* The only one that fits. */
static struct dray_dataset_row get(struct fixture *fixture, struct dray_dataset_wanted wanted)
{
    struct dray_dataset_row *rows = NULL, row;
    size_t count = 99;

    OK(dray_store_datasets(fixture->store, &wanted, &rows, &count, &fixture->error));
    assert_int_equal(count, 1);
    row = rows[0];
    free(rows);
    return row;
}

static int add_file(struct fixture *fixture, uint64_t id, const char *path, uint64_t bytes,
                    const char *sha256)
{
    const struct dray_dataset_file file = {.path = path, .bytes = bytes, .sha256 = sha256};

    return dray_store_dataset_add(fixture->store, id, &file, &fixture->error);
}

static void all_that_is_said_of_a_dataset_is_there_again(void **state)
{
    struct fixture *fixture = *state;
    dray_dataset row = new_dataset("ocean", "RAW_DATA");

    row.external_id = text_of("bio-17");
    row.owner = text_of("mira");
    row.tags = json_pack("[s, s]", "human", "wgs");
    row.labels = json_pack("{s:s}", "project", "P1");
    row.source = text_of("/archive/ocean.tar");
    OK(dray_store_dataset_put(fixture->store, &row, &fixture->error));
    assert_int_equal(row.id, 1);
    dray_dataset found = get(fixture, (struct dray_dataset_wanted){.external_id = "bio-17"});
    assert_int_equal(found.id, 1);
    assert_string_equal(found.name, "ocean");
    assert_string_equal(found.type, "RAW_DATA");
    assert_string_equal(found.owner, "mira");
    assert_true(json_equal(found.tags, row.tags));
    assert_true(json_equal(found.labels, row.labels));
    assert_string_equal(found.source, "/archive/ocean.tar");
    assert_int_equal(found.listed, 0);
    assert_true(found.created > 0);
    assert_int_equal(found.updated, found.created);
}

static void what_is_not_said_stays_unknown(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put(fixture, "ocean", "");
    dray_dataset found = get(fixture, (struct dray_dataset_wanted){.id = id});

    assert_string_equal(found.type, "");
    assert_null(found.external_id);
    assert_null(found.owner);
    assert_null(found.tags);
    assert_null(found.labels);
    assert_null(found.source);
}

static void types_may_share_a_name_and_nothing_else_may(void **state)
{
    struct fixture *fixture = *state;
    dray_dataset same = new_dataset("ocean", "RAW");
    dray_dataset other = new_dataset("air", "RAW");

    (void)put(fixture, "ocean", "RAW");
    (void)put(fixture, "ocean", "");
    uint64_t third = put(fixture, "ocean", "DERIVED");
    REFUSED(DRAY_CONFLICT, "a dataset \"ocean\" of the type \"RAW\" already (id:1)",
            dray_store_dataset_put(fixture->store, &same, &fixture->error));
    free(same.type);
    same.type = text_of("");
    REFUSED(DRAY_CONFLICT, "a dataset \"ocean\" without a type already (id:2)",
            dray_store_dataset_put(fixture->store, &same, &fixture->error));
    assert_int_equal(same.id, 0);
    assert_int_equal(count_of(fixture, (struct dray_dataset_wanted){.name = "ocean"}), 3);
    assert_int_equal(
        count_of(fixture, (struct dray_dataset_wanted){.name = "ocean", .type = "RAW"}), 1);
    assert_int_equal(count_of(fixture, (struct dray_dataset_wanted){.name = "sea"}), 0);
    /* nor may an external id stand for two */
    other.external_id = text_of("x");
    OK(dray_store_dataset_put(fixture->store, &other, &fixture->error));
    dray_dataset row = get(fixture, (struct dray_dataset_wanted){.id = third});
    row.external_id = text_of("x");
    REFUSED(DRAY_CONFLICT, "the external id \"x\" is that of another dataset (id:4)",
            dray_store_dataset_put(fixture->store, &row, &fixture->error));
}

static void a_change_keeps_id_and_files(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put(fixture, "ocean", "RAW");

    OK(dray_store_dataset_list(fixture->store, id, &fixture->error));
    OK(add_file(fixture, id, "a", 7, NULL));
    OK(dray_store_dataset_listed(fixture->store, id, &fixture->error));
    dray_dataset row = get(fixture, (struct dray_dataset_wanted){.id = id});
    free(row.name);
    row.name = text_of("sea");
    OK(dray_store_dataset_put(fixture->store, &row, &fixture->error));
    assert_int_equal(row.id, id);
    assert_int_equal(count_of(fixture, (struct dray_dataset_wanted){.name = "ocean"}), 0);
    dray_dataset found = get(fixture, (struct dray_dataset_wanted){.name = "sea"});
    assert_int_equal(found.id, id);
    assert_int_equal(found.files, 1);
    assert_int_equal(found.bytes, 7);
    assert_true(found.listed > 0);
}

static void an_id_is_never_given_again(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put(fixture, "ocean", "");

    OK(dray_store_dataset_list(fixture->store, id, &fixture->error));
    OK(add_file(fixture, id, "a", 7, NULL));
    OK(dray_store_dataset_delete(fixture->store, id, &fixture->error));
    assert_int_equal(ask(fixture, "SELECT COUNT(*) FROM dataset_file"), 0);
    assert_int_equal(count_of(fixture, (struct dray_dataset_wanted){0}), 0);
    assert_int_equal(put(fixture, "ocean", ""), id + 1);
}

struct seen {
    char text[256];
};

static int see(void *arg, const struct dray_dataset_file *file)
{
    struct seen *seen = arg;
    size_t length = strlen(seen->text);

    (void)snprintf(seen->text + length, sizeof(seen->text) - length, "%s %llu %s %s\n", file->path,
                   (unsigned long long)file->bytes, file->sha256 ? file->sha256 : "-",
                   file->md5 ? file->md5 : "-");
    return strcmp(file->path, "stop") == 0 ? 42 : 0;
}

static void files_come_in_byte_order_whatever_their_names_are(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put(fixture, "ocean", ""), other = put(fixture, "air", "");
    struct seen seen = {{0}};

    OK(dray_store_dataset_list(fixture->store, id, &fixture->error));
    OK(add_file(fixture, id, "b/\xff\xfe", 2, "beef"));
    OK(add_file(fixture, id, "b.txt", 1, NULL));
    OK(add_file(fixture, id, "B", UINT64_C(1) << 40, NULL));
    OK(add_file(fixture, other, "b.txt", 9, NULL));
    OK(dray_store_dataset_files(fixture->store, id, see, &seen, &fixture->error));
    assert_string_equal(seen.text, "B 1099511627776 - -\nb.txt 1 - -\nb/\xff\xfe 2 beef -\n");
    REFUSED(DRAY_CONFLICT, "the file b.txt stands there twice",
            add_file(fixture, id, "b.txt", 1, NULL));
    /* the sums are those of what is there */
    OK(dray_store_dataset_listed(fixture->store, id, &fixture->error));
    dray_dataset row = get(fixture, (struct dray_dataset_wanted){.id = id});
    assert_int_equal(row.files, 3);
    assert_int_equal(row.bytes, (UINT64_C(1) << 40) + 3);
    REFUSED(DRAY_INVALID, "larger than can be stored",
            add_file(fixture, id, "huge", UINT64_MAX, NULL));
    OK(add_file(fixture, id, "huge", INT64_MAX, NULL));
    REFUSED(DRAY_INVALID, "together they are larger than can be stored",
            dray_store_dataset_listed(fixture->store, id, &fixture->error));
}

static void a_new_list_takes_the_place_of_the_old(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put(fixture, "ocean", "");
    struct seen seen = {{0}};

    OK(dray_store_dataset_list(fixture->store, id, &fixture->error));
    OK(add_file(fixture, id, "a", 2, NULL));
    OK(dray_store_dataset_list(fixture->store, id, &fixture->error));
    OK(add_file(fixture, id, "stop", 5, NULL));
    OK(add_file(fixture, id, "z", 0, NULL));
    assert_int_equal(dray_store_dataset_files(fixture->store, id, see, &seen, &fixture->error), 42);
    assert_string_equal(seen.text, "stop 5 - -\n");
    /* of no dataset */
    assert_int_equal(add_file(fixture, 77, "a", 1, NULL), DRAY_BUG);
}

static void a_group_that_fails_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    dray_dataset same = new_dataset("ocean", "");

    OK(dray_store_begin(fixture->store, &fixture->error));
    (void)put(fixture, "ocean", "");
    assert_int_equal(dray_store_dataset_put(fixture->store, &same, &fixture->error), DRAY_CONFLICT);
    dray_store_rollback(fixture->store);
    assert_int_equal(count_of(fixture, (struct dray_dataset_wanted){0}), 0);
    assert_int_equal(put(fixture, "ocean", ""), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(all_that_is_said_of_a_dataset_is_there_again),
        WITH_STORE(what_is_not_said_stays_unknown),
        WITH_STORE(types_may_share_a_name_and_nothing_else_may),
        WITH_STORE(a_change_keeps_id_and_files),
        WITH_STORE(an_id_is_never_given_again),
        WITH_STORE(files_come_in_byte_order_whatever_their_names_are),
        WITH_STORE(a_new_list_takes_the_place_of_the_old),
        WITH_STORE(a_group_that_fails_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
