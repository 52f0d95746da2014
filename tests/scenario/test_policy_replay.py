# SPDX-License-Identifier: MIT
"""What other policies would have done to past jobs, whatever these were like: with sources of their own,
links, emptied directories, renamed entries, many filters and entries, or cut short."""
import itertools
import os
import signal
import sqlite3
import subprocess
import tarfile
import threading
import time

import pytest

from conftest import TOP
from test_policy import TO_LAB, TO_SITE, content, draft, drop, rule, site  # noqa: F401

NOTHING = "  []\n"


def outcomes(answer):
    return [(job["dataset"], job["outcome"]) for job in answer["jobs"]]


def own_source(site, path, *steps, tree="", name="work.yaml"):
    """A workflow with a source of its own."""
    file = site.out.parent / name
    file.write_text(f"version: 1\ndataset: ./data\n{tree}steps:\n"
                    f"  - {{ id: own, uses: source/{path} }}\n" + "".join(steps))
    return [file, "--policies", site.folder]


def database(dray):
    [file] = [file for file in dray.state.iterdir() if file.suffix == ".db" or "sqlite" in file.name]
    return sqlite3.connect(file)


def replay(dray, *args):
    return dray.json("policy", "replay", *args)


def test_rules_hold_for_what_a_workflow_reads_itself(dray, site, files):
    files(site.out.parent / "ds", {"a.nc": "a", "raw/x": "x"})
    dray("run", *own_source(site, "directory, with: { path: ./ds }", TO_LAB))
    held = draft(site, rule(drop("raw/"), when="{ dataset.name: ds }"))
    assert replay(dray, held)["totals"]["changes"] == 1
    other = draft(site, rule(drop("raw/"), when="{ dataset.name: other }"), "other")
    assert replay(dray, other)["totals"]["same"] == 1


@pytest.mark.parametrize("how", ["keep", "copy", "skip"])
def test_links_are_replayed_where_they_are(dray, site, how):
    data = site.out.parent / "data"
    (data / "link").symlink_to("a.nc")
    (data / "raw/second").symlink_to("../a.nc")
    site.file.write_text(f"version: 1\ndataset: ./data\ntree: {{ symlinks: {how} }}\nsteps:\n{TO_LAB}")
    dray("run", site.file)
    assert replay(dray, draft(site, NOTHING))["totals"]["same"] == 1
    [job] = replay(dray, draft(site, rule(drop("raw/"))))["jobs"]
    [target] = job["targets"]
    links = 0 if how == "skip" else 2
    assert target["was"]["entries"] == 3 + links
    assert target["dropped"][0]["examples"] == (["raw/second", "raw/x.fastq"] if links else ["raw/x.fastq"])


def test_hard_links_of_an_archive_are_entries_of_their_own(dray, site, files, tmp_path):
    files(tmp_path / "linked", {"a": "one", "b": "two"})
    os.link(tmp_path / "linked/a", tmp_path / "linked/z")
    with tarfile.open(tmp_path / "linked.tar", "w") as tar:
        tar.add(tmp_path / "linked", "linked")
    dray("push", tmp_path / "linked.tar", "--to", site.out / "archive")
    dray("push", tmp_path / "linked", "--to", site.out / "folder")
    assert replay(dray, draft(site, NOTHING))["totals"]["same"] == 2
    for job in replay(dray, draft(site, rule(drop("z"))))["jobs"]:
        [target] = job["targets"]
        assert target["was"]["entries"] == 3 and target["dropped"][0]["entries"] == 1
        assert target["dropped"][0]["examples"][0].endswith("z")


