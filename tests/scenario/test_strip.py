# SPDX-License-Identifier: MIT
"""source/archive's `strip`: how much of the front of every path is taken off."""
import gzip
import os
import resource
import stat
import subprocess

import pytest

from bundles import FILE, FOLDER, HARD, LINK, Libarchive, forge
from trees import listing

ONE_TOP = [("top/", FOLDER), ("top/a", FILE), ("top/d/b", FILE), ("top/h", HARD, "top/a"), ("top/l", LINK, "d/b")]


@pytest.fixture
def strip(dray, tmp_path):
    """strip(archive, how, exit=0): the delivery, or the result of a failure."""

    def run(path, how, *more, exit=0):
        workflow = tmp_path / "strip.yaml"
        workflow.write_text("version: 1\nname: strip\nsteps:\n  - id: stage\n    uses: source/archive\n"
                            f"    with: {{ path: {path}, strip: {how} }}\n"
                            "  - id: deliver\n    uses: push/hpfs\n    needs: [stage]\n"
                            f"    with: {{ path: {tmp_path}/out }}\n")
        result = dray("run", workflow, *more, exit=exit)
        return tmp_path / "out" if exit == 0 else result

    return run


def packed(path, compressed):
    if not compressed:
        return path
    subprocess.run(["gzip", path], check=True)
    return path.with_suffix(".tar.gz")


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("how", ["auto", "1"])
def test_a_common_top_is_taken_off(strip, tmp_path, how, compressed):
    out = strip(packed(forge(tmp_path / "x.tar", *ONE_TOP), compressed), how)
    assert sorted(listing(out)) == [b"a", b"d", b"d/b", b"h", b"l"]
    assert os.path.samefile(out / "h", out / "a") and os.readlink(out / "l") == "d/b"
    assert stat.S_IMODE(out.stat().st_mode) == 0o755 and out.stat().st_mtime == 1_000_000_000


@pytest.mark.parametrize("form", ["zip", "7zip"])
def test_of_a_zip_and_a_7z_too(strip, tmp_path, form):
    path = Libarchive().write(tmp_path / "x", form, None, {"top/a": b"1", "top/d/b": b"2"})
    assert sorted(listing(strip(path, "auto"))) == [b"a", b"d", b"d/b"]


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("entries", [
    [("top/a", FILE), ("other", FILE)], [("top/a", FILE), ("topper/a", FILE)], [("a", FILE)],
    [("top/", FOLDER)], [("a/x", FILE), ("b/x", FILE)],
], ids=["a file beside it", "two that begin alike", "one file", "nothing below it", "two tops"])
def test_auto_takes_nothing_off_where_there_is_no_common_top(strip, tmp_path, entries, compressed):
    out = strip(packed(forge(tmp_path / "x.tar", *entries), compressed), "auto")
    assert {name.rstrip("/").encode() for name, *_ in entries} <= set(listing(out))


def test_more_segments_and_several_tops(strip, tmp_path):
    tar = forge(tmp_path / "x.tar", ("./", FOLDER), ("p", FOLDER), ("p/q", FOLDER), ("p/q/a", FILE), ("r/s/t/b", FILE),
                ("p/z/c", FILE))
    assert sorted(listing(strip(tar, 2))) == [b"a", b"c", b"t", b"t/b"]


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("entries, how, reason", [
    ([("top/a", FILE), ("README", FILE)], 1, 'the entry "README" of {} would vanish: strip takes off all of its path'),
    ([("top/d/a", FILE), ("top/l", LINK, "d")], 2, 'the entry "top/l" of {} would vanish'),
    ([("top/a", FILE), ("empty", FOLDER)], 1, 'the entry "empty" of {} would vanish'),
    ([("top", FOLDER)], 1, 'the entry "top" of {} would vanish'),
    ([("top/a", FILE), ("top/b/h", HARD, "top/a")], 2, 'the entry "top/a" of {} would vanish'),
    ([("top/d/h", HARD, "a"), ("top/d/a", FILE)], 1, 'the entry "top/d/h" of {} is a hard link to a path that strip takes off'),
    ([("a/x", FILE), ("b/x", FILE)], 1, 'two entries have the path "x"'),
    ([("a/x/1", FILE), ("b/x", FILE)], 1, '"x/1" cannot be below "x", which is a file'),
    ([("top/d/l", LINK, "../../top/x"), ("top/x", FILE)], "auto", '"d/l" -> "../../top/x" leaves the dataset'),
    ([("top/.dray/x", FILE)], "auto", 'a dataset may have no ".dray" at its top'),
    ([("top/a", FILE), ("top/../x", FILE)], "auto", 'the entry "top/../x" of {} has a segment ".."'),
])
def test_nothing_vanishes_or_collides_by_it(strip, tmp_path, entries, how, reason, compressed):
    tar = packed(forge(tmp_path / "x.tar", *entries), compressed)
    assert reason.format(tar) in strip(tar, how, exit=1).err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("how", ["-1", "all", "1x", "99999", "''"])
