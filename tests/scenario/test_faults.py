# SPDX-License-Identifier: MIT
"""push/hpfs and what can go wrong around it: sources that change, destinations that refuse, lie or are swapped,
names at their limits. Never a byte outside, never half a delivery, never a wrong answer."""
import errno
import os
import random
import shutil
import signal
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

from trees import assert_same, listing

HERE = Path(__file__).resolve().parent
MIB = 1 << 20


@pytest.fixture(scope="session")
def refuse_program(tmp_path_factory):
    program = tmp_path_factory.mktemp("refuse") / "refuse"
    subprocess.run(["cc", "-std=gnu11", HERE / "refuse.c", "-o", program, "-lseccomp"], check=True)
    return program


@pytest.fixture
def refuse(dray, refuse_program):
    """refuse("renameat2", errno.EINVAL, 4, "ne", 0): from now on that call fails where argument 4 is not 0."""

    def start(name, error, index, operator, value):
        dray.prefix = [str(refuse_program), name, str(error), str(index), operator, str(value)]

    return start


@pytest.fixture
def mounted(tmp_path):
    """mounted("size=9m") is a new tmpfs, mounted.again("ro") mounts it anew with other options."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system of its own")
    place = tmp_path / "mounted"
    place.mkdir()

    def mount(options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "dray-test", place], check=True)
        return place

    mount.again = lambda options: subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)
    yield mount
    if os.path.ismount(place):
        subprocess.run(["umount", "-l", place], check=True)


def class_of(dray):
    return dray.json("show", dray.json("jobs")[0]["job"])["attempts"][-1]["steps"][-1]["class"]


# ---- Destinations that refuse ----


def test_a_read_only_file_system(dray, files, tmp_path, mounted):
    data, place = files(tmp_path / "data", {"a": b"a"}), mounted("size=9m")
    mounted.again("ro")
    failed = dray("push", data, "--to", place / "x", exit=None)
    assert failed.code in (1, 3)
    assert f"making a directory in {place}: Read-only file system" in failed.err
    mounted.again("rw")
    assert os.listdir(place) == []
    dray("push", data, "--to", place / "x")
    assert_same(place / "x", data)


def merge_into(files, workflow, tmp_path):
    """A target with a file of others, and a workflow that merges into it."""
    files(tmp_path / "data", {"a": b"new", "d/b": b"two", "e/f": b"three"})
    files(tmp_path / "x", {"a": b"old", "d/theirs": b"t"})
    return workflow(f"""version: 1
name: test
dataset: {tmp_path}/data
steps:
  - id: deliver
    uses: push/hpfs
    with: {{ path: {tmp_path}/x, existing: merge, conflicts: replace }}