def test_directories_that_filters_emptied_have_no_verdict_of_their_own(dray, site):
    (site.out.parent / "data/empty").mkdir()
    site.policy(rule(drop("notes/*")))
    site.file.write_text("version: 1\ndataset: ./data\ntree: { keep_empty_dirs: true }\nsteps:\n" + TO_LAB)
    dray("run", site.file, "--policies", site.folder)
    assert (site.out / "lab/notes").is_dir() and (site.out / "lab/empty").is_dir()
    assert replay(dray, site.folder)["totals"]["same"] == 1
    [job] = replay(dray, draft(site, NOTHING))["jobs"]
    assert job["outcome"] == "changes" and job["targets"][0]["more"] == {"entries": 1, "bytes": 2}
    [job] = replay(dray, draft(site, rule(drop("raw/*", "notes/*"))))["jobs"]
    assert job["outcome"] == "changes" and job["targets"][0]["more"]["entries"] == 0
    [job] = replay(dray, draft(site, rule(drop("raw/*"))))["jobs"]
    [target] = job["targets"]
    assert target["dropped"][0]["examples"] == ["raw/x.fastq"] and target["more"]["entries"] == 1
    site.file.write_text("version: 1\ndataset: ./data\nsteps:\n" + TO_SITE % "")
    dray("run", site.file)
    assert replay(dray, site.folder)["totals"]["not_replayed"] == 0


def test_a_job_that_cannot_be_replayed_stops_no_other(dray, site):
    dray("run", *site.workflow(TO_LAB))
    dray("run", *site.workflow(TO_SITE % ""))
    newest = dray.json("jobs")[0]["job"]
    with database(dray) as state:
        state.execute("UPDATE verdicts SET data = CAST('?' AS BLOB) WHERE job_id = ? AND entries > 0", [newest])
    answer = replay(dray, draft(site, rule(drop("raw/"))))
    assert [job["outcome"] for job in answer["jobs"]] == ["not-replayed", "changes"]
    assert "the stored verdicts are damaged" in answer["jobs"][0]["reason"]


def test_verdicts_that_were_cut_short_are_not_taken_for_all(dray, site):
    dray("run", *site.workflow(TO_LAB))
    with database(dray) as state:
        [[told, entries]] = state.execute("SELECT data, (SELECT SUM(entries) FROM verdicts) FROM verdicts "
                                          "WHERE entries = 0")
        assert int(told) == entries == 3
        state.execute("DELETE FROM verdicts WHERE entries = 0")
    [job] = replay(dray, draft(site, rule(drop("raw/"))))["jobs"]
    assert job["outcome"] == "not-replayed" and job["reason"] == "no verdicts are stored of it"


def test_a_job_that_was_killed_and_taken_up_has_the_verdicts_of_its_last_attempt(dray, site):
    site.workflow('  - { id: to-site, uses: push/drop, with: { host: h, name: x, wait: 2s } }\n')
    running = dray.start("run", site.file, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    query = "SELECT DISTINCT attempt FROM verdicts WHERE entries = 0"
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.02)
        try:
            with database(dray) as state:
                if state.execute(query).fetchall() == [(1,)]:
                    break
        except (ValueError, OSError, sqlite3.OperationalError):
            pass  # it is still being made
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    [job] = replay(dray, draft(site, rule(drop("raw/"))))["jobs"]
    assert (job["outcome"], job["reason"]) == ("not-replayed", "nothing of it was delivered")
    dray("run", site.file)
    with database(dray) as state:
        assert state.execute(query).fetchall() == [(2,)]
        assert state.execute("SELECT DISTINCT attempt FROM verdicts").fetchall() == [(2,)]
    assert replay(dray, draft(site, NOTHING))["totals"]["same"] == 1


def test_many_entries_are_in_several_chunks(dray, site):
    for number in range(3500):
        (site.out.parent / f"data/{number:04}{'x' * 200}").touch()
    dray("run", *site.workflow(TO_LAB))
    with database(dray) as state:
        assert state.execute("SELECT COUNT(*) FROM verdicts").fetchone()[0] > 2
    assert replay(dray, draft(site, NOTHING))["totals"]["same"] == 1
    [job] = replay(dray, draft(site, rule(drop("34*"))))["jobs"]
    [target] = job["targets"]
    assert target["was"]["entries"] == 3503 and target["dropped"][0]["entries"] == 100
    assert os.listdir(dray.state / "scratch") == []


