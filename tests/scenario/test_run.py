# SPDX-License-Identifier: MIT
"""push and run as a user meets them: what is delivered and said, the same request again, targets that
are occupied or gone, several targets, parameters, JSON, events, exit codes."""
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from conftest import DIGEST, TIME, UUID, checked_by_sha256sum, contents, record

DATASET = {"a.nc": "grid\n", "b.csv": "x,y\n", "raw/x.fastq": "ACGT\n", "tmp/t": "t"}

ONE = """\
version: 1
dataset: ./source
steps:
  - {{ id: deliver, uses: push/hpfs, with: {{ path: {target} }} }}
"""
TWO = """\
version: 1
dataset: ./source
steps:
  - {{ id: to-a, uses: push/hpfs, with: {{ path: {a} }} }}
  - {{ id: to-b, uses: push/hpfs, with: {{ path: {b} }} }}
"""


@pytest.fixture
def source(files, tmp_path):
    (tmp_path / "out").mkdir()
    return files(tmp_path / "source", DATASET)


@pytest.fixture
def out(tmp_path, source):
    return tmp_path / "out"


def identity(root):
    """Changes when anything below root is written anew."""
    return {str(path): (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in root.rglob("*")}


# ---- One delivery ------------------------------------------------------------------------------


def test_a_push_delivers_all_of_it_and_ends_with_the_line_to_hand_over(dray, source, out):
    done = dray("push", source, "--to", out / "data")
    assert done.out == (f"source is at {out}/data: 4 entries, 15 B; "
                        f"to check it: dray verify {out}/data\n")
    steps = [line.split()[:3] for line in done.err.splitlines()]
    assert steps == [["stage", "source/directory", "done"], ["validate", "validate", "done"],
                     ["deliver", "push/hpfs", "done"]]
    assert contents(out / "data") == contents(source)
    assert checked_by_sha256sum(out / "data")
    assert sorted(os.listdir(out)) == ["data"]
    assert sorted(os.listdir(out / "data/.dray/source")) == [
        "README.txt", "delivered.json", "manifest-sha256.txt", "receipt.json", "tree.jsonl"]


def test_a_final_slash_means_into(dray, source, out):
    dray("push", source, "--to", f"{out}/")
    assert contents(out / "source") == contents(source)


def test_the_line_to_hand_over_can_be_copied_into_a_shell(dray, source, out):
    done = dray("push", source, "--to", out / "it's for \"you\"")
    command = done.out.split("to check it: dray ", 1)[1]
    words = subprocess.run(["sh", "-c", f"printf '%s\\n' {command}"], capture_output=True, check=True)
    assert words.stdout.decode().splitlines() == ["verify", f"{out}/it's for \"you\""]


def test_include_and_exclude_need_no_workflow(dray, source, out):
    dray("push", source, "--to", out / "data", "--include", "*.nc", "--include", "raw/", "--exclude",
         "*.fastq")
    assert contents(out / "data") == {"a.nc": b"grid\n"}
    assert [(one["by"], one["entries"]) for one in record(out / "data", "receipt.json")["left_out"]] \
        == [("pick.include", 2), ("pick.exclude[0]", 1)]


def test_the_printed_workflow_makes_the_same_request(dray, source, out, workflow):
    arguments = ["push", source, "--to", out / "data", "--include", "*.nc", "--include", 'odd "${x}" \\$',
                 "--exclude", "tmp/"]
    text = dray(*arguments, "--print-workflow").out
    assert os.listdir(out) == []
    pushed = dray.json(*arguments)
    again = dray.json("run", workflow(text))
    assert again["already_delivered"] and again["job"] == pushed["job"]


def test_relative_paths_start_at_the_file_and_on_the_command_line_at_the_working_directory(
        dray, files, source, out, workflow):
    file = workflow(ONE.format(target="./out/data"))
    files(out / "source", {"other": "dataset"})
    dray("run", "../../work.yaml", cwd=files(out / "deep", {}))
    assert contents(out / "data") == contents(source)
    shutil.rmtree(out / "data")
    dray("run", file, "--dataset", "./source", cwd=out)
    assert contents(out / "data") == {"other": b"dataset"}
    dray("push", "./source", "--to", "../pushed", cwd=out)
    assert contents(out.parent / "pushed") == {"other": b"dataset"}


def test_a_directory_is_found_through_dots_links_and_slashes_under_its_own_name(dray, source, out):
    (out / "link").symlink_to(source)
    for number, (path, cwd) in enumerate(
            [(".", source), ("./raw/..", source), (f"{source}//", out), ("./link", out)]):
        done = dray.json("push", path, "--to", out / str(number), cwd=cwd)
        assert done["dataset"] == "source"
        assert contents(out / str(number)) == contents(source)


# ---- The same request again --------------------------------------------------------------------


def test_the_same_request_again_is_answered_and_writes_nothing(dray, source, out):
    first = dray.json("push", source, "--to", out / "data")
    assert first["already_delivered"] is False
    before = identity(out)
    again = dray("push", source, "--to", out / "data")
    assert again.out == (f"already delivered {first['created'][:10]} by job {first['job'][:8]}: "
                         f"{out}/data\n")
    assert again.err == ""
    answer = dray.json("push", source, "--to", out / "data")
    assert answer == {**first, "already_delivered": True}
    assert identity(out) == before
    assert len(dray.json("jobs")) == 1


def test_another_way_to_write_the_same_request_is_the_same(dray, source, out, workflow):
    dray("run", workflow(ONE.format(target="./out/data")))
    other = workflow("# the same\nversion: 1\nname: another\ndataset: ./source\n"
                     "steps:\n  - id: anything\n    uses: push/hpfs\n    timeout: 1h\n"
                     "    with: { into: ./out/../out, durability: syncfs }\n", "other.yaml")
    other.write_text(other.read_text().replace("into: ./out/../out", "path: ./out/../out/data"))
    assert dray.json("run", other)["already_delivered"]


def test_the_marker_answers_when_all_state_is_lost(dray, source, out):
    first = dray.json("push", source, "--to", out / "data")
    shutil.rmtree(dray.state)
    answer = dray.json("push", source, "--to", out / "data")
    [target] = answer.pop("targets")
    assert answer == {"job": first["job"], "dataset": "source", "state": "delivered",
                      "already_delivered": True, "attempts": []}
    for key in ("push", "destination", "state", "entries", "bytes", "receipt", "request_key"):
        assert target[key] == first["targets"][0][key], key
    # The marker was written a moment before its delivery was recorded.
    assert target["delivered"] <= first["targets"][0]["delivered"]
    said = dray("push", source, "--to", out / "data")
    assert said.out.startswith(f"already delivered {target['delivered'][:10]} by job {first['job'][:8]}")
    assert dray.json("jobs") == []


@pytest.mark.parametrize("change", ["content", "name", "option"])
def test_a_changed_request_is_a_new_one_and_overwrites_nothing(dray, source, out, change):
    dray("push", source, "--to", out / "data")
    before = contents(out / "data")
    if change == "content":
        (source / "a.nc").write_text("other")
    elif change == "name":
        (source / "a.nc").rename(source / "c.nc")
    arguments = ["--exclude", "tmp/"] if change == "option" else []
    refused = dray("push", source, "--to", out / "data", *arguments, exit=1)
    assert f"{out}/data holds another delivery, of 20" in refused.err
    assert "nothing was written" in refused.err and " hint: " in refused.err
    assert contents(out / "data") == before
    dray("push", source, "--to", out / "new", *arguments)
    assert contents(out / "new") != before


def test_what_is_gone_is_said_and_delivered_anew_on_request_only(dray, source, out):
    first = dray.json("push", source, "--to", out / "data")
    shutil.rmtree(out / "data")
    said = dray("push", source, "--to", out / "data")
    assert said.out.endswith("(it is no longer there; --again delivers it anew)\n")
    assert [one.get("gone") for one in dray.json("push", source, "--to", out / "data")["targets"]] \
        == [True]
    assert os.listdir(out) == []
    second = dray.json("push", source, "--to", out / "data", "--again")
    assert second["job"] != first["job"] and not second["already_delivered"]
    assert contents(out / "data") == contents(source)


def test_again_does_not_touch_what_is_there(dray, source, out):
    dray("push", source, "--to", out / "data")
    before = identity(out)
    refused = dray("push", source, "--to", out / "data", "--again", exit=1)
    assert f"{out}/data holds this delivery already; nothing was written" in refused.err
    assert identity(out) == before


@pytest.mark.parametrize("damage, said", [
    (lambda root: (root / "a.nc").unlink(), "missing a.nc"),
    (lambda root: (root / "extra").touch(), "1 entry is in it that was not delivered"),
    (lambda root: (root / "a.nc").write_text("longer than before"), "a.nc has another size"),
    (lambda root: (root / ".dray/source/delivered.json").unlink(), "a directory with 5 entries"),
])
def test_a_delivery_that_is_no_longer_whole_does_not_answer(dray, source, out, damage, said):
    dray("push", source, "--to", out / "data")
    damage(out / "data")
    refused = dray("push", source, "--to", out / "data", exit=1)
    assert said in refused.err and "nothing was written" in refused.err
    shutil.rmtree(dray.state)
    assert said in dray("push", source, "--to", out / "data", exit=1).err


def test_a_marker_whose_manifest_was_edited_is_not_believed(dray, source, out):
    dray("push", source, "--to", out / "data")
    manifest = out / "data/.dray/source/manifest-sha256.txt"
    text = manifest.read_text()
    manifest.write_text(("1" if text[0] == "0" else "0") + text[1:])
    assert "nothing was written" in dray("push", source, "--to", out / "data", exit=1).err


# ---- Occupied targets --------------------------------------------------------------------------


@pytest.mark.parametrize("what, said", [
    ("files", "a directory with 2 entries"), ("nothing", "an empty directory"),
    ("file", "a file"), ("link", "a symbolic link"), ("dangling", "a symbolic link"),
])
def test_an_occupied_target_is_left_as_it_is(dray, files, source, out, what, said):
    place = out / "data"
    if what in ("files", "nothing"):
        files(place, {"x": "1", "y/z": "2"} if what == "files" else {})
    elif what == "file":
        place.write_text("mine")
    else:
        place.symlink_to(source if what == "link" else "nowhere")
    before = contents(out)
    refused = dray("push", source, "--to", place, exit=1)
    assert f"error: {place} exists: {said}; nothing was written" in refused.err
    assert " hint: " in refused.err
    error = dray.json("push", source, "--to", place, exit=1)["error"]
    assert error["class"] == "conflict" and said in error["message"] and error["hint"]
    assert contents(out) == before
    assert dray.json("jobs") == []


def test_a_target_inside_the_dataset_is_refused(dray, source, out):
    (source / "deep").mkdir()
    (out / "link").symlink_to(source)
    before = contents(source)
    for place in (source / "new", f"{source}/", source / "deep/new", out / "link/new"):
        refused = dray("push", source, "--to", place, exit=2)
        assert "inside the dataset" in refused.err
    assert contents(source) == before


@pytest.mark.parametrize("place, said", [
    ("none/data", "there is no directory"), ("none/deep/data", "mkdir -p"),
    ("file/data", "is not a directory"), ("..", "ends in no name"),
    (".dray", "a name that Dray keeps for itself"), (".dray-x", "a name that Dray keeps for itself"),
    ("x" * 300, "File name too long"), ("", "--to is empty"), ("s3://bucket/x", "no push plugin for s3"),
])
def test_a_target_that_cannot_be_is_refused_before_anything_is_done(dray, source, out, place, said):
    (out / "file").touch()
    refused = dray("push", source, "--to", place, exit=2, cwd=out)
    assert said in refused.err
    assert os.listdir(out) == ["file"]


# ---- Several targets ---------------------------------------------------------------------------


def test_two_targets_get_the_same_tree_and_a_line_each(dray, source, out, workflow):
    done = dray("run", workflow(TWO.format(a="./out/a", b="./out/b")))
    assert [line.split(":")[0] for line in done.out.splitlines()] == [
        f"source is at {out}/a", f"source is at {out}/b"]
    assert contents(out / "a") == contents(out / "b") == contents(source)
    keys = [target["request_key"] for target in dray.json("jobs")[0]["targets"]]
    assert len(set(keys)) == 2


def test_one_target_fails_and_the_other_is_delivered_and_later_only_the_first_is_made_up(
        dray, source, out, small_disk, workflow):
    disk = small_disk("1m")
    (source / "big").write_bytes(os.urandom(3 << 20))
    file = workflow(TWO.format(a="./out/a", b=disk / "b"))
    failed = dray("run", file, exit=1)
    assert failed.out.startswith(f"source is at {out}/a: 5 entries")
    assert "error: step to-b: the delivery needs " in failed.err and "nothing was written" in failed.err
    assert contents(out / "a") == contents(source)
    assert os.listdir(disk) == [], "left on the disk that was full"
    job = dray.json("jobs")[0]
    assert job["state"] == "failed"
    assert {one["step"]: one["state"] for one in job["targets"]} == {"to-a": "delivered", "to-b": "failed"}

    before = identity(out)
    small_disk.grow("9m")
    again = dray.json("run", file)
    assert again["job"] == job["job"] and again["state"] == "delivered"
    assert [step["id"] for step in again["attempts"][-1]["steps"]] == ["stage", "validate", "to-b"]
    assert identity(out) == before, "what was delivered is not delivered again"
    assert contents(disk / "b") == contents(source)
    assert "already_delivered" in again and not again["already_delivered"]
    assert dray.json("run", file)["already_delivered"]


def test_a_target_that_another_job_delivered_is_named_with_that_job(dray, source, out, workflow):
    first = dray.json("push", source, "--to", out / "a")
    file = workflow(TWO.format(a="./out/a", b="./out/b"))
    done = dray("run", file)
    assert done.out.splitlines()[0].startswith(
        f"already delivered {first['created'][:10]} by job {first['job'][:8]}: {out}/a")
    assert done.out.splitlines()[1].startswith(f"source is at {out}/b: 4 entries")
    second = dray.json("jobs", "--limit", 1)[0]
    assert second["state"] == "delivered", "a job is done when what was left for it is"
    again = dray.json("run", file)
    assert again["already_delivered"]
    jobs = [target.get("job", again["job"]) for target in again["targets"]]
    assert jobs == [first["job"], second["job"]]


def test_of_two_targets_only_the_one_that_is_gone_is_called_gone(dray, source, out, workflow):
    file = workflow(TWO.format(a="./out/a", b="./out/b"))
    dray("run", file)
    shutil.rmtree(out / "a")
    lines = dray("run", file).out.splitlines()
    assert "it is no longer there" in lines[0] and "it is no longer there" not in lines[1]


def test_after_orders_pushes_and_a_failure_stops_those_behind_it(dray, source, out, small_disk, workflow):
    disk = small_disk("1m")
    (source / "big").write_bytes(bytes(3 << 20))
    text = TWO.format(a=disk / "a", b="./out/b").replace("to-b, uses", "to-b, after: [to-a], uses")
    failed = dray.json("run", workflow(text), exit=1)
    steps = {step["id"]: step["outcome"] for step in failed["attempts"][0]["steps"]}
    assert steps["to-a"] == "failed" and steps["to-b"] == "skipped"
    assert os.listdir(out) == []


# ---- Several requests for one place ------------------------------------------------------------


def many_files(source, count=4000):
    for number in range(count):
        (source / f"f{number}").write_bytes(b"x" * 4096)


def started(dray, out, *arguments):
    """A delivery that has begun to write."""
    running = dray.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not any(name.startswith(".dray-") for name in os.listdir(out)):
        assert running.poll() is None, running.communicate()
        time.sleep(0.001)
    return running


def test_another_request_for_the_same_place_waits_and_then_leaves_it_alone(dray, source, out):
    many_files(source)
    first = started(dray, out, "push", source, "--to", out / "data")
    os.killpg(first.pid, signal.SIGSTOP)
    second = dray.start("push", source, "--to", out / "data", "--exclude", "a.nc", stderr=subprocess.PIPE)
    waiting = second.stderr.readline().decode()
    os.killpg(first.pid, signal.SIGCONT)
    assert waiting.startswith(f"waiting: another delivery to {out}/data is under way, job ")
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 0 and b"source is at" in said
    _, refused = second.communicate(timeout=60)
    assert second.returncode == 1 and b"holds another delivery" in refused
    assert contents(out / "data") == contents(source) and os.listdir(out) == ["data"]


def test_a_dead_job_gives_its_place_to_another_request(dray, source, out):
    many_files(source)
    running = started(dray, out, "push", source, "--to", out / "data")
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    dead = dray.json("jobs")[0]
    assert dead["state"] == "running" and "data" not in os.listdir(out)
    done = dray.json("push", source, "--to", out / "data", "--exclude", "a.nc")
    assert done["job"] != dead["job"] and done["state"] == "delivered"
    assert os.listdir(out) == ["data"], "what the dead one left is removed"
    assert os.listdir(dray.state / "scratch") == []
    buried = dray.json("show", dead["job"])
    assert buried["state"] == "failed" and "a later request took its target" in buried["reason"]
    assert [one["outcome"] for one in buried["attempts"]] == ["interrupted"]


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGHUP])
def test_a_delivery_that_is_told_to_stop_leaves_nothing(dray, source, out, kind):
    many_files(source)
    running = started(dray, out, "push", source, "--to", out / "data")
    running.send_signal(kind)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 130 and b"interrupted; run the same command again" in said
    assert os.listdir(out) == [] and os.listdir(dray.state / "scratch") == []
    again = dray.json("push", source, "--to", out / "data")
    assert [one["outcome"] for one in again["attempts"]] == ["interrupted", "delivered"]


