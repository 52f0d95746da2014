# SPDX-License-Identifier: MIT
"""hpfs.roots of the configuration: nothing is delivered outside of them, whatever paths say, wherever links lead,
and whoever swaps a part of a path for a link meanwhile."""
import errno
import json
import os
import random
import subprocess
import threading
import time
from pathlib import Path

import pytest

from trees import assert_same

HERE = Path(__file__).resolve().parent
OUTSIDE = "outside of the directories that this site delivers into"


@pytest.fixture
def site(files, tmp_path):
    files(tmp_path, {"data/a": b"a", "data/d/b": b"b", "root/lab/": None, "other/lab/": None, "outside/": None})
    return tmp_path


@pytest.fixture
def configure(site):
    """configure("root", "other", more="durability: fsync") writes a configuration with these roots; its path."""

    def write(*roots, more="", name="dray.yaml"):
        listed = json.dumps([str(site / root) for root in roots])
        (site / name).write_text(f"version: 1\nhpfs: {{ roots: {listed}{', ' + more if more else ''} }}\n")
        return site / name

    return write


@pytest.fixture
def push(dray, site):
    """push(config, "root/x", exit=0)"""

    def run(config, to, **keywords):
        to = to if str(to).startswith("/") else f"{site}/{to}"
        return dray("push", site / "data", "--to", to, "--config", config, **keywords)

    return run


@pytest.fixture(scope="session")
def refuse_program(tmp_path_factory):
    program = tmp_path_factory.mktemp("refuse") / "refuse"
    subprocess.run(["cc", "-std=gnu11", HERE / "refuse.c", "-o", program, "-lseccomp"], check=True)
    return program


# ---- What it may say ----


@pytest.mark.parametrize("text, said", [
    ("hpfs: []", ":2:7: error: `hpfs` is a mapping, not a list"),
    ("hpfs: { root: [/tmp] }", ':2:9: error: unknown key "root" in hpfs'),
    ("hpfs: { roots: /tmp }", ":2:16: error: `roots` is a list of directories, not a string"),
    ("hpfs: { roots: [] }", ":2:16: error: `roots` is a list of directories, not an empty one"),
    ("hpfs: { roots: [[/tmp]] }", ":2:17: error: `roots` lists directories, not a list"),
    ("hpfs: { roots: [/tmp, ''] }", ":2:23: error: `roots` lists directories, not nothing"),
    ("hpfs: { roots: [hpfs/project] }", ":2:17: error: hpfs/project is no absolute path"),
    ("hpfs: { roots: [{0}/nowhere] }", ":2:17: error: the root {0}/nowhere cannot be found: No such file"),
    ("hpfs: { roots: [{0}/data/a] }", ":2:17: error: {0}/data/a is not a directory"),
    ("hpfs: { roots: [/tmp], durability: never }", ":2:36: error: `durability` is syncfs or fsync, not never"),
    ("hpfs: { durability: [] }", ":2:21: error: `durability` is syncfs or fsync, not a list"),
])
def test_what_it_may_not_say(push, dray, site, text, said):
    config = site / "dray.yaml"
    config.write_text("version: 1\n" + text.replace("{0}", str(site)) + "\n")
    refused = push(config, "root/x", exit=2)
    assert said.replace("{0}", str(site)) in refused.err and os.listdir(site / "root") == ["lab"]
    assert said.replace("{0}", str(site)) in dray("check", config, exit=2).out


def test_without_roots_nothing_changes(dray, push, site):
    config = site / "dray.yaml"
    config.write_text("version: 1\nhpfs: { durability: fsync }\n")
    push(config, "outside/x")
    dray("check", config)


