# SPDX-License-Identifier: MIT
"""What a source brought is kept and shared: tape is read once, whoever needs it and whatever dies."""
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from conftest import contents

TAPE = Path(__file__).resolve().parent / "tape.sh"
FILES = {"a.nc": b"aaa", "deep": None, "deep/b.nc": b"b"}


@pytest.fixture
def tape(dray, tmp_path, files):
    """A tape with bundles on it, and a site whose tool is tape.sh."""
    files(tmp_path, {"tape/x/a.nc": "aaa", "tape/x/deep/b.nc": "b", "out/": None})
    for name in ("x.tar", "y.tar"):
        with tarfile.open(tmp_path / "tape" / name, "w") as bundle:
            bundle.add(tmp_path / "tape/x", arcname=".")
    shutil.copy(TAPE, tmp_path / "tape.sh")

    class Tape:
        path = tmp_path / "tape"
        out = tmp_path / "out"
        config = tmp_path / "dray.yaml"

        def configure(self, scratch="{}", more="", top=""):
            self.config.write_text(
                f"version: 1\nscratch: {scratch}\nsources:\n  sda:\n    uses: source/command\n"
                f"    with: {{ argv: [{tmp_path}/tape.sh, '{{remote}}', '{{local}}']{more} }}\n{top}"
                f"    grants: {{ exec: [/usr/bin/cp, /usr/bin/sleep, /usr/bin/rm], read: [{self.path}] }}\n")

        def work(self, name, bundle="x.tar", step=""):
            """A dataset of the catalog and a workflow that delivers it."""
            dray("dataset", "add", name, "--source", f"sda:{self.path}/{bundle}")
            file = tmp_path / f"{name}.yaml"
            file.write_text(f"version: 1\ndataset: {name}\nsteps:\n{step}"
                            f"  - {{ id: deliver, uses: push/hpfs, with: {{ path: {self.out}/{name} }} }}\n")
            return file

        def run(self, work, *options, **keywords):
            return dray("run", work, "--config", self.config, *options, **keywords)

        def start(self, work):
            return dray.start("run", work, "--config", self.config, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)

        def runs(self):
            return sum(file.read_text(errors="replace").count("tape ran")
                       for file in (dray.state / "logs").glob("*.log"))

        def kept(self, root=None):
            root = root or dray.state / "scratch"
            return sorted(path for path in root.glob("staged/*") if len(path.name) == 64)

        def left(self):
            """What lies in scratch, but for the folder and the lock that stay."""
            return sorted(str(path.relative_to(dray.state / "scratch")) for path in
                          (dray.state / "scratch").rglob("*") if path.name not in ("staged", "room.lock"))

        def gc(self, *options, **keywords):
            return dray.json("admin", "gc", "--config", self.config, *options, **keywords)

    made = Tape()
    made.configure()
    return made


BREAK_ONCE = "  - { id: broken, uses: filter/mock, with: { fail: permanent, times: 1 } }\n"


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_nothing_is_kept_after_a_delivery(tape):
    tape.run(tape.work("one"))
    assert contents(tape.out / "one") == FILES and tape.runs() == 1
    assert tape.left() == []


def test_after_a_failure_tape_is_not_read_again(tape, mocks):
    work = tape.work("one", step=BREAK_ONCE)
    tape.run(work, exit=1)
    assert tape.runs() == 1 and len(tape.kept()) == 1
    tape.run(work)
    assert contents(tape.out / "one") == FILES and tape.runs() == 1
    assert tape.left() == []


def test_what_is_used_again_is_said(dray, tape, mocks):
    """Tape changed under the same name since: who gets the old bytes is told."""
    work = tape.work("one", step=BREAK_ONCE)
    assert "is used again" not in tape.run(work, exit=1).err
    [kept] = tape.kept()
    brought = json.loads((kept / "about.json").read_text())["brought"]
    (tape.path / "x.tar").write_bytes((tape.path / "x.tar").read_bytes().replace(b"aaa", b"new"))
    said = tape.run(work).err
    assert f"  stage: what was brought at {brought} is used again\n" in said
    assert contents(tape.out / "one") == FILES and tape.runs() == 1
    [job] = {path for path in (dray.state / "logs").glob("*-*.log")}
    assert [line for line in job.read_text().splitlines() if '"reused"' in line and brought in line]


