# SPDX-License-Identifier: MIT
"""push/hpfs with `permissions`, `group` and `acl`: everything delivered has what was asked for, records and
root too, or the delivery fails."""
import os
import stat
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from trees import assert_same, make_sample

NOBODY = NOGROUP = 65534
UNDEFINED = 0xffffffff
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32


@pytest.fixture
def deliver(dray, tmp_path, workflow):
    """deliver(data, options, target) runs push/hpfs."""

    def run(data, options, target=None, **keywords):
        return dray("run", workflow("version: 1\ndataset: %s\nsteps:\n  - id: deliver\n    uses: push/hpfs\n"
                                    "    with: { path: %s, %s }\n" % (data, target or tmp_path / "x", options)),
                    **keywords)

    return run


@pytest.fixture
def data(files, tmp_path):
    data = files(tmp_path / "data", {"plain": b"p", "tool": b"t", "d/e/deep": b"d", "hollow/": None})
    (data / "plain").chmod(0o604)
    (data / "tool").chmod(0o6711)
    (data / "d").chmod(0o555)
    (data / "link").symlink_to("plain")
    os.link(data / "plain", data / "twin")
    return data


def everything(target):
    """Path and status of all that was delivered, the root and the records too."""
    yield target, target.lstat()
    for folder, folders, names in os.walk(target):
        for name in folders + names:
            yield Path(folder) / name, (Path(folder) / name).lstat()


def acl(path, kind="access"):
    try:
        value = os.getxattr(path, f"system.posix_acl_{kind}")
    except OSError:
        return None
    return [entry for entry in struct.iter_unpack("<HHI", value[4:])]


@pytest.mark.parametrize("asked, folders, plain, tool", [
    ("'2770'", 0o2770, 0o660, 0o770), ("group", 0o2770, 0o660, 0o770), ("private", 0o700, 0o600, 0o700),
    ("public", 0o755, 0o644, 0o755), ("'1775'", 0o1775, 0o664, 0o775), ("'550'", 0o550, 0o440, 0o550)])
@pytest.mark.parametrize("durability", ["syncfs", "fsync"])
def test_permissions_hold_for_all_that_is_delivered(dray, deliver, data, tmp_path, asked, folders, plain, tool, durability):
    before = os.umask(0o077)
    try:
        deliver(data, f"permissions: {asked}, durability: {durability}")
    finally:
        os.umask(before)
    seen = 0
    for path, status in everything(tmp_path / "x"):
        if not stat.S_ISLNK(status.st_mode):
            wanted = folders if stat.S_ISDIR(status.st_mode) else tool if path.name == "tool" else plain
            assert stat.S_IMODE(status.st_mode) == wanted, path
            seen += 1
    assert seen > 12
    assert_same(tmp_path / "x", data, modes=False)
    dray("verify", tmp_path / "x")
    assert "already delivered" in deliver(data, f"permissions: {asked}, durability: {durability}").out


def test_keep_is_what_happens_anyhow(deliver, data, tmp_path):
    deliver(data, "permissions: keep")
    assert stat.S_IMODE((tmp_path / "x/tool").stat().st_mode) == 0o711
    (tmp_path / "x/tool").chmod(0o6711)
    assert_same(tmp_path / "x", data)


@pytest.mark.parametrize("asked, said", [
    ("2789", "write `keep`"), ("rwxr-x---", "write `keep`"), ("''", "write `keep`"), ("'77'", "write `keep`"),
    ("'4755'", "the set-user-ID bit is never set"), ("'0660'", "it needs at least 0500"), ("'000'", "write `keep`")])
def test_permissions_that_are_none(deliver, data, asked, said):
    refused = deliver(data, f"permissions: {asked}", exit=2)
    assert ":6:" in refused.err and (said in refused.err or "permissions" in refused.err)


@pytest.mark.parametrize("group", ["4242", "daemon"])
def test_a_group_for_all_that_is_delivered(deliver, data, tmp_path, group):
    if os.geteuid() != 0:
        pytest.skip("needs root, to give away what it makes")
    deliver(data, f"group: '{group}', permissions: group")
    for path, status in everything(tmp_path / "x"):
        assert status.st_gid == (4242 if group == "4242" else 1), path
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o2770


