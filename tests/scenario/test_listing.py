# SPDX-License-Identifier: MIT
"""`dray preview --listing`: a workflow tried on a list of a dataset's entries, where neither the dataset
nor the place that it goes to is there."""
import os
import subprocess

import pytest

from conftest import TOP, contents, record

WORKFLOW = """\
version: 1
dataset: /far/away/ocean.tar.gz
steps:
  - id: pick
    uses: filter/glob
    with: { include: ["*.nc", "*.csv", "empty/"], exclude: ["old_*"] }
  - { id: deliver, uses: push/hpfs, with: { into: /far/away/lab } }
"""

POLICY = """\
version: 1
policy: site
revision: 1
rules:
  - { id: no-raw, mode: enforce, when: { target.type: hpfs, target.path: "/far/away/lab/**" },
      inject: [{ uses: filter/glob, with: { exclude: ["raw/"] } }], message: Raw stays here. }
  - { id: elsewhere, mode: enforce, when: { target.path: "/near/**" },
      inject: [{ uses: filter/glob, with: { exclude: ["*"] } }] }
"""

LIST = "9\ta.nc\n7\told_a.nc\n5\traw/x.nc\n4096\tempty/\n3\tdeep/b.csv\n"

VERDICTS = {"a.nc": "keep", "deep/b.csv": "keep", "empty": "keep", "old_a.nc": "drop", "raw/x.nc": "drop"}


def verdicts(lines):
    return {line["path"]: line["verdict"] for line in lines if "verdict" in line}


@pytest.fixture
def place(files, workflow, tmp_path):
    """A workflow, a policy and a list; nothing of the dataset."""
    files(tmp_path, {"policies/site.yaml": POLICY, "list.txt": LIST})
    return workflow(WORKFLOW)


def test_a_list_gets_verdicts_where_neither_dataset_nor_target_is_there(dray, place):
    shown = dray("preview", place, "--policies", "policies", "--listing", "list.txt", cwd=place.parent)
    lines = shown.out.splitlines()
    assert lines[-1] == ("3 kept (12 B), 2 dropped (12 B); from list.txt, 5 entries listed; "
                         "nothing was pushed")
    assert lines[0].split() == ["keep", "9", "B", "a.nc", "pick.include[0]", '"*.nc"']
    assert "raw/x.nc  policy:site/no-raw  \"raw/\" (Raw stays here.)" in shown.out
    assert not os.path.exists("/far")


def test_json_says_the_same_with_the_list_in_its_summary(dray, place):
    lines = dray("preview", place, "--policies", "policies", "--listing", "list.txt", "--json",
                 cwd=place.parent).json_lines()
    assert verdicts(lines) == VERDICTS
    assert lines[-1] == {"summary": {"kept": {"entries": 3, "bytes": 12},
                                     "dropped": {"entries": 2, "bytes": 12},
                                     "listing": {"file": "list.txt", "entries": 5}}}


def test_standard_input_and_records_that_end_with_nul(dray, place):
    lines = dray("preview", place, "--listing", "-", "--json",
                 input=LIST.replace("\n", "\0").encode() + b"1\tx\ny.nc\0").json_lines()
    assert lines[-1]["summary"]["listing"] == {"file": "standard input", "entries": 6}
    assert verdicts(lines)["x\ny.nc"] == "keep"


def test_what_find_prints_is_read_as_the_directory_itself_would_be(dray, files, workflow, tmp_path):
    source = files(tmp_path / "source", {"a.nc": "grid", "d/e/b.csv": "x", "d/old_c.nc": "", "empty/": None,
                                         "two\nlines.nc": "1"})
    (tmp_path / "out").mkdir()
    file = workflow(WORKFLOW.replace("/far/away/ocean.tar.gz", "./source").replace("/far/away/lab", "./out"))
    listed = subprocess.run(["find", ".", "-type", "d", "-printf", "%s\\t%P/\\0", "-o", "-printf",
                             "%s\\t%P\\0"], cwd=source, stdout=subprocess.PIPE, check=True).stdout
    walked = dray("preview", file, "--json").json_lines()
    lines = dray("preview", file, "--listing", "-", "--json", input=listed).json_lines()
    assert lines[-1]["summary"].pop("listing") == {"file": "standard input", "entries": 7}
    assert lines == walked


