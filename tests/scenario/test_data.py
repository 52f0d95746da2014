# SPDX-License-Identifier: MIT
"""What datasets hold: odd names, one file, nothing, links, empty directories, modes and holes; and
manifests, whose word decides."""
import hashlib
import os
import socket
import stat
import subprocess

import pytest

from conftest import checked_by_sha256sum, contents, record

ODD_NAMES = [
    b"with space", b" ", b"quote'\"", b"new\nline", b"back\\slash", b"cr\r", b"tab\t", b"-rf", b"--json",
    b"~", b"$HOME", b"${x}", b"*", b"[a]", b"esc\x1b[31m", b"\xff\xfe", b"half\xc3", "\u00fcn\u00ef".encode(),
    "u\u0308".encode(), b"\x01", b"#", b"%s%n", b"n" * 255, b"a:b", b"..x", b".hidden", b"x.dray",
]

WORKFLOW = """\
version: 1
dataset: ./source
tree: {{ {tree} }}
steps:
{steps}  - {{ id: deliver, uses: push/hpfs, with: {{ path: ./out/data }} }}
"""


@pytest.fixture
def source(files, tmp_path):
    (tmp_path / "out").mkdir()
    return files(tmp_path / "source", {})


@pytest.fixture
def out(tmp_path, source):
    return tmp_path / "out"


# ---- Names -------------------------------------------------------------------------------------


def test_names_of_any_bytes_are_delivered_listed_and_checked(dray, source, out):
    for number, name in enumerate(ODD_NAMES):
        with open(os.path.join(os.fsencode(source), name), "wb") as file:
            file.write(b"%d" % number)
    os.mkdir(os.path.join(os.fsencode(source), b"folder\xff"))
    os.symlink(b"\xff\xfe", os.path.join(os.fsencode(source), b"link\xff"))
    dray("push", source, "--to", out / "data")
    assert contents(out / "data") == contents(source)
    assert checked_by_sha256sum(out / "data")
    assert "is intact" in dray("verify", out / "data").out
    lines = {line["path"]: line for line in record(out / "data", "tree.jsonl")}
    assert len(lines) == len(ODD_NAMES) + 2
    assert lines["\ufffd\ufffd"]["path_b64"] == "//4="
    assert lines["link\ufffd"]["link_b64"] == "//4="
    assert "path_b64" not in lines["new\nline"]
    assert dray.json("push", source, "--to", out / "data")["already_delivered"]


def test_names_do_not_reach_the_terminal_as_commands(dray, source, out):
    (source / "bad\x1b[31m\x07name").touch()
    (source / "new\nline").touch()
    for arguments in (["push", source, "--to", out / "data", "--exclude", "*"],
                      ["verify", out / "data"]):
        done = dray(*arguments)
        assert "\x1b" not in done.out + done.err and "\x07" not in done.out + done.err
    (out / "data/bad\x1b[31m").touch()
    damaged = dray("verify", out / "data", exit=1)
    assert "\x1b" not in damaged.out and "bad\ufffd[31m was not delivered" in damaged.out


@pytest.mark.parametrize("name", ["it's a \"set\"", "-rf", "new\nline", "\u00fcmlaut", "a b", "x.tar.d",
                                  "${HOME}"])
def test_a_dataset_of_any_name_can_be_delivered_and_checked(dray, files, source, out, name):
    dataset = files(source / name, {"file": "1"})
    dray("push", f"./{name}", "--to", f"{out}/", cwd=source)
    assert contents(out / name) == contents(dataset)
    assert checked_by_sha256sum(out / name)
    assert "is intact" in dray("verify", out / name).out
    [command] = [line for line in record(out / name, "README.txt").splitlines() if "sha256sum" in line]
    if "\n" not in name:
        subprocess.run(["sh", "-e", "-c", command], cwd=out / name, check=True)
    assert dray.json("push", f"./{name}", "--to", f"{out}/", cwd=source)["already_delivered"]


