# SPDX-License-Identifier: MIT
"""The catalog: datasets with names, and what is known of them."""
import json
import shutil
import subprocess
import time

import pytest

from conftest import TIME, contents, record

SHA = "ab" * 32
MD5 = "cd" * 16


@pytest.fixture
def world(files, tmp_path):
    return files(tmp_path, {"data/a.nc": "a", "data/tmp/b": "bb", "old.tar": "no archive"})


@pytest.fixture
def lines(tmp_path):
    """lines({...}, "text") writes a file of JSON lines."""

    def write(*rows, name="catalog.jsonl"):
        path = tmp_path / name
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    return write


def test_what_is_added_is_shown_and_listed(dray, world):
    said = dray("dataset", "add", "ocean", "--type", "RAW_DATA", "--source", "data", "--tag", "human", "--tag", "wgs",
                "--tag", "human", "--label", "project=P1", "--label", "note=a=b", "--owner", "mira",
                "--external-id", "bio-17", cwd=world)
    assert said.out == "RAW_DATA/ocean (id:1) added\n"
    shown = dray.json("dataset", "show", "ocean")
    assert TIME.match(shown.pop("created")) and TIME.match(shown.pop("updated"))
    assert shown == {"id": 1, "name": "ocean", "type": "RAW_DATA", "external_id": "bio-17", "owner": "mira",
                     "tags": ["human", "wgs"], "labels": {"project": "P1", "note": "a=b"},
                     "source": str(world / "data")}
    text = dray("dataset", "show", "RAW_DATA/ocean").out
    assert text.startswith("dataset     RAW_DATA/ocean (id:1)\nexternal id bio-17\nowner       mira\n"
                           f"source      {world}/data\ntags        human, wgs\nlabels      ")
    assert dray("dataset", "list").out == "id:1       RAW_DATA/ocean  of mira  [human, wgs]\n"
    assert dray.json("dataset", "show", "id:1")["name"] == "ocean"


def test_what_is_not_said_is_not_known(dray):
    assert dray("dataset", "list").out == "no datasets\n"
    made = dray.json("dataset", "add", "ocean")
    assert set(made) == {"id", "name", "created", "updated"}
    assert dray("dataset", "list").out == "id:1       ocean\n"


def test_set_changes_what_is_named_and_nothing_else(dray, world):
    dray("dataset", "add", "ocean", "--type", "RAW", "--tag", "human", "--label", "a=1", "--label", "b=2",
         "--owner", "mira", "--external-id", "x")
    changed = dray.json("dataset", "set", "ocean", "--label", "b=", "--label", "c=3", "--owner", "otto")
    assert changed["labels"] == {"a": "1", "c": "3"} and changed["owner"] == "otto"
    assert changed["tags"] == ["human"] and changed["type"] == "RAW" and changed["external_id"] == "x"
    assert dray("dataset", "set", "ocean", "--name", "sea", "--tag", "mouse", "--type", "").out == "sea (id:1) changed\n"
    shown = dray.json("dataset", "show", "sea")
    assert shown["tags"] == ["mouse"] and "type" not in shown
    assert "tags" not in dray.json("dataset", "set", "sea", "--tag", "")
    refused = dray("dataset", "set", "sea", exit=2)
    assert refused.err.startswith("error: nothing is to be changed\n hint: --name, --type")


def test_lists_are_of_those_that_were_asked_for(dray):
    dray("dataset", "add", "a", "--type", "RAW", "--tag", "x", "--owner", "mira")
    dray("dataset", "add", "b", "--type", "DERIVED", "--tag", "x", "--external-id", "e")
    dray("dataset", "add", "c")

    def names(*options):
        return [one["name"] for one in dray.json("dataset", "list", *options)]

    assert names() == ["a", "b", "c"]
    assert names("--type", "RAW") == ["a"] and names("--tag", "x") == ["a", "b"]
    assert names("--owner", "mira") == ["a"] and names("--external-id", "e") == ["b"]
    assert names("--owner", "otto") == []


def test_a_dataset_that_is_not_there_is_not_found_and_the_nearest_is_named(dray, world):
    dray("dataset", "add", "ocean-2024", "--type", "RAW")
    for command in (["show"], ["delete"], ["set", "--owner", "x"]):
        refused = dray("dataset", *command, "ocean-2042", exit=4)
        assert refused.err == ('error: there is no dataset "ocean-2042" in the catalog\n'
                               ' hint: did you mean "ocean-2024"?\n')
    assert 'did you mean "RAW/ocean-2024"?' in dray("dataset", "show", "RAV/ocean-2024", exit=4).err
    assert "dray dataset list names all" in dray("dataset", "show", "x", exit=4).err
    assert "id:7" in dray("dataset", "show", "id:7", exit=4).err
    assert "is no id of a dataset" in dray("dataset", "show", "id:x", exit=2).err
    assert "write ./data" in dray("dataset", "show", "data", cwd=world, exit=4).err
    assert "dray dataset add NAME --source ./data" in dray("dataset", "show", "./data", cwd=world, exit=4).err
    error = dray("dataset", "show", "x", "--json", exit=4).json()["error"]
    assert error["class"] == "not_found"


