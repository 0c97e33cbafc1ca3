#!/usr/bin/env python3
"""The history checker itself: it takes what a register can answer and nothing else."""

import itertools
import random
import unittest

from checker import (ABSENT, CONFLICT, DELETED, LIVE, NEVER, OPEN, READ, REFUSED, WRITE, Broken,
                     Operation, Version, check)


def write(called, answered, value, version, **more):
    return Operation(WRITE, called, answered, value=value, version=version, **more)


def lost_answer(called, value, **more):
    return Operation(WRITE, called, NEVER, OPEN, value, **more)


def read(called, answered, version, value=None, state=LIVE):
    return Operation(READ, called, answered, value=value, version=version,
                     state=state if version else ABSENT)


def conflict(called, answered, expect, version, state=LIVE):
    return Operation(WRITE, called, answered, CONFLICT, f"refused-{called}", expect=expect,
                     version=version, state=state if version else ABSENT)


def look(*values):
    return [Version(number, value) for number, value in enumerate(values, 1)]


class SoundHistories(unittest.TestCase):
    def test_nothing_happened(self):
        self.assertEqual(check([read(1, 2, 0)], []), 0)

    def test_one_after_the_other(self):
        history = [write(1, 2, "a", 1, expect=0), read(3, 4, 1, "a"),
                   conflict(5, 6, 0, 1), write(7, 8, "b", 2, expect=1), read(9, 10, 2, "b")]
        self.assertEqual(check(history, look("a", "b")), 2)

    def test_reads_beside_a_write_may_see_either(self):
        for version, value in ((0, None), (1, "a")):
            check([write(1, 10, "a", 1), read(2, 3, version, value)], look("a"))

    def test_a_write_without_an_answer_took_effect_or_not(self):
        check([lost_answer(1, "a"), read(5, 6, 1, "a")], look("a"))
        check([lost_answer(1, "a"), read(5, 6, 0)], [])
        # Long after it was sent, too: nobody knows how long it was under way.
        check([lost_answer(1, "a"), read(5, 6, 0), read(7, 8, 1, "a")], look("a"))

    def test_writes_at_once_in_either_order(self):
        history = [write(1, 10, "a", 2), write(2, 9, "b", 1)]
        check(history, look("b", "a"))

    def test_deletions(self):
        gone = Version(2, "gone", tombstone=True)
        history = [write(1, 2, "a", 1, expect="absent"),
                   write(3, 4, "gone", 2, tombstone=True, expect="exists"),
                   read(5, 6, 2, state=DELETED), conflict(7, 8, "exists", 2, DELETED),
                   write(9, 10, "b", 3, expect="absent")]
        check(history, [*look("a"), gone, Version(3, "b")])