# ---- Steps -------------------------------------------------------------------------------------


def test_sources_are_joined_and_a_path_of_both_is_an_error_that_names_it(dray, files, source, out,
                                                                         tmp_path, workflow):
    other = files(tmp_path / "other", {"c.txt": "c", "raw/y.fastq": "y"})
    text = """\
version: 1
name: both
dataset: ./source
steps:
  - { id: one, uses: source/directory, with: { path: ./source } }
  - { id: two, uses: source/directory, with: { path: ./other } }
  - { id: deliver, uses: push/hpfs, needs: [one, two], with: { path: ./out/data } }
"""
    dray("run", workflow(text))
    assert contents(out / "data") == {**contents(source), **contents(other)}
    (other / "a.nc").write_text("another")
    failed = dray("run", workflow(text.replace("out/data", "out/more")), exit=1)
    assert "a.nc" in failed.err
    assert os.listdir(out) == ["data"]


def test_a_step_that_takes_longer_than_its_timeout_is_given_up(dray, source, out, workflow):
    (source / "big").write_bytes(bytes(64 << 20))
    text = ONE.format(target="./out/data").replace(
        "push/hpfs,", "push/hpfs, timeout: 1ms, retry: { tries: 1 },").replace(
        "path: ./out/data", "path: ./out/data, durability: fsync")
    failed = dray("run", workflow(text), exit=1)
    assert "step deliver: " in failed.err and "1 ms" in failed.err
    assert os.listdir(out) == []