""")


@pytest.mark.parametrize("call, error, index", [("renameat2", errno.EINVAL, 4), ("renameat2", errno.ENOSYS, 4),
                                                ("openat2", errno.ENOSYS, 3), ("openat2", errno.EPERM, 3)])
def test_a_merge_without_flags_or_openat2(dray, refuse, files, workflow, tmp_path, call, error, index):
    work = merge_into(files, workflow, tmp_path)
    refuse(call, error, index, "ne", 0)
    dray("run", work)
    assert (tmp_path / "x" / "a").read_bytes() == b"new" and (tmp_path / "x" / "d" / "theirs").read_bytes() == b"t"
    assert (tmp_path / "x" / "e" / "f").read_bytes() == b"three"
    assert [name for name in os.listdir(tmp_path / "x") if name.startswith(".dray-")] == []
    dray("verify", tmp_path / "x")


def test_a_merge_that_may_not_rename_leaves_all_as_it_was(dray, refuse, files, workflow, tmp_path):
    work = merge_into(files, workflow, tmp_path)
    refuse("renameat2", errno.EIO, 4, "ne", 0)
    dray("run", work, exit=None)
    assert sorted(os.listdir(tmp_path / "x")) == ["a", "d"] and os.listdir(tmp_path / "x" / "d") == ["theirs"]
    assert (tmp_path / "x" / "a").read_bytes() == b"old"


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_that_knows_no_flags_of_a_rename(dray, refuse, files, tmp_path, error):
    data = files(tmp_path / "data", {"a": b"a", "d/b": b"b"})
    refuse("renameat2", error, 4, "ne", 0)
    dray("push", data, "--to", tmp_path / "x")
    assert_same(tmp_path / "x", data)
    assert "already delivered" in dray("push", data, "--to", tmp_path / "x").out
    (tmp_path / "y").mkdir()
    assert "an empty directory; nothing was written" in dray("push", data, "--to", tmp_path / "y", exit=1).err


@pytest.mark.parametrize("error, said, name", [
    (errno.EDQUOT, "Disk quota exceeded", "no_space"), (errno.ENOSPC, "No space left on device", "no_space"),
    (errno.EIO, "Input/output error", "temporary")])
def test_a_write_that_fails_in_the_middle(dray, refuse, files, tmp_path, error, said, name):
    """A quota can only be met by writing."""
    parent = tmp_path / "parent"
    parent.mkdir()
    data = files(tmp_path / "data", {**{f"d/f{number:03}": b"x" * 50 for number in range(300)}, "d/g": b"y" * 12345})
    refuse("write", error, 2, "eq", 12345)
    failed = dray("push", data, "--to", parent / "x", exit=None)
    assert failed.code != 0 and f'writing the copy of "d/g": {said}' in failed.err
    assert os.listdir(parent) == []
    dray.prefix = []
    assert class_of(dray) == name
    dray("push", data, "--to", parent / "x")
    assert_same(parent / "x", data)


@pytest.fixture(scope="session")
def refuse_one_program(tmp_path_factory):
    program = tmp_path_factory.mktemp("refuse-one") / "refuse_one"
    subprocess.run(["cc", "-std=gnu11", HERE / "refuse_one.c", "-o", program, "-lseccomp"], check=True)
    return program


def names_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def is_harmless(place, call, path):
    """Where it is delivered by its name, which was looked at again, or nothing of the delivery was written there."""
    if call == "close":
        return ".dray-mode" in path or not any(path.endswith(end) for end in ("/a", "/b", ".json", ".jsonl", ".txt", ".new"))
    return path in (str(place), f"{place}/x")


SAID = {errno.EDQUOT: ("Disk quota exceeded", "no_space"), errno.EIO: ("Input/output error", "temporary")}


@pytest.mark.slow
@pytest.mark.parametrize("existing", ["fail", "replace", "merge"])
@pytest.mark.parametrize("call, durability", [("fsync", "syncfs"), ("fsync", "fsync"), ("syncfs", "syncfs"),
                                              ("close", "syncfs"), ("close", "fsync")])
def test_an_error_that_is_told_late(dray, refuse_one_program, files, tmp_path, workflow, call, durability, existing):
    """Lustre and NFS tell a quota that is exceeded, and lost writes, where bytes are made durable or a file is
    closed: each such call of a delivery fails once. What is temporary, the run tries again itself."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to see the descriptors of what may not be traced")
    wanted, number, failures = None, 0, 0
    while wanted is None or number <= wanted:
        place, error = tmp_path / f"p{number}" / "parent", (errno.EDQUOT, errno.EIO)[number % 2]
        place.mkdir(parents=True)
        data = files(place.parent / "data", {"a": b"new", "d/b": b"two"})
        option = {"fail": "", "replace": ", existing: replace", "merge": ", existing: merge, conflicts: replace"}[existing]
        work = workflow(f"version: 1\nname: test\ndataset: {data}\nsteps:\n  - id: deliver\n    uses: push/hpfs\n"
                        f"    with: {{ path: {place}/x, durability: {durability}{option} }}\n")
        if existing == "merge":
            files(place / "x", {"a": b"old", "d/theirs": b"t"})
        elif existing == "replace":
            (data / "a").write_bytes(b"old")
            dray("run", work)
            (data / "a").write_bytes(b"new")
        before = names_in(place)
        counted = tmp_path / "counted"
        dray.prefix = [str(refuse_one_program), call, str(error), str(place), str(number), str(counted)]
        ran = dray("run", work, exit=None)
        dray.prefix = []
        if wanted is None:
            assert ran.code == 0, ran
            wanted = int(counted.read_text().split()[0])
        elif ran.code != 0:
            failures += 1
            said, name = SAID[error]
            assert said in ran.err and class_of(dray) == name, ran
            if "was delivered, but" not in ran.err:
                assert names_in(place) == before, ran
                assert existing == "fail" or (place / "x/a").read_bytes() == b"old", ran
        else:
            failures += 1
            attempts = dray.json("show", dray.json("jobs")[0]["job"])["attempts"]
            steps = [step for step in attempts[0]["steps"] if step.get("class")]
            failed = counted.read_text().splitlines()[1]
            tried = len(attempts) == 2 and steps[-1]["class"] == SAID[error][1]
            assert tried or is_harmless(place, call, failed), (number, failed, ran)
        dray("run", work)
        assert (place / "x/a").read_bytes() == b"new" and (place / "x/d/b").read_bytes() == b"two"
        assert existing != "merge" or (place / "x/d/theirs").read_bytes() == b"t"
        assert [path for path in names_in(place) if ".dray-" in path] == []
        dray("verify", place / "x")
        number += 1
    assert failures > 0 or wanted == 0
    print(call, durability, existing, wanted, failures)


