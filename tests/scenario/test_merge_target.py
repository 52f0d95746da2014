# SPDX-License-Identifier: MIT
"""existing: merge into directories that others write, that other file systems are mounted in, and that hold what looks
like Dray's own."""
import os
import signal
import subprocess
import time

import pytest

MERGE = """version: 1
name: test
dataset: {data}
steps:
  - id: deliver
    uses: push/hpfs
    with: {{ path: {target}, existing: merge, conflicts: {conflicts} }}
"""


@pytest.fixture
def data(files, tmp_path):
    return files(tmp_path / "data", {"a": b"one", "d/b": b"two"})


@pytest.fixture
def target(files, tmp_path):
    return files(tmp_path / "x", {"theirs": b"t"})


@pytest.fixture
def merge(dray, workflow):
    """merge(data, target) runs a workflow that adds one to the other."""

    def start(data, target, conflicts="fail", command="run", **keywords):
        return dray(command, workflow(MERGE.format(data=data, target=target, conflicts=conflicts)), **keywords)

    return start


@pytest.fixture
def mounted():
    """mounted(place, options) mounts a tmpfs there."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system of its own")
    places = []

    def mount(place, *options):
        subprocess.run(["mount", *(options or ("-t", "tmpfs", "dray-test")), place], check=True)
        places.append(place)

    yield mount
    for place in places:
        subprocess.run(["umount", "-l", place], check=True)


def below(target):
    return sorted(str(path.relative_to(target)) for path in target.rglob("*"))


# ---- Who may write there ----

def test_a_target_that_all_may_write_is_refused(merge, data, target):
    target.chmod(0o777)
    for command in ("plan", "run"):
        said = merge(data, target, command=command, exit=None)
        assert said.code == 3 and f"everybody may rename and remove what is in {target}" in said.err
    assert below(target) == ["theirs"]
    target.chmod(0o1777)
    merge(data, target)


def test_and_so_is_a_directory_in_it_that_gets_something(merge, data, target):
    (target / "d").mkdir()
    (target / "d").chmod(0o777)
    said = merge(data, target, exit=3)
    assert f"everybody may rename and remove what is in {target}/d" in said.err
    assert below(target) == ["d", "theirs"]
    (target / "other").mkdir()
    (target / "other").chmod(0o777)
    (target / "d").chmod(0o755)
    merge(data, target)


def test_what_is_added_gets_the_group_of_a_set_group_id_bit(merge, dray, data, target):
    if os.geteuid() != 0:
        pytest.skip("needs root, for a group that it is not in")
    os.chown(target, -1, 4242)
    target.chmod(0o2775)
    merge(data, target)
    assert {path.stat().st_gid for path in target.rglob("*") if path.name != "theirs"} == {4242}


# ---- Other file systems ----

def test_a_mount_in_the_target_is_named_before_the_first_byte(merge, data, target, mounted):
    (target / "d").mkdir()
    mounted(target / "d")
    for command in ("preview", "run"):
        said = merge(data, target, command=command, exit=None)
        assert '"d" is another file system, mounted there' in said.err + said.out
    assert below(target) == ["d", "theirs"]


def test_also_one_of_the_same_file_system(merge, data, target, mounted, tmp_path):
    (target / "d").mkdir()
    (tmp_path / "bound").mkdir()
    mounted(target / "d", "--bind", tmp_path / "bound")
    assert '"d" is another file system, mounted there' in merge(data, target, exit=1).err
    assert below(target) == ["d", "theirs"] and os.listdir(tmp_path / "bound") == []


def test_room_is_that_of_the_target(merge, files, target, mounted, tmp_path):
    mounted(target, "-t", "tmpfs", "-o", "size=1m", "dray-test")
    (target / "theirs").write_bytes(b"t")
    large = files(tmp_path / "large", {"a": os.urandom(3 << 20)})
    said = merge(large, target, exit=1).err
    assert f"bytes and {target} has" in said and "nothing was written" in said
    assert below(target) == ["theirs"]


def test_a_full_disk_leaves_all_as_it_was(merge, files, target, mounted, tmp_path):
    mounted(target, "-t", "tmpfs", "-o", "nr_inodes=60", "dray-test")
    (target / "f1").write_bytes(b"theirs")
    many = files(tmp_path / "many", {f"f{number}": b"" for number in range(48)})
    said = merge(many, target, conflicts="replace", exit=1).err
    assert "No space left on device" in said
    assert below(target) == ["f1"] and (target / "f1").read_bytes() == b"theirs"


# ---- What looks like Dray's own ----

@pytest.mark.parametrize("found", ["notes/mine", "more", "delivered.json"])
def test_records_that_are_none_are_not_replaced(merge, data, target, found):
    (target / ".dray/data").mkdir(parents=True)
    if "/" in found:
        (target / ".dray/data/notes").mkdir()
    (target / ".dray/data" / found).write_bytes(b"of somebody")
    before = below(target)
    said = merge(data, target, conflicts="replace", exit=1).err
    assert '".dray/data" holds something else than records of a delivery' in said
    assert below(target) == before and (target / ".dray/data" / found).read_bytes() == b"of somebody"


def test_something_beside_records_is_not_removed_with_them(merge, dray, data, target):
    merge(data, target)
    (target / ".dray/data/notes").write_bytes(b"of somebody")
    (data / "a").write_bytes(b"corrected")
    assert "something else than records" in merge(data, target, conflicts="replace", exit=1).err
    (target / ".dray/data/notes").unlink()
    merge(data, target, conflicts="replace")
    assert (target / "a").read_bytes() == b"corrected"
    dray("verify", target)


@pytest.mark.parametrize("name", [".dray-0123456789abcdef.1-01234567", ".dray-x", ".DRAY", ".Dray-x"])
def test_a_dataset_brings_nothing_by_a_name_of_ours(dray, merge, data, target, tmp_path, name):
    (data / name).mkdir()
    (data / name / "f").write_bytes(b"f")
    assert f'a dataset may have no "{name}" at its top' in merge(data, target, exit=2).err
    assert f'a dataset may have no "{name}" at its top' in dray("push", data, "--to", tmp_path / "new", exit=2).err
    (data / name).rename(data / "d" / name)
    merge(data, target)
    assert (target / "d" / name / "f").read_bytes() == b"f"


def test_what_another_user_left_blocks_nobody(merge, data, target):
    if os.geteuid() != 0:
        pytest.skip("needs root, to make what is another's")
    holder = target / ".dray-0123456789abcdef.1-01234567"
    holder.mkdir(mode=0o700)
    os.chown(holder, 4321, -1)
    said = merge(data, target)
    assert "it belongs to user 4321" in said.err and "rm -rf" not in said.err
    assert holder.is_dir() and (target / "a").read_bytes() == b"one"


# ---- Modes that keep their owner out ----

def test_directories_that_may_not_be_written_are_merged_and_undone(bound, merge, files, target, tmp_path):
    """Without the rights of root, moving them needs that they are writable for a moment."""
    locked = files(tmp_path / "locked", {"l/a": b"a", "l/m/b": b"b", "z": b"z"})
    for folder in (locked / "l/m", locked / "l"):
        folder.chmod(0o555)
    (target / "z").mkdir()
    assert '"z" is a directory there' in merge(locked, target, exit=1).err
    (target / "z").rmdir()
    merge(locked, target)
    assert [oct((target / name).stat().st_mode & 0o7777) for name in ("l", "l/m")] == ["0o555", "0o555"]
    (target / "l/m").chmod(0o755)
    (target / "l").chmod(0o755)


# ---- Of others, at the same time ----

def test_a_replace_leaves_alone_what_is_merged_into(dray, workflow, files, data, tmp_path):
    target = tmp_path / "y"
    dray("push", data, "--to", target)
    slow = files(tmp_path / "slow", {f"f{number}": os.urandom(4096) for number in range(2000)})
    running = dray.start("run", workflow(MERGE.format(data=slow, target=target, conflicts="fail")),
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(target.glob(".dray-*/data/f*")):
        assert running.poll() is None
        time.sleep(0.0005)
    os.killpg(running.pid, signal.SIGSTOP)
    (data / "a").write_bytes(b"corrected")
    replace = MERGE.format(data=data, target=target, conflicts="fail").replace("existing: merge, conflicts: fail",
                                                                               "existing: replace")
    said = dray("run", workflow(replace, "replace.yaml"), env={"DRAY_STATE": str(tmp_path / "other")}, exit=75)
    assert "another delivery is at work in the target" in said.err
    os.killpg(running.pid, signal.SIGCONT)
    assert running.wait() == 0
    assert (target / "a").read_bytes() == b"one" and len(list(target.glob("f*"))) == 2000
    dray("verify", target)


def test_two_at_once_do_not_touch_each_other(dray, workflow, files, target, tmp_path):
    """Of two state directories: one is stopped while it writes, the other waits its turn."""
    slow = files(tmp_path / "slow", {f"f{number}": os.urandom(4096) for number in range(2000)})
    quick = files(tmp_path / "quick", {"q": b"q"})
    first = workflow(MERGE.format(data=slow, target=target, conflicts="fail"), "first.yaml")
    second = workflow(MERGE.format(data=quick, target=target, conflicts="fail") + "    retry: { tries: 1 }\n",
                      "second.yaml")
    running = dray.start("run", first, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(target.glob(".dray-*/data/f*")):
        assert running.poll() is None
        time.sleep(0.0005)
    os.killpg(running.pid, signal.SIGSTOP)
    said = dray("run", second, env={"DRAY_STATE": str(tmp_path / "other")}, exit=None)
    assert said.code == 75 and "another delivery is at work in the target" in said.err
    os.killpg(running.pid, signal.SIGCONT)
    assert running.wait() == 0
    dray("run", second, env={"DRAY_STATE": str(tmp_path / "other")})
    assert (target / "q").read_bytes() == b"q" and len(list(target.glob("f*"))) == 2000
    dray("verify", target)


def test_what_came_by_a_name_stays_and_all_else_is_undone(dray, workflow, files, target, tmp_path):
    """While the delivery is written, after its names were looked for."""
    slow = files(tmp_path / "slow", {f"f{number}": os.urandom(4096) for number in range(2000)})
    running = dray.start("run", workflow(MERGE.format(data=slow, target=target, conflicts="fail")),
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not list(target.glob(".dray-*/data/f*")):
        assert running.poll() is None
        time.sleep(0.0005)
    os.killpg(running.pid, signal.SIGSTOP)
    (target / "f1000").write_bytes(b"of somebody")
    os.killpg(running.pid, signal.SIGCONT)
    said = running.communicate()[1].decode()
    assert running.returncode == 1 and '"f1000" is in the target already' in said
    assert below(target) == ["f1000", "theirs"] and (target / "f1000").read_bytes() == b"of somebody"
