# SPDX-License-Identifier: MIT
"""Files of an archive that the following steps drop are not extracted, and nothing else is different."""
import hashlib
import json
import os
import re
import subprocess

import pytest

from bundles import FILE, HARD, Libarchive, forge, member, zip_of
from conftest import TOP
from trees import content_filter, listing

DATA = [("raw/a", FILE, b"1" * 1000), ("raw/b", FILE, b"2" * 1000), ("keep/c", FILE, b"3"), ("d", FILE, b"4")]
PICK = "  - { id: pick, uses: filter/glob, with: { exclude: [raw/**] } }\n"


@pytest.fixture
def extracted(dray, tmp_path):
    """extracted(steps, archive): runs a workflow and returns how many files were made in scratch."""

    def run(steps, archive, command=("run",)):
        file, trace = tmp_path / "work.yaml", tmp_path / "trace"
        file.write_text("version: 1\nname: work\nsteps:\n"
                        f"  - {{ id: stage, uses: source/archive, with: {{ path: {archive} }} }}\n" + steps)
        done = subprocess.run(["strace", "-f", "-o", trace, "-e", "trace=openat", dray.program, *command, file],
                              env=dray.env, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return len(set(re.findall(r'"file-\d+"', trace.read_text())))

    return run


def push(place, name="out", needs=""):
    return f"  - {{ id: to-{name}, uses: push/hpfs, with: {{ path: {place / name} }}{needs} }}\n"


def packed(path, *entries):
    forge(path, *entries)
    subprocess.run(["gzip", path], check=True)
    return path.with_suffix(".tar.gz")


def receipt(out, name):
    return json.loads((out / ".dray" / name / "receipt.json").read_text())


def test_what_a_filter_drops_is_not_extracted_but_counted(extracted, tmp_path):
    assert extracted(PICK + push(tmp_path), packed(tmp_path / "x.tar", *DATA)) == 2
    assert sorted(listing(tmp_path / "out")) == [b"d", b"keep", b"keep/c"]
    assert (tmp_path / "out/keep/c").read_bytes() == b"3"
    assert receipt(tmp_path / "out", "x")["left_out"] == [
        {"by": "pick.exclude[0]", "why": '"raw/**"', "entries": 2, "bytes": 2000, "names": [{"path": "raw/a"}, {"path": "raw/b"}]}]


@pytest.mark.parametrize("form", ["zip", "7zip"])
def test_of_a_zip_and_a_7z_too(extracted, tmp_path, form):
    path = Libarchive().write(tmp_path / "x", form, None, {name: data for name, _, data in DATA})
    assert extracted(PICK + push(tmp_path), path) == 2
    assert sorted(listing(tmp_path / "out")) == [b"d", b"keep", b"keep/c"]


def test_a_chain_of_filters_drops_what_any_of_them_drops(extracted, tmp_path):
    more = "  - { id: more, uses: filter/glob, with: { include: [keep/**] } }\n"
    assert extracted(PICK + more + push(tmp_path), packed(tmp_path / "x.tar", *DATA)) == 1
    assert sorted(listing(tmp_path / "out")) == [b"keep", b"keep/c"]


def test_what_one_of_two_targets_wants_is_extracted(extracted, tmp_path):
    steps = ("  - { id: raw, uses: filter/glob, needs: [validate], with: { include: [raw/a] } }\n"
             "  - { id: keep, uses: filter/glob, needs: [validate], with: { include: [keep/**] } }\n"
             "  - { id: validate, uses: validate, needs: [stage] }\n")
    steps += push(tmp_path, "one", ", needs: [raw]") + push(tmp_path, "two", ", needs: [keep]")
    assert extracted(steps, packed(tmp_path / "x.tar", *DATA)) == 2
    assert sorted(listing(tmp_path / "one")) == [b"raw", b"raw/a"]
    assert sorted(listing(tmp_path / "two")) == [b"keep", b"keep/c"]


def test_without_a_filter_on_one_way_all_is_extracted(extracted, tmp_path):
    steps = ("  - { id: validate, uses: validate, needs: [stage] }\n"
             "  - { id: keep, uses: filter/glob, needs: [validate], with: { include: [keep/**] } }\n")
    steps += push(tmp_path, "one", ", needs: [validate]") + push(tmp_path, "two", ", needs: [keep]")
    assert extracted(steps, packed(tmp_path / "x.tar", *DATA)) == 4
    assert (tmp_path / "one/raw/a").read_bytes() == b"1" * 1000


def test_a_manifest_that_is_dropped_is_read_and_what_it_lists_may_be_dropped(extracted, tmp_path):
    lines = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, _, data in DATA)
    steps = ("  - { id: validate, uses: validate, with: { manifest: sums } }\n"
             "  - { id: pick, uses: filter/glob, with: { exclude: [raw/**, sums] } }\n" + push(tmp_path))
    assert extracted(steps, packed(tmp_path / "x.tar", *DATA, ("sums", FILE, lines.encode()))) == 3
    assert sorted(listing(tmp_path / "out")) == [b"d", b"keep", b"keep/c"]