def test_what_may_pass_is_tried_again_as_often_as_the_workflow_says(dray, source, out, workflow):
    (source / "big").write_bytes(bytes(64 << 20))
    text = ONE.format(target="./out/data").replace(
        "push/hpfs,", "push/hpfs, timeout: 1ms, retry: { tries: 3, backoff: 1ms },")
    done, events = events_of(dray, "run", workflow(text), "--json", exit=1)
    assert [one["outcome"] for one in done.json()["attempts"]] == ["failed"] * 3
    assert done.json()["error"]["class"] == "timed_out"
    assert [one["step"] for one in events if one["event"] == "retrying"] == ["deliver"] * 2
    assert [one["event"] for one in events].count("job-ended") == 1
    assert os.listdir(out) == []


# ---- Parameters --------------------------------------------------------------------------------

PARAMETERS = """\
version: 1
dataset: ./source
parameters:
  lab: { type: string, default: smith }
  deep: { type: bool, default: false }
steps:
  - { id: pick, uses: filter/glob, with: { exclude: ["raw/"], ignore_case: "${deep}" } }
  - { id: deliver, uses: push/hpfs, with: { path: "./out/${lab}-$${lab}" } }
"""


def test_parameters_have_defaults_and_are_set_on_the_command_line(dray, source, out, workflow):
    file = workflow(PARAMETERS)
    dray("run", file)
    dray("run", file, "--set", "lab=jones", "--set", "deep=true")
    assert sorted(os.listdir(out)) == ["jones-${lab}", "smith-${lab}"]
    [plan] = [json.loads(dray("plan", file, "--set", "deep=true", "--json").out)]
    assert {step["id"]: step["with"] for step in plan["steps"]}["pick"]["ignore_case"] is True


