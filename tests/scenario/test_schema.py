# SPDX-License-Identifier: MIT
"""dray check --schema: what an editor knows of a file is what Dray accepts. A validator of Debian's
judges the files of these tests and of the examples by it."""
import ast
import itertools
import os
import re
import subprocess

import jsonschema
import pytest
import yaml

from conftest import TOP

KINDS = ["workflow", "policy", "recipe"]


class Core(yaml.CSafeLoader):
    """YAML 1.2's core schema, as editors and Dray read it, parsed by libyaml as Dray does."""


Core.yaml_implicit_resolvers = {}
for tag, pattern, first in [
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"), ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
        ("float", r"[-+]?((0|[1-9][0-9]*)?\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789")]:
    Core.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))


def load(text):
    return yaml.load(text, Core)


SIZE = """
#include <dray/plugin.h>
struct size { int64_t min, max; };
static const struct dray_option options[] = {
    DRAY_OPTION_SIZE(struct size, min, "0", "Drop what is smaller"),
    DRAY_OPTION_SIZE(struct size, max, "none", "Drop what is larger"),
};
static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict)
{
    (void)self, (void)ctx, (void)entry;
    *ret_verdict = (struct dray_verdict){DRAY_KEEP, 0, DRAY_NO_INDEX};
    return DRAY_OK;
}
DRAY_FILTER_PLUGIN("bytes", "1.0.0", "Keep files by size", struct size, options, decide);
"""


def compile_plugin(dray, source, name):
    plugins = dray.home / ".local/lib/dray/plugins"
    plugins.mkdir(parents=True, mode=0o755, exist_ok=True)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", f"-I{TOP}/include", source, "-o",
                    plugins / name], check=True)


@pytest.fixture
def site(dray, tmp_path):
    """dray, where a site has a filter and a push of its own."""
    (tmp_path / "bytes.c").write_text(SIZE)
    compile_plugin(dray, tmp_path / "bytes.c", "filter-bytes.so")
    compile_plugin(dray, TOP / "tests/badplugins/all-types.c", "push-all-types.so")
    return dray


def validator(dray, kind):
    schema = dray.json("check", "--schema", kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def problems(checker, text):
    return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(load(text))]


# ---- The schema itself ----------------------------------------------------------------------------