class BrokenHistories(unittest.TestCase):
    def broken(self, says, history, last):
        with self.assertRaisesRegex(Broken, says):
            check(history, last)

    def test_a_stale_read(self):
        self.broken("stale read", [write(1, 2, "a", 1), write(3, 4, "b", 2), read(5, 6, 1, "a")],
                    look("a", "b"))
        self.broken("stale read", [write(1, 2, "a", 1), read(5, 6, 0)], look("a"))

    def test_a_read_goes_back_behind_another_read(self):
        # Beside the write either is right, but not the new one first and then the old one.
        self.broken("stale read", [write(1, 2, "a", 1), write(3, 100, "b", 2),
                                   read(10, 11, 2, "b"), read(20, 21, 1, "a")], look("a", "b"))

    def test_a_lost_write(self):
        self.broken("lost write", [write(1, 2, "a", 1)], [])
        self.broken("lost write", [write(1, 2, "a", 1), write(3, 4, "b", 2)], look("b"))
        self.broken("and is 2", [write(1, 2, "a", 1), write(3, 4, "b", 2)], look("b", "a"))

    def test_two_winners_of_one_version(self):
        self.broken("lost write", [write(1, 5, "a", 1, expect=0), write(2, 6, "b", 1, expect=0)],
                    look("a"))

    def test_a_version_that_was_seen_is_gone(self):
        self.broken("seen, and is gone", [lost_answer(1, "a"), read(2, 3, 1, "a")], [])
        self.broken("saw a as version 1", [lost_answer(1, "a"), read(2, 3, 1, "a"),
                                           write(5, 6, "b", 1)], look("b"))

    def test_a_refused_write_is_there(self):
        self.broken("was refused", [Operation(WRITE, 1, 2, REFUSED, "a")], look("a"))
        self.broken("was refused", [Operation(WRITE, 1, 2, CONFLICT, "a", expect=3, state=ABSENT)],
                    look("a"))

    def test_a_write_twice(self):
        self.broken("two versions", [lost_answer(1, "a")], look("a", "a"))

    def test_what_nobody_wrote(self):
        self.broken("nobody wrote", [], look("a"))

    def test_a_gap(self):
        self.broken("stands where", [write(1, 2, "a", 2)], [Version(2, "a")])

    def test_an_expectation_that_did_not_hold(self):
        self.broken("expected 0", [write(1, 2, "a", 1), write(3, 4, "b", 2, expect=0)],
                    look("a", "b"))
        self.broken("expected absent", [write(1, 2, "a", 1), write(3, 4, "b", 2, expect="absent")],
                    look("a", "b"))

    def test_a_refusal_without_a_reason(self):
        self.broken("was refused at version 1", [write(1, 2, "a", 1), conflict(3, 4, 1, 1)],
                    look("a"))

    def test_a_refusal_that_reveals_what_is_not_there(self):
        self.broken("seen, and is gone", [conflict(1, 2, 0, 1)], [])

    def test_an_answer_before_its_call(self):
        self.broken("stale read", [read(1, 2, 1, "a"), write(3, 4, "a", 1)], look("a"))

    def test_writes_against_the_order_of_time(self):
        self.broken("out of order", [write(1, 2, "a", 2), write(3, 4, "b", 1)], look("b", "a"))

    def test_a_wrong_state(self):
        self.broken("said to be live", [write(1, 2, "a", 1, tombstone=True), read(3, 4, 1, "a")],
                    [Version(1, "a", tombstone=True)])


class AgainstTheSearch(unittest.TestCase):
    """The check says what a search through all orders says."""

    @staticmethod
    def search(operations):
        for order in itertools.permutations(operations):
            latest_call = -NEVER
            version, value, fits = 0, None, True
            for operation in order:
                latest_call = max(latest_call, operation.called)
                if operation.answered < latest_call:
                    fits = False
                elif operation.kind == WRITE:
                    version, value = version + 1, operation.value
                    fits = fits and operation.version == version
                else:
                    fits = fits and (operation.version, operation.value) == (version, value)
            if fits:
                return True
        return False

    def test_small_histories(self):
        chance = random.Random(7)
        verdicts = {True: 0, False: 0}
        for _ in range(1500):
            writes = chance.randint(1, 3)
            operations = []
            for number in range(1, writes + 1):
                begin = chance.randint(0, 8)
                operations.append(write(begin + 0.1 * number, begin + chance.randint(1, 6) + 0.01 *
                                        number, f"v{number}", number))
            for at in range(chance.randint(1, 3)):
                begin, seen = chance.randint(0, 12), chance.randint(0, writes)
                operations.append(read(begin + 0.5 + 0.001 * at, begin + chance.randint(1, 4) +
                                       0.7 + 0.001 * at, seen, f"v{seen}" if seen else None))
            try:
                check(operations, look(*(f"v{n}" for n in range(1, writes + 1))))
                verdict = True
            except Broken:
                verdict = False
            self.assertEqual(verdict, self.search(operations), operations)
            verdicts[verdict] += 1
        self.assertGreater(min(verdicts.values()), 200)


if __name__ == "__main__":
    unittest.main()