def test_the_environment_is_never_expanded(dray, source, out, workflow):
    refused = dray("run", workflow(ONE.format(target='"./out/${HOME}"')), exit=2)
    assert "HOME" in refused.err and os.listdir(out) == []


@pytest.mark.parametrize("sets, said", [
    (["labb=x"], 'did you mean "lab"?'), (["lab"], "NAME=VALUE"), (["deep=perhaps"], '"perhaps"'),
    (["lab=a", "lab=b"], '"lab" is set twice'), (["=x"], 'no parameter ""'),
])
def test_a_wrong_parameter_is_refused(dray, source, out, workflow, sets, said):
    arguments = [word for one in sets for word in ("--set", one)]
    refused = dray("run", workflow(PARAMETERS), *arguments, exit=2)
    assert said in refused.err
    assert os.listdir(out) == []


# ---- What programs read ------------------------------------------------------------------------


def assert_job_shape(job):
    assert UUID.match(job["job"])
    assert {"job", "dataset", "state", "already_delivered", "targets", "attempts"} <= set(job)
    assert isinstance(job["already_delivered"], bool)
    assert TIME.match(job["created"]) and TIME.match(job["updated"])
    for target in job["targets"]:
        assert {"push", "destination", "state", "entries", "bytes", "receipt", "verified"} <= set(target)
        assert DIGEST.match(target["request_key"]) and DIGEST.match(target["manifest_sha256"])
        assert TIME.match(target["delivered"])
        assert os.path.isfile(target["receipt"])
    for number, attempt in enumerate(job["attempts"], 1):
        assert {"number", "outcome", "steps"} <= set(attempt) and attempt["number"] == number
        for step in attempt["steps"]:
            assert {"id", "uses", "outcome", "entries_in", "entries_out", "bytes_out",
                    "seconds"} <= set(step)
            assert isinstance(step["seconds"], float)


