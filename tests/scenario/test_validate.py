# SPDX-License-Identifier: MIT
"""What is recorded of a dataset, in manifests and bags, against what is there: all that is missing,
changed or extra is named, and nothing of it is delivered."""
import hashlib
import os
import subprocess
import tarfile

import pytest

from conftest import contents, record

WORKFLOW = """\
version: 1
dataset: ./source
steps:
  - {{ id: check, uses: validate, with: {{ {options} }} }}
{steps}  - {{ id: deliver, uses: push/hpfs, with: {{ path: ./out/data }} }}
"""


@pytest.fixture
def source(files, tmp_path):
    (tmp_path / "out").mkdir()
    return files(tmp_path / "source", {"a": "one", "deep/b": "two"})


@pytest.fixture
def out(tmp_path, source):
    return tmp_path / "out"


@pytest.fixture
def run(dray, workflow, source):
    """run("manifest: x", steps="") runs the workflow with these options of `validate`."""

    def run(options, exit=0, steps=""):
        return dray("run", workflow(WORKFLOW.format(options=options, steps=steps)), exit=exit)

    return run


def listed(folder, program="sha256sum", *arguments):
    """What a program of coreutils lists of the files below a folder."""
    done = subprocess.run(["find", ".", "-type", "f", "-exec", program, *arguments, "{}", "+"],
                          cwd=folder, capture_output=True, check=True)
    return done.stdout


def refused(done, out, *said):
    for text in said:
        assert text in done.err, done
    assert "source side)" in done.err and " hint: " in done.err
    assert os.listdir(out) == []


# ---- Manifests ---------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["sha256sum", "md5sum"])
@pytest.mark.parametrize("mode", ["--text", "--binary", "--tag"])
def test_lists_of_all_forms_are_compared(run, source, out, program, mode):
    (source / "odd\nname\\").write_text("three")
    (source / "sums").write_bytes(listed(source, program, mode))
    run("manifest: sums")
    assert record(out / "data", "receipt.json")["verified"]["against_recorded_digests"] == 3


@pytest.mark.parametrize("program, kind", [("sha256sum", "SHA-256"), ("md5sum", "MD5")])
def test_a_byte_changed_with_the_old_size_is_found_when_it_is_read(run, source, out, program, kind):
    sums = listed(source, program)
    (source / "sums").write_bytes(sums)
    (source / "deep/b").write_text("TWO")
    refused(run("manifest: sums", exit=1), out, f"source/deep/b: its {kind} is", "recorded is")


def test_everything_that_differs_is_named_at_once(run, source, out):
    sums = listed(source) + f"{'0' * 64}  gone\n{'0' * 64}  lost\n{'0' * 64}  deep\n".encode()
    (source / "sums").write_bytes(sums)
    for number in range(14):
        (source / f"new{number:02}").touch()
    failed = run("manifest: sums", exit=1)
    refused(failed, out, "not what sums says: missing: gone, lost; changed: deep (a directory); "
            "not listed: new00, new01,", "new09 and 4 more", "`extra: ignore`")


def test_several_lists_cover_a_dataset_together(run, source, out):
    one, two = (b"".join(line for line in listed(source, program).splitlines(True) if name in line)
                for program, name in (("sha256sum", b"/a"), ("md5sum", b"deep/b")))
    (source / "one").write_bytes(one)
    (source / "two").write_bytes(two)
    refused(run("manifest: one", exit=1), out, "not listed: deep/b, two")
    (source / "c").touch()
    refused(run("manifest: [one, two]", exit=1), out, "not what one, two say: not listed: c")
    (source / "c").unlink()
    run("manifest: [one, two]")
    assert record(out / "data", "receipt.json")["verified"]["against_recorded_digests"] == 2


def test_a_list_made_in_its_folder_is_meant_there(run, files, source, out):
    files(source, {"deep/c": "three"})
    (source / "deep/sums").write_bytes(listed(source / "deep"))
    refused(run("manifest: deep/sums", exit=1), out, "not listed: a")
    run('manifest: deep/sums, extra: ignore')
    assert record(out / "data", "receipt.json")["verified"]["against_recorded_digests"] == 2


