# SPDX-License-Identifier: MIT
"""Root delivers for another user (--for): only where that user could write, which is shown by owner, group, ACL or a
claim, when it is planned and again when it is delivered, whoever swaps directories meanwhile."""
import ctypes
import json
import os
import pwd
import random
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

NOBODY = NOGROUP = 65534
NOT_SHOWN = "nothing shows that {0} may be delivered to for nobody"


@pytest.fixture
def place(dray):
    """Open to all, which pytest's directories are not; `lab` in it is root's."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to deliver for somebody else")
    with tempfile.TemporaryDirectory(prefix="dray-for-") as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "data").mkdir()
        (path / "data/a").write_bytes(b"a")
        (path / "lab").mkdir()
        yield path


@pytest.fixture
def push(dray, place):
    def run(to, *options, **keywords):
        return dray("push", place / "data", "--to", place / to, "--for", "nobody", *options, **keywords)

    return run


def claim_of(dray, directory, **keywords):
    return dray("target", "claim", directory, "--for", "nobody", "--json", **keywords).json()


def as_nobody(*command):
    subprocess.run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOGROUP}", "--clear-groups", *map(str, command)], check=True)


def test_for_oneself_nothing_is_asked(dray, files, tmp_path):
    data, me = files(tmp_path / "data", {"a": b"a"}), pwd.getpwuid(os.geteuid()).pw_name
    dray("push", data, "--to", tmp_path / "x", "--for", me)
    job = dray.json("jobs")[0]["job"]
    assert dray.json("show", job)["user"] == dray.json("show", job)["actor"] == me
    said = dray("target", "claim", tmp_path, "--for", me, exit=2).err
    assert f"who delivers as {me} needs no claim" in said and "--for USER" in said
    assert "needs no claim" in dray("target", "claim", tmp_path, exit=2).err


def test_mistakes_of_the_command_line(dray, files, tmp_path):
    assert "there is no user nosuchuser here" in dray("plan", "w.yaml", "--for", "nosuchuser", exit=2).err
    assert 'dray target has no "clam": did you mean "claim"?' in dray("target", "clam", tmp_path, exit=2).err
    assert "usage: dray target claim DIRECTORY --for USER" in dray("target", "claim", exit=2).err


def test_only_root_delivers_for_others(dray, place):
    place.chmod(0o777)
    for words in (["push", place / "data", "--to", place / "x"], ["target", "claim", place]):
        refused = subprocess.run(
            ["setpriv", f"--reuid={NOBODY}", f"--regid={NOGROUP}", "--clear-groups", dray.program, *words, "--for", "daemon"],
            cwd=place, capture_output=True, text=True,
            env={**dray.env, "HOME": str(place), "DRAY_STATE": str(place / "state")})
        assert refused.returncode == 3, refused
        assert "only root delivers for another user, not nobody for daemon" in refused.stderr
    assert not (place / "x").exists()


def test_what_root_may_write_is_not_what_a_user_may(dray, push, place):
    refused = push("lab/x", exit=3).err
    assert NOT_SHOWN.format(place / "lab") in refused
    assert f"dray target claim '{place}/lab' --for nobody" in refused
    assert os.listdir(place / "lab") == []
    place.chmod(0o1777)  # that all may write shows nothing
    assert NOT_SHOWN.format(place) in push("x", exit=3).err


def set_acl(path, entry):
    import struct
    tag, identity = entry
    acl = struct.pack("<I", 2)
    for kind, rights, who in sorted([(1, 7, 0xffffffff), (tag, 7, identity), (4, 5, 0xffffffff), (16, 7, 0xffffffff),
                                     (32, 5, 0xffffffff)]):
        acl += struct.pack("<HHI", kind, rights, who)
    os.setxattr(path, "system.posix_acl_access", acl)


@pytest.mark.parametrize("how, by, said", [
    (lambda lab: os.chown(lab, NOBODY, 0), "owner", "nobody owns"),
    (lambda lab: (os.chown(lab, 0, NOGROUP), lab.chmod(0o2770)), "group", "nobody may write in, by a group,"),
    (lambda lab: set_acl(lab, (2, NOBODY)), "acl", "nobody may write in, by an ACL,"),
    (lambda lab: set_acl(lab, (8, NOGROUP)), "acl", "nobody may write in, by an ACL,"),
])
def test_what_shows_that_a_user_may_write(dray, push, place, how, by, said):
    how(place / "lab")
    assert claim_of(dray, place / "lab")["by"] == by
    assert f"{said} {place}/lab: it may be delivered into" in dray("target", "claim", place / "lab", "--for", "nobody").out
    push("lab/x")
    shown = dray.json("show", dray.json("jobs")[0]["job"])
    assert (shown["user"], shown["actor"]) == ("nobody", "root")
    receipt = json.loads((place / "lab/x/.dray/data/receipt.json").read_text())
    assert (receipt["user"], receipt["actor"]) == ("nobody", "root")
    assert [job["user"] for job in dray.json("jobs", "--user", "nobody")] == ["nobody"]


@pytest.mark.parametrize("how", [
    lambda lab: (os.chown(lab, 0, NOGROUP), lab.chmod(0o2750)),
    lambda lab: (os.chown(lab, 0, NOGROUP), lab.chmod(0o0760)),
    lambda lab: (os.chown(lab, 0, 1), lab.chmod(0o2777)),
    lambda lab: (set_acl(lab, (2, NOBODY)), lab.chmod(0o755)),  # the mask takes it away
    lambda lab: (os.chown(lab, 0, NOGROUP), lab.chmod(0o770), set_acl(lab, (2, 1))),
    lambda lab: set_acl(lab, (8, 1)),
])
def test_what_does_not(dray, push, place, how):
    how(place / "lab")
    assert claim_of(dray, place / "lab", exit=6)["by"] is None
    push("lab/x", exit=3)


def test_a_claim_is_a_file_of_the_user_whose_name_was_told(dray, push, place):
    (place / "lab").chmod(0o1777)
    lab, plain = place / "lab", dray("target", "claim", place / "lab", "--for", "nobody", exit=6).out
    file = lab / claim_of(dray, lab, exit=6)["file"]
    assert f"{lab} is not claimed for nobody, who claims it by making this file:\n  touch {file}\n" == plain
    assert stat.S_IMODE((dray.state / "claim.key").stat().st_mode) == 0o600
    file.touch()
    assert claim_of(dray, lab, exit=6)["by"] is None, "it is root's"
    file.unlink()
    file.symlink_to("/etc/passwd")
    os.chown(file, NOBODY, NOGROUP, follow_symlinks=False)
    assert claim_of(dray, lab, exit=6)["by"] is None, "it is a link"
    file.unlink()
    (lab / "theirs").touch()
    os.chown(lab / "theirs", NOBODY, NOGROUP)
    os.link(lab / "theirs", file)
    assert claim_of(dray, lab, exit=6)["by"] is None, "it has another name"
    push("lab/x", exit=3)
    (lab / "theirs").unlink()
    assert claim_of(dray, lab)["by"] == "claim"
    assert f"nobody has claimed {lab}: it may be delivered into" in dray("target", "claim", lab, "--for", "nobody").out
    push("lab/x")
    file.unlink()
    push("lab/y", exit=3)


def test_a_claim_is_of_one_directory_and_one_user(dray, push, place):
    (place / "other").mkdir()
    for name in "lab", "other":
        (place / name).chmod(0o1777)
    names = {claim_of(dray, place / "lab", exit=6)["file"], claim_of(dray, place / "other", exit=6)["file"],
             dray("target", "claim", place / "lab", "--for", "daemon", "--json", exit=6).json()["file"]}
    assert len(names) == 3 and names == {name for name in names if len(name) == 44}
    assert claim_of(dray, place / "lab/../lab/.", exit=6)["file"] in names
    for name in names - {claim_of(dray, place / "lab", exit=6)["file"]}:
        (place / "lab" / name).touch()
        os.chown(place / "lab" / name, NOBODY, NOGROUP)
    push("lab/x", exit=3)
    (place / "lab").rename(place / "gone")
    (place / "lab").mkdir()
    (place / "lab").chmod(0o1777)
    assert claim_of(dray, place / "lab", exit=6)["file"] not in names, "another directory by the same path"


def test_a_key_that_is_damaged_is_said_to_be(dray, push, place):
    claim_of(dray, place / "lab", exit=6)
    for spoil in (lambda key: key.write_bytes(b"short"), lambda key: key.write_bytes(b"x" * 33), lambda key: key.chmod(0o644)):
        spoil(dray.state / "claim.key")
        assert "claim.key is not a key of 32 bytes that only its owner may read" in push("lab/x", exit=None).err
    (dray.state / "claim.key").unlink()
    assert NOT_SHOWN.format(place / "lab") in push("lab/x", exit=3).err


def test_what_is_added_to_has_to_be_theirs_not_its_parent(dray, place):
    work = place / "work.yaml"
    work.write_text("version: 1\ndataset: ./data\nsteps:\n"
                    "  - { id: p, uses: push/hpfs, with: { path: ./lab/x, existing: merge } }\n")
    (place / "lab/x").mkdir()
    (place / "lab/x/theirs").write_bytes(b"t")
    os.chown(place / "lab", NOBODY, NOGROUP)
    assert NOT_SHOWN.format(place / "lab/x") in dray("run", work, "--for", "nobody", exit=3).err
    os.chown(place / "lab", 0, 0)
    os.chown(place / "lab/x", NOBODY, NOGROUP)
    dray("run", work, "--for", "nobody")
    assert sorted(os.listdir(place / "lab/x")) == [".dray", "a", "theirs"]


def test_a_push_of_another_type_is_asked_too(dray, mocks, place):
    work = place / "work.yaml"
    work.write_text("version: 1\ndataset: ./data\nsteps:\n  - { id: p, uses: push/mock, with: { path: ./lab } }\n")
    assert NOT_SHOWN.format(place / "lab") in dray("run", work, "--for", "nobody", exit=3).err
    os.chown(place / "lab", NOBODY, NOGROUP)
    dray("run", work, "--for", "nobody")


def test_the_plan_says_what_they_could_not_remove(dray, place):
    os.chown(place / "lab", NOBODY, NOGROUP)
    work = place / "work.yaml"
    text = "version: 1\ndataset: ./data\nsteps:\n  - { id: p, uses: push/hpfs, with: { into: ./lab%s } }\n"
    work.write_text(text % "")
    assert "note: user nobody could not remove it: what is in it will belong to root" in dray("plan", work, "--for", "nobody").out
    work.write_text(text % ", owner: nobody")
    assert "note:" not in dray("plan", work, "--for", "nobody").out
    dray("run", work, "--for", "nobody")
    as_nobody("rm", "-r", place / "lab/data")


def test_policies_are_asked_of_the_user_not_of_who_runs_it(dray, place):
    os.chown(place / "lab", NOBODY, NOGROUP)
    (place / "policies").mkdir()
    (place / "policies/p.yaml").write_text(
        "version: 1\npolicy: p\nrevision: 1\nrules:\n  - id: no-a\n    when: { user.name: nobody }\n    mode: enforce\n"
        "    inject: [{ uses: filter/glob, with: { exclude: ['a'] } }]\n")
    (place / "data/b").write_bytes(b"b")
    for to, options, left in (("lab/x", ["--for", "nobody"], ["b"]), ("lab/y", [], ["a", "b"])):
        dray("push", place / "data", "--to", place / to, *options, "--policies", place / "policies")
        assert sorted(set(os.listdir(place / to)) - {".dray"}) == left


def test_a_directory_that_is_put_in_the_place_of_theirs_gets_nothing(dray, push, place):
    """In a parent that a group may write, its members can rename what is another's."""
    theirs, other, stop = place / "theirs", place / "other", threading.Event()
    theirs.mkdir()
    other.mkdir()
    os.chown(theirs, NOBODY, NOGROUP)
    for number in range(200):
        (place / f"data/f{number}").write_bytes(b"x" * number)

    def exchange():
        libc = ctypes.CDLL(None, use_errno=True)
        while not stop.is_set():
            for _ in range(2):
                libc.renameat2(-100, os.fsencode(theirs), -100, os.fsencode(other), 2)
                time.sleep(random.random() / 200)

    running = threading.Thread(target=exchange)
    running.start()
    try:
        codes = [push("theirs/x", "--again", exit=None).code for _ in range(12)]
    finally:
        stop.set()
        running.join()
    mine = [folder for folder in (theirs, other) if folder.stat().st_uid == 0]
    assert len(mine) == 1 and os.listdir(mine[0]) == [], codes
    print(sorted(set(codes)))