def test_a_name_of_several_types_is_said_with_what_to_write(dray):
    dray("dataset", "add", "ocean", "--type", "RAW")
    dray("dataset", "add", "ocean", "--type", "DERIVED")
    dray("dataset", "add", "ocean")
    refused = dray("dataset", "show", "ocean", exit=2)
    assert refused.err == ('error: 3 datasets have the name "ocean"\n'
                           " hint: write id:3, DERIVED/ocean or RAW/ocean\n")
    assert dray.json("dataset", "show", "DERIVED/ocean")["id"] == 2


def test_a_dataset_is_there_once(dray):
    dray("dataset", "add", "ocean", "--type", "RAW", "--external-id", "x")
    refused = dray("dataset", "add", "ocean", "--type", "RAW", exit=2)
    assert 'there is a dataset "ocean" of the type "RAW" already (id:1)' in refused.err
    assert "hint: to change it: dray dataset set" in refused.err
    assert 'the external id "x" is that of another dataset' in dray("dataset", "add", "b", "--external-id", "x",
                                                                   exit=2).err
    assert len(dray.json("dataset", "list")) == 1


@pytest.mark.parametrize("name", ["a/b", ".", "..", "", "~x", "$x", "id:3", "x" * 201, "a\nb"])
def test_what_cannot_be_a_name_is_refused(dray, name):
    dray("dataset", "add", name, exit=2)
    assert dray.json("dataset", "list") == []


@pytest.mark.parametrize("options, said", [
    (["--source", "./missing"], "the source "), (["--source", "/dev/null"], "neither a file nor a directory"),
    (["--source", "s3://bucket/x"], "this release has no source for s3://bucket/x"),
    (["--label", "x"], "it takes NAME=VALUE"), (["--label", "x?=1"], '"x?" cannot be the name of a label'),
    (["--type", "a/b"], '"a/b" cannot be a type'), (["--owner", b"\xff"], "is not UTF-8"),
    (["--tag", "a\tb"], "`tags` holds control characters, such as the end of a line"),
    (["--name", "y"], "dray dataset add does not take --name")])
def test_what_is_said_wrongly_is_refused(dray, options, said):
    refused = dray("dataset", "add", "x", *options, exit=4 if "missing" in str(options) else 2)
    assert said in refused.err
    assert dray.json("dataset", "list") == []


def test_a_dataset_that_is_deleted_is_gone_and_its_files_are_not(dray, world):
    dray("dataset", "add", "ocean", "--source", world / "data")
    assert dray("dataset", "delete", "ocean").out == ("ocean (id:1) deleted from the catalog; its files are where "
                                                      "they were\n")
    dray("dataset", "show", "ocean", exit=4)
    assert (world / "data/a.nc").exists()
    assert dray.json("dataset", "add", "ocean")["id"] == 2


# ---- import

def test_an_import_adds_and_then_changes(dray, world, lines):
    first = lines({"name": "ocean", "type": "RAW", "external_id": "7", "owner": "mira", "tags": ["human"],
                   "labels": {"a": "1"}, "source": "data",
                   "files": [{"path": "a.nc", "size": 1, "sha256": SHA.upper()},
                             {"path": "tmp/b", "size": 2, "md5": MD5}]},
                  "", {"name": "air"})
    assert dray("dataset", "import", first).out == "2 added, 0 changed, 2 files\n"
    shown = dray.json("dataset", "show", "ocean")
    assert shown["source"] == str(world / "data") and shown["entries"] == 2 and shown["bytes"] == 3
    assert TIME.match(shown["listed"])
    assert shown["files"] == [{"path": "a.nc", "size": 1, "sha256": SHA}, {"path": "tmp/b", "size": 2, "md5": MD5}]
    text = dray("dataset", "show", "ocean").out
    assert "files       2 files, 3 B, recorded " in text and f"             1  {SHA[:12]}  a.nc\n" in text
    assert "  2 files, 3 B  [human]\n" in dray("dataset", "list").out
    # the same platform's id, another name: it is the same dataset
    second = lines({"name": "sea", "external_id": "7", "owner": None, "labels": {"b": "2"}}, {"name": "air", "tags": ["x"]})
    assert dray.json("dataset", "import", second) == {"file": str(second), "added": 0, "changed": 2, "files": 0}
    shown = dray.json("dataset", "show", "sea")
    assert shown["id"] == 1 and shown["type"] == "RAW" and shown["tags"] == ["human"] and "owner" not in shown
    assert shown["labels"] == {"b": "2"} and shown["entries"] == 2
    assert dray.json("dataset", "show", "air")["tags"] == ["x"]


