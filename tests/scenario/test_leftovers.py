# SPDX-License-Identifier: MIT
"""What stands beside a target under a name of Dray's: only what an attempt of this state made is removed, ever.
In a parent that a group may write, its members can put anything there."""
import os
import shutil
import signal
import subprocess
import time

import pytest

from trees import assert_same, listing


@pytest.fixture
def parent(tmp_path):
    (tmp_path / "parent").mkdir(mode=0o770)
    return tmp_path / "parent"


@pytest.fixture
def data(files, tmp_path):
    return files(tmp_path / "data", {"a": b"a", "d/b": b"b"})


def prefix_of(dray, data, target):
    """As Dray names its directories beside this target."""
    workflow = dray.home / "prefix.yaml"
    workflow.write_text(f"version: 1\nname: prefix\ndataset: {data}\n"
                        f"steps:\n  - {{id: deliver, uses: push/hpfs, with: {{path: {target}}}}}\n")
    key = dray.json("plan", workflow)["targets"][0]["request_key"]
    return f".dray-{key[:16]}."


def killed_while_copying(dray, data, target):
    """The name of what it leaves."""
    with open(data / "large", "wb") as file:
        for _ in range(64):
            file.write(os.urandom(1 << 20))
    running = dray.start("push", data, "--to", target, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any((target.parent / name / "large").exists() for name in os.listdir(target.parent)):
        assert running.poll() is None
        time.sleep(0.0005)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    time.sleep(0.2)
    [name] = os.listdir(target.parent)
    return name


def a_directory_of_ours(place, tmp_path):
    (tmp_path / "precious").mkdir(mode=0o700)
    (tmp_path / "precious/f").write_bytes(b"precious")
    (tmp_path / "precious").rename(place)


def a_delivery_of_ours(place, tmp_path):
    (place / ".dray/data").mkdir(parents=True)
    (place / ".dray/data/delivered.json").write_text("{}")


def a_directory_of_theirs(place, tmp_path):
    place.mkdir(mode=0o777)
    (place / "f").write_bytes(b"theirs")
    os.chown(place, 4343, 4343)


def a_file(place, tmp_path):
    place.write_bytes(b"x")


def a_link(place, tmp_path):
    a_directory_of_ours(tmp_path / "behind", tmp_path)
    place.symlink_to(tmp_path / "behind")


@pytest.mark.parametrize("put, reason", [
    (a_directory_of_ours, "nothing here says that a delivery of yours made it"),
    (a_delivery_of_ours, "nothing here says that a delivery of yours made it"),
    (a_directory_of_theirs, "it belongs to another user"), (a_file, "it is no directory"),
    (a_link, "it is no directory")])
@pytest.mark.parametrize("name", ["1-01234567", "old-0123456789abcdef"])
def test_what_others_put_under_such_a_name_is_left_alone(dray, data, parent, tmp_path, put, reason, name):
    if put is a_directory_of_theirs and os.geteuid() != 0:
        pytest.skip("only root can give something away")
    place = parent / (prefix_of(dray, data, parent / "x") + name)
    put(place, tmp_path)
    before = listing(parent)
    result = dray("push", data, "--to", parent / "x")
    assert result.err.count(str(place) + ":") == 1 and reason in result.err and f"rm -rf '{place}'" in result.err
    assert_same(parent / "x", data)
    assert sorted(os.listdir(parent)) == sorted([place.name, "x"])
    shutil.rmtree(parent / "x")
    assert listing(parent) == before
    if put is a_link:
        assert (tmp_path / "behind/f").read_bytes() == b"precious"


def test_of_many_some_are_named_and_all_are_counted(dray, data, parent, tmp_path):
    prefix = prefix_of(dray, data, parent / "x")
    for number in range(50):
        (parent / f"{prefix}{number}").write_bytes(b"x")
    result = dray("push", data, "--to", parent / "x")
    assert result.err.count("rm -rf") == 4 and f"46 more names that begin with {prefix}" in result.err
    assert len(os.listdir(parent)) == 51


def test_an_empty_one_of_ours_goes(dray, data, parent):
    """An attempt died when it had just made it."""
    (parent / (prefix_of(dray, data, parent / "x") + "1-01234567")).mkdir(mode=0o700)
    assert "left alone" not in dray("push", data, "--to", parent / "x").err
    assert os.listdir(parent) == ["x"]


def test_what_an_attempt_left_is_removed_by_the_next_one(dray, data, parent):
    killed_while_copying(dray, data, parent / "x")
    result = dray("push", data, "--to", parent / "x")
    assert_same(parent / "x", data)
    assert os.listdir(parent) == ["x"] and "left alone" not in result.err
    assert list((dray.state / "made").iterdir()) == []


def test_also_where_it_was_moved_to_another_such_name(dray, data, parent):
    name = killed_while_copying(dray, data, parent / "x")
    (parent / name).rename(parent / (name.split(".")[0] + "." + name.split(".")[1] + ".elsewhere"))
    dray("push", data, "--to", parent / "x")
    assert os.listdir(parent) == ["x"]


def test_what_took_its_name_is_not_removed(dray, data, parent, tmp_path):
    name = killed_while_copying(dray, data, parent / "x")
    shutil.rmtree(parent / name)
    a_directory_of_ours(parent / name, tmp_path)
    result = dray("push", data, "--to", parent / "x")
    assert (parent / name / "f").read_bytes() == b"precious" and f"rm -rf '{parent / name}'" in result.err


def test_where_the_state_was_lost_it_is_named_and_not_removed(dray, data, parent):
    name = killed_while_copying(dray, data, parent / "x")
    before = listing(parent / name)
    shutil.rmtree(dray.state)
    result = dray("push", data, "--to", parent / "x")
    assert_same(parent / "x", data)
    assert f"rm -rf '{parent / name}'" in result.err and listing(parent / name) == before
    shutil.rmtree(dray.state)
    result = dray("push", data, "--to", parent / "x")
    assert "already delivered" in result.out and f"rm -rf '{parent / name}'" in result.err
    shutil.rmtree(parent / name)
    assert "left alone" not in dray("push", data, "--to", parent / "x").err


def test_one_that_cannot_be_removed_is_told_and_the_delivery_made(dray, data, parent):
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system of its own")
    name = killed_while_copying(dray, data, parent / "x")
    subprocess.run(["mount", "-t", "tmpfs", "dray-test", parent / name / "d"], check=True)
    try:
        result = dray("push", data, "--to", parent / "x")
        assert_same(parent / "x", data)
        assert "another file system is mounted there" in result.err
        [gone] = [one for one in os.listdir(parent) if one != "x"]
        assert ".old-" in gone and f"rm -rf '{parent / gone}'" in result.err
        assert dray.json("jobs")[0]["state"] == "delivered"
        shutil.rmtree(parent / "x")
        dray("push", data, "--to", parent / "x", "--again")
        assert sorted(os.listdir(parent)) == sorted([gone, "x"]), "not renamed once more"
    finally:
        [gone] = [one for one in os.listdir(parent) if one != "x"]
        subprocess.run(["umount", "-l", parent / gone / "d"], check=True)
    shutil.rmtree(parent / "x")
    dray("push", data, "--to", parent / "x", "--again")
    assert os.listdir(parent) == ["x"]


def test_a_delivery_that_was_moved_to_such_a_name_is_not_removed(dray, data, parent, tmp_path):
    """Though an attempt made it, and something else that it made is still there."""
    prefix = prefix_of(dray, data, parent / "x")
    (parent / (prefix + "theirs")).write_bytes(b"x")
    dray("push", data, "--to", parent / "x")
    (parent / "x").rename(parent / (prefix + "moved"))
    result = dray("push", data, "--to", parent / "x", "--again")
    assert_same(parent / "x", data)
    assert_same(parent / (prefix + "moved"), data)
    assert f"rm -rf '{parent / prefix}moved'" in result.err


# ---- Into a directory that is there ----


MERGE = """version: 1
name: test
dataset: {data}
steps:
  - id: deliver
    uses: push/hpfs
    with: {{ path: {target}, existing: merge{more} }}
"""


def test_a_private_directory_by_the_name_of_a_merge_is_left_alone(dray, data, parent, tmp_path, workflow):
    (parent / "x").mkdir()
    holder = parent / "x" / ".dray-0123456789abcdef.1-01234567"
    a_directory_of_ours(holder, tmp_path)
    for name in ("data", "old"):
        (holder / name).mkdir()
        (holder / name / "g").write_bytes(b"precious too")
    before = listing(holder)
    result = dray("run", workflow(MERGE.format(data=data, target=parent / "x", more="")))
    assert listing(holder) == before and (parent / "x/d/b").read_bytes() == b"b"
    assert "nothing in it says that a delivery made it here" in result.err
    assert result.err.count(f"rm -rf '{holder}'") == 1, "said once"


def test_one_of_another_target_is_left_alone(dray, data, parent, tmp_path, workflow):
    """Its journal is about that one."""
    (parent / "x").mkdir()
    (parent / "y").mkdir()
    holder = parent / "y" / ".dray-0123456789abcdef.1-01234567"
    holder.mkdir(mode=0o700)
    (holder / "holder").write_text(f"dray-holder 1\ntarget {(parent / 'y').stat().st_ino}\n"
                                   f"holder {holder.stat().st_ino}\nby 1 - - nowhere\n")
    (holder / "data").mkdir()
    (holder / "data/f").write_bytes(b"f")
    holder.rename(parent / "x" / holder.name)
    dray("run", workflow(MERGE.format(data=data, target=parent / "x", more="")))
    assert (parent / "x" / holder.name / "data/f").read_bytes() == b"f"
    (parent / "x" / holder.name).rename(holder)
    dray("run", workflow(MERGE.format(data=data, target=parent / "y", more="")))
    assert not holder.exists() and (parent / "y/a").read_bytes() == b"a"
