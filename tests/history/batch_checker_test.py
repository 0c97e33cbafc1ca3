#!/usr/bin/env python3
"""The checker of batches and guards itself: it takes what one log can answer and nothing else."""

import itertools
import random
import unittest

from batch_checker import (NEVER, OK, REFUSED, Against, Batch, Broken, Expected, Guard, Head,
                           Log, Record, check, matches, stands_against)


def wrote(called, answered, seqs, *values, **more):
    return Batch(called, list(values), answered, OK, seqs=list(seqs), **more)


def refused(called, answered, guard, seq, value="r"):
    return Batch(called, [f"{value}{called}"], answered, REFUSED, guards=[guard],
                 against=[Against(guard, seq)])


def look(*lines):
    return [Record(seq, topic, value) for seq, (topic, value) in enumerate(lines, 1)]


C1 = Guard(("enrol/c1/*",), 0)


class Filters(unittest.TestCase):
    def test_the_grammar(self):
        for text, topic, fits in (("a/*", "a/b", True), ("a/*", "a/b/c", False), (">", "a", True),
                                  ("a/>", "a", False), ("a/>", "a/b/c", True), ("a/b*", "a/b", True),
                                  ("a/b*/c", "a/bx/c", True), ("a", "a/b", False)):
            self.assertEqual(matches(text, topic), fits, (text, topic))
        self.assertFalse(stands_against(Guard(("a/*",), 0, ("a/b",)), "a/b"))


class Sound(unittest.TestCase):
    def test_batches_and_refusals(self):
        last = look(("enrol/c1/s1", "a"), ("x", "b"), ("enrol/c2/s1", "c"))
        check([wrote(1, 2, [1, 2], "a", "b", guards=[C1]), refused(3, 4, C1, 1),
               wrote(3, 6, [3], "c", guards=[Guard(("enrol/c1/*",), 1)])],
              [Head(3, 4, 2), Head(7, 8, 3)], last)

    def test_a_batch_without_an_answer(self):
        open_batch = Batch(1, ["a", "b"])
        check([open_batch], [Head(5, 6, 0)], [])
        check([open_batch], [Head(5, 6, 0), Head(7, 8, 2)], look(("x", "a"), ("y", "b")))

    def test_a_refusal_beside_the_write_that_it_saw(self):
        check([wrote(1, 10, [1], "a"), refused(2, 3, C1, 1)], [], look(("enrol/c1/s1", "a")))


