# SPDX-License-Identifier: MIT
"""`dray verify`, as a recipient without an account runs it: every kind of damage is found and named, and
what is intact is called so, also by sha256sum."""
import json
import os
import shutil
import subprocess

import pytest

from conftest import TIME, UUID, checked_by_sha256sum

RECORDS = ".dray/source"


@pytest.fixture
def delivery(dray, files, tmp_path):
    """A delivery of files, folders and links; delivery.told() is what verify says of each path."""
    source = files(tmp_path / "source", {"a.nc": "one\n", "deep/er/b.csv": "two\n", "deep/c": "three\n",
                                         "empty/": None})
    (source / "link").symlink_to("a.nc")
    target = tmp_path / "data"
    dray("push", source, "--to", target)

    class Delivery:
        root = target
        records = target / RECORDS

        def told(self):
            verdict = dray.json("verify", target, exit=None)
            [dataset] = verdict["datasets"]
            assert dataset["problem_count"] == len(dataset["problems"])
            assert (verdict["verdict"] == "intact") == (dataset["problems"] == [])
            return {one["path"]: one["problem"] for one in dataset["problems"]}

        def edit(self, name, old, new):
            text = (self.records / name).read_text()
            assert old in text
            (self.records / name).write_text(text.replace(old, new, 1))

    return Delivery()


def test_an_intact_delivery_is_called_intact(dray, delivery):
    said = dray("verify", delivery.root)
    assert said.out.startswith(f"{delivery.root}: source is intact (unsigned): 5 entries, delivered 20")
    assert said.err == ""
    assert dray("verify", ".", cwd=delivery.root).out == said.out
    verdict = dray.json("verify", delivery.root)
    assert set(verdict) == {"directory", "verdict", "datasets"}
    assert (verdict["directory"], verdict["verdict"]) == (str(delivery.root), "intact")
    [dataset] = verdict["datasets"]
    assert UUID.match(dataset["job"]) and TIME.match(dataset["time"])
    assert (dataset["dataset"], dataset["entries"], dataset["bytes"]) == ("source", 5, 14)
    assert dataset["signed"] is False and dataset["problems"] == []


def test_it_needs_no_state_no_source_and_no_rights_to_write(dray, delivery, tmp_path):
    shutil.rmtree(tmp_path / "source")
    shutil.rmtree(dray.state)
    moved = tmp_path / "moved"
    delivery.root.rename(moved)
    assert "is intact" in dray("verify", moved).out
    assert not dray.state.exists(), "looking leaves nothing behind"


def test_coreutils_agree(delivery):
    assert checked_by_sha256sum(delivery.root)
    (delivery.root / "a.nc").write_text("ONE\n")
    assert not checked_by_sha256sum(delivery.root)


