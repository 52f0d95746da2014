# SPDX-License-Identifier: MIT
"""What root does for another user (--for), that user has to have the right to: to come to the directory, to write in each
one that a merge changes, to remove what is replaced, and to the claim they made."""
import os
import subprocess

import pytest

from test_target import NOBODY, NOGROUP, NOT_SHOWN, claim_of, place, push, set_acl  # noqa: F401 (fixtures)

DAEMON = 1


def workflow(place, to, more="", **owner):
    file = place / "work.yaml"
    file.write_text("version: 1\ndataset: ./data\nsteps:\n"
                    f"  - {{ id: deliver, uses: push/hpfs, with: {{ path: ./{to}{more} }} }}\n")
    return file


def give(path, user, mode=None):
    os.chown(path, user, user)
    if mode is not None:
        path.chmod(mode)


@pytest.fixture
def merged(dray, place):
    """lab is nobody's, lab/sub another's, whom the file in it belongs to; data has a file of that name."""
    (place / "data/sub").mkdir()
    (place / "data/sub/keys").write_bytes(b"ours")
    (place / "lab/sub").mkdir()
    (place / "lab/sub/keys").write_bytes(b"theirs")
    give(place / "lab", NOBODY)
    give(place / "lab/sub", DAEMON, 0o700)
    give(place / "lab/sub/keys", DAEMON)

    def run(conflicts="replace", command="run", exit=0):
        file = workflow(place, "lab", f", existing: merge, owner: nobody, conflicts: {conflicts}")
        return dray(command, file, "--for", "nobody", exit=exit)
    return run


def test_a_merge_changes_no_directory_that_they_may_not_write_in(merged, place):
    for name in ("more", "than", "one"):
        (place / "data/sub" / name).write_bytes(b"x")
    for command in "run", "preview":
        ended = merged(command=command, exit=3 if command == "run" else None)
        said = ended.out + ended.err
        assert "4 names are in the way" in said
        for name in ("keys", "more", "than", "one"):
            assert f'"sub/{name}" is for a directory that they may not write in' in said
        assert command == "preview" or "nobody, for whom it is delivered, has to own such a directory" in said
    assert os.listdir(place / "lab") == ["sub"] and os.listdir(place / "lab/sub") == ["keys"]
    assert (place / "lab/sub/keys").read_bytes() == b"theirs"
    give(place / "lab/sub", NOBODY)
    merged()
    assert (place / "lab/sub/keys").read_bytes() == b"ours"


def test_a_directory_that_gets_and_loses_no_name_need_not_be_theirs(merged, place):
    """It is passed through, or has the same already."""
    (place / "data/sub/deep").mkdir()
    (place / "data/sub/deep/new").write_bytes(b"n")
    (place / "data/sub/keys").write_bytes(b"theirs")
    (place / "lab/sub/deep").mkdir()
    give(place / "lab/sub/deep", NOBODY)
    assert '"sub/deep/new" is for a directory' in merged("skip_same", exit=3).err, "they cannot come to it"
    assert os.listdir(place / "lab/sub/deep") == []
    (place / "lab/sub").chmod(0o755)
    merged("skip_same")
    assert os.listdir(place / "lab/sub/deep") == ["new"]


def test_a_claim_of_the_directory_is_none_of_those_below(dray, merged, place):
    give(place / "lab", 0, 0o1777)
    give(place / "lab/sub", 0, 0o1777)
    file = place / "lab" / claim_of(dray, place / "lab", exit=6)["file"]
    file.touch()
    os.chown(file, NOBODY, NOGROUP)
    assert '"sub/keys" is' in merged(exit=3).err
    (place / "lab/sub/keys").unlink()
    assert '"sub/keys" is for a directory' in merged(exit=3).err
    give(place / "lab/sub", NOBODY, 0o755)
    merged()
    assert (place / "lab/sub/keys").read_bytes() == b"ours"


@pytest.mark.parametrize("below", ["", "sub/"])
def test_a_sticky_directory_keeps_what_is_anothers_from_a_merge(merged, place, below):
    folder, name = place / "lab" / below, "keys" if below else "a"
    (folder / name).write_bytes(b"theirs")
    os.chown(folder / name, DAEMON, DAEMON)
    os.chown(place / "lab/sub", NOBODY, NOBODY)
    os.chown(folder, 0, NOGROUP)
    folder.chmod(0o1775)
    assert f'"{below}{name}" is not theirs to replace, by the sticky bit' in merged(exit=3).err
    assert (folder / name).read_bytes() == b"theirs"
    os.chown(folder / name, NOBODY, NOGROUP)
    merged()


def test_records_are_replaced_where_they_may_replace_them(dray, merged, place):
    give(place / "lab/sub", NOBODY)
    merged()
    (place / "data/a").write_bytes(b"new")
    give(place / "lab/.dray/data", DAEMON)
    assert '".dray/data/delivered.json" is for a directory' in merged(exit=3).err
    give(place / "lab/.dray/data", NOBODY)
    give(place / "lab/.dray", DAEMON)
    assert '".dray/data" is for a directory' in merged(exit=3).err
    give(place / "lab/.dray", NOBODY)
    merged()


