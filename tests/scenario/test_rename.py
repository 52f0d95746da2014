# SPDX-License-Identifier: MIT
"""transform/rename: what a user sees of other paths in previews, deliveries, receipts and errors."""
import base64
import json
import os
import tarfile
import time

import pytest

SAMPLE = {"raw/s1/a.TXT": "a\n", "raw/s1/b.txt": "b\n", "raw/s2/c.txt": "c\n", "notes.md": "n\n"}


class Site:
    def __init__(self, dray, files, tmp_path):
        self.dray, self.place = dray, tmp_path
        self.data = files(tmp_path / "data", SAMPLE)
        self.out = tmp_path / "out"
        self.out.mkdir()

    def workflow(self, options, before="", after="", tree=""):
        file = self.place / "w.yaml"
        file.write_text("version: 1\ndataset: ./data\n" + tree + "steps:\n" + before +
                        "  - { id: ren, uses: transform/rename, with: %s }\n" % json.dumps(options) + after +
                        "  - { id: deliver, uses: push/hpfs, with: { path: ./out/d } }\n")
        return file

    def run(self, options, **keywords):
        self.dray("run", self.workflow(options, **keywords))
        return self.out / "d"

    def names(self, options, **keywords):
        """New paths of what is not a directory with something in it, from a preview."""
        lines = self.dray.json_lines("preview", self.workflow(options, **keywords))
        return {line.get("from", line["path"]): line["path"] for line in lines if line.get("verdict") == "keep"}

    def fails(self, options, command="run", exit=1, **keywords):
        done = self.dray(command, self.workflow(options, **keywords), exit=exit)
        assert not (self.out / "d").exists()
        return done.err


@pytest.fixture
def site(dray, files, tmp_path):
    dray.json_lines = lambda *args, **keywords: dray(*args, "--json", **keywords).json_lines()
    return Site(dray, files, tmp_path)


@pytest.mark.parametrize("options, expected", [
    ({"strip": 0}, {"raw/s1/a.TXT": "raw/s1/a.TXT"}),
    ({"strip_prefix": "raw/"}, {"raw/s1/a.TXT": "s1/a.TXT", "raw/s2/c.txt": "s2/c.txt", "notes.md": "notes.md"}),
    ({"prefix": "x/y"}, {"raw/s1/a.TXT": "x/y/raw/s1/a.TXT", "notes.md": "x/y/notes.md"}),
    ({"map": {"raw": "r", "raw/s1": "one/", "notes.md": "doc/notes.md"}},
     {"raw/s1/a.TXT": "one/a.TXT", "raw/s2/c.txt": "r/s2/c.txt", "notes.md": "doc/notes.md"}),
    ({"regex": {r"^raw/s(\d)/(?<name>.*)$": "${name}_$1", r"\.txt$": ".text"}},
     {"raw/s1/a.TXT": "a.TXT_1", "raw/s2/c.txt": "c.txt_2", "notes.md": "notes.md"}),
    ({"regex": {r"z": "y", r"[ab]": "z", r"z$": "last"}}, {"raw/s1/b.txt": "rzw/s1/z.txt"}),
    ({"regex": {r"/": "$$"}}, {"raw/s1/a.TXT": "raw$s1$a.TXT"}),
    ({"case": "lower"}, {"raw/s1/a.TXT": "raw/s1/a.txt"}),
    ({"case": "upper"}, {"raw/s1/b.txt": "RAW/S1/B.TXT"}),
    # strip, strip_prefix, map, regex, prefix, case: in this order
    ({"prefix": "TOP", "case": "lower", "regex": {"^Two/": "Three/"}, "map": {"s1": "Two"}, "strip_prefix": "raw"},
     {"raw/s1/a.TXT": "top/three/a.txt", "raw/s2/c.txt": "top/s2/c.txt"}),
])
def test_each_option_gives_its_paths(site, options, expected):
    text = json.loads(json.dumps(options).replace("${", "$${"))  # a workflow's own parameters
    assert {key: value for key, value in site.names(text).items() if key in expected} == expected


def test_segments_are_stripped(site):
    (site.data / "notes.md").unlink()
    assert site.names({"strip": 2}) == {"raw/s1/a.TXT": "a.TXT", "raw/s1/b.txt": "b.txt", "raw/s2/c.txt": "c.txt"}


