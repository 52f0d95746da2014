# SPDX-License-Identifier: MIT
"""Killed at any moment, in any mode: nobody ever sees half a delivery, and the next run ends right and leaves nothing.
A share of what `make soak` does at every call and at a hundred moments of a large delivery (kills.py, soak.py)."""
import random

import pytest

import kills

# They take as long as the machine is busy: what is right does not depend on it.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
# One that is always the same, and one that is new each time.
SEEDS = [4, random.SystemRandom().randrange(1 << 32)]


@pytest.fixture(scope="session")
def moment(tmp_path_factory):
    return kills.build_moment(tmp_path_factory.mktemp("moment"))


@pytest.fixture
def small(tmp_path):
    kills.make_small(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(params=kills.MODES)
def mode(request, tmp_path, small):
    made = kills.MODES[request.param](tmp_path / "mode", small)
    yield made
    kills.remove(made.base)


def undisturbed(mode, moment):
    """The calls of a delivery that nobody disturbs."""
    calls = mode.run_until(moment, 0, "both")
    assert mode.code == 0, mode.said
    mode.check_end()
    return calls


def commit_of(calls):
    """The numbers of the calls by which a delivery that lies there gets to its place, and the engine hears of it."""
    begin = max(number for number, call in enumerate(calls, 1) if call == ("runner", "syncfs"))
    return [number for number, (_, name) in enumerate(calls, 1) if number >= begin and name != "pwrite64"]


def test_killed_at_each_call_of_the_commit(mode, moment):
    calls = undisturbed(mode, moment)
    for number in commit_of(calls):
        assert kills.kill_at(mode, moment, number, random.Random(number), "both", more=0), calls[number - 1]


@pytest.mark.parametrize("seed", SEEDS, ids=["fixed", "fresh"])
def test_killed_at_some_calls_and_the_next_runs_too(mode, moment, seed):
    calls, moments = undisturbed(mode, moment), random.Random(seed)
    print(f"seed {seed}")
    for number in moments.sample(range(1, len(calls) + 1), 4):
        kills.kill_at(mode, moment, number, moments, moments.choice(kills.WHO), lost=moments.random() < 0.3)


def test_the_runner_alone_is_killed_in_its_commit(mode, moment):
    """Its engine lives and tries once more, or says what happened."""
    number = next(number for number in commit_of(undisturbed(mode, moment)))
    for at in (number, number + 3):
        kills.kill_at(mode, moment, at, random.Random(at), "runner", more=0)


def test_a_runner_that_slept_through_its_takeover_does_no_harm(mode, moment):
    """Its engine is dead, and the next run has delivered, when it goes on with its commit."""
    calls = undisturbed(mode, moment)
    commit = [number for number in commit_of(calls) if calls[number - 1][0] == "runner"]
    renames = [number for number in commit if calls[number - 1][1].startswith("rename")]
    for number in {commit[0], renames[0], renames[-1]}:
        assert kills.freeze_at(mode, moment, number)


@pytest.mark.parametrize("name", kills.MODES)
@pytest.mark.parametrize("seed", SEEDS, ids=["fixed", "fresh"])
def test_killed_at_random_moments(tmp_path, name, seed):
    data, moments = tmp_path / "data", random.Random(seed)
    kills.make_many(data, 2000)
    mode = kills.MODES[name](tmp_path / "mode", data)
    length, met = kills.length_of(mode), []
    for _ in range(2):
        met += kills.kill_after(mode, moments, length, more=1)
    # On a machine that has become idle all of them may come too late: then ever earlier, down to less than a program
    # takes to start.
    for halves in range(1, 20):
        if met == []:
            met += kills.kill_after(mode, moments, length / 2**halves, more=1)
    print(f"seed {seed}, one delivery takes {length:.2f} s; killed: {met}")
    assert met, "none of the kills met a run at work"
    kills.remove(mode.base)
