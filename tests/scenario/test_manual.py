# SPDX-License-Identifier: MIT
"""Manual pages: the one that is made from the plugins' tables is fresh and says all that they say;
groff and man find nothing to complain about in any of them; and they name every key."""
import os
import re
import shutil
import subprocess

import jsonschema
import pytest

from conftest import TOP
from test_schema import load

PAGES = sorted(path.name for path in (TOP / "docs").glob("*.[15]"))


def shown(page, width=100):
    """A page as text, and what man had to say of it."""
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", page], capture_output=True,
                          env={"PATH": os.environ["PATH"], "MANWIDTH": str(width), "LC_ALL": "C.UTF-8"}, check=True)
    return done.stdout.decode(), done.stderr.decode()


def test_there_are_pages_and_tools_to_judge_them():
    assert PAGES == ["dray-plugins.5", "dray-policy.5", "dray-workflow.5", "dray.1"]
    assert shutil.which("man") and shutil.which("groff"), "man-db and groff-base: build-aux/debian-packages check"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_no_faults(page):
    path = TOP / "docs" / page
    text, complaints = shown(path)
    assert complaints == "" and "NAME" in text and "SEE ALSO" in text
    done = subprocess.run(["groff", "-ww", "-mandoc", "-Kutf8", "-Tutf8", "-z", path], capture_output=True)
    assert done.returncode == 0 and done.stderr == b""
    assert path.read_text().startswith(".\\\" SPDX-License-Identifier: MIT\n")


@pytest.mark.parametrize("page", PAGES)
def test_what_is_to_be_copied_is_shown_as_it_is_typed(page):
    """A lone `.` or `|` is punctuation to mdoc, and would be joined to the word before it."""
    path = TOP / "docs" / page
    lines = shown(path, 200)[0].splitlines()
    for line in path.read_text().splitlines():
        if not line.startswith(".Dl "):
            continue
        typed = line[4:].replace("\\e", "\\").replace("\\&", "").replace("\\(dq", '"').replace("\\-", "-")
        assert typed in [one.strip() for one in lines], typed


def test_the_reference_of_plugins_is_fresh(dray):
    """`make manual` writes it."""
    assert dray("plugin", "manual").out == (TOP / "docs/dray-plugins.5").read_text()
    assert dray.json("plugin", "manual")["manual"] == dray("plugin", "manual").out


def test_the_reference_says_what_the_tables_say(dray, tmp_path):
    """Also of a plugin of the site, with an option of every type."""
    plugins = dray.home / ".local/lib/dray/plugins"
    plugins.mkdir(parents=True, mode=0o755)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", f"-I{TOP}/include",
                    TOP / "tests/badplugins/all-types.c", "-o", plugins / "push-all-types.so"], check=True)
    (plugins / "filter-bad.so").write_text("no plugin")
    page = tmp_path / "all.5"
    page.write_text(dray("plugin", "manual").out)
    text, complaints = shown(page)
    assert complaints == "" and "filter/bad" not in text and str(plugins) not in text
    words = " ".join(text.replace("\u2010\n", "").split())
    for plugin in dray.json("plugin", "list"):
        if "refused" in plugin:
            continue
        assert f"{plugin['kind']}/{plugin['name']} {plugin['summary']}" in words
        assert f"Version: {plugin['version']}." in words
        for option in plugin["options"]:
            said = "required" if option["required"] else f"default {option['default']}" if "default" in option else ""
            assert f"{option['name']} ({option['type']}{', ' + said if said else ''})" in words, option
    assert "number (int, default -5) A number. At least -10 and at most 10." in words
    assert "choice (choice, default merge) A choice. One of fail, merge, replace." in words
    assert "map (map) A mapping. Deprecated:" in words
    assert "manifest (strings) Path in the dataset" in words and "Target type: cloud." in words


def test_odd_text_of_a_plugin_stays_text(dray, tmp_path):
    """Nothing that an option says is taken for a request of roff."""
    source = tmp_path / "odd.c"
    source.write_text(r"""
#include <dray/plugin.h>
struct odd { int64_t min; const char *text; };
static const struct dray_option options[] = {
    DRAY_OPTION_SIZE(struct odd, min, "0", ".so /etc/passwd \\fB 'x' `y` \"z\" ^ ~ gr\303\266\303\237er"),
    DRAY_OPTION_STRING(struct odd, text, 0, "'.\\n", "'Starts with a quote"),
};
static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict)
{
    (void)self, (void)ctx, (void)entry, (void)ret_verdict;
    return DRAY_OK;
}
DRAY_FILTER_PLUGIN("odd", "1.0.0", ".TH what", struct odd, options, decide);
""")
    plugins = dray.home / ".local/lib/dray/plugins"
    plugins.mkdir(parents=True, mode=0o755)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", f"-I{TOP}/include", source, "-o",
                    plugins / "filter-odd.so"], check=True)
    page = tmp_path / "odd.5"
    page.write_text(dray("plugin", "manual").out)
    text, complaints = shown(page)
    assert complaints == ""
    words = " ".join(text.split())
    assert ".so /etc/passwd \\fB 'x' `y` \"z\" ^ ~ gr\u00f6\u00dfer." in words
    assert "text (string, default '.\\n) 'Starts with a quote." in words
    assert "filter/odd .TH what" in words


@pytest.mark.parametrize("kind, page", [("workflow", "dray-workflow.5"), ("policy", "dray-policy.5"),
                                        ("recipe", "dray-workflow.5")])
def test_every_key_and_choice_is_in_its_page(dray, kind, page):
    """And every fact: what the schema of the files has."""
    text = (TOP / "docs" / page).read_text()
    said = set(re.findall(r"[\w.]+", text))
    schema = dray.json("check", "--schema", kind)
    plugins = {name for name in schema["$defs"] if "." in name}

    def visit(value):
        if isinstance(value, dict):
            for key, one in value.items():
                if key in plugins:
                    continue
                if key == "properties":
                    for word in one:
                        assert word.rstrip("?") in said, word
                if key == "enum":
                    for word in one:
                        assert str(word).lower() in said, word
                visit(one)
        elif isinstance(value, list):
            for one in value:
                visit(one)

    visit(schema)


@pytest.mark.parametrize("page, kind", [("dray-workflow.5", "workflow"), ("dray-policy.5", "policy")])
def test_the_example_of_a_page_is_good(dray, page, kind):
    """By the schema of its kind; what this release checks, it also checks."""
    text = (TOP / "docs" / page).read_text()
    [example] = re.findall(r"^\.Bd -literal\n(version: 1\n.*?)^\.Ed", text, re.M | re.S)
    checker = jsonschema.Draft202012Validator(dray.json("check", "--schema", kind))
    assert [error.message for error in checker.iter_errors(load(example))] == []


def test_make_manual_names_the_home_of_nobody():
    """The page has no path of the machine where it was made."""
    text = (TOP / "docs/dray-plugins.5").read_text()
    assert not re.search(r"/(home|root|work|tmp|usr)/", text)
