# SPDX-License-Identifier: MIT
"""What is kept of past jobs, and what another set of policies would have done to them: whatever they
delivered, and however they went."""
import json
import os
import shutil
import signal
import subprocess
import tarfile
import threading
import time

import pytest

from conftest import TOP, contents, record



class Place:
    """A directory with data/, out/ and sets of policies; runs workflows and replays them."""

    def __init__(self, dray, root):
        self.dray, self.root, self.data, self.out = dray, root, root / "data", root / "out"
        self.data.mkdir()
        self.out.mkdir()

    def plugin(self, name):
        folder = self.dray.home / ".local/lib/dray/plugins"
        folder.mkdir(parents=True, mode=0o755, exist_ok=True)
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", f"-I{TOP}/include",
                        TOP / "tests/scenario/plugins" / f"{name}.c", "-o", folder / f"{name}.so"], check=True)
        return folder / f"{name}.so"

    def run(self, steps, *options, dataset="./data", tree="", exit=0):
        file = self.root / "work.yaml"
        file.write_text(f"version: 1\ndataset: {dataset}\n{tree}steps:\n{steps}")
        self.dray("run", file, *options, exit=exit)
        return self.dray.json("jobs")[0]

    def rules(self, *rules):
        folder = self.root / "draft"
        folder.mkdir(exist_ok=True)
        (folder / "p.yaml").write_text("version: 1\npolicy: p\nrevision: 9\nrules:\n" + "".join(rules))
        return folder

    def replay(self, *rules, **keywords):
        """The one job, under these rules."""
        answer = self.dray.json("policy", "replay", self.rules(*rules), **keywords)
        [job] = answer["jobs"]
        assert sum(answer["totals"].values()) == 1
        return job


@pytest.fixture
def place(dray, tmp_path):
    return Place(dray, tmp_path)


def drop(*patterns, id="r", mode="enforce", when=""):
    return (f"  - id: {id}\n    mode: {mode}\n{when}    inject:\n"
            f"      - {{ uses: filter/glob, with: {{ exclude: {json.dumps(patterns)} }} }}\n")


NOTHING = drop("*.nothing-has-this-name")
LAB = "  - { id: lab, uses: push/hpfs, with: { path: ./out/lab } }\n"
SITE = "  - { id: site, uses: push/drop, with: { host: h, name: x%s } }\n"


def counts(target):
    return target["was"]["entries"], target["would"]["entries"], target["more"]["entries"]


def dropped(target):
    return {rule["by"]: (rule["entries"], rule["examples"]) for rule in target["dropped"]}


# ---- Whatever was delivered -------------------------------------------------------------------------


def test_a_directory_that_was_dropped_is_compared_with_what_would_be(place, files):
    files(place.data, {"a.nc": "a", "raw/x/1": "1", "raw/x/2": "22", "raw/y": "y", "tmp/": None})
    place.run('  - { id: pick, uses: filter/glob, with: { exclude: ["raw/"] } }\n' + LAB)
    job = place.replay(NOTHING)
    assert job["outcome"] == "same" and counts(job["targets"][0])[0] == len(
        [path for path, what in contents(place.out / "lab").items()])
    # a rule that drops the same is none that changes anything
    assert place.replay(drop("raw/"))["outcome"] == "same"
    assert dropped(place.replay(drop("raw/x/", "a.nc"))["targets"][0]) == {"policy:p/r": (1, ["a.nc"])}


def test_targets_of_different_chains_are_each_compared_with_their_own(place, files):
    files(place.data, {"a.nc": "a", "raw/1": "1", "raw/2": "2", "b.txt": "b"})
    place.run("  - { id: small, uses: filter/glob, with: { exclude: [\"raw/\"] } }\n" + LAB +
              "  - { id: all, uses: push/hpfs, needs: [stage], with: { path: ./out/all } }\n")
    assert len(contents(place.out / "lab")) == 2 and len(contents(place.out / "all")) == 5
    job = place.replay(drop("*.txt", "2"))
    targets = {one["step"]: one for one in job["targets"]}
    assert dropped(targets["lab"]) == {"policy:p/r": (1, ["b.txt"])}
    assert dropped(targets["all"]) == {"policy:p/r": (2, ["b.txt", "raw/2"])}
    assert counts(targets["all"]) == (4, 2, 0)


