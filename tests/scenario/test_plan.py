# SPDX-License-Identifier: MIT
"""`dray plan`, and what policies do to a plan: where each step comes from, the digest, what is enforced,
limited, only watched, and that everything fails closed."""
import hashlib
import json
import os
import re

import pytest

from conftest import DIGEST, contents, record

DATASET = {"a.nc": "grid\n", "b.csv": "x,y\n", "raw/x.fastq": "ACGT\n", "tmp/t": "t"}

WORKFLOW = """\
version: 1
dataset: ./source
steps:
  - id: pick
    uses: filter/glob
    with: { include: ["*.nc", "*.csv", "raw/"] }
  - { id: deliver, uses: push/hpfs, with: { path: ./out/data } }
"""

NO_RAW = """\
version: 1
policy: site
revision: 3
rules:
  - id: no-raw
    mode: enforce
    when: { target.type: hpfs }
    inject:
      - uses: filter/glob
        with: { exclude: ["raw/"] }
    message: Raw stays here.
"""


@pytest.fixture
def source(files, tmp_path):
    (tmp_path / "out").mkdir()
    return files(tmp_path / "source", DATASET)


@pytest.fixture
def out(tmp_path, source):
    return tmp_path / "out"


@pytest.fixture
def policies(tmp_path):
    """policies({"name.yaml": text}) is what to add to a command for these policies."""
    def write(content):
        folder = tmp_path / "policies"
        folder.mkdir(exist_ok=True)
        for name, text in content.items():
            (folder / name).write_text(text)
        return ["--policies", folder]
    return write


def rule(what, mode="enforce", when=""):
    condition = f"    when: {when}\n" if when else ""
    return (f"version: 1\npolicy: site\nrevision: 1\nrules:\n  - id: only\n    mode: {mode}\n{condition}"
            f"    {what}\n    message: Ask the data office.\n")


def inject(*patterns):
    return "inject: [{ uses: filter/glob, with: { exclude: [%s] } }]" % ", ".join(f'"{p}"' for p in patterns)


# ---- Plans -------------------------------------------------------------------------------------


def test_a_plan_says_where_each_step_comes_from(dray, source, workflow, policies):
    file = workflow(WORKFLOW)
    plan = dray.json("plan", file, *policies({"a.yaml": NO_RAW}))
    assert [step["id"] for step in plan["steps"]] == ["stage", "validate", "site/no-raw", "pick", "deliver"]
    origins = {step["id"]: step["origin"] for step in plan["steps"]}
    assert origins["stage"] == origins["validate"] == {}
    assert origins["pick"] == {"file": str(file), "line": 4}
    assert origins["deliver"] == {"file": str(file), "line": 7}
    assert origins["site/no-raw"] == {"file": str(file.parent / "policies/a.yaml"), "line": 9,
                                      "policy": "site", "rule": "no-raw", "message": "Raw stays here."}
    text = dray("plan", file, *policies({})).out
    assert "work.yaml:4" in text and "work.yaml:7" in text and "added by Dray" in text
    assert "a.yaml:9  policy site, rule no-raw" in text and "Raw stays here." in text
    assert plan["digest"][:12] in text


def test_json_of_a_plan_is_as_documented(dray, source, out, workflow, policies):
    plan = dray.json("plan", workflow(WORKFLOW), *policies({"a.yaml": NO_RAW}))
    assert {"digest", "steps", "policies"} <= set(plan)
    assert DIGEST.match(plan["digest"])
    for step in plan["steps"]:
        assert {"id", "uses", "needs", "with", "origin"} <= set(step)
    needs = {step["id"]: step["needs"] for step in plan["steps"]}
    assert needs == {"stage": [], "validate": ["stage"], "site/no-raw": ["validate"],
                     "pick": ["site/no-raw"], "deliver": ["pick"]}
    with_ = {step["id"]: step["with"] for step in plan["steps"]}
    assert with_["pick"] == {"include": ["*.nc", "*.csv", "raw/"], "ignore_case": False}
    assert with_["deliver"]["path"] == f"{source.parent}/./out/data".replace("/./", "/")
    [policy] = plan["policies"]
    assert policy["policy"] == "site" and policy["revision"] == 3
    assert policy["digest"] == hashlib.sha256(NO_RAW.encode()).hexdigest()
    [target] = plan["targets"]
    assert (target["uri"], target["presence"]) == (f"{out}/data", {"state": "absent"})


