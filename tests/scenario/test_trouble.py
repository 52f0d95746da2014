# SPDX-License-Identifier: MIT
"""What goes wrong around a delivery: full disks, permissions, a state directory that is of no use,
output that does not arrive. Each time the message says what, where and why, and nothing is left."""
import os
import subprocess

import pytest

from conftest import contents


@pytest.fixture
def source(files, tmp_path):
    (tmp_path / "out").mkdir()
    return files(tmp_path / "source", {"a": "one", "deep/b": "two"})


@pytest.fixture
def out(tmp_path, source):
    return tmp_path / "out"


# ---- Full disks --------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["syncfs", "fsync"])
@pytest.mark.parametrize("shape", ["one large file", "many small files"])
def test_a_full_target_is_said_and_left_empty(dray, source, small_disk, workflow, shape, durability):
    disk = small_disk("1m")
    if shape == "one large file":
        (source / "big").write_bytes(os.urandom(3 << 20))
    else:
        for number in range(400):
            (source / f"f{number}").write_bytes(os.urandom(8192))
    file = workflow(f"version: 1\ndataset: ./source\nsteps:\n  - {{ id: deliver, uses: push/hpfs, "
                    f"with: {{ path: {disk}/data, durability: {durability} }} }}\n")
    failed = dray("run", file, exit=1)
    assert "error: step deliver: the delivery needs " in failed.err and "nothing was written" in failed.err
    assert os.listdir(disk) == []
    assert dray.json("show", dray.json("jobs")[0]["job"])["attempts"][0]["steps"][-1]["class"] == "no_space"
    small_disk.grow("9m")
    dray("run", file)
    assert contents(disk / "data") == contents(source)


def test_a_full_state_directory_stops_a_delivery_before_it_begins(dray, source, out, small_disk):
    disk = small_disk("64k")
    failed = dray("push", source, "--to", out / "data", env={"DRAY_STATE": f"{disk}/state"}, exit=1)
    assert "space" in failed.err and f"{disk}/state" in failed.err
    assert os.listdir(out) == []


# ---- Permissions -------------------------------------------------------------------------------


def test_a_file_that_may_not_be_read_is_named(bound, source, out):
    (source / "deep/b").chmod(0)
    failed = bound("push", source, "--to", out / "data", exit=3)
    assert f"reading {source}/deep/b: Permission denied (denied, source side)" in failed.err
    assert os.listdir(out) == []
    bound("push", source, "--to", out / "data", "--exclude", "deep/")
    assert contents(out / "data") == {"a": b"one"}


def test_a_directory_that_may_not_be_listed_is_named_before_anything_is_done(bound, source, out):
    (source / "deep").chmod(0)
    failed = [bound("push", source, "--to", out / "data", *options, exit=3)
              for options in ([], ["--exclude", "deep/"])]
    (source / "deep").chmod(0o755)
    for one in failed:
        assert f"listing {source}/deep: Permission denied" in one.err
        assert "a filter cannot leave it out" in one.err and "the right to read it" in one.err
    assert os.listdir(out) == [] and bound.json("jobs") == []


def test_a_target_whose_parent_may_not_be_written_is_said(bound, source, out):
    out.chmod(0o555)
    failed = bound("push", source, "--to", out / "data", exit=3)
    assert f"{out}: Permission denied" in failed.err and "the right to write there" in failed.err
    assert os.listdir(out) == []
    out.chmod(0o755)
    again = bound.json("push", source, "--to", out / "data")
    assert [attempt["outcome"] for attempt in again["attempts"]] == ["failed", "delivered"]


def test_a_target_below_what_may_not_be_entered_is_said(bound, source, out):
    (out / "closed").mkdir(mode=0)
    failed = bound("push", source, "--to", out / "closed/data", exit=3)
    assert f"{out}/closed" in failed.err and "Permission denied" in failed.err