def test_files_may_follow_their_dataset_line_by_line(dray, lines):
    dray("dataset", "import", lines({"name": "ocean"}, {"path": "b", "size": 1}, {"path": "a", "size": 2},
                                    {"name": "air"}, {"path_b64": "Yf8=", "size": 3}))
    assert [one["path"] for one in dray.json("dataset", "show", "ocean")["files"]] == ["a", "b"]
    [file] = dray.json("dataset", "show", "air")["files"]
    assert file["path_b64"] == "Yf8=" and file["size"] == 3
    # a list takes the place of the one before
    dray("dataset", "import", lines({"name": "ocean"}, {"path": "c", "size": 4}, {"name": "air", "files": []}))
    assert [one["path"] for one in dray.json("dataset", "show", "ocean")["files"]] == ["c"]
    assert dray.json("dataset", "show", "air")["files"] == []


def test_an_import_may_come_through_a_pipe(dray):
    said = dray("dataset", "import", "-", input=b'{"name": "ocean"}\n{"name": "air", "source": "x"}')
    assert said.out == "2 added, 0 changed, 0 files\n"
    assert dray.json("dataset", "show", "air")["source"] == str(dray.home / "x")
    refused = dray("dataset", "import", "-", input=b'{"nam": "ocean"}', exit=2)
    assert refused.err.startswith("standard input:1:1: error: ")


def test_every_bad_line_is_named_and_nothing_is_stored(dray, lines):
    bad = lines({"name": "good"}, '{"name": "x"', {"nam": "y"}, {"name": "a/b"}, [1],
                {"name": "w", "files": [{"path": "../x", "size": 1}]}, {"path": "a", "size": -1},
                {"path": "a", "size": 1, "sha256": "12"}, {"path": "a", "size": 1, "sah256": SHA},
                {"name": "t", "tags": "human"}, {"name": "l", "labels": {"a": 1}}, {"name": "f", "files": 3},
                {"path_b64": "!", "size": 1}, '{"name": "x", "name": "y"}', {"path_b64": "YQBi", "size": 1})
    refused = dray("dataset", "import", bad, exit=2)
    for line, said in [(2, "this is not JSON: "), (3, "a new dataset has no `name`"),
                       (4, '"a/b" cannot be the name of a dataset'), (5, "a line is an object"),
                       (6, '"../x" is no path in a dataset: it holds the segment ".."'),
                       (7, "a file has no `size` that is a number of bytes"),
                       (8, "`sha256` is not 64 hexadecimal digits"), (9, 'nothing of a file is called "sah256"'),
                       (10, "`tags` is not a list of texts"), (11, "`a` is not a text"), (12, "`files` is not a list"),
                       (13, "`path_b64` is not base64"), (14, "this is not JSON: "), (15, '"a" is no path in a dataset: it holds a NUL')]:
        assert f"{bad}:{line}:1: error: {said}" in refused.err, (line, said)
    assert ":1:1: error" not in refused.err and 'did you mean "sha256"?' in refused.err
    assert dray.json("dataset", "list") == []
    error = dray("dataset", "import", bad, "--json", exit=2).json()
    assert error["error"]["class"] == "invalid" and len(error["diagnostics"]) == 14


def test_what_only_the_catalog_can_refuse_leaves_all_as_it_was(dray, lines):
    dray("dataset", "add", "ocean", "--external-id", "7")
    dray("dataset", "add", "sea", "--external-id", "8")
    bad = lines({"name": "air"}, {"name": "sea", "external_id": "7"})
    assert f'{bad}:2:1: error: storing dataset sea: there is a dataset "sea" without a type already (id:2)' in \
        dray("dataset", "import", bad, exit=2).err
    twice = lines({"name": "air"}, {"path": "a", "size": 1}, {"path": "a", "size": 2})
    assert f"{twice}:3:1: error: storing the files of dataset id:3: the file a stands there twice" in \
        dray("dataset", "import", twice, exit=2).err
    alone = lines({"path": "a", "size": 1})
    assert "a file stands here before any dataset" in dray("dataset", "import", alone, exit=2).err
    assert [one["name"] for one in dray.json("dataset", "list")] == ["ocean", "sea"]


def test_a_line_of_another_external_id_does_not_take_over_a_dataset_of_that_name(dray, lines):
    dray("dataset", "add", "ocean", "--type", "RAW", "--external-id", "7", "--tag", "human")
    before = dray.json("dataset", "list")
    bad = lines({"name": "air"}, {"name": "ocean", "type": "RAW", "external_id": "8", "tags": ["mouse"]})
    refused = dray("dataset", "import", bad, exit=2)
    assert f'{bad}:2:1: error: the dataset "ocean" (id:1) has the external id "7", and this line says "8"' in refused.err
    assert "dray dataset set id:1 --external-id 8" in refused.err
    assert dray.json("dataset", "list") == before
    # also where both stand in one file
    twice = lines({"name": "sea", "external_id": "1"}, {"name": "sea", "external_id": "2"})
    assert f'{twice}:2:1: error: the dataset "sea" (id:2) has the external id "1"' in \
        dray("dataset", "import", twice, exit=2).err
    assert dray.json("dataset", "list") == before
    # one that has none yet gets it
    dray("dataset", "add", "fish")
    dray("dataset", "import", lines({"name": "fish", "external_id": "9"}, {"name": "ocean", "type": "RAW"}))
    assert dray.json("dataset", "show", "fish")["external_id"] == "9"


