# SPDX-License-Identifier: MIT
"""Signed policy sets: `dray policy sign` and OpenSSL's own tools agree, both ways; and whoever changes a
signed set without the key is refused, whatever the change, before anything is delivered."""
import hashlib
import json
import os
import shutil
import subprocess

import pytest

POLICY = """version: 1
policy: {name}
revision: {revision}
owner: ops@example.edu
rules:
  - id: no-raw
    mode: enforce
    inject:
      - uses: filter/glob
        with: {{ exclude: ["raw/"] }}
    message: Raw stays here.
"""


def policy(name="site", revision=3):
    return POLICY.format(name=name, revision=revision)


def openssl(*arguments, cwd=None):
    return subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, capture_output=True, check=True)


class Site:
    """An admin's place: a key pair, a signed set of two policies, a configuration that asks for both."""

    def __init__(self, dray, files, root):
        self.dray, self.root = dray, root
        self.set = files(root / "set", {"a.yaml": policy("a"), "b.yaml": policy("b")})
        self.key, self.config, self.out = root / "policy.key", root / "dray.yaml", root / "out"
        self.source = files(root / "data", {"a.csv": "1", "raw/x": "2"})
        dray("policy", "key", self.key)
        self.public = root / "policy.key.pub"
        self.config.write_text("version: 1\npolicies: { path: set, mandatory: true, verify_key: policy.key.pub }\n")
        self.sign()

    def sign(self, folder=None):
        return self.dray("policy", "sign", folder or self.set, "--key", self.key)

    def push(self, *more, **keywords):
        return self.dray("push", self.source, "--to", self.out, "--config", self.config, *more, **keywords)

    def denied(self, said, *more):
        """Every command that plans says so, and nothing is delivered."""
        work = self.root / "work.yaml"
        work.write_text(f"version: 1\ndataset: {self.source}\nsteps:\n"
                        f"  - {{ id: p, uses: push/hpfs, with: {{ path: {self.out} }} }}\n")
        for command in ("run", "plan", "preview"):
            refused = self.dray(command, work, "--config", self.config, *more, exit=3)
            assert said in refused.err and refused.out == "", refused
        assert said in self.dray("policy", "list", "--config", self.config, *more, exit=3).err
        refused = self.push(*more, exit=3)
        assert said in refused.err and not self.out.exists()
        error = self.push("--json", *more, exit=3).json()["error"]
        assert error["class"] == "denied"
        return refused.err


@pytest.fixture
def site(dray, files, tmp_path):
    return Site(dray, files, tmp_path)


# ---- With Dray and without ---------------------------------------------------------------------


def test_a_signed_set_is_delivered_under_and_says_whose_it_is(dray, site):
    key = dray.json("policy", "list", "--config", site.config)["signed_by"]
    public = openssl("pkey", "-pubin", "-in", site.public, "-outform", "DER").stdout[-32:]
    assert key == hashlib.sha256(public).hexdigest()[:16]
    site.push()
    assert not (site.out / "raw").exists()
    receipt = json.loads((site.out / ".dray/data/receipt.json").read_text())
    assert receipt["policies"]["signed_by"] == key
    work = site.root / "w.yaml"
    work.write_text(f"version: 1\ndataset: {site.source}\nsteps:\n"
                    f"  - {{ id: p, uses: push/hpfs, with: {{ path: {site.root / 'other'} }} }}\n")
    plan = dray.json("plan", work, "--config", site.config)
    assert plan["policy_signer"] == key
    assert f"policies, signed by key {key}\n" in dray("plan", work, "--config", site.config).out
    unsigned = dray.json("plan", work, "--policies", site.set)
    assert "policy_signer" not in unsigned and unsigned["digest"] == plan["digest"], "who signs changes no plan"
    dray("run", work, "--policies", site.set)
    assert "signed_by" not in json.loads((site.root / "other/.dray/data/receipt.json").read_text())["policies"]