def test_names_that_are_not_utf8(place):
    for name in (b"a\xff.nc", b"b.nc", b"d\xfe/c.nc", b"new\nline.nc"):
        path = os.path.join(os.fsencode(place.data), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"xyz")
    place.run(LAB)
    assert place.replay(NOTHING)["outcome"] == "same"
    [target] = place.replay(drop("*.nc"))["targets"]
    assert counts(target) == (4, 0, 0) and target["dropped"][0]["bytes"] == 12
    assert "drops 4 entries" in place.dray("policy", "replay", place.rules(drop("*.nc"))).out


@pytest.mark.parametrize("symlinks", ["skip", "keep", "copy"])
def test_empty_directories_and_links(place, files, symlinks):
    files(place.data, {"a.nc": "abc", "z.nc": "zz", "empty/": None, "deep/er/": None})
    (place.data / "link").symlink_to("z.nc")
    (place.data / "m.nc").symlink_to("a.nc")
    (place.data / "deep/up").symlink_to("../a.nc")
    place.run(LAB, tree=f"tree: {{ symlinks: {symlinks}, keep_empty_dirs: true }}\n")
    delivered = contents(place.out / "lab")
    same = place.replay(NOTHING)
    assert same["outcome"] == "same", same
    leaves = [path for path in delivered if not any(other.startswith(path + "/") for other in delivered)]
    assert counts(same["targets"][0]) == (len(leaves), len(leaves), 0)
    [target] = place.replay(drop("z.nc"))["targets"]
    assert dropped(target)["policy:p/r"][1][0] == "z.nc"
    assert dropped(place.replay(drop("empty/"))["targets"][0]) == {"policy:p/r": (1, ["empty"])}


def test_an_archive_and_a_recipe(place, files):
    files(place.root / "in", {"a.nc": "a", "b.txt": "b", "raw/c.nc": "c"})
    with tarfile.open(place.root / "set.tar.gz", "w:gz") as archive:
        archive.add(place.root / "in", arcname=".")
    (place.root / "ocean.yaml").write_text("version: 1\nrecipe: ocean\nsteps:\n  - { id: pick, uses: filter/glob, "
                                           "with: { include: [\"*.nc\"] } }\n")
    place.dray("recipe", "save", "ocean", place.root / "ocean.yaml")
    place.run("  - { id: sub, uses: recipe/ocean }\n" + LAB, dataset="./set.tar.gz")
    assert sorted(path for path, what in contents(place.out / "lab").items() if what) == ["a.nc", "raw/c.nc"]
    assert place.replay(NOTHING)["outcome"] == "same"
    (place.root / "set.tar.gz").unlink()
    [target] = place.replay(drop("raw/"))["targets"]
    assert dropped(target) == {"policy:p/r": (1, ["raw/c.nc"])}
    assert counts(target)[0] == 2


def test_many_files(place, files):
    for folder in range(200):
        (place.data / f"run-{folder:03}").mkdir()
        for name in range(100):
            (place.data / f"run-{folder:03}/sample-{name:03}.{'bcl' if name % 4 == 0 else 'nc'}").write_bytes(b"x")
    place.run('  - { id: pick, uses: filter/glob, with: { exclude: ["*-00[0-9].*"] } }\n' + LAB)
    began = time.monotonic()
    [target] = place.replay(drop("*.bcl"))["targets"]
    assert time.monotonic() - began < 20
    assert counts(target) == (18000, 13600, 0)
    [rule] = target["dropped"]
    assert (rule["entries"], rule["bytes"], len(rule["examples"])) == (4400, 4400, 5)


# ---- However it went --------------------------------------------------------------------------------


def test_a_job_of_which_one_target_failed(place, files):
    place.plugin("push-drop")
    files(place.data, {"a.nc": "a", "raw/b": "b"})
    bad = "  - { id: bad, uses: push/drop, with: { host: h, name: x, fail: true } }\n"
    good = "  - { id: good, uses: push/drop, with: { host: h, name: y, wait: 1s } }\n"
    # the one that fails tells the verdicts, or the other, or one that never began would have
    for steps, fails, delivers in [(bad + LAB, "bad", "lab"), (LAB + bad, "bad", "lab"),
                                   (bad + good, "bad", "good")]:
        shutil.rmtree(place.out / "lab", ignore_errors=True)
        shutil.rmtree(place.dray.state, ignore_errors=True)
        job = place.run(steps, exit=1)
        assert {one["step"]: one["state"] for one in job["targets"]} == {fails: "failed", delivers: "delivered"}
        job = place.replay(drop("raw/"))
        assert [one["step"] for one in job["targets"]] == [delivers], "what was not delivered is not compared"
        assert dropped(job["targets"][0]) == {"policy:p/r": (1, ["raw/b"])}