def test_another_source_drops_the_list_of_the_one_before(dray, world, lines):
    listed = {"name": "ocean", "source": "data", "files": [{"path": "a.nc", "size": 1}]}
    dray("dataset", "import", lines(listed))
    assert dray("dataset", "set", "ocean", "--source", world / "data").out == "ocean (id:1) changed\n"
    assert dray.json("dataset", "show", "ocean")["entries"] == 1
    said = dray("dataset", "set", "ocean", "--source", world / "data/tmp")
    assert said.out == ("ocean (id:1) changed; the list of its 1 file was of the source before, and is dropped\n")
    shown = dray.json("dataset", "show", "ocean")
    assert "listed" not in shown and "files" not in shown and "entries" not in shown
    # an import too, and what it brings itself stays
    dray("dataset", "import", lines(listed, {"name": "air", "files": [{"path": "x", "size": 1}]}))
    assert dray.json("dataset", "show", "ocean")["entries"] == 1
    moved = lines({"name": "ocean", "source": "old.tar"}, {"name": "air", "source": "old.tar"})
    assert dray("dataset", "import", moved).out == ("0 added, 2 changed, 0 files, 1 list dropped, of another source "
                                                    "than now\n")
    assert "listed" not in dray.json("dataset", "show", "ocean")
    assert dray.json("dataset", "show", "air")["entries"] == 1  # recorded before anybody said where
    dray("dataset", "import", lines(listed))
    assert dray.json("dataset", "set", "ocean", "--source", "")["list_dropped"] == 1
    moved = lines({"name": "air", "source": "data", "files": [{"path": "y", "size": 2}, {"path": "z", "size": 2}]})
    assert dray("dataset", "import", moved).out == "0 added, 1 changed, 2 files\n"
    assert dray.json("dataset", "show", "air")["entries"] == 2


def test_json_that_is_not_in_lines_is_told_how_it_becomes_so(dray, tmp_path):
    (tmp_path / "list.json").write_text('[\n  {"name": "a"},\n  {"name": "b"}\n]\n')
    refused = dray("dataset", "import", tmp_path / "list.json", exit=2)
    assert refused.err.count("jq -c '.[]'") == 1 and refused.err.count("this is not JSON") == 3
    assert "    1 | " not in refused.err  # the line is not quoted
    assert "jq -c" in dray("dataset", "import", "-", input=b'[{"name": "a"}]', exit=2).err
    said = dray("dataset", "import", "-", input=b'{"name": "a", "sha256": "x"}', exit=2).err
    assert '"bundle": {"size": N, "sha256": DIGITS}' in said


def test_a_path_in_the_wrong_place_is_told_where_it_belongs(dray, world, files):
    assert "a path is its source: dray dataset add NAME --source ./data" in dray(
        "dataset", "add", "./data", cwd=world, exit=2).err
    assert "what is not there yet can be imported" in dray("dataset", "add", "x", "--source", "no", exit=4).err
    files(world, {"sda:x": "a file"})
    refused = dray("dataset", "add", "x", "--source", "sda:x", cwd=world, exit=2)
    assert "there is a file of that name" in refused.err and "for the path write ./sda:x" in refused.err
    dray("dataset", "add", "x", "--source", "./sda:x", cwd=world)
    assert "`name` holds control characters" in dray("dataset", "add", "a\nb", exit=2).err
    assert "`owner` is longer than 1024 bytes" in dray("dataset", "add", "a", "--owner", "x" * 1025, exit=2).err


def test_a_file_that_is_not_there_is_not_found(dray, tmp_path):
    assert "reading " in dray("dataset", "import", tmp_path / "none", exit=4).err
    assert "is a directory" in dray("dataset", "import", tmp_path, exit=2).err


def test_terminals_get_no_control_characters(dray, lines):
    dray("dataset", "import", lines({"name": "ocean", "files": [{"path": "a\u001bb", "size": 1}]}))
    assert "\x1b" not in dray("dataset", "show", "ocean").out


def test_verbs_and_arguments_are_checked(dray):
    assert 'did you mean "import"' in dray("dataset", "imprt", exit=2).err
    assert "dray dataset list does not take --source" in dray("dataset", "list", "--source", "x", exit=2).err
    assert "an argument is missing" in dray("dataset", "show", exit=2).err
    assert "unexpected argument b" in dray("dataset", "show", "a", "b", exit=2).err


# ---- in workflows

DELIVER = "version: 1\ndataset: {}\nsteps:\n  - {{ id: out, uses: push/hpfs, with: {{ into: ./out }} }}\n"


@pytest.fixture
def ocean(dray, world, workflow):
    """A dataset of the catalog, and a workflow that delivers it by its name."""
    (world / "out").mkdir()
    dray("dataset", "add", "ocean", "--source", world / "data", "--type", "RAW_DATA", "--tag", "human", "--label",
         "project=P1", "--owner", "mira")
    return workflow(DELIVER.format("ocean"))