def test_again_brings_anew_what_was_kept(dray, tape, mocks):
    """Once: what this very run brought is used by its second try."""
    work = tape.work("one", step=BREAK_ONCE)
    tape.run(work, exit=1)
    work.write_text(work.read_text().replace("fail: permanent, times: 1 }", "fail: temporary, times: 1 }, "
                                             "retry: { tries: 3, backoff: 10ms }"))
    (tape.path / "x.tar").write_bytes((tape.path / "x.tar").read_bytes().replace(b"aaa", b"new"))
    said = tape.run(work, "--again").err
    assert "brought again" in said and "--again was given" in said
    assert contents(tape.out / "one")["a.nc"] == b"new" and tape.runs() == 2 and tape.left() == []


def test_a_retry_in_the_same_run_does_not_read_tape_again(tape, mocks):
    step = "  - { id: broken, uses: filter/mock, with: { fail: temporary, times: 1 }, retry: { tries: 3, backoff: 10ms } }\n"
    tape.run(tape.work("one", step=step))
    assert contents(tape.out / "one") == FILES and tape.runs() == 1 and tape.left() == []


def test_a_preview_that_brings_is_not_in_vain(dray, tape):
    work = tape.work("one")
    assert "a.nc" in dray("preview", work, "--stage", "--config", tape.config).out
    [kept] = tape.kept()
    before = (kept / "list").read_text()
    [item] = tape.gc("--dry-run")["items"]
    assert item["why"] == "a preview brought it, and its delivery may need it"
    tape.run(work)
    assert contents(tape.out / "one") == FILES and tape.left() == []
    assert "tape ran" not in "".join(file.read_text(errors="replace") for file in (dray.state / "logs").glob("*-*.log"))
    assert json.loads(before.splitlines()[0])["type"] == "directory"


def test_the_list_says_what_was_brought_and_for_whom(tape, mocks):
    tape.run(tape.work("one", step=BREAK_ONCE), exit=1)
    [kept] = tape.kept()
    lines = [json.loads(line) for line in (kept / "list").read_text().splitlines()]
    there = os.stat(kept / "tree/brought/x.tar")
    assert [line["path"] for line in lines] == ["brought", "brought/x.tar"]
    assert lines[1] == {"path": "brought/x.tar", "type": "file", "size": there.st_size,
                        "mtime": there.st_mtime_ns, "ctime": there.st_ctime_ns, "inode": there.st_ino,
                        "mode": there.st_mode & 0o7777}
    about = json.loads((kept / "about.json").read_text())
    assert about["source"] == "sda" and about["remote"] == f"{tape.path}/x.tar" and about["dataset"] == "one"
    assert len(os.listdir(kept / "jobs")) == 1


def test_two_jobs_share_one_reading(tape):
    (tape.path / "hold").write_text("")
    running = [tape.start(tape.work(name)) for name in ("one", "two")]
    wait_for(lambda: tape.runs() == 1)
    time.sleep(1)
    (tape.path / "hold").unlink()
    said = [one.communicate(timeout=90)[1] for one in running]
    assert [one.returncode for one in running] == [0, 0], said
    assert contents(tape.out / "one") == contents(tape.out / "two") == FILES
    assert sum("waiting: another process brings" in text for text in said) == 1
    # The first may have ended, and removed it, before the second came to use it.
    assert tape.runs() <= 2 and tape.left() == []


def test_who_uses_it_keeps_it_from_being_removed(dray, tape, mocks):
    """The first delivers slowly; the second comes, delivers and ends: nothing goes below the first."""
    step = "  - { id: slow, uses: filter/mock, with: { delay: 1s } }\n"
    first = tape.start(tape.work("one", step=step))
    wait_for(lambda: tape.kept())
    tape.run(tape.work("two"))
    if first.poll() is None:
        [item] = [one for one in tape.gc()["items"] if one["what"] == "staged"]
        assert not item["removed"] and item["why"] == "it is in use"
    first.communicate(timeout=60)
    assert first.returncode == 0 and tape.runs() == 1
    assert contents(tape.out / "one") == contents(tape.out / "two") == FILES and tape.left() == []


