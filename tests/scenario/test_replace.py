# SPDX-License-Identifier: MIT
"""existing: replace: a delivery takes the place of an older one of the same dataset in one act, and of nothing
else."""
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from trees import assert_same, listing

WORKFLOW = """version: 1
name: test
dataset: {dataset}
steps:
  - id: deliver
    uses: push/hpfs
    with: {{ path: {target}, existing: {existing} }}
"""


@pytest.fixture
def run(dray, tmp_path):
    """run(dataset, target) runs a workflow whose push replaces; also run("plan", ...)."""

    def start(dataset, target, *more, command="run", existing="replace", **keywords):
        workflow = tmp_path / "replace.yaml"
        workflow.write_text(WORKFLOW.format(dataset=dataset, target=target, existing=existing))
        return dray(command, workflow, *more, **keywords)

    return start


@pytest.fixture
def old(dray, files, tmp_path):
    """A dataset that was delivered to tmp_path/out/x, and has changed since."""
    data = files(tmp_path / "data", {"a": b"one", "d/b": b"two", "gone": b"three", "locked/c": b"four"})
    (data / "l").symlink_to("a")
    (data / "locked").chmod(0o555)
    (tmp_path / "out").mkdir()
    dray("push", data, "--to", tmp_path / "out" / "x")
    (data / "gone").unlink()
    (data / "a").write_bytes(b"new one")
    (data / "e").write_bytes(b"five")
    return data


def records(target, dataset="data"):
    folder = target / ".dray" / dataset
    return json.loads((folder / "delivered.json").read_text()), json.loads((folder / "receipt.json").read_text())


def left(target):
    return [name for name in os.listdir(target.parent) if name != target.name]


def test_the_new_takes_the_place_of_the_old(run, dray, old, tmp_path):
    target = tmp_path / "out" / "x"
    before, _ = records(target)
    inode = target.stat().st_ino
    result = run(old, target)
    assert "data is at" in result.out
    assert_same(target, old)
    assert target.stat().st_ino != inode and left(target) == []
    _, receipt = records(target)
    assert receipt["supersedes"] == {key: before[key] for key in ("job", "request_key", "manifest_sha256")}
    dray("verify", target)
    assert "already delivered" in run(old, target).out


def test_where_nothing_is_it_is_a_new_directory(run, files, tmp_path):
    data = files(tmp_path / "data", {"a": b"a"})
    run(data, tmp_path / "x")
    assert_same(tmp_path / "x", data)
    assert "supersedes" not in records(tmp_path / "x")[1]


def test_without_the_word_nothing_is_replaced(run, old, tmp_path):
    target = tmp_path / "out" / "x"
    before = listing(target)
    result = run(old, target, existing="fail", exit=1)
    assert "holds another delivery" in result.err and "existing: replace" in result.err
    assert listing(target) == before and left(target) == []


def test_plan_and_preview_show_what_will_be_replaced(run, old, tmp_path):
    target = tmp_path / "out" / "x"
    said = run(old, target, command="plan").out
    assert "another delivery is there, of " in said and ", and will be replaced" in said
    plan = run(old, target, "--json", command="plan").json()
    presence = plan["targets"][0]["presence"]
    assert presence["state"] == "delivered" and presence["goes_over"] is True
    assert presence["request_key"] == records(target)[0]["request_key"]
    said = run(old, target, command="preview").out
    assert f"{target} holds another delivery, of " in said and "which a run replaces" in said
    summary = run(old, target, "--json", command="preview").json_lines()[-1]["summary"]
    assert [one["target"] for one in summary["replaces"]] == [str(target)]
    assert summary["replaces"][0]["job"] == records(target)[0]["job"]
    assert "replaces" not in run(old, tmp_path / "out" / "y", "--json", command="preview").json_lines()[-1]["summary"]
    assert "goes_over" not in run(old, target, "--json", command="plan", existing="fail").json()["targets"][0]["presence"]


def test_the_word_is_no_part_of_the_request(run, files, tmp_path):
    data = files(tmp_path / "data", {"a": b"a"})
    run(data, tmp_path / "x", existing="fail")
    inode = (tmp_path / "x").stat().st_ino
    assert "already delivered" in run(data, tmp_path / "x").out
    assert (tmp_path / "x").stat().st_ino == inode