@pytest.fixture
def rules(files, tmp_path):
    """rules("when ...") is a directory of policies with one rule that drops tmp/ then."""

    def write(when):
        text = ("version: 1\npolicy: site\nrevision: 1\nrules:\n  - { id: r, mode: enforce, message: no, when: "
                f"{{ {when} }}, inject: [{{ uses: filter/glob, with: {{ exclude: [\"tmp/\"] }} }}] }}\n")
        return files(tmp_path / "policies", {"site.yaml": text})

    return write


def test_a_workflow_delivers_a_dataset_by_its_name(dray, ocean, world):
    plan = dray.json("plan", ocean)
    assert plan["dataset"]["name"] == "ocean" and plan["dataset"]["id"] == "id:1"
    assert [(step["id"], step["uses"]) for step in plan["steps"]] == [
        ("stage", "source/directory"), ("validate", "validate"), ("out", "push/hpfs")]
    assert plan["steps"][0]["with"]["path"] == str(world / "data")
    dray("run", ocean)
    assert contents(world / "out/ocean") == contents(world / "data")
    assert record(world / "out/ocean", "receipt.json")["dataset"]["name"] == "ocean"
    assert dray.json("run", ocean)["already_delivered"] is True


def test_run_takes_a_name_from_the_command_line(dray, ocean, world):
    for name in ("ocean", "RAW_DATA/ocean", "id:1"):
        assert dray.json("plan", ocean, "--dataset", name)["dataset"]["id"] == "id:1"
    dray("push", "RAW_DATA/ocean", "--to", world / "out/x")
    assert set(contents(world / "out/x")) == {"a.nc", "tmp", "tmp/b"}
    assert dray.json("jobs", "--dataset", "ocean")[0]["dataset"] == "ocean"


def test_a_dataset_keeps_its_identity_under_another_name(dray, ocean, world, workflow):
    key = dray.json("plan", ocean)["targets"][0]["request_key"]
    target = workflow(DELIVER.format("sea").replace("into: ./out", "path: ./out/ocean"), "sea.yaml")
    dray("dataset", "set", "ocean", "--name", "sea")
    assert dray.json("plan", target)["targets"][0]["request_key"] == key
    dray("dataset", "add", "twin", "--source", world / "data")
    assert dray.json("plan", target, "--dataset", "twin")["targets"][0]["request_key"] != key


def test_an_archive_of_the_catalog_is_staged_as_one(dray, world, workflow):
    subprocess.run(["tar", "-C", world / "data", "-cf", world / "x.tar", "."], check=True)
    dray("dataset", "add", "ocean", "--source", world / "x.tar")
    (world / "out").mkdir()
    work = workflow(DELIVER.format("ocean"))
    assert dray.json("plan", work)["steps"][0]["uses"] == "source/archive"
    dray("run", work)
    assert set(contents(world / "out/ocean")) == {"a.nc", "tmp", "tmp/b"}


def test_a_name_that_is_not_in_the_catalog_stops_the_plan_with_the_nearest(dray, ocean, workflow):
    refused = dray("plan", workflow(DELIVER.format("ocaen"), "w.yaml"), exit=2)
    assert 'w.yaml:2:10: error: there is no dataset "ocaen" in the catalog' in refused.err
    assert '^~~~~ did you mean "ocean"?' in refused.err
    assert 'hint: did you mean "ocean"?' in dray("run", ocean, "--dataset", "ocaen", exit=4).err
    dray("dataset", "add", "ocean", "--type", "DERIVED")
    said = dray("plan", ocean, exit=2).err
    assert '2 datasets have the name "ocean"' in said and "write DERIVED/ocean or RAW_DATA/ocean" in said
    dray("check", ocean)  # which looks at no catalog, as it looks at no dataset


def test_a_dataset_without_bytes_is_told(dray, ocean, world, workflow):
    dray("dataset", "add", "empty")
    refused = dray("plan", ocean, "--dataset", "empty", exit=2)
    assert 'the catalog does not say where the bytes of "empty" are' in refused.err
    assert "dray dataset set id:2 --source PATH" in refused.err
    in_file = dray("plan", workflow(DELIVER.format("empty"), "w.yaml"), exit=2).err
    assert 'w.yaml:2:10: error: the catalog does not say where the bytes of "empty" are' in in_file
    (world / "data").rename(world / "gone")
    assert f"the dataset {world}/data cannot be read: No such file" in dray("plan", ocean, exit=2).err


def test_a_source_of_the_workflow_takes_the_place_of_the_catalogs(dray, ocean, world, files, workflow):
    files(world / "other", {"z": "z"})
    own = DELIVER.replace("steps:\n", "steps:\n  - {{ id: s, uses: source/directory, with: {{ path: ./other }} }}\n")
    dray("dataset", "add", "bare")
    for name in ("bare", "ocean"):
        dray("run", workflow(own.format(name), f"{name}.yaml"))
        assert set(contents(world / "out" / name)) == {"z"}