def test_the_same_file_gives_the_same_plan_byte_for_byte(dray, source, workflow, policies):
    file = workflow(WORKFLOW)
    options = policies({"a.yaml": NO_RAW})
    for arguments in (["plan", file, *options], ["plan", file, *options, "--json"]):
        assert without_room(dray(*arguments).out) == without_room(dray(*arguments).out)


def without_room(text):
    """What others write to the disk meanwhile is no part of a plan."""
    return re.sub(r'"free_bytes":\d+|  free .*\n', "", text)


def digest(dray, *arguments):
    return json.loads(dray("plan", *arguments, "--json").out)["digest"]


def test_the_digest_is_of_what_will_be_done_and_not_of_where_it_is_written(dray, source, workflow):
    one = digest(dray, workflow(WORKFLOW))
    assert digest(dray, workflow("# a comment\n\n" + WORKFLOW.replace("{ include", "{   include"),
                                 "moved.yaml")) == one
    for old, new in [('"*.csv", ', ""), ("include", "exclude"), ("out/data", "out/other"),
                     ("id: pick", "id: choose"), ("push/hpfs,", "push/hpfs, timeout: 1h,"),
                     ("dataset: ./source\n", "dataset: ./source\ntree: { symlinks: skip }\n")]:
        assert digest(dray, workflow(WORKFLOW.replace(old, new), "other.yaml")) != one, (old, new)
    (source / "a.nc").write_text("changed")
    assert digest(dray, workflow(WORKFLOW)) != one, "another state of the dataset"


def test_a_plan_does_nothing(dray, source, out, workflow):
    before = contents(source)
    dray("plan", workflow(WORKFLOW))
    assert os.listdir(out) == [] and contents(source) == before
    assert dray.json("jobs") == []


def test_a_plan_says_what_is_at_its_targets(dray, source, out, workflow):
    file = workflow(WORKFLOW)
    assert "nothing is there yet" in dray("plan", file).out
    dray("run", file)
    assert "delivered" in dray("plan", file).out
    assert dray.json("plan", file)["targets"][0]["presence"]["state"] == "delivered"
    (out / "data/more").touch()
    assert dray.json("plan", file)["targets"][0]["presence"]["state"] == "occupied"


def test_problems_are_told_all_at_once_with_their_places(dray, source, out, workflow):
    file = workflow(WORKFLOW.replace("include", "includes").replace("push/hpfs", "push/hpf")
                    + "  - { id: pick, uses: filter/glob, with: { exclude: ['a**b'] } }\n")
    for command in ("plan", "run", "preview", "check"):
        said = dray(command, file, exit=2)
        text = said.out if command == "check" else said.err
        for place in ("work.yaml:6:13: error:", "work.yaml:7:26: error:", "work.yaml:8:11: error:"):
            assert place in text, (command, place)
        assert 'did you mean "include"?' in text and "^~~~~~~~ " in text
    assert os.listdir(out) == []
    problems = dray.json("check", file, exit=2)
    places = [(one["line"], one["column"]) for one in problems]
    assert places == sorted(places) and {line for line, _ in places} == {6, 7, 8}
    for one in problems:
        assert set(one) == {"file", "line", "column", "severity", "message", "hint"}
        assert one["severity"] == "error" and one["file"] == str(file)
    told = dray.json("plan", file, exit=2)
    assert told["diagnostics"] == problems
    assert told["error"]["where"] == f"{file}:6:13" and told["error"]["message"].startswith(
        problems[0]["message"])


def test_a_file_that_cannot_be_checked_is_said_also_behind_a_faulty_one(dray, tmp_path):
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text("version: 1\nsteps: []\n")
    assert "is a directory; workflows, policies and recipes are YAML files" in dray("check", tmp_path, exit=2).err
    both = dray("check", faulty, tmp_path, exit=2).err
    assert f"{faulty}:2:" in both and f"error: {tmp_path} is a directory" in both
    both = dray("check", faulty, tmp_path / "none.yaml", exit=4).err
    assert f"{faulty}:2:" in both and "none.yaml: No such file" in both
    assert "none.yaml" in dray("check", "--json", faulty, tmp_path / "none.yaml", exit=4).out
    for files in ([tmp_path / "none.yaml", faulty], [tmp_path / "none.yaml", tmp_path / "gone.yaml", faulty]):
        said = dray("check", *files, exit=4).err
        assert all(str(file) in said for file in files) and f"{faulty}:2:" in said
        assert said.splitlines()[-1].endswith("none.yaml: No such file or directory")
        assert len(dray.json("check", *files, exit=4)["diagnostics"]) >= len(files) - 1


