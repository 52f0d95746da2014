# SPDX-License-Identifier: MIT
"""push/hpfs: a delivery is its dataset, exactly, or nothing; what stands at its place is never touched."""
import json
import os
import pwd
import shutil
import signal
import stat
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from trees import TIME, assert_same, listing, make_sample

WORKFLOW = """version: 1
name: test
dataset: {dataset}
steps:
  - id: deliver
    uses: push/hpfs
    with: {{ {options} }}
"""


@pytest.fixture
def sample(tmp_path):
    return make_sample(tmp_path / "sample")


@pytest.fixture
def run(dray, tmp_path):
    """run(dataset, options) runs a workflow with push/hpfs."""

    def start(dataset, options, **keywords):
        workflow = tmp_path / "workflow.yaml"
        workflow.write_text(WORKFLOW.format(dataset=dataset, options=options))
        return dray("run", workflow, **keywords)

    return start


def beside(target):
    """What is left of ours beside a target."""
    return [name for name in os.listdir(target.parent) if name.startswith(".dray")]


def small_files(root, count, size=4096):
    block = os.urandom(size + count)
    for number in range(count):
        folder = root / f"d{number // 200:03}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number:06}").write_bytes(block[number:number + size])
    return root


# ---- What is delivered ----


@pytest.mark.parametrize("umask", [0o000, 0o027, 0o077])
def test_modes_and_times_are_the_datasets_whatever_the_umask(dray, sample, tmp_path, umask):
    before = os.umask(umask)
    try:
        dray("push", sample, "--to", tmp_path / "x")
    finally:
        os.umask(before)
    assert_same(tmp_path / "x", sample)
    root = (tmp_path / "x").stat()
    assert (stat.S_IMODE(root.st_mode), root.st_mtime_ns) == (0o751, TIME - 10**17)
    records = tmp_path / "x" / ".dray"
    for folder in (records, records / "sample"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert {stat.S_IMODE(file.stat().st_mode) for file in (records / "sample").iterdir()} == {0o644}
    assert beside(tmp_path / "x") == []


def test_a_default_acl_of_the_parent_takes_no_bits_away(dray, sample, tmp_path):
    """user::rwx group::--- other::--- would leave new files without any rights for others."""
    parent = tmp_path / "parent"
    parent.mkdir()
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, rights, 0xffffffff)
                                          for tag, rights in ((1, 7), (4, 0), (32, 0)))
    try:
        os.setxattr(parent, "system.posix_acl_default", acl)
    except OSError as error:
        pytest.skip(f"no ACLs here: {error}")
    dray("push", sample, "--to", parent / "x")
    assert_same(parent / "x", sample)


def test_set_user_id_and_its_like_are_not_passed_on(dray, files, tmp_path):
    data = files(tmp_path / "data", {"tool": b"x", "d/y": b"y"})
    (data / "tool").chmod(0o6755)
    (data / "d").chmod(0o3775)
    dray("push", data, "--to", tmp_path / "x")
    assert stat.S_IMODE((tmp_path / "x/tool").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "x/d").stat().st_mode) == 0o1775
    dray("verify", tmp_path / "x")
    assert "already delivered" in dray("push", data, "--to", tmp_path / "x").out


