# SPDX-License-Identifier: MIT
"""Room in scratch: who waits for it gets it or is told that there is none, and never waits for who waits itself."""
import fcntl
import json
import struct
import subprocess
import tarfile

from conftest import contents
from test_staged import FILES, tape, wait_for  # noqa: F401  (tape is a fixture)

TOO_LARGE = str(1 << 60)


def lines_of(path):
    return path.read_text() if path.exists() else ""


def start(dray, tape, work, name):  # noqa: F811
    """Its progress goes to a file, where a test sees it wait."""
    said = tape.out.parent / f"{name}.err"
    return said, dray.start("run", work, "--config", tape.config, stdout=subprocess.DEVNULL,
                            stderr=said.open("w"), text=True)


def test_those_who_only_wait_do_not_wait_for_each_other(dray, tape):  # noqa: F811
    works = {name: tape.work(name, bundle) for name, bundle in (("one", "x.tar"), ("two", "y.tar"), ("six", "x"))}
    (tape.path / "hold").write_text("")
    first = tape.start(works["six"])
    wait_for(lambda: tape.runs() == 1)
    for name in ("one", "two"):
        dray("dataset", "set", name, "--bundle-size", TOO_LARGE)
    # Two of the same: the second waits for what the first, which waits, is to bring.
    waiting = [start(dray, tape, works[name], f"{name}{i}") for i, name in enumerate(("one", "two", "one"))]
    wait_for(lambda: all("waiting: " in lines_of(said) for said, _ in waiting))
    (tape.path / "hold").unlink()
    first.communicate(timeout=60)
    assert first.returncode == 0
    for said, one in waiting:
        assert one.wait(timeout=20) == 1
        assert "there is no room to bring it to" in lines_of(said) and "it has 1.0 EiB" in lines_of(said)
    assert tape.runs() == 1 and tape.left() == []


def large(tape, name):  # noqa: F811
    """A bundle of 600 KiB and some; its size."""
    (tape.path / "large").write_bytes(b"l" * (600 << 10))
    with tarfile.open(tape.path / name, "w") as bundle:
        bundle.add(tape.path / "large", arcname="large")
    return (tape.path / name).stat().st_size


def test_who_waits_gets_the_room_that_another_frees(dray, tape, small_disk):  # noqa: F811
    tape.configure(scratch=f"{{ path: {small_disk('1m')} }}")
    works = [tape.work("one", "x.tar"), tape.work("two", "y.tar")]
    for name, bundle in (("one", "x.tar"), ("two", "y.tar")):
        dray("dataset", "set", name, "--bundle-size", str(large(tape, bundle)))
    (tape.path / "hold").write_text("")
    first, running = start(dray, tape, works[0], "one")
    wait_for(lambda: tape.runs() == 1)
    second, waits = start(dray, tape, works[1], "two")
    wait_for(lambda: "waiting: room in scratch" in lines_of(second))
    assert waits.poll() is None and tape.runs() == 1
    (tape.path / "hold").unlink()
    assert running.wait(timeout=60) == 0 and waits.wait(timeout=60) == 0, lines_of(first) + lines_of(second)
    assert len(contents(tape.out / "two")["large"]) == 600 << 10 and tape.runs() == 2


def test_who_waits_for_the_look_itself_hears_that_it_is_cancelled(dray, tape):  # noqa: F811
    """One that was stopped in the middle of its look holds nobody else up but for as long as they like."""
    tape.run(tape.work("one"))
    work = tape.work("two", "y.tar")
    with (dray.state / "scratch/staged/room.lock").open("r+") as lock:
        # All of it: as F_OFD_SETLK and as flock.
        fcntl.fcntl(lock, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))
        fcntl.flock(lock, fcntl.LOCK_EX)
        running = tape.start(work)
        wait_for(lambda: any(job["state"] == "running" for job in dray.json("jobs")))
        [job] = [job["job"] for job in dray.json("jobs") if job["state"] == "running"]
        dray("cancel", job)
        said = running.communicate(timeout=20)[1]
    assert "cancelled" in said and tape.runs() == 1


def test_what_is_promised_is_counted_but_not_what_is_there_already(dray, tape, small_disk):  # noqa: F811
    """The first was promised 1200k and has brought 1000k: 200k are promised, and the second fits beside."""
    disk = small_disk("2m")
    tape.configure(scratch=f"{{ path: {disk} }}")
    works = [tape.work("one", "x"), tape.work("two", "y.tar")]
    dray("dataset", "set", "one", "--bundle-size", str(1200 << 10))
    dray("dataset", "set", "two", "--bundle-size", str(large(tape, "y.tar")))
    (tape.path / "hold").write_text("")
    _, running = start(dray, tape, works[0], "one")
    wait_for(lambda: tape.runs() == 1)
    [part] = disk.glob("*/staged/*.part-*")
    (part / "tree/there").write_bytes(b"x" * (1000 << 10))
    assert json.loads((part / "promised").read_text()) == 1200 << 10
    said, second = start(dray, tape, works[1], "two")
    wait_for(lambda: tape.runs() == 2 or second.poll() is not None)
    (tape.path / "hold").unlink()
    assert second.wait(timeout=60) == 0 and "waiting" not in lines_of(said), lines_of(said)
    running.wait(timeout=60)
