# SPDX-License-Identifier: MIT
"""The digest and size that the catalog has of a dataset's bundle, against the file that is read."""
import hashlib
import os
import subprocess
import zipfile

import pytest

from conftest import contents, record
from test_command import COPY, site  # noqa: F401 (a fixture)

KINDS = ["x.tar", "x.tar.gz", "x.tar.xz", "x.tar.zst", "x.tar.bz2", "x.zip"]
WRONG = {"sha256": "ab" * 32, "md5": "cd" * 16}


def digest(kind, file):
    return hashlib.new(kind, file.read_bytes()).hexdigest()


@pytest.fixture
def world(files, tmp_path):
    (tmp_path / "out").mkdir()
    return files(tmp_path, {"data/a": "one", "data/deep/b": "two" * 50000, "plain.h5": "plain"})


@pytest.fixture
def bundle(world):
    def make(name):
        if name.endswith(".zip"):
            with zipfile.ZipFile(world / name, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(world / "data/a", "a")
                archive.write(world / "data/deep/b", "deep/b")
        else:
            subprocess.run(["tar", "-C", world / "data", "-acf", world / name, "a", "deep"], check=True)
        return world / name

    return make


@pytest.fixture
def deliver(dray, world):
    """deliver(file, *options) adds the file to the catalog with these options, and delivers it."""
    count = iter(range(100))

    def run(file, *options, exit=0, verb="push"):
        name = f"d{next(count)}"
        dray("dataset", "add", name, "--source", file, *options)
        done = dray("push", name, "--to", world / "out" / name, exit=exit)
        if exit != 0:
            assert not (world / "out" / name).exists()
        return done, world / "out" / name

    return run


@pytest.mark.parametrize("name", KINDS)
def test_a_bundle_that_is_as_recorded_is_delivered(deliver, bundle, world, name):
    file = bundle(name)
    _, out = deliver(file, "--digest", f"sha256:{digest('sha256', file).upper()}", "--digest",
                     f"md5:{digest('md5', file)}", "--bundle-size", str(file.stat().st_size))
    assert contents(out) == contents(world / "data")


@pytest.mark.parametrize("kind, named", [("sha256", "SHA-256"), ("md5", "MD5")])
@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_delivered_of_another_bundle(dray, deliver, bundle, name, kind, named):
    file = bundle(name)
    failed, _ = deliver(file, "--digest", f"{kind}:{WRONG[kind]}", exit=1)
    assert f"the {named} of {file} is {digest(kind, file)}, and {WRONG[kind]} is recorded of it" in failed.err
    assert "dray dataset set DATASET --digest" in failed.err
    assert not os.path.exists(dray.state / "scratch") or os.listdir(dray.state / "scratch") == []


@pytest.mark.parametrize("name", KINDS)
def test_the_size_is_compared_before_anything_is_read(deliver, bundle, name):
    file = bundle(name)
    failed, _ = deliver(file, "--bundle-size", "7", exit=1)
    assert f"{file} has {file.stat().st_size} bytes, and 7 are recorded of it" in failed.err


def test_a_file_that_is_the_dataset_is_compared_too(deliver, world):
    file = world / "plain.h5"
    _, out = deliver(file, "--digest", f"sha256:{digest('sha256', file)}", "--bundle-size", "5")
    assert record(out, "receipt.json")["verified"]["against_recorded_digests"] == 1
    failed, _ = deliver(file, "--digest", f"sha256:{WRONG['sha256']}", exit=1)
    assert f"its SHA-256 is {digest('sha256', file)}" in failed.err and WRONG["sha256"] in failed.err
    failed, _ = deliver(file, "--bundle-size", "6", exit=1)
    assert "changed: plain.h5 (5 bytes, recorded are 6)" in failed.err


def test_what_is_known_of_a_file_is_not_of_a_directory(dray, world):
    refused = dray("dataset", "add", "d0", "--source", world / "data", "--digest", f"md5:{WRONG['md5']}", exit=2)
    assert f"the source {world}/data is a directory, and --digest and --bundle-size are of a file" in refused.err
    # what is imported may become a directory later
    line = '{"name": "d0", "source": "%s/data", "bundle": {"md5": "%s"}}' % (world, WRONG["md5"])
    dray("dataset", "import", "-", input=line.encode())
    failed = dray("push", "d0", "--to", world / "out/d0", exit=2)
    assert "the catalog has the size or digest of a file for \"d0\", and its source" in failed.err
    assert 'dray dataset set id:1 --digest "" --bundle-size ""' in failed.err
    dray("dataset", "set", "d0", "--digest", "", "--bundle-size", "")
    dray("push", "d0", "--to", world / "out/d0")


def test_a_digest_that_is_corrected_is_the_same_request(dray, deliver, bundle, world):
    file = bundle("x.tar.gz")
    deliver(file, "--digest", f"sha256:{WRONG['sha256']}", exit=1)
    dray("dataset", "set", "d0", "--digest", f"sha256:{digest('sha256', file)}")
    dray("push", "d0", "--to", world / "out/d0")
    dray("dataset", "set", "d0", "--digest", f"md5:{digest('md5', file)}")
    assert dray.json("dataset", "show", "d0")["bundle"] == {"md5": digest("md5", file)}
    assert dray.json("push", "d0", "--to", world / "out/d0")["already_delivered"] is True


def test_a_preview_reads_no_bundle_that_it_need_not(dray, bundle, world):
    for name, exit in (("x.tar", 0), ("x.tar.gz", 1)):
        dray("dataset", "add", name, "--source", bundle(name), "--digest", f"md5:{WRONG['md5']}")
        failed = dray("push", name, "--to", world / "out/", "--print-workflow").out
        (world / "w.yaml").write_text(failed)
        assert ("is recorded of it" in dray("preview", world / "w.yaml", exit=exit).err) == (exit == 1)


def test_a_workflow_may_say_it_itself(dray, bundle, world, workflow):
    file = bundle("x.tar")
    text = ("version: 1\nsteps:\n  - {{ id: s, uses: source/archive, with: {{ path: ./x.tar, {} }} }}\n"
            "  - {{ id: out, uses: push/hpfs, with: {{ path: ./out/x }} }}\n")
    assert "and 3 are recorded" in dray("run", workflow(text.format("bundle_size: 3")), exit=1).err
    assert "bundle_sha256 takes the 64 hexadecimal digits" in dray("run", workflow(text.format("bundle_sha256: abc")), exit=2).err
    assert "bundle_md5 takes the 32 hexadecimal digits" in dray(
        "check", workflow(text.format(f"bundle_md5: {'g' * 32}")), exit=2).out
    dray("run", workflow(text.format(f"bundle_md5: {digest('md5', file)}, strip: auto")))
    wrong = workflow(text.format(f"bundle_md5: {WRONG['md5']}, strip: auto").replace("out/x", "out/y"))
    assert f"and {WRONG['md5']} is recorded of it" in dray("run", wrong, exit=1).err


@pytest.mark.parametrize("options, said", [
    (["--digest", "12"], "--digest 12 does not say of which kind it is"),
    (["--digest", "sha1:12"], "--digest sha1:12 does not say of which kind it is"),
    (["--digest", "sha256:12"], "`sha256` is not 64 hexadecimal digits"),
    (["--digest", f"md5:{'g' * 32}"], "`md5` is not 32 hexadecimal digits"),
    (["--digest", "md5:"], "`md5` is not 32 hexadecimal digits"),
    (["--bundle-size", "-1"], "--bundle-size -1: "), (["--bundle-size", "many"], "--bundle-size many: "),
    (["--bundle-size", "none"], "--bundle-size none: "),
])
def test_what_is_said_wrongly_is_refused(dray, options, said):
    refused = dray("dataset", "add", "x", *options, exit=2)
    assert said in refused.err and dray.json("dataset", "list") == []


def test_the_catalog_keeps_shows_and_imports_it(dray, world, bundle):
    file = bundle("x.tar")
    dray("dataset", "add", "a", "--source", file, "--digest", f"MD5:{WRONG['md5'].upper()}", "--bundle-size", "2 KiB")
    assert dray.json("dataset", "show", "a")["bundle"] == {"md5": WRONG["md5"], "size": 2048}
    assert f"bundle      2048 bytes, md5:{WRONG['md5']}\n" in dray("dataset", "show", "a").out
    dray("dataset", "set", "a", "--digest", f"sha256:{WRONG['sha256']}")  # takes the place of all
    assert dray.json("dataset", "show", "a")["bundle"] == {"sha256": WRONG["sha256"], "size": 2048}
    said = dray("dataset", "set", "a", "--source", world / "plain.h5")  # was of the other source
    assert said.out == "a (id:1) changed; what was known of the file at the source before is dropped\n"
    assert "bundle" not in dray.json("dataset", "show", "a")
    dray("dataset", "set", "a", "--source", file, "--bundle-size", "5")
    assert dray.json("dataset", "show", "a")["bundle"] == {"size": 5}
    for bad, said in (('{"md4": ""}', 'nothing of a bundle is called "md4"'), ("3", "`bundle` is not a mapping"),
                      ('{"size": -1}', "`size` of a bundle is no number of bytes"), ('{"md5": 5}', "`md5` is not 32")):
        text = b'{"name": "a", "bundle": ' + bad.encode() + b"}"
        assert f"standard input:1:1: error: {said}" in dray("dataset", "import", "-", input=text, exit=2).err
    text = b'{"name": "a", "bundle": {"md5": "%s"}}' % WRONG["md5"].encode()
    dray("dataset", "import", "-", input=text)
    assert dray.json("dataset", "show", "a")["bundle"] == {"md5": WRONG["md5"]}
    dray("dataset", "import", "-", input=b'{"name": "a", "bundle": null}')
    assert "bundle" not in dray.json("dataset", "show", "a")


# ---- What a program brings


@pytest.fixture
def bring(dray, site):  # noqa: F811
    """bring(what, *options) has a program bring that, for a dataset with these options."""
    site.tool(COPY)
    (site.path / "out").mkdir()

    def run(remote, *options, exit=0):
        dray("dataset", "add", "tape", "--source", f"sda:{site.path}/tape/{remote}", *options)
        done = dray("push", "tape", "--to", site.path / "out/x", "--config", site.config(), exit=exit)
        assert (site.path / "out/x").exists() == (exit == 0)
        dray("dataset", "delete", "tape")
        return done

    return run


@pytest.mark.parametrize("remote", ["x.tar", "x.tgz", "tree/a.nc"])
def test_what_a_program_brought_is_compared(bring, site, remote):  # noqa: F811
    file = site.path / "tape" / remote
    failed = bring(remote, "--digest", f"sha256:{WRONG['sha256']}", exit=1)
    assert f"is {digest('sha256', file)}, and {WRONG['sha256']} is recorded of it" in failed.err
    failed = bring(remote, "--bundle-size", "3 MiB", exit=1)
    assert f"has {file.stat().st_size} bytes, and 3145728 are recorded of it" in failed.err
    bring(remote, "--digest", f"sha256:{digest('sha256', file)}", "--digest", f"md5:{digest('md5', file)}",
          "--bundle-size", str(file.stat().st_size))


def test_a_directory_has_no_digest(bring):
    failed = bring("tree", "--digest", f"md5:{WRONG['md5']}", exit=1)
    assert "is a directory, and the size or digest of a file is recorded" in failed.err


def test_another_bundle_of_that_name_is_delivered_anew(dray, site):  # noqa: F811
    site.tool(COPY)
    tar = site.path / "tape/x.tar"
    dray("dataset", "add", "tape", "--source", f"sda:{tar}", "--digest", f"md5:{digest('md5', tar)}")
    (site.path / "out").mkdir()
    to = ("push", "tape", "--config", site.config(), "--to")
    dray(*to, site.path / "out/x")
    assert dray.json(*to, site.path / "out/x")["already_delivered"] is True
    tar.write_bytes(tar.read_bytes() + bytes(512))
    dray("dataset", "set", "tape", "--digest", f"md5:{digest('md5', tar)}")
    assert "holds" in dray(*to, site.path / "out/x", exit=None).err
    dray(*to, site.path / "out/y")
