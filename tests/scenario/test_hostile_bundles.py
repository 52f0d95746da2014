# SPDX-License-Identifier: MIT
"""Bundles that lie. Each is refused with a reason that names the entry, and neither beside the target nor
in scratch nor anywhere outside is anything left of it."""
import gzip
import os
import stat
import struct
import subprocess
import tarfile

import pytest

from bundles import (FILE, FOLDER, HARD, LINK, Libarchive, blocks, encrypted_7z, forge, header, member, pax, tar_of,
                     zip_of)
from trees import listing

SOCKET, DEVICE = stat.S_IFSOCK | 0o644, stat.S_IFCHR | 0o644
SYMLINK = stat.S_IFLNK | 0o777
MORE_THAN_1_GIB = (1 << 30) + 512


@pytest.fixture
def refused(dray, tmp_path):
    """refused(path, *reasons, **options): it is, for these, and left nothing."""

    def look():
        # What the state keeps of a job is its business, but for scratch.
        return sorted(found for found in (os.path.join(folder, name) for folder, folders, names in os.walk(tmp_path)
                                          for name in folders + names)
                      if not found.startswith(str(dray.state)) or "scratch/" in found)

    def run(path, *reasons, **options):
        given = "".join(f", {name}: {value}" for name, value in options.items())
        (tmp_path / "to").mkdir(exist_ok=True)
        workflow = tmp_path / "hostile.yaml"
        workflow.write_text("version: 1\nname: hostile\nsteps:\n"
                            f"  - id: stage\n    uses: source/archive\n    with: {{ path: {path}{given} }}\n"
                            "  - id: deliver\n    uses: push/hpfs\n    needs: [stage]\n"
                            f"    with: {{ path: {tmp_path}/to/it }}\n")
        before = look()
        result = dray("run", workflow, exit=1)
        for reason in reasons:
            assert reason.format(path) in result.err, result
        assert look() == [p for p in before if p != str(dray.state)] or look() == before
        return result

    return run


# ---- Tars ----

ENTRIES = {
    "absolute": ([("ok", FILE), ("/etc/cron.d/x", FILE)], 'the path of the entry "/etc/cron.d/x" of {} is absolute'),
    "two slashes": ([("//host/x", FILE)], 'the path of the entry "//host/x" of {} is absolute'),
    "dots within": ([("a/../../x", FILE)], 'the path of the entry "a/../../x" of {} has a segment ".."'),
    "dots at the end": ([("a", FOLDER), ("a/..", FILE)], 'the path of the entry "a/.." of {} has a segment ".."'),
    "dots alone": ([("..", FOLDER)], 'the path of the entry "../" of {} has a segment ".."'),
    "character device": ([("dev/null", tarfile.CHRTYPE)], 'the entry "dev/null" of {} is a device'),
    "block device": ([("disk", tarfile.BLKTYPE)], 'the entry "disk" of {} is a device'),
    "fifo": ([("p/ipe", tarfile.FIFOTYPE)], 'the entry "p/ipe" of {} is a fifo'),
    "hard link to /": ([("h", HARD, "/etc/passwd")], 'the entry "h" of {} is a hard link to a path outside of it'),
    "hard link out": ([("d/h", HARD, "../../etc/passwd")],
                      'the entry "d/h" of {} is a hard link to a path outside of it'),
    "hard link to nothing": ([("h", HARD, "missing")], "h is a hard link to missing, which is no file of the dataset"),
    "hard link to a directory": ([("d", FOLDER), ("h", HARD, "d")],
                                 "h is a hard link to d, which is no file of the dataset"),
    "hard link to a link": ([("f", FILE), ("l", LINK, "f"), ("h", HARD, "l")],
                            "h is a hard link to l, which is no file of the dataset"),
    "hard link to itself": ([("h", HARD, "h")], "h is a hard link to h, which is no file of the dataset"),
    "hard links in a ring": ([("a", HARD, "b"), ("b", HARD, "a")],
                             "a is a hard link to b, which is no file of the dataset"),
    "through a link": ([("l", LINK, "/tmp"), ("l/x", FILE)], '"l/x" cannot be below "l", which is a symbolic link'),
    "through a link that comes late": ([("l/x", FILE), ("l", LINK, "/tmp")],
                                       '"l/x" cannot be below "l", which is a symbolic link'),
    "through a link that stays inside": ([("d", FOLDER), ("l", LINK, "d"), ("l/x", FILE)],
                                         '"l/x" cannot be below "l", which is a symbolic link'),
    "directory through a link": ([("d", FOLDER), ("l", LINK, "d"), ("l/x", FOLDER)],
                                 '"l/x" cannot be below "l", which is a symbolic link'),
    "hard link through a link": ([("f", FILE), ("l", LINK, "."), ("l/h", HARD, "f")],
                                 '"l/h" cannot be below "l", which is a symbolic link'),
    "below a file": ([("f", FILE), ("f/x", FILE)], '"f/x" cannot be below "f", which is a file'),
    "twice": ([("f", FILE), ("./f", FILE)], 'two entries have the path "f"'),
    "file and link": ([("f", FILE), ("f", LINK, "x")], 'two entries have the path "f"'),
    "file and directory": ([("f", FOLDER), ("f", FILE)], 'two entries have the path "f"'),
    "link and directory": ([("l", LINK, "."), ("l", FOLDER)], 'two entries have the path "l"'),
    "hard link and file": ([("a", FILE), ("h", HARD, "a"), ("h", FILE)], 'two entries have the path "h"'),
    "link to nothing": ([("l", LINK, "")], 'the entry "l" of {} is a symbolic link to nothing'),
    "link out": ([("l", LINK, "../outside")], '"l" -> "../outside" leaves the dataset'),
    "link to /": ([("l", LINK, "/etc/passwd")], '"l" -> "/etc/passwd" leaves the dataset'),
    "link out by another": ([("d/l", LINK, "m/../../.."), ("d/m", LINK, ".")], '"d/l" -> "m/../../.." leaves the dataset'),
    "file as the root": ([(".", FILE)], 'the entry "." of {} has the path of the archive\'s root, but is no directory'),
    "link as the root": ([("./", LINK, "/tmp")], "has the path of the archive's root, but is no directory"),
    "our own records": ([(".dray/x/delivered.json", FILE)], 'a dataset may have no ".dray" at its top'),
    "long segment": ([("n" * 256, FILE)], "holds a segment longer than 255 bytes"),
    "long path": ([("/".join(["n" * 200] * 21), FILE)], "is too long"),
}


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("case", ENTRIES)
def test_entries_that_a_tar_may_not_hold(refused, tmp_path, case, compressed):
    entries, reason = ENTRIES[case]
    tar = forge(tmp_path / "x.tar", *entries)
    if compressed:
        subprocess.run(["gzip", tar], check=True)
        tar = tmp_path / "x.tar.gz"
    refused(tar, reason)


