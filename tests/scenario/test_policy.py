# SPDX-License-Identifier: MIT
"""The life of a policy, as its author lives it: written and tested, watched before it is enforced, with
exceptions that end, over targets of several types, changed while deliveries are under way; and what
happens when something is wrong with it."""
import datetime
import json
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import TOP, contents, record
from trees import content_filter

DATASET = {"a.nc": "grid\n", "raw/x.fastq": "ACGT\n", "notes/day.txt": "n\n"}

TO_LAB = "  - { id: to-lab, uses: push/hpfs, with: { path: ./out/lab } }\n"
TO_SITE = '  - { id: to-site, uses: push/drop, with: { host: archive.example.edu, name: x%s } }\n'


@pytest.fixture
def site(dray, tmp_path, files):
    """A dataset, a plugin of the site's own, and files to write: work.yaml, policies/site.yaml."""
    plugins = dray.home / ".local/lib/dray/plugins"
    plugins.mkdir(parents=True, mode=0o755)
    for plugin in ["push-drop", "filter-slow"]:
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", f"-I{TOP}/include",
                        TOP / f"tests/scenario/plugins/{plugin}.c", "-o", plugins / f"{plugin}.so"], check=True)
    files(tmp_path / "data", DATASET)
    (tmp_path / "out").mkdir()
    (tmp_path / "policies").mkdir()

    class Site:
        out, file, folder = tmp_path / "out", tmp_path / "work.yaml", tmp_path / "policies"
        revision = 0

        def workflow(self, *steps):
            self.file.write_text("version: 1\ndataset: ./data\nsteps:\n" + "".join(steps))
            return [self.file, "--policies", self.folder]

        def policy(self, body, name="site"):
            """Each change raises the revision, as it has to."""
            Site.revision += 1
            (self.folder / f"{name}.yaml").write_text(
                f"version: 1\npolicy: {name}\nrevision: {Site.revision}\nrules:\n{body}")
            return self.folder / f"{name}.yaml"
    return Site()


def rule(what, mode="enforce", when="", id="only"):
    condition = f"    when: {when}\n" if when else ""
    return f"  - id: {id}\n    mode: {mode}\n{condition}    {what}\n    message: Ask the data office.\n"


def drop(*patterns):
    return "inject: [{ uses: filter/glob, with: { exclude: [%s] } }]" % ", ".join(f'"{p}"' for p in patterns)


# ---- Watch, then enforce ---------------------------------------------------------------------------


def test_a_rule_is_watched_then_warned_of_then_enforced(dray, site):
    command = ["run", *site.workflow(TO_LAB)]
    for mode, told, left in [("audit", False, True), ("warn", True, True), ("enforce", True, False)]:
        site.policy(rule(drop("raw/"), mode))
        done = dray(*command, "--again")
        assert ("policy:site/only" in done.err) == told, mode
        assert ("raw/x.fastq" in contents(site.out / "lab")) == left, mode
        steps = dray.json("show", dray.json("jobs")[0]["job"])["attempts"][0]["steps"]
        [watched] = [step for step in steps if step["id"] == "site/only"]
        assert watched["rules"][0]["entries"] == 1, "what would have been dropped is on record"
        (site.out / "lab").rename(site.out / mode)


def test_an_allowance_is_watched_then_warned_of_then_enforced(dray, site):
    command = site.workflow(TO_SITE % "")
    allow = "allow: { target.host: [\"*.example.org\"] }"
    site.policy(rule(allow, "audit"))
    done = dray("run", *command)
    assert "archive.example.edu, not" not in done.err
    [finding] = dray.json("plan", *command)["findings"]
    assert (finding["kind"], finding["rule"], finding["step"]) == ("allow", "only", "to-site")
    site.policy(rule(allow, "warn"))
    said = dray("plan", *command).err
    assert "warning: rule site/only does not allow the target of \"to-site\": target.host is " \
           "archive.example.edu, not *.example.org (the rule only warns)" in said
    assert "Ask the data office." in said and "site.yaml:7:14" in said
    path = site.policy(rule(allow))
    for verb in ("plan", "run", "preview"):
        said = dray(verb, *command, "--again" if verb == "run" else "--json", exit=3)
        text = said.err + said.out
        assert "does not allow the target" in text and f"{path}:7:14" in text and "Ask the data office." in text