def test_durability_is_a_default_and_no_other_request(dray, configure, workflow, site):
    config = configure("root", more="durability: fsync")
    text = "version: 1\ndataset: ./data\nsteps:\n  - { id: p, uses: push/hpfs, with: { path: ./root/x%s } }\n"

    def durability(file, *options):
        plan = dray("plan", file, *options, "--json").json()
        return [step["with"]["durability"] for step in plan["steps"] if step["uses"] == "push/hpfs"]

    plain, own = workflow(text % ""), workflow(text % ", durability: syncfs", "own.yaml")
    assert durability(plain) == ["syncfs"] and durability(plain, "--config", config) == ["fsync"]
    assert durability(own, "--config", config) == ["syncfs"]
    dray("run", plain, "--config", config)
    for again in (["run", plain], ["run", own, "--config", config]):
        assert "already delivered" in dray(*again).out


# ---- Where it goes ----


def test_below_a_root_and_in_it(push, configure, site):
    config = configure("root")
    for place in ("root/lab/x", "root/x", "root/lab/../y", "root//lab/./z"):
        push(config, place)
        assert_same(Path(os.path.normpath(site / place)), site / "data")


@pytest.mark.parametrize("place", ["outside/x", "root/../outside/x", "rootless/x", "root/lab/../../outside/x",
                                   "root/../root/../outside/x"])
def test_outside_is_refused_when_it_is_planned_and_the_roots_are_named(dray, push, configure, workflow, site, place):
    (site / "rootless").mkdir()
    config = configure("root", "other")
    refused = push(config, place, exit=3)
    assert OUTSIDE in refused.err and f"\n         {site}/root\n         {site}/other\n" in refused.err
    assert os.listdir(site / "outside") == [] and os.listdir(site / "rootless") == []
    file = workflow(f"version: 1\ndataset: ./data\nsteps:\n  - {{ id: p, uses: push/hpfs, with: {{ path: ./{place} }} }}\n")
    error = dray("plan", file, "--config", config, "--json", exit=3).json()["error"]
    assert error["class"] == "denied" and error["where"].startswith(f"{file}:4:")


def test_links_are_followed_within_the_roots_only(push, configure, site):
    root, config = site / "root", configure("root", "other")
    for name, target in {"near": "lab", "back": "lab/../lab", "there": site / "other/lab", "again": site / "root/lab",
                         "out": site / "outside", "up": "../outside", "chain": "out", "loop": "loop",
                         "byname": f"{site}/other/../root/lab"}.items():
        (root / name).symlink_to(target)
    push(config, "root/near/x")
    push(config, "root/back/y")
    push(config, "root/again/z")
    push(config, "root/there/x")
    push(config, "root/near/../w")
    push(config, "root/byname/v")
    assert sorted(os.listdir(root / "lab")) == ["v", "x", "y", "z"] and os.listdir(site / "other/lab") == ["x"]
    for place in ("root/out/x", "root/up/x", "root/chain/x", "root/near/../out/x", "root/there/../../outside/x"):
        assert OUTSIDE in push(config, place, exit=3).err, place
    assert "Too many levels of symbolic links" in push(config, "root/loop/x", exit=None).err
    assert os.listdir(site / "outside") == []
    only = configure("root", name="only.yaml")
    assert f"{site}/root/there/n leads to" not in push(only, "root/there/n", exit=3).err
    assert f"{site}/root/there leads to {site}/other/lab, {OUTSIDE}" in push(only, "root/there/n", exit=3).err


def test_a_preview_of_a_list_needs_no_directory_but_a_root(dray, configure, workflow, site):
    config, text = configure("root"), "version: 1\ndataset: ./data\nsteps:\n  - { id: p, uses: push/hpfs, with: { path: %s } }\n"
    (site / "list").write_text("1\ta\n")
    arguments = ["--listing", site / "list", "--config", config]
    assert "keep" in dray("preview", workflow(text % "./root/not/yet/x"), *arguments).out
    assert OUTSIDE in dray("preview", workflow(text % "./outside/not/yet/x"), *arguments, exit=3).err


