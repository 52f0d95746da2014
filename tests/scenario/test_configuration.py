# SPDX-License-Identifier: MIT
"""The configuration file: what it may say, where it is looked for, and that one which is not understood stops
what it could have stopped."""
import os
import subprocess

import pytest

POLICY = """version: 1
policy: {0}
revision: 1
rules:
  - id: no-raw
    mode: enforce
    inject: [{{ uses: filter/glob, with: {{ exclude: ["{0}/"] }} }}]
"""


@pytest.fixture
def site(files, tmp_path):
    files(tmp_path, {"data/a.csv": "1", "data/raw/x": "2", "data/own/y": "3", "out/": None,
                     "etc/policies/raw.yaml": POLICY.format("raw"), "more/own.yaml": POLICY.format("own"),
                     "work.yaml": "version: 1\ndataset: ./data\nsteps:\n"
                                  "  - { id: p, uses: push/hpfs, with: { path: ./out/x } }\n"})
    return tmp_path


def configured(site, policies="", rest="version: 1\n"):
    file = site / "etc/dray.yaml"
    file.write_text(rest + (f"policies: {policies}\n" if policies else ""))
    return file


def plans(dray, site, *arguments, **keywords):
    """Every command that plans, one result each."""
    work = site / "work.yaml"
    for command in (["plan", work], ["preview", work], ["run", work],
                    ["push", site / "data", "--to", site / "out/y"], ["policy", "list"]):
        yield dray(*command, *arguments, **keywords)


def test_its_policies_hold_from_wherever_it_is_called(dray, site):
    config = configured(site, "{ path: policies }")
    dray("push", site / "data", "--to", site / "out/x", "--config", config, cwd="/")
    assert sorted(os.listdir(site / "out/x")) == [".dray", "a.csv", "own"]
    dray("push", "./data", "--to", "./out/y", "--config", "etc/dray.yaml", cwd=site)
    assert sorted(os.listdir(site / "out/y")) == [".dray", "a.csv", "own"]
    absolute = configured(site, f"{{ path: {site}/more }}")
    dray("push", site / "data", "--to", site / "out/z", "--config", absolute)
    assert sorted(os.listdir(site / "out/z")) == [".dray", "a.csv", "raw"]


@pytest.mark.parametrize("mandatory", ["", ", mandatory: false", ", mandatory: true"])
def test_policies_of_the_command_line_only_add(dray, site, mandatory):
    config = configured(site, f"{{ path: policies{mandatory} }}")
    dray("push", site / "data", "--to", site / "out/x", "--config", config, "--policies", site / "more")
    assert sorted(os.listdir(site / "out/x")) == [".dray", "a.csv"]


def test_mandatory_policies_must_be_there(dray, site):
    (site / "etc/policies/raw.yaml").unlink()
    dray("plan", site / "work.yaml", "--config", configured(site, "{ path: policies }"))
    config = configured(site, "{ path: policies, mandatory: true }")
    for refused in plans(dray, site, "--config", config, "--policies", site / "more", exit=3):
        assert f"{site}/etc/policies holds no policies, and the configuration says that it must" in refused.err
    assert os.listdir(site / "out") == []


def test_a_configuration_without_policies_changes_nothing(dray, site):
    config = configured(site)
    assert dray("policy", "list", "--config", config).out == "no policies\n"
    dray("run", site / "work.yaml", "--config", config)


@pytest.mark.parametrize("text, said", [
    ("policies: { path: policies }\n", ":1:1: error: the configuration has no `version`"),
    ("version: 2\n", ":1:10: error: this release reads version 1 of configurations, not 2"),
    ("version: '1'\n", ":1:10: error: this release reads version 1 of configurations, not 1"),
    ("version: 1\npolices: { path: policies }\n", ':2:1: error: unknown key "polices" in a configuration'),
    ("version: 1\npolicies: { pth: policies }\n", ':2:13: error: unknown key "pth" in policies'),
    ("version: 1\npolicies: policies\n", ":2:11: error: `policies` is a mapping, not a string"),
    ("version: 1\npolicies:\n", ": error: `policies` is a mapping, not nothing"),
    ("version: 1\npolicies: { path: [policies] }\n", ":2:19: error: `path` is a path, not a list"),
    ("version: 1\npolicies: { path: '' }\n", ":2:19: error: `path` is a path, not nothing"),
    ("version: 1\npolicies: { path: }\n", "error: `path` is a path, not nothing"),
    ("version: 1\npolicies: { path: nowhere }\n", ":2:19: error: the directory of policies "),
    ("version: 1\npolicies: { path: dray.yaml }\n", "dray.yaml is not a directory"),
    ("version: 1\npolicies: { path: policies, mandatory: yes }\n",
     ":2:40: error: `mandatory` is true or false, not yes"),
    ("version: 1\npolicies: { path: policies, verify_key: nokey }\n", "/etc/nokey: No such file"),
    ("version: 1\npolicies: { path: policies, verify_key: dray.yaml }\n",
     "dray.yaml holds no key, not a public Ed25519 key in PEM"),
    ("version: 1\npolicies: { path: policies\n", "error: "),
    ("", "the file has nothing in it"),
    ("[]\n", ":1:1: error: a configuration is a mapping with `version`, not a list"),
    ("version: 1\nversion: 1\n", ":2:1: error: "),
])
def test_one_with_a_problem_stops_every_plan_and_says_where(dray, site, text, said):
    config = configured(site, rest=text)
    for refused in plans(dray, site, "--config", config, exit=2):
        assert said in refused.err and str(config) in refused.err and refused.out == "", refused
    assert os.listdir(site / "out") == []
    error = dray("run", site / "work.yaml", "--config", config, "--json", exit=2).json()
    assert error["error"]["class"] == "invalid" and error["error"]["where"].startswith(str(config))