def change_unseen(root):
    """One byte; size and times as before."""
    path = root / "deep/er/b.csv"
    times = path.stat()
    path.write_text("twO\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def relink(root):
    (root / "link").unlink()
    (root / "link").symlink_to("deep/c")


def replace(path, make):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    make(path)


DAMAGE = {
    "changed byte": (change_unseen, {"deep/er/b.csv": "has other content"}),
    "longer": (lambda root: (root / "a.nc").write_text("longer"), {"a.nc": "has another size"}),
    "missing": (lambda root: (root / "deep/c").unlink(), {"deep/c": "is missing"}),
    "missing folder": (lambda root: shutil.rmtree(root / "deep/er"),
                       {"deep/er": "is missing", "deep/er/b.csv": "is missing"}),
    "missing empty folder": (lambda root: (root / "empty").rmdir(), {"empty": "is missing"}),
    "extra": (lambda root: (root / "deep/extra").touch(), {"deep/extra": "was not delivered"}),
    "extra folder": (lambda root: (root / "more").mkdir(), {"more": "was not delivered"}),
    "extra link": (lambda root: (root / "more").symlink_to("/"), {"more": "was not delivered"}),
    "mode": (lambda root: (root / "a.nc").chmod(0o600), {"a.nc": "has another mode"}),
    "mode of a folder": (lambda root: (root / "deep").chmod(0o700), {"deep": "has another mode"}),
    "link": (relink, {"link": "links to something else"}),
    "folder for file": (lambda root: replace(root / "a.nc", os.mkdir), {"a.nc": "is of another type"}),
    "link for file": (lambda root: replace(root / "a.nc", lambda path: os.symlink("deep/c", path)),
                      {"a.nc": "is of another type"}),
    "file for folder": (lambda root: replace(root / "empty", lambda path: path.touch()),
                        {"empty": "is of another type"}),
    "renamed": (lambda root: (root / "a.nc").rename(root / "z.nc"),
                {"a.nc": "is missing", "z.nc": "was not delivered"}),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_and_named(dray, delivery, kind):
    damage, problems = DAMAGE[kind]
    damage(delivery.root)
    assert delivery.told() == problems
    said = dray("verify", delivery.root, exit=1).out.splitlines()
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    assert said[0] == f"{delivery.root}: source is damaged, {count}:"
    assert said[1:] == [f"  {path} {problem}" for path, problem in problems.items()]


def test_all_damage_is_told_at_once(delivery):
    change_unseen(delivery.root)
    (delivery.root / "a.nc").unlink()
    (delivery.root / "new").touch()
    assert set(delivery.told()) == {"deep/er/b.csv", "a.nc", "new"}


def test_a_fifo_in_the_place_of_a_file_is_damage_and_is_not_opened(dray, delivery):
    replace(delivery.root / "a.nc", os.mkfifo)
    said = dray("verify", delivery.root, exit=1, timeout=10)
    assert '"a.nc" is a fifo' in said.out + said.err and "damaged" in said.out + said.err


def test_a_file_that_may_not_be_read_is_named(bound, delivery):
    """The mode is what it was: only the right to enter is missing."""
    (delivery.root / "deep/er").chmod(0)
    said = bound("verify", delivery.root, exit=None)
    (delivery.root / "deep/er").chmod(0o755)
    assert said.code in (1, 3) and "deep/er" in said.out + said.err
    assert "Permission denied" in said.out + said.err


# ---- Records -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["delivered.json", "receipt.json", "manifest-sha256.txt", "tree.jsonl"])
def test_a_record_that_is_gone_is_damage(delivery, name):
    (delivery.records / name).unlink()
    assert delivery.told() == {f"{RECORDS}/{name}": "is missing"}


def test_the_readme_is_for_people_and_may_go(dray, delivery):
    (delivery.records / "README.txt").unlink()
    assert "is intact" in dray("verify", delivery.root).out


@pytest.mark.parametrize("name", ["delivered.json", "receipt.json", "manifest-sha256.txt", "tree.jsonl"])
@pytest.mark.parametrize("text", ["rubbish\n", "", "[1]\n", "{}\n"])
def test_a_record_that_is_rubbish_is_damage(dray, delivery, name, text):
    (delivery.records / name).write_text(text)
    dray("verify", delivery.root, exit=1)
    assert f"{RECORDS}/{name}" in delivery.told() or (name, text) == ("tree.jsonl", "")


def digit(character):
    return "1" if character == "0" else "0"


def test_an_edited_manifest_is_found(delivery):
    text = (delivery.records / "manifest-sha256.txt").read_text()
    (delivery.records / "manifest-sha256.txt").write_text(digit(text[0]) + text[1:])
    told = delivery.told()
    assert told["a.nc"] == "manifest and tree.jsonl do not agree on it"
    assert "is not the one that" in told[f"{RECORDS}/manifest-sha256.txt"]


def test_a_manifest_with_a_line_less_or_more_is_found(delivery):
    path = delivery.records / "manifest-sha256.txt"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[1:]))
    assert f"{RECORDS}/manifest-sha256.txt" in delivery.told()
    path.write_text("".join(lines) + f"{'0' * 64}  more\n")
    assert "more" in delivery.told()


@pytest.mark.parametrize("old, new, path", [
    ('"mode":"0644"', '"mode":"0640"', "a.nc"), ('"size":4', '"size":5', "a.nc"),
    ('"link":"a.nc"', '"link":"b.nc"', "link"), ('"path":"empty"', '"path":"emptied"', "empty"),
])
def test_an_edited_tree_is_found(delivery, old, new, path):
    delivery.edit("tree.jsonl", old, new)
    assert path in delivery.told()