# ---- Exceptions ------------------------------------------------------------------------------------


def test_an_exception_ends_with_its_day(dray, site):
    command = site.workflow(TO_LAB)
    today = datetime.datetime.now(datetime.timezone.utc).date()
    for days, excepted in [(1, True), (0, True), (-1, False)]:
        until = today + datetime.timedelta(days=days)
        site.policy(rule(drop("raw/")) + f"exceptions:\n  - {{ rule: only, dataset: data, until: {until}, "
                    "reason: RC-88 }\n")
        plan = dray.json("plan", *command)
        assert ("site/only" in [step["id"] for step in plan["steps"]]) != excepted, days
        assert bool(plan["findings"]) == excepted
    site.policy(rule(drop("raw/")) + f"exceptions:\n  - {{ rule: only, dataset: data, until: {today}, "
                "reason: RC-88 }\n")
    assert f"exception site/only: an exception until {today} (RC-88)" in dray("plan", *command).out
    dray("run", *command)
    [finding] = record(site.out / "lab", "receipt.json")["policies"]["findings"]
    assert finding["kind"] == "exception" and "RC-88" in finding["what"]
    assert "raw/x.fastq" in contents(site.out / "lab")


# ---- Targets of several types ----------------------------------------------------------------------


def test_two_targets_of_different_type_get_what_their_rules_say(dray, site):
    command = site.workflow(TO_LAB, TO_SITE % "")
    site.policy(rule(drop("raw/"), when="{ target.type: other }", id="off-site") +
                rule(drop("notes/"), when="{ target.type: hpfs }", id="on-site") +
                rule("limit: { entries: 2 }", id="cap"))
    needs = {step["id"]: step["needs"] for step in dray.json("plan", *command)["steps"]}
    assert needs["to-lab"] == ["site/cap@to-lab"] and needs["site/cap@to-lab"] == ["site/on-site"]
    assert needs["site/cap@to-site"] == ["site/off-site@to-site"]
    dray("run", *command)
    assert sorted(path for path, what in contents(site.out / "lab").items() if what) == ["a.nc", "raw/x.fastq"]
    targets = {one["step"]: one for one in dray.json("jobs")[0]["targets"]}
    assert {one["entries"] for one in targets.values()} == {2}
    assert targets["to-site"]["destination"] == "drop://archive.example.edu/x"


def test_a_sites_own_push_is_of_type_other_with_its_own_facts(dray, site):
    command = site.workflow(TO_SITE % "")
    for when, holds in [("{ target.type: other }", True), ("{ target.plugin: drop }", True),
                        ("{ target.host: \"*.example.edu\" }", True), ("{ target.type: [hpfs, cloud, globus] }", False),
                        ("{ target.path: /x }", True), ("{ not: { target.type: other } }", False)]:
        site.policy(rule(drop("raw/"), when=when))
        steps = [step["id"] for step in dray.json("plan", *command)["steps"]]
        assert ("site/only" in steps) == holds, when


# ---- What is not known, and what is wrong ----------------------------------------------------------