def test_json_of_run_and_show_is_as_documented(dray, source, out):
    done = dray("push", source, "--to", out / "data", "--exclude", "tmp/", "--json")
    assert done.err == "" and done.out.count("\n") == 1
    job = done.json()
    assert_job_shape(job)
    assert (job["state"], job["dataset"]) == ("delivered", "source")
    [target] = job["targets"]
    assert (target["push"], target["destination"], target["state"]) == ("push/hpfs", f"{out}/data",
                                                                        "delivered")
    assert (target["entries"], target["bytes"]) == (3, 14)
    [attempt] = job["attempts"]
    assert attempt["outcome"] == "delivered"
    steps = {step["id"]: step for step in attempt["steps"]}
    assert list(steps) == ["stage", "validate", "pick", "deliver"]
    assert (steps["pick"]["entries_in"], steps["pick"]["entries_out"]) == (4, 3)
    assert (steps["pick"]["bytes_in"], steps["pick"]["bytes_out"]) == (15, 14)
    assert steps["pick"]["rules"] == [{"by": "pick.exclude[0]", "why": '"tmp/"', "entries": 1, "bytes": 1}]
    assert steps["deliver"]["version"] and "version" not in steps["validate"]
    assert dray.json("show", job["job"]) == job


def test_json_of_a_failed_job_holds_the_job_and_its_error(dray, source, out, workflow):
    (source / "manifest.txt").write_text("no manifest\n")
    text = ONE.format(target="./out/data").replace(
        "steps:\n", "steps:\n  - { id: check, uses: validate, with: { manifest: manifest.txt } }\n")
    failed = dray.json("run", workflow(text), exit=1)
    assert failed["state"] == "failed" and failed["reason"] == failed["error"]["message"]
    assert failed["error"]["class"] == "invalid"
    step = {one["id"]: one for one in failed["attempts"][0]["steps"]}
    assert step["check"]["outcome"] == "failed" and step["check"]["class"] == "invalid"
    assert step["check"]["reason"] == failed["reason"]
    assert step["deliver"]["outcome"] == "skipped"
    assert failed["targets"][0]["state"] == "failed" and "receipt" not in failed["targets"][0]