def test_a_filter_that_reads_the_data_changes_nothing_by_itself(dray, site, content):
    (site.out.parent / "data/b.nc").write_text("BCD")
    site.policy(rule(content))
    dray("run", *site.workflow(TO_LAB))
    answer = replay(dray, site.folder)
    assert answer["totals"]["same"] == 1 and answer["totals"]["changes"] == 0
    [target] = answer["jobs"][0]["targets"]
    assert target["was"]["entries"] == 3 and target["would"]["entries"] == 0
    assert target["undecided"] == {"entries": 4, "bytes": 15} and target["more"]["entries"] == 0
    assert target["not_replayed"] == ["policy:site/only"]
    assert "3 entries (10 B) were kept, 0 entries (0 B) would be; not known: 4 entries (15 B)" in dray(
        "policy", "replay", site.folder).out
    # beside it, what is known is still said
    [job] = replay(dray, draft(site, rule(drop("notes/")) + rule(content, id="reads")))["jobs"]
    assert job["outcome"] == "changes" and job["targets"][0]["dropped"][0]["examples"] == ["notes/day.txt"]


RENAME = r"""
#include <dray/plugin.h>
struct rename { int64_t unused; };
static const struct dray_option options[] = {
    DRAY_OPTION_INT(struct rename, unused, "0", 0, 1, "Nothing"),
};
static int apply(void *self, struct dray_ctx *ctx)
{
    int result = DRAY_OK;
    (void)self;
    for (uint64_t i = 0; result == DRAY_OK && i < ctx->host->count(ctx); i++) {
        struct dray_entry entry = {.size = sizeof(entry)};
        result = ctx->host->entry(ctx, i, &entry);
        if (result != DRAY_OK || entry.type != DRAY_FILE)
            continue;
        char *path = ctx->host->format("z%llu/%s", (unsigned long long)(ctx->host->count(ctx) - i), entry.path);
        result = path ? ctx->host->keep(ctx, i, path) : DRAY_NO_MEMORY;
        ctx->host->free(path);
    }
    return result;
}
static const struct dray_transform_operations operations = {.size = sizeof(operations), .apply = apply};
DRAY_PLUGIN(DRAY_KIND_TRANSFORM, 0, "turn", "1.0.0", "Turn the order of entries around", struct rename,
            options, &operations);
"""


def build(dray, folder, name, text):
    (folder / f"{name}.c").write_text(text)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", f"-I{TOP}/include", folder / f"{name}.c",
                    "-o", dray.home / f".local/lib/dray/plugins/{name}.so"], check=True)


def test_entries_that_were_renamed_are_found_by_their_names_in_the_source(dray, site, content, tmp_path):
    build(dray, tmp_path, "transform-turn", RENAME)
    (tmp_path / "data" / os.fsdecode(b"\xff.bin")).write_text("f")
    turn = "  - { id: turn, uses: transform/turn }\n"
    late = '  - { id: late, uses: filter/glob, with: { exclude: ["day.txt"] } }\n'
    dray("run", *site.workflow(turn, late, TO_LAB))
    answer = replay(dray, draft(site, NOTHING))
    assert answer["totals"]["same"] == 1, answer
    assert answer["jobs"][0]["targets"][0]["was"]["entries"] == 3
    [job] = replay(dray, draft(site, rule(drop("raw/"))))["jobs"]
    assert job["outcome"] == "changes" and job["targets"][0]["dropped"][0]["examples"] == ["raw/x.fastq"]
    # what a filter would say that was not asked is not known behind a transform either
    [job] = replay(dray, draft(site, rule(content)))["jobs"]
    assert job["outcome"] == "same" and job["targets"][0]["undecided"]["entries"] == 3
    assert job["targets"][0]["more"]["entries"] == 0