def test_what_strip_takes(strip, tmp_path, how):
    result = strip(forge(tmp_path / "x.tar", *ONE_TOP), how, exit=2)
    assert "strip.yaml:6:" in result.err and "strip takes auto, or a number of segments up to 2048" in result.err


def test_auto_on_a_damaged_archive_says_what_is_damaged(strip, tmp_path):
    tar = packed(forge(tmp_path / "x.tar", *ONE_TOP), True)
    data = tar.read_bytes()
    tar.write_bytes(data[:len(data) // 2])
    assert f"reading {tar}" in strip(tar, "auto", exit=1).err


def test_strip_takes_no_path_away_from_a_policy(strip, tmp_path):
    """What a policy drops by `raw/` must not get through by a name without it."""
    tar = forge(tmp_path / "x.tar", ("raw/a", FILE))
    folder = tmp_path / "policies"
    folder.mkdir()
    rule = ("version: 1\npolicy: p\nrevision: 1\nrules:\n  - id: no-raw\n    mode: {mode}\n"
            "    when: {{ target.type: hpfs }}\n    inject:\n      - {{ uses: filter/glob, with: {{ exclude: [raw/] }} }}\n")
    (folder / "p.yaml").write_text(rule.format(mode="enforce"))
    for how in ("1", "auto"):
        refused = strip(tar, how, "--policies", folder, exit=3)
        assert ('strip.yaml:6:' in refused.err and 'rule p/no-raw judges by the paths of the source, which `strip` of step '
                in refused.err and "transform/rename" in refused.err)
        assert not (tmp_path / "out").exists()
    (folder / "p.yaml").write_text(rule.format(mode="audit").replace("revision: 1", "revision: 2"))
    strip(tar, "1", "--policies", folder)
    assert (tmp_path / "out" / "a").exists()


def many(path, count, front):
    """A gzipped tar with `count` files, each in a directory of its own."""
    with gzip.open(path, "wb", compresslevel=1) as out:
        for number in range(count):
            name = f"{front(number)}/f{number}".encode()
            out.write(raw_header(b"././@LongLink", b"L", len(name) + 1))
            out.write(name.ljust((len(name) // 512 + 1) * 512, b"\0"))
            out.write(raw_header(name[:100], b"0", 0))
        out.write(bytes(1024))
    return path


def raw_header(name, kind, size):
    fields = (name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"%011o\0" % 1_000_000_000 +
              b" " * 8 + kind + bytes(100) + b"ustar  \0" + bytes(247))
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]


def test_deep_directories_that_are_taken_off_take_no_memory_by_their_depth(strip, tmp_path):
    out = strip(many(tmp_path / "x.tar.gz", 2000, lambda number: f"{number}" + "/a" * 999), "1000")
    assert len(os.listdir(out)) == 2001  # and .dray
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 1 << 20


def test_an_archive_of_nothing_but_new_directories_is_refused(strip, tmp_path):
    path = many(tmp_path / "x.tar.gz", 36000, lambda number: f"{number:06}/" + "/".join(["a" * 200] * 19))
    failed = strip(path, "20", exit=1)
    assert f"{path} has so many directories that strip takes off that their names take more than 64 MiB" in failed.err
    assert "strip fewer segments" in failed.err and not (tmp_path / "out").exists()


def test_directories_may_come_behind_what_is_in_them(strip, tmp_path):
    entries = [("a/b/c/x", FILE), ("a.d/b/c/y", FILE), ("a/", FOLDER), ("a/b/", FOLDER), ("a.d/b/", FOLDER),
               ("a/b/c/", FOLDER), ("a/b/c/", FOLDER)]
    assert sorted(listing(strip(forge(tmp_path / "x.tar", *entries), "3"))) == [b"x", b"y"]
    (tmp_path / "out").rename(tmp_path / "whole")
    failed = strip(forge(tmp_path / "y.tar", *entries, ("a.d/b", FOLDER), ("a/bb/", FOLDER)), "3", exit=1)
    assert 'the entry "a/bb" of' in failed.err and "would vanish" in failed.err
