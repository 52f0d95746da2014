# SPDX-License-Identifier: MIT
"""`dray plugin list` and `dray plugin show` for the plugins that come with Dray: text, JSON, JSON Schema.
Plugins that are broken are in test_badplugins.py."""
import os
import subprocess

import pytest

from conftest import DIGEST, TOP

SHIPPED = ["source/archive", "source/command", "source/directory", "filter/glob", "filter/mime", "filter/regex",
           "filter/size", "filter/time", "filter/type", "transform/rename", "push/hpfs"]


def test_every_plugin_that_comes_along_is_listed_by_name_kind_and_file(dray):
    listed = dray.json("plugin", "list")
    assert [f"{one['kind']}/{one['name']}" for one in listed] == SHIPPED
    for one in listed:
        assert "refused" not in one and DIGEST.match(one["digest"]) and one["summary"] and one["version"]
        assert os.path.basename(one["file"]) == f"{one['kind']}-{one['name']}.so"
    lines = dray("plugin", "list").out.splitlines()
    assert lines[0].split() == ["PLUGIN", "VERSION", "ABI", "SUMMARY", "FILE"]
    assert [line.split()[0] for line in lines[1:]] == SHIPPED


@pytest.mark.parametrize("member, compiles", [("int64_t", True), ("int", False), ("uint64_t", False)])
def test_an_option_whose_member_has_another_type_does_not_compile(tmp_path, member, compiles):
    source = tmp_path / "plugin.c"
    source.write_text(f"#include <dray/plugin.h>\nstruct size {{ {member} max; }};\n"
                      "const struct dray_option row = DRAY_OPTION_SIZE(struct size, max, \"none\", \"Most\");\n")
    done = subprocess.run([os.environ.get("CC", "cc"), "-std=c11", f"-I{TOP}/include", "-fsyntax-only", source],
                          capture_output=True, text=True)
    assert (done.returncode == 0) == compiles, done.stderr


@pytest.mark.parametrize("name", SHIPPED)
def test_each_option_is_told_with_type_default_and_meaning(dray, name):
    shown = dray.json("plugin", "show", name)
    text = dray("plugin", "show", name).out
    assert text.startswith(f"{name}  {shown['summary']}\n")
    for option in shown["options"]:
        assert {"name", "type", "required", "help"} <= set(option)
        [line] = [line for line in text.partition("\nOPTION ")[2].splitlines() if line.split()[:1] == [option["name"]]]
        assert option["help"].split(".")[0][:40] in line


@pytest.mark.parametrize("name", SHIPPED)
def test_the_json_schema_has_every_option_and_nothing_else(dray, name):
    schema = dray.json("plugin", "show", name, "--schema")
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == name and schema["additionalProperties"] is False
    options = dray.json("plugin", "show", name)["options"]
    assert list(schema["properties"]) == [option["name"] for option in options]
    assert schema["required"] == [option["name"] for option in options if option["required"]]
    assert dray("plugin", "show", name, "--schema").out == dray("plugin", "show", name, "--schema",
                                                                "--json").out


def test_the_schema_says_what_the_plan_says(dray, files, tmp_path, workflow):
    """Defaults in the plan are those of the schema, and what the schema excludes is refused."""
    files(tmp_path / "source", {"a": "1"})
    file = workflow("version: 1\ndataset: ./source\nsteps:\n"
                    "  - { id: deliver, uses: push/hpfs, with: { path: ./x } }\n")
    properties = dray.json("plugin", "show", "push/hpfs", "--schema")["properties"]
    step = dray.json("plan", file)["steps"][-1]
    assert step["with"]["durability"] == properties["durability"]["default"]
    refused = dray("plan", workflow(file.read_text().replace("./x", "./x, durability: never")), exit=2)
    assert '"never"' in refused.err or "never" in refused.err
    assert "syncfs" in refused.err and "fsync" in refused.err
