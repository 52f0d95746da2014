# SPDX-License-Identifier: MIT
"""The workflows of examples/: each is checked, planned on a small dataset and delivers what its
comments say."""
import os
import shutil
import subprocess

import pytest

from conftest import TOP, contents

EXAMPLES = sorted(path.name for path in (TOP / "examples").glob("*.yaml"))

SURVEY = {
    "README.txt": "r", "a.csv": "a", "a_draft.csv": "d", "deep/b.nc": "b", "deep/README.txt": "no", "tmp/c.csv": "c",
    "x.bak": "x", "public/p.txt": "p", "raw/s1/r": "1", "raw/s2/r": "2", "results/t.csv": "t",
    "results/t_draft.csv": "t", "only/x.tmp": "x",
}


@pytest.fixture
def place(dray, files, tmp_path):
    """The examples beside a dataset as they name it, and places to deliver to."""
    files(tmp_path, {"delivered/": None})
    files(tmp_path / "survey-2024", SURVEY)
    files(tmp_path / "runs/run-0042", {"t_0042.csv": "t", "t_0041.csv": "old", "images/i": "i"})
    (tmp_path / "survey-2024/link.csv").symlink_to("a.csv")
    subprocess.run("find . -type f ! -name manifest-sha256.txt -print0 | sort -z | xargs -0 sha256sum"
                   " > manifest-sha256.txt", shell=True, cwd=tmp_path / "survey-2024", check=True)
    for name in EXAMPLES:
        shutil.copy(TOP / "examples" / name, tmp_path)
    return tmp_path


SETS = {"parameters.yaml": ["--set", "run=0042", "--set", "lab=smith"]}


def test_the_readme_names_each(dray):
    text = (TOP / "examples/README.md").read_text()
    assert EXAMPLES and all(f"[{name}]({name})" in text for name in EXAMPLES)
    folders = [path.name for path in (TOP / "examples").iterdir() if path.is_dir() and path.name != "delivered"]
    assert folders and all(f"[{name}/]({name})" in text for name in folders)


def test_all_run_one_after_the_other(dray, place):
    """As the README says: there is the dataset and one directory to deliver to."""
    for name in EXAMPLES:
        dray("run", place / name, *SETS.get(name, []))


def test_all_take_another_dataset(dray, place):
    (place / "survey-2024").rename(place / "my-data")
    for name in EXAMPLES:
        dray("run", place / name, "--dataset", place / "my-data", *SETS.get(name, []))


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_is_checked_and_planned(dray, place, name):
    assert dray.json("check", place / name) == []
    plan = dray.json("plan", place / name, *SETS.get(name, []))
    assert plan["steps"] and plan["targets"]
    dray("preview", place / name, *SETS.get(name, []))


def test_plain(dray, place):
    dray("run", place / "plain.yaml")
    assert set(contents(place / "delivered/survey-2024")) == {
        "README.txt", "a.csv", "deep", "deep/b.nc", "results", "results/t.csv", "link.csv"}


def test_kinds(dray, place):
    survey = place / "survey-2024"
    (survey / "README.txt").write_text("A survey.\n")
    (survey / "a.csv").write_text("a,b\n1,2\n")
    (survey / "huge.csv").touch()
    (survey / "image.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1")
    (survey / "old.csv").write_text("old\n")
    (survey / "x.draft.csv").write_text("x\n")
    os.utime(survey / "old.csv", (1577836800, 1577836800))
    for name in ("results", "deep", "only", "raw", "public"):
        shutil.rmtree(survey / name)
    for name in ("link.csv", "manifest-sha256.txt"):
        (survey / name).unlink()
    dray("run", place / "kinds.yaml")
    assert set(contents(place / "delivered/kinds")) == {"README.txt", "a.csv"}


def test_two_places(dray, place):
    dray("run", place / "two-places.yaml")
    lab = contents(place / "delivered/to-lab")
    assert lab == contents(place / "delivered/to-archive")
    assert "x.bak" not in lab and "tmp" not in lab and "raw/s2/r" in lab
    assert contents(place / "delivered/to-web") == {"public": None, "public/p.txt": b"p"}


def test_parameters(dray, place):
    dray("run", place / "parameters.yaml", *SETS["parameters.yaml"])
    assert set(contents(place / "delivered/smith-0042")) == {"t_0042.csv", "images", "images/i"}
    refused = dray("run", place / "parameters.yaml", exit=2)
    assert 'parameter "run" has no value' in refused.err


def test_join(dray, place):
    dray("run", place / "join.yaml")
    assert set(contents(place / "delivered/joined")) == {"raw", "raw/s1", "raw/s1/r", "results", "results/t.csv"}


def test_tree(dray, place):
    dray("run", place / "tree.yaml")
    found = contents(place / "delivered/no-links")
    assert found["link.csv"] == b"a" and not (place / "delivered/no-links/link.csv").is_symlink()
    assert found["only"] is None and "only/x.tmp" not in found


def test_rename(dray, place):
    assert "results/t_draft.csv -> survey/tables/t-draft.csv" in dray("preview", place / "rename.yaml").out
    dray("run", place / "rename.yaml")
    found = contents(place / "delivered/renamed")
    assert found["survey/readme.txt"] == b"r" and found["survey/measured/raw/s1/r"] == b"1"
    assert found["survey/tables/t-draft.csv"] == b"t" and (place / "delivered/renamed/survey/link.csv").is_symlink()
    assert b"survey/a-draft.csv\ta_draft.csv\n" in found["renamed.tsv"]


def test_merge(dray, place, files):
    merged = place / "delivered/merged"
    files(merged, {"theirs.txt": "theirs", "results/theirs.csv": "theirs", "a.csv": "another"})
    refused = dray("run", place / "merge.yaml", exit=1)
    assert "a.csv" in refused.err and (merged / "a.csv").read_text() == "another" and not (merged / ".dray").exists()
    (merged / "a.csv").write_text("a")
    dray("run", place / "merge.yaml")
    assert contents(merged) == {"theirs.txt": b"theirs", "a.csv": b"a", "results": None, "link.csv": contents(merged)["link.csv"],
                                "results/theirs.csv": b"theirs", "results/t.csv": b"t"}


def test_replace(dray, place):
    dray("run", place / "replace.yaml")
    (place / "survey-2024/a.csv").write_text("newer")
    (place / "survey-2024/README.txt").unlink()
    assert "will be replaced" in dray("plan", place / "replace.yaml").out
    dray("run", place / "replace.yaml")
    newest = contents(place / "delivered/newest")
    assert newest["a.csv"] == b"newer" and "README.txt" not in newest and "tmp" not in newest
    (place / "delivered/newest/a.csv").write_text("edited!")
    (place / "survey-2024/a.csv").write_text("newest of all")
    dray("run", place / "replace.yaml", exit=1)
    assert (place / "delivered/newest/a.csv").read_text() == "edited!"
