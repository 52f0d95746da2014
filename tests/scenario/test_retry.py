# SPDX-License-Identifier: MIT
"""What is tried again, how often and after how long; and what becomes of several targets of which some
fail."""
import json
import os
import signal
import subprocess
import time

import pytest

from conftest import contents

LASTING = ["permanent", "invalid", "not_found", "conflict", "denied", "credential", "integrity", "changed",
                 "no_space", "no_memory", "unsupported", "bug"]


@pytest.fixture
def site(dray, mocks, tmp_path, workflow):
    (tmp_path / "made").mkdir()

    class Site:
        def workflow(self, *pushes, source=""):
            """A workflow; a push is its id, its options, and further keys of the step."""
            text = "version: 1\ndataset: ./made\nsteps:\n"
            text += f"  - {{ id: make, uses: source/mock, with: {{ entries: 4{source} }} }}\n"
            for name, options, *more in pushes:
                (tmp_path / name).mkdir(exist_ok=True)
                text += (f"  - {{ id: {name}, uses: push/mock, with: {{ path: ./{name}{options} }}"
                         f"{''.join(', ' + key for key in more)} }}\n")
            return workflow(text)

        def delivered(self, name):
            return os.listdir(tmp_path / name) == ["made"] and len(contents(tmp_path / name / "made")) == 4

        def empty(self, name):
            return os.listdir(tmp_path / name) == []

        def run(self, *pushes, exit=0, **keywords):
            """The result, the job and its events."""
            with open(tmp_path / "events", "w+") as stream:
                fd = stream.fileno()
                done = dray("run", self.workflow(*pushes, **keywords), "--progress-fd", fd, exit=exit, pass_fds=[fd])
                stream.seek(0)
                self.events = [json.loads(line) for line in stream]
            self.job = dray.json("show", dray.json("jobs")[0]["job"])
            assert os.listdir(dray.state / "scratch") == []
            return done

        def outcomes(self, step):
            return [one["outcome"] for attempt in self.job["attempts"] for one in attempt["steps"] if one["id"] == step]

        def retries(self, step=None):
            return [one for one in self.events if one["event"] == "retrying" and step in (None, one["step"])]
    return Site()


FAST = "retry: { tries: 3, backoff: 20ms }"


@pytest.mark.parametrize("class_", ["temporary", "timed_out"])
def test_what_may_pass_is_tried_again(site, class_):
    done = site.run(("to", f", fail: {class_}, times: 2", FAST))
    assert site.outcomes("to") == ["failed", "failed", "done"] and site.delivered("to")
    assert "to failed for now: the mock fails as it was told, after 0; try 2 of 3 in 0.0 s" in done.err
    assert [(one["try"], one["tries"]) for one in site.retries()] == [(2, 3), (3, 3)]


@pytest.mark.parametrize("class_", LASTING)
def test_what_will_not_pass_is_not_tried_again(site, class_):
    site.run(("to", f", fail: {class_}, times: 1", FAST), exit=3 if class_ == "denied" else 1)
    assert site.outcomes("to") == ["failed"] and site.empty("to") and not site.retries()


def test_tries_are_respected(site):
    done = site.run(("to", ", fail: temporary", FAST), exit=75)
    assert site.outcomes("to") == ["failed"] * 3 and site.empty("to")
    assert "error: step to: the mock fails as it was told" in done.err
    site.run(("to", ", fail: temporary", "retry: { tries: 1 }"), exit=75)
    assert site.outcomes("to")[3:] == ["failed"], "one more, by the settings of now"


def test_waits_grow_to_the_most_and_are_of_any_length_below(site):
    site.run(("to", ", fail: temporary", "retry: { tries: 40, backoff: 20ms, max_backoff: 79ms }"), exit=75)
    waits = [one["milliseconds"] for one in site.retries()]
    assert len(waits) == 39
    assert waits[0] < 20 and waits[1] < 40 and max(waits) < 79
    assert max(waits) >= 40, "more than twice the first"
    assert min(waits[2:]) < 20 and len(set(waits)) > 10, "full jitter"


