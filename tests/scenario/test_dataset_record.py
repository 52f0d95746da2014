# SPDX-License-Identifier: MIT
"""What the catalog records of a dataset's files, against what its source brings."""
import hashlib
import json
import os
import shutil
import subprocess

import pytest

from conftest import contents, record

DELIVER = "version: 1\ndataset: ocean\nsteps:\n{}  - {{ id: out, uses: push/hpfs, with: {{ path: ./out/data }} }}\n"
CHECK = "  - {{ id: check, uses: validate, with: {{ {} }} }}\n"
DROP = "  - { id: pick, uses: filter/glob, with: { exclude: ['deep/'] } }\n"


@pytest.fixture
def data(files, tmp_path):
    (tmp_path / "out").mkdir()
    return files(tmp_path / "data", {"a": "one", "deep/b": "two", "c": "three"})


@pytest.fixture
def catalog(dray, data, tmp_path):
    """catalog(source=..., path={...}) records the files of `data`, with these of them said otherwise
    (None: not at all)."""

    def write(source=data, kind="sha256", **changes):
        rows = []
        for place in sorted(data.rglob("*")):
            name = place.relative_to(data).as_posix()
            if not place.is_file():
                continue
            text = place.read_bytes()
            row = {"path": name, "size": len(text), kind: hashlib.new(kind, text).hexdigest()}
            change = changes.pop(place.name, {})
            if change is not None:
                rows.append(row | change)
        rows += [{"path": name, "size": 1} | change for name, change in changes.items()]
        lines = [{"name": "ocean", "source": str(source)}, *rows]
        (tmp_path / "lines").write_text("".join(json.dumps(line) + "\n" for line in lines))
        dray("dataset", "import", tmp_path / "lines")

    return write


@pytest.fixture
def run(dray, workflow):
    def run(steps="", exit=0, command="run", *options):
        return dray(command, workflow(DELIVER.format(steps)), *options, exit=exit)

    return run


def refused(done, tmp_path, *said):
    for text in said:
        assert text in done.err, done
    assert "source side)" in done.err and " hint: " in done.err
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_dataset_that_is_as_recorded_is_delivered_and_its_digests_were_compared(run, catalog, data, tmp_path, kind):
    catalog(kind=kind)
    run()
    assert contents(tmp_path / "out/data") == contents(data)
    assert record(tmp_path / "out/data", "receipt.json")["verified"]["against_recorded_digests"] == 3


def test_all_that_differs_is_named_at_once(run, catalog, tmp_path):
    catalog(a=None, b={"size": 4}, gone={}, lost={}, deep={})
    refused(run(exit=1), tmp_path, "the dataset is not what the catalog records: missing: gone, lost; changed: deep "
            "(a directory), deep/b (3 bytes, recorded are 4); not listed: a")


def test_push_compares_too(dray, catalog, tmp_path):
    catalog(gone={})
    refused(dray("push", "ocean", "--to", tmp_path / "out/x", exit=1), tmp_path, "missing: gone")


@pytest.mark.parametrize("kind, said", [("sha256", "its SHA-256 is"), ("md5", "its MD5 is")])
def test_a_byte_changed_with_the_old_size_is_found_when_it_is_read(run, catalog, data, tmp_path, kind, said):
    catalog(kind=kind)
    (data / "deep/b").write_text("TWO")
    refused(run(exit=1), tmp_path, f"deep/b: {said}", "recorded is")


def test_what_a_filter_drops_is_compared_by_name_and_size_and_read_now_by_digest(run, catalog, data, tmp_path):
    catalog()
    (data / "deep/b").write_text("TWO!")
    refused(run(DROP, exit=1), tmp_path, "changed: deep/b (4 bytes, recorded are 3)")
    (data / "deep/b").write_text("TWO")
    refused(run(CHECK.format("read: now") + DROP, exit=1), tmp_path, "deep/b", "SHA-256")
    run(DROP)
    assert set(contents(tmp_path / "out/data")) == {"a", "c"}