def test_a_read_only_dataset_is_delivered_and_can_be_checked_without_any_state(bound, source, out):
    for path in (source / "a", source / "deep/b", source / "deep", source):
        path.chmod(0o555)
    bound("push", source, "--to", out / "data")
    assert contents(out / "data") == contents(source)
    bound.state.chmod(0)
    assert "is intact" in bound("verify", out / "data", cwd="/").out
    bound.state.chmod(0o700)
    for place in (source, out / "data"):
        subprocess.run(["chmod", "-R", "u+w", place], check=True)


# ---- The state directory -----------------------------------------------------------------------


def test_a_state_directory_that_cannot_be_written_is_said_with_what_to_do(bound, source, out, tmp_path):
    state = tmp_path / "locked"
    state.mkdir(mode=0o555)
    for place in (state, state / "below"):
        failed = bound("push", source, "--to", out / "data", env={"DRAY_STATE": str(place)}, exit=3)
        assert str(place) in failed.err and "Permission denied" in failed.err
        assert "DRAY_STATE" in failed.err
    assert os.listdir(out) == []


READERS = [(["check", "work.yaml"], 0), (["check", "--schema", "recipe"], 0), (["plan", "work.yaml"], 0),
           (["preview", "work.yaml"], 0), (["policy", "test"], 0), (["policy", "explain", "--dataset", "./x", "--target", "./y"], 0),
           (["policy", "list"], 0), (["plugin", "list"], 0), (["plugin", "show", "filter/glob"], 0)]


def reading(source, workflow):
    workflow("version: 1\ndataset: ./source\nsteps:\n"
             "  - { id: deliver, uses: push/hpfs, with: { path: ./out/data } }\n")
    return {"cwd": source.parent}


def test_what_only_reads_needs_no_state(bound, source, out, workflow, tmp_path):
    """Nothing is made either: of a store that is not there nothing is known."""
    where = reading(source, workflow)
    state = tmp_path / "locked"
    state.mkdir(mode=0o555)
    for env in ({"DRAY_STATE": str(state)}, {"DRAY_STATE": str(state / "below")},
                {"DRAY_STATE": "", "HOME": str(state)}):
        for arguments, code in [*READERS, (["jobs"], 0), (["recipe", "list"], 0), (["show", "abcd"], 4)]:
            bound(*arguments, env=env, exit=code, **where)
        assert bound("jobs", env=env).out == "no jobs\n"
        failed = bound("recipe", "save", "x", "work.yaml", env=env, exit=None, **where)
        assert failed.code != 0
    assert os.listdir(state) == []


@pytest.mark.parametrize("mode", [0o555, 0o500])
def test_a_store_that_may_not_be_written_is_read(bound, source, out, workflow, mode):
    where = reading(source, workflow)
    (source.parent / "r.yaml").write_text("version: 1\nrecipe: r\nsteps:\n"
                                          "  - { id: x, uses: filter/glob, with: { include: [a] } }\n")
    job = bound.json("push", source, "--to", out / "one")["job"]
    bound("recipe", "save", "r", "r.yaml", **where)
    before = contents(bound.state)
    files = [path for path in bound.state.rglob("*") if not path.is_symlink()]
    for path in [*files, bound.state]:
        path.chmod(mode if path.is_dir() else mode & 0o444)
    for arguments, code in READERS:
        bound(*arguments, exit=code, **where)
    assert [one["job"] for one in bound.json("jobs")] == [job] == [bound.json("show", job[:8])["job"]]
    assert [one["recipe"] for one in bound.json("recipe", "list")] == ["r"]
    assert "already delivered" in bound("plan", workflow(
        f"version: 1\ndataset: ./source\nsteps:\n  - {{ id: deliver, uses: push/hpfs, "
        f"with: {{ path: ./out/one }} }}\n")).out
    assert "DRAY_STATE" in bound("push", source, "--to", out / "two", exit=3).err
    assert contents(bound.state) == before and not (out / "two").exists()


def test_a_file_in_the_place_of_the_state_directory_is_said(dray, source, tmp_path):
    (tmp_path / "file").touch()
    for place in ("file", "file/below"):
        failed = dray("jobs", env={"DRAY_STATE": str(tmp_path / place)}, exit=1)
        assert str(tmp_path / "file") in failed.err and "DRAY_STATE" in failed.err


