# SPDX-License-Identifier: MIT
"""Help and mistakes on the command line: each command explains itself with an example that can be run,
and each mistake is told with what would be right."""
import os
import re
import shlex

import pytest

COMMANDS = ["push", "run", "plan", "preview", "check", "init", "jobs", "show", "cancel", "verify", "plugin",
            "policy", "recipe", "dataset", "admin", "target"]

# An option of each command that takes a value.
VALUED = {"push": "--to", "run": "--set", "plan": "--dataset", "preview": "--policies", "jobs": "--since",
          "policy": "--key", "verify": "--config"}


@pytest.fixture
def world(dray, files, tmp_path):
    """What the examples of the help speak of, in places of our own."""
    files(tmp_path, {
        "run-0042/a.nc": "a", "run-0042/b.tmp": "b", "hpfs/smith/incoming/": None, "hpfs/smith/": None,
        "policies/site.yaml": "version: 1\npolicy: site\nrevision: 1\nrules: []\n",
        "ocean.yaml": "version: 1\ndataset: ./run-0042\nparameters: { lab: { type: string, default: jones } }\n"
                      "steps:\n  - { id: pick, uses: filter/glob, with: { exclude: ['*.tmp'] } }\n"
                      "  - { id: deliver, uses: push/hpfs, with: { path: \"./${lab}\" } }\n"})
    return tmp_path


def test_the_overview_names_every_command_and_the_exit_codes(dray):
    for argument in ("--help", "-h", "help"):
        said = dray(argument).out
        assert "usage: dray COMMAND" in said
        assert [line.split()[0] for line in said.splitlines() if re.match(r"  [a-z]+ +[A-Z]", line)] == COMMANDS
        for code in ("0 done", "1 delivery failed", "2 wrong input", "3 denied", "4 not found",
                     "75 try again", "130 interrupted"):
            assert code in said
    nothing = dray(exit=2)
    assert nothing.out == "" and nothing.err == said


def test_the_version_names_the_plugin_abi(dray):
    assert re.fullmatch(r"dray \d+\.\d+\.\d+\S*, plugin ABI \d+\.\d+\n", dray("--version").out)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_usage_options_and_an_example(dray, command):
    said = dray(command, "--help").out
    assert f"usage: dray {command}" in said and "--json" in said
    assert re.search(rf"^  dray {command} \S", said, re.MULTILINE), "an example"
    assert dray(command, "-h").out == said
    for line in said.splitlines():
        assert len(line) <= 100


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_of_the_help_works(dray, world, command):
    said = dray(command, "--help").out
    [example] = re.findall(rf"^  (dray {command} .*)$", said, re.MULTILINE)
    if command in ("show", "cancel", "verify"):
        delivered = dray.json("push", "./run-0042", "--to", world / "hpfs/smith/incoming/run-0042", cwd=world)
        example = re.sub(r"\b[0-9a-f]{8}\b", delivered["job"][:8], example)
    example = example.replace("/hpfs/", f"{world}/hpfs/").replace("policies/*.yaml", "policies/site.yaml")
    # The job of the example has delivered, and that is not cancelled.
    # The user of the example is somebody else, for whom only root delivers.
    if command == "target":
        example = example.replace("--for smith", "--for daemon")
    code = {"cancel": 1, "target": 6 if os.geteuid() == 0 else 3}.get(command, 0)
    dray(*shlex.split(example)[1:], cwd=world, exit=code)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_refused_with_a_hint(dray, command):
    refused = dray(command, "--bogus", exit=2)
    assert refused.err.startswith(f"error: dray {command} does not take --bogus\n hint: usage: dray {command}")
    assert dray(command, "-x", exit=2).err.startswith(f"error: dray {command} does not take -x\n hint: ")
    near = dray(command, "--jsno", exit=2)
    assert 'hint: did you mean --json?' in near.err
    assert refused.out == near.out == ""


@pytest.mark.parametrize("command", [one for one in COMMANDS if one not in ("init", "jobs")])
def test_a_missing_argument_is_refused_with_the_usage(dray, command):
    refused = dray(command, exit=2)
    assert refused.err.startswith(f"error: dray {command}: an argument is missing\n hint: usage: dray {command} ")


@pytest.mark.parametrize("command", [one for one in COMMANDS
                                     if one not in ("check", "cancel", "plugin", "policy", "recipe", "dataset", "target")])
def test_one_argument_too_many_is_refused(dray, command):
    arguments = ["one", "two"] if command != "jobs" else ["two"]
    refused = dray(command, *arguments, exit=2)
    assert f"error: dray {command}: unexpected argument two\n hint: usage: dray {command}" in refused.err


@pytest.mark.parametrize("command, option", VALUED.items())
def test_an_option_without_its_value_is_refused(dray, command, option):
    refused = dray(command, option, exit=2)
    assert refused.err.startswith(f"error: dray {command}: {option} takes a value\n hint: usage: ")