def test_what_is_previewed_is_delivered_and_verified(site):
    file = site.workflow({"map": {"raw/s1": "first"}, "case": "lower", "mapping": "renamed.tsv"})
    text = site.dray("preview", file).out
    assert "raw/s1/a.TXT -> first/a.txt\n" in text and "  notes.md\n" in text
    lines = site.dray.json_lines("preview", file)
    [renamed] = [line for line in lines if line.get("path") == "first/a.txt"]
    assert renamed["from"] == "raw/s1/a.TXT"
    assert not any("from" in line for line in lines if line.get("path") in ("notes.md", "renamed.tsv"))
    site.dray("run", file)
    place = site.out / "d"
    assert (place / "first/a.txt").read_text() == "a\n" and not (place / "raw/s1").exists()
    assert (place / "renamed.tsv").read_text() == (
        "new\told\nfirst/a.txt\traw/s1/a.TXT\nfirst/b.txt\traw/s1/b.txt\n")
    site.dray("verify", place)
    [step] = [one for one in json.loads((place / ".dray/data/receipt.json").read_text())["steps"] if one["id"] == "ren"]
    assert step["input"]["entries"] == 4 and step["output"]["entries"] == 5
    assert step["input"]["sha256"] != step["output"]["sha256"] and len(step["input"]["sha256"]) == 64
    # the same again is the same delivery
    assert "already delivered" in site.dray("run", file).out
    assert {str(path.relative_to(site.data)) for path in site.data.rglob("*") if path.is_file()} == set(SAMPLE)


def test_directories_go_along_with_their_modes_and_times(site):
    os.chmod(site.data / "raw/s1", 0o750)
    os.utime(site.data / "raw/s1", (1_000_000_000, 1_000_000_000))
    (site.data / "empty").mkdir(mode=0o700)
    place = site.run({"prefix": "p", "map": {"raw/s1": "one/two"}}, tree="tree: { keep_empty_dirs: true }\n")
    status = (place / "p/one/two").stat()
    assert status.st_mode & 0o777 == 0o750 and status.st_mtime == 1_000_000_000
    assert (place / "p/empty").stat().st_mode & 0o777 == 0o700


def test_of_two_directories_that_become_one_the_stricter_mode_counts(site):
    os.chmod(site.data / "raw/s1", 0o755)
    os.chmod(site.data / "raw/s2", 0o700)
    place = site.run({"map": {"raw/s1": "s", "raw/s2": "s"}})
    assert (place / "s").stat().st_mode & 0o777 == 0o700


def test_hard_links_stay_and_links_lead_where_they_led(site):
    os.link(site.data / "raw/s1/a.TXT", site.data / "raw/s2/same")
    for name, target in {"raw/s2/l": "../s1/a.TXT", "all": "raw", "raw/s1/up": "../..", "through": "all/s1/b.txt",
                         "nowhere": "missing", "raw/s1/self": "."}.items():
        (site.data / name).symlink_to(target)
    place = site.run({"map": {"raw": "in/deep"}, "prefix": "top"})
    assert (place / "top/in/deep/s1/a.TXT").stat().st_ino == (place / "top/in/deep/s2/same").stat().st_ino
    assert (place / "top/in/deep/s2/l").read_text() == "a\n" and (place / "top/through").read_text() == "b\n"
    assert os.path.samefile(place / "top/all", place / "top/in/deep")
    assert os.path.samefile(place / "top/in/deep/s1/up", place)
    assert os.path.samefile(place / "top/in/deep/s1/self", place / "top/in/deep/s1")
    assert os.readlink(place / "top/nowhere") == "missing"


def test_a_link_to_what_is_split_up_is_refused(site):
    (site.data / "all").symlink_to("raw")
    error = site.fails({"map": {"raw/s1": "x"}})
    assert '"all" -> "raw" cannot be renamed: the directory that it leads to is split up' in error


def test_a_link_out_of_the_dataset_does_not_come_in(site):
    (site.data / "raw/l").symlink_to("../../x")
    assert "it leaves the dataset" in site.fails({"prefix": "p/q"})