def test_a_target_inside_the_dataset_is_refused(dray, ocean, workflow):
    work = workflow(DELIVER.format("ocean").replace("into: ./out", "path: ./data/x"), "w.yaml")
    assert "lies inside the dataset" in dray("plan", work, exit=2).err


@pytest.mark.parametrize("when, holds", [
    ("dataset.type: RAW_DATA", True), ("dataset.type: OTHER", False), ("dataset.tags: human", True),
    ("dataset.tags: mouse", False), ("dataset.owner: mira", True), ("dataset.labels.project: P1", True),
    ("dataset.labels.project: P2", False), ("dataset.name: ocean", True)])
def test_policies_know_what_the_catalog_says(dray, ocean, world, rules, when, holds):
    policies = rules(when)
    dray("run", ocean, "--policies", policies)
    assert ("tmp/b" not in contents(world / "out/ocean")) == holds
    answer = dray.json("policy", "explain", "--policies", policies, "--dataset", "ocean", "--target", world / "out/",
                       "--path", "tmp/b")
    assert (answer["verdict"] == "drop") == holds


def test_what_the_catalog_does_not_say_stops_the_delivery(dray, ocean, world, rules):
    policies = rules("dataset.labels.consent: signed")
    refused = dray("run", ocean, "--policies", policies, exit=3)
    assert 'asks for dataset.labels.consent, which is not known of dataset "ocean"' in refused.err
    shutil.copytree(world / "data", world / "other")
    dray("dataset", "add", "untagged", "--source", world / "other")
    dray("run", ocean, "--dataset", "untagged", "--policies", rules("dataset.tags: human"), exit=3)
    dray("run", ocean, "--dataset", "untagged", "--policies", rules('"dataset.tags?": human'))
    assert "tmp/b" in contents(world / "out/untagged")


def test_what_one_row_of_the_catalog_says_of_a_source_holds_for_all_that_have_it(dray, ocean, world, rules, workflow):
    (world / "link").symlink_to("data")
    (world / "linked").symlink_to("link")
    dray("dataset", "add", "twin", "--source", world / "data", "--tag", "mouse", "--type", "DERIVED")
    dray("dataset", "add", "other", "--source", world / "link", "--tag", "mouse")
    own = ("version: 1\nsteps:\n  - {{ id: s, uses: source/directory, with: {{ path: ./{} }} }}\n"
           "  - {{ id: out, uses: push/hpfs, with: {{ path: ./out/own }} }}\n")
    for when in ('"dataset.tags?": human', '"dataset.type?": RAW_DATA', '"dataset.labels.project?": P1'):
        policies = rules(when)
        for name in ("twin", "other", world / "linked"):
            seen = dray("preview", ocean, "--dataset", name, "--policies", policies).out
            assert "tmp/b" in seen and "policy:site/r" in seen
        seen = dray("preview", workflow(own.format("linked"), "own.yaml"), "--policies", policies).out
        assert "policy:site/r" in seen
    assert "policy:site/r" not in dray("preview", ocean, "--dataset", "twin", "--policies",
                                       rules('"dataset.tags?": fish')).out
    # of a name alone nothing is known
    dray("run", ocean, "--dataset", world / "linked", "--policies", rules("dataset.owner: ana"), exit=3)


def test_rows_that_bring_the_same_from_tape_are_weighed_together(dray, world, rules, files, workflow):
    work = workflow(DELIVER.format("ocean"))
    files(world, {"dray.yaml": "version: 1\nsources: { sda: { uses: source/command, with: { argv: [/bin/cp, \"{remote}\", "
                               "\"{local}\"] } } }\n", "out/x": ""})
    dray("dataset", "add", "ocean", "--source", "sda:/hpss/x.tar", "--tag", "human")
    dray("dataset", "add", "twin", "--source", "sda:/hpss/x.tar", "--tag", "mouse")
    dray("dataset", "add", "sea", "--source", "sda:/hpss/y.tar", "--tag", "mouse")
    for name, held in (("twin", True), ("sea", False)):
        plan = dray.json("plan", "--config", world / "dray.yaml", "--policies", rules("dataset.tags: human"),
                         "--dataset", name, work)
        assert ("filter/glob" in [step["uses"] for step in plan["steps"]]) == held


# ---- sources that overlap

ONLY_CLOUD = ("version: 1\npolicy: site\nrevision: 1\nrules:\n  - { id: no, mode: enforce, when: { \"dataset.tags?\": "
              "restricted }, allow: { target.type: cloud }, message: Ask. }\n")


@pytest.fixture
def refused(dray, world, files, workflow):
    """refused(dataset) is what is said when it may not be delivered, "" when it may."""
    policies = files(world / "only-cloud", {"site.yaml": ONLY_CLOUD})
    (world / "out").mkdir()

    def plan(dataset, *options, code=3):
        work = workflow(DELIVER.format(dataset), "w.yaml")
        return dray("plan", work, "--policies", policies, *options, exit=code).err

    return plan


