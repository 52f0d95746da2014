# SPDX-License-Identifier: MIT
"""filter/size, filter/time, filter/type, filter/mime and filter/regex as a user meets them: what is kept, what is
dropped and by which rule, and what wrong options are told. filter/glob has tests of its own."""
import os
import subprocess
import tarfile
import time

import pytest

from conftest import contents

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0"


@pytest.fixture
def source(files, tmp_path):
    """Names of every kind; `old.csv` and the link are of 2020."""
    (tmp_path / "out").mkdir()
    root = files(tmp_path / "source", {
        "old.csv": "a,b\n1,2\n3,4\n5,6\n", "reads/x.FASTQ.gz": b"\x1f\x8b\x08\0" + b"\0" * 20, "reads/y.fastq": "@r\nACGT\n",
        "picture.txt": PNG, "zero": "", "big.bin": b"\0" * 3000, "empty/": None})
    (root / "link.csv").symlink_to("old.csv")
    os.link(root / "big.bin", root / "reads/same.bin")
    with open(os.fsencode(root) + b"/bad\xff.csv", "wb") as file:
        file.write(b"x,y\n3,4\n5,6\n7,8\n")
    for name in ("old.csv", "link.csv"):
        os.utime(root / name, (1577836800, 1577836800), follow_symlinks=False)
    return root


BAD = "bad\N{REPLACEMENT CHARACTER}.csv"
ALL = {"old.csv", "reads/x.FASTQ.gz", "reads/y.fastq", "picture.txt", "zero", "big.bin", "reads/same.bin",
       "empty", "link.csv", BAD}


@pytest.fixture
def picks(dray, source, workflow, tmp_path):
    """picks(uses, options) previews with one filter: what is kept, and the rules of what is dropped."""

    def preview(uses, options, *more, exit=0):
        text = (f"version: 1\ndataset: ./source\nsteps:\n  - id: pick\n    uses: {uses}\n    with: {options}\n"
                "  - { id: deliver, uses: push/hpfs, with: { path: ./out/data } }\n")
        shown = dray("preview", workflow(text), "--json", *more, cwd=tmp_path, exit=exit)
        if exit:
            return shown
        lines = [line for line in shown.json_lines() if "path" in line]
        assert {line["path"] for line in lines} == ALL
        kept = {line["path"] for line in lines if line["verdict"] == "keep"}
        return kept, {line["path"]: (line["by"], line["why"]) for line in lines if line["verdict"] == "drop"}

    preview.dray = dray
    return preview


def faults(shown):
    """(line, column, message) of every diagnostic."""
    return [(one["line"], one["column"], one["message"]) for one in shown.json()["diagnostics"]]


def test_size_bounds_are_inclusive_and_told_as_they_are_written(picks):
    kept, dropped = picks("filter/size", "{ min: 1, max: 2 KiB }")
    assert dropped == {"zero": ("pick.min", "min 1"), "big.bin": ("pick.max", "max 2 KiB"),
                       "reads/same.bin": ("pick.max", "max 2 KiB")}
    assert {"empty", "link.csv"} <= kept
    assert picks("filter/size", "{ min: 3000, max: 3000 }")[0] == {"big.bin", "reads/same.bin", "empty", "link.csv"}
    assert picks("filter/size", "{ max: 2999 }")[1]["big.bin"] == ("pick.max", "max 2999")
    assert picks("filter/size", "{ max: 2.9 KB }")[1]["big.bin"] == ("pick.max", "max 2900")


def test_size_refuses_what_drops_everything(picks):
    assert faults(picks("filter/size", "{ min: 3 MiB, max: 2 KiB }", exit=2)) == [
        (6, 18, "min is larger than max, so every file would be dropped")]


def test_time_by_date_and_by_age(picks):
    old = {"old.csv": ("pick.after", 'after "2024-01-01"'), "link.csv": ("pick.after", 'after "2024-01-01"')}
    assert picks("filter/time", "{ after: 2024-01-01 }")[1] == old
    assert picks("filter/time", "{ before: 2020-01-01T00:00:01Z }")[0] == {"old.csv", "link.csv", "empty"}
    assert picks("filter/time", "{ before: 2020-01-01 }")[0] == {"empty"}
    assert picks("filter/time", "{ newer_than: 30d }")[1]["old.csv"] == ("pick.newer_than", "newer_than 30d")
    kept, dropped = picks("filter/time", "{ older_than: 90m }")
    assert kept == {"old.csv", "link.csv", "empty"}
    assert dropped["zero"] == ("pick.older_than", "older_than 90m")


def test_wrong_times_are_reported_with_their_places(picks):
    text = '{ after: 2024-13-01, before: "2024-01-01T00:00:00+01:00" }'
    assert faults(picks("filter/time", text, exit=2)) == [
        (6, 11 + text.index("13"), "a month is two digits, from 01 to 12"),
        (6, 11 + text.index("+"), "times are in UTC: write Z after the seconds")]
    assert "so everything would be dropped" in faults(
        picks("filter/time", "{ newer_than: 1d, older_than: 2d }", exit=2))[0][2]
    assert "duration" in picks("filter/time", "{ newer_than: soon }", exit=2).json()["error"]["message"]


