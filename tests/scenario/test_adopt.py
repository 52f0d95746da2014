# SPDX-License-Identifier: MIT
"""A delivery that was killed goes on where it stopped: what its journal proves is not copied again, and nothing else
is believed."""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from trees import assert_same, listing

pytestmark = pytest.mark.slow

FILES = 160
SIZE = 1 << 20
WORKFLOW = """version: 1
name: test
dataset: {dataset}
steps:
  - id: deliver
    uses: push/hpfs
    with: {{ path: {target}, sync_every: 4MiB{more} }}
"""


@pytest.fixture
def disk(small_disk):
    return small_disk("1g")


@pytest.fixture
def data(disk):
    """A dataset that takes a while, and has been as it is for a while."""
    root, block = disk / "data", os.urandom(SIZE)
    for number in range(FILES):
        file = root / f"d{number % 8}" / f"f{number:03} %\n"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(number.to_bytes(8) + block[8:])
        file.chmod(0o640 + number % 4)
        os.utime(file, ns=(0, 981173106789012345 + number))
    time.sleep(2.1)
    return root


class Delivery:
    def __init__(self, dray, data, target, more=""):
        self.dray, self.data, self.target = dray, data, target
        self.workflow = dray.home / "adopt.yaml"
        self.workflow.write_text(WORKFLOW.format(dataset=data, target=target, more=more))

    def places(self):
        """What was put together when it was killed, beside the target or in it."""
        return [*self.target.parent.glob(".dray-*"), *self.target.glob(".dray-*/data")]

    def journals(self):
        return [place / ".dray" for place in self.places() if (place / ".dray").is_file()]

    def lines(self):
        """{path: inode} that the journals name."""
        found = {}
        for journal in self.journals():
            for line in journal.read_bytes().split(b"\n")[1:-1]:
                words = line.split(b" ", 13)
                path = words[13].replace(b"%0A", b"\n").replace(b"%25", b"%")
                found[path] = int(words[1])
        return found

    def start(self, lines, **keywords):
        """Starts it, and returns once so many lines are in a journal."""
        running = self.dray.start("run", self.workflow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  **keywords)
        while running.poll() is None:
            try:
                if sum(journal.read_bytes().count(b"\n") - 1 for journal in self.journals()) >= lines:
                    return running
            except FileNotFoundError:
                pass
            time.sleep(0.0005)
        return running

    def kill(self, lines=20):
        """Kills all of it; returns what the journal names then, {path: inode}."""
        for _ in range(20):
            running = self.start(lines)
            try:
                os.killpg(running.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            if running.wait() == -signal.SIGKILL and len(self.lines()) >= lines:
                time.sleep(0.05)
                return self.lines()
            shutil.rmtree(self.target, ignore_errors=True)
            shutil.rmtree(self.dray.state, ignore_errors=True)
        pytest.fail("it could not be killed in the middle")

    def finish(self, **keywords):
        """Runs it again; returns the event that says what was adopted, or None."""
        read, write = os.pipe()
        with os.fdopen(read) as events:
            done = self.dray("run", self.workflow, "--progress-fd", write, pass_fds=[write], **keywords)
            os.close(write)
            told = [json.loads(line) for line in events]
        self.done = done
        self.check()
        adopted = [event for event in told if event["event"] == "adopted"]
        assert len(adopted) <= 1
        return adopted[0] if adopted else None

    def check(self):
        assert_same(self.target, self.data)
        self.dray("verify", self.target)
        assert self.places() == []
        assert os.listdir(self.dray.state / "scratch") == []

    def inodes(self):
        return {os.path.relpath(os.path.join(folder, name), os.fsencode(self.target)):
                os.lstat(os.path.join(folder, name)).st_ino
                for folder, _, names in os.walk(os.fsencode(self.target)) for name in names}


@pytest.fixture
def delivery(dray, data, disk):
    (disk / "out").mkdir()
    return lambda more="", target=disk / "out" / "x": Delivery(dray, data, target, more)


@pytest.mark.parametrize("more", ["", ", durability: fsync", ", permissions: '0750', group: 0",
                                  ", existing: replace"], ids=["new", "fsync", "rights", "replace"])
def test_what_was_copied_is_not_copied_again(delivery, dray, data, more):
    it = delivery(more)
    if "replace" in more:
        it.finish()
        (data / "d0" / "more").write_bytes(b"more")
        time.sleep(2.1)
    named = it.kill()
    if "permissions" in more:
        it.check = lambda: assert_same(it.target, it.data, modes=False)
    event = it.finish()
    assert event["entries"] == len(named) and event["step"] == "deliver"
    assert event["bytes"] >= (len(named) - 1) * SIZE
    found = it.inodes()
    assert {path: found[path] for path in named} == named
    if "permissions" in more:
        assert {mode for kind, *_, mode, _ in listing(it.target).values() if kind == "file"} == {"0640"}
    assert f"deliver goes on where it was stopped: {len(named)} files" in it.done.err
    job = dray.json("jobs")[0]["job"]
    assert f"{len(named)} files, " in dray("show", job).out and "copied by an earlier attempt" in dray("show", job).out


def test_one_that_is_not_killed_says_nothing_and_leaves_nothing(delivery):
    it = delivery()
    assert it.finish() is None
    assert sorted(os.listdir(it.target / ".dray")) == ["data"]


@pytest.mark.parametrize("empty", [False, True], ids=["merge", "empty"])
def test_a_merge_goes_on_too(delivery, dray, data, disk, empty):
    target = disk / "out" / "x"
    target.mkdir()
    if not empty:
        (target / "theirs").write_bytes(b"theirs")
    it = delivery(", existing: merge", target)

    def check():
        dray("verify", target)
        assert it.places() == [] and list(target.glob(".dray-*")) == []
        if not empty:
            assert (target / "theirs").read_bytes() == b"theirs"
            (target / "theirs").rename(disk / "theirs")
        assert_same(target, data)

    it.check = check
    for _ in range(20):
        running = it.start(20)
        try:
            os.killpg(running.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        running.wait()
        named = it.lines()
        if len(named) >= 20 and not list(target.glob(".dray-*/journal")):
            break
        shutil.rmtree(dray.state)
        shutil.rmtree(target)
        target.mkdir()
        if not empty:
            (target / "theirs").write_bytes(b"theirs")
    time.sleep(0.05)
    assert it.finish()["entries"] == len(named)
    found = it.inodes()
    assert {path: found[path] for path in named} == named


def test_killed_again_and_again_nothing_that_was_reached_is_lost(delivery):
    it = delivery()
    before = it.kill(20)
    for lines in (50, 80):
        running = it.start(lines)
        try:
            os.killpg(running.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if running.wait() != -signal.SIGKILL:
            break
        time.sleep(0.05)
        now = it.lines()
        assert {path: now[path] for path in before} == before
        before = now
    else:
        assert it.finish()["entries"] == len(before)
    it.check()


def test_a_runner_that_is_killed_is_followed_by_one_that_goes_on(delivery, dray):
    it = delivery()
    for _ in range(20):
        running = it.start(20)
        named, runner = it.lines(), None
        for process in filter(str.isdecimal, os.listdir("/proc")):
            try:
                with open(f"/proc/{process}/stat") as stat:
                    words = stat.read().rsplit(")", 1)
                if int(words[1].split()[1]) == running.pid and "dray-runner" in words[0]:
                    runner = int(process)
            except OSError:
                pass
        if runner:
            os.kill(runner, signal.SIGKILL)
        assert running.wait() == 0
        it.check()
        if len(dray.json("show", dray.json("jobs")[0]["job"])["attempts"]) == 2 and len(named) >= 20:
            break
        shutil.rmtree(it.target)
        shutil.rmtree(dray.state)
    found = it.inodes()
    assert {path: found[path] for path in named} == named


# ---- What is not believed ----

def keep_times(status, path):
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def edit(path, status):
    with open(path, "r+b") as file:
        file.write(b"edited!!")
    keep_times(status, path)


def truncate(path, status):
    os.truncate(path, 100)
    keep_times(status, path)


def lose(path, status):
    """Its bytes, but not its size."""
    os.truncate(path, 0)
    os.truncate(path, status.st_size)
    keep_times(status, path)


def replace(path, status):
    shutil.copy2(path, path + b".new")
    os.rename(path + b".new", path)


def link(path, status):
    os.link(path, path + b".link")


def symlink(path, status):
    os.rename(path, path + b".real")
    os.symlink(os.path.basename(path) + b".real", path)


def fifo(path, status):
    os.unlink(path)
    os.mkfifo(path)


def remove(path, status):
    os.unlink(path)


@pytest.mark.parametrize("change", [edit, truncate, lose, replace, link, symlink, fifo, remove],
                         ids=lambda change: change.__name__)
def test_a_file_that_is_not_what_was_noted_is_copied_again(delivery, change):
    it = delivery()
    named = it.kill()
    place = os.fsencode(it.places()[0])
    victims = sorted(named)[::7]
    for path in victims:
        change(os.path.join(place, path), os.lstat(os.path.join(place, path)))
    assert it.finish()["entries"] == len(named) - len(victims)


def test_what_was_not_synced_is_not_believed(delivery):
    """As after a crash: of what was not synced anything may be lost."""
    it = delivery()
    named = it.kill()
    place, lost = os.fsencode(it.places()[0]), 0
    for folder, _, names in os.walk(place):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.relpath(path, place) not in named and name != b".dray":
                lose(path, os.lstat(path))
                lost += 1
    assert it.finish()["entries"] == len(named)
    print(f"{lost} files lost")


def with_check(line):
    return hashlib.sha256(line).hexdigest()[:16].encode() + b" " + line


def torn(lines):
    return lines[:-1], lines[-1][:-20], 1


def zeros(lines):
    return lines[:-1], b"\0" * 4096, 1


def damaged(lines):
    """One digit of a digest: it is not what was written, so neither is what follows."""
    words = lines[10].split(b" ")
    words[5] = (b"1" if words[5][:1] == b"0" else b"0") + words[5][1:]
    return [*lines[:10], b" ".join(words), *lines[11:]], b"", len(lines) - 10


def foreign(lines):
    return [lines[0][:-1] + (b"1" if lines[0][-1:] == b"0" else b"0"), *lines[1:]], b"", len(lines) - 1


def empty(lines):
    return [], b"", len(lines) - 1


def lying(lines):
    """It names bytes that are not there: another inode, a name that leads out, one that is no entry's."""
    words = lines[1].split(b" ", 13)[1:]
    other = with_check(b" ".join([b"1", *words[1:]]))
    out = with_check(b" ".join([*words[:12], b"../../data/d0/f000 %25%0A"]))
    none = with_check(b" ".join([*words[:12], b"d0/none"]))
    return [lines[0], other, *lines[2:], none, out], b"\n", 1


@pytest.mark.parametrize("change", [torn, zeros, damaged, foreign, empty, lying],
                         ids=lambda change: change.__name__)
def test_a_journal_that_is_damaged_is_believed_as_far_as_it_proves_itself(delivery, change):
    it = delivery()
    named = it.kill()
    journal = it.journals()[0]
    lines = journal.read_bytes().split(b"\n")[:-1]
    changed, tail, lost = change(lines)
    journal.write_bytes(b"".join(line + b"\n" for line in changed) + tail)
    event = it.finish()
    assert (event["entries"] if event else 0) == len(named) - lost


def open_to_others(place):
    place.chmod(0o755)


def open_journal(place):
    (place / ".dray").chmod(0o644)


def linked_journal(place):
    os.link(place / ".dray", place.parent / "other")


def symlink_journal(place):
    (place / ".dray").rename(place / "other")
    (place / ".dray").symlink_to("other")


def other_group(place):
    os.chown(place, -1, 12345)


@pytest.mark.parametrize("change", [open_to_others, open_journal, linked_journal, symlink_journal, other_group], ids=lambda change: change.__name__)
def test_what_others_could_have_written_is_not_believed(delivery, disk, change):
    it = delivery()
    it.kill()
    change(it.places()[0])
    assert it.finish() is None


def test_a_source_that_changed_meanwhile_is_copied_anew(delivery, data):
    """With its size and time, so that the request is the same: only its ctime tells."""
    it = delivery()
    named = it.kill()
    path = os.path.join(os.fsencode(data), sorted(named)[3])
    edit(path, os.lstat(path))
    assert it.finish()["entries"] == len(named) - 1


def test_a_source_of_just_now_is_not_noted(delivery, data):
    """It could change once more without getting another time."""
    fresh = sorted(data.rglob("f*"))[::2]
    for file in fresh:
        os.utime(file, ns=(0, 981173106789012345))
    it = delivery()
    named = it.kill()
    assert not {os.fsencode(file.relative_to(data)) for file in fresh} & set(named)
    it.finish()


def test_another_plan_adopts_nothing(delivery, data):
    it = delivery()
    it.kill()
    it.workflow.write_text(it.workflow.read_text().replace("sync_every: 4MiB", "sync_every: 4MiB, xattrs: user"))
    assert it.finish() is None


def test_one_that_is_cancelled_leaves_nothing(delivery, dray):
    it = delivery()
    it.kill()
    dray("cancel", dray.json("jobs")[0]["job"])
    assert it.places() == []


def test_a_frozen_delivery_does_no_harm_when_it_wakes(delivery, dray, data):
    """As when a machine hangs, and another one with the same state goes on."""
    it, other = delivery(), dray.home / "other"
    running = it.start(20)
    os.killpg(running.pid, signal.SIGSTOP)
    try:
        shutil.copytree(dray.state, other)  # where nobody holds the job's lock
        check, it.check = it.check, lambda: assert_same(it.target, data)
        assert it.finish(env={"DRAY_STATE": str(other)})["entries"] >= 20
        inodes = it.inodes()
    finally:
        os.killpg(running.pid, signal.SIGCONT)
    running.wait()
    check()
    assert it.inodes() == inodes


def test_what_was_copied_counts_as_room(dray, small_disk, tmp_path, data):
    """What is adopted needs no second place, and what is not is removed before room is looked for."""
    disk = data.parent
    need = FILES * SIZE * 2 + FILES * SIZE * 4 // 10
    (disk / "out").mkdir()
    small_disk.grow(str(need // 4096 * 4096))
    it = Delivery(dray, data, disk / "out" / "x")
    named = it.kill(FILES // 2)
    assert it.finish()["entries"] == len(named)


def test_holes_and_hard_links_stay(delivery, data):
    with open(data / "holes", "wb") as file:
        file.truncate(64 << 20)
        file.seek(1 << 20)
        file.write(b"x" * (8 << 20))
    os.link(data / "d0" / "f000 %\n", data / "d1" / "same")
    time.sleep(2.1)
    it = delivery()
    named = it.kill(FILES // 2)
    it.finish()
    assert b"holes" in named
    assert (it.target / "holes").stat().st_blocks * 512 < 32 << 20
    assert (it.target / "d1/same").stat().st_ino == (it.target / "d0/f000 %\n").stat().st_ino