@pytest.mark.parametrize("word, near", [("psh", "push"), ("previw", "preview"), ("job", "jobs"),
                                        ("plugins", "plugin")])
def test_an_unknown_command_gets_the_nearest(dray, word, near):
    refused = dray(word, exit=2)
    assert refused.err == f'error: dray has no command "{word}"\n hint: did you mean "{near}"?\n'
    assert "dray --help lists the commands" in dray("frobnicate", exit=2).err
    error = dray(word, "--json", exit=2).json()["error"]
    assert error == {"class": "invalid", "message": f'dray has no command "{word}"',
                     "hint": f'did you mean "{near}"?'}


@pytest.mark.parametrize("arguments, said", [
    (["push", "./x"], "--to is missing"), (["plugin", "list", "x"], "unexpected argument x"),
    (["policy", "list", "x"], "unexpected argument x"), (["policy", "sgn", "x"], 'did you mean "sign"?'),
    (["policy", "list", "--since", "1h"], "dray policy list does not take --since"),
    (["policy", "key", "./x", "--path", "y"], "dray policy key does not take --path"),
    (["policy", "key"], "an argument is missing"), (["plugin", "manual", "--schema"], "does not take --schema"),
    (["policy", "sign", "./x"], "--key is missing"), (["jobs", "--config", ""], "it takes a file"),
    (["plugin", "shw", "filter/glob"], 'did you mean "show"?'), (["plugin", "show", "glob"], "does not name a plugin"),
    (["run", "x.yaml", "--set", "novalue"], "--set novalue: it takes NAME=VALUE"),
    (["push", "./x", "--to", "./y", "--progress-fd", "77"], "--progress-fd 77: no such descriptor is open"),
    (["push", "./x", "--to", "./y", "--progress-fd", "x"], "--progress-fd x: "),
    (["push", "--", "-rf", "--to", "./y"], "unexpected argument --to"),
])
def test_other_mistakes_are_told_with_a_hint(dray, arguments, said):
    refused = dray(*arguments, exit=2)
    assert said in refused.err and "\n hint: " in refused.err and refused.out == ""


def test_help_of_a_verb_names_its_options_only(dray):
    said = dray("dataset", "verify", "--help").out
    assert "usage: dray dataset verify DATASET [--record]\n" in said
    assert "--record" in said and "--json" in said and "--config" in said
    assert re.findall(r"^  --(type|owner|digest)", said, re.MULTILINE) == []
    assert dray("dataset", "--help", "verify").out == said and dray("help", "dataset", "verify").out == said
    said = dray("policy", "key", "--help").out
    assert re.findall(r"^  (--\S+)", said, re.MULTILINE) == ["--config", "--json"]


def test_help_of_a_command(dray):
    for command in COMMANDS:
        assert dray("help", command).out == dray(command, "--help").out
    assert 'did you mean "push"?' in dray("help", "psh", exit=2).err


def test_push_says_which_option_a_line_is_about(dray, world):
    refused = dray("push", "./run-0042", "--to", "./no/such/", "--exclude", "[a", cwd=world, exit=2).err
    assert " hint: line 8 is what --exclude stands for\n" in refused, refused
    refused = dray("push", "./run-0042", "--to", "./no/such/", cwd=world, exit=2).err
    assert " hint: line 7 is what --to stands for\n" in refused and refused.count("hint: line") == 1, refused


@pytest.mark.parametrize("to", ["~", "~/", "~/x", "~root/x"])
def test_a_tilde_that_no_shell_expanded(dray, world, to):
    refused = dray("push", "./run-0042", "--to", to, cwd=world, exit=2)
    assert refused.err == (f"error: --to {to}: only a shell knows what ~ stands for\n hint: write it without quotes, or "
                           f"the whole path; ./{to} is what is called so here\n")
    assert not (world / "~").exists()
    dray("push", "./run-0042", "--to", "./~", cwd=world)


def test_a_file_that_is_not_there_is_told_in_one_form(dray, world):
    for command in (["run"], ["plan"], ["check"], ["preview"], ["dataset", "import"], ["recipe", "save", "x"]):
        assert dray(*command, "nope", cwd=world, exit=4).err.startswith("error: reading nope: No such file"), command


def test_help_is_given_before_anything_is_asked_for(dray, tmp_path):
    """Also where the state directory is of no use."""
    assert "usage:" in dray("push", "--help", env={"DRAY_STATE": "/dev/null/x"}).out
    assert "usage:" in dray("--help", env={"HOME": "/nonexistent"}).out


def test_colour_is_for_terminals_only(dray, world):
    (world / "bad.yaml").write_text("version: 1\nsteps: 3\n")
    for arguments in (["run", "bad.yaml"], ["check", "bad.yaml"], ["--help"]):
        done = dray(*arguments, exit=None, cwd=world)
        assert "\x1b" not in done.out + done.err