def test_a_link_from_elsewhere_is_no_way_in(push, configure, site):
    """What begins with no root is not looked at, so that nobody learns what is there."""
    (site / "outside/in").symlink_to(site / "root/lab")
    assert f"{site}/outside/in lies {OUTSIDE}" in push(configure("root"), "outside/in/x", exit=3).err
    assert f"{site}/outside/no lies {OUTSIDE}" in push(configure("root"), "outside/no/x", exit=3).err


def test_a_root_that_is_a_link_is_known_by_both_names(push, configure, site):
    (site / "alias").symlink_to("root")
    config = configure("alias")
    push(config, "alias/lab/x")
    push(config, "root/lab/y")
    assert sorted(os.listdir(site / "root/lab")) == ["x", "y"]
    assert "already delivered" in push(config, "root/lab/x").out
    assert OUTSIDE in push(config, "alias/../outside/x", exit=3).err


def test_roots_in_roots(push, configure, site):
    """Of two roots that a path begins with the longer one counts, and the way up from it leads into the other."""
    (site / "root/inner").symlink_to(site / "other")
    config = configure("root", "root/inner", "root/lab")
    push(config, "root/inner/x")
    push(config, "root/lab/../y")
    push(config, "other/lab/z")
    assert sorted(os.listdir(site / "other")) == ["lab", "x"] and os.listdir(site / "other/lab") == ["z"]
    assert "y" in os.listdir(site / "root")
    assert OUTSIDE in push(config, "root/inner/../outside/x", exit=3).err


def test_the_root_of_all_may_be_a_root(push, configure, site):
    (site / "all.yaml").write_text("version: 1\nhpfs: { roots: [/] }\n")
    push(site / "all.yaml", "outside/x")
    push(site / "all.yaml", f"/../..{site}/outside/../outside/y")
    assert sorted(os.listdir(site / "outside")) == ["x", "y"]


def test_merge_replace_and_verify_work_below_a_root(dray, configure, workflow, site):
    config = configure("root")
    (site / "root/m").mkdir()
    (site / "root/m/theirs").write_bytes(b"t")
    text = "version: 1\ndataset: ./data\nsteps:\n  - { id: p, uses: push/hpfs, with: { path: ./root/%s, existing: %s } }\n"
    dray("run", workflow(text % ("m", "merge")), "--config", config)
    assert (site / "root/m/a").read_bytes() == b"a" and (site / "root/m/theirs").read_bytes() == b"t"
    dray("run", workflow(text % ("r", "replace"), "r.yaml"), "--config", config)
    (site / "data/new").write_bytes(b"n")
    dray("run", site / "r.yaml", "--config", config)
    assert_same(site / "root/r", site / "data")
    dray("verify", site / "root/r")
    assert [name for name in os.listdir(site / "root") if name.startswith(".dray-")] == []


def test_a_mount_below_a_root_is_part_of_it(push, configure, site):
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    (site / "root/mounted").mkdir()
    subprocess.run(["mount", "--bind", site / "outside", site / "root/mounted"], check=True)
    try:
        push(configure("root"), "root/mounted/x")
    finally:
        subprocess.run(["umount", "-l", site / "root/mounted"], check=True)
    assert_same(site / "outside/x", site / "data")