def test_a_push_that_never_began_leaves_the_telling_to_another(place, files):
    place.plugin("push-drop")
    files(place.data, {"a.nc": "a", "raw/b": "b"})
    place.run("  - { id: none, uses: filter/glob, with: { exclude: [a.nc] } }\n"
              "  - { id: bad, uses: push/drop, with: { host: h, name: x, fail: true } }\n"
              "  - { id: never, uses: push/drop, needs: [stage], after: [bad], with: { host: h, name: y } }\n"
              "  - { id: good, uses: push/drop, needs: [stage], with: { host: h, name: z, wait: 1s } }\n", exit=1)
    [target] = place.replay(drop("raw/"))["targets"]
    assert target["step"] == "good" and counts(target) == (2, 1, 0)


def test_a_job_of_which_nothing_was_delivered(place, files):
    place.plugin("push-drop")
    files(place.data, {"a.nc": "a"})
    place.run("  - { id: bad, uses: push/drop, with: { host: h, name: x, fail: true } }\n", exit=1)
    job = place.replay(NOTHING)
    assert (job["outcome"], job["reason"]) == ("not-replayed", "nothing of it was delivered")


def test_a_plugin_that_is_gone(place, files):
    plugin = place.plugin("push-drop")
    files(place.data, {"a.nc": "a"})
    place.run(SITE % "")
    plugin.unlink()
    job = place.replay(NOTHING)
    assert job["outcome"] == "not-replayed" and "push/drop" in job["reason"]


