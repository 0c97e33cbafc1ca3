#!/usr/bin/env python3
"""Atomic batches and guards under concurrency, through kills: all of them are one log.

Several processes append batches of one to four records, with guards over filters and expected
versions judged on what they saw last, and read the head. The daemon is killed and started again
while they do, at times without its indexes. Calls and answers are timed by one monotonic clock. A
batch whose answer never came stays open, unless its process repeats it with the same ids. In the end
batch_checker.py says whether one log could have given all those answers.

--seconds N says how long; otherwise KLOG_TEST_SCALE does.
"""

import collections
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from batch_checker import (OK, OPEN, REFUSED, Against, Batch, Broken, Expected, Guard,  # noqa: E402
                           Head, Record, check)
from lives import Caller, Unanswered, main  # noqa: E402
from recorder import print_figures  # noqa: E402

SECONDS = {"run": 12, "all": 30, "release": 600}
PROCESSES = 16
REPEAT_SHARE = 0.5
HEAD_SHARE = 0.3
LATER = ("stopping", "rebuilding", "backpressure")
FILTERS = ("s/c0/*", "s/c1/*", "s/*/x", "s/c*/y", "s/c2/x", "s/>", "s/never/>")
TOPICS = ("s/c0/x", "s/c0/y", "s/c1/x", "s/c1/y", "s/c2/x", "s/c2/y")
KEYS = 5


class Client(Caller):
    """One process: it appends until it is told to stop, and keeps what came of it."""

    def __init__(self, number, path, seed, stop):
        super().__init__(path, stop)
        self.number, self.random = number, random.Random(seed * 100 + number)
        self.batches, self.heads = [], []
        self.cursor, self.versions, self.count = 0, {}, 0

    def run(self):
        while not self.stop.is_set():
            if not self.connected():
                self.pause()
            elif self.random.random() < HEAD_SHARE:
                self.look()
            else:
                self.append()

    def look(self):
        called = time.monotonic_ns()
        try:
            status, body = self.call("GET", "/v1/head")
        except Unanswered:
            return
        if status == 200:
            self.cursor = body["seq"]
            self.heads.append(Head(called, time.monotonic_ns(), self.cursor))
        else:
            assert body["code"] in LATER, body

    def guard(self):
        none = tuple(self.random.sample(FILTERS, self.random.randint(1, 2)))
        nots = (self.random.choice(FILTERS),) if self.random.random() < 0.3 else ()
        return Guard(none, self.cursor, nots)

    def make(self):
        """A batch and its lines. With one record it may go alone, with its guard in its envelope."""
        self.count += 1
        values = [f"{self.number}.{self.count}.{n}" for n in range(self.random.randint(1, 4))]
        batch = Batch(0, values)
        lines = [{"topic": self.random.choice(TOPICS), "key": f"k{self.random.randrange(KEYS)}",
                  "id": value, "value": value} for value in values]
        if self.random.random() < 0.6:
            batch.guards = [self.guard() for _ in range(self.random.randint(1, 2))]
            lines += [{"guard": {"none": guard.none, "not": guard.nots, "after": guard.after}}
                      for guard in batch.guards]
        if self.random.random() < 0.4:
            key = f"k{self.random.randrange(KEYS)}"
            batch.expected = [Expected(key, self.versions.get(key, 0))]
            lines.append({"guard": {"space": "s", "key": key,
                                    "expect": batch.expected[0].version}})
        return batch, "".join(json.dumps(line) + "\n" for line in lines)

    def append(self):
        batch, body = self.make()
        batch.called = time.monotonic_ns()
        self.batches.append(batch)
        repeats, first = self.random.random() < REPEAT_SHARE, True
        while first or (repeats and not self.stop.is_set()):
            if not self.connected():
                self.pause()
                continue
            try:
                status, answer = self.call("POST", "/v1/records?envelope=true&atomic=true", body,
                                           "application/x-ndjson")
                return self.judge(batch, status, answer, first)
            except Unanswered:
                first = False

    def judge(self, batch, status, answer, first):
        if status in (200, 201):
            batch.outcome = OK
            batch.seqs = [record["seq"] for record in answer["records"]]
            self.cursor = max(self.cursor, answer["last_seq"])
        elif status == 409:
            batch.outcome = REFUSED
            batch.against = [self.against(batch, one) for one in answer["violations"]]
        else:
            assert answer["code"] in LATER, (status, answer)
            self.disconnect()
            if first:  # else an earlier try of the same batch may have been taken
                batch.outcome = REFUSED
            return
        batch.answered = time.monotonic_ns()

    def against(self, batch, violation):
        if violation["code"] == "version_conflict":
            self.versions[violation["key"]] = violation["actual"]
            return Against(expected=batch.expected[0], actual=violation["actual"])
        assert violation["code"] == "guard_conflict", violation
        self.cursor = max(self.cursor, violation["seq"])
        guard = batch.guards[violation["line"] - len(batch.values) - 1]
        return Against(guard=guard, seq=violation["seq"])


def client(number, path, seed, stop, out):
    one = Client(number, path, seed, stop)
    try:
        one.run()
    except BaseException as error:
        out.put((number, repr(error), None))
        raise
    out.put((number, None, (one.batches, one.heads)))


def last_look(daemon):
    status, _, body = daemon.request("GET", "/v1/records")
    assert status == 200, (status, body)
    return [Record(record["seq"], record["topic"], record["value"], record.get("key"),
                   record.get("version", 0)) for record in map(json.loads, body.splitlines())]


def run(lives, seed, seconds):
    batches, heads = [], []
    for some, seen in lives.while_called(client, PROCESSES, seed, seconds):
        batches += some
        heads += seen
    records = last_look(lives.daemon)
    try:
        written = check(batches, heads, records)
    except Broken as broken:
        raise AssertionError(str(broken)) from None
    assert lives.daemon.stop() == 0, lives.daemon.log()
    counts = collections.Counter(batch.outcome for batch in batches)
    guards = sum(len(batch.guards) for batch in batches)
    conflicts = sum(against.guard is not None for batch in batches for against in batch.against)
    print_figures("batches", seconds=seconds, kills=lives.kills, records=len(records),
                  written=written, acked=counts[OK], refused=counts[REFUSED], unanswered=counts[OPEN],
                  guards=guards, guard_conflicts=conflicts, heads=len(heads), violations=0)
    assert counts[OK] > 20 * seconds and conflicts > 5 * seconds and counts[OPEN] > 0, \
        "too little happened to say anything"


if __name__ == "__main__":
    sys.exit(main(__doc__, SECONDS, run))