def test_a_file_system_that_takes_a_mode_and_keeps_another(dray, refuse, files, tmp_path, workflow):
    parent = tmp_path / "parent"
    parent.mkdir()
    file = workflow(f"version: 1\ndataset: {files(tmp_path / 'data', {'a': b'a'})}\nsteps:\n  - id: deliver\n"
                    f"    uses: push/hpfs\n    with: {{ path: {parent}/x, permissions: '2770' }}\n")
    refuse("fchmod", 0, 1, "eq", 0o2770)
    failed = dray("run", file, exit=1)
    assert "was given mode 2770, but the file system there keeps " in failed.err
    assert os.listdir(parent) == []
    refuse("fchmod", 0, 1, "eq", 0o660)
    failed = dray("run", file, exit=1)
    assert '"a" of the delivery was given mode 0660, but the file system there keeps ' in failed.err
    assert os.listdir(parent) == []


def test_a_file_system_that_keeps_another_group(dray, refuse, files, tmp_path, workflow):
    if os.geteuid() != 0:
        pytest.skip("needs root, to give away what it makes")
    parent = tmp_path / "parent"
    parent.mkdir()
    file = workflow(f"version: 1\ndataset: {files(tmp_path / 'data', {'a': b'a'})}\nsteps:\n  - id: deliver\n"
                    f"    uses: push/hpfs\n    with: {{ path: {parent}/x, group: '4242' }}\n")
    refuse("fchown", 0, 2, "eq", 4242)
    failed = dray("run", file, exit=1)
    assert '"a" of the delivery was given group 4242, but the file system there keeps 0' in failed.err
    assert os.listdir(parent) == []


# ---- Destinations that are swapped ----


def swap_destination(parent, outside, stop):
    """The delivery's name is a link that leads out, and is not, all the time."""
    while not stop.is_set():
        for act in (lambda: os.symlink(outside, parent / "x"), lambda: os.unlink(parent / "x")):
            try:
                act()
            except OSError:
                pass


def swap_parent(parent, outside, stop):
    """The directory to deliver into is a link that leads out, and is itself again."""
    away = parent.with_name("away")
    while not stop.is_set():
        os.rename(parent, away)
        os.symlink(outside, parent)
        os.unlink(parent)
        os.rename(away, parent)
        time.sleep(random.random() / 20)


