# SPDX-License-Identifier: MIT
"""What scenario tests share: the built programs, run as a user would run them.

DRAY_BUILD names the build directory (default: build/ of this checkout). Every test has a HOME and a
state of its own below its tmp_path, and sees nothing of the caller's environment but what is listed.
"""
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("DRAY_BUILD", TOP / "build")).resolve()
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
             "LSAN_OPTIONS")


class Result:
    """What a finished program left: `code`, `out` and `err` as text."""

    def __init__(self, args, code, out, err):
        self.args, self.code = args, code
        self.out, self.err = out.decode(errors="surrogateescape"), err.decode(errors="surrogateescape")

    def json(self):
        """Standard output as one JSON value."""
        return json.loads(self.out)

    def json_lines(self):
        """Standard output as JSON, a value a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    def __str__(self):
        text = (f"$ {' '.join(map(str, self.args))}\nexit {self.code}\n"
                f"--- standard output\n{self.out}--- standard error\n{self.err}---")
        return text.encode(errors="backslashreplace").decode()


def as_argument(value):
    """An argument of a command line: a path, bytes, or what str() makes of it."""
    return value if isinstance(value, (bytes, os.PathLike)) else str(value)


class Dray:
    """Runs build/dray. `dray("plan", file)` asserts exit 0, `exit=2` another, `exit=None` none."""

    def __init__(self, home):
        self.build = BUILD
        self.program = BUILD / "dray"
        self.home = home
        self.state = home / "state"
        self.prefix = []  # what it is started by
        self.env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self.env.update(HOME=str(home), DRAY_STATE=str(self.state), LANG="C.UTF-8", TZ="UTC",
                        USER=os.environ.get("USER", "tester"))

    def __call__(self, *args, exit=0, env=None, cwd=None, input=b"", timeout=100, **keywords):
        command = [*self.prefix, str(self.program), *map(os.fsdecode, map(as_argument, args))]
        done = subprocess.run(command, env={**self.env, **(env or {})}, cwd=cwd or self.home,
                              input=input, capture_output=True, timeout=timeout, **keywords)
        result = Result(command, done.returncode, done.stdout, done.stderr)
        assert exit is None or result.code == exit, f"exit {exit} expected\n{result}"
        return result

    def json(self, *args, **keywords):
        """Runs with --json, returns the value."""
        return self(*args, "--json", **keywords).json()

    def start(self, *args, env=None, cwd=None, **keywords):
        """Starts it in a process group of its own and returns the Popen; the caller ends it."""
        return subprocess.Popen([str(self.program), *map(str, args)], cwd=cwd or self.home,
                                env={**self.env, **(env or {})}, start_new_session=True,
                                stdin=subprocess.DEVNULL, **keywords)


@pytest.fixture
def dray(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return Dray(home)


@pytest.fixture
def bound(dray):
    """dray, started so that permissions bind it, as they do not bind root."""
    if os.geteuid() == 0:
        rights = "-dac_override,-dac_read_search"
        dray.prefix = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]
    return dray


@pytest.fixture
def small_disk(tmp_path):
    """small_disk("1m") is a file system of that size, small_disk.grow("9m") makes it larger."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system of its own")
    place = tmp_path / "disk"
    place.mkdir()

    def mount(size):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "dray-test", place], check=True)
        return place

    def grow(size):
        subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)

    mount.grow = grow
    yield mount
    if os.path.ismount(place):
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def workflow(tmp_path):
    """workflow(text, name="work.yaml") writes a workflow into tmp_path and returns its path."""

    def write(text, name="work.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def mocks(dray):
    """The mocks (plugins/mock/) become plugins of the user's own: source/mock, filter/mock and so on."""
    plugins = dray.home / ".local/lib/dray/plugins"
    plugins.mkdir(parents=True, mode=0o755)
    for kind in ("source", "filter", "transform", "push"):
        (plugins / f"{kind}-mock.so").write_bytes((BUILD / f"plugins/mock/{kind}-mock.so").read_bytes())
        (plugins / f"{kind}-mock.so").chmod(0o755)
    return plugins


def contents(root):
    """All below root but Dray's records, by path: bytes of a file, target of a link as text, None."""
    found = {}
    root = os.fsencode(root)
    for folder, folders, names in os.walk(root):
        below = os.path.relpath(folder, root)
        if below == b".":
            folders[:] = [name for name in folders if name != b".dray"]
        for name in folders + names:
            path = os.path.join(folder, name)
            key = os.fsdecode(os.path.normpath(os.path.join(below, name)))
            if os.path.islink(path):
                found[key] = os.fsdecode(os.readlink(path))
            elif os.path.isdir(path):
                found[key] = None
            else:
                found[key] = Path(os.fsdecode(path)).read_bytes()
    return found


def record(target, name):
    """One of the records of the one dataset that was delivered to target, parsed where it is JSON."""
    [folder] = (Path(target) / ".dray").iterdir()
    text = (folder / name).read_text()
    if name.endswith(".jsonl"):
        return [json.loads(line) for line in text.splitlines()]
    return json.loads(text) if name.endswith(".json") else text


def checked_by_sha256sum(target):
    """Do coreutils agree, and did they look at as many files as there are?"""
    [folder] = (Path(target) / ".dray").iterdir()
    manifest = Path(".dray") / folder.name / "manifest-sha256.txt"
    done = subprocess.run(["sha256sum", "--strict", "--quiet", "-c", manifest], cwd=target,
                          capture_output=True)
    lines = (Path(target) / manifest).read_bytes().split(b"\n")[:-1]
    files = [path for path, what in contents(target).items() if isinstance(what, bytes)]
    return done.returncode == 0 and len(lines) == len(files)


UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
DIGEST = re.compile(r"[0-9a-f]{64}$")


@pytest.fixture
def files():
    """files(root, {"a/b.txt": b"bytes", "empty/": None}) makes files and folders, returns root."""

    def make(root, content):
        root = Path(root)
        root.mkdir(parents=True, exist_ok=True)
        for name, data in content.items():
            path = root / name
            if name.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return root

    return make


def pytest_report_header():
    return f"dray: {BUILD / 'dray'}"


def pytest_sessionstart(session):
    if not os.access(BUILD / "dray", os.X_OK):
        pytest.exit(f"{BUILD / 'dray'} is not there: build first, or set DRAY_BUILD", returncode=3)