@pytest.mark.parametrize("options, message", [
    ({"map": {"raw/s1/a.TXT": "x", "raw/s2/c.txt": "x"}}, '"raw/s1/a.TXT" and "raw/s2/c.txt" would both become "x"'),
    ({"map": {"notes.md": "raw"}}, '"notes.md" would become "raw", which must be a directory for "raw/s1/a.TXT"'),
    ({"map": {"notes.md": "raw/S1/z"}, "safe": "windows"}, "which are one path on Windows"),
    ({"map": {"notes.md": "raw/s1/A.txt"}, "safe": "windows"},
     '"notes.md" and "raw/s1/a.TXT" would become "raw/s1/A.txt" and "raw/s1/a.TXT", which are one path on Windows'),
    ({"mapping": "raw"}, 'the mapping "raw" cannot be beside "raw/s1/a.TXT"'),
    ({"mapping": "notes.md/x"}, 'the mapping "notes.md/x" cannot be beside "notes.md"'),
    ({"mapping": "RAW/m", "safe": "windows"}, 'the mapping "RAW/m" cannot be beside "raw/s1/a.TXT"'),
])
def test_collisions_name_both(site, options, message):
    error = site.fails(options)
    assert message in error and "hint:" in error
    assert message in site.fails(options, "preview")


@pytest.mark.parametrize("options, fault", [
    ({"strip": 1}, '"notes.md" cannot be renamed: its new path "" is empty'),
    ({"strip_prefix": "notes.md"}, 'its new path "" is empty'),
    ({"regex": {"^raw": ""}}, 'its new path "/s1/a.TXT" is absolute'),
    ({"regex": {"^raw": ".."}}, 'has the segment ".."'),
    ({"regex": {"^raw": ".dray"}}, "has .dray at its top"),
    ({"regex": {"^raw": "x" * 256}}, "has a segment longer than 255 bytes"),
    ({"regex": {".": "x/" * 2000}}, 'makes the path "notes.md" too long'),
    ({"prefix": "/".join(["y" * 199] * 20)}, "is longer than 4000 bytes"),
    ({"prefix": "/".join(["y" * 200] * 6), "safe": "object-store"}, "is longer than the 1024 bytes"),
    ({"prefix": "y" * 240, "safe": "windows"}, "is longer than the 240 characters"),
    ({"regex": {"^(raw?|r.?w)*([a-z/0-9]+)+$": "x"}}, "takes too many steps"),
])
def test_a_path_that_cannot_be_one_names_its_entry(site, options, fault):
    if "takes too" in fault:
        (site.data / ("raw/" + "a" * 200 + "!")).write_text("")
    error = site.fails(options)
    assert fault in error, error


@pytest.mark.parametrize("options, fault", [
    ({"strip": -1}, "strip"),
    ({"prefix": "/abs"}, '"/abs" is absolute'),
    ({"prefix": ""}, "is empty"),
    ({"strip_prefix": "a/../b"}, 'has the segment ".."'),
    ({"map": {"a": "../b"}}, 'has the segment ".."'),
    ({"map": {"a": ""}}, "is empty"),
    ({"map": {"a": "b", "a/": "c"}}, '"a/" is there twice'),
    ({"mapping": ".dray/x"}, "has .dray at its top"),
    ({"regex": {"(": "x"}}, "is wrong at byte 1"),
    ({"regex": {"(a)": "$2"}}, "names no group of the pattern"),
    ({"regex": {"(a)": "$"}}, "a dollar sign itself is written $$"),
    ({"case": "title"}, "case"),
    ({"safe": "dos"}, "safe"),
])
def test_wrong_options_are_told_before_anything_runs(site, options, fault):
    done = site.dray("check", site.workflow(options), exit=2)
    assert "w.yaml:4:" in done.out + done.err and fault in done.out + done.err


def test_names_are_made_safe_for_windows(site):
    names = {"CON": "CON", "lpt1.txt": "x", "a:b?.txt": "x", "dot.": "x", "space ": "x", "tab\there": "x",
             "fine.txt": "x", "d./x": "x"}
    for name in list(names):
        path = site.data / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    (site.data / os.fsdecode(b"bad\xff")).write_text("x")
    lines = site.dray.json_lines("preview", site.workflow({"safe": "windows"}))
    got = {line.get("from", line["path"]): line["path"] for line in lines if "verdict" in line}
    assert {name: got[name] for name in names} == {
        "CON": "_CON", "lpt1.txt": "_lpt1.txt", "a:b?.txt": "a_b_.txt", "dot.": "dot_", "space ": "space_",
        "tab\there": "tab_here", "fine.txt": "fine.txt", "d./x": "d_/x"}
    assert "bad_" in got.values()


def test_names_are_made_safe_for_object_stores(site):
    for name in ("a#b", "q?*", "CON", "dot.", "a:b"):
        (site.data / name).write_text("x")
    got = site.names({"safe": "object-store"})
    assert [got[name] for name in ("a#b", "q?*", "CON", "dot.", "a:b")] == ["a_b", "q__", "CON", "dot_", "a:b"]


