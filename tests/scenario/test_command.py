# SPDX-License-Identifier: MIT
"""source/command: a program of the site brings the bytes, by the `sources` of the configuration."""
import json
import os
import subprocess
import tarfile
import time

import pytest

from conftest import contents

SHELL = "/bin/sh"


@pytest.fixture
def site(tmp_path, files):
    """A tape with a bundle on it, whose tool is a script: site.tool("...") makes it, site.config(...) the file."""
    files(tmp_path, {"tape/tree/a.nc": "aaa", "tape/tree/deep/b.nc": "b"})
    with tarfile.open(tmp_path / "tape/x.tar", "w") as bundle:
        bundle.add(tmp_path / "tape/tree", arcname="x")
    with tarfile.open(tmp_path / "tape/x.tgz", "w:gz") as bundle:
        bundle.add(tmp_path / "tape/tree", arcname="x")

    class Site:
        path = tmp_path

        def tool(self, body):
            tool = tmp_path / "hsi"
            tool.write_text(f"#!{SHELL}\n{body}\n")
            tool.chmod(0o755)

        def config(self, words='"{remote}", "{local}"', more="", grants=""):
            file = tmp_path / "dray.yaml"
            file.write_text(
                f"version: 1\nsources:\n  sda:\n    uses: source/command\n"
                f"    with: {{ argv: [\"{tmp_path}/hsi\", {words}]{more} }}\n"
                f"    grants: {{ exec: [/usr/bin/cp, /usr/bin/sleep, /usr/bin/mkdir], "
                f"read: [{tmp_path}/tape]{grants} }}\n")
            return file

    return Site()


def deliver(dray, site, remote="x.tar", exit=0, config=None, options=(), **keywords):
    name = f"d{len(list(site.path.glob('out/*')))}"
    dray("dataset", "add", name, "--source", f"sda:{site.path}/tape/{remote}")
    (site.path / "out").mkdir(exist_ok=True)
    work = site.path / "work.yaml"
    work.write_text(f"version: 1\ndataset: {name}\nsteps:\n"
                    f"  - {{ id: deliver, uses: push/hpfs, with: {{ path: {site.path}/out/{name} }} }}\n")
    result = dray("run", work, "--config", config or site.config(), *options, exit=exit, **keywords)
    return result, site.path / "out" / name


COPY = 'cp -r "$1" "$2"'


def left(dray):
    """What lies in scratch, but for the folder and the one lock that stay."""
    return sorted(str(path.relative_to(dray.state / "scratch"))
                  for path in (dray.state / "scratch").rglob("*") if path.name not in ("staged", "room.lock"))


@pytest.mark.parametrize("remote", ["x.tar", "x.tgz"])
def test_what_a_tool_brings_is_read_as_an_archive(dray, site, remote):
    site.tool(COPY)
    _, out = deliver(dray, site, remote, config=site.config(more=", strip: auto"))
    assert (out / "a.nc").read_text() == "aaa" and (out / "deep/b.nc").read_text() == "b"
    assert left(dray) == []


def test_a_directory_and_a_file_are_taken_as_they_are(dray, site):
    site.tool(COPY)
    _, out = deliver(dray, site, "tree")
    assert (out / "deep/b.nc").read_text() == "b"
    _, out = deliver(dray, site, "tree/a.nc")
    assert (out / "a.nc").read_text() == "aaa"


def test_the_second_run_needs_no_tape(dray, site):
    site.tool(f'echo x >>"$2.count" ; {COPY}')
    deliver(dray, site)
    site.tool("exit 9")
    again = dray("run", site.path / "work.yaml", "--config", site.config())
    assert "already delivered" in again.out + again.err


def test_words_are_no_shell(dray, site):
    site.tool(f'[ "$3" = \'$(id) ; x\' ] || exit 9\n{COPY}')
    deliver(dray, site, config=site.config('"{remote}", "{local}", "$(id) ; x"'))


def test_outputs_have_to_be_there(dray, site):
    site.tool('mkdir "$2/sub" && cp "$1" "$2/sub/x.tar"')
    _, out = deliver(dray, site, config=site.config(more=", outputs: [sub/x.tar]"))
    assert (out / "sub/x.tar").exists()
    result, out = deliver(dray, site, exit=None, config=site.config(more=", outputs: [sub/y.tar]"))
    assert "hsi ended well and did not bring sub/y.tar of sda:" in result.err and result.code != 0
    assert not out.exists() and left(dray) == []


