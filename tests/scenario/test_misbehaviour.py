# SPDX-License-Identifier: MIT
"""A plugin that crashes, hangs, exits or writes where it may not fails its step, is named, and harms
nothing else: the source stays as it was, nothing is left at the target, the next job runs."""
import os
import shutil
import subprocess

import pytest

from conftest import TOP

WORKFLOW = """\
version: 1
dataset: {source}
steps:
  - id: odd
    uses: filter/misbehave
    stall: 1s
    retry: {{ tries: 1 }}
    with: {{ how: {how}, path: "{path}" }}
  - id: deliver
    uses: push/hpfs
    with: {{ path: {target} }}
"""


@pytest.fixture
def site(dray, tmp_path):
    """A site whose plugin directory holds the filter, a dataset, and a workflow maker."""
    plugins = dray.home / ".local/lib/dray/plugins"
    plugins.mkdir(parents=True, mode=0o755)
    # Sanitizers are the host's business: a plugin is built as its author would.
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", f"-I{TOP}/include",
                    TOP / "tests/badplugins/filter-misbehave.c", "-o", plugins / "filter-misbehave.so"], check=True)
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.txt").write_text("one\n")
    (source / "b.txt").write_text("two\n")
    (tmp_path / "out").mkdir()

    class Site:
        target = tmp_path / "out" / "data"
        home = source

        def workflow(self, how, path=source):
            file = tmp_path / f"{how}.yaml"
            file.write_text(WORKFLOW.format(source=source, how=how, path=path, target=self.target))
            return file

        def unharmed(self):
            assert sorted(os.listdir(source)) == ["a.txt", "b.txt"]
            assert (source / "a.txt").read_text() == "one\n"
            assert os.listdir(tmp_path / "out") == []

        def scratch(self):
            return os.listdir(dray.state / "scratch")
    return Site()


@pytest.mark.parametrize("how, said", [
    ("crash", "plugin filter/misbehave crashed in decide: it died of SIGSEGV"),
    ("overflow-stack", "plugin filter/misbehave crashed in decide: it died of SIGSEGV"),
    ("abort", "plugin filter/misbehave crashed in decide: it died of SIGABRT"),
    ("free-twice", "plugin filter/misbehave crashed in decide: it died of SIGABRT"),
    ("exit", "plugin filter/misbehave ended its process in decide: it called exit(0)"),
    ("exit-at-once", "plugin filter/misbehave ended its process in decide: it called exit(3)"),
    ("hang", "filter/misbehave made no progress for 1"),
    ("no-verdict", "plugin filter/misbehave gave no valid verdict on a.txt"),
    ("no-reason", "plugin filter/misbehave failed in decide without saying why"),
])
def test_it_is_named_and_harms_nothing(dray, site, how, said):
    failed = dray("run", site.workflow(how), exit=1)
    assert f"error: step odd: {said}" in failed.err
    site.unharmed()
    assert site.scratch() == []
    job = dray.json("jobs")[0]
    assert job["state"] == "failed" and said in job["reason"]
    steps = {step["id"]: step for step in dray.json("show", job["job"])["attempts"][0]["steps"]}
    assert steps["odd"]["outcome"] == "failed" and said in steps["odd"]["reason"]
    assert steps["validate"]["outcome"] == "done"
    # other jobs are served, and to the same place
    dray("run", site.workflow("nothing"))
    assert (site.target / "a.txt").read_text() == "one\n"


def test_a_crash_while_planning_is_named(dray, site):
    failed = dray("plan", site.workflow("prepare"), exit=1)
    assert "plugin filter/misbehave crashed in prepare" in failed.err
    site.unharmed()


@pytest.mark.parametrize("where", ["source", "state", "target's parent"])
def test_it_cannot_write_but_where_it_may(dray, site, tmp_path, where):
    path = {"source": site.home, "state": dray.state, "target's parent": tmp_path / "out"}[where]
    if where != "source":
        (path / "a.txt").parent.mkdir(exist_ok=True)
        (path / "a.txt").write_text("three\n")
    failed = dray("run", site.workflow("write", path), exit=1)
    assert "0 of 9 ways to write" in failed.err
    assert not (path / "planted").exists()
    assert (path / "a.txt").exists()
    if where == "target's parent":
        (path / "a.txt").unlink()
    site.unharmed()


def test_without_the_sandbox_the_same_plugin_writes(dray, site):
    """So the test above shows the sandbox, and not a plugin that cannot."""
    failed = dray("run", "--no-sandbox", site.workflow("write"), exit=1)
    assert "0 of 9 ways" not in failed.err
    assert "warning: --no-sandbox" in failed.err
    shutil.rmtree(site.home)


def test_it_cannot_reach_the_network_or_trace(dray, site):
    assert "0 of 3 ways out worked" in dray("run", site.workflow("connect"), exit=1).err


def test_what_it_prints_goes_to_the_log_and_nowhere_else(dray, site):
    result = dray("run", "--json", site.workflow("print"))
    job = result.json()
    assert job["state"] == "delivered"
    assert "job-ended" in (dray.state / "logs" / f"{job['job']}.log").read_text()