def test_the_receipt_says_what_was_done(dray, source, out):
    job = dray.json("push", source, "--to", out / "data", "--exclude", "tmp/")
    receipt = record(out / "data", "receipt.json")
    [target] = job["targets"]
    assert receipt["job"] == job["job"] and receipt["attempt"] == 1 and receipt["version"] == 1
    assert receipt["dataset"]["name"] == "source" and DIGEST.match(receipt["dataset"]["revision"])
    assert receipt["target"] == {"push": "push/hpfs", "destination": f"{out}/data"}
    assert receipt["request_key"] == target["request_key"] and receipt["plan"] == job["plan"]
    assert (receipt["entries"], receipt["bytes"]) == (3, 14)
    assert [step["id"] for step in receipt["steps"]] == ["stage", "validate", "pick", "deliver"]
    assert receipt["left_out"] == [{"by": "pick.exclude[0]", "why": '"tmp/"', "entries": 1, "bytes": 1,
                                    "names": [{"path": "tmp/t"}]}]
    marker = record(out / "data", "delivered.json")
    assert set(marker) == {"version", "request_key", "job", "dataset", "manifest_sha256", "time"}
    assert marker["manifest_sha256"] == target["manifest_sha256"] == receipt["manifest_sha256"]


def events_of(dray, *arguments, exit=0):
    read, write = os.pipe()
    with open(read, encoding="utf-8") as stream:
        done = dray(*arguments, "--progress-fd", write, pass_fds=[write], exit=exit)
        os.close(write)
        return done, [json.loads(line) for line in stream]


