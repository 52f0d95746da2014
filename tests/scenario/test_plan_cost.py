# SPDX-License-Identifier: MIT
"""What `dray plan` says of the cost: entries and bytes, the time that earlier deliveries took, and room
at the targets. It makes nothing for that, and none of it is part of the plan."""
import json
import os
import sqlite3
import subprocess

import pytest

from conftest import TIME, TOP

SECOND = 10**9
WORKFLOW = """\
version: 1
dataset: ./source
steps:
  - { id: deliver, uses: push/hpfs, with: { path: ./out/data } }
"""
FILTERED = WORKFLOW.replace("steps:\n", 'steps:\n  - { id: pick, uses: filter/glob, with: { exclude: ["b"] } }\n')
DROP = WORKFLOW.replace("push/hpfs, with: { path: ./out/data }",
                        "push/drop, with: { host: far.example.edu, name: data }")


@pytest.fixture
def source(files, tmp_path):
    (tmp_path / "out").mkdir()
    return files(tmp_path / "source", {"a": b"x" * 600, "b": b"y" * 400, "empty/": None})


@pytest.fixture
def drop(dray):
    """push/drop is there: a push that does not know what room there is."""
    plugins = dray.home / ".local/lib/dray/plugins"
    plugins.mkdir(parents=True, mode=0o755)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", f"-I{TOP}/include",
                    TOP / "tests/scenario/plugins/push-drop.c", "-o", plugins / "push-drop.so"], check=True)


def took(dray, staging, pushing, job=None):
    """Makes what is stored of a job (of all) say that its steps took so many seconds."""
    with sqlite3.connect(dray.state / "dray.db") as store:
        for kind, seconds in (("source", staging), ("push", pushing)):
            changed = store.execute(
                "UPDATE step_run SET ended_at = started_at + ? WHERE uses LIKE ? AND (?3 IS NULL OR job_id = ?3)",
                (int(seconds * SECOND), f"{kind}/%", job))
            assert changed.rowcount >= 1


def section(text):
    """The lines below `cost`."""
    lines = text.splitlines()
    return lines[lines.index("cost") + 1:] if "cost" in lines else []


def line(text, label):
    """What stands behind a label of the section; None: there is no such line."""
    found = [one.split(None, 1)[1] for one in section(text) if one.split()[0] == label]
    return found[0] if found else None


# ---- Entries and bytes -------------------------------------------------------------------------


def test_a_directory_is_counted_and_no_store_is_made(dray, source, workflow):
    file = workflow(WORKFLOW)
    plan = dray.json("plan", file)
    assert plan["cost"] == {"entries": 3, "bytes": 1000, "before_filters": False}
    text = dray("plan", file).out
    assert section(text)[0] == "  dataset  3 entries, 1000 B"
    assert line(text, "time") is None
    assert not (dray.state / "dray.db").exists()


def test_one_file_is_one_entry(dray, source, workflow):
    text = dray("plan", workflow(WORKFLOW), "--dataset", source / "a").out
    assert line(text, "dataset") == "1 entry, 600 B"


def test_what_filters_leave_is_not_known(dray, source, workflow):
    file = workflow(FILTERED)
    assert dray.json("plan", file)["cost"] == {"entries": 3, "bytes": 1000, "before_filters": True}
    assert line(dray("plan", file).out, "dataset") == "3 entries, 1000 B, before filters"


def test_a_policy_that_only_watches_filters_nothing(dray, source, workflow, tmp_path):
    policy = """\
version: 1
policy: site
revision: 1
rules:
  - { id: only, mode: %s, inject: [{ uses: filter/glob, with: { exclude: ["b"] } }] }
"""
    (tmp_path / "policies").mkdir()
    for mode, filtered in (("audit", False), ("enforce", True)):
        (tmp_path / "policies/a.yaml").write_text(policy % mode)
        plan = dray.json("plan", workflow(WORKFLOW), "--policies", tmp_path / "policies")
        assert plan["cost"]["before_filters"] == filtered