def test_again_puts_the_same_in_its_own_place(run, files, tmp_path):
    data, target = files(tmp_path / "data", {"a": b"a"}), tmp_path / "out" / "x"
    target.parent.mkdir()
    run(data, target)
    before, _ = records(target)
    run(data, target, "--again")
    after, receipt = records(target)
    assert before["request_key"] == after["request_key"] and before["job"] != after["job"]
    assert receipt["supersedes"]["job"] == before["job"]
    assert left(target) == []


def test_bytes_decide_where_times_do_not(run, old, tmp_path):
    """A file that was touched, but not changed, keeps nobody from replacing it."""
    target = tmp_path / "out" / "x"
    os.utime(target / "d/b")
    run(old, target)
    assert_same(target, old)


def test_where_permissions_bind(bound, run, old, tmp_path):
    """Directories that nobody may write are removed all the same: they are ours."""
    target = tmp_path / "out" / "x"
    (old / "d").chmod(0o500)
    target.chmod(0o555)
    run(old, target)
    assert_same(target, old)
    assert left(target) == []


def test_several_targets_each_by_itself(dray, old, tmp_path):
    """One is replaced, one is new, and one holds the same already."""
    out, workflow = tmp_path / "out", tmp_path / "three.yaml"
    dray("push", old, "--to", out / "same")
    inode = (out / "same").stat().st_ino
    steps = "".join(f"  - {{id: {name}, uses: push/hpfs, with: {{path: {out}/{name}, existing: replace}}}}\n"
                    for name in ("x", "new", "same"))
    workflow.write_text(f"version: 1\nname: three\ndataset: {old}\nsteps:\n{steps}")
    dray("run", workflow)
    for name in ("x", "new", "same"):
        assert_same(out / name, old)
    assert (out / "same").stat().st_ino == inode
    assert sorted(os.listdir(out)) == ["new", "same", "x"]
    assert "supersedes" in records(out / "x")[1] and "supersedes" not in records(out / "new")[1]


def test_after_a_failure_the_old_one_is_whole(dray, run, old, small_disk):
    """There is no room for both."""
    disk = small_disk("1m")
    target = disk / "x"
    dray("push", old, "--to", target)
    before, inode = listing(target), target.stat().st_ino
    (old / "large").write_bytes(os.urandom(2 << 20))
    result = run(old, target, exit=None)
    assert result.code != 0 and "make room for" in result.err
    assert listing(target) == before and target.stat().st_ino == inode and left(target) == []
    dray("verify", target)
    small_disk.grow("9m")
    run(old, target)
    assert_same(target, old)


# ---- What is not replaced ----


def wrong_states():
    def no_marker(target):
        (target / ".dray/data/delivered.json").unlink()

    def other_dataset(target):
        (target / ".dray/data").rename(target / ".dray/other")

    def edited(target):
        (target / "a").write_bytes(b"eno")  # of the same size

    def grown(target):
        (target / "d/b").write_bytes(b"two and more")

    def extra(target):
        (target / "d/mine").write_bytes(b"x")

    def lost(target):
        (target / "gone").unlink()

    def another_beside(target):
        shutil.copytree(target / ".dray/data", target / ".dray/other")

    def a_note(target):
        (target / ".dray/data/note.txt").write_bytes(b"x")

    def a_link(target):
        target.rename(target.parent / "y")
        target.symlink_to("y")

    def a_file(target):
        shutil.rmtree(target)
        target.write_bytes(b"x")

    def other_manifest(target):
        with open(target / ".dray/data/manifest-sha256.txt", "ab") as file:
            file.write(b"\n")

    return [(no_marker, "a directory with 6 entries"), (other_dataset, "a directory with 6 entries"),
            (edited, "a was changed"), (grown, "d/b has another size"),
            (extra, "1 entry is in it that was not delivered"), (lost, "missing gone"),
            (another_beside, "its .dray holds more than records of this dataset"),
            (a_note, "among its records is note.txt"), (a_link, "a symbolic link"), (a_file, "a file"),
            (other_manifest, "its manifest-sha256.txt is not the one that its marker names")]


