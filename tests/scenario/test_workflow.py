# SPDX-License-Identifier: MIT
"""What a workflow says, sentence by sentence: needs and joins, `after`, parameters, relative paths, names
that are no paths; and YAML from strangers. The messages word for word are in tests/unit/golden."""
import os

import pytest

from conftest import contents

JOIN = """\
version: 1
dataset: ./left
steps:
  - { id: l, uses: source/directory, with: { path: ./left } }
  - { id: r, uses: source/directory, with: { path: ./right } }
  - { id: joined, uses: push/hpfs, needs: [l, r], with: { path: ./out/joined } }
  - { id: late, uses: push/hpfs, needs: [l], after: [joined], with: { path: ./out/late } }
  - { id: alone, uses: push/hpfs, needs: [l], with: { path: ./out/alone } }
"""


@pytest.fixture
def out(files, tmp_path):
    files(tmp_path / "left", {"a.nc": "a\n", "b.csv": "b\n", "c/x.txt": "x\n"})
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_trees_are_joined_and_a_push_waits_for_those_it_is_after(dray, files, tmp_path, out, workflow):
    files(tmp_path / "right", {"c/y.txt": "y\n", "d.txt": "d\n"})
    dray("run", workflow(JOIN))
    assert set(contents(out / "joined")) == {"a.nc", "b.csv", "c", "c/x.txt", "c/y.txt", "d.txt"}
    assert contents(out / "late") == contents(out / "alone") == contents(tmp_path / "left")


def test_two_entries_of_one_path_are_an_error_that_names_both_trees(dray, files, tmp_path, out, workflow):
    files(tmp_path / "right", {"b.csv": "other\n"})
    result = dray("run", workflow(JOIN), exit=1)
    assert ('error: step joined: "l" and "r" cannot be joined: two entries have the path "b.csv": '
            'a file of 2 bytes and a file of 6 bytes') in result.err
    assert os.listdir(out) == ["alone"]  # what came after it is not delivered, what did not is


def test_what_stands_in_between_is_not_blamed_for_a_conflict(dray, files, tmp_path, out, workflow):
    files(tmp_path / "right", {"b.csv": "other\n"})
    text = JOIN.replace("needs: [l, r]", "needs: [pick, l, r]").replace(
        "  - { id: joined", '  - { id: pick, uses: filter/glob, needs: [l], with: { include: ["*.nc"] } }\n'
        "  - { id: joined")
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "p.yaml").write_text("version: 1\npolicy: p\nrevision: 1\nrules:\n"
                                     "  - id: raw\n    mode: enforce\n    inject:\n"
                                     "      - { uses: filter/glob, with: { exclude: [raw/] } }\n")
    result = dray("run", workflow(text), "--policies", policies, exit=1)
    assert 'step joined: "l" and "r" cannot be joined' in result.err


def test_parts_of_one_tree_meet_again(dray, out, workflow):
    dray("run", workflow("""\
version: 1
dataset: ./left
steps:
  - { id: nc, uses: filter/glob, with: { include: ["*.nc"] } }
  - { id: rest, uses: filter/glob, needs: [stage], with: { exclude: ["c/"] } }
  - { id: deliver, uses: push/hpfs, needs: [rest, nc], with: { path: ./out/both } }
"""))
    assert set(contents(out / "both")) == {"a.nc", "b.csv"}


def test_the_same_file_is_the_same_plan_from_wherever_it_is_made(dray, tmp_path, out, workflow):
    workflow("version: 1\nsteps:\n  - { id: deliver, uses: push/hpfs, with: { path: out/x } }\n")
    plans = [dray.json("plan", file, "--dataset", dataset, cwd=cwd) for file, dataset, cwd in [
        ("work.yaml", "./left", tmp_path),
        ("../work.yaml", "../left", tmp_path / "out"),
        (tmp_path / "out/../work.yaml", "./", tmp_path / "left"),
    ]]
    assert len({plan["digest"] for plan in plans}) == 1
    assert plans[1]["steps"][-1]["with"]["path"] == str(out / "x")