def test_paths_that_are_not_utf8_and_normal_forms(site):
    odd = os.fsdecode(b"raw/odd\xff.txt")
    (site.data / odd).write_text("x")
    (site.data / "u\u0308ber").write_text("x")
    (site.data / "o\u0308l").mkdir()
    (site.data / "o\u0308l/plain").write_text("x")
    (site.data / os.fsdecode("o\u0308l/".encode() + b"odd\xff")).write_text("x")
    place = site.run({"regex": {r"\.txt$": ".text", "^raw": "r"}, "unicode": "NFC", "mapping": "m"})
    assert os.fsencode(place / "r") and b"odd\xff.text" in os.listdir(os.fsencode(place / "r"))
    assert "\u00fcber" in os.listdir(place) and len(os.listdir(place / "\u00f6l")) == 2
    assert b"r/odd\xff.text\traw/odd\xff.txt\n" in (place / "m").read_bytes()
    lines = site.dray.json_lines("preview", site.workflow({"prefix": "p"}))
    odd = {base64.b64decode(one["from_b64"]): base64.b64decode(one["path_b64"]) for one in lines if "from_b64" in one}
    assert odd[b"raw/odd\xff.txt"] == b"p/raw/odd\xff.txt" and len(odd) == 2


def test_filters_before_and_after_keep_their_reasons(site):
    before = '  - { id: pick, uses: filter/glob, with: { include: ["*.txt", "*.TXT"], exclude: ["/raw/s2/"] } }\n'
    after = '  - { id: late, uses: filter/glob, with: { exclude: ["b.txt"] } }\n'
    lines = site.dray.json_lines("preview", site.workflow({"map": {"raw/s1/a.TXT": "notes.md"}}, before=before,
                                                          after=after))
    got = {(line.get("from"), line["path"]): (line["verdict"], line.get("by")) for line in lines if "verdict" in line}
    assert got == {("raw/s1/a.TXT", "notes.md"): ("keep", "pick.include[1]"),
                   (None, "notes.md"): ("drop", "pick.include"),
                   (None, "raw/s1/b.txt"): ("drop", "late.exclude[0]"),
                   (None, "raw/s2/c.txt"): ("drop", "pick.exclude[0]")}


def test_a_policy_can_inject_it(site, files):
    files(site.place / "policies", {"site.yaml": "version: 1\npolicy: site\nrevision: 1\nrules:\n"
                                    "  - id: names\n    mode: enforce\n"
                                    "    inject: [{ uses: transform/rename, with: { case: lower, prefix: lab } }]\n"
                                    "    message: Names are lower case here.\n"})
    site.dray("run", site.workflow({"map": {"lab/raw": "r"}}), "--policies", site.place / "policies")
    assert (site.out / "d/r/s1/a.txt").read_text() == "a\n" and (site.out / "d/lab/notes.md").exists()
    steps = json.loads((site.out / "d/.dray/data/receipt.json").read_text())["steps"]
    assert [one.get("policy") for one in steps if one["uses"] == "transform/rename"] == ["site/names", None]


def test_many_entries_take_no_time_to_speak_of(site):
    (site.place / "list").write_text("".join(f"d{i % 1000}/e{i % 7}/file{i}.TXT\n" for i in range(200_000)))
    file = site.workflow({"map": {f"d{i}": f"n{i}" for i in range(500)}, "regex": {"file(\\d+)": "f$1"},
                          "case": "lower", "safe": "windows", "mapping": "m"})
    started = time.monotonic()
    site.dray("preview", file, "--listing", site.place / "list", "--dropped", timeout=60)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("kind", ["w", "w:gz"])
def test_what_comes_from_an_archive_is_called_as_there(site, kind):
    os.link(site.data / "raw/s1/a.TXT", site.data / "raw/s1/z")
    with tarfile.open(site.place / "data.tar", kind) as archive:
        archive.add(site.data, arcname=".")
    source = "  - { id: in, uses: source/archive, with: { path: ./data.tar } }\n"
    options = {"map": {"raw": "r"}, "case": "upper", "mapping": "m"}
    assert site.names(options, before=source)["raw/s1/a.TXT"] == "R/S1/A.TXT"
    place = site.run(options, before=source)
    assert (place / "R/S1/A.TXT").read_text() == "a\n" and os.path.samefile(place / "R/S1/A.TXT", place / "R/S1/Z")
    assert "R/S2/C.TXT\traw/s2/c.txt\n" in (place / "m").read_text()
    site.dray("verify", place)