def counts(row, source, how):
    return f"what counts is dataset {row} of the catalog: its source {source} is {how} read"


def test_what_is_said_of_a_directory_holds_for_its_parts_and_for_what_it_is_a_part_of(dray, world, files, refused):
    files(world, {"d/secret/sub/f": "s", "d/free/g": "g"})
    secret = world / "d/secret"
    (world / "way").symlink_to("d/secret/sub")
    (world / "d/free/door").symlink_to("../secret")
    dray("dataset", "add", "secret", "--source", secret, "--tag", "restricted")
    for name, source in {"sub": secret / "sub", "file": secret / "sub/f", "way": world / "way", "d": world / "d",
                         "free": world / "d/free"}.items():
        dray("dataset", "add", name, "--source", source, "--tag", "open")
    for dataset in ("sub", "file", "way", secret / "sub", "./way", "./d/free/door/sub", "./d/free/../secret/sub/f"):
        assert counts('"secret" (id:1)', secret, "above what is") in refused(dataset)
    for dataset in ("d", world / "d", "./d/free/.."):
        assert counts('"secret" (id:1)', secret, "a part of what is") in refused(dataset)
    assert counts('"secret" (id:1)', secret, "what is") in refused(secret)
    assert "what counts" not in refused("secret")
    for dataset in ("free", world / "d/free"):
        refused(dataset, code=0)
    # a link of the dataset's row is as good as its path
    dray("dataset", "set", "secret", "--source", world / "d/free/door")
    assert counts('"secret" (id:1)', world / "d/free/door", "a part of what is") in refused("d")


def test_the_root_and_rows_of_what_is_not_there_overlap_too(dray, world, lines, refused):
    dray("dataset", "import", lines({"name": "gone", "source": str(world / "data/gone/x"), "tags": ["restricted"]}))
    assert counts('"gone" (id:1)', world / "data/gone/x", "a part of what is") in refused("./data")
    refused("./old.tar", code=0)
    dray("dataset", "add", "all", "--source", "/", "--tag", "restricted")
    assert counts('"all" (id:2)', "/", "above what is") in refused("./old.tar")


def test_explain_weighs_what_overlaps_as_a_plan_does(dray, world, files, refused):
    files(world, {"d/secret/sub/f": "s", "e/f": "e"})
    secret = world / "d/secret"
    policies = world / "only-cloud"
    dray("dataset", "add", "secret", "--source", secret, "--tag", "restricted")
    dray("dataset", "add", "sub", "--source", secret / "sub", "--tag", "open")
    dray("dataset", "add", "tape", "--source", "sda:/t/x.tar", "--tag", "restricted")

    def explain(dataset, *options):
        return dray.json("policy", "explain", "--policies", policies, "--dataset", dataset, "--target", world / "out/",
                         *options)

    for dataset, row, source, how in (
            ("sub", '"secret" (id:1)', secret, "above what is"), (world / "d", '"secret" (id:1)', secret, "a part of what is"),
            (secret / "gone", '"secret" (id:1)', secret, "above what is"),
            ("sda:/t//x.tar", '"tape" (id:3)', "sda:/t/x.tar", "what is")):
        answer = explain(dataset)
        assert answer["verdict"] == "deny" and answer["rules"][0]["bearing"] == "denies"
        assert counts(row, source, how) in answer["rules"][0]["why"]
    assert explain("sub")["facts"]["dataset.tags"] == ["open"]
    answer = explain("secret")
    assert answer["verdict"] == "deny" and "what counts" not in answer["rules"][0]["why"]
    assert explain(world / "e")["verdict"] == explain("nothing")["verdict"] == "keep"
    # what is given is said of the case alone
    assert explain("sub", "--given", "dataset.tags=mouse")["verdict"] == "deny"
    assert explain("sub", "--given", "target.type=cloud")["verdict"] == "keep"
    said = dray("policy", "explain", "--policies", policies, "--dataset", "sub", "--target", world / "out/").out
    assert counts('"secret" (id:1)', secret, "above what is") in said


def test_an_archive_is_a_part_of_the_directory_it_lies_in(dray, world, files, refused):
    files(world, {"shelf/old.tar": "no archive"})
    dray("dataset", "add", "old", "--source", world / "shelf/old.tar", "--tag", "restricted")
    assert counts('"old" (id:1)', world / "shelf/old.tar", "a part of what is") in refused("./shelf")
    refused("./data", code=0)


def test_a_workflows_own_source_is_weighed_with_what_lies_around_it(dray, world, files, workflow, refused):
    files(world, {"d/secret/sub/f": "s"})
    dray("dataset", "add", "secret", "--source", world / "d/secret", "--tag", "restricted")
    dray("dataset", "add", "open", "--source", world / "data", "--tag", "open")
    own = DELIVER.replace("steps:\n", "steps:\n  - {{ id: s, uses: source/directory, with: {{ path: ./{} }} }}\n")
    for path, how in (("d/secret/sub", "above"), ("d", "a part of")):
        work = workflow(own.format("open", path), "own.yaml")
        said = dray("run", work, "--policies", world / "only-cloud", exit=3).err
        assert counts('"secret" (id:1)', world / "d/secret", f"{how} what is") in said