def test_what_dray_signs_sha256sum_and_openssl_check(site, files):
    files(site.set, {"C\\d e.yaml": policy("c"), "\N{GREEK SMALL LETTER ALPHA}.yaml": policy("d"),
                     "Z.yaml": policy("z"), ".editor.yaml": "junk", "README": "not a policy"})
    site.sign()
    done = subprocess.run("sha256sum -- *.yaml", shell=True, cwd=site.set, env={**os.environ, "LC_ALL": "C"},
                          capture_output=True, check=True)
    assert (site.set / "policies.sha256").read_bytes() == done.stdout
    subprocess.run(["sha256sum", "--strict", "--quiet", "-c", "policies.sha256"], cwd=site.set, check=True)
    assert (site.set / "policies.sha256.sig").stat().st_size == 64
    said = openssl("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", site.public, "-sigfile",
                   "policies.sha256.sig", "-in", "policies.sha256", cwd=site.set).stdout
    assert b"Signature Verified Successfully" in said
    site.push()


def test_what_openssl_signs_dray_checks(dray, site):
    """As with a key that lies in a hardware module: Dray never sees it."""
    openssl("genpkey", "-algorithm", "ed25519", "-out", site.root / "hsm.key")
    openssl("pkey", "-in", site.root / "hsm.key", "-pubout", "-out", site.public)
    site.denied("is not that of key")
    subprocess.run("LC_ALL=C sha256sum -- *.yaml > policies.sha256", shell=True, cwd=site.set, check=True)
    openssl("pkeyutl", "-sign", "-rawin", "-inkey", site.root / "hsm.key", "-in", "policies.sha256", "-out",
            "policies.sha256.sig", cwd=site.set)
    site.push()
    # And dray signs with a key that openssl made.
    os.chmod(site.root / "hsm.key", 0o600)
    (site.set / "policies.sha256.sig").unlink()
    dray("policy", "sign", site.set, "--key", site.root / "hsm.key")
    assert dray.json("policy", "list", "--config", site.config)["policies"][0]["policy"] == "a"


def test_signing_again_gives_the_same_bytes_and_leaves_nothing_else(site):
    before = {path.name: path.read_bytes() for path in site.set.iterdir()}
    said = site.sign()
    assert "2 policies of " in said.out and "signed by key" in said.out
    assert {path.name: path.read_bytes() for path in site.set.iterdir()} == before
    assert sorted(before) == ["a.yaml", "b.yaml", "policies.sha256", "policies.sha256.sig"]


# ---- Attacks -----------------------------------------------------------------------------------


def test_a_changed_byte_is_refused(site):
    text = site.set / "a.yaml"
    text.write_text(text.read_text().replace('"raw/"', '"row/"'))
    err = site.denied(f"the policy {text} was changed after the set was signed")
    assert "dray policy sign" in err and "ask whose policies these are" in err


def test_a_changed_file_that_is_no_yaml_any_more_is_refused(site):
    (site.set / "b.yaml").write_text("rules: [\n")
    site.denied(f"the policy {site.set}/b.yaml was changed after the set was signed")


def test_an_added_file_is_refused(site, files):
    files(site.set, {"c.yaml": policy("c")})
    site.denied(f"the policy {site.set}/c.yaml was added after the set was signed")


def test_a_removed_file_is_refused(site):
    (site.set / "b.yaml").unlink()
    site.denied(f"the policy {site.set}/b.yaml was removed after the set was signed")


def test_a_renamed_file_is_refused(site):
    (site.set / "b.yaml").rename(site.set / "c.yaml")
    site.denied(f"the policy {site.set}/c.yaml was added after the set was signed")


def test_two_names_that_are_swapped_are_refused(site):
    """The order of files is part of what was signed."""
    (site.set / "a.yaml").rename(site.set / "x")
    (site.set / "b.yaml").rename(site.set / "a.yaml")
    (site.set / "x").rename(site.set / "b.yaml")
    site.denied(f"the policy {site.set}/a.yaml was changed after the set was signed")


def test_a_name_that_the_reader_refuses_is_refused_before(site, files):
    files(site.set, {"C.YML": policy("c")})
    site.denied(f"the policy {site.set}/C.YML was added after the set was signed")