def test_type_by_extensions(picks):
    kept, dropped = picks("filter/type", "{ extensions: [fastq.gz, .csv], exclude_extensions: [bin] }")
    assert kept == {"reads/x.FASTQ.gz", "old.csv", "link.csv", BAD}
    assert dropped["big.bin"] == ("pick.exclude_extensions[0]", '"bin"')
    assert dropped["empty"] == ("pick.extensions", "no pattern matched")
    text = '{ extensions: ["*.csv", csv] }'
    assert faults(picks("filter/type", text, exit=2)) == [
        (6, 11 + text.index('"'), "an extension is no pattern: write csv, not *.csv; patterns are for filter/glob")]


def test_mime_by_content_whatever_the_name_says(picks):
    kept, dropped = picks("filter/mime", '{ include: ["image/*", "TEXT/*"], exclude: ["*/csv"] }')
    assert kept == {"picture.txt", "reads/y.fastq"}
    assert dropped["old.csv"] == dropped[BAD] == ("pick.exclude[0]", '"*/csv"')
    assert dropped["reads/x.FASTQ.gz"] == ("pick.include", "no pattern matched")
    # What has no bytes is called as file(1) calls it, and a link is not followed.
    kept, dropped = picks("filter/mime", '{ exclude: ["inode/*"] }')
    assert set(dropped) == {"zero", "empty", "link.csv"}
    assert picks("filter/mime", "{ include: [inode/symlink] }")[0] == {"link.csv"}
    assert picks("filter/mime", "{ include: [application/octet-stream] }")[0] == {"big.bin", "reads/same.bin"}


def test_mime_types_that_are_none_are_reported(picks):
    text = '{ include: [csv, text/, "text/a b"], exclude: [""] }'
    assert faults(picks("filter/mime", text, exit=2)) == [
        (6, 11 + text.index("csv") + 3, "a type has two parts: text/csv, or text/* for all of text"),
        (6, 11 + text.index("text/,") + 5, "nothing stands after the slash; write * for all"),
        (6, 11 + text.index(" b"), "this stands in no type"),
        (6, 11 + text.index('""'), "the type is empty")]


