# SPDX-License-Identifier: MIT
"""Rules that may not do what their author thinks are named: those that decided nothing, and patterns
that match below the root where an anchor may have been meant. Exit codes and verdicts are not touched."""
import json
import os
import subprocess

import pytest

from conftest import TOP

WORKFLOW = """\
version: 1
dataset: /far/ocean
steps:
  - id: pick
    uses: filter/glob
    with: {{ include: {include}, exclude: {exclude} }}
  - {{ id: deliver, uses: push/hpfs, with: {{ path: /far/out }} }}
"""

POLICY = """\
version: 1
policy: site
revision: 1
rules:
  - { id: no-raw, mode: enforce, message: Raw stays here.,
      inject: [{ uses: filter/glob, with: { exclude: ["raw/", "no-such"] } }] }
"""

LIST = "1\ta.nc\n1\tb.csv\n1\ttmp/x\n1\ts1/raw/x.nc\n1\ts1/deep/y.nc\n1\tdeep/y.nc\n1\tonce/z.nc\n"


@pytest.fixture
def lints(dray, workflow, files, tmp_path):
    """lints(include, exclude) gives the lints of a preview with these lists, by rule."""
    files(tmp_path, {"list.txt": LIST, "policies/site.yaml": POLICY})

    def look(include, exclude, *options):
        file = workflow(WORKFLOW.format(include=include, exclude=exclude))
        lines = dray("preview", file, "--listing", "list.txt", "--json", *options, cwd=tmp_path).json_lines()
        found = [line["lint"] for line in lines if "lint" in line]
        assert [line for line in lines if "lint" in line] == lines[len(lines) - 1 - len(found):-1]
        assert "summary" in lines[-1]
        assert all(lint["file"] == str(file) and lint["line"] == 6 for lint in found)
        for lint in found:
            quoted = file.read_text().splitlines()[5][lint["column"] - 1:][:lint["width"]]
            assert json.loads(quoted) in lint["why"], "its own place"
        return {lint["by"]: lint for lint in found}
    return look


def test_rules_that_all_decide_something_are_not_named(lints):
    assert lints('["*.nc", "*.csv"]', '["tmp/", "/deep/"]') == {}
    assert lints("[]", "[]") == {}


def test_a_rule_that_matches_nothing(lints):
    found = lints('["*.nc", "*.h5"]', '["tmp/", "[!a-z]*"]')
    assert {by: (lint["kind"], lint["why"], lint["message"]) for by, lint in found.items()} == {
        "pick.include[1]": ("unmatched", '"*.h5"', 'pick.include[1] "*.h5" matches nothing in this dataset'),
        "pick.exclude[1]": ("unmatched", '"[!a-z]*"',
                            'pick.exclude[1] "[!a-z]*" matches nothing in this dataset')}


@pytest.mark.parametrize("include, exclude, by, says", [
    ('[]', '["s1/", "**/s1/deep/"]', "pick.exclude[1]",
     '"**/s1/deep/" decides nothing: what it matches is dropped by pick.exclude[0] "s1/" (s1/deep/y.nc)'),
    ('["*.nc", "a.nc"]', '[]', "pick.include[1]",
     '"a.nc" decides nothing: what it matches is kept by pick.include[0] "*.nc" (a.nc)'),
    ('["*.csv", "tmp/"]', '["tmp/"]', "pick.include[1]",
     '"tmp/" decides nothing: what it matches is dropped by pick.exclude[0] "tmp/" (tmp/x)'),
])
def test_a_rule_that_another_one_covers_names_that_one(lints, include, exclude, by, says):
    found = lints(include, exclude)
    assert list(found) == [by]
    assert found[by]["kind"] == "covered" and found[by]["message"] == f"{by} {says}"
    assert found[by]["path"] in says


def test_of_two_that_are_covered_alike_both_are_named(lints):
    found = lints("[]", '["tmp/", "**/tmp/*", "tmp/", "**/tmp/x", "tmp/**/x"]')
    assert {by: lint["kind"] for by, lint in found.items()} == {
        "pick.exclude[1]": "covered", "pick.exclude[2]": "covered", "pick.exclude[3]": "covered",
        "pick.exclude[4]": "covered"}


