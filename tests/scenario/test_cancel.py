# SPDX-License-Identifier: MIT
"""`dray cancel` ends a job that another process has in hand, or that nobody has, and what it began is
undone."""
import os
import signal
import subprocess
import time

import pytest


@pytest.fixture
def site(dray, mocks, tmp_path, workflow):
    (tmp_path / "made").mkdir()
    (tmp_path / "out").mkdir()
    started = []

    class Site:
        out = tmp_path / "out"

        def workflow(self, options="", more="", push="push/mock"):
            path = "path: ./out" if push == "push/mock" else "path: ./out/made"
            return workflow(f"version: 1\ndataset: ./made\nsteps:\n"
                            f"  - {{ id: make, uses: source/mock, with: {{ entries: 40, bytes: 1000 }} }}\n"
                            f"  - {{ id: pick, uses: filter/mock }}\n"
                            f"  - {{ id: to, uses: {push}, with: {{ {path}{options} }}{more} }}\n")

        def start(self, file):
            running = dray.start("run", file, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            started.append(running)
            return running

        def until(self, ready, running=None):
            end = time.monotonic() + 30
            while not ready():
                assert time.monotonic() < end and (running is None or running.poll() is None)
                time.sleep(0.01)

        def pushing(self):
            return any(name.startswith(".") for name in os.listdir(self.out))

        def job(self):
            return dray.json("show", dray.json("jobs")[0]["job"])

        def nothing_left(self):
            assert os.listdir(self.out) == []
            assert os.listdir(dray.state / "scratch") == []
            assert os.listdir(dray.state / "jobs") == []
    yield Site()
    for running in started:
        if running.poll() is None:
            running.kill()
        running.communicate()


def who():
    import pwd
    return pwd.getpwuid(os.geteuid()).pw_name


def test_a_job_of_another_process_is_cancelled_and_undone(dray, site):
    file = site.workflow(", delay: 1s")
    running = site.start(file)
    site.until(site.pushing, running)
    id = dray.json("jobs", "--state", "running")[0]["job"]
    start = time.monotonic()
    assert dray("cancel", id[:8]).out == f"job {id[:8]} is cancelled\n"
    assert time.monotonic() - start < 10
    _, err = running.communicate(timeout=30)
    assert running.returncode == 5, err
    assert f"error: job {id[:8]} was cancelled by {who()}".encode() in err
    site.nothing_left()
    job = site.job()
    assert (job["state"], job["reason"]) == ("cancelled", f"cancelled by {who()}")
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["cancelled"]
    assert [target["state"] for target in job["targets"]] == ["cancelled"]
    # and it is not taken up again: the same request is a new job
    dray("run", site.workflow(", delay: 1ms"))
    assert dray.json("jobs")[0]["job"] != id


def test_the_push_to_a_file_system_leaves_nothing_either(dray, site, tmp_path):
    text = site.workflow(push="push/hpfs").read_text().replace("uses: filter/mock", "uses: filter/mock, with: { delay: 200ms }")
    (tmp_path / "work.yaml").write_text(text)
    running = site.start(tmp_path / "work.yaml")
    site.until(site.pushing, running)
    dray("cancel", dray.json("jobs")[0]["job"])
    running.communicate(timeout=30)
    assert running.returncode == 5
    site.nothing_left()


def test_a_job_that_waits_for_its_next_try_is_cancelled(dray, site):
    running = site.start(site.workflow(", fail: temporary", ", retry: { tries: 9, backoff: 1h, max_backoff: 1h }"))
    site.until(lambda: dray.state.exists() and [job for job in dray.json("jobs") if job["state"] == "queued"], running)
    [job] = dray.json("jobs")
    dray("cancel", job["job"])
    running.communicate(timeout=30)
    assert running.returncode == 5
    assert (site.job()["state"], site.job()["reason"]) == ("cancelled", f"cancelled by {who()}")
    site.nothing_left()


def test_a_job_that_waits_without_a_process_is_cancelled_at_once(dray, site):
    dray("run", site.workflow(", fail: later, after: 3"), exit=6)
    assert site.job()["state"] == "waiting"
    assert "is cancelled" in dray("cancel", site.job()["job"]).out
    assert site.job()["state"] == "cancelled"
    site.nothing_left()


@pytest.mark.parametrize("push", ["push/mock", "push/hpfs"])
def test_what_a_dead_engine_left_is_removed(dray, site, tmp_path, push):
    text = site.workflow(push=push).read_text().replace("uses: filter/mock", "uses: filter/mock, with: { delay: 1s }")
    if push == "push/mock":
        text = site.workflow(", delay: 1s").read_text()
    (tmp_path / "work.yaml").write_text(text)
    running = site.start(tmp_path / "work.yaml")
    site.until(site.pushing, running)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert site.pushing() and site.job()["state"] == "running"
    dray("cancel", site.job()["job"])
    job = site.job()
    assert (job["state"], job["reason"]) == ("cancelled", f"cancelled by {who()}")
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["interrupted"]
    site.nothing_left()


def test_what_a_dead_engine_left_in_a_scratch_of_the_site_is_removed(dray, site, tmp_path):
    (tmp_path / "big").mkdir()
    config = tmp_path / "dray.yaml"
    config.write_text(f"version: 1\nscratch: {{ path: {tmp_path}/big }}\n")
    running = dray.start("run", site.workflow(", delay: 1s"), "--config", config)
    site.until(site.pushing, running)
    assert [path for path in (tmp_path / "big").glob("dray-*/*")]
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    dray("cancel", site.job()["job"], "--config", config)
    assert site.job()["state"] == "cancelled" and os.listdir(site.out) == []
    assert [path for path in (tmp_path / "big").glob("dray-*/*")] == []


def test_a_hanging_plugin_does_not_keep_it_from_ending(dray, site):
    running = site.start(site.workflow(", hang: true, after: 2"))
    site.until(site.pushing, running)
    time.sleep(0.3)
    dray("cancel", dray.json("jobs")[0]["job"])
    running.communicate(timeout=30)
    assert running.returncode == 5 and site.job()["state"] == "cancelled"
    site.nothing_left()


def test_of_several_targets_what_is_delivered_stays(dray, site, tmp_path, workflow):
    (tmp_path / "fast").mkdir()
    file = workflow("version: 1\ndataset: ./made\nsteps:\n"
                    "  - { id: make, uses: source/mock }\n"
                    "  - { id: fast, uses: push/mock, with: { path: ./fast } }\n"
                    "  - { id: slow, uses: push/mock, after: [fast], with: { path: ./out, delay: 30s } }\n")
    running = site.start(file)
    site.until(site.pushing, running)
    dray("cancel", dray.json("jobs")[0]["job"])
    out, err = running.communicate(timeout=30)
    assert running.returncode == 5 and b"1 of 2 delivered" in err
    job = site.job()
    assert job["reason"] == f"1 of 2 delivered; cancelled by {who()}"
    assert [target["state"] for target in job["targets"]] == ["delivered", "cancelled"]
    assert os.listdir(tmp_path / "fast") == ["made"]
    site.nothing_left()


def test_several_jobs_and_those_that_have_ended(dray, site, tmp_path, workflow):
    dray("run", site.workflow(", fail: permanent"), exit=1)
    failed = dray.json("jobs")[0]["job"]
    dray("run", site.workflow(", fail: later"), exit=6)
    waiting = dray.json("jobs")[0]["job"]
    answer = dray.json("cancel", failed, waiting)
    assert [(job["job"], job["state"], job["cancelled"]) for job in answer["jobs"]] == [
        (failed, "failed", False), (waiting, "cancelled", True)]
    again = dray("cancel", waiting, failed).out
    assert again == f"job {waiting[:8]} had ended already: cancelled\njob {failed[:8]} had ended already: failed\n"
    assert dray.json("show", waiting)["state"] == "cancelled" and dray.json("show", failed)["state"] == "failed"


def test_what_is_delivered_is_not_undone(dray, site):
    dray("run", site.workflow())
    delivered = dray.json("jobs")[0]["job"]
    refused = dray("cancel", delivered, exit=1)
    assert f"error: job {delivered[:8]} has delivered, and a cancel undoes no delivery" in refused.err
    answer = dray("cancel", delivered, "--json", exit=1).json()
    assert answer["error"]["class"] == "conflict" and answer["jobs"][0]["state"] == "delivered"
    assert os.listdir(site.out) == ["made"] and site.job()["state"] == "delivered"


def test_one_that_is_unknown_stops_all(dray, site):
    dray("run", site.workflow(", fail: later"), exit=6)
    job = dray.json("jobs")[0]["job"]
    assert "there is no such job" in dray("cancel", job, "00000000", exit=4).err
    assert dray.json("jobs")[0]["state"] == "waiting"
    assert "an argument is missing" in dray("cancel", exit=2).err


def test_a_wish_that_nobody_heard_does_not_stop_the_next_run(dray, site):
    """Both died: who asked, and who was asked."""
    file = site.workflow(", fail: later, times: 1")
    dray("run", file, exit=6)
    (dray.state / "jobs").mkdir(exist_ok=True)
    (dray.state / "jobs" / f"{site.job()['job']}.cancel").write_text("smith")
    dray("run", file)
    assert site.job()["state"] == "delivered" and os.listdir(dray.state / "jobs") == []


def test_who_asked_is_told_and_recorded(dray, site):
    running = site.start(site.workflow(", delay: 1s"))
    site.until(site.pushing, running)
    id = dray.json("jobs")[0]["job"]
    made = dray.state / "jobs" / f"{id}.cancel.new"
    made.write_text("smith")
    made.rename(dray.state / "jobs" / f"{id}.cancel")
    _, err = running.communicate(timeout=30)
    assert running.returncode == 5 and b"was cancelled by smith" in err
    assert site.job()["reason"] == "cancelled by smith"
    site.nothing_left()
