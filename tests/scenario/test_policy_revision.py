# SPDX-License-Identifier: MIT
"""Revisions of policies only grow: what ruled once from a directory is not replaced by something older, nor
by another text of the same revision."""
import hashlib
import re
import shutil
import sqlite3
import threading

import pytest

POLICY = """version: 1
policy: {name}
owner: ops@example.edu
revision: {revision}
rules:
  - id: no-raw
    mode: {mode}
    inject:
      - uses: filter/glob
        with: {{ exclude: ["{pattern}"] }}
    message: Raw stays here.
"""


def policy(revision, pattern="raw/", name="site", mode="enforce"):
    return POLICY.format(revision=revision, pattern=pattern, name=name, mode=mode)


class Site:
    def __init__(self, dray, files, root):
        self.dray, self.root, self.files, self.number = dray, root, files, 0
        self.source = files(root / "data", {"a.csv": "1", "raw/x": "2"})
        self.folder = root / "policies"

    def rules(self, **policies):
        """Replaces the whole set."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.files(self.folder, {f"{name}.yaml": text for name, text in policies.items()})

    def push(self, *more, exit=0):
        self.number += 1
        return self.dray("push", self.source, "--to", self.root / f"out{self.number}", "--policies", self.folder,
                         *more, exit=exit)

    def work(self):
        path = self.root / "work.yaml"
        path.write_text(f"version: 1\ndataset: {self.source}\nsteps:\n"
                        f"  - {{ id: p, uses: push/hpfs, with: {{ path: {self.root / 'never'} }} }}\n")
        return path

    def table(self, query):
        with sqlite3.connect(self.dray.state / "dray.db") as database:
            return database.execute(query).fetchall()


@pytest.fixture
def site(dray, files, tmp_path):
    return Site(dray, files, tmp_path)


def test_an_older_revision_is_denied_with_its_place_and_what_to_do(dray, site):
    site.rules(a=policy(7))
    site.push()
    site.rules(a=policy(6))
    for command in ("run", "plan", "preview"):
        refused = dray(command, site.work(), "--policies", site.folder, exit=3)
        assert re.search(rf"{site.folder}/a.yaml:4:11: error: policy site is at revision 6, and revision 7 has "
                         r"ruled \(since 20\d\d-\d\d-\d\d\)", refused.err), refused
        assert "bring revision 7 back; to return to an older text, give it revision 8 or more" in refused.err
    refused = site.push("--json", exit=3).json()
    assert refused["error"]["class"] == "denied" and refused["error"]["where"] == f"{site.folder}/a.yaml:4:11"
    assert "dray check" not in refused["error"].get("hint", ""), "the file by itself is fine"
    dray("check", site.folder / "a.yaml")
    site.rules(a=policy(8))
    site.push()


def test_another_text_of_the_same_revision_is_denied(site):
    site.rules(a=policy(7))
    site.push()
    site.rules(a=policy(7, "row/"))
    refused = site.push(exit=3)
    assert f"{site.folder}/a.yaml:4:11: error: policy site was changed without raising its revision" in refused.err
    assert "^ revision: 8" in refused.err
    site.rules(a=policy(8, "row/"))
    site.push()
    # The first text came back under a number that ruled.
    site.rules(a=policy(7))
    assert "revision 7, and revision 8 has ruled" in site.push(exit=3).err


def test_the_same_file_by_another_name_is_the_same_policy(site):
    site.rules(a=policy(7))
    site.push()
    site.rules(z=policy(7))
    site.push()
    site.rules(z=policy(6))
    site.push(exit=3)


def test_only_what_made_a_job_has_ruled(dray, site):
    site.rules(a=policy(9))
    for command in ("plan", "preview"):
        dray(command, site.work(), "--policies", site.folder)
    dray("policy", "list", "--policies", site.folder)
    assert not (dray.state / "dray.db").exists(), "looking makes no store"
    site.rules(a=policy(3))
    site.push()


def test_each_directory_has_a_history_of_its_own_by_its_real_path(site, dray):
    site.rules(a=policy(7))
    site.push()
    other = site.root / "other"
    site.folder.rename(other)
    site.rules(a=policy(2))
    # The same set, now from another directory: that directory's history begins with it.
    dray("push", site.source, "--to", site.root / "moved", "--policies", other)
    (other / "a.yaml").write_text(policy(6))
    dray("push", site.source, "--to", site.root / "again", "--policies", other, exit=3)
    site.push(exit=3)
    link = site.root / "link"
    link.symlink_to(site.folder)
    dray("push", site.source, "--to", site.root / "by-link", "--policies", link, exit=3)


def test_each_policy_is_compared_by_itself(site):
    site.rules(a=policy(7, name="a"), b=policy(2, name="b"))
    site.push()
    site.rules(a=policy(8, name="a"), b=policy(2, name="b"))
    site.push()
    site.rules(a=policy(9, name="a"), b=policy(1, name="b"))
    err = site.push(exit=3).err
    assert "policy b is at revision 1, and revision 2 has ruled" in err and "policy a" not in err
    site.rules(a=policy(6, name="a"), b=policy(1, name="b"))
    err = site.push(exit=3).err
    assert "policy a is at revision 6, and revision 8 has ruled" in err and "policy b is at revision 1" in err


def test_what_ruled_is_stored_whole_and_once(site):
    site.rules(a=policy(7, name="a"), b=policy(2, name="b"))
    site.push()
    site.push()
    [(digest, ruled)] = site.table("SELECT digest, ruled_at FROM policy_set")
    assert len(digest) == 64 and ruled > 1_600_000_000_000_000_000
    rows = site.table("SELECT set_digest, position, directory, file, policy, revision, digest, text "
                      "FROM policy_set_file ORDER BY position")
    assert rows == [(digest, i, str(site.folder), f"{site.folder}/{name}.yaml", name, revision,
                     hashlib.sha256(text.encode()).hexdigest(), text)
                    for i, (name, revision, text) in enumerate([("a", 7, policy(7, name="a")),
                                                                ("b", 2, policy(2, name="b"))])]
    site.rules(a=policy(8, name="a"), b=policy(2, name="b"))
    site.push()
    assert len(site.table("SELECT * FROM policy_set")) == 2
    assert len(site.table("SELECT * FROM policy_set_file")) == 4


def test_a_job_that_is_taken_up_again_is_under_the_policies_of_today(site, dray):
    """They rule from then on, as they would for a new job."""
    cap = "version: 1\npolicy: cap\nrevision: {0}\nrules:\n  - {{ id: cap, mode: enforce, limit: {{ entries: {1} }} }}\n"

    def push(exit):
        return dray("push", site.source, "--to", site.root / "target", "--policies", site.folder, exit=exit).err

    site.rules(a=policy(7), cap=cap.format(1, 0))
    assert "0 at most are allowed" in push(3)
    site.rules(a=policy(8), cap=cap.format(2, 0))
    assert "0 at most are allowed" in push(3)
    assert len(site.table("SELECT id FROM push_job")) == 1 and len(site.table("SELECT * FROM attempt")) == 2
    site.rules(a=policy(7), cap=cap.format(3, 5))
    assert "policy site is at revision 7, and revision 8 has ruled" in push(3)
    site.rules(a=policy(8), cap=cap.format(3, 5))
    push(0)


def test_the_list_says_what_is_in_force_and_since_when(dray, site):
    site.rules(a=policy(7, name="a"), b=policy(2, name="b", mode="warn"))
    [first, second] = dray.json("policy", "list", "--policies", site.folder)["policies"]
    assert first == {"policy": "a", "revision": 7, "owner": "ops@example.edu",
                     "digest": hashlib.sha256(policy(7, name="a").encode()).hexdigest(),
                     "file": f"{site.folder}/a.yaml", "directory": str(site.folder),
                     "rules": {"enforce": 1, "warn": 0, "audit": 0}, "exceptions": []}
    assert second["rules"] == {"enforce": 0, "warn": 1, "audit": 0}
    site.push()
    listed = dray.json("policy", "list", "--policies", site.folder)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", listed["policies"][0]["first_ruled"])
    assert listed["set"] == site.table("SELECT digest FROM policy_set")[0][0] and "signed_by" not in listed
    text = dray("policy", "list", "--policies", site.folder).out
    assert re.search(r"^a +revision 7 +[0-9a-f]{12}  1 enforce  rules since 20\d\d", text, re.MULTILINE)
    site.rules(a=policy(8, name="a"))
    assert "first_ruled" not in dray.json("policy", "list", "--policies", site.folder)["policies"][0]
    site.rules(a=policy(6, name="a"))
    assert "revision 7 has ruled" in dray("policy", "list", "--policies", site.folder, exit=3).err
    assert dray("policy", "list").out == "no policies\n"


def test_many_deliveries_at_once_store_their_set_once(site, dray):
    site.rules(a=policy(5))
    results = []

    def deliver(number):
        results.append(dray("push", site.source, "--to", site.root / f"at-once{number}", "--policies", site.folder,
                            exit=None).code)

    threads = [threading.Thread(target=deliver, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0] * 6 and len(site.table("SELECT * FROM policy_set_file")) == 1


def test_a_store_that_cannot_be_read_denies_rather_than_forgets(site, dray):
    site.rules(a=policy(7))
    site.push()
    (dray.state / "dray.db").write_bytes(b"no database" * 1000)
    for suffix in ("-wal", "-shm"):
        (dray.state / f"dray.db{suffix}").unlink(missing_ok=True)
    site.rules(a=policy(6))
    refused = dray("plan", site.work(), "--policies", site.folder, exit=None)
    assert refused.code != 0 and "dray.db" in refused.err