def test_all_that_deny_are_shown_alike_and_in_order(dray, site):
    """Each with its line and a caret; then how many there were."""
    command = site.workflow(TO_LAB)
    path = site.policy(rule(drop("raw/"), when="{ dataset.tags: human }") +
                       rule(drop("x/"), when="{ dataset.type: RAW }", id="second"))
    said = dray("plan", *command, exit=3).err.splitlines()
    heads = [line for line in said if "error:" in line]
    assert len(heads) == 3 and heads[-1] == said[-1] == "error: policies deny this, for 2 reasons"
    places = []
    for head, name in zip(heads, ["site/only", "site/second"]):
        assert head.startswith(f"{path}:") and f"rule {name} asks for" in head
        number, column = map(int, head[len(str(path)) + 1:].split(":")[:2])
        quoted, caret = said[said.index(head) + 1:said.index(head) + 3]
        assert quoted.split(" | ")[1] == path.read_text().splitlines()[number - 1]
        assert caret.split(" | ")[1].index("^") == column - 1 and "?:`" in caret
        places.append(number)
    assert places == sorted(places)
    answer = dray.json("plan", *command, exit=3)
    assert len(answer["diagnostics"]) == 2 and "site/only" in answer["error"]["message"]
    site.policy(rule(drop("raw/"), when="{ dataset.tags: human }"))
    assert dray("plan", *command, exit=3).err.endswith("\nerror: policies deny this, for 1 reason\n")


def test_a_dataset_without_tags_is_not_delivered_unless_the_rule_opts_out(dray, site):
    command = site.workflow(TO_LAB)
    path = site.policy(rule(drop("raw/"), when="{ dataset.tags: human }"))
    for verb in ("run", "plan", "preview"):
        said = dray(verb, *command, exit=3).err
        assert 'rule site/only asks for dataset.tags, which is not known of dataset "data"' in said
        assert f"{path}:7:13" in said and "`dataset.tags?:`" in said
    assert os.listdir(site.out) == [] and dray.json("jobs") == []
    site.policy(rule(drop("raw/"), when="{ dataset.tags?: human }"))
    dray("run", *command)
    assert "raw/x.fastq" in contents(site.out / "lab")


def test_a_set_with_a_failing_test_stops_every_delivery(dray, site):
    command = site.workflow(TO_LAB)
    tests = "tests:\n  - name: notes stay\n    given: { path: notes/day.txt }\n    expect: { verdict: drop }\n"
    path = site.policy(rule(drop("raw/")) + tests)
    for verb in ("run", "plan", "preview"):
        said = dray(verb, *command, exit=3).err
        assert f'{path}:12:24: error: test "notes stay" fails: it expects drop, and the policy says keep' in said
    assert os.listdir(site.out) == []
    said = dray("policy", "test", site.folder, exit=2)
    assert "FAILED     notes stay: drop, and the policy says keep" in said.out and "0 passed, 1 failed" in said.out
    assert f"{path}:12:24" in dray("check", path, exit=2).out
    site.policy(rule(drop("raw/", "notes/")) + tests)
    assert "1 passed, 0 failed" in dray("policy", "test", site.folder).out
    dray("run", *command)


def test_a_rule_that_cannot_be_evaluated_stops_the_delivery(dray, site):
    command = site.workflow(TO_LAB)
    site.policy(rule("inject: [{ uses: filter/none, with: { x: 1 } }]"))
    assert "there is no plugin filter/none" in dray("run", *command, exit=3).err
    source = TOP / "tests/badplugins/filter-misbehave.c"
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", f"-I{TOP}/include", source, "-o",
                    dray.home / ".local/lib/dray/plugins/filter-misbehave.so"], check=True)
    site.policy(rule("inject: [{ uses: filter/misbehave, with: { how: crash } }]"))
    dray("run", *command, exit=1)
    assert os.listdir(site.out) == []
    # a test that would crash its filter is not a test that passes
    site.policy(rule("inject: [{ uses: filter/misbehave, with: { how: crash } }]") +
                "tests:\n  - { name: t, given: { path: x }, expect: { verdict: keep } }\n")
    assert dray("run", *command, exit=None).code in (1, 3)
    assert os.listdir(site.out) == []