def test_an_archive_is_not_read_to_count_it(dray, source, workflow, tmp_path):
    subprocess.run(["tar", "cf", tmp_path / "data.tar", "-C", source, "."], check=True)
    plan = dray.json("plan", workflow(WORKFLOW), "--dataset", tmp_path / "data.tar")
    assert plan["cost"] == {}
    text = dray("plan", workflow(WORKFLOW), "--dataset", tmp_path / "data.tar").out
    assert line(text, "dataset") is None and line(text, "free")


def test_a_list_is_not_counted(dray, source, workflow, tmp_path):
    (tmp_path / "list").write_text("5 a\n6 b\n")
    assert dray.json("plan", workflow(WORKFLOW), "--listing", tmp_path / "list")["cost"] == {}


def test_several_sources_count_together(dray, source, files, workflow, tmp_path):
    files(tmp_path / "more", {"c": b"z" * 24})
    file = workflow("""\
version: 1
steps:
  - { id: one, uses: source/directory, with: { path: ./source } }
  - { id: two, uses: source/directory, with: { path: ./more } }
  - { id: deliver, uses: push/hpfs, needs: [one, two], with: { path: ./out/data } }
""")
    cost = dray.json("plan", file, "--dataset", source)["cost"]
    assert (cost["entries"], cost["bytes"]) == (4, 1024)


def test_without_anything_known_there_is_no_section(dray, drop, source, workflow, tmp_path):
    subprocess.run(["tar", "cf", tmp_path / "data.tar", "-C", source, "."], check=True)
    text = dray("plan", workflow(DROP), "--dataset", tmp_path / "data.tar").out
    assert "cost" not in text.splitlines() and not text.endswith("\n\n")


SOURCE = """\
#include <dray/plugin.h>

struct made {
    const char *name;
};

static const struct dray_option options[] = {
    DRAY_OPTION_STRING(struct made, name, 0, "x", "Of the one file"),
};

static int stage(void *self, struct dray_ctx *ctx)
{
    struct dray_item item = {.size = sizeof(item), .type = DRAY_DIRECTORY, .path = "d", .path_length = 1};
    (void)self;
    return ctx->host->add(ctx, &item);
}

static int identify(void *self, struct dray_ctx *ctx, char **ret_revision)
{
    *ret_revision = ctx->host->format("1");
    return stage(self, ctx);
}

static const struct dray_source_operations operations = {
    .size = sizeof(operations), .identify = identify, .stage = stage};

DRAY_PLUGIN(DRAY_KIND_SOURCE, 0, "made", "1.0.0", "One directory", struct made, options, &operations);
"""


def test_what_a_source_added_is_counted_without_a_revision_of_it(dray, source, workflow, tmp_path):
    plugins = dray.home / ".local/lib/dray/plugins"
    plugins.mkdir(parents=True, mode=0o755)
    (tmp_path / "made.c").write_text(SOURCE)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", f"-I{TOP}/include", tmp_path / "made.c",
                    "-o", plugins / "source-made.so"], check=True)
    file = workflow(WORKFLOW.replace("steps:\n", "steps:\n  - { id: make, uses: source/made }\n"))
    cost = dray.json("plan", file)["cost"]
    assert (cost["entries"], cost["bytes"]) == (1, 0)


# ---- Time --------------------------------------------------------------------------------------


def test_after_a_delivery_the_next_one_is_estimated(dray, source, workflow):
    file = workflow(WORKFLOW)
    dray("run", file)
    assert "seconds" not in dray.json("plan", file)["cost"], "it is delivered: nothing is to be done"
    assert line(dray("plan", file).out, "time") is None
    (source / "a").write_bytes(b"z" * 600)
    file = workflow(WORKFLOW.replace("out/data", "out/next"))
    seconds = dray.json("plan", file)["cost"]["seconds"]
    assert seconds["jobs"] == 1 and seconds["of"] == "dataset" and TIME.match(seconds["newest"])
    assert 0 <= seconds["staging"] < 100 and 0 <= seconds["pushing"] < 100
    took(dray, 40, 80)
    day = seconds["newest"][:10]
    assert line(dray("plan", file).out, "time") == f"about 2 min: staging 40 s, pushing 80 s (from 1 job, last {day})"
    (source / "c").write_bytes(b"c" * 1000)
    seconds = dray.json("plan", file)["cost"]["seconds"]
    assert (seconds["staging"], seconds["pushing"]) == (80, 160), "twice as much"


