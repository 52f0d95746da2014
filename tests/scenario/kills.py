# SPDX-License-Identifier: MIT
"""Deliveries that are killed: what each mode starts from, what may be seen after a kill, and what must be true after
the next run. test_kills.py takes a share of it into ./check; `make soak` (soak.py) all."""
import contextlib
import os
import random
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

from conftest import Dray, contents
from trees import listing

HERE = Path(__file__).resolve().parent
WORKFLOW = """version: 1
name: kills
dataset: {data}
steps:
  - id: deliver
    uses: push/hpfs
    with: {{ path: {target}{options} }}
"""


def build_moment(folder):
    """The program that kills at a system call (moment.c)."""
    program = Path(folder) / "moment"
    subprocess.run(["cc", "-std=gnu11", "-O1", HERE / "moment.c", "-o", program, "-lseccomp"], check=True)
    return program


def make_small(root):
    """Some of each kind."""
    for number in range(9):
        folder = root / f"d{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{number}").write_bytes(b"new %d\n" % number * 40)
    (root / "large").write_bytes(os.urandom(300_001))
    (root / "link").symlink_to("d0/f0")
    os.link(root / "d1/f1", root / "d2/twin")
    (root / "empty").mkdir()
    (root / "locked").mkdir()
    (root / "locked/f").write_bytes(b"locked\n")
    (root / "locked").chmod(0o555)


def make_many(root, count, size=512):
    block = os.urandom(size + count)
    for number in range(count):
        folder = root / f"d{number // 200:03}"
        if number % 200 == 0:
            folder.mkdir(parents=True)
        (folder / f"f{number % 200:03}").write_bytes(block[number:number + size])