def test_the_state_directory_is_private_and_may_be_relative_or_be_left_to_the_home(dray, source, out):
    dray("jobs", env={"DRAY_STATE": "here"}, cwd=out)
    assert (out / "here/dray.db").exists() and (out / "here").stat().st_mode & 0o777 == 0o700
    dray("jobs", env={"DRAY_STATE": "", "XDG_STATE_HOME": str(out / "xdg")})
    assert (out / "xdg/dray/dray.db").exists()
    dray("jobs", env={"DRAY_STATE": ""})
    assert (dray.home / ".local/state/dray/dray.db").exists()


def test_a_damaged_store_is_named_and_not_written_over(dray, source, out):
    dray("jobs")
    (dray.state / "dray.db").write_bytes(b"not a database" * 1000)
    for name in ("dray.db-wal", "dray.db-shm"):
        (dray.state / name).unlink(missing_ok=True)
    failed = dray("push", source, "--to", out / "data", exit=1)
    assert "dray.db" in failed.err
    assert (dray.state / "dray.db").read_bytes().startswith(b"not a database")
    assert os.listdir(out) == []


# ---- Output ------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [
    ["--help"], ["jobs"], ["jobs", "--json"], ["plugin", "list"], ["push", "--help"],
    ["push", "./source", "--to", "./out/data", "--json"], ["push", "./source", "--to", "./out/data"]])
def test_output_that_does_not_arrive_is_a_failure(dray, source, arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run([dray.program, *arguments], env=dray.env, cwd=source.parent, stdout=full,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert "error: writing standard output: No space left on device\n" in done.stderr


@pytest.mark.parametrize("arguments", [["plan", "work.yaml"], ["preview", "work.yaml"], ["jobs"]])
def test_a_reader_that_has_seen_enough_is_no_failure(dray, source, workflow, arguments):
    for number in range(3000):
        (source / f"a-name-that-is-rather-long-{number}").touch()
    workflow("version: 1\ndataset: ./source\nsteps:\n"
             "  - { id: deliver, uses: push/hpfs, with: { path: ./out/data } }\n")
    done = subprocess.run(["sh", "-c", '"$0" "$@" | head -n 1', dray.program, *arguments], env=dray.env,
                          cwd=source.parent, capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.count("\n") == 1


@pytest.mark.parametrize("arguments", [
    ["--help"], ["check", "--help"], ["check", "--schema", "policy"], ["check", "work.yaml"], ["jobs"],
    ["check", "work.yaml", "--json"], ["jobs", "--json"], ["plan", "work.yaml"], ["preview", "work.yaml"],
    ["plan", "work.yaml", "--json"], ["plugin", "list"], ["plugin", "list", "--json"], ["plugin", "manual"],
    ["policy", "list"], ["policy", "list", "--json"], ["recipe", "list"], ["recipe", "list", "--json"],
    ["push", "./source", "--to", "./out/data"], ["push", "./source", "--to", "./out/data", "--json"]])
def test_a_reader_that_is_gone_is_no_failure(dray, source, out, workflow, arguments):
    workflow("version: 1\ndataset: ./source\nsteps:\n"
             "  - { id: deliver, uses: push/hpfs, with: { path: ./out/data } }\n")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([dray.program, *arguments], env=dray.env, cwd=source.parent, stdout=write,
                          stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.returncode == 0 and "error" not in done.stderr


def test_closed_standard_descriptors_do_no_harm(dray, source, out):
    """What is opened must not take the numbers of standard output and error, and be printed into."""
    subprocess.run(["sh", "-c", '"$0" "$@" <&- >&- 2>&-', dray.program, "push", source, "--to",
                    out / "data"], env=dray.env, check=True)
    assert contents(out / "data") == contents(source)
    assert [job["state"] for job in dray.json("jobs")] == ["delivered"]


def test_a_working_directory_that_is_gone_is_said(dray, source, out, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(["sh", "-c", 'cd "$1" && rmdir "$1" && "$0" push ./x --to ./y', dray.program, gone],
                          env=dray.env, capture_output=True, text=True)
    assert done.returncode == 4
    assert "finding the working directory: No such file or directory" in done.stderr
