# SPDX-License-Identifier: MIT
"""source/directory and source/archive: what is staged is what is there, and nothing that an archive
says can lead out of the dataset, fill the disk or pass as whole when it is not."""
import ctypes
import ctypes.util
import io
import os
import stat
import struct
import subprocess
import tarfile
import zipfile
import zlib

import pytest

from trees import TIME, assert_same, listing, make_sample

FILE, LINK, HARD, FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


# ---- Making archives ----


def forge(path, *entries, form="pax", **keywords):
    """A tar of (name, type, link target or content) as they are given, whatever they say."""
    with tarfile.open(path, "w", format=FORMATS[form], **keywords) as tar:
        for name, kind, *rest in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.mode, info.mtime = (0o755 if kind == FOLDER else 0o644), 1_000_000_000
            data = b"content"
            if kind in (LINK, HARD):
                info.linkname = rest[0]
            elif rest:
                data = rest[0]
            info.size = len(data) if kind == FILE else 0
            tar.addfile(info, io.BytesIO(data))
    return path


class Libarchive:
    """Writes what Python cannot: 7z, and compressions that it has no module for."""

    def __init__(self):
        self.library = ctypes.CDLL(ctypes.util.find_library("archive") or "libarchive.so.13")
        for name in ("archive_write_new", "archive_entry_new"):
            getattr(self.library, name).restype = ctypes.c_void_p
        self.library.archive_error_string.restype = ctypes.c_char_p

    def call(self, name, *arguments):
        function = getattr(self.library, name)
        return function(*(ctypes.c_void_p(a) if isinstance(a, int) and a > 1 << 40 else a
                          for a in arguments))

    def write(self, path, form, compression, files):
        archive = self.call("archive_write_new")
        assert self.call(f"archive_write_set_format_{form}", archive) == 0
        if compression:
            status = self.call(f"archive_write_add_filter_{compression}", archive)
            if status != 0:
                pytest.skip(f"this libarchive writes no {compression}")
        assert self.call("archive_write_open_filename", archive, os.fsencode(path)) == 0
        for name, data in files.items():
            entry = self.call("archive_entry_new")
            self.call("archive_entry_set_pathname_utf8", entry, name.encode())
            self.call("archive_entry_set_filetype", entry, stat.S_IFREG)
            self.call("archive_entry_set_perm", entry, 0o644)
            self.call("archive_entry_set_mtime", entry, ctypes.c_int64(1_000_000_000), ctypes.c_long(0))
            self.call("archive_entry_set_size", entry, ctypes.c_int64(len(data)))
            assert self.call("archive_write_header", archive, entry) == 0, \
                self.call("archive_error_string", archive)
            self.library.archive_write_data.restype = ctypes.c_ssize_t
            assert self.call("archive_write_data", archive, data, ctypes.c_size_t(len(data))) == len(data)
            self.call("archive_entry_free", entry)
        assert self.call("archive_write_free", archive) == 0
        return path


@pytest.fixture(scope="module")
def libarchive():
    return Libarchive()


def gnu_tar(target, folder, *options):
    subprocess.run(["tar", "--create", "--file", target, "--directory", folder, *options, "."],
                   check=True)
    return target


@pytest.fixture
def sample(tmp_path):
    return make_sample(tmp_path / "sample")


@pytest.fixture
def deliver(dray, tmp_path):
    """deliver(path, exit=0, **options of source/archive): where it is, or the result of a failure."""

    def run(path, exit=0, env=None, **options):
        workflow = tmp_path / f"{path.name}.yaml"
        given = "".join(f", {name}: {value}" for name, value in options.items())
        workflow.write_text("version: 1\nname: test\nsteps:\n"
                            f"  - id: stage\n    uses: source/archive\n    with: {{ path: {path}{given} }}\n"
                            "  - id: deliver\n    uses: push/hpfs\n    needs: [stage]\n"
                            f"    with: {{ path: {tmp_path}/delivered }}\n")
        result = dray("run", workflow, exit=exit, env=env)
        if exit == 0:
            return tmp_path / "delivered"
        left = [name for name in os.listdir(tmp_path) if name.startswith(("delivered", ".dray"))]
        assert left == [], f"a failure left something\n{result}"
        return result

    return run


# ---- source/directory ----