def test_the_list_of_an_earlier_delivery(dray, files, workflow, tmp_path):
    source = files(tmp_path / "source", {"a.nc": "grid", "b.csv": "x", "empty/": None})
    (source / "link.nc").symlink_to("a.nc")
    (tmp_path / "out").mkdir()
    file = workflow(WORKFLOW.replace("/far/away/ocean.tar.gz", "./source").replace("/far/away/lab", "./out"))
    dray("run", file)
    [tree] = (tmp_path / "out/source/.dray").glob("*/tree.jsonl")
    lines = dray("preview", file, "--listing", tree, "--json").json_lines()
    assert verdicts(lines) == {"a.nc": "keep", "b.csv": "keep", "empty": "keep", "link.nc": "keep"}
    assert {line["path"]: line["size"] for line in lines if "size" in line}["a.nc"] == 4
    assert len(record(tmp_path / "out/source", "tree.jsonl")) == 4


@pytest.mark.parametrize("line, says", [
    ("1\t/abs\n", "list.txt:6: adding an entry: its path \"/abs\" is absolute"),
    ("1\t../up\n", "list.txt:6: adding an entry: its path \"../up\" holds the segment \"..\""),
    ("\n", "list.txt:6: adding an entry: its path \"\" is empty"),
    ("1 kB\tx\n", "list.txt:6: \"1 kB\" before the tab is no size"),
    ("1\ta.nc\n", "list.txt:6: two entries have the path \"a.nc\""),
    ("1\ta.nc/x\n", "list.txt:6: \"a.nc/x\" cannot be below \"a.nc\", which is a file"),
    ("1\t.dray/x\n", "list.txt:6: adding \".dray/x\""),
])
def test_a_bad_line_is_refused_with_its_place(dray, place, line, says):
    (place.parent / "list.txt").write_text(LIST + line)
    failed = dray("preview", place, "--listing", "list.txt", cwd=place.parent, exit=2)
    assert f"error: {says}" in failed.err
    assert failed.out == ""
    if ".dray" not in line:  # what is to be done about that is said instead
        assert "\n       find . -type d -printf '%s\\t%P/\\n' -o -printf '%s\\t%P\\n'\n" in failed.err


def test_what_other_programs_print_is_read_or_refused_with_the_command_that_works(dray, files, workflow,
                                                                                 tmp_path):
    source = files(tmp_path / "source", {"a.nc": "grid", "b.txt": "x"})
    file = workflow(WORKFLOW)

    def preview(command, **keywords):
        listed = subprocess.run(command, cwd=source, stdout=subprocess.PIPE, check=True).stdout
        return dray("preview", file, "--listing", "-", input=listed, **keywords)

    for command, bare in [(["find", "."], True), (["find", "-type", "f"], True), (["du", "-ab"], False),
                          (["ls"], True)]:
        done = preview(command)
        assert "1 kept" in done.out and "1 dropped" in done.out and "2 entries listed" in done.out, command
        assert ("no line of the list has a tab" in done.err) == bare, command
    for command in (["find", source], ["du", "-a", source]):
        assert "find . -type d -printf" in preview(command, exit=2).err, command
    assert "SIZE, a tab and PATH" in preview(["ls", "-l"]).err
    (source / "d").mkdir()
    (source / "d/c.nc").touch()
    assert "a directory's ends with a slash:\n       find . -type d" in preview(["find", "."], exit=2).err


def test_a_list_that_is_not_there_is_not_found(dray, place):
    for command in ("preview", "plan"):
        assert "reading the list none.txt: No such file" in dray(command, place, "--listing", "none.txt",
                                                               exit=4).err
        assert "is a directory" in dray(command, place, "--listing", place.parent, exit=2).err


def test_a_plan_needs_no_dataset_either_and_names_what_it_assumes(dray, place):
    plan = dray.json("plan", place, "--policies", "policies", "--listing", "list.txt", cwd=place.parent)
    assert plan["targets"][0]["presence"] == {"state": "unseen"}
    said = dray("plan", place, "--policies", "policies", "--listing", "list.txt", cwd=place.parent).out
    assert "not looked at" in said and "nothing is there yet" not in said
    assert plan["dataset"] == {"name": "ocean", "id": "/far/away/ocean.tar.gz", "revision": "listed"}
    assert plan["targets"][0]["uri"] == "/far/away/lab/ocean"
    assert "site/no-raw" in [step["id"] for step in plan["steps"]]
    assert "site/elsewhere" not in [step["id"] for step in plan["steps"]]
    assert "/far/away/ocean.tar.gz cannot be read" in dray("plan", place, exit=2).err