def swap_staging(parent, outside, stop):
    """What is put together is moved away and a link that leads out takes its name, and back again."""
    while not stop.is_set():
        for name in os.listdir(parent):
            if not name.startswith(".dray-"):
                continue
            try:
                os.rename(parent / name, parent / "theirs")
                os.symlink(outside, parent / name)
                time.sleep(random.random() / 1000)
                os.unlink(parent / name)
            except OSError:
                pass
            try:
                os.rename(parent / "theirs", parent / name)
            except OSError:
                pass


@pytest.mark.parametrize("racer", [swap_destination, swap_parent, swap_staging])
def test_a_racer_leads_no_byte_outside(dray, files, tmp_path, racer):
    data = files(tmp_path / "data", {f"d{number % 7}/f{number:04}": b"x" * number for number in range(800)})
    answers = set()
    for round_ in range(5):
        parent, outside, stop = tmp_path / f"r{round_}" / "parent", tmp_path / f"outside{round_}", threading.Event()
        parent.mkdir(parents=True)
        outside.mkdir()
        running = threading.Thread(target=racer, args=(parent, outside, stop))
        running.start()
        try:
            done = dray("push", data, "--to", parent / "x", exit=None)
        finally:
            stop.set()
            running.join()
        answers.add(done.code)
        assert os.listdir(outside) == [], done
        assert done.code in (0, 1, 2, 3), done
        if done.code == 0:
            assert stat.S_ISDIR(os.lstat(parent / "x").st_mode)
            assert_same(parent / "x", data)
        else:
            assert "error: " in done.err, done
            if racer is not swap_staging:
                assert not [name for name in os.listdir(parent) if name.startswith(".dray")], done
        assert not (parent / "x").is_symlink() or racer is not swap_parent
    print(racer.__name__, sorted(answers))


# ---- Names at their limits ----