def test_a_bad_option_hides_no_bad_pattern_of_its_step(dray, workflow):
    """What a plugin says of the others counts only where it cannot come from what is missing."""
    file = workflow("version: 1\ndataset: ./source\nsteps:\n"
                    "  - { id: a, uses: filter/glob, with: { ignore_case: maybe, include: [\"a**b\"], exclude: [\"[\"] } }\n"
                    "  - { id: b, uses: filter/glob, with: { include: [{ a: b }], excldue: [x], exclude: [\"[\"] } }\n"
                    "  - { id: c, uses: push/hpfs, with: { path: 1, durability: none } }\n")
    for command in ("check", "plan"):
        said = dray(command, file, exit=2)
        heads = [line for line in (said.out + said.err).splitlines() if "error:" in line]
        assert [head.split(": error: ")[1][:20] for head in heads if ":4:" in head] == [
            'option "ignore_case"', "`**` stands only alo", "`[` has no `]`; writ"]
        assert len([head for head in heads if ":5:" in head]) == 3
        assert "include or exclude" not in said.out + said.err, "though it has none that is good"


def test_check_takes_many_files_and_says_when_all_is_well(dray, source, workflow, policies):
    good = workflow(WORKFLOW)
    policies({"a.yaml": NO_RAW, "b.yaml": "version: 1\npolicy: other\n"})
    folder = good.parent / "policies"
    assert dray("check", good, folder / "a.yaml").out == "2 files checked, no errors\n"
    assert dray.json("check", good, folder / "a.yaml") == []
    problems = dray.json("check", good, folder / "a.yaml", folder / "b.yaml", exit=2)
    assert {one["file"] for one in problems} == {str(folder / "b.yaml")}


# ---- What policies do --------------------------------------------------------------------------


def test_what_a_policy_drops_no_workflow_brings_back(dray, source, out, workflow, policies):
    options = policies({"a.yaml": NO_RAW})
    done = dray("run", workflow(WORKFLOW), *options)
    assert "left out 1 (5 B) by policy:site/no-raw  \"raw/\" (Raw stays here.)" in done.err
    assert contents(out / "data") == {"a.nc": b"grid\n", "b.csv": b"x,y\n"}
    receipt = record(out / "data", "receipt.json")
    dropped = {one["by"]: one for one in receipt["left_out"]}
    assert dropped["policy:site/no-raw"]["entries"] == 1
    assert "names" not in dropped["policy:site/no-raw"], "a name can be what is protected"
    assert "raw" not in json.dumps([dropped["policy:site/no-raw"].get("names")])
    assert [one["policy"] for one in receipt["policies"]["files"]] == ["site"]
    step = {one["id"]: one for one in receipt["steps"]}["site/no-raw"]
    assert step["policy"] == "site/no-raw" and step["options"]["exclude"] == ["raw/"]


def test_push_is_under_policies_too(dray, source, out, policies):
    dray("push", source, "--to", out / "data", "--include", "raw/", "--include", "a.nc",
         *policies({"a.yaml": NO_RAW}))
    assert contents(out / "data") == {"a.nc": b"grid\n"}


def test_rules_stand_in_the_order_of_their_files_and_before_the_users_steps(dray, source, workflow, policies):
    options = policies({"b.yaml": NO_RAW.replace("site", "b"), "a.yaml": NO_RAW.replace("site", "a")})
    steps = [step["id"] for step in dray.json("plan", workflow(WORKFLOW), *options)["steps"]]
    assert steps == ["stage", "validate", "a/no-raw", "b/no-raw", "pick", "deliver"]


