# SPDX-License-Identifier: MIT
"""A machine that crashes loses what was not synced. What had been told as delivered is there all the same; what was
under way is never seen in part, and the next run ends right, whether the state was on that disk too or not."""
import fcntl
import os
import random
import struct
import subprocess
import time

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

    def sync(self):
        subprocess.run(["sync", "-f", self.place], check=True)

    def drop(self):
        if os.path.ismount(self.place):
            subprocess.run(["umount", "-l", self.place], check=True)


class Stand:
    """Where no file system can be cut off: what lies in a directory that was not synced yet loses its bytes, as it may
    when the power fails; what was synced stays."""

    def __init__(self, base):
        self.place = base / "disk"
        self.place.mkdir(exist_ok=True)
        self.mode, self.calls = None, []

    def crash(self):
        if self.mode is None or ("runner", "syncfs") in self.calls[:-1]:
            return
        for number, path in enumerate(sorted(self.place.rglob(".dray-*/**/*"))):
            # A merge's mark is synced before anything else is made.
            if path.is_file() and not path.is_symlink() and path.name != "holder":
                size = path.stat().st_size
                path.write_bytes(b"\0" * size if number % 2 else b"")

    def sync(self):
        pass

    def drop(self):
        pass


@pytest.fixture(scope="session")
def moment(tmp_path_factory):
    return kills.build_moment(tmp_path_factory.mktemp("moment"))


@pytest.fixture(params=["a disk", "a stand-in"])
def disk(request, tmp_path):
    made = Disk(tmp_path)
    if request.param != "a disk" or not made.make():
        made.drop()
        made = Stand(tmp_path)
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
        disk.mode = made
        return made

    yield make


def crashed(mode, disk, moment, number):
    mode.restore()
    disk.sync()
    disk.calls = mode.run_until(moment, number, "both")
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


@pytest.mark.parametrize("name", kills.MODES)
def test_what_was_told_as_delivered_outlives_a_crash(mode_of, disk, name):
    mode = mode_of(name)
    mode.restore()
    disk.sync()
    mode.run()
    disk.mode = None
    disk.crash()
    mode.check_end()
    assert "already delivered" in mode.run().out