def test_the_command_line_names_the_dataset_and_a_source_of_its_own_is_one_too(dray, place, workflow):
    listing = ["--listing", place.parent / "list.txt"]
    plan = dray.json("plan", place, "--dataset", "./x/y", *listing, cwd=place.parent)
    assert plan["dataset"]["id"] == f"{place.parent}/x/y" and plan["dataset"]["name"] == "y"
    text = WORKFLOW.replace("dataset: /far/away/ocean.tar.gz\nsteps:",
                            "steps:\n  - { id: bring, uses: source/directory, with: { path: /far/run7 } }")
    assert dray.json("plan", workflow(text, "own.yaml"), *listing)["dataset"]["name"] == "run7"
    lines = dray("preview", workflow(text, "own.yaml"), *listing, "--json").json_lines()
    assert verdicts(lines)["raw/x.nc"] == "keep"


def test_two_sources_are_refused_with_the_reason(dray, place, workflow):
    text = """\
version: 1
dataset: /far/x
steps:
  - { id: a, uses: source/directory, with: { path: /far/a } }
  - { id: b, uses: source/directory, with: { path: /far/b } }
  - { id: out, uses: push/hpfs, needs: [a, b], with: { path: /far/out } }
"""
    failed = dray("preview", workflow(text, "two.yaml"), "--listing", place.parent / "list.txt", exit=2)
    assert "two.yaml:5:20: error: a list stands for one source, and this is the second" in failed.err


def test_what_a_list_cannot_give_is_said(dray, place):
    failed = dray("preview", place, "--listing", place.parent / "list.txt", "--stage", exit=2)
    assert "give one of them" in failed.err
    assert "does not take --listing" in dray("run", place, "--listing", "x", exit=2).err


def test_a_destination_that_could_never_be_one_is_an_error_all_the_same(dray, place, workflow):
    file = workflow(WORKFLOW.replace("{ into: /far/away/lab }", "{ path: /far/.dray }"))
    assert "a name that Dray keeps for itself" in dray("preview", file, "--listing", "list.txt",
                                                      cwd=place.parent, exit=2).err


def test_a_manifest_is_not_looked_for(dray, place, workflow):
    file = workflow(WORKFLOW.replace("steps:\n", "steps:\n  - { id: check, uses: validate, "
                                     "with: { manifest: manifest.txt } }\n"))
    lines = dray("preview", file, "--listing", "list.txt", "--json", cwd=place.parent).json_lines()
    assert verdicts(lines)["a.nc"] == "keep"


# ---- Filters that read bytes ----

CONTENT = """\
#include <dray/plugin.h>

struct content {
    int64_t wanted;
};

static const struct dray_option options[] = {
    DRAY_OPTION_INT(struct content, wanted, "103", 0, 255, "Keep files that begin with this byte"),
};

static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict)
{
    const struct content *content = self;
    struct dray_reader reader = {.size = sizeof(reader)};
    unsigned char first = 0;

    int result = ctx->host->open(ctx, entry->id, &reader);
    if (result != DRAY_OK)
        return result;
    int64_t got = ctx->host->read(ctx, &reader, &first, 1);
    result = ctx->host->close(ctx, &reader);
    if (got < 0 || result != DRAY_OK)
        return got < 0 ? (int)got : result;
    *ret_verdict = (struct dray_verdict){first == content->wanted ? DRAY_KEEP : DRAY_DROP, 0,
                                         DRAY_NO_INDEX};
    return DRAY_OK;
}

static const struct dray_filter_operations operations = {.size = sizeof(operations),
                                                         .decide = decide};

DRAY_PLUGIN(DRAY_KIND_FILTER, DRAY_CAP_REENTRANT | DRAY_CAP_CONTENT, "content", "1.0.0",
            "Keep files by their first byte", struct content, options, &operations);
"""

CONTENT_WORKFLOW = """\
version: 1
dataset: ./source{suffix}
steps:
  - {{ id: peek, uses: filter/content }}
  - {{ id: pick, uses: filter/glob, with: {{ exclude: ["old_*"] }} }}
  - {{ id: deliver, uses: push/hpfs, with: {{ path: ./out/data }} }}
"""


def build(dray, tmp_path, name, source):
    """A plugin of the user's own, built as its author would."""
    plugins = dray.home / ".local/lib/dray/plugins"
    plugins.mkdir(parents=True, mode=0o755, exist_ok=True)
    (tmp_path / f"{name}.c").write_text(source)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", f"-I{TOP}/include",
                    tmp_path / f"{name}.c", "-o", plugins / f"{name}.so"], check=True)