def make_way(folder, length):
    """Directories below folder until the path has about that many bytes; the path."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    path = str(folder)
    while len(path) + 2 < length:
        name = "n" * min(255, length - len(path) - 1)
        os.mkdir(name, dir_fd=held)
        deeper = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=held)
        os.close(held)
        held, path = deeper, f"{path}/{name}"
    os.close(held)
    return path


@pytest.mark.parametrize("refused", [None, errno.ENOSYS, errno.EPERM])
def test_paths_near_their_limit(dray, push, configure, site, refuse_program, refused):
    if refused:
        dray.prefix = [str(refuse_program), "openat2", str(refused), "3", "ne", "0"]
    config, deep = configure("root"), make_way(site / "root", 4000)
    push(config, f"{deep}/x")
    assert_same(Path(deep) / "x", site / "data")
    name = "y" * 255
    push(config, f"root/{name}")
    push(config, f"root/{name}/z")
    push(config, f"root/{'y' * 256}/z", exit=None)
    assert sorted(os.listdir(site / "root" / name)) == sorted([".dray", "a", "d", "z"])


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM])
def test_without_openat2_links_are_no_way_out_either(dray, push, configure, site, refuse_program, error):
    dray.prefix = [str(refuse_program), "openat2", str(error), "3", "ne", "0"]
    config = configure("root")
    (site / "root/out").symlink_to(site / "outside")
    push(config, "root/lab/x")
    assert_same(site / "root/lab/x", site / "data")
    assert OUTSIDE in push(config, "root/out/x", exit=3).err and os.listdir(site / "outside") == []


def test_a_push_of_another_type_is_bound_too(dray, configure, workflow, mocks, site):
    config = configure("root")
    text = "version: 1\ndataset: ./data\nsteps:\n  - { id: p, uses: push/mock, with: { path: %s } }\n"
    (site / "root/out").symlink_to(site / "outside")
    for place in ("./outside", "./root/out", "./root/../outside"):
        assert OUTSIDE in dray("run", workflow(text % place), "--config", config, exit=3).err
    dray("run", workflow(text % "./root/lab"), "--config", config)
    assert os.listdir(site / "outside") == [] and (site / "root/lab/data/a").read_bytes() == b"a"


# ---- Racers ----


def swap_for_a_link(folder, outside, stop):
    """What is between root and destination is a link that leads out, and is itself again, all the time."""
    away = folder.with_name("away")
    while not stop.is_set():
        os.rename(folder, away)
        os.symlink(outside, folder)
        time.sleep(random.random() / 300)
        os.unlink(folder)
        os.rename(away, folder)
        time.sleep(random.random() / 100)


def exchange_with_a_link(folder, outside, stop):
    """As fast as can be, and at no time is there nothing."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    link = folder.with_name("link")
    os.symlink(outside, link)
    while not stop.is_set():
        for _ in range(2):
            libc.renameat2(-100, os.fsencode(folder), -100, os.fsencode(link), 2)
            time.sleep(random.random() / 200)
    if folder.is_symlink():
        libc.renameat2(-100, os.fsencode(folder), -100, os.fsencode(link), 2)


@pytest.mark.parametrize("openat2", [True, False])
@pytest.mark.parametrize("racer", [swap_for_a_link, exchange_with_a_link])
def test_a_racer_leads_nothing_outside(dray, files, configure, site, refuse_program, racer, openat2):
    """The link leads to the same names outside, so that all would work there."""
    data = files(site / "many", {f"d{number % 7}/f{number:04}": b"x" * number for number in range(300)})
    config = configure("root")
    if not openat2:
        dray.prefix = [str(refuse_program), "openat2", str(errno.ENOSYS), "3", "ne", "0"]
    outcomes = set()
    for round_ in range(8):
        folder, outside, stop = site / f"root/r{round_}/folder", site / f"outside/r{round_}", threading.Event()
        (folder / "in/to").mkdir(parents=True)
        (outside / "in/to").mkdir(parents=True)
        running = threading.Thread(target=racer, args=(folder, outside, stop))
        running.start()
        try:
            done = dray("push", data, "--to", folder / "in/to/x", "--config", config, exit=None)
        finally:
            stop.set()
            running.join()
        outcomes.add(done.code)
        assert os.listdir(outside) == ["in"] and os.listdir(outside / "in") == ["to"], done
        assert os.listdir(outside / "in/to") == [], done
        assert done.code in (0, 1, 2, 3), done
        if done.code == 0:
            assert_same(folder / "in/to/x", data)
        else:
            assert "error: " in done.err, done
    print(racer.__name__, sorted(outcomes))