def test_a_directory_is_delivered_as_it_is(dray, sample, tmp_path):
    dray("push", sample, "--to", tmp_path / "out")
    assert_same(tmp_path / "out", sample)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o751
    assert (tmp_path / "out").stat().st_mtime_ns == TIME - 10**17


def test_one_file_is_a_dataset(dray, tmp_path, files):
    files(tmp_path, {"table.csv": b"1,2\n"})
    dray("push", tmp_path / "table.csv", "--to", tmp_path / "out")
    assert (tmp_path / "out" / "table.csv").read_bytes() == b"1,2\n"
    assert listing(tmp_path / "out").keys() == {b"table.csv"}


def test_a_fifo_in_a_directory_is_named_and_refused(dray, tmp_path, files):
    data = files(tmp_path / "data", {"sub/ok": b"x"})
    os.mkfifo(data / "sub" / "pipe")
    # A plan already lists the directory: nothing is begun.
    result = dray("push", data, "--to", tmp_path / "out", exit=None)
    assert result.code != 0
    assert '"pipe" is a fifo, which cannot be delivered' in result.err
    assert not (tmp_path / "out").exists()


# ---- Archives as they should be ----


@pytest.mark.parametrize("form", ["gnu", "oldgnu", "pax"])
def test_a_tar_of_gnu_tar_is_delivered_as_it_was_packed(deliver, sample, tmp_path, form):
    out = deliver(gnu_tar(tmp_path / "x.tar", sample, f"--format={form}"))
    # Only pax keeps fractions of a second.
    assert_same(out, sample, times=form == "pax")
    assert out.stat().st_mtime_ns // 10**9 == (TIME - 10**17) // 10**9
    assert stat.S_IMODE(out.stat().st_mode) == 0o751


@pytest.mark.parametrize("form", ["ustar", "v7"])
def test_an_old_tar_is_delivered_as_it_was_packed(deliver, files, tmp_path, form):
    data = files(tmp_path / "data", {"a": b"1" * 512, "b/c": b"2" * 513, "b/empty": b"", "d/": None,
                                     "z": os.urandom(200_000)})
    (data / "b" / "link").symlink_to("../a")
    os.link(data / "a", data / "b" / "hard")
    out = deliver(gnu_tar(tmp_path / "x.tar", data, f"--format={form}"))
    assert_same(out, data, times=False)


@pytest.mark.parametrize("options", [["--format=oldgnu"], ["--format=gnu"],
                                     ["--format=pax", "--sparse-version=0.0"],
                                     ["--format=pax", "--sparse-version=0.1"],
                                     ["--format=pax", "--sparse-version=1.0"]])
def test_sparse_files_of_a_tar_come_out_whole(deliver, tmp_path, options):
    data = tmp_path / "data"
    data.mkdir()
    for name, size, pieces in [("middle", 2_000_000, [700_000, 1_500_000]), ("start", 1_000_000, [0]),
                               ("end", 1_000_000, [999_990]), ("hole", 3_000_000, []),
                               ("many", 9_000_000, range(0, 8_900_000, 100_000))]:
        with open(data / name, "wb") as file:
            file.truncate(size)
            for piece in pieces:
                file.seek(piece)
                file.write(b"0123456789")
    (data / "zz-after").write_bytes(b"right behind them")
    out = deliver(gnu_tar(tmp_path / "x.tar", data, "--sparse", *options))
    assert_same(out, data, times=False)


def test_files_of_a_plain_tar_are_read_where_they_lie(dray, sample, tmp_path):
    """No file is made in scratch: delivering works where scratch has room for nothing."""
    tar = gnu_tar(tmp_path / "x.tar", sample, "--format=pax")
    trace = tmp_path / "trace"
    subprocess.run(["strace", "-f", "-o", trace, "-e", "trace=openat", dray.program, "push", tar, "--to",
                    tmp_path / "out"], env=dray.env, check=True, capture_output=True)
    assert_same(tmp_path / "out", sample)
    assert "file-1" not in trace.read_text()


@pytest.mark.parametrize("suffix, options", [("gz", ["--gzip"]), ("bz2", ["--bzip2"]), ("xz", ["--xz"])])
def test_a_compressed_tar_is_delivered_as_it_was_packed(deliver, sample, tmp_path, suffix, options):
    out = deliver(gnu_tar(tmp_path / f"x.tar.{suffix}", sample, "--format=pax", *options))
    assert_same(out, sample)