@pytest.mark.parametrize("how, code", [
    (lambda lab: None, 3),
    (lambda lab: os.chown(lab / "x", NOBODY, NOGROUP), 0),
    (lambda lab: os.chown(lab, NOBODY, NOGROUP), 0),
    (lambda lab: lab.chmod(0o775), 0),
])
def test_a_sticky_directory_keeps_the_delivery_of_another(dray, place, how, code):
    os.chown(place / "lab", 0, NOGROUP)
    (place / "lab").chmod(0o1775)
    file = workflow(place, "lab/x", ", existing: replace")
    dray("run", file)
    subprocess.run(["chown", "-R", f"{DAEMON}:{DAEMON}", place / "lab/x"], check=True)
    (place / "data/new").write_bytes(b"n")
    how(place / "lab")
    said = dray("run", file, "--for", "nobody", exit=code).err
    assert (f"nobody may not replace {place}/lab/x: its directory has the sticky bit" in said) == (code != 0)
    assert (place / "lab/x/new").exists() == (code == 0)
    assert os.listdir(place / "lab") == ["x"]


@pytest.mark.parametrize("how, code", [
    (lambda above: above.chmod(0o700), 3),
    (lambda above: (os.chown(above, DAEMON, NOGROUP), above.chmod(0o705)), 3),  # the group may less than all others
    (lambda above: (os.chown(above, DAEMON, NOGROUP), above.chmod(0o710)), 0),
    (lambda above: above.chmod(0o711), 0),
    (lambda above: (above.chmod(0o700), set_acl(above, (2, NOBODY))), 0),
    (lambda above: (above.chmod(0o700), set_acl(above, (2, 3)), above.chmod(0o700)), 3),
    (lambda above: os.chown(above, NOBODY, NOGROUP), 0),
])
@pytest.mark.parametrize("right", ["owner", "group"])
def test_they_have_to_be_able_to_come_there(dray, push, place, right, how, code):
    above, shared = place / "lab", place / "lab/deep/shared"
    shared.mkdir(parents=True)
    os.chown(shared, NOBODY if right == "owner" else 0, NOGROUP)
    shared.chmod(0o770)
    os.chown(above, DAEMON, DAEMON)
    how(above)
    said = push("lab/deep/shared/x", exit=code).err
    if code:
        assert f"nobody cannot come to {shared}" in said and f"nothing lets them search {above}\n" in said
        assert f"setfacl -m 'u:nobody:x' '{above}'" in said
        claim = claim_of(dray, shared, exit=6)
        assert claim["by"] is None and claim["file"] is None
    assert os.listdir(shared) == ([] if code else ["x"])


def test_the_way_is_asked_for_when_it_is_delivered_too(dray, place):
    """It was open when it was planned."""
    (place / "lab/shared").mkdir()
    give(place / "lab/shared", NOBODY)
    plan = place / "plan.json"
    plan.write_text(dray("plan", workflow(place, "lab/shared/x"), "--for", "nobody", "--json").out)
    give(place / "lab", DAEMON, 0o700)
    assert "nobody cannot come to" in dray("run", workflow(place, "lab/shared/x"), "--for", "nobody", exit=3).err


def test_a_claim_ends_with_the_right_to_make_it(dray, push, place):
    lab = place / "lab"
    lab.chmod(0o1777)
    file = lab / claim_of(dray, lab, exit=6)["file"]
    file.touch()
    os.chown(file, NOBODY, NOGROUP)
    push("lab/x")
    for close in (lambda: lab.chmod(0o700), lambda: lab.chmod(0o1775), lambda: (os.chown(lab, 0, NOGROUP), lab.chmod(0o1757))):
        close()
        assert NOT_SHOWN.format(lab) in push("lab/y", exit=3).err
        assert claim_of(dray, lab, exit=6) == {"directory": str(lab), "user": "nobody", "by": None, "file": None}
        said = dray("target", "claim", lab, "--for", "nobody", exit=6).out
        assert said == f"{lab} is not for nobody, who cannot claim it either: they may not write in it, or not search " \
                       "what is above it\n"
    os.chown(lab, 0, 0)
    lab.chmod(0o1777)
    push("lab/y")


def test_a_directory_service_that_does_not_answer_is_no_missing_user(dray, tmp_path):
    source, library = tmp_path / "silent.c", tmp_path / "silent.so"
    source.write_text("#include <errno.h>\n#include <pwd.h>\n#include <stdlib.h>\nstruct passwd *getpwnam(const char *name)\n"
                      "{ (void)name; errno = atoi(getenv(\"SILENT\")); return 0; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    dray.env["LD_PRELOAD"] = str(library)
    try:
        for number, code, expected in ((110, None, "whether there is a user smith cannot be found out: Connection timed out"),
                                       (0, 2, "there is no user smith here"), (2, 2, "there is no user smith here")):
            dray.env["SILENT"] = str(number)
            refused = dray("target", "claim", tmp_path, "--for", "smith", exit=code)
            assert expected in refused.err, refused
            assert ("getent passwd smith" in refused.err) == (number == 110)
            assert refused.code == (75 if number == 110 else 2), refused
    finally:
        del dray.env["LD_PRELOAD"], dray.env["SILENT"]