@pytest.mark.parametrize("text, said", [
    ("exceptions:\n  - { rule: onyl, user: a, until: 2027-01-31, reason: x }\n", 'did you mean "only"?'),
    ("exceptions:\n  - { rule: only, until: 2027-01-31, reason: x }\n", "for everybody and everything"),
    ("exceptions:\n  - { rule: only, user: a, until: 2027-02-30, reason: x }\n", '"2027-02-30" is no date'),
    ("exceptions:\n  - { rule: only, user: a, until: tomorrow, reason: x }\n", "the last day, in UTC"),
    ("exceptions:\n  - { rule: only, user: a, until: 2027-01-31 }\n", "has no `reason`"),
    ("tests:\n  - { name: t, given: { dataset.tag: x }, expect: { verdict: keep } }\n", "dataset.tags"),
    ("tests:\n  - { name: t, given: { path: /a }, expect: { verdict: keep } }\n", "is no path in a dataset"),
    ("tests:\n  - { name: t, given: { path: a }, expect: { verdict: dorp } }\n", 'did you mean "drop"?'),
    ("tests:\n  - { name: t, given: { user.role: user }, expect: { verdict: drop } }\n", "`given` has no path"),
], ids=range(9))
def test_mistakes_in_exceptions_and_tests_are_told_with_their_place(dray, site, text, said):
    path = site.policy(rule(drop("raw/")) + text)
    told = dray("check", path, exit=2).out
    assert said in told and f"{path}:10:" in told
    assert "nothing is delivered" in dray("run", *site.workflow(TO_LAB), exit=3).err


# ---- What a plugin says of its target --------------------------------------------------------------


def test_a_target_whose_path_no_rule_can_read_is_an_error(dray, site):
    """The site's system cuts names, here amid a character: an allow rule must not pass over that."""
    site.policy(rule('allow: { target.path: "/x*" }', when="{ target.type: other }"))
    name = "x" + "n" * 38 + "\u00e9"
    refused = dray("run", *site.workflow(TO_SITE.replace("name: x%s", "name: " + name)), exit=2)
    assert "the path that plugin push/drop says of its target is not UTF-8" in refused.err
    assert dray.json("jobs") == []


# ---- Changes while a delivery is under way ---------------------------------------------------------