def test_a_set_group_id_parent_gives_its_group(dray, files, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root, to give a directory another group")
    data = files(tmp_path / "data", {"d/e/file": b"x"})
    parent = tmp_path / "lab"
    parent.mkdir()
    os.chown(parent, 0, 4242)
    parent.chmod(0o2775)
    dray("push", data, "--to", parent / "x")
    for path in ("x", "x/d", "x/d/e", "x/d/e/file", "x/.dray/data/receipt.json"):
        assert (parent / path).stat().st_gid == 4242
    assert stat.S_IMODE((parent / "x/d").stat().st_mode) == stat.S_IMODE((data / "d").stat().st_mode)


def test_into_a_directory(dray, sample, tmp_path):
    (tmp_path / "incoming").mkdir()
    (tmp_path / "link").symlink_to("incoming")
    result = dray("push", sample, "--to", f"{tmp_path}/link/")
    assert f"sample is at {tmp_path}/incoming/sample" in result.out
    assert_same(tmp_path / "incoming" / "sample", sample)


def test_holes_stay_holes(dray, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    with open(data / "sparse", "wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"island")
    if (data / "sparse").stat().st_blocks > 1024:
        pytest.skip("this file system has no holes")
    dray("push", data, "--to", tmp_path / "x")
    assert_same(tmp_path / "x", data)
    assert (tmp_path / "x" / "sparse").stat().st_blocks < 1024


def test_paths_as_long_as_they_may_be(dray, tmp_path):
    """4000 bytes below the root, 255 in a name: more than a system call takes from the top."""
    data = tmp_path / "data"
    data.mkdir()
    here = os.open(data, os.O_RDONLY)
    for _ in range(15):
        os.mkdir("d" * 255, dir_fd=here)
        below = os.open("d" * 255, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    name = "f" * (4000 - 15 * 256)
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)
    result = dray("push", data, "--to", tmp_path / "x")
    assert "1 entry" in result.out
    dray("verify", tmp_path / "x")


def test_file_by_file_durability(run, dray, sample, tmp_path):
    run(sample, f"path: {tmp_path}/x, durability: fsync")
    assert_same(tmp_path / "x", sample)
    dray("verify", tmp_path / "x")


def test_durable_before_it_is_visible(run, dray, files, tmp_path):
    """The order of system calls: all bytes, then the sync, then the rename, then the parent's sync."""
    data = files(tmp_path / "data", {"a": b"1", "d/b": b"2"})
    for durability in ("syncfs", "fsync"):
        target, trace = tmp_path / durability, tmp_path / "trace"
        workflow = tmp_path / "workflow.yaml"
        workflow.write_text(WORKFLOW.format(dataset=data,
                                            options=f"path: {target}, durability: {durability}"))
        subprocess.run(["strace", "-f", "-y", "-o", trace, "-e",
                        "trace=openat,syncfs,fsync,fdatasync,renameat2,renameat", dray.program, "run", workflow],
                       env=dray.env, check=True, capture_output=True)
        lines = [line for line in trace.read_text().splitlines() if f"{tmp_path}" in line]
        rename = [n for n, line in enumerate(lines) if "RENAME_NOREPLACE" in line]
        assert len(rename) == 1
        before, after = lines[:rename[0]], lines[rename[0] + 1:]
        created = [n for n, line in enumerate(before) if "O_CREAT" in line and ".dray-" in line]
        if durability == "syncfs":
            synced = [n for n, line in enumerate(before) if "syncfs(" in line]
            assert len(synced) == 1 and synced[0] > max(created)
        else:
            synced = [line for line in before if " fsync(" in line and ".dray-" in line]
            # Two files and one directory, five records and their two directories, and the root.
            assert len(synced) >= 2 + 1 + 5 + 2 + 1
            assert "syncfs" not in trace.read_text()
        assert not [line for line in after if "O_CREAT" in line and str(target) in line]
        assert any(f"fsync(" in line and f"<{tmp_path}>" in line for line in after)


def test_the_records_are_readable_without_us(dray, sample, tmp_path):
    dray("push", sample, "--to", tmp_path / "x")
    subprocess.run(["sha256sum", "--quiet", "-c", ".dray/sample/manifest-sha256.txt"], cwd=tmp_path / "x",
                   check=True)
    records = tmp_path / "x" / ".dray" / "sample"
    marker = json.loads((records / "delivered.json").read_text())
    assert marker["dataset"] == "sample" and len(marker["request_key"]) == 64
    lines = [json.loads(line) for line in (records / "tree.jsonl").read_text().splitlines()]
    assert len(lines) == len(listing(sample))
    assert not list(records.glob("*.new"))


# ---- Where it goes ----


@pytest.mark.parametrize("options, reason", [
    ("path: {0}/a, into: {0}", "give either `path` or `into`, not both"),
    ("durability: fsync", "say where to deliver"),
    ("path: {0}/no/such/x", "there is no directory {0}/no/such to deliver into"),
    ("into: {0}/nowhere", "there is no directory {0}/nowhere to deliver into"),
    ("into: {0}/file", "{0}/file is not a directory"),
    ("path: {0}/file/x", "{0}/file is not a directory"),
    ("path: /", "the destination / ends in no name"),
    ("path: {0}/.dray", "ends in a name that Dray keeps for itself"),
    ("path: {0}/.dray-0123456789abcdef.1", "ends in a name that Dray keeps for itself"),
    ("path: {0}/" + "x" * 256, "File name too long"),
])
def test_places_that_are_refused_before_anything_runs(run, files, tmp_path, options, reason):
    files(tmp_path, {"file": b"x", "data/a": b"a"})
    result = run(tmp_path / "data", options.format(tmp_path), exit=2)
    assert reason.format(tmp_path) in result.err
    assert beside(tmp_path / "x") == []


def test_a_missing_parent_comes_with_the_command_that_makes_it(dray, files, tmp_path):
    files(tmp_path / "data", {"a": b"a"})
    result = dray("push", tmp_path / "data", "--to", tmp_path / "new" / "x", exit=2)
    assert f"mkdir -p '{tmp_path}/new'" in result.err


@pytest.mark.parametrize("place", ["$HOME", "out/$USER/x"])
def test_a_shells_word_in_a_path_is_said_to_be_none_here(run, files, tmp_path, place):
    """Rather than to make a directory of that name."""
    files(tmp_path / "data", {"a": b"a"})
    for option in (f"into: {place}", f"path: {place}/data", f"into: {place}/deep"):
        said = run(tmp_path / "data", option, exit=2).err
        assert "the environment is not read here" in said and "mkdir" not in said, option


# ---- What is there already ----


def occupy(kind, target):
    if kind == "file":
        target.write_bytes(b"theirs")
    elif kind == "symbolic link":
        target.symlink_to(target.parent)
    elif kind == "dangling link":
        target.symlink_to("nowhere")
    elif kind == "fifo":
        os.mkfifo(target)
    else:
        target.mkdir()
        for number in range(2 if kind == "directory" else 0):
            (target / f"{number}").write_bytes(b"theirs")


@pytest.mark.parametrize("kind, said", [
    ("file", "a file"), ("symbolic link", "a symbolic link"), ("dangling link", "a symbolic link"),
    ("fifo", "neither a directory nor a file"), ("empty directory", "an empty directory"),
    ("directory", "a directory with 2 entries")])
def test_what_stands_there_is_left_alone(dray, files, tmp_path, kind, said):
    data, target = files(tmp_path / "data", {"a": b"a"}), tmp_path / "x"
    occupy(kind, target)
    before = os.lstat(target)
    result = dray("push", data, "--to", target, exit=1)
    assert f"{target} exists: {said}; nothing was written" in result.err
    after = os.lstat(target)
    assert (after.st_ino, after.st_mode, after.st_mtime_ns, after.st_ctime_ns) == \
        (before.st_ino, before.st_mode, before.st_mtime_ns, before.st_ctime_ns)
    assert beside(target) == []


def tampering():
    def remove(target, records):
        (target / "d/b").unlink()

    def add(target, records):
        (target / "d/extra").write_bytes(b"x")

    def add_folder(target, records):
        (target / "new/folder").mkdir(parents=True)

    def grow(target, records):
        with open(target / "a", "ab") as file:
            file.write(b"x")

    def retype(target, records):
        (target / "a").unlink()
        (target / "a").symlink_to("d/b")

    def relink(target, records):
        (target / "l").unlink()
        (target / "l").symlink_to("elsewhere")

    def shorten_tree(target, records):
        text = (records / "tree.jsonl").read_bytes()
        (records / "tree.jsonl").write_bytes(text[:text.rindex(b"\n", 0, -1) + 1])

    def break_tree(target, records):
        with open(records / "tree.jsonl", "ab") as file:
            file.write(b"not JSON\n")

    def repeat_tree(target, records):
        """A line that is there twice must not hide an entry that is there once too often."""
        lines = (records / "tree.jsonl").read_bytes().splitlines(True)
        (records / "tree.jsonl").write_bytes(b"".join(lines + lines[-1:]))
        (target / "extra").write_bytes(b"x")

    def escape_tree(target, records):
        with open(records / "tree.jsonl", "ab") as file:
            file.write(b'{"path":"z/../../sibling","type":"file","size":1}\n')

    def lose_tree(target, records):
        (records / "tree.jsonl").unlink()

    def lose_manifest(target, records):
        (records / "manifest-sha256.txt").unlink()

    return [(remove, "missing d/b"), (add, "1 entry is in it that was not delivered"),
            (add_folder, "2 entries are in it that were not delivered"), (grow, "a has another size"),
            (retype, "a is of another type"), (relink, "l links to something else"),
            (shorten_tree, "1 entry is in it that was not delivered"),
            (break_tree, "its tree.jsonl has a line that is not valid"),
            (repeat_tree, "its tree.jsonl has a line that is not valid"),
            (escape_tree, "its tree.jsonl has a line that is not valid"),
            (lose_tree, "it has no tree.jsonl"), (lose_manifest, "it has no manifest-sha256.txt")]


@pytest.mark.parametrize("change, reason", tampering(), ids=lambda value: getattr(value, "__name__", None))
def test_a_delivery_that_is_not_whole_is_told_and_left_alone(dray, files, tmp_path, change, reason):
    data, target = files(tmp_path / "data", {"a": b"a", "d/b": b"b"}), tmp_path / "x"
    (data / "l").symlink_to("a")
    dray("push", data, "--to", target)
    assert "already delivered" in dray("push", data, "--to", target).out
    change(target, target / ".dray/data")
    before = listing(target)
    result = dray("push", data, "--to", target, exit=1)
    assert f"a delivery of data that is not whole: {reason}; nothing was written" in result.err
    assert listing(target) == before


@pytest.mark.parametrize("marker", [b"", b"{}", b"[1, 2", b"null", b'{"version":2}', b"x" * 100_000, None])
def test_a_marker_that_is_none_makes_no_delivery(dray, files, tmp_path, marker):
    data, target = files(tmp_path / "data", {"a": b"a"}), tmp_path / "x"
    dray("push", data, "--to", target)
    path = target / ".dray/data/delivered.json"
    path.unlink()
    if marker is None:
        os.mkfifo(path)  # which must not keep anybody waiting
    else:
        path.write_bytes(marker)
    result = dray("push", data, "--to", target, exit=1)
    assert "a directory with 2 entries; nothing was written" in result.err


def test_a_delivery_is_known_without_our_own_state(dray, sample, tmp_path):
    """Names that are no text, newlines, links and empty directories: all of it is found again."""
    dray("push", sample, "--to", tmp_path / "x")
    shutil.rmtree(dray.state)
    assert "already delivered" in dray("push", sample, "--to", tmp_path / "x").out


# ---- What happens meanwhile ----


def wait_for_staging(parent, running):
    while True:
        assert running.poll() is None, "it ended before it could be disturbed"
        names = [name for name in os.listdir(parent) if name.startswith(".dray-")]
        if names and len(os.listdir(parent / names[0])) > 2:
            return parent / names[0]
        time.sleep(0.001)


@pytest.fixture
def disturbed(dray, tmp_path):
    """disturbed(what): what(staging) is called while files are written; the finished process."""

    def start(what):
        data, parent = small_files(tmp_path / "data", 6000), tmp_path / "parent"
        parent.mkdir()
        running = dray.start("push", data, "--to", parent / "x", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        what(wait_for_staging(parent, running), running)
        out, err = running.communicate(timeout=60)
        return running.returncode, err.decode()

    return start


def test_what_comes_into_being_meanwhile_is_left_alone(disturbed, tmp_path):
    def appear(staging, running):
        (staging.parent / "x").mkdir()

    code, err = disturbed(appear)
    assert code == 1
    assert f"{tmp_path}/parent/x came into being while the delivery was written, and was left as it is" in err
    assert os.listdir(tmp_path / "parent") == ["x"] and os.listdir(tmp_path / "parent/x") == []


def test_a_parent_that_is_moved_away_gets_nothing(disturbed, tmp_path):
    def move(staging, running):
        staging.parent.rename(tmp_path / "elsewhere")
        (tmp_path / "parent").mkdir()

    code, err = disturbed(move)
    assert code == 1
    assert f"the directory {tmp_path}/parent was moved or replaced while it was delivered to" in err
    assert os.listdir(tmp_path / "parent") == [] and os.listdir(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("link", ["parent", "above"])
def test_a_parent_that_was_moved_behind_a_link_gets_nothing(dray, tmp_path, link):
    """It is reached by its old path, but lies where nobody allowed it."""
    data, above = small_files(tmp_path / "data", 6000), tmp_path / "above"
    (above / "parent").mkdir(parents=True)
    running = dray.start("push", data, "--to", above / "parent/x", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for_staging(above / "parent", running)
    moved = above / "parent" if link == "parent" else above
    moved.rename(tmp_path / "elsewhere")
    moved.symlink_to(tmp_path / "elsewhere")
    _, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert f"the directory {above}/parent was moved or replaced while it was delivered to" in err.decode()
    assert os.listdir(above / "parent") == []


def test_an_interrupt_leaves_nothing(disturbed, tmp_path):
    code, err = disturbed(lambda staging, running: os.killpg(running.pid, signal.SIGINT))
    assert code == 130, err
    assert os.listdir(tmp_path / "parent") == []


def test_a_user_without_privileges(dray):
    """Directories that may not be written, files that may not be read by others, root's plugins."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    nobody = pwd.getpwnam("nobody")
    home = Path(tempfile.mkdtemp(prefix="dray-nobody-"))
    try:
        data = make_sample(home / "sample")
        (data / "sub" / "sealed").mkdir(parents=True)
        (data / "sub" / "sealed" / "file").write_bytes(b"x")
        (data / "sub" / "sealed" / "file").chmod(0o400)
        (data / "sub" / "sealed").chmod(0o500)
        for folder, folders, names in os.walk(os.fsencode(home)):
            for name in folders + names:
                os.chown(os.path.join(folder, name), nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        for try_ in ("x", "y"):
            done = subprocess.run(
                ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups",
                 dray.program, "push", data, "--to", home / try_],
                env={**dray.env, "HOME": str(home), "DRAY_STATE": str(home / "state")}, cwd=home,
                capture_output=True, text=True, errors="surrogateescape")
            assert done.returncode == 0, done.stderr
            assert_same(home / try_, data)
        (home / "locked").mkdir()
        done = subprocess.run(
            ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups",
             dray.program, "push", data, "--to", home / "locked" / "x"],
            env={**dray.env, "HOME": str(home), "DRAY_STATE": str(home / "state")}, cwd=home,
            capture_output=True, text=True, errors="surrogateescape")
        assert done.returncode != 0
        assert f"making a directory in {home}/locked" in done.stderr
    finally:
        shutil.rmtree(home)