def test_an_archive_with_a_folder_at_its_top_is_compared_by_the_list_in_it(dray, workflow, source, out,
                                                                            tmp_path):
    (source / "sums").write_bytes(listed(source, "md5sum"))
    for name in ("set.tar", "set.tar.gz"):
        with tarfile.open(tmp_path / name, "w:gz" if name.endswith("gz") else "w") as archive:
            archive.add(source, "set")
    text = WORKFLOW.format(options="manifest: set/sums", steps="")
    for name in ("set.tar", "set.tar.gz"):
        file = workflow(text.replace("./source", f"./{name}").replace("out/data", f"out/{name}.d"))
        dray("run", file)
        verified = record(out / f"{name}.d", "receipt.json")["verified"]
        assert verified["against_recorded_digests"] >= 2
    # Once more with another byte, which only the MD5 gives away.
    (source / "a").write_text("ONE")
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        archive.add(source, "set")
    file = workflow(text.replace("./source", "./bad.tar.gz"))
    assert "its MD5 is" in dray("run", file, exit=1).err
    assert not (out / "data").exists()


@pytest.mark.parametrize("line, said", [
    (f"{'0' * 64}  ../outside", "the segment \"..\""), (f"{'0' * 64}  /etc/passwd", "is absolute"),
    (f"{'0' * 64}  x/./y", "the segment \".\""), ("rubbish", "is no line of sha256sum"),
    (f"{'0' * 40}  a", "SHA-1"), (f"SHA512 (a) = {'0' * 128}", "SHA-512"),
], ids=["up", "absolute", "dot", "rubbish", "sha1", "sha512"])
def test_a_bad_line_is_told_with_its_place(run, source, out, line, said):
    (source / "sums").write_bytes(b"# made by hand\n" + listed(source) + line.encode() + b"\n")
    refused(run("manifest: sums", exit=1), out, said, "sums:4")


def test_names_that_are_not_utf8_are_compared_and_told(run, source, out):
    place = os.path.join(os.fsencode(source), b"odd\xff")
    with open(place, "wb") as file:
        file.write(b"x")
    (source / "sums").write_bytes(listed(source))
    run("manifest: sums")
    assert record(out / "data", "receipt.json")["verified"]["against_recorded_digests"] == 3
    subprocess.run(["rm", "-r", out / "data", out / ".dray"], check=False)
    os.unlink(place)
    assert "missing: odd\ufffd" in run("manifest: sums", exit=1).err


def test_a_hard_link_is_compared_by_whichever_name_is_listed(run, source, out):
    os.link(source / "a", source / "a2")
    (source / "sums").write_bytes(b"".join(
        line for line in listed(source).splitlines(True) if not line.endswith(b"/a\n")))
    (source / "a").write_text("ONE")
    refused(run("manifest: sums, extra: ignore", exit=1), out, "its SHA-256 is")


def test_files_that_nobody_listed_may_be_passed_on(run, source, out):
    (source / "sums").write_bytes(listed(source))
    (source / "extra").touch()
    run("manifest: sums, extra: ignore")
    assert "extra" in contents(out / "data")


@pytest.mark.parametrize("options, said", [
    ("manifest: [sums, bagit]", "`bagit` is no manifest beside others"),
    ("manifest: [sums, ../x]", "is no path in a dataset"), ("manifest: []", "names none"),
    ("extra: drop", "fail or ignore"), ("read: never", "later or now"), ("entries: -1", "entries"),
])
def test_options_that_mean_nothing_are_refused_with_the_plan(run, options, said):
    failed = run(options, exit=2)
    assert said in failed.err and "work.yaml:4" in failed.err


# ---- Numbers -----------------------------------------------------------------------------------


def test_numbers_that_a_workflow_expects_are_compared(run, source, out):
    refused(run("entries: 3, bytes: 7", exit=1), out, "not what the workflow says: it has 2 entries, "
            "`entries` is 3; it has 6 bytes, `bytes` is 7")
    run("entries: 2, bytes: 6, manifest: none")
    assert contents(out / "data") == contents(source)


