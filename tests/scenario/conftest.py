# SPDX-License-Identifier: MIT
"""What scenario tests share: the built programs, run as a user would run them.

DRAY_BUILD names the build directory (default: build/ of this checkout). Every test has a HOME and a
state of its own below its tmp_path, and sees nothing of the caller's environment but what is listed.
"""
import json
import os
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
        return (f"$ {' '.join(map(str, self.args))}\nexit {self.code}\n"
                f"--- standard output\n{self.out}--- standard error\n{self.err}---")


class Dray:
    """Runs build/dray. `dray("plan", file)` asserts exit 0, `exit=2` another, `exit=None` none."""

    def __init__(self, home):
        self.build = BUILD
        self.program = BUILD / "dray"
        self.home = home
        self.state = home / "state"
        self.env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self.env.update(HOME=str(home), DRAY_STATE=str(self.state), LANG="C.UTF-8", TZ="UTC",
                        USER=os.environ.get("USER", "tester"))

    def __call__(self, *args, exit=0, env=None, cwd=None, input=b"", timeout=100):
        command = [str(self.program), *map(str, args)]
        done = subprocess.run(command, env={**self.env, **(env or {})}, cwd=cwd or self.home,
                              input=input, capture_output=True, timeout=timeout)
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