def test_mime_is_undecided_where_there_are_no_bytes_and_extensions_are_not(picks, tmp_path):
    """A list of entries, and an archive that is not extracted."""
    (tmp_path / "list").write_text("source/picture.txt\nsource/a.csv\n")
    for uses, wanted in (("filter/mime", {"undecided"}), ("filter/type", {"keep", "drop"})):
        options = "{ include: [image/*] }" if uses == "filter/mime" else "{ extensions: [csv] }"
        (tmp_path / "listed.yaml").write_text(
            f"version: 1\ndataset: ./source\nsteps:\n  - {{ id: pick, uses: {uses}, with: {options} }}\n"
            "  - { id: deliver, uses: push/hpfs, with: { path: ./out/data } }\n")
        lines = picks.dray("preview", tmp_path / "listed.yaml", "--listing", tmp_path / "list", "--json",
                           cwd=tmp_path).json_lines()
        assert {line["verdict"] for line in lines if "path" in line} == wanted
    with tarfile.open(tmp_path / "small.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "source/picture.txt", "picture.txt")
    (tmp_path / "packed.yaml").write_text(
        "version: 1\ndataset: ./small.tar.gz\nsteps:\n"
        "  - { id: pick, uses: filter/mime, with: { include: [image/*] } }\n"
        "  - { id: deliver, uses: push/hpfs, with: { path: ./out/data } }\n")
    for more, wanted in (([], "undecided"), (["--stage"], "keep")):
        lines = picks.dray("preview", tmp_path / "packed.yaml", *more, "--json", cwd=tmp_path).json_lines()
        assert [line["verdict"] for line in lines if "path" in line] == [wanted]


def test_mime_reads_what_lies_in_archives_and_a_file_that_cannot_be_read_ends_it(dray, source, workflow, tmp_path, bound):
    text = ("version: 1\ndataset: ./{}\nsteps:\n  - id: pick\n    uses: filter/mime\n    with: {{ include: [image/*] }}\n"
            "  - {{ id: deliver, uses: push/hpfs, with: {{ path: ./out/data }} }}\n")
    with tarfile.open(tmp_path / "plain.tar", "w") as tar:
        tar.add(source / "picture.txt", "d/picture.txt")
        tar.add(source / "old.csv", "d/old.csv")
    dray("run", workflow(text.format("plain.tar")), cwd=tmp_path)
    assert contents(tmp_path / "out/data") == {"d": None, "d/picture.txt": PNG}
    (source / "big.bin").chmod(0)
    failed = bound("run", workflow(text.format("source").replace("out/data", "out/other")), cwd=tmp_path, exit=None)
    assert failed.code != 0 and "big.bin" in failed.err
    assert not (tmp_path / "out/other").exists()


def test_regex_matches_whole_paths(picks):
    kept, dropped = picks("filter/regex", r"{ include: ['[^/]*\.csv', 'EMP.Y', 'reads/.*'], exclude: ['.*\.Q?bin'],"
                                          " ignore_case: true }")
    assert kept == {"old.csv", "link.csv", BAD, "empty", "reads/x.FASTQ.gz", "reads/y.fastq"}
    assert dropped["reads/same.bin"] == ("pick.exclude[0]", r'".*\.Q?bin"')
    assert dropped["zero"] == ("pick.include", "no pattern matched")
    # A byte that is no character is one byte.
    assert set(picks("filter/regex", "{ exclude: ['bad.[.]csv'] }")[1]) == {BAD}


def test_wrong_expressions_are_reported_with_their_places(picks):
    text = "{ include: ['a(', ''], exclude: ['x[z-a]'] }"
    assert faults(picks("filter/regex", text, exit=2)) == [
        (6, 11 + text.index("(") + 1, "missing closing parenthesis"),
        (6, 11 + text.index("''"), "the expression is empty, and no path is"),
        (6, 11 + text.index("-a") + 1, "range out of order in character class")]


@pytest.mark.parametrize("expression", ["(a+)+$", "(a|aa)+$", "(.*a){25}"])
def test_a_hostile_expression_ends_soon_and_names_itself_and_the_path(picks, source, expression):
    (source / ("a" * 60 + "!")).touch()
    began = time.monotonic()
    failed = picks("filter/regex", f"{{ exclude: ['{expression}'] }}", exit=2)
    assert time.monotonic() - began < 30
    error = failed.json()["error"]
    assert f'exclude[0] "{expression}"' in error["message"] and "a" * 60 + "!" in error["message"]
    assert "given up" in error["message"] and "filter/glob" in error["hint"]


def test_all_of_them_deliver_together_and_a_policy_injects_them(dray, source, workflow, tmp_path, files):
    files(tmp_path / "policies", {"site.yaml": """\
version: 1
policy: site
revision: 1
rules:
  - id: tidy
    mode: enforce
    inject:
      - { uses: filter/size, with: { max: 2 KiB } }
      - { uses: filter/time, with: { after: 2021-01-01 } }
      - { uses: filter/type, with: { exclude_extensions: [gz] } }
      - { uses: filter/mime, with: { exclude: ["image/*"] } }
      - { uses: filter/regex, with: { exclude: ["z[e]ro"] } }
    message: Only what is tidy leaves.
"""})
    plan = workflow("version: 1\ndataset: ./source\nsteps:\n"
                    "  - { id: deliver, uses: push/hpfs, with: { path: ./out/data } }\n")
    lines = dray("preview", plan, "--policies", "./policies", "--json", cwd=tmp_path).json_lines()
    whys = {line["path"]: line["why"] for line in lines if line.get("verdict") == "drop"}
    said = " (Only what is tidy leaves.)"
    assert whys == {"big.bin": "max 2 KiB" + said, "reads/same.bin": "max 2 KiB" + said,
                    "old.csv": 'after "2021-01-01"' + said, "link.csv": 'after "2021-01-01"' + said,
                    "reads/x.FASTQ.gz": '"gz"' + said, "picture.txt": '"image/*"' + said, "zero": '"z[e]ro"' + said}
    assert {line["by"] for line in lines if line.get("verdict") == "drop"} == {"policy:site/tidy"}
    dray("run", plan, "--policies", "./policies", cwd=tmp_path)
    found = subprocess.run(["find", "-not", "-path", "./.dray*"], cwd=tmp_path / "out/data", capture_output=True,
                           check=True).stdout.split(b"\n")
    assert sorted(found) == [b"", b".", b"./bad\xff.csv", b"./empty", b"./reads", b"./reads/y.fastq"]


def test_tests_of_a_policy_are_decided_by_names_paths_and_sizes(dray, files, tmp_path):
    files(tmp_path / "policies", {"site.yaml": """\
version: 1
policy: site
revision: 1
rules:
  - { id: names, mode: enforce, inject: [{ uses: filter/type, with: { exclude_extensions: [bam] } }] }
  - { id: paths, mode: enforce, inject: [{ uses: filter/regex, with: { exclude: ['raw/.*'] } }] }
  - { id: sizes, mode: enforce, inject: [{ uses: filter/size, with: { max: 1 MB } }] }
tests:
  - { name: by name, given: { target.type: hpfs, path: x.BAM }, expect: { verdict: drop, rule: names } }
  - { name: by path, given: { target.type: hpfs, path: raw/x }, expect: { verdict: drop, rule: paths } }
  - { name: by size, given: { target.type: hpfs, path: x, size: 1000001 }, expect: { verdict: drop, rule: sizes } }
  - { name: neither, given: { target.type: hpfs, path: x/raw/x.bam.bai, size: 1 MB }, expect: { verdict: keep } }
"""})
    dray("policy", "test", "./policies", cwd=tmp_path)