@pytest.mark.parametrize("gone", ["policies.sha256", "policies.sha256.sig"])
def test_an_unsigned_directory_is_refused(site, gone):
    (site.set / gone).unlink()
    site.denied(f"the policies in {site.set} are not signed: there is no {gone}, and the configuration names a key")


def test_a_list_that_was_changed_with_its_file_is_refused(site):
    text = site.set / "a.yaml"
    text.write_text(text.read_text().replace("Raw", "Row"))
    subprocess.run("sha256sum -- *.yaml > policies.sha256", shell=True, cwd=site.set, check=True)
    site.denied("the list was changed, or another key signed it")


def test_another_key_is_refused(dray, site):
    dray("policy", "key", site.root / "own.key")
    dray("policy", "sign", site.set, "--key", site.root / "own.key")
    site.denied("the list was changed, or another key signed it")


@pytest.mark.parametrize("change", [lambda s: s[:63], lambda s: s + b"\n", lambda s: b"", lambda s: bytes(64),
                                    lambda s: s.hex().encode(), lambda s: s[:32] + bytes([s[32] ^ 1]) + s[33:]])
def test_a_signature_that_is_not_one_is_refused(site, change):
    file = site.set / "policies.sha256.sig"
    signature = change(file.read_bytes())
    file.write_bytes(signature)
    site.denied("is not that of key" if len(signature) == 64 else
                f"{file} is no Ed25519 signature: it has {len(signature)} bytes, not 64")


@pytest.mark.parametrize("lines, said", [
    ("junk\n", "line 1 is no line of sha256sum"),
    ("{a}  a.yaml\n{a}  a.yaml\n{b}  b.yaml\n", "lists a.yaml twice"),
    ("{a}  a.yaml\n{b}  b.yaml\n{a}  ../set/a.yaml\n", "lists ../set/a.yaml, which is no policy's name"),
    ("{a}  a.yaml\n{b}  b.yaml\n{a}  README\n", "lists README, which is no policy's name"),
    ("d41d8cd98f00b204e9800998ecf8427e  a.yaml\n", "a.yaml has no SHA-256"),
    ("{b}  b.yaml\n", "a.yaml was added"),
])
def test_a_malformed_list_is_refused_also_when_it_is_signed(site, lines, said):
    digests = {name: hashlib.sha256((site.set / f"{name}.yaml").read_bytes()).hexdigest() for name in "ab"}
    (site.set / "policies.sha256").write_text(lines.format(**digests))
    openssl("pkeyutl", "-sign", "-rawin", "-inkey", site.key, "-in", "policies.sha256", "-out",
            "policies.sha256.sig", cwd=site.set)
    site.denied(said)


def test_files_that_are_links_are_judged_by_what_is_read(site, files):
    text = (site.set / "a.yaml").read_text()
    real = files(site.root / "elsewhere", {"a": text})
    (site.set / "a.yaml").unlink()
    (site.set / "a.yaml").symlink_to(real / "a")
    site.push()
    shutil.rmtree(site.out)
    (real / "a").write_text(text.replace("raw/", "row/"))
    site.denied(f"the policy {site.set}/a.yaml was changed after the set was signed")
    (real / "a").unlink()
    site.denied(f"reading the policy {site.set}/a.yaml")


def test_a_pipe_in_the_place_of_a_list_hangs_nobody(site):
    (site.set / "policies.sha256").unlink()
    os.mkfifo(site.set / "policies.sha256")
    site.denied("is not a regular file")


def test_an_older_signed_set_is_refused_once_a_newer_has_ruled(site):
    old = site.root / "old"
    shutil.copytree(site.set, old)
    (site.set / "a.yaml").write_text(policy("a", 4))
    site.sign()
    site.push()
    shutil.rmtree(site.out)
    for file in old.iterdir():
        shutil.copy(file, site.set)
    site.denied("policy a is at revision 3, and revision 4 has ruled (since 20")


