# SPDX-License-Identifier: MIT
"""dray init: a workflow to go on from. On a terminal it asks for what is not given and asks again for
what is wrong; without one it asks nothing, and names the option that is missing."""
import os
import pty
import re
import select
import subprocess
import time

import pytest

from conftest import contents


@pytest.fixture
def world(dray, files):
    """A dataset and a place to deliver into, in the working directory."""
    files(dray.home, {"run/a.nc": "a", "run/tmp/b.nc": "b", "run/notes.txt": "n", "in/": None})
    return dray.home


class Terminal:
    """dray init with somebody in front of it."""

    def __init__(self, dray, *args):
        self.seen = ""
        self.parent, child = pty.openpty()
        self.process = subprocess.Popen([str(dray.program), "init", *map(str, args)], cwd=dray.home,
                                        env=dray.env, stdin=child, stderr=child,
                                        stdout=subprocess.PIPE, start_new_session=True)
        os.close(child)

    def read(self):
        """What is there by now, or "" at the end."""
        if not select.select([self.parent], [], [], 0.1)[0]:
            return None
        try:
            return os.read(self.parent, 65536).decode()
        except OSError:  # as Linux says that nobody has the other side open any longer
            return ""

    def wait(self, text):
        """Read until the text was seen, and take what was seen."""
        end = time.monotonic() + 60
        while text not in self.seen:
            more = self.read()
            assert more != "" and time.monotonic() < end, f"{text!r} was never asked:\n{self.seen}"
            self.seen += more or ""
        seen, self.seen = self.seen, ""
        return seen

    def say(self, question, answer):
        seen = self.wait(question)
        os.write(self.parent, (answer + "\n").encode())
        return seen

    def end(self, code=0):
        """Its standard output and the rest of what it said."""
        while (more := self.read()) != "":
            self.seen += more or ""
            if more is None and self.process.poll() is not None:
                break
        out, _ = self.process.communicate(timeout=60)
        os.close(self.parent)
        assert self.process.returncode == code, self.seen
        return out.decode(), self.seen.replace("\r\n", "\n")


DATASET, TARGET = "What is delivered", "Where to"
INCLUDE, EXCLUDE, FILE = "Only what matches", "But not what matches", "File to write [workflow.yaml]: "


def test_the_questions_and_their_defaults(dray, world):
    terminal = Terminal(dray)
    asked = [terminal.say(DATASET, "./run"), terminal.say(TARGET, "./in/"), terminal.say(INCLUDE, "*.nc"),
             terminal.say(EXCLUDE, "  tmp/   *.bak "), terminal.say(FILE, "")]
    out, rest = terminal.end()
    assert all(text.count(": ") >= 1 for text in asked) and rest.strip() == ""
    assert "dray preview workflow.yaml\n" in out and out.endswith("dray run workflow.yaml\n")
    text = (world / "workflow.yaml").read_text()
    assert f'dataset: "{world}/run"' in text and f'with: {{ into: "{world}/in" }}' in text
    assert 'include: ["*.nc"]' in text and 'exclude: ["tmp/", "*.bak"]' in text
    dray("check", "workflow.yaml")
    dray("run", "workflow.yaml")
    assert contents(world / "in/run") == {"a.nc": b"a"}


