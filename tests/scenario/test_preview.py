# SPDX-License-Identifier: MIT
"""`dray preview`: every entry with its verdict and the rule that decided it, as text and as JSON, and
nothing written anywhere."""
import base64
import os
import subprocess

import pytest

from conftest import contents

WORKFLOW = """\
version: 1
dataset: ./source
steps:
  - id: pick
    uses: filter/glob
    with: { include: ["*.nc", "*.csv", "raw/"], exclude: ["old_*"] }
  - { id: deliver, uses: push/hpfs, with: { path: ./out/data } }
"""

POLICY = """\
version: 1
policy: site
revision: 1
rules:
  - { id: no-raw, mode: enforce, inject: [{ uses: filter/glob, with: { exclude: ["raw/"] } }],
      message: Raw stays here. }
"""


@pytest.fixture
def source(files, tmp_path):
    (tmp_path / "out").mkdir()
    files(tmp_path / "policies", {"site.yaml": POLICY})
    root = files(tmp_path / "source", {"a.nc": "grid\n", "old_a.nc": "grid", "raw/x.fastq": "ACGT\n",
                                       "deep/b.csv": "x,y\n", "notes.txt": "n", "empty/": None})
    (root / "link").symlink_to("a.nc")
    return root


@pytest.fixture
def out(tmp_path, source):
    return tmp_path / "out"


def without_lints(lines):
    """test_lint.py looks at those."""
    return [line for line in lines if "lint" not in line]


def verdicts(lines):
    return {line["path"]: (line["verdict"], line.get("by"), line.get("why")) for line in lines}


EXPECTED = {
    "a.nc": ("keep", "pick.include[0]", '"*.nc"'),
    "deep/b.csv": ("keep", "pick.include[1]", '"*.csv"'),
    "empty": ("drop", "pick.include", "no pattern matched"),
    "link": ("drop", "pick.include", "no pattern matched"),
    "notes.txt": ("drop", "pick.include", "no pattern matched"),
    "old_a.nc": ("drop", "pick.exclude[0]", '"old_*"'),
    "raw/x.fastq": ("drop", "policy:site/no-raw", '"raw/" (Raw stays here.)'),
}
SUMMARY = {"summary": {"kept": {"entries": 2, "bytes": 9}, "dropped": {"entries": 5, "bytes": 10}}}


def test_json_has_a_line_for_each_entry_with_its_rule_and_totals_at_the_end(dray, source, out, workflow):
    shown = dray("preview", workflow(WORKFLOW), "--policies", "./policies", "--json", cwd=out.parent)
    lines = without_lints(shown.json_lines())
    assert shown.err == ""
    assert lines[-1] == SUMMARY
    assert [line["path"] for line in lines[:-1]] == sorted(EXPECTED)
    assert verdicts(lines[:-1]) == EXPECTED
    for line in lines[:-1]:
        assert set(line) == {"path", "size", "verdict", "by", "why"}
    assert {line["path"]: line["size"] for line in lines[:-1]}["raw/x.fastq"] == 5


def test_text_says_the_same(dray, source, out, workflow):
    shown = dray("preview", workflow(WORKFLOW), "--policies", "./policies", cwd=out.parent)
    lines = shown.out.splitlines()
    assert lines[-1] == "2 kept (9 B), 5 dropped (10 B); nothing was pushed"
    assert len(lines) == len(EXPECTED) + 1
    for line, (path, (verdict, by, why)) in zip(lines, sorted(EXPECTED.items())):
        assert line.split()[0] == verdict
        assert line.endswith(f"  {path}  {by}  {why}"), line


@pytest.mark.parametrize("option, verdict", [("--kept", "keep"), ("--dropped", "drop")])
def test_one_side_alone_with_the_same_totals(dray, source, out, workflow, option, verdict):
    file = workflow(WORKFLOW)
    lines = without_lints(dray("preview", file, "--policies", "./policies", option, "--json",
                               cwd=out.parent).json_lines())
    assert lines[-1] == SUMMARY
    assert verdicts(lines[:-1]) == {path: one for path, one in EXPECTED.items() if one[0] == verdict}
    text = dray("preview", file, "--policies", "./policies", option, cwd=out.parent).out
    assert {line.split()[0] for line in text.splitlines()[:-1]} == {verdict}


@pytest.mark.parametrize("options", [["--all"], ["--kept", "--dropped"], ["--all", "--kept"]])
def test_both_sides_are_the_default(dray, source, out, workflow, options):
    file = workflow(WORKFLOW)
    assert dray("preview", file, *options).out == dray("preview", file).out


def test_a_preview_foretells_what_is_delivered_and_left_out(dray, source, out, workflow):
    file = workflow(WORKFLOW)
    arguments = [file, "--policies", source.parent / "policies"]
    lines = without_lints(dray("preview", *arguments, "--json").json_lines())
    dray("run", *arguments)
    kept = {line["path"] for line in lines[:-1] if line["verdict"] == "keep"}
    delivered = {path for path, what in contents(out / "data").items() if what is not None}
    assert kept == delivered