def as_nobody(dray, home, *arguments):
    return subprocess.run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--groups=4242", dray.program,
                           *map(str, arguments)], cwd=home, capture_output=True, text=True,
                          env={**dray.env, "HOME": str(home), "DRAY_STATE": str(home / "state")})


def test_a_group_that_one_is_no_member_of_stops_the_plan(dray):
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    with tempfile.TemporaryDirectory(prefix="dray-nobody-") as name:
        home = Path(name)
        (home / "data").mkdir()
        (home / "data/a").write_bytes(b"a")
        file = home / "work.yaml"
        text = "version: 1\ndataset: ./data\nsteps:\n  - { id: deliver, uses: push/hpfs, with: { path: ./x, group: %s } }\n"
        for path in (home, home / "data", home / "data/a"):
            os.chown(path, NOBODY, NOBODY)
        file.write_text(text % "'1'")
        refused = as_nobody(dray, home, "plan", file)
        assert refused.returncode == 2
        assert "work.yaml:4:" in refused.stderr and "is not a member of this group" in refused.stderr
        file.write_text(text % "'4242'")
        done = as_nobody(dray, home, "run", file)
        assert done.returncode == 0, done.stderr
        assert {status.st_gid for _, status in everything(home / "x")} == {4242}


def test_a_group_that_is_not_there(deliver, data):
    refused = deliver(data, "group: nosuchgroup", exit=2)
    assert ":6:" in refused.err and "there is no group of this name here" in refused.err