def test_a_file_taken_out_of_all_lists_is_still_found(delivery):
    """By the manifest's digest, which marker and receipt name."""
    for name, begin in (("tree.jsonl", '{"path":"a.nc"'), ("manifest-sha256.txt", "")):
        lines = (delivery.records / name).read_text().splitlines(keepends=True)
        (delivery.records / name).write_text("".join(
            line for line in lines if not (line.startswith(begin) and "a.nc" in line and '"link"' not in line)))
    (delivery.root / "a.nc").unlink()
    assert "is not the one that delivered.json names" in json.dumps(delivery.told()) or \
        "is not the one that receipt.json names" in json.dumps(delivery.told())


@pytest.mark.parametrize("key, value", [
    ("job", "00000000-0000-4000-8000-000000000000"), ("request_key", "0" * 64), ("manifest_sha256", "0" * 64),
    ("entries", 6), ("bytes", 15), ("dataset", {"name": "other", "revision": "x"}), ("version", 99),
])
def test_an_edited_receipt_is_found(delivery, key, value):
    receipt = json.loads((delivery.records / "receipt.json").read_text())
    assert receipt[key] != value
    receipt[key] = value
    (delivery.records / "receipt.json").write_text(json.dumps(receipt))
    assert set(delivery.told()) <= {f"{RECORDS}/receipt.json", f"{RECORDS}/manifest-sha256.txt"}
    assert delivery.told() != {}


@pytest.mark.parametrize("key, value", [
    ("job", "00000000-0000-4000-8000-000000000000"), ("request_key", "0" * 64), ("manifest_sha256", "0" * 64),
    ("dataset", "other"), ("version", 99),
])
def test_an_edited_marker_is_found(delivery, key, value):
    marker = json.loads((delivery.records / "delivered.json").read_text())
    marker[key] = value
    (delivery.records / "delivered.json").write_text(json.dumps(marker))
    assert delivery.told() != {}


def test_a_reader_passes_over_keys_and_files_that_it_does_not_know(dray, delivery):
    for name in ("receipt.json", "delivered.json"):
        value = json.loads((delivery.records / name).read_text())
        value["of a later release"] = [1]
        (delivery.records / name).write_text(json.dumps(value, indent=1))
    (delivery.records / "receipt.sig").write_bytes(b"\0")
    assert "is intact" in dray("verify", delivery.root).out


def test_records_of_two_datasets_in_one_place_are_both_checked(dray, files, delivery, tmp_path):
    other = files(tmp_path / "other", {"o.txt": "o"})
    dray("push", other, "--to", tmp_path / "more")
    (tmp_path / "more/.dray/other").rename(delivery.root / ".dray/other")
    (tmp_path / "more/o.txt").rename(delivery.root / "o.txt")
    verdict = dray.json("verify", delivery.root)
    assert sorted(one["dataset"] for one in verdict["datasets"]) == ["other", "source"]
    (delivery.root / "o.txt").write_text("0")
    verdict = dray.json("verify", delivery.root, exit=1)
    assert {one["dataset"]: one["problem_count"] for one in verdict["datasets"]} == {"other": 1, "source": 0}


@pytest.mark.parametrize("make, said", [
    (lambda place: None, "No such file or directory"),
    (lambda place: place.mkdir(), "there is no .dray in it"),
    (lambda place: place.touch(), "holds no delivery"),
    (lambda place: (place / ".dray").mkdir(parents=True), "its .dray is empty"),
])
def test_what_is_no_delivery_is_said_to_be_none(dray, tmp_path, make, said):
    make(tmp_path / "place")
    failed = dray("verify", tmp_path / "place", exit=4)
    assert said in failed.err and str(tmp_path / "place") in failed.err
    assert dray.json("verify", tmp_path / "place", exit=4)["error"]["class"] == "not_found"


def test_sha256sum_finds_what_was_damaged_too(delivery):
    change_unseen(delivery.root)
    done = subprocess.run(["sha256sum", "--quiet", "-c", f"{RECORDS}/manifest-sha256.txt"],
                          cwd=delivery.root, capture_output=True, text=True)
    assert done.returncode == 1 and "deep/er/b.csv: FAILED" in done.stdout