def test_what_a_policy_dropped_already_is_said_and_nothing_of_its_own_rules(lints):
    found = lints("[]", '["raw/", "tmp/"]', "--policies", "policies")
    assert {by: lint["message"] for by, lint in found.items()} == {
        "pick.exclude[0]": 'pick.exclude[0] "raw/" decides nothing: what it matches is already dropped by '
                           'policy:site/no-raw "raw/" (Raw stays here.) (s1/raw/x.nc)'}


def test_a_pattern_that_floats_to_where_its_anchored_form_would_not_is_told_with_an_example(lints):
    found = lints("[]", '["deep/y.nc", "once/*"]')
    assert {by: (lint["kind"], lint["message"], lint["path"]) for by, lint in found.items()} == {
        "pick.exclude[0]": ("floating", 'pick.exclude[0]: "deep/y.nc" matches below the root too: write '
                            '"/deep/y.nc" for the root only, or "**/deep/y.nc" if that is meant '
                            '(s1/deep/y.nc)', "s1/deep/y.nc")}


def test_people_read_them_beside_the_verdicts(dray, workflow, files, tmp_path):
    files(tmp_path, {"list.txt": LIST})
    file = workflow(WORKFLOW.format(include="[]", exclude='["tmp/", "deep/y.nc", "*.h5"]'))
    shown = dray("preview", file, "--listing", "list.txt", cwd=tmp_path)
    assert shown.out.splitlines()[-1].endswith("nothing was pushed")
    line = file.read_text().splitlines()[5]
    first, second = line.index('"deep') + 1, line.index('"*.h5') + 1
    notes = shown.err.splitlines()
    assert [note for note in notes if "note:" in note] == [
        f'{file}:6:{first}: note: pick.exclude[1]: "deep/y.nc" matches below the root too: write "/deep/y.nc" for the '
        'root only, or "**/deep/y.nc" if that is meant (s1/deep/y.nc)',
        f'{file}:6:{second}: note: pick.exclude[2] "*.h5" matches nothing in this dataset']
    assert notes[4:] == [f"    6 | {line}", "      | " + " " * (second - 1) + "^~~~~~"]


def test_a_step_that_targets_have_copies_of_is_named_once_and_only_if_no_copy_needs_the_rule(
        dray, workflow, files, tmp_path):
    files(tmp_path, {"list.txt": LIST, "policies/site.yaml": POLICY.replace(
        "message:", "when: { target.path: /far/out }, message:")})
    file = workflow(WORKFLOW.format(include="[]", exclude='["raw/", "*.h5"]') +
                    "  - { id: other, uses: push/hpfs, with: { path: /far/other } }\n")
    lines = dray("preview", file, "--listing", "list.txt", "--json", "--policies", "policies",
                 cwd=tmp_path).json_lines()
    found = [line["lint"]["message"] for line in lines if "lint" in line]
    assert len(found) == 1 and found[0].endswith('.exclude[1] "*.h5" matches nothing in this dataset')


# ---- Notes while nothing is walked ----

FLOATING = WORKFLOW.format(include='["a/*.nc", "/b/c", "**/d/e", "f/", "{/g,h}", "*.nc"]', exclude='["x/y/"]')


def test_check_and_plan_note_floating_patterns_at_their_place_and_end_well(dray, workflow, files, tmp_path):
    files(tmp_path, {"list.txt": LIST})
    file = workflow(FLOATING)
    line = FLOATING.splitlines()[5]
    first, second = line.index('"a/*') + 1, line.index('"x/y') + 1
    checked = dray("check", file)
    assert f'{file}:6:{first}: note: "a/*.nc" matches below the root too: write "/a/*.nc" for the root only, ' \
           'or "**/a/*.nc" if that is meant' in checked.out
    assert checked.out.count("note:") == 2 and f'{file}:6:{second}: note: "x/y/"' in checked.out
    assert checked.out.splitlines()[-1] == "1 file checked, no errors"
    assert [(one["severity"], one["column"]) for one in dray.json("check", file)] == [
        ("note", first), ("note", second)]
    planned = dray("plan", file, "--listing", "list.txt", cwd=tmp_path)
    assert planned.err.count("note:") == 2 and "note" not in planned.out