def test_a_path_that_no_workflow_can_hold_is_refused_with_that_reason(dray, source, out):
    place = os.path.join(os.fsencode(source), b"bad\xff")
    os.mkdir(place)
    for arguments in (["push", place, "--to", out / "x"], ["push", source, "--to", place + b"/x"],
                      ["push", source, "--to", out / "x", "--exclude", b"\xff"]):
        refused = dray(*arguments, exit=2)
        assert "is not UTF-8" in refused.err and " hint: " in refused.err
    assert os.listdir(out) == []


# ---- Shapes ------------------------------------------------------------------------------------


def test_a_dataset_may_be_one_file(dray, source, out):
    (source / "reads.fastq").write_text("ACGT\n")
    dray("push", source / "reads.fastq", "--to", f"{out}/")
    assert contents(out / "reads.fastq") == {"reads.fastq": b"ACGT\n"}
    assert "is intact" in dray("verify", out / "reads.fastq").out


def test_a_dataset_may_hold_nothing(dray, source, out):
    done = dray.json("push", source, "--to", out / "data")
    assert (done["targets"][0]["entries"], done["targets"][0]["bytes"]) == (0, 0)
    assert contents(out / "data") == {}
    assert "is intact" in dray("verify", out / "data").out
    assert dray.json("push", source, "--to", out / "data")["already_delivered"]


def test_empty_files_and_empty_directories_are_delivered(dray, files, source, out):
    files(source, {"empty": "", "folder/": None, "deep/er/": None})
    done = dray.json("push", source, "--to", out / "data")
    assert done["targets"][0]["entries"] == 3
    assert contents(out / "data") == contents(source)


def test_modes_and_times_are_kept_but_for_set_user_id(dray, files, source, out):
    files(source, {"run.sh": "#!", "secret": "s", "tool": "t", "folder/x": "x"})
    for name, mode in {"run.sh": 0o750, "secret": 0o400, "tool": 0o6755, "folder": 0o2711}.items():
        (source / name).chmod(mode)
    for name in ("run.sh", "folder", ""):
        os.utime(source / name, ns=(1, 1_000_000_000_123_456_789))
    source.chmod(0o751)
    dray("push", source, "--to", out / "data")
    modes = {name: stat.S_IMODE((out / "data" / name).stat().st_mode)
             for name in ("run.sh", "secret", "tool", "folder", "")}
    assert modes == {"run.sh": 0o750, "secret": 0o400, "tool": 0o755, "folder": 0o711, "": 0o751}
    for name in ("run.sh", "folder", ""):
        assert (out / "data" / name).stat().st_mtime_ns == 1_000_000_000_123_456_789, name
    assert "is intact" in dray("verify", out / "data").out


def test_a_delivery_below_a_set_group_id_directory_is_intact(dray, files, source, out):
    files(source, {"folder/x": "x"})
    out.chmod(0o2775)
    dray("push", source, "--to", out / "data")
    assert "is intact" in dray("verify", out / "data").out


def test_hard_links_stay_links_and_holes_stay_holes(dray, files, source, out):
    files(source, {"a": "one", "z/other": "two"})
    os.link(source / "a", source / "z/b")
    with open(source / "hole", "wb") as file:
        file.truncate(64 << 20)
    dray("push", source, "--to", out / "data")
    assert (out / "data/a").stat().st_ino == (out / "data/z/b").stat().st_ino
    assert (out / "data/a").stat().st_ino != (source / "a").stat().st_ino
    assert (out / "data/hole").stat().st_blocks * 512 < 1 << 20
    lines = {line["path"]: line for line in record(out / "data", "tree.jsonl")}
    assert lines["z/b"]["same_as"] == "a"
    assert checked_by_sha256sum(out / "data")