def test_every_directory_of_the_set_must_be_signed(site, files):
    more = files(site.root / "more", {"c.yaml": policy("c")})
    site.denied(f"the policies in {more} are not signed", "--policies", more)
    site.sign(more)
    site.push("--policies", more)
    shutil.rmtree(site.out)
    # One set in two places is two policies of a name, signed or not.
    twice = site.root / "twice"
    shutil.copytree(site.set, twice)
    site.denied('two policies are called "a"', "--policies", twice)
    # One directory by two names is one.
    (site.root / "link").symlink_to(site.set)
    site.push("--policies", site.root / "link")


def test_an_emptied_directory_is_refused(site):
    for file in site.set.iterdir():
        file.unlink()
    site.denied(f"{site.set} holds no policies, and the configuration says that it must")
    site.config.write_text("version: 1\npolicies: { path: set, verify_key: policy.key.pub }\n")
    site.denied(f"the policies in {site.set} are not signed")


# ---- Who signs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text, said", [
    (policy("c").replace("mode: enforce", "mode: enfroce"), "c.yaml:7:"),
    (policy("a"), 'two policies are called "a"'),
    ("", "c.yaml"),
])
def test_a_set_with_a_problem_is_not_signed(dray, site, files, text, said):
    before = (site.set / "policies.sha256").read_bytes()
    files(site.set, {"c.yaml": text})
    assert said in dray("policy", "sign", site.set, "--key", site.key, exit=2).err
    assert (site.set / "policies.sha256").read_bytes() == before


def test_a_plugin_that_refuses_a_pattern_keeps_a_set_from_being_signed(dray, site, files):
    files(site.set, {"c.yaml": policy("c").replace('"raw/"', '"[z-a]"')})
    refused = dray("policy", "sign", site.set, "--key", site.key, exit=2)
    assert "c.yaml:10:" in refused.err


def test_what_cannot_be_signed_is_told(dray, site, files, tmp_path):
    assert "holds no policies" in dray("policy", "sign", site.source, "--key", site.key, exit=2).err
    assert "nowhere" in dray("policy", "sign", tmp_path / "nowhere", "--key", site.key, exit=4).err
    assert "cannot open the key" in dray("policy", "sign", site.set, "--key", tmp_path / "nokey", exit=4).err
    assert "is a public key" in dray("policy", "sign", site.set, "--key", site.public, exit=2).err
    os.chmod(site.key, 0o640)
    refused = dray("policy", "sign", site.set, "--key", site.key, exit=3)
    assert f"chmod 600 '{site.key}'" in refused.err
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", tmp_path / "rsa")
    assert "is a key for RSA, not a private Ed25519" in dray("policy", "sign", site.set, "--key", tmp_path / "rsa",
                                                            exit=2).err
    openssl("genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x", "-out", tmp_path / "locked")
    locked = dray("policy", "sign", site.set, "--key", tmp_path / "locked", exit=None)
    assert locked.code != 0 and "is under a passphrase" in locked.err


def test_a_new_key_overwrites_nothing(dray, site):
    private, public = site.key.read_bytes(), site.public.read_bytes()
    refused = dray("policy", "key", site.key, exit=1)
    assert "is there already, and no key is ever overwritten" in refused.err
    assert (site.key.read_bytes(), site.public.read_bytes()) == (private, public)
    assert os.stat(site.key).st_mode & 0o777 == 0o600
    made = dray.json("policy", "key", site.root / "other")
    assert set(made) == {"key", "private", "public"} and len(made["key"]) == 16
    assert openssl("pkey", "-in", site.root / "other", "-pubout").stdout == (site.root / "other.pub").read_bytes()


def test_nothing_of_the_private_key_is_said_or_stored(dray, site):
    secret = site.key.read_text().splitlines()[1]
    pieces = [secret[i:i + 12].encode() for i in range(20, len(secret) - 12)]
    raw = openssl("pkey", "-in", site.key, "-outform", "DER").stdout[-32:]
    site.push()
    site.sign()
    for folder in (site.set, dray.state, site.out):
        for path in folder.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert raw not in data and not any(piece in data for piece in pieces), path