def delivery_under_way(dray, site, change):
    """A delivery to the site's system that has read everything and waits; `change` happens meanwhile."""
    command = site.workflow(TO_SITE % ", wait: 3s")
    running = dray.start("run", *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while "running" not in [step["outcome"] for job in dray.json("jobs")
                                for attempt in dray.json("show", job["job"])["attempts"]
                                for step in attempt["steps"] if step["uses"] == "push/drop"]:
            assert time.monotonic() < deadline and running.poll() is None
            time.sleep(0.05)
        change()
        out, err = running.communicate(timeout=60)
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
    return running.returncode, err.decode()


def test_an_interrupt_while_the_policies_are_looked_at_again_stops_all_pushes_at_once(dray, site):
    """One push waits for leave, and the new policies take long to read; the other is at work."""
    site.policy(rule(drop("notes/")))
    command = site.workflow(TO_SITE % ", wait: 2s", TO_SITE.replace("to-site", "slowly") % "y, wait: 50s")
    running = dray.start("run", *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while "running" not in [step["outcome"] for job in dray.json("jobs")
                                for attempt in dray.json("show", job["job"])["attempts"]
                                for step in attempt["steps"] if step["uses"] == "push/drop"]:
            assert time.monotonic() < deadline and running.poll() is None
            time.sleep(0.05)
        site.policy(rule(drop("notes/")) + rule("inject: [{ uses: filter/slow, with: { wait: 5s } }]", id="slow"))
        children = f"/proc/{running.pid}/task/{running.pid}/children"
        while len(open(children).read().split()) < 2:  # the second runner is asked of the new policies
            assert time.monotonic() < deadline and running.poll() is None
            time.sleep(0.05)
        os.kill(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=15)
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
    assert running.returncode == 130, err
    job = dray.json("show", dray.json("jobs")[0]["job"])
    assert [one["outcome"] for one in job["attempts"]] == ["interrupted"]
    assert {target["state"] for target in job["targets"]} == {"failed"}


def test_a_rule_that_comes_while_a_delivery_is_under_way_stops_its_commit(dray, site):
    site.policy(rule(drop("notes/")))
    code, said = delivery_under_way(dray, site, lambda: site.policy(
        rule(drop("notes/")) + rule(drop("raw/"), id="no-raw")))
    assert code == 3, said
    assert "policy site, rule no-raw now puts filter/glob before push to-site" in said
    assert "run the same command again" in said
    [job] = dray.json("jobs")
    assert job["state"] == "failed" and job["targets"][0]["state"] == "failed"
    dray("run", *site.workflow(TO_SITE % ""))
    assert dray.json("jobs")[0]["targets"][0]["entries"] == 1


def test_rules_that_ask_for_less_or_the_same_let_it_pass(dray, site):
    site.policy(rule(drop("notes/")) + rule("limit: { entries: 9 }", id="cap"))
    code, said = delivery_under_way(dray, site, lambda: site.policy(rule(drop("notes/"), "warn")))
    assert code == 0, said


def test_a_set_that_gets_a_problem_meanwhile_does_not_take_the_place_of_the_last_good_one(dray, site):
    path = site.policy(rule(drop("notes/")))
    code, said = delivery_under_way(dray, site, lambda: path.write_text("version: 1\npolicy: si"))
    assert code == 0, said
    assert "warning: the policies have a problem, and those of the plan stay in force: " in said
    assert str(path) in said
    assert dray("run", *site.workflow(TO_SITE % ", wait: 1s"), "--again", exit=3), "a new one has no good set"


# ---- Explanations ----------------------------------------------------------------------------------


def test_explain_says_which_rules_hold_and_why_the_others_do_not(dray, site):
    site.policy(rule(drop("raw/"), when="{ target.type: [cloud, other], not: { user.role: operator } }") +
                rule("allow: { target.host: good }", when="{ target.type: cloud }", id="hosts"))
    explain = ["policy", "explain", "--policies", site.folder, "--dataset", site.out.parent / "data"]
    said = dray(*explain, "--target", site.out / "x", "--path", "raw/x").out
    assert "target.type is hpfs, not cloud or other  site.yaml:7" in said
    assert "=> raw/x is kept" in said
    answer = dray.json(*explain, "--target", "s3://bucket/x", "--path", "raw/x", "--given", "target.host=good")
    assert (answer["verdict"], answer["policy"], answer["rule"]) == ("drop", "site", "only")
    assert {one["rule"]: one["bearing"] for one in answer["rules"]} == {"only": "holds", "hosts": "holds"}
    assert answer["facts"]["dataset.name"] == "data"
    answer = dray.json(*explain, "--target", "https://evil.example.edu/x", "--given", "user.role=operator")
    assert (answer["verdict"], answer["rule"]) == ("deny", "hosts")
    assert "not-about" in {one["bearing"] for one in answer["rules"]}
    # without a target nothing can be said, and what is not known is what denies
    assert "--target is missing" in dray(*explain, exit=2).err
    explain += ["--target", site.out / "x"]
    for path in ("/raw/x", "./raw/x", "raw/../x", "raw//x", ".."):
        assert "is no path in a dataset" in dray(*explain, "--path", path, exit=2).err
    assert "the path is empty" in dray(*explain, "--path", "", exit=2).err
    assert "no fact is called" in dray(*explain, "--given", "a=b", exit=2).err
    assert "user, operator or admin" in dray(*explain, "--given", "user.role=king", exit=2).err
    draft(site, rule("limit: { entries: 5 }", when="{ dataset.tags: x }"))
    case = ["policy", "explain", "--policies", site.out.parent / "draft", *explain[4:]]
    answer = dray.json(*case, "--given", "entries=6")
    assert (answer["verdict"], answer["message"]) == ("deny", "it asks for dataset.tags, which is not known")
    case += ["--given", "dataset.tags=x", "--given"]
    assert dray.json(*case, "entries=5")["verdict"] == "keep"
    answer = dray.json(*case, "entries=6")
    assert (answer["verdict"], answer["rules"][0]["why"]) == ("deny", "the limit is exceeded")
    assert "--given entries=x" in dray(*case, "entries=x", exit=2).err
    assert "--given target.type=other" in dray(*explain, "--target", "ftp://x/y", exit=2).err
    assert "dray policy explain" in dray("policy", "explian", exit=2).err


def test_the_policies_that_come_along_pass_their_tests(dray):
    said = dray("policy", "test", TOP / "policies").out
    assert "0 failed" in said and "no tests" not in said
    assert dray.json("check", *sorted((TOP / "policies").glob("*.yaml"))) == []


def test_the_policies_of_the_documents_pass_their_tests(dray, tmp_path):
    """An example that is copied must not stop every delivery."""
    pages = {"docs/policy.md": r"^```yaml\n(version: 1\n.*?)^```", "README.md": r"^```yaml\n(version: 1\n.*?)^```",
             "docs/dray-policy.5": r"^\.Bd -literal\n(version: 1\n.*?)^\.Ed"}
    tested = 0
    for page, block in pages.items():
        for text in re.findall(block, (TOP / page).read_text(), re.M | re.S):
            if "\npolicy: " not in text:
                continue
            path = tmp_path / "example.yaml"
            path.write_text(text)
            tested += len(dray.json("policy", "test", path)[0]["tests"])
    assert tested >= 5, "and there are such examples"


# ---- Past jobs under another set -------------------------------------------------------------------


def draft(site, text, name="draft"):
    """A set that is in force nowhere."""
    folder = site.out.parent / name
    folder.mkdir(exist_ok=True)
    (folder / "site.yaml").write_text(f"version: 1\npolicy: site\nrevision: 99\nrules:\n{text}")
    return folder


def test_a_new_set_is_tried_on_past_jobs_before_it_rules(dray, site):
    site.policy(rule(drop("notes/")))
    dray("run", *site.workflow(TO_LAB))
    first = dray.json("jobs")[0]["job"]
    dray("run", *site.workflow('  - { id: pick, uses: filter/glob, with: { exclude: ["a.nc"] } }\n', TO_SITE % ""))
    answer = dray.json("policy", "replay", draft(site, rule(drop("raw/"))))
    jobs = {job["job"]: job for job in answer["jobs"]}
    [target] = jobs[first]["targets"]
    assert jobs[first]["outcome"] == "changes"
    assert (target["was"]["entries"], target["would"]["entries"]) == (2, 2)
    [dropped] = target["dropped"]
    assert (dropped["by"], dropped["entries"], dropped["bytes"]) == ("policy:site/only", 1, 5)
    assert dropped["examples"] == ["raw/x.fastq"] and target["more"] == {"entries": 1, "bytes": 2}
    assert answer["totals"] == {"same": 0, "changes": 2, "denied": 0, "not_replayed": 0}
    # the set in force, again: nothing would change
    assert dray.json("policy", "replay", site.folder)["totals"]["same"] == 2
    said = dray("policy", "replay", draft(site, rule(drop("raw/")))).out
    assert "drops 1 entry (5 B) by policy:site/only: raw/x.fastq" in said
    assert "no longer drops 1 entry (2 B)" in said and "2 jobs: 0 the same, 2 would change" in said
    # the data may be gone
    for path in ("data/raw/x.fastq", "data/a.nc"):
        (site.out.parent / path).unlink()
    assert dray.json("policy", "replay", draft(site, rule(drop("raw/"))))["totals"]["changes"] == 2
    assert [job["state"] for job in dray.json("jobs")] == ["delivered", "delivered"], "and nothing is done"


def test_replay_says_what_would_be_denied_and_what_is_only_watched(dray, site):
    dray("run", *site.workflow(TO_LAB, TO_SITE % ""))
    replay = ["policy", "replay"]
    denied = dray.json(*replay, draft(site, rule("allow: { target.host: good }", when="{ target.type: other }")))
    assert denied["totals"]["denied"] == 1
    assert "does not allow the target of \"to-site\"" in denied["jobs"][0]["reason"]
    assert dray.json(*replay, draft(site, rule("limit: { entries: 2 }")))["totals"]["denied"] == 1
    assert dray.json(*replay, draft(site, rule("limit: { entries: 3 }")))["totals"]["same"] == 1
    unknown = dray.json(*replay, draft(site, rule(drop("raw/"), when="{ dataset.tags: human }")))
    assert "dataset.tags, which is not known" in unknown["jobs"][0]["reason"]
    watched = dray.json(*replay, draft(site, rule(drop("raw/"), "audit")))
    assert watched["totals"]["same"] == 1
    assert watched["jobs"][0]["watched"][0]["entries"] == 1
    split = dray.json(*replay, draft(site, rule(drop("raw/"), when="{ target.type: hpfs }")))
    drops = {one["step"]: [rule["entries"] for rule in one["dropped"]] for one in split["jobs"][0]["targets"]}
    assert drops == {"to-lab": [1], "to-site": []}


def test_replay_is_of_the_jobs_that_are_asked_for_and_of_a_set_without_faults(dray, site):
    dray("run", *site.workflow(TO_LAB))
    good = draft(site, rule(drop("raw/")))
    assert dray.json("policy", "replay", good, "--since", "1h")["totals"]["changes"] == 1
    assert dray.json("policy", "replay", good, "--until", "1h")["jobs"] == []
    today = datetime.datetime.now(datetime.timezone.utc).date()
    assert dray.json("policy", "replay", good, "--since", today)["totals"]["changes"] == 1
    assert dray.json("policy", "replay", good, "--until", today)["jobs"] == []
    assert "it takes a day" in dray("policy", "replay", good, "--since", "2026-13-01", exit=2).err
    assert dray.json("policy", "replay", good / "site.yaml")["totals"]["changes"] == 1, "a file alone is a set"
    bad = draft(site, rule(drop("a**b")), "bad")
    assert f"{bad}/site.yaml:7:" in dray("policy", "replay", bad, exit=2).err
    assert "nowhere" in dray("policy", "replay", site.out / "nowhere", exit=4).err
    dray("policy", "replay", exit=2)


def test_a_job_of_several_sources_is_not_guessed_at(dray, site, files):
    files(site.out.parent / "more", {"m": "m"})
    site.file.write_text("version: 1\nsteps:\n"
                         "  - { id: one, uses: source/directory, with: { path: ./data } }\n"
                         "  - { id: two, uses: source/directory, with: { path: ./more } }\n"
                         "  - { id: out, uses: push/hpfs, needs: [one, two], with: { path: ./out/both } }\n"
                         "dataset: ./data\n")
    dray("run", site.file)
    answer = dray.json("policy", "replay", draft(site, rule(drop("raw/"))))
    assert answer["totals"]["not_replayed"] == 1 and "several sources" in answer["jobs"][0]["reason"]


@pytest.fixture
def content(dray, site, tmp_path):
    """A filter that looks into files."""
    (tmp_path / "content.c").write_text(content_filter("A"))
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", f"-I{TOP}/include", tmp_path / "content.c",
                    "-o", dray.home / ".local/lib/dray/plugins/filter-content.so"], check=True)
    return "inject: [{ uses: filter/content }]"