@pytest.mark.parametrize("kind", ["fifo", "socket", "records"])
def test_what_cannot_be_delivered_is_named_and_nothing_is_done(dray, source, out, kind):
    (source / "fine").touch()
    if kind == "fifo":
        os.mkfifo(source / "odd")
    elif kind == "socket":
        here = os.getcwd()
        os.chdir(source)  # a socket's path is short
        socket.socket(socket.AF_UNIX).bind("odd")
        os.chdir(here)
    else:
        (source / ".dray").mkdir()
    refused = dray("push", source, "--to", out / "data", exit=2)
    assert {"fifo": '"odd" is a fifo', "socket": '"odd" is a socket',
            "records": 'a dataset may have no ".dray" at its top'}[kind] in refused.err
    assert os.listdir(out) == []


def test_a_delivery_is_delivered_onward_without_its_records(dray, files, source, out):
    """Not silently: its records say things about another place."""
    files(source, {"a": "1"})
    dray("push", source, "--to", out / "data")
    refused = dray("push", out / "data", "--to", out / "more", exit=2)
    assert ".dray" in refused.err and "earlier delivery" in refused.err


# ---- Links and empty directories ---------------------------------------------------------------


def tree_workflow(workflow, tree, steps=""):
    return workflow(WORKFLOW.format(tree=tree, steps=steps))


@pytest.fixture
def linked(files, source):
    files(source, {"a": "one", "deep/b": "two"})
    (source / "deep/link").symlink_to("../a")
    return source


@pytest.mark.parametrize("how, expected", [
    ("keep", "../a"), ("copy", b"one"), ("skip", "absent"),
])
def test_links_are_kept_copied_or_skipped_as_the_workflow_says(dray, linked, out, workflow, how, expected):
    dray("run", tree_workflow(workflow, f"symlinks: {how}"))
    assert contents(out / "data").get("deep/link", "absent") == expected
    assert "is intact" in dray("verify", out / "data").out


def test_links_are_kept_without_a_word_of_the_workflow(dray, linked, out):
    (linked / "dangling").symlink_to("nowhere")
    dray("push", linked, "--to", out / "data")
    assert contents(out / "data") == contents(linked)


def test_fail_refuses_a_dataset_with_links_and_names_them(dray, linked, out, workflow):
    failed = dray("run", tree_workflow(workflow, "symlinks: fail"), exit=1)
    assert '"deep/link" -> "../a"' in failed.err and "symlinks: skip" in failed.err
    assert os.listdir(out) == []


@pytest.mark.parametrize("how", ["keep", "copy"])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "deep/../../outside"])
def test_a_link_that_leaves_the_dataset_is_refused(dray, linked, out, workflow, how, target):
    (linked.parent / "outside").write_text("secret")
    (linked / "evil").symlink_to(target)
    failed = dray("run", tree_workflow(workflow, f"symlinks: {how}"), exit=1)
    assert f'"evil" -> "{target}" leaves the dataset' in failed.err
    assert os.listdir(out) == []
    dray("run", tree_workflow(workflow, "symlinks: skip"))
    assert "evil" not in contents(out / "data")


@pytest.mark.parametrize("target, said", [
    ("nowhere", "leads nowhere"), ("deep", "leads to a directory"), ("loop", "leads in a circle")])
def test_a_link_that_no_file_can_stand_for_is_not_copied(dray, linked, out, workflow, target, said):
    (linked / "loop").symlink_to(target)
    failed = dray("run", tree_workflow(workflow, "symlinks: copy"), exit=1)
    assert f'"loop" -> "{target}" {said}' in failed.err
    assert os.listdir(out) == []


PICK = '  - { id: pick, uses: filter/glob, with: { exclude: ["*.tmp"] } }\n'


@pytest.mark.parametrize("keep", [False, True])
def test_directories_that_filters_emptied_go_unless_kept(dray, files, source, out, workflow, keep):
    files(source, {"a": "1", "was/x.tmp": "x", "was/deep/y.tmp": "y", "empty/": None})
    dray("run", tree_workflow(workflow, f"keep_empty_dirs: {str(keep).lower()}", PICK))
    expected = {"a": b"1", "empty": None}
    if keep:
        expected.update({"was": None, "was/deep": None})
    assert contents(out / "data") == expected