class Wrong(unittest.TestCase):
    def broken(self, says, batches, heads, last):
        with self.assertRaisesRegex(Broken, says):
            check(batches, heads, last)

    def test_half_a_batch(self):
        self.broken("half a batch", [Batch(1, ["a", "b"])], [], look(("x", "a")))
        self.broken("were 1 records left", [wrote(1, 2, [1, 2], "a", "b")], [], look(("x", "a")))

    def test_a_batch_torn_apart(self):
        self.broken("next to each other", [Batch(1, ["a", "b"]), Batch(1, ["c"])], [],
                    look(("x", "a"), ("x", "c"), ("x", "b")))

    def test_a_head_within_a_batch(self):
        self.broken("within a batch", [wrote(1, 9, [1, 2], "a", "b")], [Head(2, 3, 1)],
                    look(("x", "a"), ("x", "b")))

    def test_a_guard_that_did_not_hold(self):
        self.broken("stood against", [wrote(1, 2, [1], "a"), wrote(1, 4, [2], "b", guards=[C1])], [],
                    look(("enrol/c1/s1", "a"), ("enrol/c1/s2", "b")))

    def test_a_guard_judged_too_early(self):
        # Both saw nothing, since neither looked at what was under way.
        self.broken("stood against", [wrote(1, 9, [1], "a", guards=[C1]),
                                      wrote(2, 8, [2], "b", guards=[C1])], [],
                    look(("enrol/c1/s1", "a"), ("enrol/c1/s2", "b")))

    def test_an_expected_version_that_did_not_hold(self):
        last = [Record(1, "a/x", "a", "k", 1), Record(2, "a/x", "b", "k", 2)]
        self.broken("had version 1", [wrote(1, 2, [1], "a"),
                                      wrote(3, 4, [2], "b", expected=[Expected("k", 0)])], [], last)

    def test_a_refusal_by_what_does_not_match(self):
        self.broken("does not stand against", [wrote(1, 2, [1], "a"), refused(3, 4, C1, 1)], [],
                    look(("enrol/c2/s1", "a")))
        self.broken("was said to stand", [wrote(1, 2, [1], "a"), refused(3, 4, C1, 2)], [],
                    look(("enrol/c1/s1", "a")))

    def test_a_refusal_that_names_an_old_record(self):
        self.broken("stale answer", [wrote(1, 2, [1], "a"), wrote(3, 4, [2], "b"),
                                     refused(5, 6, C1, 1)], [],
                    look(("enrol/c1/s1", "a"), ("enrol/c1/s2", "b")))

    def test_a_refusal_before_its_reason(self):
        self.broken("stale answer", [refused(1, 2, C1, 1), wrote(3, 4, [1], "a")], [],
                    look(("enrol/c1/s1", "a")))

    def test_a_refused_batch_is_there(self):
        self.broken("was refused", [Batch(1, ["a"], 2, REFUSED)], [], look(("x", "a")))

    def test_a_version_that_is_gone(self):
        of = Against(expected=Expected("k", 5), actual=2)
        self.broken("seen, and is gone", [Batch(1, ["r"], 2, REFUSED, against=[of])], [], [])

    def test_a_stale_head(self):
        self.broken("stale answer", [wrote(1, 2, [1], "a")], [Head(3, 4, 0)], look(("x", "a")))
        self.broken("was the head, and is gone", [], [Head(3, 4, 1)], [])

    def test_others(self):
        self.broken("nobody wrote", [], [], look(("x", "a")))
        self.broken("twice", [Batch(1, ["a"])], [], look(("x", "a"), ("x", "a")))
        self.broken("should", [], [], [Record(2, "x", "a")])
        self.broken("is version 2", [], [], [Record(1, "a/x", "a", "k", 2)])


class AgainstTheSearch(unittest.TestCase):
    """The check says what a search through all moments says."""

    @staticmethod
    def search(batches, last):
        log = Log(last)
        for order in itertools.permutations(batches):
            latest_call, written, fits = -NEVER, [], True
            for batch in order:
                latest_call = max(latest_call, batch.called)
                fits = fits and batch.answered >= latest_call
                guard = batch.guards[0]
                seen = [seq for seq in written if seq > guard.after and
                        stands_against(guard, last[seq - 1].topic)]
                if batch.outcome == OK:
                    fits = fits and not seen and batch.seqs[0] == len(written) + 1
                    written += batch.seqs
                else:
                    fits = fits and bool(seen) and seen[-1] == batch.against[0].seq
            if fits and len(written) == len(log.records):
                return True
        return False

    def test_small_histories(self):
        chance = random.Random(5)
        verdicts = {True: 0, False: 0}
        for _ in range(3000):
            batches, last = [], []
            for number in range(chance.randint(1, 3)):
                count = chance.randint(1, 2)
                seqs = list(range(len(last) + 1, len(last) + 1 + count))
                for seq in seqs:
                    last.append(Record(seq, f"enrol/c{chance.randint(1, 2)}/s", f"v{seq}"))
                begin = chance.randint(0, 8) + 0.01 * number
                batches.append(wrote(begin, begin + chance.randint(1, 8), seqs,
                                     *(f"v{seq}" for seq in seqs), guards=[
                                         Guard((f"enrol/c{chance.randint(1, 2)}/*",),
                                               max(0, seqs[0] - chance.randint(1, 3)))]))
            for at in range(chance.randint(0, 2)):
                begin = chance.randint(0, 12) + 0.5 + 0.01 * at
                guard = Guard((f"enrol/c{chance.randint(1, 2)}/*",), 0)
                batches.append(refused(begin, begin + chance.randint(1, 5) + 0.3, guard,
                                       chance.randint(1, len(last)), f"r{at}"))
            try:
                check(batches, [], last)
                verdict = True
            except Broken:
                verdict = False
            self.assertEqual(verdict, self.search(batches, last), (batches, last))
            verdicts[verdict] += 1
        self.assertGreater(min(verdicts.values()), 200)


if __name__ == "__main__":
    unittest.main()
