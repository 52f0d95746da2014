# SPDX-License-Identifier: MIT
"""A delivery that is interrupted is undone and taken up, one that waits for another finds it whole, and what dead
processes left is removed. Kills at any moment: test_kills.py."""
import os
import signal
import subprocess
import time

FILES = 3000


def make_dataset(root):
    block = os.urandom(4096 + FILES)
    for number in range(FILES):
        folder = root / f"d{number // 100:03}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
        (folder / f"f{number % 100:03}").write_bytes(block[number:number + 4096])


def whole(target):
    """Complete by its own manifest, as a recipient without Dray checks it."""
    manifest = ".dray/source/manifest-sha256.txt"
    done = subprocess.run(["sha256sum", "--quiet", "-c", manifest], cwd=target, capture_output=True)
    lines = (target / manifest).read_text().splitlines()
    return done.returncode == 0 and len(lines) == FILES


def test_an_interrupt_is_undone_and_taken_up(dray, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    make_dataset(source)
    out.mkdir()
    running = dray.start("push", source, "--to", out / "data", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not any(name.startswith(".dray") for name in os.listdir(out)):
        assert running.poll() is None
        time.sleep(0.001)
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert b"interrupted" in err
    assert os.listdir(out) == []
    first = dray.json("jobs")[0]
    assert first["state"] == "failed"
    again = dray.json("push", source, "--to", out / "data")
    assert again["job"] == first["job"], "the same job is taken up"
    assert [attempt["outcome"] for attempt in again["attempts"]] == ["interrupted", "delivered"]
    assert whole(out / "data")


def test_the_next_delivery_to_the_same_target_waits_for_the_first(dray, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    make_dataset(source)
    out.mkdir()
    pair = [dray.start("push", source, "--to", out / "data", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(2)]
    outs = [process.communicate(timeout=60) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], outs
    said = sorted(out.decode().split()[0] for out, _ in outs)
    assert said[0] == "already", outs
    assert whole(out / "data")
    assert len(dray.json("jobs")) == 1


def test_scratch_of_dead_processes_is_removed(dray, tmp_path):
    """A process that dies right after its commit leaves scratch, and nobody takes up its job."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").write_text("a\n")
    scratch = dray.state / "scratch"
    for name in ("11111111-1111-4111-8111-111111111111.1", "preview-4194304.0"):
        (scratch / name / "file-1").mkdir(parents=True)
    dray.state.chmod(0o700)
    dray("push", tmp_path / "source", "--to", tmp_path / "out")
    assert os.listdir(scratch) == []
    assert os.listdir(dray.state / "jobs") == []