@pytest.mark.parametrize("change, reason", wrong_states(), ids=lambda value: getattr(value, "__name__", None))
def test_anything_else_is_refused_and_left_alone(run, old, tmp_path, change, reason):
    target = tmp_path / "out" / "x"
    change(target)
    before, names = listing(target.parent), sorted(os.listdir(target.parent))
    result = run(old, target, exit=1)
    assert reason in result.err and "nothing was written" in result.err
    assert listing(target.parent) == before and sorted(os.listdir(target.parent)) == names


def failing(dray, target, call, error, *command):
    """Runs with a file system whose `call` fails on this path."""
    return subprocess.run(["strace", "-f", "-o", dray.home / "trace", "-P", target, "-e", f"trace={call}",
                           "-e", f"inject={call}:error={error}", dray.program, *command],
                          env=dray.env, capture_output=True, text=True)


@pytest.mark.parametrize("where", ["d", ".dray", ".dray/data", "locked"])
def test_a_directory_that_cannot_be_listed_is_not_an_empty_one(dray, run, old, tmp_path, where):
    target = tmp_path / "out" / "x"
    run(old, target, command="plan")
    before = listing(target)
    done = failing(dray, target / where, "getdents64", "EIO", "run", tmp_path / "replace.yaml")
    assert done.returncode == 1 and "listed: Input/output error" in done.stderr, done.stderr
    assert listing(target) == before and left(target) == []


def test_a_source_of_names_that_fails_in_the_sweep_is_no_end(dray, run, old, tmp_path):
    """What stands behind the names that could be read is not known."""
    run(old, tmp_path / "out" / "x", command="plan")
    done = failing(dray, tmp_path / "out", "getdents64", "EIO", "run", tmp_path / "replace.yaml")
    assert done.returncode != 0 and f"listing {tmp_path}/out: Input/output error" in done.stderr, done.stderr