@pytest.mark.parametrize("key", ["database: x", "listen: { socket: x }", "receipts: { key: x }",
                                 "plugins: { path: [] }", "secrets: {}",
                                 "outgoing: {}", "limits: {}", "windows: []", "globus: {}", "audit: {}",
                                 "notify: []"])
def test_what_this_release_cannot_do_is_not_passed_over(dray, site, key):
    config = configured(site, rest=f"version: 1\n{key}\n")
    name = key.split(":")[0]
    for refused in plans(dray, site, "--config", config, exit=2):
        assert f":2:1: error: this release does not know `{name}` yet" in refused.err
    assert f"this release does not know `{name}` yet" in dray("check", config, exit=2).out


def test_one_that_cannot_be_read_stops_every_plan(bound, site):
    config = configured(site)
    config.chmod(0)
    for refused in plans(bound, site, "--config", config, exit=2):
        assert "the configuration cannot be read: " in refused.err and str(config) in refused.err
    for refused in plans(bound, site, "--config", site / "etc", exit=2):
        assert "the configuration cannot be read: " in refused.err


def test_one_that_is_named_must_be_there(dray, site):
    nowhere = site / "nowhere.yaml"
    for refused in plans(dray, site, "--config", nowhere, exit=4):
        assert f"looking for the configuration {nowhere}: No such file or directory" in refused.err
    assert "looking for the configuration" in dray("jobs", "--config", nowhere, exit=4).err


def test_every_command_takes_one(dray, site):
    config = configured(site, "{ path: policies }")
    made = dray.json("run", site / "work.yaml", "--config", config)
    for command in (["jobs"], ["show", made["job"]], ["verify", site / "out/x"], ["plugin", "list"],
                    ["check", site / "work.yaml"]):
        dray(*command, "--config", config)


def test_check_tells_a_configuration_by_its_keys(dray, site):
    good = configured(site, "{ path: policies }")
    assert dray("check", good, site / "work.yaml", site / "more/own.yaml").out == "3 files checked, no errors\n"
    other = site / "etc/site.yaml"
    other.write_text("version: 1\npolicies: { path: nowhere }\n")
    assert f"{other}:2:19: error: the directory of policies {site}/etc/nowhere" in dray("check", other, exit=2).out
    other.write_text("version: 1\nlimits: { jobs: 3 }\n")
    assert "does not know `limits`" in dray("check", other, exit=2).out
    # By its name, where it says nothing else; but a workflow may have any name.
    dray("check", configured(site))
    (site / "dray.yaml").write_text((site / "work.yaml").read_text())
    dray("check", site / "dray.yaml")
    other.write_text("version: 1\npolicies: here\n")
    assert "this is no workflow, policy, recipe or configuration" in dray("check", other, exit=2).out
    other.write_text("version: 1\nlimits: 3\nsteps: []\n")
    assert 'unknown key "limits" in a workflow' in dray("check", other, exit=2).out


def test_a_key_is_found_from_the_file_and_asked_for(dray, site):
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", site / "etc/key"], check=True)
    (site / "etc/key").chmod(0o600)
    subprocess.run(["openssl", "pkey", "-in", site / "etc/key", "-pubout", "-out", site / "etc/key.pub"], check=True)
    config = configured(site, "{ path: policies, verify_key: key.pub }")
    assert "are not signed" in dray("run", site / "work.yaml", "--config", config, exit=3).err
    dray("policy", "sign", site / "etc/policies", "--key", site / "etc/key")
    dray("run", site / "work.yaml", "--config", config)
    # A private key has no business there.
    config = configured(site, "{ path: policies, verify_key: key }")
    refused = dray("plan", site / "work.yaml", "--config", config, exit=2)
    assert "key is a private key, not a public Ed25519 key" in refused.err and "BEGIN" not in refused.err


def test_the_systems_is_read_where_none_is_named(dray, site):
    """/etc is another directory for these programs alone."""
    etc = site / "instead"
    (etc / "dray/policies").mkdir(parents=True)
    (etc / "dray/policies/own.yaml").write_text(POLICY.format("own"))
    dray.prefix = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', str(etc)]
    dray("push", site / "data", "--to", site / "out/a")
    assert sorted(os.listdir(site / "out/a")) == [".dray", "a.csv", "raw"]
    file = etc / "dray/dray.yaml"
    file.write_text(f"version: 1\npolicies: {{ path: {site}/etc/policies, mandatory: true }}\n")
    dray("push", site / "data", "--to", site / "out/b")
    assert sorted(os.listdir(site / "out/b")) == [".dray", "a.csv", "own"]
    # One that is named holds instead.
    dray("push", site / "data", "--to", site / "out/c", "--config", configured(site))
    assert sorted(os.listdir(site / "out/c")) == [".dray", "a.csv", "raw"]
    file.write_text("version: 1\npolicies: { mandatory: true, verify_key: nokey }\n")
    refused = dray("push", site / "data", "--to", site / "out/d", exit=2)
    assert "/etc/dray/dray.yaml:2:42: error: cannot open the key /etc/dray/nokey" in refused.err
    file.unlink()
    file.symlink_to("gone.yaml")
    assert "the configuration cannot be read" in dray("push", site / "data", "--to", site / "out/d", exit=2).err
    file.unlink()
    (etc / "dray/policies/own.yaml").unlink()
    (etc / "dray/policies").rmdir()
    file.write_text("version: 1\npolicies: { mandatory: true }\n")
    refused = dray("push", site / "data", "--to", site / "out/d", exit=2)
    assert "/etc/dray/dray.yaml:2:24: error: the directory of policies /etc/dray/policies cannot be found" in refused.err