def make_deep(root, length):
    """A file whose path below root has that many bytes, made a step at a time; what its path is."""
    path, names = "", []
    while length - len(path) > 256:
        names.append("n" * 255 if length - len(path) > 258 + 255 else "m" * ((length - len(path)) // 2))
        path = "/".join(names) + "/"
    last = "f" * (length - len(path))
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for name in names:
        os.mkdir(name, dir_fd=folder)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder = below
    file = os.open(last, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=folder)
    os.write(file, b"deep")
    os.close(file)
    os.close(folder)
    return path + last


def read_deep(root, path):
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    *names, last = path.split("/")
    for name in names:
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder = below
    file = os.open(last, os.O_RDONLY, dir_fd=folder)
    data = os.read(file, 100)
    os.close(file)
    os.close(folder)
    return data


def test_names_of_255_bytes(dray, tmp_path):
    data = tmp_path / "data"
    (data / ("ä" * 127 + "x") / ("y" * 255)).mkdir(parents=True)
    (data / ("ä" * 127 + "x") / ("z" * 255)).write_bytes(b"z")
    (data / ("l" * 255)).symlink_to("z" * 255)
    dray("push", data, "--to", tmp_path / "x")
    assert_same(tmp_path / "x", data)
    dray("verify", tmp_path / "x")
    target = tmp_path / ("t" * 255)
    dray("push", data, "--to", target)
    assert_same(target, data)


@pytest.mark.parametrize("length", [1000, 4000, 4001])
def test_paths_near_the_longest(dray, tmp_path, length):
    """Below source and target they are longer than the kernel takes one as a whole."""
    data = tmp_path / "data"
    data.mkdir()
    try:
        path = make_deep(data, length)
        assert len(path) == length
        done = dray("push", data, "--to", tmp_path / "x", exit=None)
        assert (done.code == 0) == (length <= 4000), done
        if done.code == 0:
            assert read_deep(tmp_path / "x", path) == b"deep"
            dray("verify", tmp_path / "x")
        else:
            assert "a path below it is longer than 4000 bytes" in done.err
            assert sorted(os.listdir(tmp_path)) == ["data", "home"]
    finally:
        for place in (data, tmp_path / "x"):
            subprocess.run(["rm", "-rf", place], check=True)


# ---- What stays what it is ----


def pieces(path):
    """Where a file has data, as its file system tells."""
    found, end = [], os.stat(path).st_size
    with open(path, "rb") as file:
        position = 0
        while position < end:
            try:
                start = os.lseek(file.fileno(), position, os.SEEK_DATA)
            except OSError:
                break
            position = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.append((start, position))
    return found


def test_holes_stay_holes_and_links_stay_links(dray, tmp_path):
    data = tmp_path / "data"
    (data / "d").mkdir(parents=True)
    with open(data / "sparse", "wb") as file:
        for place in (MIB, 9 * MIB, 31 * MIB):
            file.seek(place)
            file.write(os.urandom(65536))
        file.truncate(40 * MIB)
    with open(data / "hollow", "wb") as file:
        file.truncate(5 * MIB)
    os.link(data / "sparse", data / "d/twin")
    os.link(data / "sparse", data / "a")
    if os.stat(data / "sparse").st_blocks * 512 > 4 * MIB:
        pytest.skip("no holes on this file system")
    dray("push", data, "--to", tmp_path / "x")
    assert_same(tmp_path / "x", data)
    assert pieces(tmp_path / "x/sparse") == pieces(data / "sparse")
    assert os.stat(tmp_path / "x/hollow").st_blocks == 0
    assert os.stat(tmp_path / "x/d/twin").st_nlink == 3


# ---- Sources that change ----


def grow(path):
    with open(path, "ab") as file:
        file.write(b"more")


def cut(path):
    os.truncate(path, MIB)


def replace(path):
    path.with_name("new").write_bytes(b"z" * path.stat().st_size)
    os.rename(path.with_name("new"), path)


def rewrite(path):
    """Other bytes, the old size and the old time, as an honest clock cannot make them."""
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(before.st_size - 5)
        file.write(b"other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def touch(path):
    os.utime(path)


def remove(path):
    path.unlink()


def stopped_while_reading(dray, data, parent):
    """A delivery that was stopped while the one large file is being copied."""
    for _ in range(20):
        running = dray.start("push", data, "--to", parent / "x", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while running.poll() is None:
            copies = list(parent.glob(".dray-*/big"))
            try:
                if copies and copies[0].stat().st_size > 0:
                    os.killpg(running.pid, signal.SIGSTOP)
                    time.sleep(0.01)
                    if 0 < copies[0].stat().st_size < (data / "big").stat().st_size:
                        return running
                    os.killpg(running.pid, signal.SIGCONT)
            except FileNotFoundError:
                os.killpg(running.pid, signal.SIGCONT)
        running.communicate()
        shutil.rmtree(parent / "x", ignore_errors=True)
        shutil.rmtree(dray.state, ignore_errors=True)
    raise AssertionError("it could not be stopped in time")


@pytest.mark.parametrize("change", [grow, cut, replace, rewrite, touch, remove])
def test_a_file_that_changes_while_it_is_read(dray, tmp_path, change):
    data, parent = tmp_path / "data", tmp_path / "parent"
    data.mkdir()
    parent.mkdir()
    block = os.urandom(MIB)
    with open(data / "big", "wb") as file:
        for _ in range(96):
            file.write(block)
    (data / "small").write_bytes(b"s")
    running = stopped_while_reading(dray, data, parent)
    change(data / "big")
    os.killpg(running.pid, signal.SIGCONT)
    _, err = running.communicate(timeout=60)
    assert running.returncode not in (0, None), err
    assert f"reading {data}/big" in err.decode() and "changed" in err.decode(), err
    assert class_of(dray) == "changed"
    assert os.listdir(parent) == []
    dray("push", data, "--to", parent / "x")
    assert_same(parent / "x", data)