# ---- Manifests ---------------------------------------------------------------------------------


VALIDATE = "  - {{ id: check, uses: validate, with: {{ manifest: {name} }} }}\n"


@pytest.fixture
def listed(files, source, workflow):
    """A dataset with a manifest; listed.write(lines=None) writes it, listed.file is the workflow."""
    files(source, {"a": "one", "deep/b": "two", "odd\nname": "three"})

    def write(name="manifest.txt"):
        done = subprocess.run(["find", ".", "-type", "f", "!", "-name", name, "-exec", "sha256sum", "{}", "+"],
                              cwd=source, capture_output=True, check=True)
        (source / name).write_bytes(done.stdout)

    write()
    write.file = tree_workflow(workflow, "", VALIDATE.format(name="manifest.txt"))
    return write


def test_a_dataset_as_its_manifest_says_is_delivered_and_the_receipt_says_so(dray, listed, source, out):
    dray("run", listed.file)
    assert contents(out / "data") == contents(source)
    assert record(out / "data", "receipt.json")["verified"]["against_recorded_digests"] == 3


@pytest.mark.parametrize("change, said", [
    (lambda source: (source / "a").unlink(), "the dataset is not what manifest.txt says: missing: a"),
    (lambda source: (source / "new").touch(), "the dataset is not what manifest.txt says: not listed: new"),
    (lambda source: (source / "deep/b").write_text("TWO"), "its SHA-256 is"),
    (lambda source: (source / "manifest.txt").unlink(), "holds no manifest manifest.txt"),
    (lambda source: (source / "manifest.txt").write_text("rubbish\n"), "manifest.txt:1"),
    (lambda source: (source / "manifest.txt").write_text(f"{'0' * 64}  ../outside\n"), "manifest"),
    (lambda source: [(source / f"n{i}").touch() for i in range(9)], "not listed: n0, n1, n2"),
], ids=["missing", "extra", "changed", "no manifest", "rubbish", "outside", "many"])
def test_nothing_is_delivered_of_a_dataset_that_is_not_as_its_manifest_says(
        dray, listed, source, out, change, said):
    change(source)
    failed = dray("run", listed.file, exit=1)
    assert said in failed.err and "source side)" in failed.err
    assert os.listdir(out) == []
    assert dray.json("jobs")[0]["state"] == "failed"


def test_a_changed_file_is_found_where_only_another_step_reads_it(dray, listed, source, out, workflow):
    """A file that is dropped need not be read; one that is delivered is, wherever it stands."""
    (source / "a").write_text("ONE")
    file = tree_workflow(workflow, "", VALIDATE.format(name="manifest.txt")
                         + '  - { id: pick, uses: filter/glob, with: { exclude: ["a"] } }\n')
    dray("run", file)
    assert "a" not in contents(out / "data")


def test_the_digest_of_a_damaged_file_is_told_with_the_one_recorded(dray, listed, source, out):
    (source / "a").write_text("ONE")
    failed = dray("run", listed.file, exit=1)
    for text in ("ONE", "one"):
        assert hashlib.sha256(text.encode()).hexdigest() in failed.err
    assert f"{source}/a" in failed.err


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "./x", "a//b"])
def test_a_manifest_outside_of_the_dataset_is_refused_with_the_plan(dray, listed, source, out, workflow, name):
    file = tree_workflow(workflow, "", VALIDATE.format(name=name))
    assert "is no path in a dataset" in dray("run", file, exit=2).err


def test_a_manifest_may_be_written_as_others_write_them(dray, listed, source, out):
    lines = [f"{hashlib.sha256(b'one').hexdigest().upper()} *./a", "# a comment", "",
             f"{hashlib.sha256(b'two').hexdigest()}  deep/b",
             f"\\{hashlib.sha256(b'three').hexdigest()}  odd\\nname"]
    (source / "manifest.txt").write_text("\r\n".join(lines) + "\r\n")
    dray("run", listed.file)
    assert contents(out / "data") == contents(source)