def test_remotes_are_the_same_however_they_are_written(dray, world, files, refused):
    config = files(world, {"dray.yaml": "version: 1\nsources: { sda: { uses: source/command, with: { argv: [/bin/cp, "
                                        "\"{remote}\", \"{local}\"] } } }\n"}) / "dray.yaml"
    dray("dataset", "add", "secret", "--source", "sda:/tape/x.tar", "--tag", "restricted")
    dray("dataset", "add", "open", "--source", "sda:/tape/y.tar", "--tag", "open")
    for index, path in enumerate(("/tape//x.tar", "/tape/./x.tar", "/tape/y/../x.tar", "/../tape/x.tar")):
        dray("dataset", "add", f"twin{index}", "--source", f"sda:{path}", "--tag", "open")
        for dataset in (f"twin{index}", f"sda:{path}"):
            assert counts('"secret" (id:1)', "sda:/tape/x.tar", "what is") in refused(dataset, "--config", config)
    refused("open", "--config", config, code=0)
    refused("sda:/tape/z.tar", "--config", config, code=0)
    dray("dataset", "add", "tape", "--source", "sda:/tape/", "--tag", "restricted")
    assert counts('"tape" (id:7)', "sda:/tape/", "above what is") in refused("sda:/tape/z.tar", "--config", config)


def test_what_a_row_around_it_does_not_say_is_not_known(dray, ocean, world, rules):
    dray("dataset", "add", "around", "--source", world)
    said = dray("plan", ocean, "--policies", rules("dataset.tags: restricted"), exit=3).err
    assert 'which is not known of dataset "around"' in said
    assert counts('"around" (id:2)', world, "above what is") in said


def test_ten_thousand_rows_are_weighed(dray, world, lines, refused):
    rows = [{"name": f"n{index}", "source": str(world / f"data/{index}"), "tags": ["open"]} for index in range(9999)]
    dray("dataset", "import", lines(*rows, {"name": "last", "source": str(world / "data/a.nc"), "tags": ["restricted"]}))
    for dataset, code in (("./old.tar", 0), ("./data", 3)):
        start = time.monotonic()
        said = refused(dataset, code=code)
        print(f"{dataset} planned in {time.monotonic() - start:.2f} s")
    assert counts('"last" (id:10000)', world / "data/a.nc", "a part of what is") in said


def test_what_a_source_of_the_workflows_own_reads_is_not_what_the_catalog_speaks_of(dray, ocean, world, rules, files,
                                                                                 workflow):
    files(world / "other", {"tmp/z": "z"})
    own = DELIVER.replace("steps:\n", "steps:\n  - {{ id: s, uses: source/directory, with: {{ path: ./{} }} }}\n")
    policies = rules("dataset.tags: mouse")
    dray("run", workflow(own.format("ocean", "other"), "w.yaml"), "--policies", policies, exit=3)
    dray("run", workflow(own.format("ocean", "data"), "w.yaml"), "--policies", policies)


# ---- previews


def test_a_preview_takes_the_catalogs_list_without_the_dataset(dray, world, lines, workflow):
    dray("dataset", "import", lines({"name": "ocean", "source": "/nowhere/ocean.tar"}, {"path": "a\nb.nc", "size": 3},
                                    {"path": "tmp/b", "size": 2}, {"path_b64": "Yf8=", "size": 5}))
    work = workflow(DELIVER.format("ocean").replace(
        "steps:\n", "steps:\n  - { id: pick, uses: filter/glob, with: { exclude: ['tmp/'] } }\n"))
    seen = dray("preview", work, "--from-catalog", "--json").json_lines()
    assert {entry["path"]: entry["verdict"] for entry in seen if not entry.get("path", "tmp").endswith("tmp")} == {
        "a\nb.nc": "keep", "tmp/b": "drop", "a\ufffd": "keep"}
    text = dray("preview", work, "--from-catalog").out
    recorded = dray.json("dataset", "show", "ocean")["listed"]
    assert f"; from the catalog, recorded {recorded}, " in text.splitlines()[-1]
    assert "cannot be read" in dray("preview", work, exit=2).err


def test_a_preview_needs_a_list_in_the_catalog(dray, ocean, world):
    assert 'the catalog has no list of the files of "ocean"' in dray("preview", ocean, "--from-catalog", exit=2).err
    refused = dray("preview", ocean, "--from-catalog", "--dataset", world / "data", exit=2)
    assert "the dataset is a path, and the catalog has lists of its own datasets only" in refused.err
    for option in (["--stage"], ["--listing", "-"]):
        assert "give neither --listing nor --stage" in dray("preview", ocean, "--from-catalog", *option, exit=2).err
    assert "does not take --from-catalog" in dray("run", ocean, "--from-catalog", exit=2).err