def test_parameters_stand_where_they_are_named_and_nothing_else_is_expanded(dray, out, workflow):
    work = workflow("""\
version: 1
name: "$${lab} of ${lab}"
dataset: ./left
parameters: { lab: { default: smith }, deep: { type: bool, default: true } }
tree: { keep_empty_dirs: "${deep}" }
steps:
  - { id: deliver, uses: push/hpfs, with: { path: "./out/${lab}-$lab-$$-$" } }
""")
    # only texts take parameters
    assert "`keep_empty_dirs` is true or false" in dray("plan", work, exit=2).err
    work.write_text(work.read_text().replace('"${deep}"', "true"))
    plan = dray.json("plan", work, env={"lab": "environment"})
    assert (plan["name"], plan["targets"][0]["name"]) == ("${lab} of smith", "smith-$lab-$$-$")
    # a value is taken as it is, and not expanded again
    plan = dray.json("plan", work, "--set", "lab=${deep}")
    assert plan["targets"][0]["name"] == "${deep}-$lab-$$-$"


def test_a_bad_value_on_the_command_line_is_told_once(dray, out, workflow):
    work = workflow("""\
version: 1
dataset: ./left
parameters: { f: { type: bool } }
steps:
  - { id: pick, uses: filter/glob, with: { ignore_case: "${f}" } }
  - { id: deliver, uses: push/hpfs, with: { path: ./out/x } }
""")
    result = dray("plan", work, "--set", "f=yes", exit=2)
    assert result.err == ('command line:1:9: error: "yes" is no bool for parameter "f": it is true or false\n'
                          "    1 | --set f=yes\n      |         ^~~\n")


@pytest.mark.parametrize("name, hint", [
    ("ocean-2024", "dray dataset list names all; a path begins with /, ./ or ../"),
    ("RAW_DATA/ocean-2024", "dray dataset list names all; a path begins with /, ./ or ../"),
    ("id:4711", "dray dataset list names all; a path begins with /, ./ or ../"),
    ("left", "for the path of that name write ./left"),
    ("~/left", "only a shell knows what ~ stands for: write the whole path"),
    ("$HOME/left", "the environment is not read: write the path itself"),
])
def test_a_name_that_the_catalog_does_not_have_is_told_with_what_to_write(dray, tmp_path, out, workflow, name, hint):
    text = "version: 1\ndataset: {}\nsteps:\n  - {{ id: deliver, uses: push/hpfs, with: {{ path: ./out/x }} }}\n"
    work = workflow(text.format(name))
    said = f'there is no dataset "{name}" in the catalog'
    result = dray("plan", work, exit=2)
    assert f"work.yaml:2:10: error: {said}" in result.err and f"^{'~' * (len(name) - 1)} {hint}" in result.err
    result = dray("plan", work, "--dataset", name, cwd=tmp_path, exit=4)
    assert f"error: {said}\n hint: {hint}\n" in result.err


@pytest.mark.parametrize("text, said", [
    ("a: &a [" + "x," * 500 + "]\nb: &b [" + "*a," * 500 + "]\nc: [" + "*b," * 500 + "]\n",
     "more than 200000 values, counting what aliases stand for"),
    ("steps: " + "[" * 100000, "nested more than 64 deep here"),
    ("a: " + "x" * 2_000_000, "this string is longer than 1024 KiB"),
    ("a: " + "x" * 5_000_000, "larger than the 4194304 bytes allowed"),
    ("".join(f"a{i}: &n{i} x\n" for i in range(300)), "more than 256 anchors"),
    ("a: !!python/object/apply:os.system [x]\nsteps: []\n", "is not one of the core schema's"),
], ids=["aliases", "depth", "string", "file", "anchors", "tag"])
def test_yaml_of_strangers_is_read_within_limits(dray, tmp_path, workflow, text, said):
    result = dray("check", workflow(text), exit=2, timeout=20)
    assert said in result.out + result.err


@pytest.mark.parametrize("text, said", [
    ("version: 1\nstpes: []\n", 'unknown key "stpes" in a workflow'),
    ("version: 1\npolcy: p\nrevision: 1\nrule: []\n", 'unknown key "polcy" in a policy'),
    ("version: 1\non: push\n", "this is no workflow, policy, recipe or configuration"),
])
def test_a_file_is_known_by_keys_that_are_nearly_right(dray, workflow, text, said):
    assert said in dray("check", workflow(text), exit=2).out


def test_a_pipe_that_nobody_writes_to_does_not_hang(dray, tmp_path):
    os.mkfifo(tmp_path / "work.yaml")
    assert "the file has nothing in it" in dray("check", tmp_path / "work.yaml", exit=2, timeout=20).out
