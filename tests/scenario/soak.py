#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`make soak`: deliveries of many files killed at random moments, and small ones at each of their calls, in every mode.
After each kill nobody may see half a delivery, and the next run (which is killed as well, and the next) ends right and
leaves nothing. Takes an hour or so."""
import argparse
import collections
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import kills

PHASES = ("before", "copying", "renaming", "committed")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="deliveries of each mode that are killed at a moment")
    parser.add_argument("--files", type=int, default=20000, help="in each of them")
    parser.add_argument("--modes", default=",".join(kills.MODES), help="of: " + ", ".join(kills.MODES))
    parser.add_argument("--who", default=",".join(kills.WHO), help="is killed at each call: " + ", ".join(kills.WHO))
    parser.add_argument("--place", default=None, help="a directory to work in")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--no-calls", action="store_true", help="without the kills at each call")
    return parser.parse_args()


class Tally:
    def __init__(self):
        self.failures = []

    def attempt(self, function, *args, **keywords):
        try:
            return function(*args, **keywords)
        except AssertionError as failure:
            self.failures.append(str(failure))
            print(f"FAILED {failure}", file=sys.stderr, flush=True)
            return []


def at_moments(options, base, tally):
    """Returns the rows of the table."""
    data = base / "many" / "data"
    kills.make_many(data, options.files)
    rows = []
    for name in options.modes.split(","):
        moments, begun, failed = random.Random(options.seed), time.monotonic(), len(tally.failures)
        mode = kills.MODES[name](base / "many" / name.replace(" ", "-"), data)
        length, tenths, phases, met = kills.length_of(mode), [0] * 10, collections.Counter(), collections.Counter()
        for number in range(options.rounds):
            done = tally.attempt(kills.kill_after, mode, moments, length, more=number % 3)
            for part, phase in done:
                tenths[min(9, int(part * 10))] += 1
                phases[phase] += 1
            met[len(done)] += 1
        rows.append([name, f"{length:.2f} s", options.rounds, sum(tenths), *[phases[phase] for phase in PHASES],
                     " ".join(map(str, tenths)), len(tally.failures) - failed, f"{time.monotonic() - begun:.0f} s"])
        print(*rows[-1], sep="  ", flush=True)
        kills.remove(mode.base)
    return rows


def at_calls(options, base, tally):
    data, moment, rows = base / "small" / "data", kills.build_moment(base), []
    kills.make_small(data)
    for name in options.modes.split(","):
        mode = kills.MODES[name](base / "small" / name.replace(" ", "-"), data)
        calls = mode.run_until(moment, 0, "both")
        assert mode.code == 0, mode.said
        for who in options.who.split(","):
            begun, failed, moments = time.monotonic(), len(tally.failures), random.Random(options.seed)
            number = 1
            while tally.attempt(kills.kill_at, mode, moment, number, moments, who, more=number % 3,
                                lost=number % 4 == 3) is not None:
                number += 1
            rows.append([name, who, len(calls), number - 1, len(tally.failures) - failed,
                         f"{time.monotonic() - begun:.0f} s"])
            print(*rows[-1], sep="  ", flush=True)
        frozen = [number for number, (who, what) in enumerate(calls, 1) if who == "runner"]
        begun, failed = time.monotonic(), len(tally.failures)
        for number in frozen[::4] + frozen[-8:]:
            tally.attempt(kills.freeze_at, mode, moment, number)
        rows.append([name, "frozen", len(calls), len(frozen[::4]) + 8, len(tally.failures) - failed,
                     f"{time.monotonic() - begun:.0f} s"])
        print(*rows[-1], sep="  ", flush=True)
        kills.remove(mode.base)
    return rows


def print_table(title, heads, rows):
    rows = [list(map(str, row)) for row in [heads, *rows]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    print(f"\n{title}")
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def main():
    options, tally = arguments(), Tally()
    print(f"seed {options.seed}", flush=True)
    base = Path(tempfile.mkdtemp(prefix="dray-soak-", dir=options.place))
    tables = []
    try:
        if options.rounds > 0:
            tables.append((f"Killed at random moments of {options.files} files (and the next runs too, up to three)",
                           ["mode", "one run", "rounds", "kills", *PHASES, "by tenth of a run", "failed", "took"],
                           at_moments(options, base, tally)))
        if not options.no_calls:
            tables.append(("Killed before each call that changes a disk",
                           ["mode", "killed", "calls", "rounds", "failed", "took"], at_calls(options, base, tally)))
    finally:
        kills.remove(base)
    for table in tables:
        print_table(*table)
    print(f"\nseed {options.seed}: {len(tally.failures)} failed")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.exit(main())