def remove(root):
    """Also where something in it is locked."""
    if os.path.lexists(root):
        subprocess.run(["chmod", "-R", "u+rwx", root], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", root], check=True)


def differences(found, wanted):
    return sorted(path for path in {*found, *wanted} if path not in found or path not in wanted or
                  found[path] != wanted[path])[:8]


class Mode:
    """A way to deliver `data` to `place`/out/x. `first` is what lies there before."""

    name, options = "new", ""

    def __init__(self, base, data):
        self.base, self.data = Path(base), Path(data)
        self.out = self.base / "out"
        self.target = self.out / "x"
        self.template = self.base / "template"
        self.dray = None
        self.lost = False
        self.base.mkdir(parents=True)
        self.workflow = self.base / "work.yaml"
        self.expected = contents(self.data)
        self.listings = {times: listing(self.data, times=times) for times in (True, False)}
        self.theirs = {}
        # The plugins are examined once, and not at each kill.
        self.template.mkdir()
        warm = self.home(self.template / "home")
        warm("plugin", "list")
        self.make_first(warm)
        self.write_workflow()
        self.restore()

    def home(self, home):
        home.mkdir(exist_ok=True)
        dray = Dray(home)
        dray.prefix = self.prefix()
        return dray

    def prefix(self):
        return []

    def write_workflow(self):
        self.workflow.write_text(WORKFLOW.format(data=self.data, target=self.target, options=self.options))

    def make_first(self, dray):
        """What is there before: self.template/out becomes self.out."""
        (self.template / "out").mkdir()

    def restore(self):
        """As if nothing had been delivered yet."""
        for name in ("out", "home"):
            remove(self.base / name)
            subprocess.run(["cp", "-a", self.template / name, self.base / name], check=True)
        self.dray = self.home(self.base / "home")
        self.lost = False
        self.before = self.marker()

    def command(self):
        return [*self.dray.prefix, str(self.dray.program), "run", str(self.workflow)]

    # ---- What may be seen ----

    def marker(self):
        """Of the delivery that is there: which one it is, or None."""
        try:
            return (self.target / ".dray/data/delivered.json").read_bytes()
        except OSError:
            return None

    def phase(self):
        """How far it had come, as the disk tells."""
        if self.marker() not in (None, self.before):
            return "committed"
        if list(self.target.glob(".dray-*/journal")):
            return "renaming"
        return "copying" if [*self.out.glob(".dray-*"), *self.target.glob(".dray-*")] else "before"

    def is_whole(self, expected=None):
        return contents(self.target) == (self.expected if expected is None else expected)

    def check_killed(self):
        """After a kill, and at any moment: nothing, or all of it."""
        if os.path.lexists(self.target):
            assert self.is_whole(), "a partial dataset under its name"
            self.dray("verify", self.target)

    def glance(self):
        """As check_killed, but so quick that it can be done while a delivery runs."""
        if os.path.lexists(self.target):
            assert (self.target / ".dray/data/delivered.json").exists(), "visible before it was whole"

    def check_end(self):
        """After a run that nobody disturbed."""
        self.check_content()
        said = self.dray("verify", self.target)
        assert "intact" in said.out, said
        self.check_left()
        assert self.orphans() == []
        # One that another job has delivered for, of a state directory that was lost, is called failed.
        states = {job["state"] for job in self.dray.json("jobs")}
        assert states <= {"delivered", *(["failed"] if self.lost else [])}, f"jobs are {states}"

    def check_left(self):
        """Where the state was lost, nobody knows any more who made what lies beside the target: it is named, and left
        to its owner."""
        beside = os.listdir(self.out)
        assert "x" in beside and all(name == "x" or name.startswith(".dray-") for name in beside), beside
        assert beside == ["x"] or self.lost, "left beside the target"
        left = [path for path in subprocess.run(["find", self.target, "-name", ".dray-*"], capture_output=True,
                                                check=True).stdout.splitlines()]
        assert left == [], "left in the target"
        for name in ("scratch", "jobs"):
            folder = self.dray.state / name
            assert not folder.exists() or os.listdir(folder) == [], f"left in {name}"

    def check_content(self):
        found, wanted = listing(self.target), self.listings[True]
        assert found == wanted, f"not what was delivered: {differences(found, wanted)}"

    def orphans(self):
        """Processes that were started with this home; runners have a moment to see that their engine is gone."""
        for _ in range(500):
            found = []
            for entry in os.scandir("/proc"):
                try:
                    if entry.name.isdigit() and f"HOME={self.dray.home}\0".encode() in \
                            Path(entry.path, "environ").read_bytes():
                        found.append(Path(entry.path, "cmdline").read_bytes())
                except OSError:
                    pass
            if found == []:
                return []
            time.sleep(0.02)
        return found

    # ---- Kills ----

    def run(self, **keywords):
        return self.dray("run", self.workflow, **keywords)

    def run_until(self, moment, number, who):
        """Killed at the call of that number; the calls that were made, a list of (who, name)."""
        log = self.base / "calls"
        done = subprocess.run([str(moment), str(log), str(number), who, *self.command()], env=self.dray.env,
                              cwd=self.dray.home, stdin=subprocess.DEVNULL, capture_output=True, timeout=100)
        self.code = done.returncode
        self.said = done.stderr.decode(errors="replace")
        assert done.returncode not in (97, 98, 99), self.said
        return [tuple(line.split()[1:]) for line in log.read_text().splitlines()]

    @contextlib.contextmanager
    def frozen(self, moment, number):
        """The engine is killed at that call and its runner frozen: it goes on when this ends. Gives the call, or
        None when there was none."""
        log = self.base / "calls"
        for name in ("calls.held", "calls.go"):
            (self.base / name).unlink(missing_ok=True)
        held = subprocess.Popen([str(moment), str(log), str(number), "hold", *self.command()], env=self.dray.env,
                                cwd=self.dray.home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        while not (self.base / "calls.held").exists() and held.poll() is None:
            time.sleep(0.001)
        try:
            lines = log.read_text().splitlines()
            yield tuple(lines[number - 1].split()[1:]) if len(lines) >= number else None
        finally:
            (self.base / "calls.go").touch()
            held.wait(timeout=100)

    def run_for(self, seconds, who):
        """Killed after that time; was there still one to kill?"""
        running = subprocess.Popen(self.command(), env=self.dray.env, cwd=self.dray.home, start_new_session=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + seconds
        while time.monotonic() < end and running.poll() is None:
            self.glance()
            time.sleep(0.002)
        self.killed_in = self.phase()
        killed = running.poll() is None
        if killed and who != "engine":
            children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
            for child in children:
                os.kill(int(child), signal.SIGKILL)
            killed = who == "both" or children != []
        if killed and who != "runner":
            os.kill(running.pid, signal.SIGKILL)
        running.wait(timeout=100)
        return killed


class Inside(Mode):
    """An empty directory beside which nothing can be made."""

    name = "no-sibling"

    def prefix(self):
        if os.geteuid() != 0:
            return []
        rights = "-dac_override,-dac_read_search"
        return ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]

    def make_first(self, dray):
        (self.template / "out/x").mkdir(parents=True)
        (self.template / "out").chmod(0o555)

    def check_killed(self):
        check_added(self)

    def glance(self):
        pass


class Merge(Mode):
    """A directory with files of others, in directories of the same names too."""

    name, options = "merge", ", existing: merge"
    older = 0

    def make_first(self, dray):
        place = self.template / "out/x"
        place.mkdir(parents=True)
        self.theirs = {"theirs": b"theirs"}
        files = sorted(path for path, what in self.expected.items() if isinstance(what, bytes))
        for path in files[::max(1, len(files) // 100)]:
            folder = os.path.dirname(path)
            if folder and not folder.startswith("locked"):
                self.theirs[f"{folder}/theirs"] = b"theirs of " + folder.encode()
        self.old = {path: b"older" for path in (files[::3] if self.older else [])}
        for path, what in {**self.theirs, **self.old}.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(what)

    def check_killed(self):
        check_added(self)

    def glance(self):
        for path, what in list(self.theirs.items())[:3]:
            assert (self.target / path).read_bytes() == what

    def check_content(self):
        found, wanted = contents(self.target), {**self.theirs, **self.expected}
        assert found == wanted, f"not what was delivered: {differences(found, wanted)}"
        found, wanted = listing(self.target, times=False), self.listings[False]
        for path, what in wanted.items():
            if what[0] != "directory" or path == b"locked":
                assert found[path] == what, f"{path} is {found[path]}, not {what}"


class MergeOver(Merge):
    """The same, and a third of the files is there in an older state."""

    name, options, older = "merge over", ", existing: merge, conflicts: replace", 1


def check_added(mode):
    """What others have is untouched; each of ours is there whole, or not at all, or as it was before. With the
    marker, all is."""
    found, old = contents(mode.target), getattr(mode, "old", {})
    found = {path: what for path, what in found.items() if not path.startswith(".dray")}
    for path, what in mode.theirs.items():
        assert found.pop(path) == what, f"{path} of others"
    for path, what in found.items():
        assert path in mode.expected and what in (mode.expected[path], old.get(path, mode.expected[path])), path
    for path in old:
        # An older file is moved aside and the new one takes its name at once: in between it lies in the journal's.
        assert path in found or list(mode.target.glob(".dray-*/old/*")), path
    if (mode.target / ".dray/data/delivered.json").exists():
        said = mode.dray("verify", mode.target, exit=None)
        # What the attempt worked in is still there, and may be called what it is: not delivered.
        problems = said.out.splitlines()[1:] if said.code else []
        assert said.code == 0 or problems, said
        assert all(line.strip().startswith(".dray-") for line in problems), said
        assert {path: found.get(path) for path in mode.expected} == mode.expected


class Replace(Mode):
    """An older delivery."""

    name, options = "replace", ", existing: replace"

    def make_first(self, dray):
        """It was delivered by this state, to this place."""
        older = self.data.with_name("older")
        self.write_workflow()
        subprocess.run(["cp", "-a", self.data, older], check=True)
        files = sorted(path for path, what in self.expected.items() if isinstance(what, bytes))
        for path in files[::7]:
            if not path.startswith("locked"):
                (older / path).write_bytes(b"older")
        (older / "gone").write_bytes(b"gone")
        self.older = contents(older)
        # The dataset is what its path is: it takes the place of the other for a moment.
        aside = self.data.with_name("aside")
        os.rename(self.data, aside)
        os.rename(older, self.data)
        try:
            self.out.mkdir()
            dray("run", self.workflow)
        finally:
            remove(self.data)
            os.rename(aside, self.data)
        subprocess.run(["cp", "-a", self.out, self.template / "out"], check=True)

    def check_killed(self):
        assert self.is_whole() or self.is_whole(self.older), "neither the old one nor the new one"
        self.dray("verify", self.target)

    def glance(self):
        assert (self.target / ".dray/data/delivered.json").exists(), "neither the old one nor the new one"


MODES = {mode.name: mode for mode in (Mode, Merge, MergeOver, Replace, Inside)}
WHO = ("both", "engine", "runner")


def kill_at(mode, moment, number, moments, who, more=2, lost=False):
    """One delivery that is killed at a call, whose next runs are killed as well at other ones, and which then ends
    right. The name of the call, or None: it survived."""
    mode.restore()
    calls = mode.run_until(moment, number, who)
    if len(calls) < number:
        assert mode.code == 0, mode.said
        mode.check_end()
        return None
    story = [f"{who} killed at {number}: {calls[number - 1]}"]
    try:
        mode.check_killed()
        if lost:
            remove(mode.dray.state)
            mode.lost = True
            story.append("state lost")
        for _ in range(more):
            at, whom = moments.randint(1, number + 40), moments.choice(WHO)
            calls = mode.run_until(moment, at, whom)
            story.append(f"next, {whom} killed at {at}" if len(calls) >= at else f"next survived {len(calls)}")
            mode.check_killed()
        story.append("last run")
        mode.run()
        mode.check_end()
        said = mode.run()
        assert "already delivered" in said.out, f"run once more: {said}"
    except (AssertionError, OSError, subprocess.TimeoutExpired) as failure:
        raise AssertionError(f"{mode.name}: {'; '.join(story)}: {failure}") from failure
    return calls_name(story[0])


def calls_name(line):
    return line.split(": ", 1)[1]


def kill_after(mode, moments, length, more=2):
    """The same by time. For each kill that met a run at work: (how far into it, what the disk told)."""
    mode.restore()
    kills, story = [], []
    try:
        for _ in range(1 + more):
            seconds, who = moments.uniform(0, length), moments.choice(WHO)
            if mode.run_for(seconds, who):
                story.append(f"{who} killed after {seconds:.3f} s")
                kills.append((seconds / length, mode.killed_in))
            else:
                story.append(f"done before {seconds:.3f} s")
            mode.check_killed()
        mode.run()
        mode.check_end()
    except (AssertionError, OSError, subprocess.TimeoutExpired) as failure:
        raise AssertionError(f"{mode.name}: {'; '.join(story)}: {failure}") from failure
    return kills


def length_of(mode):
    """What a delivery takes that nobody disturbs, in seconds."""
    mode.restore()
    start = time.monotonic()
    mode.run()
    length = time.monotonic() - start
    mode.check_end()
    return length


def freeze_at(mode, moment, number):
    """The engine dies and its runner sleeps at a call; the next run comes meanwhile, and then the runner wakes up."""
    mode.restore()
    call = story = None
    try:
        with mode.frozen(moment, number) as call:
            story = f"runner frozen at {number}: {call}"
            if call is None:
                return None
            mode.check_killed()
            said = mode.run(exit=None)
            # A merge holds its place for as long as it lives.
            at_work = "another delivery is at work in the target" in said.err
            assert said.code == 0 or at_work, said
            mode.check_killed()
        mode.check_killed()
        story += ", run, woken"
        mode.run()
        mode.check_end()
    except (AssertionError, OSError, subprocess.TimeoutExpired) as failure:
        raise AssertionError(f"{mode.name}: {story}: {failure}") from failure
    return call
