# SPDX-License-Identifier: MIT
"""Recipes: filter and transform steps that are saved once and used by many workflows."""
import shutil

import pytest

from conftest import DIGEST, TIME, TOP, contents, record

OCEAN = """\
version: 1
recipe: ocean
summary: The files of one variable
parameters:
  var: { type: string }
  keep: { type: string, default: "*.nc" }
steps:
  - id: pick
    uses: filter/glob
    with: { include: ["${var}/${keep}"] }
  - id: trim
    uses: filter/glob
    with: { exclude: ["*.tmp.nc"] }
"""

WORK = """\
version: 1
dataset: ./data
parameters: {{ v: {{ type: string, default: sst }} }}
steps:
  - {{ id: subset, uses: {uses}, with: {{ var: "${{v}}" }} }}
  - {{ id: out, uses: push/hpfs, with: {{ path: ./out }} }}
"""


@pytest.fixture
def world(files, tmp_path):
    """A dataset, and the recipe's file."""
    return files(tmp_path, {"data/sst/a.nc": "a", "data/sst/b.tmp.nc": "b", "data/sst/c.csv": "c",
                            "data/salt/d.nc": "d", "ocean.yaml": OCEAN})


@pytest.fixture
def work(workflow, world):
    """work("recipe/ocean@2") is a workflow that uses it."""
    return lambda uses="recipe/ocean", name="work.yaml": workflow(WORK.format(uses=uses), name)


@pytest.fixture
def saved(dray, world):
    assert dray("recipe", "save", "ocean", world / "ocean.yaml").out == "ocean@1 saved\n"
    return world


def test_a_saved_recipe_is_used_by_workflows_with_their_own_values(dray, saved, work):
    dray("run", work())
    assert set(contents(saved / "out")) == {"sst", "sst/a.nc"}
    shutil.rmtree(saved / "out")
    dray("run", work(), "--set", "v=salt")
    assert set(contents(saved / "out")) == {"salt", "salt/d.nc"}


def test_previews_and_receipts_name_the_steps_of_the_recipe(dray, saved, work):
    seen = {line["path"]: line for line in dray("preview", work(), "--json").json_lines() if "path" in line}
    assert seen["sst/a.nc"]["by"] == "subset/pick.include[0]" and seen["sst/a.nc"]["why"] == '"sst/*.nc"'
    assert seen["sst/b.tmp.nc"]["verdict"] == "drop"
    assert seen["sst/b.tmp.nc"]["by"] == "subset/trim.exclude[0]"
    job = dray.json("run", work())
    assert [step["id"] for step in job["attempts"][0]["steps"]] == \
        ["stage", "validate", "subset/pick", "subset/trim", "out"]
    receipt = record(saved / "out", "receipt.json")
    [trim] = [step for step in receipt["steps"] if step["id"] == "subset/trim"]
    assert trim["recipe"] == "ocean@1" and trim["options"]["exclude"] == ["*.tmp.nc"]
    assert any(rule["by"] == "subset/trim.exclude[0]" for rule in receipt["left_out"])


def test_the_plan_says_which_version_a_step_is_from(dray, saved, work):
    steps = {step["id"]: step["origin"] for step in dray.json("plan", work())["steps"]}
    assert steps["subset/pick"] == {"file": "recipe/ocean@1", "line": 8, "recipe": "ocean@1"}
    assert "recipe" not in steps["out"]
    assert "recipe/ocean@1:11" in dray("plan", work()).out


def test_the_same_steps_without_a_recipe_are_the_same_request(dray, saved, work, workflow):
    dray("run", work())
    inline = workflow("version: 1\ndataset: ./data\nsteps:\n"
                      "  - { id: p, uses: filter/glob, with: { include: ['sst/*.nc'] } }\n"
                      "  - { id: t, uses: filter/glob, with: { exclude: ['*.tmp.nc'] } }\n"
                      "  - { id: out, uses: push/hpfs, with: { path: ./out } }\n", "inline.yaml")
    assert dray("run", inline).out.startswith("already delivered ")