def test_a_hard_link_that_is_kept_brings_the_bytes_of_a_file_that_is_dropped(extracted, dray, tmp_path):
    tar = packed(tmp_path / "x.tar", *DATA, ("late", HARD, "raw/a"), ("raw/h", HARD, "raw/b"))
    assert extracted(PICK + push(tmp_path), tar) > 2
    assert (tmp_path / "out/late").read_bytes() == b"1" * 1000
    assert sorted(listing(tmp_path / "out")) == [b"d", b"keep", b"keep/c", b"late"]
    assert not [names for _, _, names in os.walk(dray.state / "scratch") if names]


def test_hard_links_that_are_all_dropped_change_nothing(extracted, tmp_path):
    assert extracted(PICK + push(tmp_path), packed(tmp_path / "x.tar", *DATA, ("raw/h", HARD, "raw/b"))) == 2


def test_a_preview_that_stages_extracts_as_little_and_says_the_same(extracted, dray, tmp_path):
    tar = packed(tmp_path / "x.tar", *DATA)
    assert extracted(PICK + push(tmp_path), tar, ("preview", "--stage")) == 2
    assert dray("preview", tmp_path / "work.yaml", "--stage").out == dray("preview", tmp_path / "work.yaml").out


def test_what_is_dropped_may_not_lie_either(dray, tmp_path):
    """It is expanded and checked all the same, only not kept."""
    path = zip_of(tmp_path / "x.zip", member("keep"), member("raw/data", b"z" * 9000, method=8, size=10, local_size=10))
    file = tmp_path / "work.yaml"
    file.write_text("version: 1\nname: work\nsteps:\n"
                    f"  - {{ id: stage, uses: source/archive, with: {{ path: {path} }} }}\n" + PICK + push(tmp_path))
    assert '"raw/data"' in dray("run", file, exit=1).err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode, files", [("audit", 4), ("warn", 4), ("enforce", 2)])
def test_a_rule_that_only_watches_drops_nothing(extracted, tmp_path, mode, files):
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "site.yaml").write_text("version: 1\npolicy: site\nrevision: 1\nrules:\n"
                                      f"  - id: no-raw\n    mode: {mode}\n    message: Raw data stays.\n"
                                      "    inject: [{ uses: filter/glob, with: { exclude: [raw/**] } }]\n")
    tar = packed(tmp_path / "x.tar", *DATA)
    assert extracted(push(tmp_path), tar, ("run", "--policies", folder)) == files
    assert (tmp_path / "out/raw").exists() == (files == 4)


@pytest.mark.parametrize("first, files", [("pick", 2), ("look", 4)])
def test_a_filter_that_reads_gets_bytes(dray, extracted, tmp_path, first, files):
    place = dray.home / ".local/lib/dray/plugins"
    place.mkdir(parents=True)
    (tmp_path / "content.c").write_text(content_filter("4"))
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", f"-I{TOP}/include", tmp_path / "content.c",
                    "-o", place / "filter-content.so"], check=True)
    steps = [PICK, "  - { id: look, uses: filter/content }\n"]
    if first == "look":
        steps.reverse()
    assert extracted("".join(steps) + push(tmp_path), packed(tmp_path / "x.tar", *DATA)) == files
    assert sorted(listing(tmp_path / "out")) == [b"keep", b"keep/c"]


FICKLE = content_filter("4").split("static int decide")[0] + r"""
static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict)
{
    (void)self;
    (void)ctx;
    int drop = entry->id == DRAY_NOT_KNOWN && entry->path[0] == 'd';
    *ret_verdict = (struct dray_verdict){drop ? DRAY_DROP : DRAY_KEEP, 0, DRAY_NO_INDEX};
    return DRAY_OK;
}
static const struct dray_filter_operations operations = {.size = sizeof(operations), .decide = decide};
DRAY_PLUGIN(DRAY_KIND_FILTER, 0, "fickle", "1.0.0", "Drop and keep", struct content, options, &operations);
"""


def test_a_filter_that_changes_its_mind_delivers_no_wrong_bytes(dray, tmp_path):
    place = dray.home / ".local/lib/dray/plugins"
    place.mkdir(parents=True)
    (tmp_path / "fickle.c").write_text(FICKLE)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", f"-I{TOP}/include", tmp_path / "fickle.c",
                    "-o", place / "filter-fickle.so"], check=True)
    file = tmp_path / "work.yaml"
    file.write_text("version: 1\nname: work\nsteps:\n  - { id: stage, uses: source/archive, with: { path: %s } }\n"
                    "  - { id: look, uses: filter/fickle }\n" % packed(tmp_path / "x.tar", *DATA) + push(tmp_path))
    assert 'reading "d": it was not brought, since a filter said that it drops it' in dray("run", file, exit=1).err
    assert not (tmp_path / "out").exists()