def test_files_that_are_not_recorded_pass_where_the_workflow_says_so(run, catalog, data, tmp_path):
    catalog(a=None)
    refused(run(CHECK.format("read: later"), exit=1), tmp_path, "not listed: a")
    run(CHECK.format("extra: ignore"))
    assert contents(tmp_path / "out/data") == contents(data)


def test_an_empty_list_records_that_there_is_nothing(run, dray, catalog, data, tmp_path):
    catalog(a=None, b=None, c=None)
    run()  # no list: nothing is known
    dray("dataset", "import", "-", input=b'{"name": "ocean", "files": []}')
    assert "not listed: a, c, deep/b" in dray("push", "ocean", "--to", tmp_path / "out/x", exit=1).err


def test_a_manifest_of_the_dataset_holds_too(run, catalog, data, tmp_path):
    sums = subprocess.run(["sha256sum", "a", "c", "deep/b"], cwd=data, capture_output=True, check=True).stdout
    (data / "sums").write_bytes(sums)
    catalog(kind="md5")
    run(CHECK.format("manifest: sums"))
    (data / "sums").write_bytes(sums + b"0" * 64 + b"  sums2\n")
    catalog()
    failed = run(CHECK.format("manifest: sums"), 1, "preview")
    assert "not what sums says: missing: sums2" in failed.err
    # Each says something else of one file: what is recorded of it contradicts itself.
    (data / "sums").write_bytes(sums)
    catalog(a={"sha256": "0" * 64})
    assert "not what sums says: changed: a (its SHA-256 differs)" in run(CHECK.format("manifest: sums"), 1, "preview").err


@pytest.mark.parametrize("name", ["set.tar", "set.tar.gz", "set.zip"])
def test_archives_are_compared(run, catalog, data, tmp_path, name):
    shutil.make_archive(tmp_path / "set", {"tar": "tar", "gz": "gztar", "zip": "zip"}[name.split(".")[-1]], data)
    catalog(tmp_path / name, gone={})
    refused(run(exit=1), tmp_path, "missing: gone")
    refused(run(DROP, exit=1), tmp_path, "missing: gone")
    assert "missing: gone" in run("", 1, "preview").err
    catalog(tmp_path / name, c={"sha256": "0" * 64})
    refused(run(exit=1), tmp_path, "c", "SHA-256")
    catalog(tmp_path / name, b={"sha256": "0" * 64})
    refused(run(CHECK.format("read: now") + DROP, exit=1), tmp_path, "deep/b", "SHA-256")
    run(DROP)
    assert set(contents(tmp_path / "out/data")) == {"a", "c"}


def test_a_preview_compares_names_and_sizes(run, catalog, data):
    catalog()
    (data / "a").write_text("ONE")
    run("", 0, "preview")
    (data / "a").write_text("ONE!")
    assert "changed: a (4 bytes, recorded are 3)" in run("", 1, "preview").err
    run("", 0, "preview", "--from-catalog")


def test_hard_links_share_what_is_recorded_of_one(run, catalog, data, tmp_path):
    os.link(data / "a", data / "deep/link")
    catalog(a={"sha256": None})
    run()
    assert record(tmp_path / "out/data", "receipt.json")["verified"]["against_recorded_digests"] >= 3
    catalog(link={"sha256": "0" * 64})
    assert "contradicts itself" in run("", 1, "preview").err


def test_names_may_be_any_bytes(run, dray, data, tmp_path):
    with open(os.fsencode(data) + b"/x\xff\n", "wb") as file:
        file.write(b"12345")
    rows = [{"name": "ocean", "source": str(data)}, {"path": "a", "size": 3}, {"path": "c", "size": 5},
            {"path": "deep/b", "size": 3}, {"path_b64": "eP8K", "size": 5, "md5": hashlib.md5(b"12345").hexdigest()}]
    (tmp_path / "lines").write_text("".join(json.dumps(row) + "\n" for row in rows))
    dray("dataset", "import", tmp_path / "lines")
    run()
    assert record(tmp_path / "out/data", "receipt.json")["verified"]["against_recorded_digests"] == 1