def test_what_would_have_to_read_the_data_is_not_guessed_at(dray, site, content):
    own = "  - { id: own, uses: filter/content }\n"
    dray("run", *site.workflow(own, TO_LAB))
    assert "raw/x.fastq" not in contents(site.out / "lab")
    replay = ["policy", "replay"]
    # what the workflow's own filter said then, it would say again
    assert dray.json(*replay, draft(site, "  []\n"))["totals"]["same"] == 1
    answer = dray.json(*replay, draft(site, rule(content)))
    assert answer["jobs"][0]["targets"][0]["not_replayed"] == ["policy:site/only"]
    assert "would run, not replayed (it reads the data): policy:site/only" in dray(*replay, draft(
        site, rule(content))).out
    assert "would run, not replayed" in dray(*replay, draft(site, rule(content, "audit"))).out
    for mode in ("audit", "enforce"):  # how many there would be is not known either
        assert "would run, not replayed" in dray(*replay, draft(site, rule("limit: { entries: 1 }", mode))).out
    tests = "tests:\n  - { name: t, given: { path: a }, expect: { verdict: keep } }\n"
    said = dray("policy", "test", draft(site, rule(content) + tests), exit=2)
    assert 'test "t" cannot be judged' in said.err and "has none in a test" in said.err
    said = dray("policy", "explain", "--policies", draft(site, rule(content)), "--dataset", "data", "--target",
                site.out / "x", "--path", "raw/x.fastq").out
    assert "reads the data, so what becomes of the path is not known here" in said