def test_what_is_wrong_is_asked_again(dray, world):
    terminal = Terminal(dray)
    terminal.say(DATASET, "")
    assert "is no path" in terminal.say(DATASET, "run")
    assert "write ./run" in terminal.say(DATASET, "./gone")
    assert "No such file" in terminal.say(DATASET, "./run")
    terminal.say(TARGET, "s3://bucket/x")
    assert "no push plugin for s3:// targets" in terminal.say(TARGET, "")
    assert "--to is empty" in terminal.say(TARGET, "run/out")
    assert "lies inside the dataset" in terminal.say(TARGET, "in")
    asked = terminal.say(TARGET, "nowhere/")
    assert f"{world}/in exists: " in asked and "nothing was written; move away what is there" in asked
    assert f"mkdir -p '{world}/nowhere'" in terminal.say(TARGET, "in/x")
    assert "with spaces between, no quotes" in terminal.say(INCLUDE, "*.nc, *.csv")
    assert "the pattern *.nc, ends in a comma; write *.nc;" in terminal.say(INCLUDE, "\"*.nc\"")
    assert "stands in quotes" in terminal.say(INCLUDE, "*.nc a**b")
    assert "`**` stands only alone between slashes" in terminal.say(INCLUDE, "")
    terminal.say(EXCLUDE, "[")
    assert re.search(r"\^", terminal.say(EXCLUDE, "tmp/"))
    terminal.say(FILE, "mine.yaml")
    out, _ = terminal.end()
    assert "dray run mine.yaml" in out
    text = (world / "mine.yaml").read_text()
    assert 'exclude: ["tmp/"]' in text and not re.search(r"^ +include:", text, re.MULTILINE)
    assert f'with: {{ path: "{world}/in/x" }}' in text
    assert not (world / "workflow.yaml").exists()


def test_what_is_given_is_not_asked(dray, world):
    terminal = Terminal(dray, "--dataset", "./run", "--include", "*.nc", "it's.yaml")
    assert DATASET not in terminal.say(TARGET, "./in/")
    assert INCLUDE not in terminal.say(EXCLUDE, "")
    out, rest = terminal.end()
    assert "File to write" not in rest and (world / "it's.yaml").exists()
    assert "dray run 'it'\\''s.yaml'\n" in out
    out, rest = Terminal(dray, "--dataset", "./run", "--to", "./in/", "--include", "*.nc", "--exclude", "tmp/",
                         "all.yaml").end()
    assert rest == "" and (world / "all.yaml").exists()


def test_a_file_that_is_there_is_left_alone(dray, world):
    (world / "workflow.yaml").write_text("mine\n")
    os.symlink("/nowhere", world / "link.yaml")
    given = ["--dataset", "./run", "--to", "./in/"]
    for argument in ([], ["workflow.yaml"], ["link.yaml"]):
        refused = dray("init", *given, *argument, exit=2)
        assert "is there already, and nothing is overwritten\n hint: " in refused.err and refused.out == ""
    assert (world / "workflow.yaml").read_text() == "mine\n" and os.path.islink(world / "link.yaml")
    _, said = Terminal(dray, "workflow.yaml").end(code=2)
    assert DATASET not in said, "nobody answers questions for nothing"
    terminal = Terminal(dray, *given)
    terminal.say(INCLUDE, "")
    terminal.say(EXCLUDE, "")
    terminal.say(FILE, "")
    assert "is there already" in terminal.end(code=2)[1]
    assert (world / "workflow.yaml").read_text() == "mine\n"


def test_a_target_that_is_given_is_looked_at_before_anything_is_asked(dray, world):
    out, said = Terminal(dray, "--dataset", "./run", "--to", "./in").end(code=2)
    assert f"error: {world}/in exists: " in said and INCLUDE not in said and out == ""


def test_what_the_policies_deny_is_not_written_either(dray, world, tmp_path):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/p.yaml").write_text(
        "version: 1\npolicy: p\nrevision: 1\nrules:\n"
        "  - { id: r, mode: enforce, allow: { target.path: /hpfs/* }, message: Only /hpfs. }\n")
    (tmp_path / "dray.yaml").write_text("version: 1\npolicies: { path: ./policies }\n")
    refused = dray("init", "--dataset", "./run", "--to", "./in/", "--config", tmp_path / "dray.yaml", exit=3)
    assert "Only /hpfs." in refused.err and not list(world.glob("*.yaml"))


def test_a_target_that_holds_this_delivery_is_good(dray, world):
    dray("init", "--dataset", "./run", "--to", "in/x", "a.yaml")
    dray("run", "a.yaml")
    dray("init", "--dataset", "./run", "--to", "in/x", "b.yaml")
    assert "already delivered" in dray("run", "b.yaml").out


def test_an_end_of_input_ends_it(dray, world):
    terminal = Terminal(dray, "--dataset", "./run")
    terminal.say(TARGET, "./in/")
    terminal.wait(INCLUDE)
    os.write(terminal.parent, b"\x04")
    assert "there was no answer; nothing was written" in terminal.end(code=2)[1]
    assert not (world / "workflow.yaml").exists()