def sparse(*pieces, real, data=b""):
    """A file of GNU's old sparse format: pieces of (offset, size), and the size that it says."""
    table = b"".join(b"%011o\0%011o\0" % piece for piece in pieces)
    return header("holes", len(data), b"S", at_257=b"ustar  \0", at_386=table, at_483=b"%011o\0" % real) + blocks(data)


OK = header("ok", 3) + blocks(b"abc")
BLOCKS = {
    "the size is more than there is": (OK + header("long", 1 << 20) + blocks(b"x"), 'entry "long"'),
    "pax says a size beyond the end": (OK + pax(size=b"1048576") + header("long", 1) + blocks(b"x"), 'entry "long"'),
    "pax says a size below 0": (OK + pax(size=b"-5") + header("less", 5) + blocks(b"x"), '"ok"'),
    "a size below 0": (OK + header("less", 0, at_124=b"\xff" * 12), '"ok"'),
    "a size of no number": (OK + header("odd", 0, at_124=b"\x80" + b"\x7f" * 11), '"ok"'),
    "an empty name": (OK + header(""), 'the path of the entry "" of {} is empty'),
    "pax says an absolute path": (pax(path=b"/etc/x") + header("x"), 'the entry "/etc/x" of {} is absolute'),
    "pax says dots": (pax(path=b"a/../../x") + header("x"), 'the entry "a/../../x" of {} has a segment ".."'),
    "pax says a link out": (pax(linkpath=b"../../x") + header("l", 0, LINK, "ok"), '"l" -> "../../x" leaves the dataset'),
    "pax says a hard link out": (pax(linkpath=b"/etc/passwd") + header("h", 0, HARD, "ok"),
                                 'the entry "h" of {} is a hard link to a path outside of it'),
    "the long name of GNU is absolute": (header("long", 7, b"L") + blocks(b"/etc/x\0") + header("x"),
                                         'the entry "/etc/x" of {} is absolute'),
    "holes that overlap": (sparse((0, 512), (256, 512), real=4096, data=b"x" * 1024), '"holes"'),
    "holes that go back": (sparse((2048, 512), (0, 512), real=4096, data=b"x" * 1024), '"holes"'),
    "holes beyond the size": (sparse((4096, 512), real=100, data=b"x" * 512), '"holes"'),
    "a checksum that is wrong": (OK + header("bad")[:200] + b"x" + header("bad")[201:], '"ok"'),
}


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("case", BLOCKS)
def test_headers_of_a_tar_that_lie(refused, tmp_path, case, compressed):
    data, reason = BLOCKS[case]
    tar = tar_of(tmp_path / "x.tar", data)
    if compressed:
        subprocess.run(["gzip", tar], check=True)
        tar = tmp_path / "x.tar.gz"
    refused(tar, reason)