def test_a_new_revision_of_a_policy_is_the_same_request_and_another_rule_is_not(dray, source, out, workflow,
                                                                               policies):
    file = workflow(WORKFLOW)
    dray("run", file, *policies({"a.yaml": NO_RAW}))
    assert dray.json("run", file, *policies({"a.yaml": NO_RAW.replace("revision: 3", "revision: 4")}))[
        "already_delivered"]
    refused = dray("run", file, *policies({"a.yaml": NO_RAW.replace("raw/", "*.csv").replace("revision: 3", "revision: 5")}),
                   exit=1)
    assert "holds another delivery" in refused.err


@pytest.mark.parametrize("limit, said", [
    ("entries: 2", "3 entries are to be delivered, 2 at most are allowed"),
    ("total_bytes: 10 B", "14 B"),
])
def test_a_limit_denies_with_the_message_of_the_rule(dray, source, out, workflow, policies, limit, said):
    file = workflow(WORKFLOW)
    options = policies({"a.yaml": rule(f"limit: {{ {limit} }}")})
    failed = dray("run", file, *options, exit=3)
    assert said in failed.err and "policy site, rule only" in failed.err
    assert "Ask the data office." in failed.err
    assert os.listdir(out) == []
    assert dray.json("run", file, *options, exit=3)["error"]["class"] == "denied"
    assert "policy site, rule only" in dray("preview", file, *options, exit=3).err
    assert "site/only@deliver" in dray("plan", file, *options).out, "the plan itself is fine"


def test_a_limit_counts_what_is_delivered_and_not_what_is_in_the_dataset(dray, source, out, workflow, policies):
    dray("run", workflow(WORKFLOW), *policies({"a.yaml": rule("limit: { entries: 3, total_bytes: 14 B }")}))
    assert len([one for one in contents(out / "data").values() if one]) == 3


@pytest.mark.parametrize("mode", ["warn", "audit"])
def test_a_rule_that_only_watches_drops_nothing_and_says_so(dray, source, out, workflow, policies, mode):
    file = workflow(WORKFLOW)
    options = policies({"a.yaml": rule(inject("raw/"), mode)})
    assert f"({mode}: nothing is left out)" in dray("plan", file, *options).out
    assert "policy:site/only" not in dray("preview", file, *options).out
    done = dray("run", file, *options)
    assert "left out 1 (5 B) by policy:site/only" not in done.err.replace("would leave out", "")
    told = "would leave out 1 (5 B) by policy:site/only" in done.err
    assert told == (mode == "warn"), "audit records, warn also tells the user"
    assert "raw/x.fastq" in contents(out / "data")
    receipt = record(out / "data", "receipt.json")
    assert [one["by"] for one in receipt["left_out"]] == ["pick.include"]
    assert {one["id"]: one.get("mode") for one in receipt["steps"]}["site/only"] == mode
    steps = dray.json("jobs")[0]["job"]
    [watched] = [step for step in dray.json("show", steps)["attempts"][0]["steps"] if step["id"] == "site/only"]
    assert watched["entries_in"] == watched["entries_out"] == 4
    assert watched["rules"][0]["shadow"] is True and watched["rules"][0]["mode"] == mode


@pytest.mark.parametrize("mode", ["warn", "audit"])
def test_a_limit_that_only_watches_lets_pass(dray, source, out, workflow, policies, mode):
    done = dray("run", workflow(WORKFLOW), *policies({"a.yaml": rule("limit: { entries: 1 }", mode)}))
    assert len([one for one in contents(out / "data").values() if one]) == 3
    told = "limit exceeded: 3 entries are to be delivered, 1 at most are allowed by policy site" in done.err
    assert told == (mode == "warn")
    [finding] = record(out / "data", "receipt.json")["policies"]["findings"]
    assert (finding["kind"], finding["mode"], finding["rule"]) == ("limit", mode, "only")
    steps = dray.json("show", dray.json("jobs")[0]["job"])["attempts"][0]["steps"]
    [guard] = [step for step in steps if step["uses"] == "guard"]
    assert guard["rules"][0]["kind"] == "limit" and guard["rules"][0]["entries"] == 3