def test_a_filter_that_only_watches_switches_no_limit_off(dray, site, content):
    command = site.workflow(TO_LAB)
    site.policy(rule(content, "audit") + rule("limit: { entries: 1 }", id="cap"))
    listing = site.out.parent / "list"
    listing.write_text("a\nb\n")
    assert "2 entries are to be delivered" in dray("preview", *command, "--listing", listing, exit=3).err


def test_a_preview_tells_what_rules_would_do_that_only_warn(dray, site):
    command = site.workflow(TO_LAB)
    site.policy(rule(drop("raw/"), "warn") + rule("limit: { entries: 1 }", "warn", id="cap"))
    said = dray("preview", *command)
    assert "would leave out 1 (5 B) by policy:site/only" in said.err and "limit exceeded: 3 entries" in said.err
    assert "keep" in said.out and "0 dropped" in said.out
    assert dray("preview", *command, "--json").err == ""
    site.policy(rule(drop("raw/"), "audit") + rule("limit: { entries: 1 }", "audit", id="cap"))
    assert dray("preview", *command).err == ""


def test_a_preview_shows_what_there_is_too_much_of_and_says_that_it_is_denied(dray, site):
    command = site.workflow(TO_LAB)
    site.policy(rule("limit: { entries: 2 }"))
    said = dray("preview", *command, exit=3)
    assert "step site/only@to-lab: 3 entries are to be delivered, 2 at most" in said.err
    assert "raw/x" in said.out and "3 kept" in said.out
    dray("run", *command, exit=3)
    assert os.listdir(site.out) == []