@pytest.fixture
def home(dray):
    """A directory that everybody can get to, which pytest's are not."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    with tempfile.TemporaryDirectory(prefix="dray-nobody-") as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "data/d").mkdir(parents=True)
        (path / "data/a").write_bytes(b"a")
        (path / "data/d/b").write_bytes(b"b")
        (path / "data/l").symlink_to("a")
        yield path


def plan_of(home, options):
    file = home / "work.yaml"
    file.write_text(f"version: 1\ndataset: ./data\nsteps:\n  - id: deliver\n    uses: push/hpfs\n    with: {{ {options} }}\n")
    return file


def test_an_owner_for_all_that_is_delivered(dray, home):
    dray("run", plan_of(home, f"path: ./x, owner: '{NOBODY}', permissions: '2750', group: '4242'"))
    for path in [home / "x", *(home / "x").rglob("*")]:
        status = path.lstat()
        assert (status.st_uid, status.st_gid) == (NOBODY, 4242), path
        if not path.is_symlink():
            assert stat.S_IMODE(status.st_mode) == (0o2750 if path.is_dir() else 0o640), path
    dray("verify", home / "x")


def test_an_owner_that_one_may_not_give_anything_stops_the_plan(dray, home):
    for path in (home, home / "data", home / "data/d"):
        os.chown(path, NOBODY, NOBODY)
    refused = as_nobody(dray, home, "plan", plan_of(home, "path: ./x, owner: '4343'"))
    assert refused.returncode == 2
    assert "work.yaml:6:" in refused.stderr and "may not give files to others (CAP_CHOWN)" in refused.stderr
    done = as_nobody(dray, home, "run", plan_of(home, f"path: ./x, owner: '{NOBODY}'"))
    assert done.returncode == 0, done.stderr


def test_an_owner_that_is_not_there(deliver, data):
    refused = deliver(data, "owner: nosuchuser", exit=2)
    assert ":6:" in refused.err and "there is no user of this name here" in refused.err


@pytest.mark.parametrize("owner, mode, options, said", [
    (0, 0o755, "", None),
    (0, 0o1777, "", "note: of its users only root could remove it: {0}/lab is sticky"),
    (NOBODY, 0o755, "", "note: user nobody could not remove it: what is in it will belong to root"),
    (NOBODY, 0o755, "permissions: group", "note: user nobody could not remove it: what is in it will belong to root"),
    (NOBODY, 0o755, f"permissions: group, group: '{NOGROUP}'", None),
    (NOBODY, 0o755, "permissions: '2777'", None),
    (NOBODY, 0o1755, "acl: ['user:nobody:rwX']", None),
    (NOBODY, 0o755, "acl: ['user:nobody:r-X']", "note: user nobody could not remove it"),
    (NOBODY, 0o755, f"acl: ['group:{NOGROUP}:rwX']", None),
    (NOBODY, 0o755, "owner: nobody", None),
])
def test_a_recipient_who_could_not_remove_it_is_told_in_the_plan(dray, home, owner, mode, options, said):
    lab = home / "lab"
    lab.mkdir()
    os.chown(lab, owner, 0)
    lab.chmod(mode)
    file = plan_of(home, "into: ./lab" + (f", {options}" if options else ""))
    plan, as_json = dray("plan", file).out, dray("plan", file, "--json").json()
    note = as_json["targets"][0]["presence"].get("note")
    if said is None:
        assert "note:" not in plan and note is None
    else:
        assert said.format(home) in plan and f"note: {note}\n" in plan
    lab.chmod(0o755)
    os.chown(lab, 0, 0)
    assert dray("plan", file, "--json").json()["digest"] == as_json["digest"]


def test_an_acl_for_all_that_is_delivered(dray, deliver, data, tmp_path):
    deliver(data, "permissions: '750', acl: ['group:daemon:r-X', 'user:4343:rwX', 'user:4300:r']")
    seen = 0
    for path, status in everything(tmp_path / "x"):
        if stat.S_ISLNK(status.st_mode):
            continue
        folder = stat.S_ISDIR(status.st_mode)
        x = 1 if folder or path.name == "tool" else 0
        wanted = [(USER_OBJ, 6 | x, UNDEFINED), (USER, 4, 4300), (USER, 6 | x, 4343), (GROUP_OBJ, 4 | x, UNDEFINED),
                  (GROUP, 4 | x, 1), (MASK, 6 | x, UNDEFINED), (OTHER, 0, UNDEFINED)]
        assert acl(path) == wanted, path
        assert acl(path, "default") == (wanted if folder else None), path
        seen += 1
    assert seen > 12
    dray("verify", tmp_path / "x")
    (tmp_path / "x/later").write_bytes(b"")
    assert (USER, 7, 4343) in acl(tmp_path / "x/later")


@pytest.mark.parametrize("entry, said", [
    ("alice:rw", "write user:NAME:rwX or group:NAME:r-X"), ("user::rwx", "write user:NAME:rwX"),
    ("other::r", "write user:NAME:rwX"), ("user:root:", "write user:NAME:rwX"),
    ("user:root:rq", "rights are written with r, w, x and -"), ("user:nosuchuser:r", "there is no user of this name"),
    ("group:nosuchgroup:r", "there is no group of this name"), ("user:root:r', 'user:0:w", "the same user is named twice")])
def test_acl_entries_that_are_none(deliver, data, entry, said):
    refused = deliver(data, f"acl: ['{entry}']", exit=2)
    assert ":6:" in refused.err and said in refused.err


def test_a_file_system_without_acls_is_told_before_the_first_byte(dray, deliver, data, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system of its own")
    place = tmp_path / "ram"
    place.mkdir()
    subprocess.run(["mount", "-t", "ramfs", "dray-test", place], check=True)
    try:
        failed = deliver(data, "acl: ['user:4343:r']", place / "x", exit=1)
        assert "asking the target's file system for POSIX ACLs, which `acl` needs" in failed.err
        assert "hint: leave out `acl`" in failed.err
        assert os.listdir(place) == []
        deliver(data, "permissions: private", place / "x")
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_the_names_in_a_dataset_do_not_matter(deliver, tmp_path):
    data = make_sample(tmp_path / "sample")
    deliver(data, "permissions: group, acl: ['user:4343:rwX']")
    assert_same(tmp_path / "x", data, modes=False)


# ---- Extended attributes ----


def attributes(path):
    return {name: os.getxattr(path, name) for name in os.listxattr(path) if name.startswith("user.")}


@pytest.fixture
def attributed(data):
    try:
        os.setxattr(data / "d", "user.folder", b"of a folder")
    except OSError as error:
        pytest.skip(f"no extended attributes here: {error}")
    (data / "sealed").write_bytes(b"s")
    os.setxattr(data / "sealed", "user.empty", b"")
    os.setxattr(data / "sealed", "user.bytes", bytes(range(256)))
    (data / "sealed").chmod(0o400)
    os.setxattr(data / "plain", "user.mime_type", b"text/plain")
    return data


@pytest.mark.parametrize("more", ["durability: syncfs", "durability: fsync", "permissions: '2550'"])
def test_attributes_are_kept_where_asked_for(dray, deliver, attributed, tmp_path, more):
    before = os.umask(0o077)
    try:
        deliver(attributed, f"xattrs: user, {more}")
    finally:
        os.umask(before)
    for path, _ in everything(attributed):
        copy = tmp_path / "x" / path.relative_to(attributed)
        if not path.is_symlink() and path != attributed:
            assert attributes(copy) == attributes(path), path
    assert len(attributes(tmp_path / "x/sealed")) == 2 and len(attributes(tmp_path / "x/twin")) == 1
    dray("verify", tmp_path / "x")
    if "permissions" not in more:
        (tmp_path / "x/tool").chmod(0o6711)
        assert_same(tmp_path / "x", attributed)


def test_a_dataset_that_is_one_file_keeps_its_attributes(deliver, attributed, tmp_path):
    deliver(attributed / "plain", "xattrs: user")
    assert attributes(tmp_path / "x/plain") == {"user.mime_type": b"text/plain"}


def test_attributes_are_left_out_by_default(deliver, attributed, tmp_path):
    deliver(attributed, "permissions: keep")
    assert {len(attributes(path)) for path, _ in everything(tmp_path / "x") if not path.is_symlink()} == {0}


def test_an_archive_gives_no_attributes(deliver, attributed, tmp_path):
    for name, options in (("plain.tar", []), ("packed.tar.gz", ["-z"])):
        archive = tmp_path / name
        subprocess.run(["tar", "--xattrs", *options, "-cf", archive, "-C", attributed, "."], check=True)
        target = tmp_path / f"of-{name}"
        deliver(archive, "xattrs: user", target)
        assert {len(attributes(path)) for path, _ in everything(target) if not path.is_symlink()} == {0}


def test_a_file_system_without_attributes_is_told(deliver, attributed, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system of its own")
    place = tmp_path / "ram"
    place.mkdir()
    subprocess.run(["mount", "-t", "ramfs", "dray-test", place], check=True)
    try:
        failed = deliver(attributed, "xattrs: user", place / "x", exit=1)
        assert "setting the attribute user." in failed.err and "xattrs: none" in failed.err
        assert os.listdir(place) == []
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_attributes_of_a_user_without_privileges(dray):
    """Who may not write a file may not give it attributes, even who owns it."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    with tempfile.TemporaryDirectory(prefix="dray-nobody-") as name:
        home = Path(name)
        (home / "data/d").mkdir(parents=True)
        (home / "data/d/a").write_bytes(b"a")
        for path in (home / "data/d/a", home / "data/d"):
            try:
                os.setxattr(path, "user.x", b"value")
            except OSError as error:
                pytest.skip(f"no extended attributes here: {error}")
        (home / "data/d/a").chmod(0o400)
        (home / "data/d").chmod(0o500)
        (home / "work.yaml").write_text("version: 1\ndataset: ./data\nsteps:\n"
                                        "  - { id: deliver, uses: push/hpfs, with: { path: ./x, xattrs: user } }\n")
        for path in (home, home / "data", home / "data/d", home / "data/d/a"):
            os.chown(path, NOBODY, NOBODY)
        done = as_nobody(dray, home, "run", home / "work.yaml")
        assert done.returncode == 0, done.stderr
        assert attributes(home / "x/d/a") == attributes(home / "x/d") == {"user.x": b"value"}
        assert_same(home / "x", home / "data")