@pytest.mark.parametrize("staging, pushing, said", [
    (0.2, 0.3, "less than 1 s"),
    (0.2, 1.26, "about 1.5 s: staging less than 1 s, pushing 1.3 s"),
    (99.4, 0, "about 99 s: staging 99 s, pushing less than 1 s"),
    (60, 3540, "about 60 min: staging 60 s, pushing 59 min"),
    (54000, 36000, "about 25 h: staging 15 h, pushing 10 h"),
    (86400, 864000, "about 11 days: staging 24 h, pushing 10 days"),
])
def test_an_estimate_has_two_digits(dray, source, workflow, staging, pushing, said):
    dray("run", workflow(WORKFLOW))
    took(dray, staging, pushing)
    text = line(dray("plan", workflow(WORKFLOW.replace("out/data", "out/next"))).out, "time")
    assert text.startswith(f"{said} (from 1 job, last ")


def test_the_estimate_is_the_median_of_the_newest_five(dray, source, workflow):
    for number, seconds in enumerate([7777, 10, 20, 30, 400, 50]):
        job = dray.json("run", workflow(WORKFLOW.replace("out/data", f"out/{number}")))["job"]
        took(dray, 1, seconds, job)
    file = workflow(WORKFLOW.replace("out/data", "out/next"))
    seconds = dray.json("plan", file)["cost"]["seconds"]
    assert (seconds["pushing"], seconds["jobs"]) == (30, 5)
    assert "(from 5 jobs, last " in line(dray("plan", file).out, "time")


def test_what_was_filtered_is_taken_to_be_filtered_again(dray, source, workflow):
    dray("run", workflow(FILTERED))
    took(dray, 10, 60)
    seconds = dray.json("plan", workflow(FILTERED.replace("out/data", "out/next")))["cost"]["seconds"]
    assert (seconds["staging"], seconds["pushing"]) == (10, 60)
    seconds = dray.json("plan", workflow(WORKFLOW.replace("out/data", "out/next")))["cost"]["seconds"]
    assert (seconds["staging"], seconds["pushing"]) == (10, 100), "600 bytes of 1000 took a minute"


def test_a_small_delivery_says_nothing_of_a_large_one(dray, source, workflow):
    dray("run", workflow(WORKFLOW))
    (source / "a").write_bytes(b"z" * 11000)
    assert "seconds" not in dray.json("plan", workflow(WORKFLOW.replace("out/data", "out/next")))["cost"]


def test_another_dataset_of_the_same_name_is_better_than_none(dray, files, source, workflow, tmp_path):
    dray("run", workflow(WORKFLOW))
    took(dray, 10, 20)
    other = files(tmp_path / "elsewhere/source", {"a": b"x" * 500})
    file = workflow(WORKFLOW.replace("out/data", "out/next"))
    seconds = dray.json("plan", file, "--dataset", other)["cost"]["seconds"]
    assert (seconds["staging"], seconds["pushing"], seconds["of"]) == (5, 10, "name")
    assert "(from 1 job of other datasets of this name, last " in line(
        dray("plan", file, "--dataset", other).out, "time")
    unlike = files(tmp_path / "elsewhere/unlike", {"a": b"x" * 500})
    assert "seconds" not in dray.json("plan", file, "--dataset", unlike)["cost"]


def test_an_archive_takes_as_long_as_before(dray, source, workflow, tmp_path):
    archive, other = tmp_path / "data.tar.gz", tmp_path / "elsewhere/data.tar.gz"
    subprocess.run(["tar", "czf", archive, "-C", source, "."], check=True)
    dray("run", workflow(WORKFLOW), "--dataset", archive)
    took(dray, 3, 4)
    file = workflow(WORKFLOW.replace("out/data", "out/next"))
    cost = dray.json("plan", file, "--dataset", archive)["cost"]
    assert set(cost) == {"seconds"} and (cost["seconds"]["staging"], cost["seconds"]["pushing"]) == (3, 4)
    other.parent.mkdir()
    other.write_bytes(archive.read_bytes())
    assert dray.json("plan", file, "--dataset", other)["cost"] == {}, "of what size it is nobody knows"