def test_a_file_is_no_directory_of_policies(dray, site):
    path = site.policy(rule(drop("raw/")))
    for command in (["policy", "list", "--policies", path], ["plan", *site.workflow(TO_LAB), "--policies", path]):
        assert "policies are a directory of files" in dray(*command, exit=2).err
    dray("policy", "key", dray.home / "k")
    assert "policies are a directory" in dray("policy", "sign", path, "--key", dray.home / "k", exit=2).err


def test_list_shows_exceptions_and_which_have_ended(dray, site):
    site.policy(rule(drop("raw/")) +
                "exceptions:\n  - { rule: only, user: asmith, until: 2020-01-31, reason: RC-88 }\n"
                "  - { rule: only, user: bjones, dataset: ocean, until: 2199-01-31, reason: looked at }\n")
    said = dray("policy", "list", "--policies", site.folder).out
    assert "except only for asmith, ended on 2020-01-31: RC-88\n" in said
    assert "except only for bjones with dataset ocean, until 2199-01-31: looked at\n" in said
    [policy] = dray.json("policy", "list", "--policies", site.folder)["policies"]
    assert [one["ended"] for one in policy["exceptions"]] == [True, False]


def test_a_set_with_a_failing_test_is_not_listed_as_in_force(dray, site):
    site.policy(rule(drop("raw/")) + "tests:\n  - { name: t, given: { path: a }, expect: { verdict: drop } }\n")
    assert 'test "t" fails' in dray("policy", "list", "--policies", site.folder, exit=3).err


def test_replay_says_which_limit_would_have_been_exceeded(dray, site):
    dray("run", *site.workflow(TO_LAB))
    said = dray("policy", "replay", draft(site, rule("limit: { entries: 2 }", "audit"))).out
    assert "would deny, but only watches: 3 entries are to be delivered, 2 at most" in said