def until_pushing(place, running, plugin="push/drop"):
    deadline = time.monotonic() + 60
    while "running" not in [step["outcome"] for job in place.dray.json("jobs")
                            for attempt in place.dray.json("show", job["job"])["attempts"]
                            for step in attempt["steps"] if step["uses"] == plugin]:
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_job_that_was_taken_up_again(place, files, how):
    place.plugin("push-drop")
    files(place.data, {"a.nc": "a", "raw/b": "b"})
    file = place.root / "work.yaml"
    file.write_text("version: 1\ndataset: ./data\nsteps:\n" + SITE % ", wait: 4s")
    running = place.dray.start("run", file, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until_pushing(place, running)
        os.kill(running.pid, how)
        assert running.wait(timeout=60) != 0
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
    assert place.replay(drop("raw/"))["reason"] == "nothing of it was delivered"
    place.dray("run", file)
    [target] = place.replay(drop("raw/"))["targets"]
    assert counts(target) == (2, 1, 0) and dropped(target) == {"policy:p/r": (1, ["raw/b"])}


# ---- While policies change --------------------------------------------------------------------------


def policy(folder, revision, *patterns, tests=""):
    """In one act, as an admin's tools do it."""
    new = folder / ".new"
    new.write_text(f"version: 1\npolicy: p\nrevision: {revision}\nrules:\n{drop(*patterns)}{tests}")
    os.replace(new, folder / "p.yaml")


def test_policies_are_looked_at_before_each_attempt(place, files):
    """Only the second attempt would come to its commit; the first one's look was at the old set."""
    place.plugin("push-drop")
    files(place.data, {"a.nc": "a", "raw/b": "b"})
    folder = place.root / "policies"
    folder.mkdir()
    policy(folder, 1, "*.tmp")
    file = place.root / "work.yaml"
    file.write_text("version: 1\ndataset: ./data\nsteps:\n  - { id: site, uses: push/drop, timeout: 2s, "
                    "retry: { tries: 3, backoff: 3s }, with: { host: h, name: x, wait: 60s } }\n")
    running = place.dray.start("run", file, "--policies", folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        until_pushing(place, running)
        policy(folder, 2, "*.tmp", "raw/")
        out, err = running.communicate(timeout=60)
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
    assert running.returncode == 3, err.decode()
    assert "policy p, rule r now puts filter/glob before push site" in err.decode()
    [job] = place.dray.json("jobs")
    steps = [attempt["steps"] for attempt in place.dray.json("show", job["job"])["attempts"]]
    assert job["state"] == "failed" and len([one for one in steps if one]) == 1, "no second one has run"


def test_nothing_slips_through_while_policies_are_rewritten_all_the_time(place, files):
    """Each set forbids key.pem, and either a.bcl or b.raw: whatever is delivered follows one set as a
    whole, the one that its receipt names."""
    files(place.data, {"ok.nc": "x", "a.bcl": "a", "b.raw": "b", "key.pem": "secret"})
    folder = place.root / "policies"
    folder.mkdir()
    kinds, stop, revision = ["*.bcl", "*.raw"], threading.Event(), 0

    def rewrite():
        nonlocal revision
        while not stop.is_set():
            revision += 1
            policy(folder, revision, kinds[revision % 2], "*.pem")
            # Now and then long enough for a delivery to come through on a busy machine.
            time.sleep(0.02 if revision % 4 else 0.5)
            if revision % 5 == 0:  # as an editor without such care does it
                text = (folder / "p.yaml").read_text()
                with open(folder / "p.yaml", "w") as half:
                    half.write(text[:60])
                    half.flush()
                    time.sleep(0.01)
                    half.write(text[60:])

    def deliver(number):
        for turn in range(25):
            out = place.out / f"{number}-{turn}"
            file = place.root / f"work-{number}-{turn}.yaml"
            file.write_text("version: 1\ndataset: ./data\nsteps:\n"
                            f"  - {{ id: lab, uses: push/hpfs, with: {{ path: {out} }} }}\n")
            done = place.dray("run", file, "--policies", folder, exit=None)
            results.append((out, done))

    results = []
    writer = threading.Thread(target=rewrite)
    workers = [threading.Thread(target=deliver, args=(number,)) for number in range(2)]
    policy(folder, 1, kinds[1], "*.pem")
    revision = 1
    writer.start()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stop.set()
    writer.join()
    assert len(results) == 50 and any(done.code == 0 for out, done in results)
    for out, done in results:
        assert done.code in (0, 3), done
        if done.code == 3:
            assert not out.exists(), done
            continue
        [ruled] = record(out, "receipt.json")["policies"]["files"]
        left = {"*.bcl": "b.raw", "*.raw": "a.bcl"}[kinds[ruled["revision"] % 2]]
        assert set(contents(out)) == {"ok.nc", left}, done
    # and when nobody writes any more, it is delivered
    place.run(LAB, "--policies", folder)
    assert "key.pem" not in contents(place.out / "lab")


def test_policy_test_says_what_fails_in_json(place, files):
    folder = place.root / "policies"
    folder.mkdir()
    policy(folder, 3, "raw/", tests="tests:\n"
           "  - { name: good, given: { path: raw/a }, expect: { verdict: drop, rule: r } }\n"
           "  - { name: bad, given: { path: a }, expect: { verdict: drop } }\n")
    answer = place.dray("policy", "test", folder, "--json", exit=2).json()
    assert answer["error"]["class"] == "invalid"
    assert [one["message"] for one in answer["diagnostics"]] == [
        'test "bad" fails: it expects drop, and the policy says keep']
    [ruled] = answer["policies"]
    assert (ruled["policy"], ruled["revision"]) == ("p", 3)
    assert [(one["name"], one["passed"], one["expected"], one.get("seen")) for one in ruled["tests"]] == [
        ("good", True, "drop by r", "drop by r"), ("bad", False, "drop", "keep")]
    assert ruled["tests"][1]["line"] == ruled["tests"][0]["line"] + 1
    policy(folder, 4, "raw/", tests="tests: []\n")
    [ruled] = place.dray("policy", "test", folder, "--json").json()
    assert ruled["tests"] == []
    assert "no tests" in place.dray("policy", "test", folder).out


def test_a_plugin_whose_options_are_others_by_now_leaves_the_other_jobs(place, files):
    place.plugin("push-drop")
    files(place.data, {"a.nc": "a"})
    place.run(SITE % "")
    place.run(LAB)
    source = (TOP / "tests/scenario/plugins/push-drop.c").read_text().replace("struct drop, host,", "struct drop, system,")
    source = source.replace("drop->host", "drop->system").replace("const char *host;", "const char *system;")
    (place.root / "new.c").write_text(source)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", f"-I{TOP}/include", place.root / "new.c",
                    "-o", place.dray.home / ".local/lib/dray/plugins/push-drop.so"], check=True)
    answer = place.dray.json("policy", "replay", place.rules(drop("a.nc")))
    assert {job["outcome"] for job in answer["jobs"]} == {"changes", "not-replayed"}, answer


def test_words_that_are_not_utf8_are_refused_and_not_called_a_lack_of_memory(place):
    folder = place.rules(drop("raw/"))
    for words in (["--path", b"raw/\xff"], ["--given", b"dataset.name=\xff"], ["--user", b"\xff"],
                  ["--dataset", b"\xff"], ["--target", b"/tmp/\xff"]):
        done = place.dray("policy", "explain", "--policies", folder, *words, exit=None)
        assert "memory" not in done.err and done.code in (0, 2), done