def test_a_delivery_and_a_push_say_nothing_of_it(dray, workflow, files, tmp_path):
    source = files(tmp_path / "source", {"a/x.nc": "1", "b/a/x.nc": "2"})
    text = FLOATING.replace("/far/ocean", str(source)).replace("/far/out", str(tmp_path / "out"))
    assert "note" not in dray("run", workflow(text)).err
    pushed = dray("push", source, "--to", tmp_path / "other", "--exclude", "b/a")
    assert "note" not in pushed.err


def test_an_admin_is_told_of_a_policy_by_check_and_its_users_are_not(dray, workflow, files, tmp_path):
    files(tmp_path, {"list.txt": LIST,
                     "policies/site.yaml": POLICY.replace('"raw/"', '"s1/raw/"')})
    assert 'note: "s1/raw/" matches below' in dray("check", tmp_path / "policies/site.yaml").out
    file = workflow(WORKFLOW.format(include="[]", exclude='["tmp/"]'))
    for command in ("plan", "preview"):
        assert dray(command, file, "--policies", "policies", "--listing", "list.txt", cwd=tmp_path).err == ""


# ---- Filters that are not ours ----

PICKY = """\
#include <dray/plugin.h>

#include <string.h>

struct picky {
    struct dray_strings names, others;
};

static const struct dray_option options[] = {
    DRAY_OPTION_STRINGS(struct picky, names, 0, "Drop these"),
    DRAY_OPTION_STRINGS(struct picky, others, 0, "Never empty"),
};

static int prepare(void *self, struct dray_ctx *ctx)
{
    const struct picky *picky = self;
    return picky->others.count > 0 ? DRAY_OK
                                   : ctx->host->fail(ctx, DRAY_INVALID, "others may not be empty");
}

static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict)
{
    const struct picky *picky = self;
    (void)ctx;
    *ret_verdict = (struct dray_verdict){DRAY_KEEP, 1, DRAY_NO_INDEX};
    for (uint64_t i = 0; i < picky->names.count; i++)
        if (strcmp(picky->names.items[i], entry->path) == 0)
            *ret_verdict = (struct dray_verdict){DRAY_DROP, 0, (int64_t)i};
    return DRAY_OK;
}

static const struct dray_filter_operations operations = {.size = sizeof(operations),
                                                         .decide = decide};

DRAY_PLUGIN(DRAY_KIND_FILTER, 0, "picky", "1.0.0", "Drop by name", struct picky, options, &operations,
            .prepare = prepare);
"""


def test_a_filter_that_cannot_be_asked_about_one_rule_alone_is_passed_over(dray, workflow, files, tmp_path):
    files(tmp_path, {"list.txt": LIST, "picky.c": PICKY})
    plugins = dray.home / ".local/lib/dray/plugins"
    plugins.mkdir(parents=True, mode=0o755)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", f"-I{TOP}/include",
                    tmp_path / "picky.c", "-o", plugins / "filter-picky.so"], check=True)
    text = WORKFLOW.format(include="[]", exclude='["*.h5"]').replace("steps:\n", """steps:
  - { id: picky, uses: filter/picky, with: { names: [a.nc, gone], others: [x, a.nc] } }
""")
    lines = dray("preview", workflow(text), "--listing", "list.txt", "--json", cwd=tmp_path).json_lines()
    assert {line["lint"]["by"]: line["lint"]["kind"] for line in lines if "lint" in line} == {
        "picky.others[0]": "unmatched", "picky.others[1]": "unmatched", "pick.exclude[0]": "unmatched"}
    assert [line["path"] for line in lines if line.get("by") == "picky.names[0]"] == ["a.nc"]