def test_when_the_first_dies_the_second_brings_it(dray, tape):
    (tape.path / "hold").write_text("")
    first = tape.start(tape.work("one"))
    wait_for(lambda: tape.runs() == 1)
    second = tape.start(tape.work("two"))
    time.sleep(1)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    wait_for(lambda: tape.runs() == 2)
    (tape.path / "hold").unlink()
    said = second.communicate(timeout=60)[1]
    assert second.returncode == 0, said
    assert contents(tape.out / "two") == FILES
    assert [name for name in tape.left() if "staged/" in name] == []


@pytest.mark.parametrize("damage", ["cut", "hidden", "touched", "gone", "more", "replaced", "list"])
def test_what_was_damaged_is_thrown_away_and_brought_again(tape, mocks, damage):
    work = tape.work("one", step=BREAK_ONCE)
    tape.run(work, exit=1)
    [kept] = tape.kept()
    bundle = kept / "tree/brought/x.tar"
    if damage == "cut":
        status = bundle.stat()
        os.truncate(bundle, 100)
        os.utime(bundle, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif damage == "hidden":
        status = bundle.stat()
        with bundle.open("r+b") as file:
            file.write(b"EVIL")
        os.utime(bundle, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif damage == "touched":
        os.utime(bundle)
    elif damage == "gone":
        bundle.unlink()
    elif damage == "more":
        (bundle.parent / "z").write_text("")
    elif damage == "replaced":
        shutil.copy2(bundle, kept / "other")
        os.replace(kept / "other", bundle)
    else:
        (kept / "list").unlink()
    said = tape.run(work).err
    assert "what was brought earlier is thrown away and brought again" in said
    assert contents(tape.out / "one") == FILES and tape.runs() == 2 and tape.left() == []


def test_a_bundle_that_is_not_the_recorded_one_is_not_used_again(dray, tape):
    whole = (tape.path / "x.tar").read_bytes()
    work = tape.work("one")
    dray("dataset", "set", "one", "--digest", "sha256:" + hashlib.sha256(whole).hexdigest())
    (tape.path / "x.tar").write_bytes(whole.replace(b"aaa", b"aab"))
    tape.run(work, exit=1)
    assert tape.kept() == []
    (tape.path / "x.tar").write_bytes(whole)
    tape.run(work)
    assert contents(tape.out / "one") == FILES and tape.runs() == 2


def test_bytes_that_a_delivery_failed_for_are_not_used_again(dray, tape, files):
    """The bundle that came is not what its manifest says: the next run asks tape again."""
    whole = (tape.path / "x.tar").read_bytes()
    (tape.path / "x.tar").write_bytes(whole[:1100])
    work = tape.work("one")
    tape.run(work, exit=1)
    assert tape.kept() == []
    (tape.path / "x.tar").write_bytes(whole)
    tape.run(work)
    assert contents(tape.out / "one") == FILES and tape.runs() == 2


def test_another_command_line_or_remote_is_another_reading(tape, mocks):
    work = tape.work("one", step=BREAK_ONCE)
    tape.run(work, exit=1)
    tape.config.write_text(tape.config.read_text().replace("'{local}']", "'{local}', again]"))
    tape.run(work)
    assert tape.runs() == 2 and contents(tape.out / "one") == FILES


def test_a_program_that_fails_leaves_nothing(tape):
    (tape.path / "exit").write_text("7\n")
    failed = tape.run(tape.work("one"), exit=1)
    assert "tape.sh exit 7: drive in trouble" in failed.err and tape.left() == []


@pytest.mark.parametrize("round_", range(6))
def test_kills_at_any_moment_leave_what_the_next_run_or_gc_removes(dray, tape, round_):
    random.seed(round_)
    work = tape.work("one")
    for _ in range(4):
        running = tape.start(work)
        time.sleep(random.random() * 0.9)
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
    tape.run(work)
    assert contents(tape.out / "one") == FILES
    tape.configure(scratch="{ keep_failed: 0s }")
    tape.gc()
    assert tape.left() == [] and os.listdir(dray.state / "jobs") == []


def test_what_was_brought_survives_the_death_of_its_engine(dray, tape, mocks):
    work = tape.work("one", step="  - { id: slow, uses: filter/mock, with: { delay: 2s } }\n")
    running = tape.start(work)
    wait_for(lambda: tape.kept())
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    tape.run(work)
    assert tape.runs() == 1 and contents(tape.out / "one") == FILES and tape.left() == []


def test_no_step_can_harm_what_was_brought(dray, tape, mocks, tmp_path):
    """Landlock lets the runner that delivers read it, and nothing else; the programs of sources do not run there."""
    tape.run(tape.work("one", step=BREAK_ONCE), exit=1)
    [kept] = tape.kept()
    vandal = mocks / "filter-vandal.so"
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-I", TAPE.parent.parent.parent / "include",
                    TAPE.parent / "plugins/filter-vandal.c", "-o", vandal], check=True)
    vandal.chmod(0o755)
    work = tmp_path / "one.yaml"
    work.write_text(work.read_text().replace(BREAK_ONCE, "  - { id: vandal, uses: filter/vandal, "
                                             f"with: {{ file: {kept}/tree/brought/x.tar }} }}\n"))
    tape.run(work)
    assert contents(tape.out / "one") == FILES and tape.runs() == 1