def properties(schema):
    """Every mapping's properties, wherever it stands, but those of conditions (if, then, not)."""
    if isinstance(schema, dict):
        if "additionalProperties" in schema and "properties" in schema:
            yield schema["properties"]
        for key, value in schema.items():
            if key not in ("if", "then", "not"):
                yield from properties(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from properties(value)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_schema_in_which_every_key_is_described(site, kind):
    schema = validator(site, kind).schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema" and schema["title"]
    found = list(properties(schema))
    assert len(found) >= 5
    for name, value in itertools.chain.from_iterable(mapping.items() for mapping in found):
        assert len(value["description"]) > 5, name
    text = site("check", "--schema", kind).out
    assert text == site("check", "--schema", kind, "--json").out
    # A reference to `false` would be good, but language servers do not find it.
    assert all(isinstance(one, dict) for one in schema["$defs"].values())
    used = set(re.findall(r'"#/\$defs/([^"]+)"', text))
    assert used <= set(schema["$defs"]) and set(schema["$defs"]) - {"parameter"} <= used


def test_a_wrong_kind_names_the_kinds(dray, workflow):
    for kind in ("plan", "", "Workflow"):
        refused = dray("check", "--schema", kind, exit=2)
        assert refused.err == f'error: there is no kind of file "{kind}"\n hint: workflow, policy or recipe\n'
    refused = dray("check", "--schema", "workflow", workflow("version: 1\n"), exit=2)
    assert "checks no file" in refused.err and refused.out == ""
    assert "--schema takes a value" in dray("check", "--schema", exit=2).err


def test_every_plugin_of_the_site_is_in_it(site):
    schema = validator(site, "workflow").schema
    uses = {one["const"]: one["description"] for one in schema["$defs"]["step"]["properties"]["uses"]["oneOf"]
            if "const" in one}
    listed = site.json("plugin", "list")
    assert uses.keys() == {"validate"} | {f"{one['kind']}/{one['name']}" for one in listed}
    assert uses["filter/bytes"] == "Keep files by size"
    for one in listed:
        shown = site.json("plugin", "show", f"{one['kind']}/{one['name']}", "--schema")
        assert schema["$defs"][f"{one['kind']}.{one['name']}"]["properties"] == shown["properties"]
    injected = validator(site, "policy").schema["$defs"]["injected"]["properties"]["uses"]["oneOf"]
    assert {one["const"] for one in injected} == {"transform/rename"} | {
        f"filter/{name}" for name in ("bytes", "glob", "mime", "regex", "size", "time", "type")}


def test_a_refused_plugin_is_not_in_it(dray):
    plugins = dray.home / ".local/lib/dray/plugins"
    plugins.mkdir(parents=True)
    (plugins / "filter-bad.so").write_text("no plugin")
    assert "filter/bad" not in dray("check", "--schema", "workflow").out


# ---- What it says of files --------------------------------------------------------------------------


def texts_of_tests():
    """Workflows and policies that stand as texts in the tests, in C and in Python, in the documents
    and in the examples: some are good, some are not."""
    for path in [*TOP.glob("examples/**/*.yaml"), *TOP.glob("policies/**/*.yaml"),
                 *TOP.glob("tests/fuzz/corpus/*/*.yaml")]:
        yield path.read_text(errors="replace")
    for path in [*TOP.glob("docs/*.md"), TOP / "README.md"]:
        yield from re.findall(r"^```yaml\n(version: 1\n.*?)^```", path.read_text(), re.M | re.S)
    for path in TOP.glob("tests/scenario/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
                yield node.value.replace("{{", "{").replace("}}", "}")
    for path in TOP.glob("tests/unit/*.c"):
        for literals in re.findall(r'"version: 1\\n(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*', path.read_text()):
            yield ast.literal_eval(f"({literals})")


def test_what_dray_accepts_it_accepts(site, tmp_path):
    """Of every text that `dray check` finds nothing wrong with."""
    files = {}
    for number, text in enumerate(sorted(set(one for one in texts_of_tests() if one.startswith("version:")))):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        files[str(path)] = text
        for dataset in re.findall(r"^dataset: (\./[\w./-]+)", text, re.M):
            (tmp_path / dataset).mkdir(parents=True, exist_ok=True)
    names = list(files)
    bad = set()
    for start in range(0, len(names), 200):
        done = site("check", *names[start:start + 200], "--json", exit=None)
        bad |= {problem["file"] for problem in done.json() if problem["severity"] == "error"}
    checkers = {kind: validator(site, kind) for kind in KINDS}
    seen = dict.fromkeys(KINDS, 0)
    for name in sorted(set(names) - bad):
        if {"policies", "sources", "hpfs"} & set(load(files[name])):
            continue  # a configuration, which has no schema
        kind = next((kind for kind in ("policy", "recipe") if kind in load(files[name])), "workflow")
        seen[kind] += 1
        assert problems(checkers[kind], files[name]) == [], files[name]
    assert seen["workflow"] >= 12 and seen["policy"] >= 8 and seen["recipe"] >= 1, seen


# What the golden files are told that concerns the shape of one value or one mapping.
STRUCTURE = re.compile(
    r'unknown key|has no option|is missing its option|has no `(version|steps|id|mode|revision)`|the policy has no name'
    r'|does not say what it `uses`|is a (list|mapping|text)\b.*, not|is 1, not|reads version 1'
    r'|`mode` is|`symlinks` is|is true or false, not|takes a (list|size|mapping|string)'
    r'|takes true or false|takes a duration such as|takes KIND/PLUGIN|there is no kind of step'
    r'|cannot be the (id|name) of a (step|policy|rule)|no fact is called|the rule does nothing'
    r'|injects filters and transforms, not|(user.role|target.type) is never|means nothing in a value'
    r'|there is no type of parameter|is a number from|is described by a mapping|a policy has `rules`')
# Some that are only Dray's to find.
ONLY_DRAY = {
    "workflows": {"cycle", "dataset-missing", "dead-ends", "no-dataset", "no-push", "nothing-above"},
    "policies": set(),
}


@pytest.mark.parametrize("folder, kind", [("workflows", "workflow"), ("policies", "policy")])
def test_what_is_broken_in_shape_it_refuses(site, folder, kind):
    """Of the golden files. The others, with faults that only Dray can see, it may accept."""
    checker = validator(site, kind)
    refused, accepted, unreadable = set(), set(), set()
    for path in sorted((TOP / "tests/unit/golden" / folder).glob("*.yaml")):
        try:
            found = problems(checker, path.read_bytes())
        except yaml.YAMLError:
            unreadable.add(path.stem)
            continue
        (refused if found else accepted).add(path.stem)
        told = path.with_suffix(".expected").read_text()
        of_it = (f"{path.name}:", "DIR/policies/broken.yaml:")  # a fault may lie in another file
        shape = [line for line in told.splitlines()
                 if line.startswith(of_it) and ": error: " in line and STRUCTURE.search(line)]
        assert found or not shape, f"{path.stem}: {shape}"
    print(f"{folder}: {len(refused)} refused; not YAML: {sorted(unreadable)}; only Dray sees: {sorted(accepted)}")
    assert ONLY_DRAY[folder] <= accepted
    assert len(refused) >= (8 if kind == "workflow" else 6)


WORKFLOW = """\
version: 1
name: a name
dataset: ./x
parameters: { lab: { type: string, default: 5 }, n: { type: int, default: 3 }, b: { type: bool }, any: {} }
tree: { symlinks: copy, keep_empty_dirs: true }
steps:
  - { id: bring, uses: source/directory, with: { path: ./x } }
  - { id: sums, uses: validate, with: { manifest: sums.txt } }
  - { id: 7, uses: filter/glob, needs: [sums], with: { include: ["*.nc", 5], ignore_case: "${b}" } }
  - { id: shared, uses: recipe/no-raw@3, with: { anything: 1 } }
  - { id: latest, uses: recipe/no-raw }
  - id: out
    uses: push/hpfs
    with: { into: "/hpfs/${lab}", durability: fsync }
    after: [all]
    timeout: 1h30m
    stall: "${lab}"
    retry: { tries: 5, backoff: 10 s, max_backoff: 10m }
  - { id: all, uses: push/all-types, with: { must: x, size: 4 KiB, duration: 1h, number: 10, key: lab-aws } }
"""
POLICY = """\
version: 1
policy: genomics
revision: 7
owner: dataops@example.edu
rules:
  - id: no-raw
    mode: enforce
    when: { dataset.type: RAW, target.type: [cloud, globus], dataset.labels.site?: x, not: { not: { user.role: admin } } }
    inject: [{ uses: filter/glob, with: { exclude: ["*.bcl"] } }, { uses: filter/bytes, with: { max: 1 GB } }]
    message: No.
  - { id: hosts, mode: audit, when: { target.type?: cloud }, allow: { target.host: ["*.example.edu", x] } }
  - { id: cap, mode: warn, limit: { total_bytes: 50 TiB, entries: 20000000 } }
exceptions:
  - { rule: no-raw, user: asmith, dataset: ocean, until: 2027-01-31, reason: RC-88 }
tests:
  - name: nested raw is dropped
    given: { dataset.type: RAW, dataset.tags: [a, b], target.type: cloud, user.role: user, path: s1/raw/a, size: 4 KiB }
    expect: { verdict: drop, rule: no-raw }
  - { name: too much, given: { total_bytes: 60 TiB, entries: 5, dataset.labels.x: y }, expect: { verdict: deny } }
"""
RECIPE = """\
version: 1
recipe: no-raw
summary: What nobody wants
parameters: { kind: { type: string, default: bcl } }
steps:
  - { id: raw, uses: filter/glob, with: { exclude: ["*.${kind}"] }, timeout: 1h, stall: 5m, retry: { tries: 1 } }
"""
FULL = {"workflow": WORKFLOW, "policy": POLICY, "recipe": RECIPE}


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_the_language_is_in_it(site, kind):
    assert problems(validator(site, kind), FULL[kind]) == []


@pytest.mark.parametrize("kind, good, bad", [
    ("workflow", "version: 1", "version: 2"), ("workflow", "name: a name", "nmae: a name"),
    ("workflow", "symlinks: copy", "symlinks: kopy"), ("workflow", "keep_empty_dirs: true", "keep_empty_dirs: 'yes'"),
    ("workflow", "type: string", "type: text"), ("workflow", "default: 3", "default: three"),
    ("workflow", "lab:", "a b:"), ("workflow", "id: bring", "id: Bring"), ("workflow", "id: bring, ", ""),
    ("workflow", "filter/glob", "filter/gblo"), ("workflow", "include:", "includes:"),
    ("workflow", 'include: ["*.nc", 5]', "include: x"), ("workflow", ", with: { path: ./x }", ""),
    ("workflow", "manifest:", "manifst:"), ("workflow", "recipe/no-raw@3", "recipe/no-raw@"),
    ("workflow", "needs: [sums]", "needs: []"), ("workflow", "needs: [sums]", "needs: sums"),
    ("workflow", "timeout: 1h30m", "timeout: 90"), ("workflow", "timeout: 1h30m", "timeout: none"),
    ("workflow", "tries: 5", "tries: 0"), ("workflow", "durability: fsync", "durability: never"),
    ("workflow", "size: 4 KiB", "size: 4 KX"), ("workflow", "number: 10", "number: 11"),
    ("workflow", "must: x, ", ""), ("workflow", "uses: validate", "uses: guard"),
    ("policy", "revision: 7", "revision: 0"), ("policy", "revision: 7\n", ""), ("policy", "policy: genomics", "policy: A b"),
    ("policy", "mode: enforce", "mode: enfroce"), ("policy", "mode: audit, ", ""),
    ("policy", "dataset.type: RAW, target", "dataset.tpye: RAW, target"), ("policy", "[cloud, globus]", "[clod]"),
    ("policy", "[cloud, globus]", "[]"), ("policy", "user.role: admin", "user.role: root"),
    ("policy", "{ user.role: admin }", "{}"), ("policy", "dataset.labels.site?", "dataset.labels.?"),
    ("policy", "uses: filter/bytes", "uses: push/hpfs"), ("policy", "uses: filter/bytes", "uses: recipe/x"),
    ("policy", "exclude:", "exclud:"), ("policy", "max: 1 GB", 'max: "${x}"'),
    ("policy", "allow: {", "alow: {"), ("policy", ', allow: { target.host: ["*.example.edu", x] }', ""),
    ("policy", "entries: 20000000", "entries: many"), ("policy", "total_bytes: 50 TiB", "total_bytes: none"),
    ("policy", "user: asmith, dataset: ocean, ", ""), ("policy", "2027-01-31", "next year"),
    ("policy", ", reason: RC-88", ""), ("policy", "rule: no-raw, user", "user"),
    ("policy", "verdict: drop", "verdict: dropped"), ("policy", "path: s1", "path: /s1"),
    ("policy", "name: nested raw is dropped", "nam: x"), ("policy", "size: 4 KiB", "size: big"),
    ("policy", "dataset.type: RAW, dataset.tags", "dataset.type: [RAW], dataset.tags"),
    ("recipe", "recipe: no-raw", "recipe: No raw"), ("recipe", "filter/glob", "push/hpfs"),
    ("recipe", "filter/glob", "recipe/other"), ("recipe", "exclude:", "exclud:"),
    ("recipe", "timeout: 1h", "needs: [x]"), ("recipe", "summary: ", "sumary: "),
])
def test_one_fault_is_seen(site, kind, good, bad):
    """Each turns the whole file of its kind, which is good, into one that is not."""
    assert good in FULL[kind]
    assert problems(validator(site, kind), FULL[kind].replace(good, bad, 1)) != []


def test_keys_and_facts_are_those_that_dray_reads(site, tmp_path):
    """Dray calls none of the keys unknown that the schema has."""
    (tmp_path / "x").mkdir()
    for kind in ("workflow", "policy"):
        (tmp_path / f"{kind}.yaml").write_text(FULL[kind])
        told = site.json("check", tmp_path / f"{kind}.yaml", exit=None)
        assert not [one for one in told if re.search("unknown key|no fact is called", one["message"])]
    schema = validator(site, "policy").schema
    for name, mapping in [("condition", "when"), ("given", "given")]:
        facts = [fact for fact in schema["$defs"][name]["properties"] if "." in fact]
        assert {"dataset.name", "target.uri", "actor.name"} <= set(facts)
        assert ("target.type?" in facts) == (mapping == "when")


PLACES = [
    ("workflow", None, "version:", "zzzzzzzz: 1\nversion:"), ("workflow", "parameter-of-file", "lab: {", "lab: { zzzzzzzz: 1,"),
    ("workflow", "tree", "tree: {", "tree: { zzzzzzzz: 1,"), ("workflow", "step", "- { id: bring", "- { zzzzzzzz: 1, id: bring"),
    ("workflow", "retry", "retry: {", "retry: { zzzzzzzz: 1,"), ("policy", None, "version:", "zzzzzzzz: 1\nversion:"),
    ("policy", "rule", "- id: no-raw", "- zzzzzzzz: 1\n    id: no-raw"), ("policy", "injected", "[{ uses", "[{ zzzzzzzz: 1, uses"),
    ("policy", "limit", "limit: {", "limit: { zzzzzzzz: 1,"), ("policy", "exception", "{ rule: no-raw", "{ zzzzzzzz: 1, rule: no-raw"),
    ("policy", "test", "- name: nested", "- zzzzzzzz: 1\n    name: nested"), ("policy", "expect", "expect: {", "expect: { zzzzzzzz: 1,"),
    ("recipe", None, "version:", "zzzzzzzz: 1\nversion:"), ("recipe", "recipe-step", "{ id: raw", "{ zzzzzzzz: 1, id: raw"),
]


def test_dray_names_the_same_keys_where_one_is_unknown(site, tmp_path):
    """Of every mapping: `known keys: …`, no more and no less."""
    compared = set()
    for kind, name, good, bad in PLACES:
        assert good in FULL[kind]
        path = tmp_path / f"{kind}.yaml"
        path.write_text(FULL[kind].replace(good, bad, 1))
        hints = [one["hint"] for one in site.json("check", path, exit=None)
                 if one["message"].startswith('unknown key "zzzzzzzz"') and "known keys: " in (one["hint"] or "")]
        schema = validator(site, kind).schema
        mapping = schema["$defs"][name] if name else schema
        for hint in hints:
            known = set(hint.removeprefix("known keys: ").split(", "))
            if name == "recipe-step":
                known -= {"needs", "after"}  # known, to say why a recipe has none
            assert known == set(mapping["properties"]), (kind, name)
            compared.add((kind, name))
    assert compared == {(kind, name) for kind, name, _, _ in PLACES}
