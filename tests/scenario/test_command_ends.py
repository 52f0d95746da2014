# SPDX-License-Identifier: MIT
"""A program of a source ends with all that it started, however it tries, and whoever is killed."""
import os
import re
import signal
import subprocess
import time

import pytest

from test_command import COPY, deliver, left, site  # noqa: F401: a fixture

TOOLS = ", ".join(f"/usr/bin/{name}" for name in (
    "cp", "sleep", "setsid", "mkdir", "env", "python3", "timeout", "tar", "cat", "bash", "tail"))


def allow(config):
    config.write_text(config.read_text().replace("exec: [/usr/bin/cp,", f"exec: [{TOOLS},"))
    return config


def prepare(dray, site, name="x", bundle="x.tar"):
    dray("dataset", "add", name, "--source", f"sda:{site.path}/tape/{bundle}")
    work = site.path / f"{name}.yaml"
    work.write_text(f"version: 1\ndataset: {name}\nsteps:\n  - {{ id: deliver, uses: push/hpfs, "
                    f"with: {{ path: {site.path}/{name} }} }}\n")
    return work


def log_of(dray):
    return "".join(file.read_text() for file in (dray.state / "logs").rglob("*.log"))


def pids_in(dray, count):
    """The numbers that a tool wrote to {local}, once there are so many."""
    for _ in range(200):
        for file in (dray.state / "scratch").rglob("x.tar*"):
            try:
                pids = [int(word) for word in file.read_text().split()]
            except (OSError, ValueError):
                continue
            if len(pids) >= count:
                return pids
        time.sleep(0.05)
    raise AssertionError("the tool did not start")


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(pids, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(map(is_alive, pids)):
        time.sleep(0.05)
    return [pid for pid in pids if is_alive(pid)]


LATE = """sh -c 'echo "late $$" >&2; sleep 0.6; while :; do echo evil >"$0"; sleep 0.1; done' "$2" &"""


@pytest.mark.parametrize("options", [(), ("--no-sandbox",)])
@pytest.mark.parametrize("away", [LATE, f"setsid {LATE}", f"({LATE})", f"set -m; {LATE}"])
def test_what_a_tool_leaves_behind_changes_nothing_any_more(dray, site, away, options):
    """It would write once the tool has ended and what it brought is read."""
    site.tool(f"{away}\n{COPY}\nsleep 0.3")
    _, out = deliver(dray, site, "tree/a.nc", config=allow(site.config()), options=options)
    late = re.findall(r"late (\d+)", log_of(dray))
    assert late or away.startswith("setsid")
    assert not any(is_alive(int(pid)) for pid in late)
    assert (out / "a.nc").read_text() == "aaa" and left(dray) == []


def test_a_tool_cannot_leave_its_group(dray, site):
    site.tool(f'setsid sleep 9\nexec python3 -c "\nimport os, sys, shutil\n'
              f'for call in os.setsid, lambda: os.setpgid(0, 0):\n'
              f'    try: call()\n'
              f'    except PermissionError: print(chr(114) + chr(101) + chr(102) + chr(117) + chr(115) + chr(101) + chr(100))\n'
              f'shutil.copy(sys.argv[1], sys.argv[2])" "$@"')
    _, out = deliver(dray, site, "tree/a.nc", config=allow(site.config()))
    assert (out / "a.nc").read_text() == "aaa"
    log = log_of(dray)
    assert log.count('"refused"') == 2 and "setsid" in log and "Operation not permitted" in log


@pytest.mark.parametrize("body", [
    'timeout 30 cp "$1" "$2"',
    'timeout --foreground 30 cp "$1" "$2"',
    'tar -cf - -C "${1%/*}" "${1##*/}" | tar -xf - -C "${2%/*}"',
    'cp "$1" "$2" & wait $!',
    "exec bash -c 'cp \"$1\" \"$2\" & sleep 0.1 & wait' -- \"$@\"",
    'exec python3 -c "import subprocess, sys; subprocess.run([chr(47) + \'usr/bin/cp\', *sys.argv[1:]], check=True)" "$@"',
    'trap "kill 0" EXIT; cp "$1" "$2"; trap - EXIT',
])
def test_what_scripts_commonly_do_is_possible(dray, site, body):
    site.tool(body)
    _, out = deliver(dray, site, "tree/a.nc", config=allow(site.config()))
    assert (out / "a.nc").read_text() == "aaa"


def test_a_tool_that_ends_its_whole_group_is_told_as_what_it_is(dray, site):
    site.tool("kill -TERM 0; sleep 100")
    result, _ = deliver(dray, site, exit=None)
    assert "hsi died of signal 15 bringing sda:" in result.err and left(dray) == []


def test_a_tool_that_kills_who_keeps_it(dray, site):
    site.tool("sleep 100 & kill -KILL $PPID; sleep 100")
    begun = time.monotonic()
    result, _ = deliver(dray, site, exit=None)
    assert "hsi died of signal 9 bringing sda:" in result.err and left(dray) == []
    assert time.monotonic() - begun < 60


def test_a_program_that_cannot_be_started(dray, site):
    (site.path / "hsi").write_bytes(b"\x7fELF no program")
    (site.path / "hsi").chmod(0o755)
    result, _ = deliver(dray, site, exit=None)
    assert result.code != 0 and f"cannot start {site.path}/hsi: Exec format error" in result.err


# The tool, a child, and a grandchild whose parent is gone.
FAMILY = ('sleep 300 & echo $! >"$2.tmp"; (sh -c \'echo $$; exec sleep 300\' >>"$2.tmp" & ) ; sleep 0.3; '
          'echo $$ $PPID >>"$2.tmp"; mv "$2.tmp" "$2.pids" 2>/dev/null || cp "$2.tmp" "$2"; exec sleep 300')


def parent_of(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("killed", ["engine", "runner", "both"])
def test_all_end_when_who_runs_them_is_killed(dray, site, killed):
    site.tool(FAMILY)
    running = dray.start("run", prepare(dray, site), "--config", site.config(),
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    *family, keeper = pids_in(dray, 4)
    runner = parent_of(keeper)
    assert parent_of(runner) == running.pid and all(map(is_alive, family))
    if killed != "engine":
        site.tool("exit 9")
    for pid in {"engine": [running.pid], "runner": [runner], "both": [running.pid, runner]}[killed]:
        os.kill(pid, signal.SIGKILL)
    assert gone([*family, keeper, runner]) == []
    running.wait(60)


def test_a_place_stays_taken_until_all_have_ended(dray, site):
    """All that could stop the tool is killed at once: who comes next waits for it."""
    site.tool(FAMILY)
    config = site.config()
    config.write_text(config.read_text() + "    concurrency: 1\n")
    running = dray.start("run", prepare(dray, site), "--config", config,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    *family, keeper = pids_in(dray, 4)
    runner = parent_of(keeper)
    for pid in running.pid, runner, keeper:  # a stopped process handles nothing
        os.kill(pid, signal.SIGSTOP)
    for pid in keeper, runner, running.pid:
        os.kill(pid, signal.SIGKILL)
    running.wait(10)
    assert gone([keeper, runner]) == [] and any(map(is_alive, family))
    site.tool(COPY)
    second = dray.start("run", prepare(dray, site, "y", "x.tgz"), "--config", config,
                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert "waiting: the source sda serves 1 at a time" in second.stderr.readline()
    time.sleep(1)
    assert second.poll() is None
    for pid in family:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
    second.communicate(timeout=60)
    assert second.returncode == 0 and (site.path / "y/x/a.nc").read_text() == "aaa"