def test_targets_under_different_rules_get_different_trees(dray, files, source, out, workflow, policies):
    files(out, {"lab/": None, "archive/": None})
    file = workflow("""\
version: 1
dataset: ./source
steps:
  - { id: pick, uses: filter/glob, with: { exclude: ["tmp/"] } }
  - { id: to-lab, uses: push/hpfs, with: { path: ./out/lab/data } }
  - { id: to-archive, uses: push/hpfs, with: { path: ./out/archive/data } }
""")
    options = policies({"a.yaml": rule(inject("raw/"), when='{ target.path: "*/lab/*" }')})
    plan = dray.json("plan", file, *options)
    needs = {step["id"]: step["needs"] for step in plan["steps"]}
    assert needs["pick"] == ["site/only"] and needs["pick@to-archive"] == ["validate"]
    assert needs["to-lab"] == ["pick"] and needs["to-archive"] == ["pick@to-archive"]
    dray("run", file, *options)
    lab, archive = contents(out / "lab/data"), contents(out / "archive/data")
    assert sorted(archive) == ["a.nc", "b.csv", "raw", "raw/x.fastq"]
    assert sorted(lab) == ["a.nc", "b.csv"]
    listed = [line for line in dray("preview", file, *options, "--json").json_lines() if "path" in line]
    assert [line["verdict"] for line in listed if line["path"] == "raw/x.fastq"] == ["drop", "keep"]
    assert {line["target"] for line in listed} == {f"{out}/lab/data", f"{out}/archive/data"}


@pytest.mark.parametrize("when, matches", [
    ("{ target.type: hpfs }", True), ("{ target.type: [cloud, globus] }", False),
    ("{ target.plugin: hpfs }", True), ("{ dataset.name: source }", True),
    ("{ dataset.name: other }", False), ("{ user.role: user }", True),
    ("{ not: { user.role: operator } }", True), ("{ target.type: hpfs, dataset.name: other }", False),
])
def test_a_rule_holds_where_its_facts_do(dray, source, workflow, policies, when, matches):
    options = policies({"a.yaml": rule(inject("raw/"), when=when)})
    steps = [step["id"] for step in dray.json("plan", workflow(WORKFLOW), *options)["steps"]]
    assert ("site/only" in steps) == matches


# ---- Fail closed -------------------------------------------------------------------------------


@pytest.mark.parametrize("text, place, said", [
    ("version: 1\npolicy: [\n", "", "the policy set has a problem"),
    (NO_RAW.replace("mode: enforce", "mode: enforced"), ":6:", 'did you mean "enforce"?'),
    (NO_RAW.replace("filter/glob", "filter/none"), ":9:", "there is no plugin filter/none"),
    (NO_RAW.replace("raw/", "a**b"), ":10:", "`**`"),
    (NO_RAW.replace("revision: 3\n", ""), "", "revision"),
    (NO_RAW + "    allow: { target.hots: [x] }\n", ":12:", "target.hots"),
    (NO_RAW.replace("target.type", "target.typ"), ":7:", "target.typ"),
    ("", "", "nothing in it"),
], ids=["no YAML", "mode", "plugin", "pattern", "no revision", "allow", "fact", "empty"])
def test_a_broken_policy_stops_every_delivery(dray, source, out, workflow, policies, text, place, said):
    file = workflow(WORKFLOW)
    options = policies({"bad.yaml": text, "good.yaml": NO_RAW})
    for command in ("run", "plan", "preview"):
        refused = dray(command, file, *options, exit=3)
        assert f"policies/bad.yaml{place}" in refused.err and said in refused.err
        assert "nothing is delivered until an admin mends it" in refused.err
    error = dray.json("run", file, *options, exit=3)["error"]
    assert error["class"] == "denied" and "bad.yaml" in error["where"]
    assert os.listdir(out) == [] and dray.json("jobs") == []


def test_a_policy_that_cannot_be_read_stops_every_delivery(bound, source, out, workflow, policies):
    options = policies({"a.yaml": NO_RAW})
    (options[1] / "a.yaml").chmod(0)
    refused = bound("run", workflow(WORKFLOW), *options, exit=3)
    assert "a.yaml" in refused.err and "Permission denied" in refused.err
    assert os.listdir(out) == []