# ---- Read now ----------------------------------------------------------------------------------

DROP_A = '  - { id: pick, uses: filter/glob, with: { exclude: ["a"] } }\n'


def test_read_now_finds_what_is_dropped_later(run, source, out):
    (source / "sums").write_bytes(listed(source))
    (source / "a").write_text("ONE")
    refused(run("manifest: sums, read: now", exit=1, steps=DROP_A), out,
            "source/a: its SHA-256 is", hashlib.sha256(b"ONE").hexdigest())
    run("manifest: sums", steps=DROP_A)
    assert "a" not in contents(out / "data")


def test_read_now_names_all_that_is_damaged_and_says_that_it_read(run, dray, source, out):
    for number in range(100):
        (source / f"f{number:03}").write_text(str(number))
    sums = listed(source, "md5sum")
    (source / "sums").write_bytes(sums)
    for number in (3, 50, 99):
        (source / f"f{number:03}").write_bytes(b"#" * len(str(number)))
    refused(run("manifest: sums, read: now", exit=1, steps=DROP_A), out,
            "is not what is recorded of it: changed: f003, f050, f099")
    for number in (3, 50, 99):
        (source / f"f{number:03}").write_text(str(number))
    run("manifest: sums, read: now", steps=DROP_A)
    verified = record(out / "data", "receipt.json")["verified"]
    assert (verified["read_before"], verified["against_recorded_digests"]) == (103, 101)


def test_without_anything_recorded_read_now_finds_what_cannot_be_read(run, bound, source, out):
    (source / "a").chmod(0)
    failed = run("read: now", exit=3, steps=DROP_A)
    assert "source/a: Permission denied" in failed.err and os.listdir(out) == []
    run("read: later", steps=DROP_A)


def test_filters_of_policies_come_behind_and_do_not_hide_damage(dray, workflow, source, out, tmp_path):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/site.yaml").write_text("""\
version: 1
policy: site
revision: 1
rules:
  - id: no-a
    mode: enforce
    inject: [{ uses: filter/glob, with: { exclude: ["a"] } }]
    message: Ask the data office.