@pytest.fixture
def peeking(dray, files, tmp_path):
    """A site with a filter that reads bytes, and a dataset as a directory and as an archive."""
    build(dray, tmp_path, "filter-content", CONTENT)
    files(tmp_path / "source", {"a": "grid", "b": "text", "old_a": "grid"})
    (tmp_path / "out").mkdir()
    for name, flag in (("source.tar", "-cf"), ("source.tar.gz", "-czf")):
        subprocess.run(["tar", "-C", tmp_path / "source", flag, tmp_path / name, "a", "b", "old_a"],
                       check=True)
    (tmp_path / "list.txt").write_text("4\ta\n4\tb\n4\told_a\n")
    return tmp_path


UNDECIDED = {"a": "undecided", "b": "undecided", "old_a": "drop"}
DECIDED = {"a": "keep", "b": "drop", "old_a": "drop"}


@pytest.mark.parametrize("suffix, options, expected", [
    ("", ["--listing", "list.txt"], UNDECIDED),
    (".tar.gz", [], UNDECIDED),
    (".tar.gz", ["--stage"], DECIDED),
    (".tar", [], DECIDED),  # read where it lies
    ("", [], DECIDED),
])
def test_what_needs_bytes_is_undecided_where_there_are_none(dray, peeking, workflow, suffix, options,
                                                            expected):
    file = workflow(CONTENT_WORKFLOW.format(suffix=suffix))
    lines = dray("preview", file, *options, "--json", cwd=peeking).json_lines()
    assert verdicts(lines) == expected
    undecided = [line for line in lines if line.get("verdict") == "undecided"]
    assert all(line["by"] == "peek" and line["why"] == "needs content" for line in undecided)
    summary = lines[-1]["summary"]
    if undecided:
        assert summary["undecided"] == {"entries": 2, "bytes": 8} and summary["kept"]["entries"] == 0
        text = dray("preview", file, *options, "--kept", cwd=peeking).out.splitlines()
        assert text[0].split() == ["?", "4", "B", "a", "peek", "needs", "content"]
        assert "0 kept (0 B), 1 dropped (4 B), 2 undecided (8 B); " in text[-1]
    else:
        assert "undecided" not in summary


def test_such_a_filter_decides_in_a_delivery(dray, peeking, workflow):
    dray("run", workflow(CONTENT_WORKFLOW.format(suffix=".tar.gz")))
    assert contents(peeking / "out/data") == {"a": b"grid"}


# ---- Targets of other plugins ----

PUSH = """\
#include <dray/plugin.h>

struct far {
    const char *path;
};

static const struct dray_option options[] = {
    DRAY_OPTION_PATH(struct far, path, DRAY_OPTION_REQUIRED | DRAY_OPTION_DELIVERS, NULL, "Where to"),
};

static int describe(void *self, struct dray_ctx *ctx, struct dray_target *ret_target)
{
    const struct far *far = self;
    (void)ret_target;
    return ctx->host->fail(ctx, DRAY_NOT_FOUND, "there is no %s", far->path);
}

static int probe(void *self, struct dray_ctx *ctx, struct dray_presence *ret_presence)
{
    (void)self;
    (void)ret_presence;
    return ctx->host->fail(ctx, DRAY_PERMANENT, "it was probed");
}

static int push(void *self, struct dray_ctx *ctx)
{
    (void)self;
    return ctx->host->fail(ctx, DRAY_PERMANENT, "it was pushed");
}

static const struct dray_push_operations operations = {
    .size = sizeof(operations), .target_type = DRAY_TARGET_OTHER, .describe = describe,
    .probe = probe, .push = push, .discard = push};

DRAY_PLUGIN(DRAY_KIND_PUSH, DRAY_CAP_LINKS, "far", "1.0.0", "Deliver far away", struct far, options,
            &operations);
"""


def test_a_place_that_its_plugin_cannot_name_is_known_by_the_option_that_says_it(dray, place, workflow,
                                                                               tmp_path):
    build(dray, tmp_path, "push-far", PUSH)
    file = workflow(WORKFLOW.replace("push/hpfs, with: { into: /far/away/lab }",
                                     "push/far, with: { path: /near/lab }"))
    assert "there is no /near/lab" in dray("plan", file, "--dataset", "./policies", exit=2,
                                          cwd=place.parent).err
    arguments = [file, "--policies", "policies", "--listing", "list.txt"]
    target = dray.json("plan", *arguments, cwd=place.parent)["targets"][0]
    assert (target["type"], target["uri"], target["path"]) == ("other", "/near/lab", "/near/lab")
    lines = dray("preview", *arguments, "--json", cwd=place.parent).json_lines()
    assert {line["by"] for line in lines if "verdict" in line} == {"policy:site/elsewhere"}
