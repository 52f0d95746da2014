# SPDX-License-Identifier: MIT
"""`dray jobs` and `dray show`: what is listed, by which filter, and how one job is found."""
import shutil

import pytest

from conftest import UUID

KEYS = {"job", "dataset", "state", "already_delivered", "user", "actor", "targets", "created", "updated"}


@pytest.fixture
def three(dray, files, tmp_path):
    """Three jobs, oldest first: ocean delivered, forest failed, ocean delivered once more."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/link").symlink_to("/")
    ocean = files(tmp_path / "ocean", {"a": "one"})
    forest = files(tmp_path / "forest", {"b": "two"})
    (forest / "evil").symlink_to("/etc/passwd")
    return [dray.json("push", ocean, "--to", tmp_path / "out/one"),
            dray.json("push", forest, "--to", tmp_path / "out/two", exit=1),
            dray.json("push", ocean, "--to", tmp_path / "out/three")]


def ids(jobs):
    return [job["job"] for job in jobs]


def test_no_jobs_is_said(dray):
    assert dray("jobs").out == "no jobs\n"
    assert dray.json("jobs") == []


def test_jobs_are_listed_newest_first_with_what_they_are(dray, three, tmp_path):
    jobs = dray.json("jobs")
    assert ids(jobs) == ids(reversed(three))
    for job in jobs:
        assert KEYS <= set(job) and "attempts" not in job and UUID.match(job["job"])
    assert [job["state"] for job in jobs] == ["delivered", "failed", "delivered"]
    lines = dray("jobs").out.splitlines()
    for line, job in zip(lines, jobs):
        assert line.startswith(f"{job['job'][:8]}  {job['state']}")
        assert f"{job['dataset']} -> {job['targets'][0]['destination']}" in line
    assert '"evil" -> "/etc/passwd" leaves the dataset' in lines[1]
    assert lines[2].endswith(f"ocean -> {tmp_path}/out/one")


@pytest.mark.parametrize("filters, which", [
    (["--state", "delivered"], [2, 0]), (["--state", "failed"], [1]), (["--state", "queued"], []),
    (["--dataset", "ocean"], [2, 0]), (["--dataset", "ocea"], []), (["--since", "1h"], [2, 1, 0]),
    (["--since", "1ms"], []), (["--limit", "2"], [2, 1]), (["--user", "nobody-of-that-name"], []),
    (["--dataset", "ocean", "--state", "delivered", "--limit", "1"], [2]),
])
def test_filters_choose(dray, three, filters, which):
    assert ids(dray.json("jobs", *filters)) == [three[number]["job"] for number in which]
    listed = dray("jobs", *filters).out
    assert [line[:8] for line in listed.splitlines()] == (
        [three[number]["job"][:8] for number in which] if which else ["no jobs"])


def test_jobs_of_a_user_are_found_by_their_name(dray, three):
    assert ids(dray.json("jobs", "--user", three[0]["user"])) == ids(reversed(three))


@pytest.mark.parametrize("filters, said", [
    (["--state", "deliverd"], "did you mean delivered?"), (["--state", "x"], "the states are queued"),
    (["--since", "yesterday"], "--since yesterday: "), (["--since", "7"], "or how long ago, 7d"),
    (["--limit", "0"], "--limit 0: "), (["--limit", "-1"], "--limit -1: "), (["--limit", "x"], "--limit x: "),
    (["extra"], "unexpected argument extra"),
])
def test_a_wrong_filter_is_refused(dray, filters, said):
    refused = dray("jobs", *filters, exit=2)
    assert said in refused.err and " hint: " in refused.err


@pytest.mark.parametrize("form", [lambda job: job, lambda job: job[:4], lambda job: job[:8],
                                  lambda job: job[:13], lambda job: job[:8].upper()])
def test_a_job_is_found_by_the_beginning_of_its_id(dray, three, form):
    wanted = three[1]["job"]
    assert dray.json("show", form(wanted))["job"] == wanted


def test_show_tells_targets_attempts_steps_and_reasons(dray, three, tmp_path):
    said = dray("show", three[1]["job"]).out
    assert said.startswith(f"job {three[1]['job']}: forest, failed\n")
    assert f"target deliver push/hpfs {tmp_path}/out/two: failed" in said
    assert "attempt 1: failed" in said and "symlinks: skip" in said
    assert [line.split()[:3] for line in said.splitlines() if line.split()[1:2] == ["push/hpfs"]] \
        == [["deliver", "push/hpfs", "failed"]]
    assert '      1 symbolic link cannot be kept: "evil" -> "/etc/passwd" leaves the dataset' in said
    shown = dray.json("show", three[1]["job"])
    error = three[1].pop("error")
    assert shown == three[1] and shown["reason"] == error["message"]
    said = dray("show", three[0]["job"]).out
    assert f"target deliver push/hpfs {tmp_path}/out/one: delivered, 1 entry, 3 B" in said


@pytest.mark.parametrize("wanted", ["00000000", "zzzz", "0000-0000", "x" * 99, "%%%%"])
def test_a_job_that_is_not_there_is_not_found(dray, three, wanted):
    assert "there is no such job" in dray("show", wanted, exit=4).err
    error = dray.json("show", wanted, exit=4)["error"]
    assert error["class"] == "not_found" and "there is no such job" in error["message"]


def test_too_little_of_an_id_is_refused(dray, three):
    assert "at least the first 4 characters" in dray("show", three[0]["job"][:3], exit=2).err


def test_jobs_are_kept_when_what_they_delivered_is_gone(dray, three, tmp_path):
    shutil.rmtree(tmp_path / "out")
    assert dray.json("show", three[0]["job"])["state"] == "delivered"