def test_times_that_are_kept_in_whole_seconds_are_no_edit(dray, run, old, tmp_path):
    """As on ext3, or on a server that is asked for seconds: nothing is read again for it."""
    target, workflow = tmp_path / "out" / "x", tmp_path / "replace.yaml"
    for folder, _, names in os.walk(target):
        for name in names:
            path = os.path.join(folder, name)
            second = os.lstat(path).st_mtime_ns // 10**9 * 10**9
            os.utime(path, ns=(second, second), follow_symlinks=False)
    run(old, target, command="plan")
    done = subprocess.run(["strace", "-f", "-y", "-o", tmp_path / "trace", "-e", "trace=openat", dray.program,
                           "run", workflow], env=dray.env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_same(target, old)
    opened = (tmp_path / "trace").read_text()
    assert '"tree.jsonl"' in opened and '"gone"' not in opened and '"d/b", O_RDONLY' not in opened.replace(
        str(old), "")


@pytest.mark.parametrize("durability", ["syncfs", "fsync"])
def test_root_and_parent_are_durable_and_never_more_open_than_in_the_end(dray, files, tmp_path, durability):
    data, target, workflow = files(tmp_path / "data", {"a": b"a"}), tmp_path / "out" / "x", tmp_path / "private.yaml"
    target.parent.mkdir()
    data.chmod(0o755)
    workflow.write_text(f"version: 1\nname: private\ndataset: {data}\nsteps:\n"
                        "  - id: deliver\n    uses: push/hpfs\n"
                        f"    with: {{path: {target}, permissions: private, durability: {durability}}}\n")
    done = subprocess.run(["strace", "-f", "-y", "-o", tmp_path / "trace", "-e",
                           "trace=fchmod,fchmodat,fsync,syncfs,rename,renameat,renameat2", dray.program, "run", workflow],
                          env=dray.env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "trace").read_text().splitlines()
    root = re.compile(re.escape(f"<{target.parent}/.dray-") + "[^/>]*>")
    modes = [re.search(r", (0\d+)\)", call)[1] for call in calls if "fchmod(" in call and root.search(call)]
    assert set(modes) == {"0700"}
    renamed = next(i for i, call in enumerate(calls) if "renameat2(" in call and '"x"' in call)
    mode = max(i for i, call in enumerate(calls) if "fchmod(" in call and root.search(call))
    assert [i for i, call in enumerate(calls) if "fsync(" in call and root.search(call) and mode < i < renamed]
    assert [i for i, call in enumerate(calls) if "fsync(" in call and f"<{target.parent}>" in call and i > renamed]


def stopped_while_copying(dray, run, old, target, change):
    """The runner is held while it reads the source, `change` is made, and it goes on."""
    with open(old / "large", "wb") as file:
        for _ in range(64):
            file.write(os.urandom(1 << 20))
    workflow = target.parent.parent / "replace.yaml"
    workflow.write_text(WORKFLOW.format(dataset=old, target=target, existing="replace"))
    running = dray.start("run", workflow, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def has_begun():
        return any((target.parent / name / "large").exists() for name in left(target))

    while not has_begun():
        assert running.poll() is None
        time.sleep(0.0005)
    os.killpg(running.pid, signal.SIGSTOP)
    change()
    os.killpg(running.pid, signal.SIGCONT)
    _, err = running.communicate(timeout=60)
    return running.returncode, err.decode()


def test_an_edit_while_the_new_is_written_is_found(dray, run, old, tmp_path):
    target = tmp_path / "out" / "x"
    code, err = stopped_while_copying(dray, run, old, target, lambda: (target / "a").write_bytes(b"eno"))
    assert code == 1 and "a was changed" in err
    assert (target / "a").read_bytes() == b"eno" and left(target) == []


def test_a_directory_put_there_meanwhile_is_left(dray, run, old, tmp_path):
    target = tmp_path / "out" / "x"

    def swap():
        target.rename(tmp_path / "away")
        target.mkdir()
        (target / "theirs").write_bytes(b"theirs")

    code, err = stopped_while_copying(dray, run, old, target, swap)
    assert code == 1 and "was moved or replaced since it was looked at" in err
    assert (target / "theirs").read_bytes() == b"theirs" and left(target) == []


def test_where_names_cannot_be_exchanged_it_is_said_before_the_first_byte(dray, old, tmp_path):
    """As NFS and Lustre answer."""
    target, workflow = tmp_path / "out" / "x", tmp_path / "replace.yaml"
    workflow.write_text(WORKFLOW.format(dataset=old, target=target, existing="replace"))
    before = listing(target)
    done = subprocess.run(["strace", "-f", "-o", tmp_path / "trace", "-e", "trace=renameat2",
                           "-e", "inject=renameat2:error=EINVAL", dray.program, "run", workflow],
                          env=dray.env, capture_output=True, text=True)
    assert done.returncode != 0
    assert "cannot exchange two names in one act" in done.stderr
    assert listing(target) == before and left(target) == []


# ---- Killed ----


def tree_of(root, generation, count):
    shutil.rmtree(root, ignore_errors=True)
    for number in range(count):
        folder = root / f"d{number // 100:03}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number % 100:03}").write_bytes(b"%d %d" % (generation, number) * 50)


def whole(target, count):
    """Complete by its own manifest; the generation that it is of."""
    manifest = ".dray/data/manifest-sha256.txt"
    done = subprocess.run(["sha256sum", "--quiet", "-c", manifest], cwd=target, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert len((target / manifest).read_text().splitlines()) == count
    return int((target / "d000/f000").read_bytes().split()[0])


def killed_after_the_exchange(dray, run, data, target, workflow):
    """Generation 1 has replaced 0, and its process is killed by way of a trace that holds it at the call
    that follows the exchange: the parent's fsync."""
    tree_of(data, 0, 50)
    run(data, target)
    tree_of(data, 1, 50)
    running = subprocess.Popen(["strace", "-f", "-o", workflow.parent / "trace", "-e", "trace=fsync",
                                "-P", target.parent, "-e", "inject=fsync:delay_enter=30000000",
                                dray.program, "run", workflow],
                               env=dray.env, start_new_session=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while whole(target, 50) == 0:
        assert running.poll() is None
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    time.sleep(0.2)
    assert len(left(target)) == 1, "the old one is still there"


@pytest.mark.parametrize("lost", [False, True], ids=["state kept", "state lost"])
def test_killed_between_exchange_and_removal(dray, run, tmp_path, lost):
    data, target = tmp_path / "data", tmp_path / "out" / "x"
    target.parent.mkdir()
    killed_after_the_exchange(dray, run, data, target, tmp_path / "replace.yaml")
    [old] = left(target)
    if lost:
        shutil.rmtree(dray.state)
    result = run(data, target)
    assert "already delivered" in result.out
    assert whole(target, 50) == 1
    if lost:
        assert left(target) == [old] and f"rm -rf '{target.parent / old}'" in result.err
    else:
        assert left(target) == [] and list((dray.state / "made").iterdir()) == []
        assert {job["state"] for job in dray.json("jobs")} == {"delivered"}


def edited(place, old):
    (place / old / "d000/f001").write_bytes((place / old / "d000/f001").read_bytes()[::-1])


def added(place, old):
    (place / old / "d000/mine").write_bytes(b"mine")


def swapped(place, old):
    (place / old).rename(place.parent / "away")
    shutil.copytree(place.parent / "away", place / old)


@pytest.mark.parametrize("change, reason", [
    (edited, "d000/f001 was changed"), (added, "1 entry is in it that was not delivered"),
    (swapped, "nothing here says that a delivery of yours made it")])
def test_an_old_delivery_that_was_touched_after_a_crash_is_left_and_named(dray, run, tmp_path, change, reason):
    data, target = tmp_path / "data", tmp_path / "out" / "x"
    target.parent.mkdir()
    killed_after_the_exchange(dray, run, data, target, tmp_path / "replace.yaml")
    [old] = left(target)
    change(target.parent, old)
    before = listing(target.parent / old)
    result = run(data, target)
    assert "already delivered" in result.out and whole(target, 50) == 1
    assert reason in result.err and f"rm -rf '{target.parent / old}'" in result.err
    assert left(target) == [old] and listing(target.parent / old) == before
    assert {job["state"] for job in dray.json("jobs")} == {"delivered"}
    shutil.rmtree(target.parent / old)
    assert "already delivered" in run(data, target).out


def test_an_old_delivery_stays_while_the_new_one_is_not_there(dray, run, tmp_path):
    """Somebody moved it away after the crash: then the old one is all that there is."""
    data, target = tmp_path / "data", tmp_path / "out" / "x"
    target.parent.mkdir()
    killed_after_the_exchange(dray, run, data, target, tmp_path / "replace.yaml")
    [old] = left(target)
    target.rename(tmp_path / "away")
    result = run(data, target)
    assert whole(target, 50) == 1 and left(target) == [old] and whole(target.parent / old, 50) == 0
    assert "which a newer one was to take the place of" in result.err


def test_an_old_delivery_that_cannot_be_removed_fails_nothing(dray, run, tmp_path):
    """Something is mounted in it, which is not entered."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system of its own")
    data, target = tmp_path / "data", tmp_path / "out" / "x"
    target.parent.mkdir()
    tree_of(data, 0, 50)
    (data / "empty").mkdir()
    run(data, target)
    subprocess.run(["mount", "-t", "tmpfs", "dray-test", target / "empty"], check=True)
    try:
        tree_of(data, 1, 50)
        result = run(data, target)
        [old] = left(target)
        assert whole(target, 50) == 1
        assert "another file system is mounted there" in result.err
        assert f"rm -rf '{target.parent / old}'" in result.err
        assert {job["state"] for job in dray.json("jobs")} == {"delivered"}
        assert "already delivered" in run(data, target).out
        run(data, target, "--again")
        [old] = left(target)
        run(data, target, "--again")
        assert left(target) == [old], "not renamed again and again"
        assert os.path.ismount(target.parent / old / "empty")
    finally:
        subprocess.run(["umount", "-l", target.parent / left(target)[0] / "empty"], check=False)
    run(data, target, "--again")
    assert whole(target, 50) == 1 and left(target) == [] and list((dray.state / "made").iterdir()) == []


def test_killed_between_exchange_and_removal_and_another_request_comes(dray, run, tmp_path):
    data, target = tmp_path / "data", tmp_path / "out" / "x"
    target.parent.mkdir()
    killed_after_the_exchange(dray, run, data, target, tmp_path / "replace.yaml")
    between, _ = records(target)
    tree_of(data, 2, 50)
    run(data, target)
    assert whole(target, 50) == 2 and left(target) == []
    assert records(target)[1]["supersedes"]["job"] == between["job"]
    assert dray.json("show", between["job"])["targets"][0]["state"] == "delivered"