""")
    (source / "sums").write_bytes(listed(source))
    (source / "a").write_text("ONE")
    file = workflow(WORKFLOW.format(options="manifest: sums, read: now", steps=""))
    policies = ("--policies", tmp_path / "policies")
    steps = [step["id"] for step in dray.json("plan", file, *policies)["steps"]]
    assert steps.index("check") < steps.index("site/no-a")
    refused(dray("run", file, *policies, exit=1), out, "source/a: its SHA-256 is")


def test_a_preview_compares_names_and_reads_no_data(dray, workflow, source, out):
    (source / "sums").write_bytes(listed(source))
    (source / "a").write_text("ONE")
    file = workflow(WORKFLOW.format(options="manifest: sums, read: now", steps=DROP_A))
    assert "deep/b" in dray("preview", file).out
    (source / "new").touch()
    assert "not listed: new" in dray("preview", file, exit=1).err


# ---- Bags --------------------------------------------------------------------------------------


@pytest.fixture
def bag(files, source):
    """bag("sha256sum", where=".") makes the source a bag with manifests by that program."""

    def make(program="sha256sum", version="1.0", tags=True):
        kind = program.removesuffix("sum")
        files(source, {"data/x": "one", "data/deep/y": "two", "bagit.txt":
                       f"BagIt-Version: {version}\nTag-File-Character-Encoding: UTF-8\n",
                       "bag-info.txt": "Source: here\nPayload-Oxum: 6.2\n"})
        for name in ("a", "deep/b"):
            (source / name).unlink(missing_ok=True)
        lines = listed(source / "data", program).replace(b"./", b"data/")
        (source / f"manifest-{kind}.txt").write_bytes(lines)
        if tags:
            done = subprocess.run([program, "bagit.txt", "bag-info.txt", f"manifest-{kind}.txt"],
                                  cwd=source, capture_output=True, check=True)
            (source / f"tagmanifest-{kind}.txt").write_bytes(done.stdout)

    return make


@pytest.mark.parametrize("options", ["", "manifest: bagit"], ids=["found", "named"])
@pytest.mark.parametrize("program, version", [("sha256sum", "1.0"), ("md5sum", "0.97")])
def test_a_bag_is_compared_with_its_manifests(run, source, out, bag, options, program, version):
    bag(program, version)
    run(options)
    assert contents(out / "data") == contents(source)
    verified = record(out / "data", "receipt.json")["verified"]
    assert verified["against_recorded_digests"] == 5 and verified["compared_with"] == [{"what": "bag"}]


@pytest.mark.parametrize("change, said", [
    (lambda bag: (bag / "data/x").unlink(), "not what its bag says: below data/ are 1 files of 3 bytes, and "
     "its Payload-Oxum has 2 of 6; missing: data/x"),
    (lambda bag: (bag / "data/new").write_text(""), "not listed: data/new"),
    (lambda bag: (bag / "data/x").write_text("ONE"), "data/x: its SHA-256 is"),
    (lambda bag: (bag / "bag-info.txt").write_text("Source: ther\nPayload-Oxum: 6.2\n"),
     "bag-info.txt: its SHA-256 is"),
    (lambda bag: (bag / "bag-info.txt").unlink(), "missing: bag-info.txt"),
    (lambda bag: (bag / "bag-info.txt").write_text("Payload-Oxum: 6\n"), "bag-info.txt:1"),
    (lambda bag: (bag / "bagit.txt").write_text("rubbish\n"), "bagit.txt:1"),
    (lambda bag: (bag / "manifest-sha256.txt").write_text(f"{'0' * 64}  data/../../x\n"),
     "manifest-sha256.txt:1"),
    (lambda bag: (bag / "manifest-sha256.txt").unlink(), "has no manifest of its payload"),
    (lambda bag: (bag / "manifest-sha256.txt").rename(bag / "manifest-sha512.txt"),
     "the bag's manifests are of sha512, and only SHA-256 and MD5 are compared"),
    (lambda bag: (bag / "data").rename(bag / "payload"), "the bag has no payload directory data"),
    (lambda bag: ((bag / "data").rename(bag / "payload"), (bag / "data").symlink_to("payload")),
     "the bag has no payload directory data"),
    (lambda bag: (bag / "manifest-sha512.txt").write_text("ee26  data/x\nee26  data/deep/y\nee26  data/z\n"),
     "missing: data/z"),
    (lambda bag: (bag / "manifest-sha512.txt").write_text("ee26  data/x\n"),
     "manifest-sha512.txt does not list data/deep/y"),
    (lambda bag: (bag / "manifest-sha512.txt").write_text("data/x\n"), "manifest-sha512.txt:1"),
    (lambda bag: (bag / "manifest-md5.txt").write_text(f"{hashlib.md5(b'one').hexdigest()}  data/x\n"),
     "manifest-md5.txt does not list data/deep/y"),
    (lambda bag: (bag / "tagmanifest-sha512.txt").write_text("ee26  bagit.txt\nee26  about.txt\n"),
     "tagmanifest-sha512.txt does not list manifest-sha256.txt; missing: about.txt"),
    (lambda bag: (bag / "fetch.txt").write_text("https://example.edu/z 3 data/z\n"),
     "its bag says: it is incomplete, and its fetch.txt says where to fetch what it does not hold; missing: data/z"),
    (lambda bag: (bag / "fetch.txt").write_text("https://example.edu/z data/z\n"), "fetch.txt:1"),
], ids=["missing", "extra", "changed", "tag changed", "tag missing", "oxum", "declaration", "outside", "none",
        "sha512", "no payload", "a link", "other algorithm", "other partly", "other damaged", "md5 partly",
        "tags partly", "fetch", "fetch damaged"])
def test_nothing_is_delivered_of_a_bag_that_is_not_whole(run, source, out, bag, change, said):
    bag()
    change(source)
    refused(run("", exit=1), out, said)


def test_a_bag_that_is_to_be_fetched_is_told_apart(run, source, out, bag):
    bag(tags=False)
    (source / "fetch.txt").write_text("https://example.edu/x 3 data/x\n")
    run("")
    (out / "data").rename(out / "whole")
    (source / "bag-info.txt").unlink()
    (source / "data/x").unlink()
    failed = run("", exit=1)
    assert ("its bag says: it is incomplete, and its fetch.txt says where to fetch what it does not hold; "
            "missing: data/x") in failed.err


def test_a_bag_of_an_older_version_may_list_its_files_here_and_there(run, source, out, bag):
    bag("md5sum", version="0.97", tags=False)
    md5 = source / "manifest-md5.txt"
    lines = md5.read_text().splitlines(keepends=True)
    md5.write_text("".join(line for line in lines if "data/x" in line))
    digest = hashlib.sha256((source / "data/deep/y").read_bytes()).hexdigest()
    (source / "manifest-sha256.txt").write_text(f"{digest}  data/deep/y\n")
    run("")
    (source / "manifest-sha256.txt").rename(source / "manifest-sha512.txt")
    (out / "data").rename(out / "whole")
    failed = run("", exit=1)
    assert "no manifest of SHA-256 or MD5 lists data/deep/y" in failed.err


def test_what_a_manifest_of_a_bag_does_not_list_may_be_passed_on(run, source, out, bag):
    bag(tags=False)
    (source / "manifest-sha512.txt").write_text("ee26  data/x\n")
    run("extra: ignore")
    assert contents(out / "data") == contents(source)


def test_names_in_a_bag_may_be_escaped_and_tags_need_not_be_listed(run, source, out, bag):
    bag()
    (source / "data/x").rename(source / "data/x\n%0A")
    manifest = source / "manifest-sha256.txt"
    manifest.write_text(manifest.read_text().replace("data/x", "data/x%0A%250A"))
    (source / "tagmanifest-sha256.txt").unlink()
    (source / "more").write_text("")
    run("manifest: bagit")
    assert contents(out / "data") == contents(source)


def test_a_bag_with_digests_that_are_not_compared_needs_one_that_is(run, source, out, bag):
    bag(tags=False)
    (source / "manifest-sha512.txt").write_text("ee26  data/x\nee26  data/deep/y\n")
    run("")
    assert record(out / "data", "receipt.json")["verified"]["against_recorded_digests"] == 2


def test_a_bag_in_a_folder_of_an_archive_is_found_and_none_means_none(run, dray, workflow, source, out, bag,
                                                                      tmp_path):
    bag()
    (source / "data/x").write_text("ONE")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(source, "set")
    text = WORKFLOW.replace("./source", "./set.tar")
    failed = dray("run", workflow(text.format(options="", steps="")), exit=1)
    assert "data/x" in failed.err and "its SHA-256 is" in failed.err
    dray("run", workflow(text.format(options="manifest: none", steps="")))
    assert (out / "data/set/data/x").read_text() == "ONE"


def test_what_is_no_bag_is_told_where_one_is_named(run, out):
    refused(run("manifest: bagit", exit=1), out, "the dataset is no BagIt bag")


def test_a_bag_in_an_archive_is_compared_though_filters_drop_all_that_says_so(dray, source, out, tmp_path):
    import hashlib
    import tarfile
    bag = tmp_path / "bag"
    (bag / "data").mkdir(parents=True)
    (bag / "data" / "a.csv").write_text("x\n1\n")
    (bag / "bagit.txt").write_text("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
    digest = hashlib.sha256(b"x\n2\n").hexdigest()
    (bag / "manifest-sha256.txt").write_text(f"{digest}  data/a.csv\n")
    with tarfile.open(tmp_path / "bag.tar.gz", "w:gz") as archive:
        archive.add(bag, "bag")
    failed = dray("push", tmp_path / "bag.tar.gz", "--to", f"{out}/x", "--include", "*.csv", exit=1)
    assert "changed: bag/data/a.csv (its SHA-256 differs)" in failed.err
    assert not (out / "x").exists()