FILES = {"a.txt": b"alpha", "b/größe.dat": b"x" * 100_000, "b/empty": b"", "c": os.urandom(70_000)}


@pytest.mark.parametrize("compression", ["lzma", "lzip", "lz4", "zstd", "compress"])
def test_other_compressions_of_a_tar(deliver, libarchive, tmp_path, compression):
    out = deliver(libarchive.write(tmp_path / f"x.{compression}", "pax", compression, FILES))
    assert {name: (out / name).read_bytes() for name in FILES} == FILES


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("form", ["7zip", "zip", "pax"])
def test_names_are_the_same_bytes_under_any_locale(deliver, libarchive, tmp_path, form, locale):
    out = deliver(libarchive.write(tmp_path / f"x.{form}", form, None, FILES),
                  env={"LC_ALL": locale, "LANG": locale})
    names = {path for path, entry in listing(out).items() if entry[0] == "file"}
    assert names == {name.encode() for name in FILES}
    assert {name: (out / name).read_bytes() for name in FILES} == FILES


def test_names_that_are_no_text_are_kept(deliver, tmp_path):
    """Raw bytes in a ustar header, and in a pax header that says UTF-8 and is not."""
    tar = tmp_path / "x.tar"
    with tarfile.open(tar, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as out:
        out.addfile(tarfile.TarInfo("gro\xdf"))
    raw = tar.read_bytes()
    record = b"path=pax\xff\n"
    line = b"%d %s" % (len(record) + 3, record)
    header = tarfile.TarInfo("pax-header")
    header.type, header.size = tarfile.XHDTYPE, len(line)
    member = tarfile.TarInfo("stand-in")
    tar.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + line.ljust(512, b"\0") +
                    member.tobuf(tarfile.USTAR_FORMAT) + raw)
    assert listing(deliver(tar)).keys() == {b"gro\xdf", b"pax\xff"}