def test_scratch_that_is_full_in_the_middle(dray, tape, small_disk):
    disk = small_disk("600k")
    tape.configure(scratch=f"{{ path: {disk} }}")
    (tape.path / "x/large").write_bytes(os.urandom(1 << 20))
    work = tape.work("one", "x")
    failed = tape.run(work, exit=1)
    assert "No space left on device" in failed.err and not (tape.out / "one").exists()
    [own] = disk.iterdir()
    assert sorted(path.name for path in own.rglob("*")) == ["room.lock", "staged"]
    small_disk.grow("9m")
    tape.run(work)
    assert (tape.out / "one/large").stat().st_size == 1 << 20


# ---- dray admin gc

def all_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_dry_run_leaves_no_trace(dray, tape, mocks, tmp_path):
    """It makes no lock, and so reports none of its own."""
    tape.run(tape.work("one", step=BREAK_ONCE), exit=1)
    (dray.state / "scratch/0123abcd-0000-4000-8000-000000000000.1").mkdir()
    [kept] = tape.kept()
    kept.with_name(kept.name + ".lock").unlink()
    (kept.parent / f"{'a' * 64}.lock").write_text("")
    (kept.parent / f"{'b' * 64}.part-0123456789abcdef").mkdir()
    (tmp_path / "big").mkdir()
    before = all_below(dray.state)
    for scratch in ("{}", f"{{ path: {tmp_path}/big }}"):
        tape.configure(scratch=scratch)
        for _ in range(2):
            whats = [item["what"] for item in tape.gc("--dry-run")["items"]]
            assert sorted(whats) == ["scratch", "staged", "staged"]
        assert all_below(dray.state) == before and os.listdir(tmp_path / "big") == []
    tape.gc()
    assert [path.name for path in kept.parent.iterdir() if path.name[:1] in "ab" and path != kept
            and not path.name.startswith(kept.name)] == [] and os.listdir(dray.state / "jobs") == []


def test_scratch_that_lay_elsewhere_is_collected(dray, tape, mocks, tmp_path):
    """In the state directory, then at two places of the site: nothing is left behind, nor taken from others."""
    for name in ("big", "other"):
        (tmp_path / name).mkdir()
    works = [tape.work(name, step=BREAK_ONCE) for name in ("one", "two", "six")]
    for work, scratch in zip(works, ("{}", f"{{ path: {tmp_path}/big }}", f"{{ path: {tmp_path}/other }}")):
        tape.configure(scratch=scratch)
        tape.run(work, exit=1)
    [own] = (tmp_path / "big").iterdir()
    places = [dray.state / "scratch", own, tmp_path / "other" / own.name]
    assert [len(tape.kept(place)) for place in places] == [1, 1, 1]
    assert len(tape.gc("--dry-run")["items"]) == 3
    (tmp_path / "another").mkdir(mode=0o700)
    (tmp_path / "another/staged").mkdir()
    (tmp_path / "another/staged" / ("c" * 64)).mkdir()
    own.rename(tmp_path / "moved")
    own.symlink_to(tmp_path / "another")
    tape.configure(scratch="{ keep_failed: 0s }")
    tape.gc()
    assert [len(tape.kept(place)) for place in (places[0], places[2])] == [0, 0]
    assert (tmp_path / "another/staged" / ("c" * 64)).is_dir()
    own.unlink()
    (tmp_path / "moved").rename(own)
    tape.gc()
    assert tape.kept(own) == []