# ---- Zips and 7z ----

MEMBERS = {
    "absolute": ([member("/etc/x")], 'the entry "/etc/x" of {} is absolute'),
    "dots": ([member("a/../../x")], 'the entry "a/../../x" of {} has a segment ".."'),
    "dots of DOS": ([member("..\\..\\x", system=0)], 'has a segment ".."'),
    "link out": ([member("l", b"../x", SYMLINK)], '"l" -> "../x" leaves the dataset'),
    "through a link": ([member("l", b"/tmp", SYMLINK), member("l/x")], '"l/x" cannot be below "l"'),
    "twice": ([member("a"), member("a")], 'two entries have the path "a"'),
    "file and directory": ([member("a"), member("a/", b"", stat.S_IFDIR | 0o755)], 'two entries have the path "a"'),
    "device": ([member("d", mode=DEVICE)], 'the entry "d" of {} is a device'),
    "socket": ([member("s", mode=SOCKET)], 'the entry "s" of {} is a socket'),
    "encrypted": ([member("ok"), member("data", flags=1)], 'the entry "data" of {} is encrypted'),
    "unknown compression": ([member("data", method=77)],
                            'at or after its entry "data": Unsupported ZIP compression method'),
    "more than it says": ([member("data", b"z" * 9000, method=8, size=10)], '"data"'),
    "less than it says": ([member("data", b"z" * 10, method=8, size=9000)], '"data"'),
    "another checksum": ([member("data", crc=1)], '"data"'),
    "another name in the table": ([member("ok"), member("harmless", local_name=b"evil")],
                                  'the entry "harmless" of {} is called otherwise before its bytes'),
    "another way of packing in the table": ([member("data", b"z" * 99, method=8, local_method=0)],
                                            'the entry "data" of {} is packed otherwise'),
    "encrypted in the table alone": ([member("data", flags=1, local_flags=0)], '"data"'),
    "bytes of another": ([member("a"), member("a", start=0)], 'the entry "a" of {} shares its bytes'),
    "a place beyond the end": ([member("a", start=1 << 20)], 'the entry "a" of {} has a place beyond the end'),
    "a place that is none": ([member("a", start=3)], 'the entry "a" of {} is not where the table of contents says'),
    "a place of zip64 that is missing": ([member("a", start=0xffffffff)], 'the entry "a" of {} has a place beyond'),
    "a size of zip64 that lies": ([member("a", size=0xffffffff, extra=struct.pack("<HHQ", 1, 8, 1 << 62))], '"a"'),
    "a packed size beyond the end": ([member("a", packed=1 << 20)], 'the entry "a" of {} has more bytes'),
    "two sizes": ([member("ok"), member("data", local_size=5)], '"data"'),
}


@pytest.mark.parametrize("case", MEMBERS)
def test_what_a_zip_may_not_say(refused, tmp_path, case):
    members, reason = MEMBERS[case]
    refused(zip_of(tmp_path / "x.zip", *members), reason)


def test_a_zip_that_is_cut_off_or_goes_on(refused, tmp_path):
    path = zip_of(tmp_path / "x.zip", member("a"), member("b"))
    whole = path.read_bytes()
    for cut in (1, 21, 22, 60, 100):
        path.write_bytes(whole[:-cut])
        refused(path, str(path))
    path.write_bytes(whole[:whole.index(b"PK\1\2")])
    refused(path, "{} is cut off: it has no table of contents at its end")
    path.write_bytes(whole + b"more")
    refused(path, "{} does not end where its table of contents says")
    end = whole.rindex(b"PK\5\6")
    path.write_bytes(whole[:end + 8] + struct.pack("<HH", 1, 1) + whole[end + 12:])
    refused(path, "{} has more or less in its table of contents than it says")
    path.write_bytes(whole[:end + 8] + struct.pack("<HH", 900, 900) + whole[end + 12:])
    refused(path, "{} says of its table of contents what cannot be")


