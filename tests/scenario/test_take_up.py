# SPDX-License-Identifier: MIT
"""A job that is taken up by a request that is the same, though its file says it otherwise."""
import json
import os
import sqlite3

import pytest

from conftest import contents

WORK = """\
version: 1
dataset: ./source
steps:
  - {{ id: {0}, uses: push/hpfs, with: {{ path: {1} }} }}
"""
CAP = """\
version: 1
policy: cap
revision: {0}
rules:
  - {{ id: cap, mode: {1}, limit: {{ entries: 1 }} }}
"""


@pytest.fixture
def site(dray, files, tmp_path, workflow):
    """site.run(text, exit) runs a workflow under the policy that site.cap wrote, if it did."""

    class Site:
        root, out = tmp_path, files(tmp_path / "out", {})
        source = files(tmp_path / "source", {"a.nc": "one", "b.nc": "two"})
        policies = []

        def cap(self, revision, mode):
            folder = files(tmp_path / "policies", {"cap.yaml": CAP.format(revision, mode)})
            self.policies = ["--policies", folder]

        def run(self, text, exit=0):
            return dray("run", workflow(text), *self.policies, exit=exit)

        def job(self):
            [job] = dray.json("jobs")
            return dray.json("show", job["job"])

        def targets(self):
            return {os.path.basename(one["destination"]): (one["step"], one["state"])
                    for one in self.job()["targets"]}

    return Site()


def test_ids_that_were_swapped_record_each_delivery_at_its_own_target(dray, site, small_disk):
    disk = small_disk("1m")
    (site.source / "big").write_bytes(os.urandom(3 << 20))
    both = WORK + "  - {{ id: {2}, uses: push/hpfs, with: {{ path: {3} }} }}\n"
    site.cap(1, "enforce")
    site.run(both.format("a", "./out/d1", "b", disk / "d2"), exit=3)
    site.policies = []
    swapped = both.format("b", "./out/d1", "a", disk / "d2")
    said = site.run(swapped, exit=1)
    assert "error: step a: the delivery needs " in said.err and "nothing was written" in said.err
    assert [line for line in said.out.splitlines() if " is at " in line] == [
        line for line in said.out.splitlines() if line.startswith(f"source is at {site.out}/d1: ")]
    assert site.targets() == {"d1": ("b", "delivered"), "d2": ("a", "failed")}
    again = site.run(swapped, exit=1)
    assert str(disk) not in again.out, "what was never delivered is not called delivered"
    small_disk.grow("9m")
    site.run(both.format("one", "./out/d1", "two", disk / "d2"))
    assert site.targets() == {"d1": ("one", "delivered"), "d2": ("two", "delivered")}
    assert contents(disk / "d2") == contents(site.out / "d1") == contents(site.source)
    replayed = dray.json("policy", "replay", site.root / "policies")
    assert replayed["totals"]["denied"] == 1, "both have verdicts, under the ids of now"


def test_a_push_with_a_new_id_takes_its_job_up(dray, site):
    site.cap(1, "enforce")
    site.run(WORK.format("p", "./out/d1"), exit=3)
    first = site.job()
    site.cap(2, "audit")
    site.run(WORK.format("q", "./out/d1"))
    job = site.job()
    assert job["job"] == first["job"] and job["state"] == "delivered"
    assert job["plan"] != first["plan"] and site.targets() == {"d1": ("q", "delivered")}
    assert [[step["id"] for step in one["steps"]][-1] for one in job["attempts"]] == ["p", "q"]
    with sqlite3.connect(dray.state / "dray.db") as store:
        [[plan, digest, text]] = store.execute("SELECT plan, plan_digest, workflow FROM push_job")
    plan = json.loads(plan)
    assert [one["revision"] for one in plan["policies"]] == [2]
    assert digest == plan["digest"] == job["plan"] and "id: q" in text
    replayed = dray.json("policy", "replay", site.root / "policies")
    assert replayed["totals"]["same"] == 1, "its verdicts are found"