def test_gc_removes_what_only_a_cancelled_job_needed(dray, tape, mocks):
    work = tape.work("one", step="  - { id: slow, uses: filter/mock, with: { delay: 20s } }\n")
    running = tape.start(work)
    wait_for(lambda: tape.kept())
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    assert not any(item["removed"] for item in tape.gc()["items"] if item["what"] == "staged")
    dray("cancel", dray.json("jobs")[0]["job"])
    assert any(item["removed"] for item in tape.gc()["items"] if item["what"] == "staged")
    assert tape.left() == []


def test_gc_says_what_stays_and_until_when(dray, tape, mocks):
    tape.run(tape.work("one", step=BREAK_ONCE), exit=1)
    answer = tape.gc("--dry-run")
    [item] = answer["items"]
    assert item["what"] == "staged" and not item["removed"] and item["bytes"] > 0 and item["until"] > item["why"][:0]
    assert item["why"] == "a job that did not deliver may need it" and answer["kept_bytes"] == item["bytes"]
    assert tape.gc()["items"] == answer["items"] and len(tape.kept()) == 1
    said = dray("admin", "gc", "--config", tape.config).out
    assert said.startswith("stays ") and "until 2" in said and said.endswith(" stay\n")


def test_gc_removes_what_is_kept_no_longer(dray, tape, mocks):
    tape.run(tape.work("one", step=BREAK_ONCE), exit=1)
    [kept] = tape.kept()
    [job] = os.listdir(kept / "jobs")
    past = time.time() - 49 * 3600
    os.utime(kept / "jobs" / job, (past, past))
    answer = tape.gc("--dry-run")
    assert [item["removed"] for item in answer["items"]] == [True] and tape.kept() == [kept]
    assert "goes " in dray("admin", "gc", "--dry-run").out
    assert tape.gc()["removed_bytes"] == answer["removed_bytes"] > 0
    assert tape.left() == [] and tape.gc()["items"] == []


def test_a_delivery_removes_what_is_kept_no_longer(tape, mocks):
    tape.run(tape.work("one", step=BREAK_ONCE), exit=1)
    tape.configure(scratch="{ keep_failed: 0s }")
    tape.run(tape.work("two", "y.tar"))
    assert tape.left() == []


def test_gc_removes_what_dead_processes_left(dray, tape):
    (tape.path / "hold").write_text("")
    running = tape.start(tape.work("one"))
    wait_for(lambda: tape.runs() == 1)
    item = [one for one in tape.gc()["items"] if one["removed"]]
    assert item == []
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    assert tape.left() != []
    whats = {item["what"] for item in tape.gc()["items"] if item["removed"]}
    assert "staged" in whats and "lock" in whats and tape.left() == []


def test_gc_where_nothing_is(dray):
    assert dray.json("admin", "gc") == {"dry_run": False, "items": [], "removed_bytes": 0, "kept_bytes": 0}
    assert dray("admin", "gc").out == "0 B removed, 0 B stay\n" and not dray.state.exists()


def test_gc_tells_what_it_cannot_remove(bound, tape, mocks):
    tape.run(tape.work("one", step=BREAK_ONCE), exit=1)
    [kept] = tape.kept()
    (kept / "bad").write_text("")
    kept.parent.chmod(0o500)
    failed = bound("admin", "gc", exit=1)
    kept.parent.chmod(0o700)
    assert "stays" in failed.out and "error: 1 of them could not be removed" in failed.err


@pytest.mark.parametrize("arguments, says", [
    (["gc", "x"], "dray admin: unexpected argument x"),
    (["xx"], "dray admin has no \"xx\""),
    (["gc", "--stage"], "dray admin does not take --stage")])
def test_wrong_words_for_admin(dray, arguments, says):
    assert says in dray("admin", *arguments, exit=2).err


# ---- scratch of the configuration

def test_scratch_lies_where_the_site_says(dray, tape, mocks, tmp_path):
    (tmp_path / "big").mkdir(mode=0o777)
    tape.configure(scratch="{ path: ./big }")
    work = tape.work("one", step=BREAK_ONCE)
    tape.run(work, exit=1)
    [own] = os.listdir(tmp_path / "big")
    assert own.startswith("dray-") and (tmp_path / "big" / own).stat().st_mode & 0o777 == 0o700
    assert len(tape.kept(tmp_path / "big" / own)) == 1 and not (dray.state / "scratch").exists()
    tape.run(work)
    assert tape.runs() == 1 and os.listdir(tmp_path / "big") == [own]
    assert tape.kept(tmp_path / "big" / own) == []