def test_another_text_is_another_version_and_a_workflow_may_stay_with_the_old_one(dray, saved, work):
    assert dray("recipe", "save", "ocean", saved / "ocean.yaml").out == "ocean@1 is this text already\n"
    assert dray.json("recipe", "save", "ocean", saved / "ocean.yaml") == \
        {"recipe": "ocean", "version": 1, "new": False}
    (saved / "ocean.yaml").write_text(OCEAN.replace("*.tmp.nc", "a.nc"))
    assert dray.json("recipe", "save", "ocean", saved / "ocean.yaml") == \
        {"recipe": "ocean", "version": 2, "new": True}

    def kept(uses):
        lines = dray("preview", work(uses), "--kept", "--json").json_lines()
        return {line["path"] for line in lines if "path" in line and line["path"].endswith("nc")}

    assert kept("recipe/ocean") == kept("recipe/ocean@2") == {"sst/b.tmp.nc"}
    assert kept("recipe/ocean@1") == {"sst/a.nc"}


def test_what_show_prints_is_a_recipes_file(dray, saved):
    shown = saved / "shown.yaml"
    shown.write_text(dray("recipe", "show", "ocean").out)
    assert shown.read_text() == OCEAN == dray("recipe", "show", "ocean@1").out
    assert dray("check", shown).out == "1 file checked, no errors\n"
    assert dray("recipe", "save", "ocean", shown).out == "ocean@1 is this text already\n"
    one = dray.json("recipe", "show", "ocean")
    assert one["text"] == OCEAN and one["summary"] == "The files of one variable"
    assert one["recipe"] == "ocean" and one["version"] == 1
    assert DIGEST.match(one["digest"]) and TIME.match(one["saved"]) and one["by"]


