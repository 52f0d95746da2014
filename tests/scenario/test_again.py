# SPDX-License-Identifier: MIT
"""What was delivered is not delivered twice, in any mode, also by somebody who knows nothing of it; a clock that is set
changes nothing; and a directory may be large."""
import os
import subprocess
import time
from pathlib import Path

import pytest

import kills
from conftest import TOP, contents



def state_of(root):
    """Each entry with what changes when anything is done to it."""
    found = {}
    for folder, folders, names in os.walk(root):
        for path in [folder, *(os.path.join(folder, name) for name in folders + names)]:
            status = os.lstat(path)
            found[path] = (status.st_ino, status.st_ctime_ns, status.st_mtime_ns)
    return found


@pytest.fixture(params=kills.MODES)
def mode(request, tmp_path):
    kills.make_small(tmp_path / "data")
    made = kills.MODES[request.param](tmp_path / "mode", tmp_path / "data")
    yield made
    kills.remove(made.base)


@pytest.mark.parametrize("lost", [False, True], ids=["state kept", "state lost"])
def test_a_second_run_touches_nothing(mode, lost):
    mode.run()
    mode.check_end()
    before = state_of(mode.out)
    for _ in range(2):
        if lost:
            kills.remove(mode.dray.state)
        assert "already delivered" in mode.run().out
        assert state_of(mode.out) == before
    mode.lost = lost
    mode.check_end()


CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
#include <sys/time.h>

/* A clock on the wall that somebody sets ten years back and forth, each time that it is looked at. */
static time_t jump(void)
{
    static unsigned looked;
    return (__atomic_add_fetch(&looked, 1, __ATOMIC_RELAXED) % 3 - 1) * 315360000;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += jump();
    return result;
}

time_t time(time_t *ret)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return ret ? *ret = now.tv_sec : now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec is;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &is);
    *now = (struct timeval){is.tv_sec, is.tv_nsec / 1000};
    return 0;
}
"""


@pytest.fixture
def jumping(tmp_path):
    """Programs in which the clock jumps: beside a `dray` of its own lies a dray-runner that starts the real one so."""
    build = Path(os.environ.get("DRAY_BUILD", TOP / "build")).resolve()
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return build, library


def with_jumps(mode, jumping, tmp_path):
    build, library = jumping
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("dray", "dray-probe"):
        (programs / name).write_bytes((build / name).read_bytes())
        (programs / name).chmod(0o755)
    (programs / "dray-runner").write_text(f"#!/bin/sh\nLD_PRELOAD={library} exec {build}/dray-runner\n")
    (programs / "dray-runner").chmod(0o755)
    (programs / "plugins").symlink_to(build / "plugins")
    mode.dray.program = programs / "dray"
    mode.dray.env["LD_PRELOAD"] = str(library)


@pytest.mark.unsanitized
def test_a_clock_that_is_set_all_the_time_changes_nothing(mode, jumping, tmp_path):
    with_jumps(mode, jumping, tmp_path)
    begun = time.monotonic()
    mode.run()
    assert "already delivered" in mode.run().out
    assert time.monotonic() - begun < 60, "it waited for a time that did not come"
    del mode.dray.env["LD_PRELOAD"]
    mode.check_end()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_directory_of_200000_files(dray, small_disk, tmp_path):
    place, count = small_disk("2g"), 200_000
    data = place / "data"
    data.mkdir()
    for number in range(count):
        os.close(os.open(data / f"f{number:06}", os.O_WRONLY | os.O_CREAT, 0o644))
    (data / "f100000").write_bytes(b"not empty")
    dray("push", data, "--to", place / "x", timeout=600)
    assert len(os.listdir(place / "x")) == count + 1
    assert contents(place / "x") == contents(data)
    assert "already delivered" in dray("push", data, "--to", place / "x", timeout=600).out
    assert sorted(os.listdir(place)) == ["data", "x"]


# ---- What a target holds counts for more than what the store remembers ----------------------------------

TO = ("version: 1\ndataset: {data}\nsteps:\n"
      "  - {{ id: pick, uses: filter/glob, with: {{ exclude: ['{out}'] }} }}\n"
      "  - {{ id: to, uses: push/hpfs, with: {{ path: {target}, {how} }} }}\n")


@pytest.fixture
def push(dray, files, tmp_path, workflow):
    """push(how, out="z") delivers all but `out` to the target."""
    files(tmp_path / "data", {"a": "one", "b": "two", "d/c": "three"})
    target = files(tmp_path / "target", {"theirs": "kept"})

    def run(how, out="z", **keywords):
        return dray("run", workflow(TO.format(data=tmp_path / "data", target=target, how=how, out=out)), **keywords)

    run.target = target
    return run


def test_an_earlier_selection_is_delivered_again_where_another_took_its_place(dray, push):
    (push.target / "theirs").unlink()
    push.target.rmdir()
    for out, there in (("a", {"b", "d", "d/c"}), ("b", {"a", "d", "d/c"}), ("a", {"b", "d", "d/c"})):
        done = push("existing: replace", out)
        assert "already delivered" not in done.out and set(contents(push.target)) == there
        assert "already delivered" in push("existing: replace", out).out
    assert "is intact" in dray("verify", push.target).out


def test_a_file_of_a_merge_that_was_edited_is_not_called_delivered(push):
    push("existing: merge")
    (push.target / "a").write_text("edited")
    again = push("existing: merge", exit=1)
    assert "already delivered" not in again.out and (push.target / "a").read_text() == "edited"


@pytest.mark.parametrize("what", ["a file", "the records", "everything"])
def test_what_is_gone_of_a_merge_is_not_called_delivered(dray, push, what):
    push("existing: merge")
    if what == "a file":
        (push.target / "a").unlink()
    else:
        kills.remove(push.target / ".dray")
    if what == "everything":
        for name in ("a", "b", "d"):
            kills.remove(push.target / name) if name == "d" else (push.target / name).unlink()
    again = push("existing: merge, conflicts: replace")
    assert "already delivered" not in again.out
    assert contents(push.target) == {"a": b"one", "b": b"two", "d": None, "d/c": b"three", "theirs": b"kept"}
    assert "is intact" in dray("verify", push.target).out