def test_what_another_put_at_our_name_in_scratch_is_not_used(dray, tape, tmp_path):
    (tmp_path / "big").mkdir()
    tape.configure(scratch=f"{{ path: {tmp_path}/big }}")
    tape.run(tape.work("one"))
    [own] = (tmp_path / "big").iterdir()
    shutil.rmtree(own)
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    own.symlink_to(tmp_path / "elsewhere")
    refused = tape.run(tape.work("two"), exit=None)
    assert refused.code != 0 and "is not a directory that only you may enter" in refused.err
    assert os.listdir(tmp_path / "elsewhere") == []


def test_scratch_that_is_not_there(tape, tmp_path):
    tape.configure(scratch=f"{{ path: {tmp_path}/none }}")
    refused = tape.run(tape.work("one"), exit=None)
    assert refused.code != 0 and "`scratch.path` of the configuration names a directory" in refused.err


def test_what_would_not_leave_the_reserve_free_is_not_begun(dray, tape):
    tape.configure(scratch="{ reserve: 99% }")
    refused = tape.run(tape.work("one"), exit=1)
    assert "there is no room to bring it to" in refused.err and "dray admin gc --dry-run" in refused.err
    assert tape.runs() == 0 and tape.left() == []


def test_a_dataset_that_does_not_fit_is_not_begun(dray, tape):
    work = tape.work("one")
    listing = json.dumps({"name": "one", "source": f"sda:{tape.path}/x.tar",
                          "files": [{"path": "a.nc", "size": 1 << 60}]})
    dray("dataset", "import", "-", input=listing.encode())
    refused = tape.run(work, exit=1)
    assert "there is no room to bring it to" in refused.err and "it has 1.0 EiB" in refused.err
    assert tape.runs() == 0


def test_a_bundle_that_does_not_fit_is_not_begun(dray, tape):
    work = tape.work("one")
    dray("dataset", "set", "one", "--bundle-size", str(1 << 60))
    refused = tape.run(work, exit=1)
    assert "it has 1.0 EiB" in refused.err and tape.runs() == 0


def test_room_is_waited_for_while_others_use_scratch(dray, tape, tmp_path):
    (tape.path / "hold").write_text("")
    first = tape.start(tape.work("one"))
    wait_for(lambda: tape.runs() == 1)
    work = tape.work("two", "y.tar")
    tape.configure(scratch="{ reserve: 99% }")
    second = tape.start(work)
    time.sleep(1.5)
    assert second.poll() is None
    (tape.path / "hold").unlink()
    first.communicate(timeout=60)
    said = second.communicate(timeout=60)[1]
    assert "waiting: room in scratch" in said
    assert second.returncode == 1 and "there is no room to bring it to" in said


@pytest.mark.parametrize("text, says", [
    ("scratch: [a]", ":2:10: error: `scratch` is a mapping, not a list"),
    ("scratch: { path: [] }", ":2:18: error: `path` of `scratch` is a directory, not a list"),
    ("scratch: { path: '' }", ":2:18: error: `path` of `scratch` is a directory, not nothing"),
    ("scratch: { keep_failed: soon }", ":2:25: error: `keep_failed` of `scratch` is a duration, not soon"),
    ("scratch: { reserve: 100% }", ":2:21: error: `reserve` of `scratch` is a size or a part of the whole, not 100%"),
    ("scratch: { reserve: much }", ":2:21: error: `reserve` of `scratch` is a size or a part of the whole, not much"),
    ("scratch: { pth: /x }", ":2:12: error: unknown key \"pth\""),
])
def test_what_is_wrong_with_scratch_is_said_at_its_place(dray, tmp_path, text, says):
    file = tmp_path / "dray.yaml"
    file.write_text(f"version: 1\n{text}\n")
    result = dray("check", file, exit=2)
    assert says in result.out + result.err


def test_scratch_that_is_right(dray, tmp_path):
    file = tmp_path / "dray.yaml"
    for text in ("{ path: /scratch/dray, keep_failed: 48h, reserve: 10% }", "{ reserve: 2 TiB, keep_failed: none }"):
        file.write_text(f"version: 1\nscratch: {text}\n")
        dray("check", file)