def test_events_are_written_to_the_descriptor_that_was_named(dray, source, out):
    done, events = events_of(dray, "push", source, "--to", out / "data", "--json")
    job = done.json()["job"]
    for event in events:
        assert TIME.match(event["time"]) and event["job"] == job and event["attempt"] == 1
        assert event["event"] in ("step-started", "progress", "log", "step-ended", "job-ended")
        assert event["event"] == "job-ended" or event["step"] in ("stage", "validate", "deliver")
    for kind in ("step-started", "step-ended"):
        steps = [event["step"] for event in events if event["event"] == kind]
        assert sorted(steps) == ["deliver", "stage", "validate"], kind
    ended = [event for event in events if event["event"] == "step-ended" and event["step"] == "deliver"]
    assert ended[0]["outcome"] == "done" and ended[0]["entries_out"] == 4
    assert [event["event"] for event in events].count("job-ended") == 1
    assert events[-1]["event"] == "job-ended" and events[-1]["state"] == "delivered"


def test_events_tell_a_failure_and_the_end(dray, source, out, small_disk):
    disk = small_disk("1m")
    (source / "big").write_bytes(os.urandom(3 << 20))
    _, events = events_of(dray, "push", source, "--to", disk / "data", exit=1)
    failed = [event for event in events if event.get("outcome") == "failed"]
    assert [event["step"] for event in failed] == ["deliver"]
    assert failed[0]["error"]["class"] == "no_space"
    assert (events[-1]["event"], events[-1]["state"]) == ("job-ended", "failed")


def test_events_nobody_reads_stop_no_delivery(dray, source, out):
    read, write = os.pipe()
    os.close(read)
    dray("push", source, "--to", out / "data", "--progress-fd", write, pass_fds=[write])
    os.close(write)
    assert contents(out / "data") == contents(source)


# ---- Exit codes --------------------------------------------------------------------------------