def test_a_failed_delivery_is_no_measure(dray, source, workflow):
    dray("run", workflow(WORKFLOW))
    with sqlite3.connect(dray.state / "dray.db") as store:
        store.execute("UPDATE push_job SET state = 'failed'")
    assert "seconds" not in dray.json("plan", workflow(WORKFLOW.replace("out/data", "out/next")))["cost"]


# ---- Room --------------------------------------------------------------------------------------


def test_room_at_a_target_is_said_and_too_little_is_warned_of(dray, source, small_disk, workflow):
    disk = small_disk("1m")
    (source / "big").write_bytes(bytes(3 << 20))
    file = workflow(WORKFLOW.replace("./out/data", f"{disk}/data"))
    planned = dray("plan", file)
    assert line(planned.out, "free") == "deliver  1.0 MiB"
    assert planned.err == (f"warning: step deliver: the dataset has 3.0 MiB, and 1.0 MiB are free at {disk}/data\n")
    assert "dataset has 3.0 MiB before filters, and" in dray(
        "plan", workflow(FILTERED.replace("./out/data", f"{disk}/data"), "filtered.yaml")).err
    as_json = dray("plan", file, "--json")
    [target] = as_json.json()["targets"]
    assert target["free_bytes"] == 1 << 20 and as_json.err == ""
    small_disk.grow("9m")
    assert dray("plan", file).err == ""
    dray("run", file)
    (disk / "filler").write_bytes(bytes(5 << 20))
    assert dray("plan", file).err == "", "it is there already"
    assert dray.json("plan", file)["targets"][0]["free_bytes"] < 2 << 20


def test_a_full_disk_has_no_room_rather_than_an_unknown_one(dray, source, small_disk, workflow):
    disk = small_disk("64k")
    with pytest.raises(OSError):
        (disk / "filler").write_bytes(bytes(1 << 20))
    file = workflow(WORKFLOW.replace("./out/data", f"{disk}/data"))
    assert dray.json("plan", file)["targets"][0]["free_bytes"] == 0
    assert "0 B are free" in dray("plan", file).err


def test_each_target_has_its_line(dray, drop, source, workflow):
    text = dray("plan", workflow(WORKFLOW + "  - { id: far, uses: push/drop, with: { host: h, name: n } }\n"
                                 "  - { id: to-lab, uses: push/hpfs, with: { path: ./out/lab } }\n")).out
    room = section(text)[1:]
    assert [one[:20] for one in room] == ["  free     deliver  ", "           to-lab   "]
    assert "far" not in "".join(room), "a plugin that does not say it"


# ---- No part of the plan -----------------------------------------------------------------------


def test_digest_and_request_key_know_nothing_of_it(dray, source, small_disk, workflow):
    disk = small_disk("1m")
    file = workflow(WORKFLOW.replace("./out/data", f"{disk}/data"))
    before = dray.json("plan", file)
    dray("run", workflow(WORKFLOW, "other.yaml"))
    small_disk.grow("9m")
    after = dray.json("plan", file)
    assert before["cost"] != after["cost"]
    assert before["targets"][0].pop("free_bytes") != after["targets"][0].pop("free_bytes")
    del before["cost"], after["cost"]
    assert before == after


def test_a_job_does_not_keep_it(dray, source, workflow):
    dray("run", workflow(WORKFLOW))
    with sqlite3.connect(dray.state / "dray.db") as store:
        [(text,)] = store.execute("SELECT plan FROM push_job").fetchall()
    assert "cost" not in json.loads(text) and "free_bytes" not in text


def test_a_store_that_cannot_be_used_is_an_error_and_not_silence(dray, source, workflow):
    dray.state.mkdir()
    (dray.state / "dray.db").write_bytes(b"this is no database, and never was" * 40)
    failed = dray("plan", workflow(WORKFLOW), exit=1)
    assert "dray.db" in failed.err or "store" in failed.err