def test_a_source_and_a_filter_are_tried_again_too(dray, site, tmp_path, workflow):
    (tmp_path / "to").mkdir()
    retry = "retry: { tries: 3, backoff: 10ms }"
    file = workflow(f"""\
version: 1
dataset: ./made
steps:
  - {{ id: make, uses: source/mock, with: {{ fail: temporary, times: 1, after: 2 }}, {retry} }}
  - {{ id: pick, uses: filter/mock, with: {{ fail: temporary, times: 2 }}, {retry} }}
  - {{ id: to, uses: push/mock, with: {{ path: ./to }} }}
""")
    dray("run", file)
    assert len(dray.json("show", dray.json("jobs")[0]["job"])["attempts"]) == 3


# ---- Several targets ---------------------------------------------------------------------------


def test_one_of_two_is_delivered_and_only_the_other_is_tried_by_the_next_run(dray, site):
    pushes = ("good", ""), ("bad", ", fail: permanent, times: 1, after: 2")
    done = site.run(*pushes, exit=1)
    assert "error: step bad: the mock fails as it was told, after 2" in done.err
    assert "\n1 of 2 delivered\n" in done.err and "made is at mock://" in done.out
    assert site.delivered("good") and site.empty("bad")
    assert site.job["state"] == "failed" and site.job["reason"].startswith("1 of 2 delivered; step bad: ")
    assert [target["state"] for target in site.job["targets"]] == ["delivered", "failed"]
    first = site.job["job"]
    site.run(*pushes)
    assert site.job["job"] == first and site.job["state"] == "delivered"
    assert site.outcomes("good") == ["done"] and site.outcomes("bad") == ["failed", "done"]
    assert site.delivered("bad")


def test_each_target_is_tried_as_its_own_settings_say(site):
    site.run(("once", ", fail: temporary", "retry: { tries: 1 }"), ("twice", ", fail: temporary", "retry: { tries: 2, backoff: 10ms }"),
             ("four", ", fail: temporary, times: 3", "retry: { tries: 4, backoff: 10ms }"), exit=75)
    assert site.outcomes("once") == ["failed", "skipped", "skipped", "skipped"]
    assert site.outcomes("twice") == ["failed", "failed", "skipped", "skipped"]
    assert site.outcomes("four") == ["failed", "failed", "failed", "done"] and site.delivered("four")
    assert site.empty("once") and site.empty("twice")
    assert site.job["reason"].startswith("1 of 3 delivered; step once: ")


def test_a_target_that_failed_for_good_does_not_keep_another_from_being_tried_again(site):
    site.run(("bad", ", fail: integrity"), ("shaky", ", fail: temporary, times: 1, delay: 50ms", FAST), exit=1)
    assert site.outcomes("bad") == ["failed", "skipped"]
    assert site.outcomes("shaky") == ["failed", "done"] and site.delivered("shaky")


@pytest.mark.parametrize("how", ["signal: SEGV", "exit: 3"])
def test_a_target_whose_plugin_takes_the_runner_down_is_left_out_and_the_others_are_delivered(site, how):
    done = site.run(("crash", f", {how}, after: 1"), ("good", ", delay: 50ms"), exit=1)
    assert "error: step crash: plugin push/mock " in done.err
    assert site.outcomes("crash") == ["failed", "skipped"] and site.empty("crash")
    assert site.outcomes("good") == ["cancelled", "done"] and site.delivered("good")


def test_what_comes_after_a_target_that_failed_is_not_begun(site):
    site.run(("bad", ", fail: permanent"), ("next", "", "after: [bad]"),
             ("shaky", ", fail: temporary, times: 1, delay: 50ms", FAST), exit=1)
    assert set(site.outcomes("next")) == {"skipped"} and site.empty("next")
    assert site.delivered("shaky")


