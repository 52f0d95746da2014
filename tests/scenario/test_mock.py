# SPDX-License-Identifier: MIT
"""Plugins that go wrong in every way and at every place: each time the step and the reason are named,
nothing is left, and the same request succeeds once the plugin behaves."""
import os
import subprocess
import time

import pytest

from conftest import contents

CLASSES = ["permanent", "invalid", "not_found", "conflict", "denied", "credential", "integrity", "changed",
           "no_space", "no_memory", "unsupported", "bug"]
EXITS = {"denied": 3}  # of a delivery that began; all others are 1
STEPS = ["source", "filter", "transform", "push"]
USUAL = {"source": "stage", "filter": "decide", "transform": "apply", "push": "push"}


@pytest.fixture
def site(dray, mocks, tmp_path, workflow):
    (tmp_path / "made").mkdir()
    (tmp_path / "out").mkdir()

    class Site:
        out = tmp_path / "out"
        target = tmp_path / "out/made"

        def workflow(self, wrong=None, more="", **options):
            """Four mocks; `options` are those of the one that goes wrong."""
            steps = ""
            for kind in STEPS:
                given = {"path": "./out"} if kind == "push" else {"entries": 5, "bytes": 9} if kind == "source" else {}
                given.update(options if kind == wrong else {})
                pairs = ", ".join(f"{key}: {value}" for key, value in given.items())
                steps += f"  - {{ id: {kind}, uses: {kind}/mock, with: {{ {pairs} }}{more if kind == wrong else ''} }}\n"
            return workflow(f"version: 1\ndataset: ./made\nsteps:\n{steps}")

        def fails(self, said, code=1, wrong=None, more="", **options):
            failed = dray("run", self.workflow(wrong, more, **options), exit=code)
            assert f"error: step {wrong}: " in failed.err and said in failed.err
            self.nothing_left()
            [step] = [one for one in dray.json("show", dray.json("jobs")[0]["job"])["attempts"][-1]["steps"]
                      if one["id"] == wrong]
            return step

        def nothing_left(self):
            assert os.listdir(self.out) == []
            assert os.listdir(dray.state / "scratch") == []
            assert os.listdir(dray.state / "jobs") == []

        def succeeds(self):
            dray("run", self.workflow())
            assert contents(self.target) == {f"file-{n:07}": b"abcde"[n:n + 1] * 9 for n in range(5)}
            assert [name for name in os.listdir(self.out)] == ["made"]
    return Site()


def test_mocks_that_behave_deliver_and_are_found_again(dray, site):
    site.succeeds()
    assert "is intact" in dray("verify", site.target).out
    assert "already delivered" in dray("run", site.workflow()).out
    (dray.state / "dray.db").unlink()
    assert "already delivered" in dray("run", site.workflow()).out, "the marker answers"


def test_a_transform_that_writes_anew_delivers_the_same(dray, site):
    dray("run", site.workflow("transform", rewrite="true"))
    assert contents(site.target) == {f"file-{n:07}": b"abcde"[n:n + 1] * 9 for n in range(5)}


def test_mocks_are_not_found_unless_a_test_puts_them_there(dray):
    assert "/mock " not in dray("plugin", "list").out


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("class_", CLASSES)
def test_a_class_of_error_after_some_entries(dray, site, kind, class_):
    step = site.fails("the mock fails as it was told, after 3", code=EXITS.get(class_, 1), wrong=kind,
                      fail=class_, after=3)
    assert (step["outcome"], step["class"]) == ("failed", class_)
    assert len(dray.json("show", dray.json("jobs")[0]["job"])["attempts"]) == 1, "not tried again"
    site.succeeds()


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("signal", ["SEGV", "ABRT", "BUS", "FPE", "ILL"])
def test_a_crash_after_some_entries(site, kind, signal):
    said = f"plugin {kind}/mock crashed in {USUAL[kind]}: it died of SIG{signal}"
    assert site.fails(said, wrong=kind, signal=signal, after=2)["class"] == "bug"
    site.succeeds()


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("status", [0, 3])
def test_an_exit(site, kind, status):
    site.fails(f"plugin {kind}/mock ended its process in {USUAL[kind]}: it called exit({status})", wrong=kind,
               exit=status, after=1)
    site.succeeds()


@pytest.mark.parametrize("kind", STEPS)
def test_a_hang_is_given_up(site, kind):
    step = site.fails(f"{kind}/mock made no progress for 1", wrong=kind, hang="true", after=1,
                      more=", stall: 1s, retry: { tries: 1 }")
    assert step["class"] == "timed_out"
    site.succeeds()


