# SPDX-License-Identifier: MIT
"""source/directory and source/archive: what is staged is what is there, and nothing that an archive
says can lead out of the dataset, fill the disk or pass as whole when it is not."""
import io
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile

import pytest

from bundles import FILE, FOLDER, HARD, LINK, Libarchive, forge
from trees import TIME, assert_same, listing, make_sample


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


def test_zips_of_every_make(deliver, tmp_path):
    """With zip64, a comment, sizes behind the bytes, and something before the archive."""
    plain = io.BytesIO()

    class Stream:  # which cannot go back, so that sizes come behind
        write, flush = plain.write, plain.flush

    with zipfile.ZipFile(Stream(), "w", zipfile.ZIP_DEFLATED) as out:
        for name in ("a", "d/b"):
            with out.open(zipfile.ZipInfo(name), "w", force_zip64=True) as file:
                file.write(name.encode() * 3000)
        out.comment = b"made by a test, PK"
    for number, start in enumerate((b"", b"#!/bin/sh\nexit 1\n")):
        path = tmp_path / f"{number}.zip"
        path.write_bytes(start + plain.getvalue())
        out = deliver(path)
        assert (out / "a").read_bytes() == b"a" * 3000 and (out / "d/b").read_bytes() == b"d/b" * 3000
        shutil.rmtree(out)


@pytest.mark.slow
def test_a_zip_of_more_entries_than_its_end_can_count(deliver, tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as out:
        for number in range(65_600):
            out.writestr(f"{number % 40}/{number}", b"")
    out = deliver(path)
    assert len(listing(out)) == 65_640


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


# ---- Limits ----


def test_small_data_of_great_regularity_is_no_bomb(deliver, tmp_path):
    packed = tmp_path / "zeros.tar.bz2"
    with tarfile.open(packed, "w:bz2") as tar:
        info = tarfile.TarInfo("zeros")
        info.size = 50_000_000
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    assert packed.stat().st_size * 1000 < 50_000_000
    assert (deliver(packed) / "zeros").stat().st_size == 50_000_000