def test_a_source_of_the_workflows_own_is_not_what_the_list_speaks_of(run, catalog, data, tmp_path):
    catalog(gone={})
    run("  - { id: own, uses: source/directory, with: { path: ./data } }\n")
    assert contents(tmp_path / "out/data") == contents(data)


# ---- dray dataset verify


def test_a_dataset_is_verified_as_a_whole(dray, catalog, data, tmp_path):
    catalog()
    done = dray("dataset", "verify", "ocean")
    assert done.out.startswith("ocean (id:1) intact: 3 files, 11 B, read; digests of 3 compared; recorded 20")
    assert os.listdir(dray.state / "scratch") == [] and dray.json("jobs") == []


@pytest.mark.parametrize("name", ["data", "set.tar", "set.tar.gz", "set.zip"])
def test_verify_names_every_difference_and_fails(dray, catalog, data, tmp_path, name):
    if name != "data":
        shutil.make_archive(tmp_path / "set", {"tar": "tar", "gz": "gztar", "zip": "zip"}[name.split(".")[-1]], data)
    gone = {f"gone{number:02}": {} for number in range(15)}
    catalog(tmp_path / name, a=None, b={"size": 4}, c={"sha256": "0" * 64}, **gone)
    verdict = dray.json("dataset", "verify", "ocean", exit=1)
    assert verdict["verdict"] == "damaged" and (verdict["entries"], verdict["bytes"], verdict["digests"]) == (3, 11, 2)
    found = {one["path"]: (one["what"], one.get("why", "")) for one in verdict["differences"]}
    assert len(found) == len(verdict["differences"]) == 18
    assert found["deep/b"] == ("changed", "3 bytes, recorded are 4") and found["a"] == ("extra", "")
    assert found["c"][0] == "changed" and "SHA-256" in found["c"][1]
    assert all(found[path] == ("missing", "") for path in gone)
    text = dray("dataset", "verify", "ocean", exit=1).out
    assert "missing: gone14\n" in text and "not listed: a\n" in text and "ocean (id:1) damaged: " in text


def test_verify_goes_on_behind_a_file_that_cannot_be_read(bound, catalog, data):
    dray = bound
    catalog(c={"sha256": "0" * 64})
    (data / "a").chmod(0)
    verdict = dray.json("dataset", "verify", "ocean", exit=1)
    assert verdict["verdict"] == "damaged" and (verdict["entries"], verdict["digests"]) == (2, 3)
    found = {one["path"]: (one["what"], one["why"]) for one in verdict["differences"]}
    assert set(found) == {"a", "c"} and found["c"][0] == "changed"
    assert found["a"][0] == "unreadable" and "Permission denied" in found["a"][1]
    text = dray("dataset", "verify", "ocean", exit=1).out
    assert "unreadable: a (" in text and "changed: c (" in text and "ocean (id:1) damaged: 2 files, " in text
    # a list that is made is of all files, or is not made
    dray("dataset", "add", "new", "--source", data)
    assert "Permission denied" in dray("dataset", "verify", "new", "--record", exit=None).err
    assert "listed" not in dray.json("dataset", "show", "new")


def test_the_receipt_says_with_what_a_dataset_was_compared(run, dray, catalog, data, tmp_path):
    sums = "".join(f"{hashlib.md5((data / name).read_bytes()).hexdigest()}  {name}\n" for name in ("a", "c", "deep/b"))
    (data / "sums.txt").write_text(sums)
    catalog()
    run("  - { id: check, uses: validate, with: { manifest: sums.txt } }\n")
    verified = record(tmp_path / "out/data", "receipt.json")["verified"]
    assert verified["compared_with"] == [{"what": "catalog", "files": 4}, {"what": "manifest", "path": "sums.txt"}]
    shutil.make_archive(tmp_path / "set", "gztar", data)
    digest = hashlib.sha256((tmp_path / "set.tar.gz").read_bytes()).hexdigest()
    dray("dataset", "add", "bundle", "--source", tmp_path / "set.tar.gz", "--digest", f"sha256:{digest}")
    dray("push", "bundle", "--to", tmp_path / "out/bundle")
    verified = record(tmp_path / "out/bundle", "receipt.json")["verified"]
    assert verified["compared_with"] == [{"what": "bundle", "sha256": digest}]
    dray("push", data, "--to", tmp_path / "out/path")
    assert "compared_with" not in record(tmp_path / "out/path", "receipt.json")["verified"]