SEVEN = {
    "absolute": ({"/etc/x": b"x"}, 'the entry "/etc/x" of {} is absolute'),
    "dots": ({"a/../../x": b"x"}, 'the entry "a/../../x" of {} has a segment ".."'),
    "link out": ({"l": "../../x"}, '"l" -> "../../x" leaves the dataset'),
    "through a link": ({"l": "/tmp", "l/x": b"x"}, '"l/x" cannot be below "l"'),
    "twice": ({"a": b"1", "./a": b"2"}, 'two entries have the path "a"'),
}


@pytest.mark.parametrize("case", SEVEN)
def test_what_a_7z_may_not_hold(refused, tmp_path, case):
    files, reason = SEVEN[case]
    refused(Libarchive().write(tmp_path / "x.7z", "7zip", None, files), reason)


def test_an_encrypted_7z_is_refused(refused, tmp_path):
    refused(encrypted_7z(tmp_path / "x.7z"), 'the entry "data" of {} is encrypted')


# ---- Bombs ----


def test_what_says_that_it_is_a_bomb_is_not_begun(refused, tmp_path):
    """Not a byte is extracted of an entry that says more than the limits allow."""
    reason = 'expands to more times its size than max_ratio allows, as found at its entry "{}"'
    hole = tar_of(tmp_path / "sparse.tar", sparse((MORE_THAN_1_GIB, 0), real=MORE_THAN_1_GIB))
    refused(hole, f"{hole} " + reason.replace("{}", "holes"))
    packed = tmp_path / "bomb.tar.gz"
    packed.write_bytes(gzip.compress(header("bomb", MORE_THAN_1_GIB) + bytes(1 << 20)))
    refused(packed, f"{packed} " + reason.replace("{}", "bomb"))
    zipped = zip_of(tmp_path / "bomb.zip", member("bomb", bytes(1 << 16), method=8, size=MORE_THAN_1_GIB))
    refused(zipped, f"{zipped} " + reason.replace("{}", "bomb"))


def test_a_bomb_that_says_it_is_small_is_stopped_where_it_says(refused, tmp_path):
    zipped = zip_of(tmp_path / "bomb.zip", member("bomb", bytes(50 << 20), method=8, size=100, local_size=100))
    refused(zipped, '"bomb"', "more than the stated 100 bytes")


def test_a_bomb_behind_the_end_of_a_tar_is_stopped(refused, tmp_path):
    """Nothing of it would be extracted; it would only be expanded, for as long as it likes."""
    packed = tmp_path / "x.tar.gz"
    zeros = gzip.compress(bytes(64 << 20))
    with open(packed, "wb") as file:
        file.write(gzip.compress(OK + bytes(1024)) + zeros * 17)
    refused(packed, 'expands to more times its size than max_ratio allows, as found at its entry "ok"')


def test_limits_on_entries_and_bytes(refused, tmp_path):
    tar = forge(tmp_path / "x.tar", ("a", FILE, b"1" * 1000), ("b", FILE, b"2" * 1000))
    refused(tar, '{} has more entries than max_entries allows, as found at its entry "b"', max_entries=1)
    refused(tar, '{} holds more bytes than max_bytes allows, as found at its entry "b"', "raise max_bytes",
            max_bytes=1999)
    subprocess.run(["gzip", tar], check=True)
    refused(tmp_path / "x.tar.gz", '{} holds more bytes than max_bytes allows, as found at its entry "b"', max_bytes=1999)


# ---- What looks hostile and is not ----


def test_names_that_differ_by_case_are_two_names(dray, tmp_path):
    """On POSIX file systems they are; a target that cannot hold both says so itself."""
    tar = forge(tmp_path / "x.tar", ("Data", FILE, b"1"), ("data", FILE, b"2"), ("DATA", FOLDER), ("DATA/x", FILE))
    dray("push", tar, "--to", tmp_path / "out")
    assert sorted(listing(tmp_path / "out")) == [b"DATA", b"DATA/x", b"Data", b"data"]


def test_a_hard_link_may_come_before_its_file(dray, tmp_path):
    tar = forge(tmp_path / "x.tar", ("h", HARD, "f"), ("f", FILE))
    dray("push", tar, "--to", tmp_path / "out")
    assert (tmp_path / "out/h").stat().st_ino == (tmp_path / "out/f").stat().st_ino