def test_one_that_is_killed_from_outside_is_tried_again(dray, site):
    dray("run", site.workflow("filter", ", retry: { tries: 2, backoff: 10ms }", signal="KILL", times=1))
    first, second = dray.json("show", dray.json("jobs")[0]["job"])["attempts"]
    assert (first["outcome"], second["outcome"]) == ("failed", "delivered")
    assert "killed from outside" in [step["reason"] for step in first["steps"] if step["id"] == "filter"][0]


@pytest.mark.parametrize("at", ["prepare", "describe", "probe"])
def test_a_push_that_goes_wrong_while_planning_harms_nothing(dray, site, at):
    failed = dray("run", site.workflow("push", at=at, fail="permanent"), exit=2)
    assert "the mock fails as it was told" in failed.err
    assert os.listdir(site.out) == [] and dray.json("jobs") == []
    failed = dray("run", site.workflow("push", at=at, signal="SEGV"), exit=1)
    assert f"plugin push/mock crashed in {at}: it died of SIGSEGV" in failed.err
    assert os.listdir(site.out) == [] and dray.json("jobs") == []


def test_a_source_that_cannot_say_its_revision(dray, site):
    assert "the mock fails" in dray("run", site.workflow("source", at="identify", fail="credential"), exit=1).err
    assert dray.json("jobs") == []


@pytest.mark.parametrize("how", [{"fail": "permanent"}, {"signal": "SEGV"}])
def test_a_push_that_breaks_between_leave_and_commit_delivers_nothing(dray, site, how):
    dray("run", site.workflow("push", at="commit", **how), exit=1)
    site.nothing_left()
    assert dray.json("jobs")[0]["state"] == "failed"
    site.succeeds()


@pytest.mark.parametrize("how", [{"fail": "permanent"}, {"signal": "SEGV"}])
def test_a_push_that_breaks_behind_its_commit_has_delivered(dray, site, how):
    """Its target is asked, and has the delivery whole."""
    file = site.workflow("push", at="committed", **how)
    job = dray("run", file, "--json", exit=None).json()
    assert job["targets"][0]["state"] == "delivered" and job["state"] == "delivered"
    assert "is intact" in dray("verify", site.target).out
    assert "already delivered" in dray("run", file).out


def test_a_short_write_is_noticed(dray, site):
    """The push says nothing of it: what its target holds does."""
    failed = dray("run", site.workflow("push", short_write=2), exit=1)
    assert "error: step push: plugin push/mock says it delivered, but mock://mock.example" in failed.err
    assert "holds a delivery with 35 bytes of 45" in failed.err
    assert dray.json("jobs")[0]["state"] == "failed"
    assert "damaged" in dray("verify", site.target, exit=1).out
    refused = dray("run", site.workflow(), exit=1)
    assert "a delivery with 35 bytes of 45; nothing was written" in refused.err


def test_a_delay_is_one_for_each_entry(dray, site):
    start = time.monotonic()
    dray("run", site.workflow("source", delay="100ms"))
    assert time.monotonic() - start >= 0.5


@pytest.mark.parametrize("kind", STEPS)
def test_wrong_options_are_named(dray, site, kind):
    failed = dray("check", site.workflow(kind, fail="sometimes", after=-1), exit=2)
    assert "sometimes" in failed.out and "after" in failed.out


def test_mocks_are_not_installed(tmp_path):
    from conftest import BUILD
    done = subprocess.run(["make", "-s", "-C", BUILD, "install", f"DESTDIR={tmp_path}"], capture_output=True)
    assert done.returncode == 0, done.stderr
    found = [name for _, _, names in os.walk(tmp_path) for name in names]
    assert "push-hpfs.so" in found and not [name for name in found if "mock" in name]


def test_records_are_the_same_whether_a_push_takes_them_whole_or_in_pieces(dray, mocks, workflow, tmp_path, files):
    """push/mock takes them whole (host->records), push/hpfs in pieces, of which there are several here."""
    name = "long-" * 40
    files(tmp_path / "data", {f"{name}{n % 7}/{name}{n}": "x" * (n % 3) for n in range(800)} | {"none/": None})
    (tmp_path / "data/link").symlink_to(f"{name}0/{name}0")
    (tmp_path / "mock").mkdir()
    dray("run", workflow("version: 1\ndataset: ./data\nsteps:\n"
                         "  - { id: mock, uses: push/mock, with: { path: ./mock } }\n"
                         "  - { id: hpfs, uses: push/hpfs, with: { path: ./hpfs } }\n"))
    assert contents(tmp_path / "mock/data") == contents(tmp_path / "hpfs") == contents(tmp_path / "data")
    for record in ("manifest-sha256.txt", "tree.jsonl"):
        whole = (tmp_path / "mock/data/.dray/data" / record).read_bytes()
        assert len(whole) > 3 * 65536 and whole == (tmp_path / "hpfs/.dray/data" / record).read_bytes()
