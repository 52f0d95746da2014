# SPDX-License-Identifier: MIT
"""existing: merge: a delivery is added to a directory that is there, all of it or nothing, and what others have in it
is never touched."""
import hashlib
import json
import os
import shutil
import stat
import subprocess

import pytest

import kills

WORKFLOW = """version: 1
name: test
dataset: {dataset}
steps:
  - id: deliver
    uses: push/hpfs
    with: {{ path: {target}, existing: {existing}{more} }}
"""


@pytest.fixture
def run(dray, tmp_path):
    """run(dataset, target) runs a workflow whose push merges; also command="plan", ..."""

    def start(dataset, target, *more, command="run", existing="merge", conflicts=None, **keywords):
        workflow = tmp_path / "merge.yaml"
        option = f", conflicts: {conflicts}" if conflicts else ""
        workflow.write_text(WORKFLOW.format(dataset=dataset, target=target, existing=existing, more=option))
        return dray(command, workflow, *more, **keywords)

    return start


def content(folder):
    """What is in it, without records and times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name == ".dray" or name.startswith(".dray/"):
            continue
        status = path.lstat()
        what = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[name] = (stat.S_IFMT(status.st_mode), what)
    return found


def texts(folder):
    return {name: what for name, (_, what) in content(folder).items() if what is not None}


@pytest.fixture
def data(files, tmp_path):
    data = files(tmp_path / "data", {"a": b"one", "d/b": b"two", "new/x/c": b"three", "locked/c": b"four"})
    (data / "l").symlink_to("a")
    (data / "locked").chmod(0o555)
    (data / "empty").mkdir()
    return data


@pytest.fixture
def target(files, tmp_path):
    """A directory with files of others."""
    return files(tmp_path / "out" / "x", {"theirs": b"t", "d/theirs": b"u"})


ADDED = {"a": b"one", "d/b": b"two", "new/x/c": b"three", "locked/c": b"four", "l": "a"}
THEIRS = {"theirs": b"t", "d/theirs": b"u"}


def records(target, dataset="data"):
    folder = target / ".dray" / dataset
    return json.loads((folder / "delivered.json").read_text()), json.loads((folder / "receipt.json").read_text())


def left(target):
    return [str(path) for path in target.parent.rglob(".dray-*")]


def test_it_is_added_and_what_is_there_stays(run, dray, data, target):
    inode, theirs = target.stat().st_ino, (target / "d" / "theirs").stat()
    run(data, target)
    assert texts(target) == {**ADDED, **THEIRS}
    assert (target / "empty").is_dir() and stat.S_IMODE((target / "locked").stat().st_mode) == 0o555
    assert target.stat().st_ino == inode
    now = (target / "d" / "theirs").stat()
    assert (now.st_ino, now.st_mtime_ns, now.st_ctime_ns) == (theirs.st_ino, theirs.st_mtime_ns, theirs.st_ctime_ns)
    marker, receipt = records(target)
    assert marker["merged"] is True and receipt["merged"] is True
    assert left(target) == []


def test_again_it_is_already_delivered_also_without_state(run, dray, data, target, tmp_path):
    run(data, target)
    (target / "later").write_bytes(b"somebody's")
    assert "already delivered" in run(data, target).out
    shutil.rmtree(dray.state)
    assert "already delivered" in run(data, target).out


def test_verify_judges_what_was_delivered_only(run, dray, data, target):
    run(data, target)
    (target / "later").write_bytes(b"somebody's")
    dray("verify", target)
    (target / "d" / "b").write_bytes(b"TWO")
    assert "d/b" in dray("verify", target, exit=None).err + dray("verify", target, "--json", exit=None).out


def test_where_nothing_is_it_is_a_new_directory(run, data, tmp_path):
    run(data, tmp_path / "y")
    assert texts(tmp_path / "y") == ADDED
    assert "merged" not in records(tmp_path / "y")[0]


def test_all_conflicts_are_named_before_the_first_byte(run, data, target):
    (target / "a").write_bytes(b"other")
    (target / "l").mkdir()
    (target / "new").write_bytes(b"a file")
    before = content(target)
    result = run(data, target, exit=1)
    assert '3 names are in the way' in result.err
    for said in ('"a" is there', '"l" is a directory there', '"new" is a file there', "conflicts: skip_same"):
        assert said in result.err
    assert content(target) == before and left(target) == [] and not (target / ".dray").exists()


def test_a_long_list_of_conflicts_is_cut(run, files, tmp_path, target):
    data = files(tmp_path / "many", {f"f{i:03}": b"new" for i in range(100)})
    for i in range(100):
        (target / f"f{i:03}").write_bytes(b"old")
    assert "; and 92 more; nothing was written" in run(data, target, exit=1).err


def test_what_is_the_same_stays(run, dray, data, target):
    (target / "a").write_bytes(b"one")
    (target / "a").chmod(0o640)
    (target / "l").symlink_to("a")
    inode = (target / "a").stat().st_ino
    run(data, target, conflicts="skip_same")
    assert texts(target) == {**ADDED, **THEIRS} and (target / "a").stat().st_ino == inode
    dray("verify", target)


@pytest.mark.parametrize("other", [b"ONE", b"longer"])
def test_what_is_not_the_same_is_a_conflict(run, data, target, other):
    (target / "a").write_bytes(other)
    before = content(target)
    assert '"a" is another one there' in run(data, target, conflicts="skip_same", exit=1).err
    assert content(target) == before and left(target) == []


def test_files_are_replaced_where_asked_for(run, dray, data, target):
    (target / "a").write_bytes(b"other")
    (target / "l").write_bytes(b"no link")
    run(data, target, conflicts="replace")
    assert texts(target) == {**ADDED, **THEIRS} and left(target) == []
    dray("verify", target)


@pytest.mark.parametrize("conflicts", ["fail", "skip_same", "replace"])
def test_a_file_and_a_directory_are_always_a_conflict(run, data, target, conflicts):
    (target / "new").write_bytes(b"a file")
    (target / "l").mkdir()
    before = content(target)
    assert "2 names are in the way" in run(data, target, conflicts=conflicts, exit=1).err
    assert content(target) == before and left(target) == []


def test_a_link_is_no_directory_to_write_through(run, data, target, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (target / "new").symlink_to(tmp_path / "elsewhere")
    assert '"new" is a symbolic link there' in run(data, target, conflicts="replace", exit=1).err
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_two_datasets_in_one_directory(run, dray, files, data, target, tmp_path):
    more = files(tmp_path / "more", {"m": b"m"})
    run(data, target)
    run(more, target)
    assert texts(target) == {**ADDED, **THEIRS, "m": b"m"}
    dray("verify", target)
    assert "already delivered" in run(data, target).out


def test_a_delivery_that_another_is_added_to_stays_one(run, dray, files, data, tmp_path):
    target = tmp_path / "y"
    run(data, target)
    run(files(tmp_path / "more", {"m": b"m"}), target)
    assert "merged" not in records(target)[0] and records(target, "more")[0]["merged"] is True
    dray("verify", target)
    assert "already delivered" in run(data, target).out
    (data / "a").write_bytes(b"changed")
    assert "not whole" in run(data, target, existing="replace", exit=1).err
    assert texts(target) == {**ADDED, "m": b"m"}


def test_without_the_word_it_is_said_how_to_add(run, data, target):
    assert "existing: merge" in run(data, target, existing="fail", exit=1).err


def test_a_corrected_dataset_goes_over_its_own_files(run, dray, data, target):
    run(data, target)
    (data / "a").write_bytes(b"corrected")
    assert "in the way in %s: an earlier delivery of this dataset is there (20" % target in run(data, target, exit=1).err
    run(data, target, conflicts="replace")
    assert (target / "a").read_bytes() == b"corrected" and left(target) == []
    dray("verify", target)


def test_plan_says_that_it_will_be_added(run, data, target):
    assert "and will be added to" in run(data, target, command="plan").out
    presence = run(data, target, "--json", command="plan").json()["targets"][0]["presence"]
    assert presence["goes_into"] is True and "goes_over" not in presence


def test_preview_says_what_is_in_the_way(run, data, target):
    """Without a byte of it: what has the same size may be the same."""
    assert "nothing is in the way" in run(data, target, command="preview").out
    (target / "a").write_bytes(b"longer than one")
    (target / "d/b").write_bytes(b"owt")
    before = texts(target)
    said = run(data, target, command="preview").out
    assert f"{target} is there, and a run adds to it; 2 names are in the way in" in said
    assert '"a" is there; "d/b" is there\n' in said and "nothing was written" not in said
    [added] = run(data, target, "--json", command="preview").json_lines()[-1]["summary"]["adds_to"]
    assert added["target"] == str(target) and '"a" is there' in added["in_the_way"]
    for conflicts, way in (("replace", False), ("skip_same", True)):
        said = run(data, target, command="preview", conflicts=conflicts).out
        assert ("nothing is in the way" in said) != way and ('1 name is in the way' in said) == way
        assert ('"a" is another one there' in said) == way
    assert texts(target) == before and left(target) == []


@pytest.mark.parametrize("conflicts, way", [("replace", False), ("skip_same", True), ("fail", True)])
def test_preview_says_the_same_of_an_earlier_delivery_as_a_run(run, data, target, conflicts, way):
    """Also in its sandbox."""
    run(data, target)
    (data / "a").write_bytes(b"eno")
    said = run(data, target, command="preview", conflicts=conflicts)
    assert ("nothing is in the way" in said.out) != way, said.out
    assert (": an earlier delivery of this dataset is there (20" in said.out) == way
    assert "something else" not in said.out and "nothing was written" not in said.out
    ran = run(data, target, conflicts=conflicts, exit=1 if way else 0)
    assert ("an earlier delivery of this dataset is there (20" in ran.err) == way
    assert ("conflicts: replace" in ran.err) == way


def test_plan_says_that_conflicts_are_looked_for_later(run, data, target):
    assert "and will be added to; a run looks for conflicts first, and dray preview names them" in run(
        data, target, command="plan").out


def test_preview_says_what_a_run_refuses(run, dray, data, tmp_path):
    place = tmp_path / "y"
    run(data, place, existing="replace")
    (place / "a").write_bytes(b"edited")
    (data / "a").write_bytes(b"corrected")
    planned = run(data, place, existing="replace", command="plan")
    said = run(data, place, existing="replace", command="preview")
    assert "a delivery of data that is not whole: a has another size" in planned.out
    assert (f"{place} holds what a run does not touch, and so fails: a delivery of data that is not whole: a has "
            "another size\n") in said.out
    [refused] = run(data, place, "--json", existing="replace", command="preview").json_lines()[-1]["summary"]["refused"]
    assert refused == {"target": str(place), "found": "a delivery of data that is not whole: a has another size"}
    assert "not whole" in run(data, place, existing="replace", exit=1).err


def test_what_is_not_whole_any_more_is_said_how_to_look_at(run, data, tmp_path):
    place = tmp_path / "y"
    run(data, place, existing="replace")
    (place / "a").write_bytes(b"edited")
    said = run(data, place, existing="replace", exit=1).err
    assert "was delivered by job" in said and f"dray verify '{place}'" in said


@pytest.mark.parametrize("record", ["README.txt", "receipt.json", "tree.jsonl"])
def test_an_edit_in_the_records_is_not_removed_with_them(run, dray, data, target, record):
    run(data, target)
    (target / ".dray/data" / record).write_bytes(b"my own notes")
    (data / "a").write_bytes(b"corrected")
    said = run(data, target, conflicts="replace", exit=1).err
    assert "records of a delivery as they were written" in said
    assert (target / ".dray/data" / record).read_bytes() == b"my own notes"
    assert (target / "a").read_bytes() == b"one" and left(target) == []
    (target / ".dray/data").rename(target / "kept")
    run(data, target, conflicts="replace")
    assert (target / "kept" / record).read_bytes() == b"my own notes"


def test_whose_files_are_replaced_is_said(run, dray, files, data, target, tmp_path):
    run(data, target)
    other = files(tmp_path / "other", {"a": b"another", "d/b": b"another", "mine": b"m"})
    previewed = run(other, target, command="preview", conflicts="replace")
    ran = run(other, target, conflicts="replace")
    for said in (previewed.out + previewed.err, ran.out + ran.err):
        assert f"in {target} files of other datasets are replaced" in said
        assert "data (2 files)" in said
    assert records(target, "other")[1]["replaces_files_of"] == "data (2 files)"
    assert "replaces_files_of" not in records(target)[1]
    verified = dray("verify", target, exit=None)
    assert verified.code != 0 and "a" in verified.out + verified.err


@pytest.mark.parametrize("text", [b"\0\n{]\n", b"[" * 300000, b'{"path": "a"}' * 40000, b""])
def test_records_of_others_may_hold_anything(run, files, data, target, tmp_path, text):
    (target / ".dray/wild").mkdir(parents=True)
    (target / ".dray/wild/tree.jsonl").write_bytes(text + b'\n{"path": "a"}\n')
    (target / ".dray/link").symlink_to("wild")
    (target / ".dray/pipe").mkdir()
    os.mkfifo(target / ".dray/pipe/tree.jsonl")
    (target / "a").write_bytes(b"theirs")
    ran = run(data, target, conflicts="replace")
    assert "wild (1 file)" in ran.err and "link" not in ran.err
    assert (target / "a").read_bytes() == b"one"


def test_conflicts_without_merge_is_a_mistake(run, data, target):
    result = run(data, target, existing="fail", conflicts="replace", command="check", exit=None)
    assert "`conflicts` is for `existing: merge`" in result.out + result.err


# ---- Killed ----

FILES = 3000


@pytest.fixture
def many(tmp_path):
    source, block = tmp_path / "source", os.urandom(4096 + FILES)
    for number in range(FILES):
        folder = source / f"d{number // 100:03}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
        (folder / f"f{number % 100:03}").write_bytes(block[number:number + 4096])
    return source


def make_target(place):
    """Files of others, in directories of the same names too; of every third file, an older one."""
    for number in range(FILES // 100):
        (place / f"d{number:03}").mkdir(parents=True)
        (place / f"d{number:03}" / "theirs").write_bytes(b"theirs")
    for number in range(0, FILES, 3):
        (place / f"d{number // 100:03}" / f"f{number % 100:03}").write_bytes(b"old")
    return place


def assert_merged(place, source):
    for number in range(FILES // 100):
        assert (place / f"d{number:03}" / "theirs").read_bytes() == b"theirs"
    assert {name: what for name, what in texts(place).items() if not name.endswith("theirs")} == texts(source)
    assert left(place) == []


@pytest.fixture(scope="session")
def moment(tmp_path_factory):
    return kills.build_moment(tmp_path_factory.mktemp("moment"))


@pytest.fixture
def torn(run, dray, many, moment, tmp_path):
    """torn() is a target whose merge was killed in the middle of its renames."""

    def tear():
        log, work = tmp_path / "calls", [dray.program, "run", tmp_path / "merge.yaml"]

        def start(place, number):
            run(many, make_target(place), command="check", conflicts="replace")
            subprocess.run([moment, log, str(number), "both", *work], env=dray.env, cwd=dray.home, check=False,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return log.read_text().splitlines()

        calls = start(tmp_path / "counted", 0)
        renames = [number for number, line in enumerate(calls, 1) if line.endswith(" runner renameat2")]
        place = tmp_path / "torn"
        start(place, renames[len(renames) // 2])
        assert list(place.glob(".dray-*/old/*")) and not (place / ".dray").exists()
        return place

    return tear


@pytest.mark.parametrize("lost", ["state", "store"])
def test_what_was_torn_is_finished_also_where_nobody_knows_of_it(dray, many, torn, lost):
    place = torn()
    if lost == "state":
        shutil.rmtree(dray.state)
    else:
        for path in dray.state.glob("dray.db*"):
            path.unlink()
    result = dray("run", place.parent / "merge.yaml")
    assert "already delivered" in result.out and "left alone" not in result.err
    assert_merged(place, many)
    dray("verify", place)


def test_what_was_torn_and_cannot_be_finished_is_undone_and_delivered_where_nobody_knows_of_it(dray, many, torn):
    place = torn()
    staged = [path for path in place.glob(".dray-*/data/d*/f*")]
    staged[-1].unlink()
    shutil.rmtree(dray.state)
    dray("run", place.parent / "merge.yaml")
    assert_merged(place, many)


def test_cancel_finishes_what_was_begun(dray, many, torn):
    place = torn()
    job = next(job for job in dray.json("jobs") if job["state"] not in ("delivered", "failed"))
    dray("cancel", job["job"], exit=None)
    assert_merged(place, many)
    assert "already delivered" in dray("run", place.parent / "merge.yaml").out


def test_another_request_finishes_what_was_begun(run, dray, files, many, torn, tmp_path):
    place = torn()
    run(files(tmp_path / "more", {"m": b"m"}), place)
    assert (place / "m").read_bytes() == b"m"
    (place / "m").unlink()
    assert_merged(place, many)


def test_what_a_crash_lost_is_undone_and_delivered_anew(run, dray, many, torn):
    """The journal names a file that is not there."""
    place = torn()
    staged = [path for path in place.glob(".dray-*/data/d*/f*")]
    assert staged != []
    staged[-1].unlink()
    dray("run", place.parent / "merge.yaml")
    assert_merged(place, many)


def test_an_undoing_that_was_killed_goes_on(dray, many, torn):
    place = torn()
    with open(next(place.glob(".dray-*/journal")), "a") as journal:
        journal.write("\nundo\n")
    (place / "d000" / "later").write_bytes(b"later")
    dray("run", place.parent / "merge.yaml")
    assert (place / "d000" / "later").read_bytes() == b"later"
    (place / "d000" / "later").unlink()
    assert_merged(place, many)


def leave_holder(place, name, text, tail=""):
    """What an attempt left that was killed: `text` are lines of a journal, {} its inode."""
    holder = place / ".dray-0123456789abcdef.1-01234567"
    for part in ("data", "old"):
        (holder / part).mkdir(parents=True)
    holder.chmod(0o700)
    inode = holder.stat().st_ino
    (holder / "holder").write_text(f"dray-holder 1\ntarget {place.stat().st_ino}\nholder {inode}\n"
                                   "by 1 no-boot no-pids nowhere\n")
    text = f"dray-merge 2 {inode}\n{text}"
    digest = hashlib.sha256(text.encode()).hexdigest()
    (holder / name).write_text(f"{text}end {text.count(chr(10)) - 1} {digest}\n{tail}")
    return holder


def test_done_or_not_yet_begun_it_is_only_removed(run, dray, many, tmp_path):
    """The journal was not durable yet, or all of it was done."""
    place = make_target(tmp_path / "place")
    run(many, place, conflicts="replace")
    for name in ("journal.new", "journal"):
        leave_holder(place, name, "put d 0755 1 0 0 d000\n", "\ndone\n")
        (many / "d000" / "f000").write_bytes(name.encode())
        run(many, place, conflicts="replace")
        assert_merged(place, many)


def test_what_cannot_be_undone_is_left_and_said(run, dray, many, torn):
    """Without its journal, nobody can say what its files of others were."""
    place = torn()
    journal = next(place.glob(".dray-*/journal"))
    journal.unlink()
    result = dray("run", place.parent / "merge.yaml", exit=None)
    assert result.code != 0 and "files of others" in result.err
    assert list(place.glob(".dray-*/old/*")) != []


# ---- No right to make a directory beside it ----

@pytest.fixture
def given(bound, tmp_path):
    """An empty directory of ours in one that is not ours to write."""
    (tmp_path / "given" / "x").mkdir(parents=True)
    (tmp_path / "given").chmod(0o555)
    yield tmp_path / "given" / "x"
    (tmp_path / "given").chmod(0o755)


def test_into_an_empty_directory_of_ours(dray, given, data):
    inode = given.stat().st_ino
    dray("push", data, "--to", given)
    assert texts(given) == ADDED and given.stat().st_ino == inode and left(given) == []
    assert "merged" not in records(given)[0]
    dray("verify", given)
    assert "already delivered" in dray("push", data, "--to", given).out
    (given / "extra").write_bytes(b"x")
    assert "extra" in dray("verify", given, exit=None).err + dray("verify", given, "--json", exit=None).out


def test_not_into_one_that_holds_something(dray, given, data):
    (given / "theirs").write_bytes(b"t")
    dray("push", data, "--to", given, exit=1)
    assert texts(given) == {"theirs": b"t"}