def test_a_zip_keeps_modes_and_links(deliver, tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as out:
        for name, mode, data, method in [("run.sh", stat.S_IFREG | 0o750, b"#!/bin/sh\n", zipfile.ZIP_STORED),
                                         ("d/", stat.S_IFDIR | 0o700, b"", zipfile.ZIP_STORED),
                                         ("d/data", stat.S_IFREG | 0o600, b"z" * 99_999, zipfile.ZIP_DEFLATED),
                                         ("d/link", stat.S_IFLNK | 0o777, b"data", zipfile.ZIP_STORED)]:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr, info.compress_type = 3, mode << 16, method
            out.writestr(info, data)
    out = deliver(path)
    found = listing(out, times=False)
    assert {name: entry[-1] for name, entry in found.items()} == {
        b"run.sh": "0750", b"d": "0700", b"d/data": "0600", b"d/link": b"data"}
    assert (out / "d" / "data").read_bytes() == b"z" * 99_999


def test_several_compressed_parts_are_one_archive(deliver, files, tmp_path):
    data = files(tmp_path / "data", {"a": b"1" * 30_000, "b": os.urandom(30_000)})
    plain = gnu_tar(tmp_path / "x.tar", data).read_bytes()
    path = tmp_path / "x.tar.gz"
    for part in (plain[:20_000], plain[20_000:]):
        subprocess.run(f"gzip >>'{path}'", shell=True, input=part, check=True)
    assert_same(deliver(path), data, times=False)


def test_paths_are_cleaned(deliver, tmp_path):
    out = deliver(forge(tmp_path / "x.tar", ("./", FOLDER), ("./a//b/./c", FILE), ("d/", FOLDER),
                        ("././e", FILE), ("f", HARD, "./a/b/c")))
    assert sorted(listing(out)) == [b"a", b"a/b", b"a/b/c", b"d", b"e", b"f"]
    assert (out / "f").stat().st_ino == (out / "a/b/c").stat().st_ino


def test_an_empty_tar_is_an_empty_dataset(deliver, tmp_path):
    (tmp_path / "x.tar").write_bytes(b"\0" * 10240)
    assert listing(deliver(tmp_path / "x.tar")) == {}


def test_the_same_archive_is_delivered_once(dray, sample, tmp_path):
    tar = gnu_tar(tmp_path / "x.tar", sample)
    dray("push", tar, "--to", tmp_path / "out")
    assert "already delivered" in dray("push", tar, "--to", tmp_path / "out").out
    (sample / "late").write_bytes(b"more")
    gnu_tar(tar, sample)
    result = dray("push", tar, "--to", tmp_path / "out", exit=1)
    assert "another delivery" in result.err


# ---- Archives as they should not be ----


def device():
    return ("dev/null", tarfile.CHRTYPE)


@pytest.mark.parametrize("entries, reason", [
    ([("ok", FILE), ("/etc/cron.d/x", FILE)], 'the path of the entry "/etc/cron.d/x" of {} is absolute'),
    ([("a/../../x", FILE)], 'the path of the entry "a/../../x" of {} has a segment ".."'),
    ([("..", FOLDER)], 'the path of the entry "../" of {} has a segment ".."'),
    ([device()], 'the entry "dev/null" of {} is a device'),
    ([("disk", tarfile.BLKTYPE)], 'the entry "disk" of {} is a device'),
    ([("p/ipe", tarfile.FIFOTYPE)], 'the entry "p/ipe" of {} is a fifo'),
    ([("h", HARD, "/etc/passwd")], 'the entry "h" of {} is a hard link to a path outside of it'),
    ([("d/h", HARD, "../../etc/passwd")], 'the entry "d/h" of {} is a hard link to a path outside of it'),
    ([("h", HARD, "missing")], "h is a hard link to missing, which is no file of the dataset"),
    ([("d", FOLDER), ("h", HARD, "d")], "h is a hard link to d, which is no file of the dataset"),
    ([("l", LINK, "/tmp"), ("l/x", FILE)], '"l/x" cannot be below "l", which is a symbolic link'),
    ([("l/x", FILE), ("l", LINK, "/tmp")], '"l/x" cannot be below "l", which is a symbolic link'),
    ([("f", FILE), ("f/x", FILE)], '"f/x" cannot be below "f", which is a file'),
    ([("f", FILE), ("./f", FILE)], 'two entries have the path "f"'),
    ([("f", FILE), ("f", LINK, "x")], 'two entries have the path "f"'),
    ([("a", FILE), ("h", HARD, "a"), ("h", FILE)], 'two entries have the path "h"'),
    ([("l", LINK, "")], 'the entry "l" of {} is a symbolic link to nothing'),
    ([("l", LINK, "../outside")], '"l" -> "../outside" leaves the dataset'),
    ([("l", LINK, "/etc/passwd")], '"l" -> "/etc/passwd" leaves the dataset'),
    ([("d/l", LINK, "m/../../.."), ("d/m", LINK, ".")], '"d/l" -> "m/../../.." leaves the dataset'),
    ([(".", FILE)], 'the entry "." of {} has the path of the archive\'s root, but is no directory'),
    ([(".dray/x/delivered.json", FILE)], 'a dataset may have no ".dray" at its top'),
    ([("n" * 256, FILE)], "holds a segment longer than 255 bytes"),
    ([("/".join(["n" * 200] * 21), FILE)], "is too long"),
], ids=lambda value: None)
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
def test_what_an_archive_may_not_hold(deliver, tmp_path, entries, reason, compressed):
    tar = forge(tmp_path / "x.tar", *entries)
    if compressed:
        subprocess.run(["gzip", tar], check=True)
        tar = tmp_path / "x.tar.gz"
    result = deliver(tar, exit=1)
    assert reason.format(tar) in result.err


def test_a_tar_cut_off_anywhere_is_refused(deliver, files, tmp_path):
    """Also between two entries, where nothing but the missing end tells."""
    data = files(tmp_path / "data", {"a": b"1" * 600, "b": b"2" * 1024})
    tar = tmp_path / "x.tar"
    forge(tar, ("a", FILE, b"1" * 600), ("b", FILE, b"2" * 1024), ("c", LINK, "a"), form="ustar")
    whole = tar.read_bytes()
    end = 512 + 1024 + 512 + 1024 + 512
    assert whole[end:] == b"\0" * (len(whole) - end)
    for cut in (1, 512, 700, 1111, 1536, 2000, 2048, 2049, 3071, 3072, 3100, end):
        tar.write_bytes(whole[:cut])
        result = deliver(tar, exit=1)
        assert f"{tar}" in result.err
    tar.write_bytes(whole[:end + 512])
    assert sorted(listing(deliver(tar))) == [b"a", b"b", b"c"]


def test_where_a_tar_was_cut_off_is_said(deliver, tmp_path):
    tar = forge(tmp_path / "x.tar", ("first", FILE), ("second", FILE, b"2" * 5000))
    os.truncate(tar, 512 + 512 + 512 + 4000)
    assert f'{tar} is cut off within its entry "second"' in deliver(tar, exit=1).err
    os.truncate(tar, 1024)
    result = deliver(tar, exit=1)
    assert f'{tar} is cut off: it ends after its entry "first" without the mark of a tar\'s end' in result.err


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "zstd", "lz4", "lzip"])
def test_a_compressed_tar_cut_off_or_damaged_is_refused(deliver, libarchive, tmp_path, compression):
    path = libarchive.write(tmp_path / "x", "pax", compression, FILES)
    whole = path.read_bytes()
    for cut in (len(whole) // 3, len(whole) - 60_000, len(whole) - 5):
        path.write_bytes(whole[:cut])
        assert f"reading {path}" in deliver(path, exit=1).err
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0x55
    path.write_bytes(damaged)
    if compression != "zstd":  # which libarchive writes without a checksum
        assert f"reading {path}, " in deliver(path, exit=1).err


def test_the_checksum_of_a_gzip_is_compared(deliver, files, tmp_path):
    """A bit of content that is flipped still expands, and the tar around it is in order."""
    data = files(tmp_path / "data", {"a": os.urandom(900_000)})
    path = gnu_tar(tmp_path / "x.tar.gz", data, "--gzip")
    damaged = bytearray(path.read_bytes())
    damaged[50_000] ^= 1
    path.write_bytes(damaged)
    assert f"reading {path}, " in deliver(path, exit=1).err
    whole = bytearray(damaged)
    whole[50_000] ^= 1
    whole[-8] ^= 1
    path.write_bytes(whole)
    assert f'at or after its entry "./a": damaged gzip data: incorrect data check' in deliver(path, exit=1).err


def test_what_follows_the_end_of_a_tar(deliver, files, tmp_path):
    """Zeros, as blocks are filled with them, but no second archive that nobody would see."""
    one = forge(tmp_path / "one.tar", ("one", FILE)).read_bytes()
    two = forge(tmp_path / "two.tar", ("two", FILE)).read_bytes()
    both = tmp_path / "both.tar"
    both.write_bytes(one + two)
    reason = f'goes on behind the mark of its end, after its entry "one"'
    assert f"{both} {reason}" in deliver(both, exit=1).err
    subprocess.run(["gzip", "--keep", both], check=True)
    assert f"{both}.gz {reason}" in deliver(tmp_path / "both.tar.gz", exit=1).err
    one_end = tmp_path / "end.tar.gz"
    subprocess.run(f"gzip >'{one_end}'", shell=True, input=one[:1024], check=True)
    assert f"{one_end} is cut off: it ends after its entry" in deliver(one_end, exit=1).err
    one_end.write_bytes(b"")
    subprocess.run(f"gzip >'{one_end}'", shell=True, input=one + bytes(50_000), check=True)
    with open(one_end, "ab") as file:
        file.write(bytes(1000))
    assert listing(deliver(one_end)).keys() == {b"one"}


def test_a_damaged_header_is_refused(deliver, tmp_path):
    tar = forge(tmp_path / "x.tar", ("first", FILE), ("second", FILE))
    damaged = bytearray(tar.read_bytes())
    damaged[1024] ^= 1
    tar.write_bytes(damaged)
    result = deliver(tar, exit=1)
    assert f'reading {tar}, at or after its entry "first": Damaged tar archive' in result.err


@pytest.mark.parametrize("form", ["zip", "7zip"])
def test_a_damaged_member_is_refused(deliver, libarchive, tmp_path, form):
    path = libarchive.write(tmp_path / "x", form, None, {"data.bin": os.urandom(90_000)})
    damaged = bytearray(path.read_bytes())
    damaged[50_000] ^= 1
    path.write_bytes(damaged)
    assert f'reading {path}, at or after its entry "data.bin"' in deliver(path, exit=1).err
    os.truncate(path, 60_000)
    assert str(path) in deliver(path, exit=1).err


@pytest.mark.parametrize("start, reason", [
    (b"", "is no archive that can be read: it is empty"),
    (b"just some text\n" * 100, "is no archive that can be read: it is neither tar"),
    (b"Rar!\x1a\x07\x01\x00" + b"x" * 600, "is a RAR archive, which is not read here"),
    (b"070701" + b"0" * 600, "is a cpio archive, which is not read here"),
    (b"\x89HDF\r\n\x1a\n" + b"\0" * 600, "is an HDF5 file, which is not read here"),
], ids=["empty", "text", "rar", "cpio", "hdf5"])
def test_what_is_no_archive_is_refused(deliver, tmp_path, start, reason):
    path = tmp_path / "x.tar"
    path.write_bytes(start)
    assert f"{path} {reason}" in deliver(path, exit=1).err


def test_a_compressed_file_is_no_archive(deliver, tmp_path):
    path = tmp_path / "table.csv.gz"
    subprocess.run(f"gzip >'{path}'", shell=True, input=b"1,2\n" * 1000, check=True)
    result = deliver(path, exit=1)
    assert f"{path} is no archive that can be read" in result.err
    assert "uses: source/directory" in result.err


def test_a_directory_is_no_archive(deliver, tmp_path):
    (tmp_path / "folder").mkdir()
    result = deliver(tmp_path / "folder", exit=2)
    assert "is not a file, so it is no archive" in result.err


def zip_with(path, flags=0, method=zipfile.ZIP_STORED):
    """A zip whose only member says these flags and this method."""
    data = b"0123456789ab"
    name, crc = b"data", zlib.crc32(data)
    sizes = struct.pack("<III", crc, len(data), len(data))
    local = b"PK\3\4" + struct.pack("<HHHHH", 20, flags, method, 0, 33) + sizes + struct.pack("<HH", 4, 0)
    central = (b"PK\1\2" + struct.pack("<HHHHHH", 0x314, 20, flags, method, 0, 33) + sizes +
               struct.pack("<HHHHHII", 4, 0, 0, 0, 0, 0o100644 << 16, 0))
    start = len(local) + 4 + len(data)
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central) + 4, start, 0)
    path.write_bytes(local + name + data + central + name + end)
    return path