def test_exit_codes_are_those_of_the_manual(dray, files, source, out, tmp_path, workflow):
    file = workflow(ONE.format(target="./out/data"))
    deny = files(tmp_path / "deny", {"p.yaml": "version: 1\npolicy: p\nrevision: 1\nrules:\n"
                                     "  - { id: r, mode: enforce, limit: { entries: 1 }, message: no }\n"})
    dray("run", file, "--policies", deny, exit=3)
    dray("run", file, exit=0)
    dray("run", file, exit=0)
    dray("run", file, "--bogus", exit=2)
    dray("run", workflow("version: 1\nsteps: 3\n", "bad.yaml"), exit=2)
    dray("run", workflow(ONE.replace("./source", "./none").format(target="./out/x"), "none.yaml"), exit=2)
    dray("run", tmp_path / "none.yml", exit=4)
    dray("run", file, "--dataset", "./none", exit=4)
    dray("run", file, "--dataset", "catalog-name", exit=4)
    dray("run", file, "--policies", tmp_path / "nowhere", exit=4)
    dray("push", source, "--to", out, exit=1)
    dray("run", source, exit=2)


@pytest.mark.parametrize("arguments", [
    ["push"], ["push", "./source"], ["push", "./source", "--bogus"], ["bogus"], ["jobs", "--limit", "x"],
    ["run", "none.yaml"], ["show", "00000000"], ["verify", "none"], ["plugin", "show", "none/none"],
    ["plan", "bad.yaml"], ["preview", "bad.yaml"], ["run", "bad.yaml"], ["push", "none", "--to", "x"],
])
def test_every_error_under_json_is_one_object_with_the_same_exit_code(dray, source, workflow, arguments):
    workflow("version: 1\nsteps: 3\n", "bad.yaml")
    plain = dray(*arguments, exit=None, cwd=source.parent)
    assert plain.code in (2, 4) and plain.out == "" and plain.err.startswith(("error: ", "bad.yaml:"))
    under_json = dray(*arguments, "--json", exit=plain.code, cwd=source.parent)
    assert under_json.err == "" and under_json.out.count("\n") == 1
    error = under_json.json()["error"]
    assert set(error) <= {"class", "message", "where", "hint", "side"}
    assert error["class"] and error["message"]
    assert error["message"] in plain.err


# ---- Nothing -----------------------------------------------------------------------------------


def test_a_delivery_of_nothing_is_told_with_the_step_that_left_nothing(dray, files, workflow, tmp_path):
    data = files(tmp_path / "data", {"a.nc": "a", "b/c.nc": "c"})
    files(tmp_path, {"to/": None, "hollow/": None})
    said = dray("push", data, "--to", tmp_path / "to/a", "--include", "nothing")
    assert f"warning: nothing was delivered to {tmp_path}/to/a: step pick, filter/glob, left nothing of 2 entries" \
        in said.err
    assert "warning" not in dray("push", data, "--to", tmp_path / "to/a", "--include", "nothing").err, "it was told"
    assert "warning" not in dray("push", data, "--to", tmp_path / "to/b", "--include", "a.nc").err
    assert "warning" not in dray("push", tmp_path / "hollow", "--to", tmp_path / "to/c").err
    file = workflow("version: 1\ndataset: ./data\nsteps:\n"
                    "  - { id: all, uses: filter/glob, with: { exclude: [x] } }\n"
                    "  - { id: none, uses: filter/glob, needs: [all], with: { include: [x] } }\n"
                    "  - { id: one, uses: push/hpfs, needs: [all], with: { path: ./to/d } }\n"
                    "  - { id: two, uses: push/hpfs, needs: [none], with: { path: ./to/e } }\n")
    [warning] = [line for line in dray("run", file).err.splitlines() if "warning" in line]
    assert warning == (f"warning: nothing was delivered to {tmp_path}/to/e: step none, filter/glob, left nothing "
                       "of 2 entries")
    [target] = dray.json("push", data, "--to", tmp_path / "to/f", "--include", "nothing")["targets"]
    assert target["emptied_by"] == {"step": "pick", "uses": "filter/glob", "entries": 2}