@pytest.mark.parametrize("arguments, missing", [
    ([], "--dataset is missing"), (["--dataset", "./run"], "--to is missing"), (["--to", "./in/"], "--dataset is missing"),
    (["x.yaml"], "--dataset is missing"),
])
def test_without_a_terminal_what_is_missing_is_named(dray, world, arguments, missing):
    refused = dray("init", *arguments, exit=2, input=b"./run\n./in/\n\n\n\n")
    assert refused.err.startswith(f"error: {missing}") and "\n hint: --" in refused.err
    assert refused.out == "" and "?" not in refused.err.splitlines()[1]
    assert not list(world.glob("*.yaml"))


def test_without_a_terminal_a_workflow_is_written(dray, world):
    said = dray("init", "--dataset", "./run", "--to", "in/x", "--exclude", "tmp/", "--exclude", "a ${b}\\\"*")
    assert said.err == "" and "dray preview workflow.yaml" in said.out
    text = (world / "workflow.yaml").read_text()
    assert f'with: {{ path: "{world}/in/x" }}' in text
    assert dray.json("check", "workflow.yaml") == []
    assert dray.json("plan", "workflow.yaml")["steps"][2]["with"]["exclude"] == ["tmp/", "a ${b}\\\"*"]
    assert dray.json("init", "--dataset", "./run", "--to", "in/y", "z.yaml") == {"file": "z.yaml"}
    assert dray.json("check", "z.yaml") == []


def test_comments_can_be_made_into_keys(dray, world):
    """Each of the examples in the comments works once it is no comment."""
    dray("init", "--dataset", "./run", "--to", "in/x")
    lines = (world / "workflow.yaml").read_text().splitlines()
    start = lines.index("version: 1")
    examples = (r"^( *)# ((?:name|tree|parameters|timeout|retry|- id|  lab|  uses|  with"
                r"|    include|    exclude):? ?.*)$")
    opened = [re.sub(examples, r"\1\2", line) for line in lines[start:]]
    assert sum(old != new for old, new in zip(lines[start:], opened)) >= 12
    (world / "opened.yaml").write_text("\n".join(opened) + "\n")
    assert dray.json("check", "opened.yaml") == []


@pytest.mark.parametrize("arguments, code, said", [
    (["--dataset", "./gone", "--to", "./in/"], 4, "./gone: No such file"),
    (["--dataset", "run", "--to", "./in/"], 2, "\"run\" is no path"),
    (["--dataset", "./run", "--to", "s3://x/"], 2, "no push plugin for s3://"),
    (["--dataset", "./run", "--to", "./in/", "--include", "a**b"], 2, "`**` stands only alone between slashes"),
    (["--dataset", "./run", "--to", "./in/", "--exclude", "["], 2, "workflow.yaml:"),
    (["--dataset", "./run", "--to", "./in"], 2, "/in exists: "),
    (["--dataset", "./run", "--to", "./run/out"], 2, "lies inside the dataset"),
    (["--dataset", "./run", "--to", "./nowhere/"], 2, "mkdir -p '"),
    (["--dataset", "./run", "--to", "./in/", "--include", "*.nc,"], 2, "the pattern *.nc, ends in a comma\n hint: write *.nc;"),
    (["--dataset", "./run", "--to", "./in/", "--exclude", "\"*.tmp\""], 2, "the pattern \"*.tmp\" stands in quotes"),
    (["--dataset", "./run", "--to", "./in/", "--exclude", "'*.tmp'"], 2, "stands in quotes"),
    (["--dataset", "./run", "--to", "./in/", "nowhere/x.yaml"], 4, "writing nowhere/x.yaml"),
])
def test_what_is_wrong_without_a_terminal(dray, world, arguments, code, said):
    refused = dray("init", *arguments, exit=code)
    assert said in refused.err and refused.out == ""
    assert not list(world.glob("**/*.yaml"))
    assert dray("init", *arguments, "--json", exit=code).json()["error"]["message"]