def test_the_list_has_every_version(dray, saved):
    (saved / "air.yaml").write_text(OCEAN.replace("recipe: ocean", "recipe: air").replace("summary", "# summary"))
    dray("recipe", "save", "air", saved / "air.yaml")
    (saved / "ocean.yaml").write_text(OCEAN + "# more\n")
    dray("recipe", "save", "ocean", saved / "ocean.yaml")
    assert [(one["recipe"], one["version"]) for one in dray.json("recipe", "list")] == \
        [("air", 1), ("ocean", 2), ("ocean", 1)]
    lines = dray("recipe", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == ["air@1", "ocean@2", "ocean@1"]
    assert lines[1].endswith("  The files of one variable")


def test_without_recipes_the_list_says_so(dray):
    assert dray("recipe", "list").out == "no recipes\n"
    assert dray.json("recipe", "list") == []


def test_the_number_of_a_deleted_version_is_not_given_again(dray, saved, work):
    (saved / "ocean.yaml").write_text(OCEAN + "# two\n")
    dray("recipe", "save", "ocean", saved / "ocean.yaml")
    assert dray("recipe", "delete", "ocean@2").out == "ocean@2 deleted\n"
    assert dray("recipe", "show", "ocean").out == OCEAN
    gone = dray("plan", work("recipe/ocean@2"), exit=2).err
    assert 'work.yaml:5:25: error: there is no version 2 of a recipe "ocean"' in gone
    assert "it has version 1" in gone
    (saved / "ocean.yaml").write_text(OCEAN + "# three\n")
    assert dray("recipe", "save", "ocean", saved / "ocean.yaml").out == "ocean@3 saved\n"
    assert dray.json("recipe", "delete", "ocean") == {"recipe": "ocean", "deleted": 2}
    assert dray("recipe", "save", "ocean", saved / "ocean.yaml").out == "ocean@4 saved\n"
    assert dray.json("recipe", "delete", "ocean@4") == {"recipe": "ocean", "deleted": 1, "version": 4}


def test_a_delivery_does_not_need_its_recipe_any_more(dray, saved, work):
    job = dray.json("run", work())
    dray("recipe", "delete", "ocean")
    assert dray.json("show", job["job"])["state"] == "delivered"
    dray("verify", saved / "out")


def test_a_workflows_filters_can_be_saved_as_they_are(dray, world, workflow, work):
    source = workflow("version: 1\ndataset: ./data\nparameters:\n"
                      "  var: { type: string, default: salt }\n  lab: { default: x }\nsteps:\n"
                      "  # one variable\n  - id: pick\n    uses: filter/glob\n"
                      "    with:\n      include: [\"${var}/*\"]  # all of it\n"
                      "  - { id: raw, uses: push/hpfs, with: { path: \"./${lab}\" } }\n"
                      "  - { id: trim, uses: filter/glob, needs: [pick], with: { exclude: ['*.csv'] } }\n"
                      "  - { id: out, uses: push/hpfs, with: { path: ./out } }\n", "source.yaml")
    assert dray("recipe", "save", "mine", source).out == "mine@1 saved\n"
    assert dray("recipe", "show", "mine").out == (
        "version: 1\nrecipe: mine\nparameters:\n  var: { type: string, default: \"salt\" }\nsteps:\n"
        "  # one variable\n  - id: pick\n    uses: filter/glob\n"
        "    with:\n      include: [\"${var}/*\"]  # all of it\n"
        "  - { id: trim, uses: filter/glob, with: { exclude: ['*.csv'] } }\n")
    dray("run", work("recipe/mine"))
    assert set(contents(world / "out")) == {"sst", "sst/a.nc", "sst/b.tmp.nc"}


def test_a_workflow_whose_filters_are_no_chain_is_not_saved(dray, world, workflow):
    source = workflow("version: 1\nsteps:\n  - { id: from, uses: source/directory, with: { path: ./data } }\n"
                      "  - { id: a, uses: filter/glob, with: { include: ['sst/'] } }\n"
                      "  - { id: b, uses: filter/glob, with: { include: ['salt/'] }, needs: [from] }\n"
                      "  - { id: out, uses: push/hpfs, with: { path: ./out }, needs: [a, b] }\n")
    said = dray("recipe", "save", "both", source, exit=2).err
    assert 'work.yaml:5:5: error: "b" does not take the tree of "a" alone' in said
    assert dray.json("recipe", "list") == []


def test_a_faulty_recipe_is_not_saved(dray, world):
    (world / "ocean.yaml").write_text(OCEAN.replace("*.tmp.nc", "[tmp").replace("trim", "pick"))
    said = dray("recipe", "save", "ocean", world / "ocean.yaml", exit=2).err
    assert 'ocean.yaml:11:9: error: two steps have the id "pick"' in said
    assert "ocean.yaml:13:23: error: `[` has no `]`" in said
    found = dray("recipe", "save", "ocean", world / "ocean.yaml", "--json", exit=2).json()
    assert found["error"]["class"] == "invalid" and len(found["diagnostics"]) == 2
    assert dray.json("recipe", "list") == []
    checked = dray("check", world / "ocean.yaml", "--json", exit=2).json()
    assert [(one["line"], one["column"]) for one in checked] == [(11, 9), (13, 23)]


def test_a_fault_that_a_value_makes_is_shown_in_the_recipe(dray, saved, work):
    said = dray("plan", work(), "--set", "v=a[b", exit=2).err
    assert said.splitlines()[0] == (f"{saved}/work.yaml:5:25: note: \"subset\" stands for the steps of "
                                    "recipe/ocean@1, where there is a problem")
    assert "recipe/ocean@1:10:23: error: `[` has no `]`" in said
    assert '   10 |     with: { include: ["${var}/${keep}"] }' in said


@pytest.mark.parametrize("old, new, place, message", [
    ("var:", "vra:", "5:47", 'recipe/ocean@1 has no parameter "vra"'),
    ("var:", "vra:", "5:45", 'recipe/ocean@1 needs a value for its parameter "var"'),
    ("recipe/ocean", "recipe/ocaen", "5:25", 'there is no recipe "ocaen"'),
    ("recipe/ocean", "recipe/ocean@9", "5:25", 'there is no version 9 of a recipe "ocean"'),
    ("subset", "Subset", "5:11", '"Subset" cannot be the id of a step'),
])
def test_a_wrong_use_is_shown_where_it_is_written(dray, saved, workflow, old, new, place, message):
    path = workflow(WORK.format(uses="recipe/ocean").replace(old, new, 1))
    for command in ("check", "plan", "run"):
        done = dray(command, path, exit=2)
        assert f"work.yaml:{place}: error: {message}" in done.out + done.err


def test_a_policy_stands_before_the_steps_of_a_recipe(dray, saved, work, files):
    files(saved, {"policies/site.yaml": "version: 1\npolicy: site\nrevision: 1\nrules:\n"
                  "  - id: no-a\n    mode: enforce\n"
                  "    inject: [{ uses: filter/glob, with: { exclude: ['a.nc'] } }]\n    message: Not a.\n"})
    plan = dray.json("plan", work(), "--policies", saved / "policies")
    assert [step["id"] for step in plan["steps"]] == \
        ["stage", "validate", "site/no-a", "subset/pick", "subset/trim", "out"]
    dropped = {line["path"]: line["by"]
               for line in dray("preview", work(), "--dropped", "--json", "--policies",
                                saved / "policies").json_lines() if "path" in line}
    assert dropped["sst/a.nc"] == "policy:site/no-a"


@pytest.mark.parametrize("arguments, code, message", [
    (("show", "ocaen"), 4, 'error: there is no recipe "ocaen"\n hint: did you mean "ocean"?\n'),
    (("show", "ocean@2"), 4, 'error: there is no version 2 of a recipe "ocean"\n'),
    (("delete", "nothing"), 4, 'error: there is no recipe "nothing"\n hint: dray recipe list names all\n'),
    (("show", "Ocean"), 2, 'error: "Ocean" cannot be the name of a recipe\n'),
    (("show", "ocean@x"), 2, 'error: "x" is no version of a recipe\n'),
    (("save", "sea", "ocean.yaml"), 2, 'ocean.yaml:2:9: error: the recipe in this file is called "ocean", not "sea"'),
    (("save", "ocean@2", "ocean.yaml"), 2, 'error: "ocean@2" names a version\n'),
    (("save", "ocean", "missing.yaml"), 4, "error: reading missing.yaml: No such file or directory\n"),
    (("save", "ocean", "data"), 2, "error: data is a directory; a recipe is a YAML file\n"),
    (("save", "ocean"), 2, "error: dray recipe save: an argument is missing\n"),
    (("list", "ocean"), 2, "error: dray recipe list: unexpected argument ocean\n"),
    (("shwo", "ocean"), 2, 'error: dray recipe has no "shwo": did you mean "show"?\n'),
])
def test_a_wrong_command_line_says_what_is_wrong(dray, saved, arguments, code, message):
    said = dray("recipe", *arguments, cwd=saved, exit=code)
    assert said.out == "" and said.err.startswith(message)
    assert len(dray.json("recipe", "list")) == 1


def test_a_key_that_is_nearly_right_is_told_as_check_tells_it(dray, world):
    (world / "near.yaml").write_text("version: 1\nstep:\n  - { uses: filter/glob, with: { exclude: [a] } }\n")
    checked, said = dray("check", "near.yaml", cwd=world, exit=2), dray("recipe", "save", "x", "near.yaml",
                                                                       cwd=world, exit=2)
    assert said.err == checked.out and 'did you mean "steps"?' in said.err
    (world / "p.yaml").write_text("version: 1\npolicy: p\nrevision: 1\nrules: []\n")
    assert "this is neither a recipe nor a workflow" in dray("recipe", "save", "x", "p.yaml", cwd=world,
                                                           exit=2).err


def test_a_fault_that_comes_with_a_value_shows_what_it_came_to(dray, world, workflow):
    (world / "r.yaml").write_text("version: 1\nrecipe: r\nparameters: { var: { type: string, default: ok } }\n"
                                  "steps:\n  - { id: x, uses: filter/glob, with: { include: [\"${var}/x\"] } }\n")
    dray("recipe", "save", "r", "r.yaml", cwd=world)
    file = workflow("version: 1\ndataset: .\nsteps:\n  - { id: r, uses: recipe/r, with: { var: \"a[\" } }\n"
                    "  - { id: to, uses: push/hpfs, with: { path: ./out/x } }\n")
    said = dray("check", file, exit=2).out
    assert "`[` has no `]`; write `\\[` for the character (with its parameters: \"a[/x\")" in said
    file = workflow("version: 1\nparameters: { n: { type: string, default: a } }\ndataset: .\nsteps:\n"
                    "  - { id: p, uses: filter/glob, with: { exclude: [b, \"${n}\", \"[\"] } }\n"
                    "  - { id: to, uses: push/hpfs, with: { path: ./out/x } }\n")
    said = dray("plan", file, "--set", "n=a[", exit=2).err
    assert said.count("with its parameters") == 1 and "(with its parameters: \"a[\")" in said


def test_a_workflow_without_recipes_does_not_open_the_store(dray, world, workflow):
    dray("check", workflow(WORK.format(uses="filter/glob").replace("var", "include").replace('"${v}"', "[a]")))
    assert not (dray.state / "dray.db").exists()


def test_the_example_works(dray, files, tmp_path):
    shutil.copytree(TOP / "examples" / "recipes", tmp_path / "example")
    files(tmp_path / "example", {"field-2024/tables/north/2024/a.csv": "a",
                                 "field-2024/tables/north/2024/a.draft.csv": "b",
                                 "field-2024/tables/south/2024/c.csv": "c"})
    dray("recipe", "save", "station-tables", tmp_path / "example" / "tables.yaml")
    dray("run", tmp_path / "example" / "workflow.yaml")
    found = contents(tmp_path / "example" / "out-north")
    assert [path for path, what in found.items() if what is not None] == ["tables/north/2024/a.csv"]
