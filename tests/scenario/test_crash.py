# SPDX-License-Identifier: MIT
"""A machine that crashes loses what was not synced. What had been told as delivered is there all the same; what was
under way is never seen in part, and the next run ends right, whether the state was on that disk too or not."""
import fcntl
import os
import random
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

import kills

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
# EXT4_IOC_SHUTDOWN of fs/ext4/ext4.h, _IOR('X', 125, __u32), and its flag for not writing the journal out.
SHUTDOWN = 2 << 30 | 4 << 16 | ord("X") << 8 | 125
NO_LOG_FLUSH = 2
SEEDS = [4, random.SystemRandom().randrange(1 << 32)]


class Disk:
    """An ext4 in a file, that can be cut off from its power."""

    def __init__(self, base):
        self.image, self.place = base / "image", base / "disk"
        self.place.mkdir()
        self.lost = None

    def make(self):
        """False where nobody lets us mount one."""
        with open(self.image, "wb") as file:
            file.truncate(96 << 20)
        made = subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=False, capture_output=True)
        return made.returncode == 0 and self.mount(check=False)

    def mount(self, check=True):
        return subprocess.run(["mount", "-o", "loop", self.image, self.place], check=check,
                              capture_output=True).returncode == 0

    def crash(self):
        fd = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)
        subprocess.run(["umount", self.place], check=True)
        # A mount namespace of somebody else that was just made may hold it a while longer, cut off as it is.
        deadline = time.monotonic() + 60
        while subprocess.run(["losetup", "-j", self.image], check=True, capture_output=True).stdout:
            assert time.monotonic() < deadline, "the disk that was cut off is still mounted"
            time.sleep(0.05)
        self.mount()

    def sync(self, mode):
        subprocess.run(["sync", "-f", self.place], check=True)

    def drop(self):
        if os.path.ismount(self.place):
            subprocess.run(["umount", "-l", self.place], check=True)


class Stand:
    """Where no file system can be cut off: files keep their names, as where only those are in a journal, and bytes that
    were not synced become zeros or are gone. `lost` counts the files that lost some. The state keeps what it has."""

    def __init__(self, base):
        self.place = base / "disk"
        self.place.mkdir()
        self.out, self.log, self.safe, self.lost = self.place, None, {}, 0

    def crash(self):
        if self.log and self.log.exists():
            for line in self.log.read_text().splitlines():
                inode, size = map(int, line.split())
                self.safe[inode] = size
        files = (path for path in sorted(self.out.rglob("*")) if path.is_file() and not path.is_symlink())
        for number, path in enumerate(files):
            found = path.stat()
            safe = self.safe.get(found.st_ino, 0)
            if safe >= found.st_size:
                continue
            self.lost += 1
            os.truncate(path, safe)
            if number % 2:
                os.truncate(path, found.st_size)

    def sync(self, mode):
        """All that is there is safe; from now on what `moment` sees being synced."""
        self.out, self.log = mode.out, mode.base / "calls.synced"
        self.log.unlink(missing_ok=True)
        mode.dray.env["MOMENT_DISK"] = str(mode.out)
        self.safe = {path.stat().st_ino: path.stat().st_size for path in self.out.rglob("*")
                     if path.is_file() and not path.is_symlink()}

    def drop(self):
        pass


@pytest.fixture(scope="session")
def moment(tmp_path_factory):
    return kills.build_moment(tmp_path_factory.mktemp("moment"))


def may_mount():
    with tempfile.TemporaryDirectory() as base:
        trial = Disk(Path(base))
        try:
            return trial.make()
        finally:
            trial.drop()


# A test's name says on which of them it ran.
DISKS = {"stand-in": Stand, **({"ext4": Disk} if may_mount() else {})}


@pytest.fixture(params=DISKS)
def disk(request, tmp_path):
    made = DISKS[request.param](tmp_path)
    if request.param == "ext4":
        assert made.make()
    yield made
    made.drop()


@pytest.fixture(params=["state there too", "state elsewhere"])
def mode_of(request, tmp_path, disk):
    """mode_of(name): a mode whose target lies on the disk."""
    kills.make_small(tmp_path / "data")
    beside = request.param == "state there too"

    def make(name):
        made = kills.MODES[name](disk.place / "mode", tmp_path / "data")
        if not beside:
            elsewhere = tmp_path / "elsewhere"
            home = made.home

            def in_another_place(path):
                if path == made.base / "home":
                    kills.remove(elsewhere)
                    subprocess.run(["cp", "-a", path, elsewhere], check=True)
                    return home(elsewhere)
                return home(path)

            made.home = in_another_place
            made.restore()
        return made

    yield make


def crashed(mode, disk, moment, number):
    mode.restore()
    disk.sync(mode)
    mode.run_until(moment, number, "both")
    # The store may have lost its last lines, and with them what it was told.
    mode.lost = True
    disk.crash()
    mode.dray.home.mkdir(exist_ok=True)
    mode.check_killed()
    mode.run()
    mode.check_end()
    assert "already delivered" in mode.run().out


@pytest.mark.parametrize("name", kills.MODES)
def test_a_crash_within_a_delivery(mode_of, disk, moment, name):
    mode = mode_of(name)
    calls = mode.run_until(moment, 0, "both")
    assert mode.code == 0, mode.said
    begin = max(number for number, call in enumerate(calls, 1) if call == ("runner", "syncfs"))
    commit = [number for number, (who, _) in enumerate(calls, 1) if who == "runner" and number >= begin]
    for seed in SEEDS:
        moments = random.Random(seed)
        for number in [begin, *moments.sample(commit, 2), moments.randint(1, len(calls))]:
            try:
                crashed(mode, disk, moment, number)
            except AssertionError as failure:
                raise AssertionError(f"seed {seed}, {number}: {calls[number - 1]}: {failure}") from failure
    assert disk.lost != 0, "no crash lost anything"


@pytest.mark.parametrize("name", kills.MODES)
def test_what_was_told_as_delivered_outlives_a_crash(mode_of, disk, moment, name):
    mode = mode_of(name)
    mode.restore()
    disk.sync(mode)
    mode.run_until(moment, 0, "both")
    assert mode.code == 0, mode.said
    disk.crash()
    assert not disk.lost, "what was told as delivered was not synced"
    mode.check_end()
    assert "already delivered" in mode.run().out