def test_an_encrypted_member_is_refused(deliver, tmp_path):
    result = deliver(zip_with(tmp_path / "x.zip", flags=1), exit=1)
    assert 'the entry "data" of' in result.err and "is encrypted" in result.err


def test_an_unknown_compression_is_refused(deliver, tmp_path):
    result = deliver(zip_with(tmp_path / "x.zip", method=77), exit=1)
    assert 'at or after its entry "data": Unsupported ZIP compression method' in result.err


# ---- Limits ----


def test_limits_on_entries_and_bytes(deliver, tmp_path):
    tar = forge(tmp_path / "x.tar", ("a", FILE, b"1" * 1000), ("b", FILE, b"2" * 1000))
    result = deliver(tar, exit=1, max_entries=1)
    assert f'{tar} has more entries than max_entries allows, as found at its entry "b"' in result.err
    result = deliver(tar, exit=1, max_bytes=1999)
    assert f'{tar} holds more bytes than max_bytes allows, as found at its entry "b"' in result.err
    assert "raise max_bytes" in result.err
    assert deliver(tar, max_bytes=2000, max_entries=2).is_dir()


@pytest.mark.slow
def test_a_decompression_bomb_is_stopped(deliver, tmp_path):
    """2 GiB of zeros, held in a few bytes as a sparse file and again as a compressed one."""
    data = tmp_path / "data"
    data.mkdir()
    with open(data / "bomb", "wb") as file:
        file.truncate(2 << 30)
    sparse = gnu_tar(tmp_path / "sparse.tar", data, "--sparse")
    reason = 'expands to more times its size than max_ratio allows, as found at its entry "./bomb"'
    assert f"{sparse} {reason}" in deliver(sparse, exit=1).err
    packed = tmp_path / "bomb.tar.bz2"
    with tarfile.open(packed, "w:bz2") as tar:
        tar.add(data / "bomb", "./bomb")
    assert f"{packed} {reason}" in deliver(packed, exit=1).err


def test_small_data_of_great_regularity_is_no_bomb(deliver, tmp_path):
    packed = tmp_path / "zeros.tar.bz2"
    with tarfile.open(packed, "w:bz2") as tar:
        info = tarfile.TarInfo("zeros")
        info.size = 50_000_000
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    assert packed.stat().st_size * 1000 < 50_000_000
    assert (deliver(packed) / "zeros").stat().st_size == 50_000_000