def test_a_tool_that_brings_nothing(dray, site):
    site.tool("exit 0")
    result, out = deliver(dray, site, exit=None)
    assert result.code != 0 and "hsi ended well and did not bring anything of sda:" in result.err


def test_a_part_of_a_bundle_is_not_delivered(dray, site):
    site.tool('read -r line <"$1" || true; printf "%s" "$line" >"$2"')
    result, out = deliver(dray, site, "x.tgz", exit=None)
    assert result.code != 0 and not out.exists() and left(dray) == []


def test_an_exit_status_that_the_site_calls_permanent(dray, site):
    site.tool('echo first >&2; echo "file not found on tape: $1" >&2; exit 64')
    result, out = deliver(dray, site, exit=None, config=site.config(more=", exits: { 75: retry, 64: permanent }"))
    assert result.code != 0
    assert f"hsi exit 64: file not found on tape: {site.path}/tape/x.tar (permanent, source side)\n" in result.err
    assert "dray dataset set d0 --source sda:REMOTE" in result.err
    log = "".join(file.read_text() for file in (dray.state / "logs").rglob("*") if file.is_file())
    assert log.count("file not found on tape") >= 1 and "first" in log
    assert log.count("\"message\":\"first\"") == 1  # it was tried once


def test_an_exit_status_that_the_site_calls_retry_is_tried_again(dray, site):
    (site.path / "tape/busy").write_text("")
    site.tool(f'echo try >&2\n[ -s "{site.path}/tape/busy" ] || exit 75\n{COPY}')
    work = site.path / "work.yaml"
    dray("dataset", "add", "x", "--source", f"sda:{site.path}/tape/x.tar")
    work.write_text(f"version: 1\ndataset: x\nsteps:\n  - {{ id: deliver, uses: push/hpfs, with: {{ path: {site.path}/x }} }}\n")
    config = site.config(more=", exits: { 75: retry }")
    running = subprocess.Popen([dray.program, "run", work, "--config", config], env=dray.env,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(1)
    (site.path / "tape/busy").write_text("no")
    running.communicate(timeout=60)
    assert running.returncode == 0 and (site.path / "x/x/a.nc").read_text() == "aaa"


@pytest.mark.parametrize("body", ["/usr/bin/id >&2", "/no/such/program", "exec /usr/bin/env python3"])
def test_a_program_that_may_not_run_another_leads_to_the_grants(dray, site, body):
    site.tool(f"{body} || exit $?")
    result, _ = deliver(dray, site, exit=None, config=site.config(grants="").rename(site.path / "c.yaml"))
    assert "hsi exit 12" in result.err and "`grants.exec` of the source sda in the configuration" in result.err


def log_records(dray):
    return [json.loads(line) for file in (dray.state / "logs").glob("*-*.log") for line in file.open()]


def test_a_tool_cannot_forge_the_log_nor_write_to_a_terminal(dray, site):
    forged = '{"time":"2020-01-01T00:00:00Z","level":"info","event":"job-ended","fields":{}}'
    site.tool(f"printf '%s\\n' '{forged}' >&2\nprintf '\\033]0;owned\\007\\033[31mred\\r\\000\\302\\233x\\377\\n'; exit 64")
    result, _ = deliver(dray, site, exit=None)
    said = [record for record in log_records(dray) if record["event"] == "output"]
    assert [record["fields"]["message"] for record in said] == [forged, "\x1b]0;owned\x07\x1b[31mred", "?\x9bx\ufffd"]
    assert {record["step"] for record in said} == {"stage"} and all(record["job"] for record in said)
    raw = b"".join(file.read_bytes() for file in (dray.state / "logs").rglob("*") if file.is_file())
    shown = dray("show", dray.json("jobs")[0]["job"])
    for text in raw, result.err.encode("utf-8", "surrogateescape"), shown.out.encode(), shown.err.encode():
        assert not set(text) & {*range(10), *range(11, 32), 127} and b"\xc2\x9b" not in text


@pytest.mark.parametrize("line", ["", "0", "\\033x", "\\377", "a" * 9000 + "b"])
def test_the_log_of_a_tool_is_bounded_whatever_it_writes(dray, site, line):
    site.tool(f"i=0; while [ $i -lt 9000 ]; do printf '{line}\\n'; i=$((i+1)); done; {COPY}")
    deliver(dray, site)
    assert max(file.stat().st_size for file in (dray.state / "logs").rglob("*") if file.is_file()) < 1200000
    said = [record["fields"]["message"] for record in log_records(dray) if record["event"] == "output"]
    assert not any("b" in text for text in said[:-1]) and (len(said) > 9 or line == "")


def test_a_tool_that_hangs_is_stopped_with_all_that_it_started(dray, site):
    site.tool("sleep 1000 & sleep 1000")
    begun = time.monotonic()
    result, _ = deliver(dray, site, exit=None, config=site.config(more=", timeout: 1s"))
    assert result.code != 0 and "hsi did not end in time, and was stopped" in result.err
    assert time.monotonic() - begun < 90
    assert left(dray) == []


def test_a_tool_that_dies_of_a_signal(dray, site):
    site.tool('kill -SEGV $$')
    result, _ = deliver(dray, site, exit=None, config=site.config())
    assert result.code != 0 and "hsi died of signal 11 bringing sda:" in result.err


def test_a_flood_of_words_neither_stops_the_tool_nor_fills_the_log(dray, site):
    site.tool('i=0; while [ $i -lt 40000 ]; do echo "0123456789012345678901234567890123456789012345678901234567890" >&2; '
              f'i=$((i+1)); done; {COPY}')
    deliver(dray, site)
    sizes = [file.stat().st_size for file in (dray.state / "logs").rglob("*") if file.is_file()]
    assert max(sizes) < 1200000


def test_the_sandbox_lets_nothing_else_run_or_be_written(dray, site):
    (site.path / "elsewhere").mkdir()
    site.tool(f'echo x >"{site.path}/elsewhere/x"; /usr/bin/id; {COPY}')
    deliver(dray, site)
    assert list((site.path / "elsewhere").iterdir()) == []
    log = "".join(file.read_text() for file in (dray.state / "logs").rglob("*") if file.is_file())
    assert "uid=" not in log


def test_cancelling_ends_the_tool(dray, site):
    site.tool("echo $$ >\"$2\"; sleep 1000")
    dray("dataset", "add", "x", "--source", f"sda:{site.path}/tape/x.tar")
    work = site.path / "work.yaml"
    work.write_text(f"version: 1\ndataset: x\nsteps:\n  - {{ id: deliver, uses: push/hpfs, with: {{ path: {site.path}/x }} }}\n")
    running = subprocess.Popen([dray.program, "run", work, "--config", site.config()], env=dray.env,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pid = None
    for _ in range(200):
        found = [file for file in (dray.state / "scratch").rglob("x.tar") if file.read_text().strip()] \
            if (dray.state / "scratch").exists() else []
        if found:
            pid = int(found[0].read_text())
            break
        time.sleep(0.1)
    assert pid
    running.send_signal(2)
    running.communicate(timeout=60)
    assert running.returncode != 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert left(dray) == []


def test_a_tool_does_not_outlive_a_killed_runner(dray, site):
    config = site.config()
    site.tool(f'[ ! -e "{site.path}/tape/go" ] || exec cp "$1" "$2"\necho $$ $PPID >"$2"\nsleep 1000')
    dray("dataset", "add", "x", "--source", f"sda:{site.path}/tape/x.tar")
    work = site.path / "work.yaml"
    work.write_text(f"version: 1\ndataset: x\nsteps:\n  - {{ id: deliver, uses: push/hpfs, "
                    f"with: {{ path: {site.path}/x }} }}\n")
    running = subprocess.Popen([dray.program, "run", work, "--config", config], env=dray.env,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pids = []
    for _ in range(200):
        found = list((dray.state / "scratch").rglob("x.tar")) if (dray.state / "scratch").exists() else []
        pids = [int(word) for word in found[0].read_text().split()] if found else []
        if len(pids) == 2:
            break
        time.sleep(0.1)
    time.sleep(0.5)  # the engine hears of it
    (site.path / "tape/go").write_text("")
    os.kill(pids[1], 9)
    running.communicate(timeout=60)
    with pytest.raises(ProcessLookupError):
        for _ in range(50):
            os.kill(pids[0], 0)
            time.sleep(0.1)


def test_no_more_attempts_use_a_source_than_it_serves(dray, site):
    site.tool(f'[ ! -e "{site.path}/tape/no" ] || exit 9\nsleep 2\n{COPY}')
    config = site.config()
    config.write_text(config.read_text() + "    concurrency: 1\n")
    running = []
    for name, bundle in ("one", "x.tar"), ("two", "x.tgz"):
        dray("dataset", "add", name, "--source", f"sda:{site.path}/tape/{bundle}")
        work = site.path / f"{name}.yaml"
        work.write_text(f"version: 1\ndataset: {name}\nsteps:\n  - {{ id: deliver, uses: push/hpfs, "
                        f"with: {{ path: {site.path}/{name} }} }}\n")
        running.append(subprocess.Popen([dray.program, "run", work, "--config", config], env=dray.env,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    said = [one.communicate(timeout=90)[1] for one in running]
    assert [one.returncode for one in running] == [0, 0]
    assert sum("waiting: the source sda serves 1 at a time" in text for text in said) == 1


@pytest.mark.parametrize("command", [("preview", "--stage"), ("dataset", "verify", "--record"), ("run",)])
def test_a_source_is_not_asked_for_more_at_once_than_it_serves(dray, site, command):
    """Whoever asks: each brings another bundle, by a tool that takes its time."""
    site.tool(f"sleep 0.7\n{COPY}")
    config = site.config()
    config.write_text(config.read_text() + "    concurrency: 1\n")
    running, begun = [], time.monotonic()
    for name in "one", "two", "three":
        (site.path / f"tape/{name}").write_text(name)
        dray("dataset", "add", name, "--source", f"sda:{site.path}/tape/{name}")
        work = site.path / f"{name}.yaml"
        work.write_text(f"version: 1\ndataset: {name}\nsteps:\n  - {{ id: deliver, uses: push/hpfs, "
                        f"with: {{ path: {site.path}/to-{name} }} }}\n")
        words = [*command[:2], name, *command[2:]] if command[0] == "dataset" else [command[0], work, *command[1:]]
        running.append(dray.start(*words, "--config", config, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    assert [one.wait(60) for one in running] == [0, 0, 0]
    assert time.monotonic() - begun > 2.1  # together they would need a third of it


def test_what_a_value_may_not_hold_inside_a_longer_word(dray, site):
    site.tool("exit 9")
    for wrong in ("a;b", "a'b", 'a"b', "a:b", "a b", "a|b", "a!b", "a*b", "a<b", "a>b", "a&b", "a$b", "a(b",
                  "a -R /", "a#b"):
        result, _ = deliver(dray, site, wrong, exit=2, config=site.config('"get {local} : {remote}"'))
        assert "could take for more than a name" in result.err
        dray("dataset", "delete", "d0")


def test_where_scratch_lies_may_mean_nothing_to_the_tool_either(dray, site):
    site.tool("exit 9")
    dray.env["DRAY_STATE"] = str(dray.home / "state; rm")
    refused, _ = deliver(dray, site, exit=1, config=site.config('"get {local}", "{remote}"'))
    assert "could take for more than a name" in refused.err and "source side" not in refused.err
    assert "let `scratch.path` of the configuration name a directory without it" in refused.err
    site.tool(COPY)
    dray("run", site.path / "work.yaml", "--config", site.config())


def test_a_source_that_the_configuration_does_not_have(dray, site):
    site.tool(COPY)
    other = site.config()
    other.write_text(other.read_text().replace("sda:", "tape:"))
    result, _ = deliver(dray, site, exit=None, config=other)
    assert result.code != 0
    assert f"are at sda:{site.path}/tape/x.tar, and the configuration has no source \"sda\"" in result.err


def test_after_a_failure_another_command_line_is_no_other_delivery(dray, site):
    site.tool("exit 75")
    result, out = deliver(dray, site, exit=None, config=site.config(more=", exits: { 75: permanent }"))
    assert result.code != 0
    site.tool(COPY)
    dray("run", site.path / "work.yaml", "--config", site.config('"{remote}", "{local}", "-n"'))
    assert (out / "x/a.nc").read_text() == "aaa"
    again = dray("run", site.path / "work.yaml", "--config", site.config())
    assert "already delivered" in again.out + again.err


def test_another_remote_is_another_delivery(dray, site):
    site.tool(COPY)
    _, out = deliver(dray, site)
    dray("dataset", "set", "d0", "--source", f"sda:{site.path}/tape/x.tgz")
    result = dray("run", site.path / "work.yaml", "--config", site.config(), exit=None)
    assert "already delivered" not in result.out + result.err


def test_a_workflow_cannot_say_a_command(dray, site):
    work = site.path / "work.yaml"
    work.write_text("version: 1\nsteps:\n  - id: bring\n    uses: source/command\n    with: { source: x, remote: y, argv: [/bin/sh] }\n"
                    f"  - {{ id: deliver, uses: push/hpfs, with: {{ path: {site.path}/x }} }}\n")
    result = dray("check", work, exit=2)
    assert ":4:11: error: source/command is no step to write" in result.err + result.out


def test_preview_does_not_recall_tape(dray, site):
    site.tool(f"echo ran >{site.path}/ran")
    dray("dataset", "add", "x", "--source", f"sda:{site.path}/tape/x.tar")
    work = site.path / "work.yaml"
    work.write_text(f"version: 1\ndataset: x\nsteps:\n  - {{ id: deliver, uses: push/hpfs, with: {{ path: {site.path}/x }} }}\n")
    result = dray("preview", work, "--config", site.config(), exit=None)
    assert result.code != 0 and "dray preview --stage brings the bytes" in result.err
    site.tool(COPY)
    assert "x/a.nc" in dray("preview", work, "--stage", "--config", site.config()).out


def test_a_dataset_that_no_catalog_knows(dray, site):
    """SOURCE:REMOTE, in a workflow and on the command line."""
    site.tool(COPY)
    work = site.path / "work.yaml"
    steps = f"steps:\n  - {{ id: deliver, uses: push/hpfs, with: {{ into: {site.path} }} }}\n"
    work.write_text(f"version: 1\ndataset: sda:{site.path}/tape/x.tgz\n{steps}")
    said = dray.json("run", work, "--config", site.config())
    assert said["dataset"] == "x" and (site.path / "x/x/a.nc").read_text() == "aaa"
    again = dray("run", work, "--config", site.config())
    assert "already delivered" in again.out + again.err
    (site.path / "two").mkdir()
    dray("push", f"sda:{site.path}/tape/tree/a.nc", "--to", f"{site.path}/two/", "--config", site.config())
    assert (site.path / "two/a.nc/a.nc").read_text() == "aaa" and left(dray) == []
    work.write_text(f"version: 1\n{steps}")
    dray("run", work, "--dataset", f"sda:{site.path}/tape/tree", "--config", site.config())
    assert (site.path / "tree/deep/b.nc").read_text() == "b"


@pytest.mark.parametrize("dataset, code, says", [
    ("tape:/x/y", 4, "what stands before the colon is no source of the configuration"),
    ("sda:/x/", 2, "what to bring has no name at its end"),
    ("sda:/x/..", 2, "what to bring has no name at its end"),
    ("sda:-rf", 2, "begins as an option of a program"),
    ("id:7", 4, "there is no dataset")])
def test_what_names_no_dataset(dray, site, dataset, code, says):
    site.tool(COPY)
    refused = dray("push", dataset, "--to", f"{site.path}/", "--config", site.config(), exit=code)
    assert says in refused.err


def test_a_program_that_says_later_is_asked_again_and_no_try_is_used_up(dray, site):
    (site.path / "tape/busy").write_text("")
    site.tool(f'[ ! -e "$2.half" ] || exit 9\n'
              f'[ ! -e "{site.path}/tape/busy" ] || {{ echo half >"$2.half"; echo "all drives are busy" >&2; exit 75; }}\n{COPY}')
    dray("dataset", "add", "x", "--source", f"sda:{site.path}/tape/x.tar")
    work = site.path / "work.yaml"
    work.write_text(f"version: 1\ndataset: x\nsteps:\n  - {{ id: deliver, uses: push/hpfs, with: {{ path: {site.path}/x }} }}\n")
    running = dray.start("run", work, "--config", site.config(more=", later_exits: [75]"),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "waiting: hsi exit 75: all drives are busy; stage asks again in" in running.stderr.readline()
    (site.path / "tape/busy").unlink()
    said = running.communicate(timeout=60)[1]
    assert running.returncode == 0, said
    [attempt] = dray.json("show", dray.json("jobs")[0]["job"])["attempts"]
    assert attempt["outcome"] == "delivered"
    assert (site.path / "x/x/a.nc").read_text() == "aaa" and left(dray) == []


def test_who_waits_to_ask_again_can_be_cancelled(dray, site):
    site.tool("echo busy >&2; exit 75")
    dray("dataset", "add", "x", "--source", f"sda:{site.path}/tape/x.tar")
    work = site.path / "work.yaml"
    work.write_text(f"version: 1\ndataset: x\nsteps:\n  - {{ id: deliver, uses: push/hpfs, with: {{ path: {site.path}/x }} }}\n")
    running = dray.start("run", work, "--config", site.config(more=", later_exits: [75]"),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = running.stderr.readline()
    assert "waiting: hsi exit 75: busy; stage asks again in" in line
    dray("cancel", dray.json("jobs")[0]["job"])
    running.communicate(timeout=30)
    assert running.returncode == 5 and left(dray) == []


def test_a_tool_ends_with_its_engine(dray, site):
    site.tool('echo $$ >"$2"\nsleep 1000')
    dray("dataset", "add", "x", "--source", f"sda:{site.path}/tape/x.tar")
    work = site.path / "work.yaml"
    work.write_text(f"version: 1\ndataset: x\nsteps:\n  - {{ id: deliver, uses: push/hpfs, with: {{ path: {site.path}/x }} }}\n")
    running = dray.start("run", work, "--config", site.config(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pids = []
    for _ in range(200):
        pids = [int(file.read_text()) for file in (dray.state / "scratch").rglob("x.tar") if file.read_text().strip()]
        if pids:
            break
        time.sleep(0.1)
    running.kill()
    running.communicate()
    with pytest.raises(ProcessLookupError):
        for _ in range(50):
            os.kill(pids[0], 0)
            time.sleep(0.1)


def test_values_are_quoted_for_hsi(dray, site):
    (site.path / "tape/my bundle: 1").write_text("bytes")
    site.tool(f'[ "$1" = "get \\"$2\\" : \\"{site.path}/tape/my bundle: 1\\"" ] || exit 9\ncp "{site.path}/tape/my bundle: 1" "$2"')
    config = site.config('"get {local:hsi} : {remote:hsi}", "{local}"')
    _, out = deliver(dray, site, "my bundle: 1", config=config)
    assert (out / "my bundle: 1").read_text() == "bytes"
    for wrong in ("a;b", "a*b", "a?b", "a|b", "a!b", "a>b"):
        refused, _ = deliver(dray, site, wrong, exit=2, config=config)
        assert "could take for more than a name" in refused.err
        dray("dataset", "delete", "d1")


@pytest.mark.parametrize("text, says", [
    ("sources: { a: { uses: source/command, with: { argv: [/b, '{remote:sh}', '{local}'] } } }",
     ":2:59: error: no such placeholder in a command's words"),
    ("sources: { a: { uses: source/command, with: { argv: [/b, '{remote}', '{local}'], later_exits: 75 } } }",
     ":2:95: error: `later_exits` of the source a is a list of texts, not"),
    ("sources: { a: { uses: source/command, with: { argv: [/b, '{remote}', '{local}'], later_exits: [0] } } }",
     ":2:95: error: 0 is no exit status of a failure"),
    ("sources: { a: { uses: source/command, with: { argv: [/b, '{remote}', '{local}'], exits: { 7: retry }, later_exits: [7] } } }",
     ":2:116: error: the exit status 7 is in `exits`, too"),
    ("sources: [a]", ":2:10: error: `sources` is a mapping of names, not a list"),
    ("sources: { A: { uses: source/command, with: { argv: [/b, '{remote}', '{local}'] } } }",
     ":2:12: error: \"A\" cannot be the name of a source"),
    ("sources: { a: { uses: source/other, with: { argv: [/b, '{remote}', '{local}'] } } }",
     ":2:23: error: the source a has no `uses: source/command`"),
    ("sources: { a: { uses: source/command } }", ":2:12: error: the source a has no `with`"),
    ("sources: { a: { uses: source/command, with: { argv: [b, '{remote}', '{local}'] } } }",
     ":2:54: error: the program of the source a is no absolute path: b"),
    ("sources: { a: { uses: source/command, with: { argv: [/b, '{remote}'] } } }",
     ":2:53: error: no word of the command has {local}"),
    ("sources: { a: { uses: source/command, with: { argv: [/b, '{remote} {x}', '{local}'] } } }",
     ":2:68: error: no such placeholder in a command's words"),
    ("sources: { a: { uses: source/command, with: { argv: [/b, '{remote}', '{local}'], exits: { 0: retry } } } }",
     ":2:91: error: 0 is no exit status of a failure"),
    ("sources: { a: { uses: source/command, with: { argv: [/b, '{remote}', '{local}'], exits: { 7: never } } } }",
     ":2:94: error: an exit status does not mean never"),
    ("sources: { a: { uses: source/command, with: { argv: [/b, '{remote}', '{local}'], timeout: soon } } }",
     ":2:91: error: `timeout` of the source a is a duration, not soon"),
    ("sources: { a: { uses: source/command, with: { argv: [/b, '{remote}', '{local}'], outputs: [../x] } } }",
     ":2:92: error: \"../x\" is no path below {local}"),
    ("sources: { a: { uses: source/command, with: { argv: [/b, '{remote}', '{local}'] }, grants: { exec: [x] } } }",
     ":2:101: error: x is no absolute path"),
    ("sources: { a: { uses: source/command, with: { argv: [/b, '{remote}', '{local}'] }, grants: { connect: [x] } } }",
     "error: x is not HOST:PORT"),
    ("sources: { a: { uses: source/command, concurrency: 0, with: { argv: [/b, '{remote}', '{local}'] } } }",
     ":2:52: error: `concurrency` of the source a is a number from 1 to 1000"),
    ("sources: { a: { uses: source/command, with: { argv: [/b, '{remote}', '{local}'], shell: yes } } }",
     ":2:82: error: unknown key \"shell\""),
])
def test_what_is_wrong_with_sources_is_said_at_its_place(dray, tmp_path, text, says):
    file = tmp_path / "dray.yaml"
    file.write_text(f"version: 1\n{text}\n")
    result = dray("check", file, exit=2)
    assert says in result.err + result.out


# ---- Read and compared, without a delivery ---------------------------------------------------------------


def test_a_dataset_on_tape_is_recorded_and_verified(dray, site):
    site.tool(COPY)
    config = site.config(more=", strip: auto")
    dray("dataset", "add", "ocean", "--source", f"sda:{site.path}/tape/x.tar")
    recorded = dray("dataset", "verify", "ocean", "--record", "--config", config).out
    assert "recorded: 2 files" in recorded and "recorded 20" in recorded
    assert dray.json("dataset", "verify", "ocean", "--config", config)["verdict"] == "intact"
    with tarfile.open(site.path / "tape/x.tar", "w") as bundle:
        bundle.add(site.path / "tape/tree/deep", arcname="x/deep")
        bundle.add(site.path / "tape/tree/deep/b.nc", arcname="x/a.nc")
    damaged = dray("dataset", "verify", "ocean", "--config", config, exit=1)
    assert "changed: a.nc" in damaged.out
    assert left(dray) == []


@pytest.mark.parametrize("change", [["delete", "ocean"], ["set", "ocean", "--source", "/usr/include"]])
def test_a_list_is_not_recorded_for_a_dataset_that_changed_meanwhile(dray, site, change):
    go = site.path / "tape/go"
    os.mkfifo(go)
    site.tool(f"read line <{go}; {COPY}")
    config = site.config()
    dray("dataset", "add", "ocean", "--source", f"sda:{site.path}/tape/x.tar")
    reading = dray.start("dataset", "verify", "ocean", "--record", "--config", config, stderr=subprocess.PIPE)
    fd = os.open(go, os.O_WRONLY)  # waits for the tool to read
    dray("dataset", *change)
    os.write(fd, b"\n")
    os.close(fd)
    error = reading.stderr.read().decode()
    assert reading.wait(30) == 1 and "while it was read" in error and "nothing was recorded" in error, error


def test_an_interrupt_ends_the_tool_and_leaves_nothing(dray, site):
    site.tool('trap "" TERM; sleep 100')
    dray("dataset", "add", "ocean", "--source", f"sda:{site.path}/tape/x.tar")
    reading = dray.start("dataset", "verify", "ocean", "--record", "--config", site.config(), stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not list((dray.state / "scratch").rglob("brought")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)
    reading.send_signal(2)
    assert reading.wait(30) == 130 and "interrupted" in reading.stderr.read().decode()
    assert left(dray) == []