def test_a_push_that_is_skipped_tells_nothing_for_others(dray, site, tmp_path):
    text = (TOP / "tests/scenario/plugins/push-drop.c").read_text()
    build(dray, tmp_path, "push-fails", text.replace('"drop"', '"fails"').replace("drop://", "fails://").replace(
        "static int push(void *self, struct dray_ctx *ctx)\n{",
        'static int push(void *self, struct dray_ctx *ctx)\n{\n    if (self)\n'
        '        return ctx->host->fail(ctx, DRAY_PERMANENT, "it fails");'))
    left = '  - { id: pick, uses: filter/glob, with: { exclude: ["raw/"] } }\n'
    site.workflow('  - { id: in, uses: source/directory, with: { path: ./data } }\n', left,
                  "  - { id: bad, uses: push/fails, needs: [pick], with: { host: h, name: n } }\n"
                  "  - { id: first, uses: push/hpfs, needs: [in], after: [bad], with: { path: ./out/first } }\n"
                  "  - { id: second, uses: push/hpfs, needs: [in], with: { path: ./out/second } }\n")
    dray("run", site.file, exit=1)
    assert (site.out / "second").is_dir() and not (site.out / "first").exists()
    [job] = replay(dray, draft(site, rule(drop("notes/"))))["jobs"]
    assert job["outcome"] == "changes", job
    assert {one["step"]: one["was"]["entries"] for one in job["targets"]} == {"second": 3}


def test_there_may_be_hundreds_of_filters(dray, site):
    site.policy("  - id: many\n    mode: enforce\n    inject:\n" + "".join(
        f'      - {{ uses: filter/glob, with: {{ exclude: ["f{number}"] }} }}\n' for number in range(300)))
    (site.out.parent / "data/f290").touch()
    lines = dray("preview", *site.workflow(TO_LAB), "--json").json_lines()
    assert {line["path"]: line["verdict"] for line in lines if "path" in line}["f290"] == "drop"


def test_a_set_that_changes_to_one_that_denies_ends_the_replay(dray, site):
    for number in range(8):
        dray("run", *site.workflow(TO_SITE % number))
    folder = draft(site, NOTHING)
    scratch = dray.state / "scratch"
    before = scratch.stat().st_mtime_ns
    replaying = dray.start("policy", "replay", folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while scratch.stat().st_mtime_ns == before and replaying.poll() is None:
        time.sleep(0.001)  # until the first job was planned
    (folder / "next").write_text((folder / "site.yaml").read_text().replace(NOTHING, rule(
        "allow: { target.type: globus }")))
    (folder / "next").rename(folder / "site.yaml")
    said = replaying.communicate(timeout=60)[1].decode()
    assert replaying.returncode == 1 and "the policies were changed while jobs were replayed" in said, said


def test_a_set_that_changes_meanwhile_ends_the_replay(dray, site):
    for number in range(4):
        dray("run", *site.workflow(TO_SITE % number))
    folder, stop = draft(site, rule(drop("raw/"))), threading.Event()

    def change():
        """Each text is whole whenever it is read."""
        text = (folder / "site.yaml").read_text()
        for number in itertools.count():
            (folder / "next").write_text(f"{text}# {number}\n")
            (folder / "next").rename(folder / "site.yaml")
            if stop.wait(0.01):
                return
    thread = threading.Thread(target=change)
    thread.start()
    try:
        said = dray("policy", "replay", folder, exit=1).err
    finally:
        stop.set()
        thread.join()
    assert "the policies were changed while jobs were replayed" in said and "run the same command again" in said


def test_jobs_are_chosen_as_those_that_are_listed(dray, site, files):
    dray("run", *site.workflow(TO_LAB))
    files(site.out.parent / "more", {"raw/m": "m"})
    dray("push", site.out.parent / "more", "--to", site.out / "more")
    good = draft(site, rule(drop("raw/")))
    user = dray.json("jobs")[0]["user"]
    assert outcomes(replay(dray, good)) == [("more", "changes"), ("data", "changes")]
    assert outcomes(replay(dray, good, "--dataset", "data")) == [("data", "changes")]
    assert replay(dray, good, "--dataset", "nothing")["jobs"] == []
    assert len(replay(dray, good, "--user", user)["jobs"]) == 2
    assert replay(dray, good, "--user", "nobody-there")["jobs"] == []
    answer = replay(dray, good, "--limit", 1)
    assert outcomes(answer) == [("more", "changes")] and answer["left_out"] == 1
    assert "1 older left out by --limit" in dray("policy", "replay", good, "--limit", 1).out
    assert replay(dray, good, "--limit", 2)["left_out"] == 0
    assert "1000000" in dray("policy", "replay", good, "--limit", 0, exit=2).err
    assert len(dray.json("jobs")) == 2
