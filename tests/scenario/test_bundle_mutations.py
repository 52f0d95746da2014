# SPDX-License-Identifier: MIT
"""Bundles with bytes changed at random: each is delivered or refused, and nothing else ever happens."""
import os
import random
import stat
import subprocess
import zipfile

import pytest

from bundles import FILE, FOLDER, HARD, LINK, Libarchive, forge

ENTRIES = [("top", FOLDER), ("top/a", FILE, b"1" * 700), ("top/b", FILE, b"2" * 20), ("top/l", LINK, "a"),
           ("top/h", HARD, "top/a")]
CLASSES = {0, 1}  # delivered; the delivery failed


def a_zip(path):
    with zipfile.ZipFile(path, "w") as out:
        for name, mode, method in (("top/a", stat.S_IFREG | 0o644, 8), ("top/l", stat.S_IFLNK | 0o777, 0)):
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr, info.compress_type = 3, mode << 16, method
            out.writestr(info, b"a" * 300 if method else b"a")
    return path


MAKERS = {
    "ustar": lambda path: forge(path, *ENTRIES, form="ustar"),
    "pax": lambda path: forge(path, *ENTRIES, ("top/" + "n" * 120, FILE)),
    "gnu": lambda path: forge(path, *ENTRIES, ("top/" + "n" * 120, FILE), form="gnu"),
    "zip": a_zip,
    "7zip": lambda path: Libarchive().write(path, "7zip", None, {"top/a": b"1" * 700, "top/l": "a"}),
}


def mutated(chance, data):
    data = bytearray(data)
    used = len(data.rstrip(b"\0")) + 1
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(min(used, len(data)))
        what = chance.randrange(4)
        if what == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            data[at] = chance.choice(b"\0\xff/.09 ")
        elif what == 2:
            del data[at:at + chance.randrange(1, 9)]
        else:
            data[at:at] = data[:chance.randrange(1, 9)]
    return bytes(data)


@pytest.mark.parametrize("form", MAKERS)
def test_a_changed_bundle_is_delivered_or_refused(dray, tmp_path, form):
    whole = MAKERS[form](tmp_path / "bundle").read_bytes()
    chance = random.Random(int(os.environ.get("DRAY_SEED", "4")))
    place, out = tmp_path / "place", tmp_path / "place/out"
    place.mkdir()
    for turn in range(int(os.environ.get("DRAY_TURNS", "25"))):
        (tmp_path / "bundle").write_bytes(mutated(chance, whole))
        strip = chance.choice(("0", "auto", "1"))
        (tmp_path / "work.yaml").write_text(
            "version: 1\nname: work\nsteps:\n"
            f"  - {{ id: stage, uses: source/archive, with: {{ path: {tmp_path}/bundle, strip: {strip} }} }}\n"
            f"  - {{ id: to, uses: push/hpfs, with: {{ path: {out} }} }}\n")
        result = dray("run", "work.yaml", cwd=tmp_path, exit=None)
        told = f"turn {turn} of {form}\n{result}"
        assert result.code in CLASSES, told
        assert "runner" not in result.err and "signal" not in result.err and "bug" not in result.err.lower(), told
        assert os.listdir(place) == (["out"] if result.code == 0 else []), told
        for folder, folders, names in os.walk(out):
            for name in folders + names:
                path = os.path.join(folder, name)
                assert os.path.realpath(path).startswith(str(out)), told
        subprocess.run(["rm", "-rf", out], check=True)
        assert not [names for _, folders, names in os.walk(dray.state / "scratch") if names], told