def test_a_condition_on_a_fact_that_is_not_known_denies_and_a_question_mark_does_not(dray, source, out,
                                                                                     workflow, policies):
    file = workflow(WORKFLOW)
    options = policies({"a.yaml": rule(inject("raw/"), when="{ dataset.type: RAW_DATA }")})
    for command in ("run", "plan", "preview"):
        refused = dray(command, file, *options, exit=3)
        assert 'rule site/only asks for dataset.type, which is not known of dataset "source"' in refused.err
        assert "`dataset.type?:`" in refused.err
    assert os.listdir(out) == []
    dray("run", file, *policies({"a.yaml": rule(inject("raw/"), when="{ dataset.type?: RAW_DATA }")}))
    assert "raw/x.fastq" in contents(out / "data")


@pytest.mark.parametrize("text, what, hint", [
    ("version: 1\npolicy: p\nrevision: 1\nrules: []\n", "policy", "--policies"),
    ("version: 1\nrecipe: r\nsteps: []\n", "recipe", "dray recipe save NAME"),
    ("policies: { path: . }\nversion: 1\n", "configuration", "--config"),
])
def test_another_kind_of_file_is_refused_in_one_sentence(dray, workflow, text, what, hint):
    for command in ("run", "plan", "preview"):
        said = dray(command, workflow(text), exit=2).err
        assert said.count("error:") == 1 and f"work.yaml:1:1: error: this is a {what}, not a workflow" in said
        assert hint in said


def test_two_policies_of_one_name_are_refused(dray, source, out, workflow, policies):
    refused = dray("run", workflow(WORKFLOW), *policies({"a.yaml": NO_RAW, "b.yaml": NO_RAW}), exit=3)
    assert "a.yaml" in refused.err and "b.yaml" in refused.err
    assert os.listdir(out) == []


def test_a_copied_link_does_not_bring_back_what_a_policy_dropped(dray, tmp_path):
    """A link that names a dropped file, copied, would carry it out under the link's name."""
    source, policies = tmp_path / "source", tmp_path / "policies"
    (source / "raw").mkdir(parents=True)
    (source / "raw" / "b.bcl").write_text("raw\n")
    (source / "a.csv").symlink_to("raw/b.bcl")
    policies.mkdir()
    (policies / "p.yaml").write_text(
        "version: 1\npolicy: p\nrevision: 1\nowner: a@example.edu\nrules:\n"
        "  - id: no-raw\n    mode: enforce\n    inject:\n"
        "      - { uses: filter/glob, with: { exclude: ['*.bcl'] } }\n")
    workflow = tmp_path / "w.yaml"
    workflow.write_text("version: 1\ndataset: ./source\ntree: { symlinks: copy }\nsteps:\n"
                        "  - { id: to, uses: push/hpfs, with: { path: ./out } }\n")
    failed = dray("run", workflow, "--policies", policies, exit=1)
    assert '"a.csv" -> "raw/b.bcl" leads nowhere' in failed.err
    assert not (tmp_path / "out").exists()
    (source / "a.csv").unlink()
    dray("run", workflow, "--policies", policies, exit=0)


def test_copies_of_links_count_for_a_limit(dray, tmp_path):
    source, policies = tmp_path / "source", tmp_path / "policies"
    source.mkdir()
    (source / "a.csv").write_bytes(b"x" * 600)
    (source / "b.csv").symlink_to("a.csv")
    policies.mkdir()
    (policies / "p.yaml").write_text(
        "version: 1\npolicy: p\nrevision: 1\nowner: a@example.edu\nrules:\n"
        "  - { id: cap, mode: enforce, limit: { total_bytes: 1000 }, message: Ask us. }\n")
    workflow = tmp_path / "w.yaml"
    workflow.write_text("version: 1\ndataset: ./source\ntree: { symlinks: copy }\nsteps:\n"
                        "  - { id: to, uses: push/hpfs, with: { path: ./out } }\n")
    failed = dray("run", workflow, "--policies", policies, exit=3)
    assert "1.2 KiB are to be delivered, 1000 B at most are allowed by policy p, rule cap" in failed.err
    assert "Ask us." in failed.err


def test_sizes_are_shown_as_sizes(dray, out, source, workflow):
    said = dray("plan", workflow("""\
version: 1
dataset: ./source
steps:
  - { id: sizes, uses: filter/size, with: { min: 4096 } }
  - { id: push, uses: push/hpfs, with: { path: ./out/data } }
""")).out
    assert "min: 4 KiB, max: none\n" in said and "sync_every: 1 GiB\n" in said