def test_nothing_is_written(dray, source, out, workflow):
    file = workflow(WORKFLOW)
    before = contents(source)
    for option in ([], ["--stage"]):
        dray("preview", file, *option)
        assert os.listdir(out) == [] and contents(source) == before
        assert dray.json("jobs") == []
        scratch = dray.state / "scratch"
        assert not scratch.exists() or os.listdir(scratch) == []


def test_a_name_that_is_not_utf8_has_its_bytes_beside_it(dray, source, out, workflow):
    name = b"caf\xe9\n\"x\".nc"
    with open(os.path.join(os.fsencode(source), name), "w"):
        pass
    file = workflow(WORKFLOW)
    lines = dray("preview", file, "--json").json_lines()
    [line] = [line for line in lines if "path_b64" in line]
    assert line["path"] == "caf\ufffd\n\"x\".nc"
    assert base64.b64decode(line["path_b64"]) == name
    text = dray("preview", file).out
    assert "caf\ufffd\ufffd\"x\".nc" in text, "no line feed of a name is printed"


def test_without_a_filter_all_is_kept_and_no_rule_is_named(dray, source, out, workflow):
    file = workflow("version: 1\ndataset: ./source\nsteps:\n"
                    "  - { id: deliver, uses: push/hpfs, with: { path: ./out/data } }\n")
    lines = dray("preview", file, "--json").json_lines()
    assert {line["verdict"] for line in lines[:-1]} == {"keep"}
    assert all("by" not in line and "why" not in line for line in lines[:-1])
    assert lines[-1]["summary"]["kept"]["entries"] == 7


def test_a_directory_is_listed_only_where_it_is_empty(dray, source, out, workflow):
    file = workflow(WORKFLOW.replace("include: [", "include: ['empty/', "))
    lines = dray("preview", file, "--json").json_lines()
    listed = verdicts(lines[:-1])
    assert listed["empty"] == ("keep", "pick.include[0]", '"empty/"')
    assert "deep" not in listed and "raw" not in listed


CHECKED = WORKFLOW.replace("steps:\n", "steps:\n  - { id: check, uses: validate, with: { manifest: manifest.txt } }\n")


def test_a_manifest_is_compared_where_its_bytes_are_there(dray, source, out, workflow):
    """Those of a directory, which is read in place; of an archive only when it is extracted."""
    file = workflow(CHECKED)
    for options in ([], ["--stage"]):
        failed = dray("preview", file, *options, exit=4)
        assert "the dataset holds no manifest manifest.txt" in failed.err and failed.out == ""
    (source / "manifest.txt").write_text(f"{'0' * 64}  gone.nc\n")
    failed = dray("preview", file, exit=1)
    assert "missing: gone.nc" in failed.err and failed.out == ""
    archive = source.parent / "packed.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", source, "."], check=True)
    dray("preview", file, "--dataset", archive)
    failed = dray("preview", file, "--dataset", archive, "--stage", exit=1)
    assert "missing: gone.nc" in failed.err and failed.out == ""


def test_an_occupied_target_is_no_matter_of_a_preview(dray, source, out, workflow):
    file = workflow(WORKFLOW)
    (out / "data").mkdir()
    assert dray("preview", file, "--json").json_lines()[-1]["summary"]["kept"]["entries"] == 3


def test_targets_with_trees_of_their_own_have_totals_of_their_own(dray, files, workflow, tmp_path):
    files(tmp_path, {"data/a": "1", "data/b": "22", "data/c": "333", "to/": None})
    file = workflow("version: 1\ndataset: ./data\nsteps:\n"
                    "  - { id: some, uses: filter/glob, with: { exclude: [a] } }\n"
                    "  - { id: few, uses: filter/glob, needs: [some], with: { include: [c] } }\n"
                    "  - { id: one, uses: push/hpfs, needs: [some], with: { path: ./to/one } }\n"
                    "  - { id: two, uses: push/hpfs, needs: [few], with: { path: ./to/two } }\n")
    first, second = dray("preview", file).out.split("\n\n")[:2]
    assert first.splitlines()[0] == f"to {tmp_path}/to/one:"
    assert first.splitlines()[-1] == "2 kept (5 B), 1 dropped (1 B)"
    assert second.splitlines()[0] == f"to {tmp_path}/to/two:"
    assert second.splitlines()[-1] == "1 kept (3 B), 2 dropped (3 B)"
    assert dray("preview", file).out.endswith("\n\n2 targets; nothing was pushed\n")
    assert dray("preview", file, "--json").json_lines()[-1]["summary"] == {
        "kept": {"entries": 3, "bytes": 8}, "dropped": {"entries": 3, "bytes": 4}, "targets": [
            {"target": f"{tmp_path}/to/one", "kept": {"entries": 2, "bytes": 5}, "dropped": {"entries": 1, "bytes": 1}},
            {"target": f"{tmp_path}/to/two", "kept": {"entries": 1, "bytes": 3}, "dropped": {"entries": 2, "bytes": 3}}]}
