# SPDX-License-Identifier: MIT
"""push/hpfs and room: what cannot fit is refused before the first byte, and what stops fitting in the
middle leaves nothing."""
import os
import subprocess

import pytest

from trees import assert_same


@pytest.fixture
def disk(tmp_path):
    """disk(options) mounts a tmpfs with these options, and gives its path."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system of its own")
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "dray-test", place], check=True)
        return place

    yield mount
    if os.path.ismount(place):
        subprocess.run(["umount", "-l", place], check=True)


def class_of(dray):
    return dray.json("show", dray.json("jobs")[0]["job"])["attempts"][-1]["steps"][-1]["class"]


def test_what_cannot_fit_is_refused_before_the_first_byte(dray, files, disk, tmp_path):
    data, place = files(tmp_path / "data", {"a": os.urandom(3 << 20), "b": b"x" * 10}), disk("size=1m")
    before = os.stat(place).st_mtime_ns
    failed = dray("push", data, "--to", place / "x", exit=1)
    needed = (3 << 20) + 10
    assert f"the delivery needs {needed} bytes and {place} has {1 << 20} free; nothing was written" in failed.err
    assert "hint: make room for 3.0 MiB at " in failed.err and failed.err.count("hint: make room") == 1
    assert class_of(dray) == "no_space"
    assert os.listdir(place) == [] and os.stat(place).st_mtime_ns >= before


def test_names_are_counted_too(dray, files, disk, tmp_path):
    data, place = files(tmp_path / "data", {f"d/f{number}": b"" for number in range(60)}), disk("nr_inodes=50")
    failed = dray("push", data, "--to", place / "x", exit=1)
    assert "the delivery needs 61 inodes (files, directories and links)" in failed.err
    assert "nothing was written" in failed.err and class_of(dray) == "no_space"
    assert os.listdir(place) == []


def test_hard_links_and_holes_need_no_room_of_their_own(dray, tmp_path, disk):
    data, place = tmp_path / "data", disk("size=2m")
    data.mkdir()
    (data / "a").write_bytes(os.urandom(900_000))
    for number in range(60):
        os.link(data / "a", data / f"l{number}")
    with open(data / "sparse", "wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"middle")
    if (data / "sparse").stat().st_blocks * 512 > 1 << 20:
        pytest.skip("no holes on this file system")
    dray("push", data, "--to", place / "x")
    assert_same(place / "x", data)
    assert (place / "x/sparse").stat().st_blocks * 512 < 1 << 20
    assert (place / "x/a").stat().st_nlink == 61


@pytest.mark.parametrize("durability", ["syncfs", "fsync"])
def test_a_disk_that_is_full_in_the_middle_is_said_and_left_empty(dray, files, disk, tmp_path, workflow, durability):
    """Small files take more than their bytes, which only the file system knows."""
    data = files(tmp_path / "data", {f"f{number:03}": b"x" * 100 for number in range(600)})
    place = disk("size=1m")
    file = workflow(f"version: 1\ndataset: {data}\nsteps:\n  - {{ id: deliver, uses: push/hpfs, "
                    f"with: {{ path: {place}/x, durability: {durability} }} }}\n")
    failed = dray("run", file, exit=1)
    assert "No space left on device" in failed.err and 'the copy of "f' in failed.err
    assert os.listdir(place) == [] and class_of(dray) == "no_space"
    subprocess.run(["mount", "-o", "remount,size=9m", place], check=True)
    dray("run", file)
    assert_same(place / "x", data)


def test_a_parent_that_everybody_may_write_needs_a_sticky_bit(dray, files, tmp_path):
    data, parent = files(tmp_path / "data", {"a": b"a"}), tmp_path / "parent"
    parent.mkdir()
    parent.chmod(0o777)
    refused = dray("push", data, "--to", parent / "x", exit=None)
    assert refused.code != 0
    assert f"everybody may rename and remove what is in {parent}" in refused.err
    assert f"chmod +t '{parent}'" in refused.err
    assert os.listdir(parent) == []
    parent.chmod(0o1777)
    dray("push", data, "--to", parent / "x")
    assert_same(parent / "x", data)