@pytest.mark.parametrize("how", ["fail: permanent", "fail: temporary", "signal: SEGV"])
def test_a_push_that_fails_behind_its_commit_has_delivered_and_keeps_no_other_from_it(site, how):
    site.run(("done", f", {how}, at: committed", FAST), ("next", "", "after: [done]"),
             ("shaky", ", fail: temporary, times: 1, delay: 50ms", FAST))
    assert site.job["state"] == "delivered" and not site.retries("done")
    assert site.delivered("done") and site.delivered("next") and site.delivered("shaky")
    assert len(site.outcomes("done")) - site.outcomes("done").count("skipped") == 1


def test_a_filter_that_fails_for_good_stops_only_the_targets_behind_it(dray, site, tmp_path, workflow):
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
    file = workflow("""\
version: 1
dataset: ./made
steps:
  - { id: make, uses: source/mock, with: { entries: 4 } }
  - { id: broken, uses: filter/mock, needs: [make], with: { signal: ABRT, after: 1 } }
  - { id: left, uses: push/mock, needs: [broken], with: { path: ./left } }
  - { id: right, uses: push/mock, needs: [make], with: { path: ./right, delay: 50ms } }
""")
    failed = dray("run", file, exit=1)
    assert "error: step broken: plugin filter/mock crashed in decide" in failed.err
    assert site.delivered("right") and site.empty("left")


# ---- Later -------------------------------------------------------------------------------------


def test_waiting_uses_up_no_try(dray, site):
    file = site.workflow(("to", ", fail: later, times: 4", "retry: { tries: 1 }"))
    for _ in range(4):
        dray("run", file, exit=6)
        assert dray.json("jobs")[0]["state"] == "waiting"
    dray("run", file)
    [job] = dray.json("jobs")
    assert job["state"] == "delivered" and site.delivered("to")


def test_one_target_waits_and_the_other_is_delivered(dray, site):
    pushes = ("good", ""), ("slow", ", fail: later, times: 1")
    site.run(*pushes, exit=6)
    assert site.job["state"] == "waiting" and site.delivered("good")
    site.run(*pushes)
    assert site.job["state"] == "delivered" and site.delivered("slow")
    assert site.outcomes("good") == ["done"]


def test_a_job_waits_for_one_target_whatever_became_of_the_other(site):
    pushes = ("bad", ", fail: permanent"), ("slow", ", fail: later, times: 1")
    done = site.run(*pushes, exit=6)
    assert site.job["state"] == "waiting" and "step slow: " in done.err
    done = site.run(*pushes, exit=1)
    assert site.job["state"] == "failed" and site.delivered("slow") and "step bad: " in done.err


# ---- Checkpoints -------------------------------------------------------------------------------


def test_the_next_attempt_sees_the_checkpoint_of_the_one_before(site):
    site.run(("to", ", fail: temporary, times: 2", FAST))
    assert site.job["targets"][0]["confirmation"] == {"earlier_attempt": "2"}


@pytest.mark.parametrize("who", ["engine", "runner", "both"])
def test_a_checkpoint_survives_a_kill(dray, site, tmp_path, who):
    file = site.workflow(("to", ", delay: 30s, times: 1", "retry: { tries: 1 }"))
    running = dray.start("run", file, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while not any(name.startswith(".mock") for name in os.listdir(tmp_path / "to")):
            assert time.monotonic() < end and running.poll() is None
            time.sleep(0.01)
        with open(f"/proc/{running.pid}/task/{running.pid}/children") as children:
            [runner] = [int(pid) for pid in children.read().split()]
        if who != "runner":
            running.kill()
        if who != "engine":
            os.kill(runner, signal.SIGKILL)
        running.wait(timeout=30)
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
    dray("run", file)
    job = dray.json("show", dray.json("jobs")[0]["job"])
    assert job["targets"][0]["confirmation"] == {"earlier_attempt": "1"}
    assert len(job["attempts"]) == 2 and site.delivered("to")