def test_verify_names_what_is_no_utf_8(dray, data, tmp_path):
    lines = [{"name": "ocean", "source": str(data)}, {"path_b64": "eP8K", "size": 5}]
    (tmp_path / "lines").write_text("".join(json.dumps(line) + "\n" for line in lines))
    dray("dataset", "import", tmp_path / "lines")
    [one] = [one for one in dray.json("dataset", "verify", "ocean", exit=1)["differences"] if one["what"] == "missing"]
    assert one["path_b64"] == "eP8K"


def test_verify_needs_a_list_and_the_dataset(dray, catalog, data, tmp_path):
    dray("dataset", "add", "air", "--source", data)
    refused = dray("dataset", "verify", "air", exit=2)
    assert 'the catalog has no list of the files of "air"' in refused.err and "dray dataset import" in refused.err
    assert 'there is no dataset "nothing"' in dray("dataset", "verify", "nothing", exit=4).err
    catalog(tmp_path / "set.tar")
    assert "cannot be read" in dray("dataset", "verify", "ocean", exit=4).err
    (tmp_path / "set.tar").write_text("no archive")
    assert "step stage: " in dray("dataset", "verify", "ocean", exit=2).err


def test_verify_asks_no_policy(dray, catalog, files):
    files(dray.home / ".config/dray/policies", {"bad.yaml": "nonsense"})
    catalog()
    dray("dataset", "verify", "ocean")


# ---- attempts


def test_each_attempt_compares(dray, catalog, data, tmp_path, workflow, mocks):
    catalog()
    push = ("  - { id: out, uses: push/mock, with: { path: ./out, fail: temporary, times: 2 }, "
            "retry: { tries: 3, backoff: 20ms } }\n")
    dray("run", workflow(f"version: 1\ndataset: ocean\nsteps:\n{push}"))
    assert len(contents(tmp_path / "out/ocean")) == 4
    job = dray.json("show", dray.json("jobs")[0]["job"])
    assert len(job["attempts"]) == 3
    (data / "a").write_text("ONE")
    push = push.replace("path: ./out", "path: ./other")
    (tmp_path / "other").mkdir()
    again = dray("run", workflow(f"version: 1\ndataset: ocean\nsteps:\n{push}"), exit=1)
    assert "a: its SHA-256 is" in again.err


def test_verify_records_a_dataset_that_has_no_list(dray, run, data, tmp_path):
    with open(os.fsencode(data) + b"/x\xff", "wb") as file:
        file.write(b"12345")
    dray("dataset", "add", "ocean", "--source", data)
    verdict = dray.json("dataset", "verify", "ocean", "--record")
    assert verdict["verdict"] == "recorded" and verdict["entries"] == 4
    files = dray.json("dataset", "show", "ocean")["files"]
    assert [(one["path"], one["size"]) for one in files] == [("a", 3), ("c", 5), ("deep/b", 3), ("x\ufffd", 5)]
    assert files[0]["sha256"] == hashlib.sha256(b"one").hexdigest() and files[3]["path_b64"] == "eP8="
    assert dray.json("dataset", "verify", "ocean")["digests"] == 4
    dray("dataset", "add", "again", "--source", data)
    assert "recorded: 4 files, 16 B, read; recorded 20" in dray("dataset", "verify", "again", "--record").out
    assert "has a list of the files" in dray("dataset", "verify", "ocean", "--record", exit=2).err
    (data / "a").write_text("ONE")
    refused(run(exit=1), tmp_path, "SHA-256")
