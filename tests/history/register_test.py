#!/usr/bin/env python3
"""Compare-and-set under concurrency, through kills: every key is one register with versions.

Several processes read and write a few keys over connections of their own: with the version that they
saw last, with `absent`, `exists` or nothing expected, now and then deleting. The daemon is killed
and started again while they do, at times without its indexes. Calls and answers are timed by one monotonic clock. A write whose
answer never came stays open, unless its process repeats it with the same id. In the end
checker.py says whether one register for each key could have given all those answers.

--seconds N says how long; otherwise KLOG_TEST_SCALE does.
"""

import collections
import dataclasses
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from checker import (ABSENT, CONFLICT, DELETED, LIVE, NEVER, OK, OPEN, READ, REFUSED,  # noqa: E402
                     WRITE, Broken, Operation, Version, check)
from lives import Caller, Unanswered, main  # noqa: E402
from recorder import print_figures  # noqa: E402

SECONDS = {"run": 15, "all": 30, "release": 900}
PROCESSES = 16
# New keys from time to time, since the whole history of each is read in the end.
SECONDS_PER_KEYS = 10
KEYS = 4
REPEAT_SHARE = 0.5


class Client(Caller):
    """One process: it makes operations until it is told to stop, and keeps what came of them."""

    def __init__(self, number, path, seed, stop):
        super().__init__(path, stop)
        self.number = number
        self.random = random.Random(seed * 100 + number)
        self.operations = collections.defaultdict(list)
        self.known = {}
        self.count = 0
        self.begun = time.monotonic()

    def run(self):
        while not self.stop.is_set():
            if not self.connected():
                self.pause()
                continue
            turn = int((time.monotonic() - self.begun) / SECONDS_PER_KEYS)
            key = f"k{turn * KEYS + self.random.randrange(KEYS)}"
            if self.random.random() < 0.4:
                self.read(key)
            else:
                self.write(key)

    def read(self, key):
        called = time.monotonic_ns()
        try:
            status, body = self.call("GET", f"/v1/spaces/s/keys/{key}")
        except Unanswered:
            return
        operation = Operation(READ, called, time.monotonic_ns())
        if status == 200:
            operation.version, operation.state = body["version"], LIVE
            operation.value = body["value"]
            if body.get("kind") == "tombstone":
                operation.state, operation.value = DELETED, None
        elif status == 404 and body["code"] == "not_found":
            operation.version, operation.state = body.get("version", 0), body["state"]
        else:
            assert body["code"] in ("stopping", "rebuilding"), (status, body)
            return
        self.known[key] = operation.version
        self.operations[key].append(operation)

    def expectation(self, key):
        chance = self.random.random()
        if chance < 0.1:
            return None
        if chance < 0.2:
            return "absent"
        if chance < 0.3:
            return "exists"
        return self.known.get(key, 0)

    def write(self, key):
        self.count += 1
        value = f"{self.number}.{self.count}"
        operation = Operation(WRITE, time.monotonic_ns(), NEVER, OPEN, value)
        operation.tombstone = self.random.random() < 0.15
        operation.expect = self.expectation(key)
        self.operations[key].append(operation)
        target = f"/v1/records?topic=s/{self.number}&key={key}&id={value}"
        if operation.expect is not None:
            target += f"&expect={operation.expect}"
        if operation.tombstone:
            target += "&kind=tombstone"
        repeats = self.random.random() < REPEAT_SHARE
        first = True
        while first or (repeats and not self.stop.is_set()):
            if not self.connected():
                self.pause()
                continue
            try:
                status, body = self.call("POST", target, json.dumps(value))
                return self.judge(key, operation, status, body, first)
            except Unanswered:
                first = False

    def judge(self, key, operation, status, body, first):
        if status in (200, 201):
            operation.outcome, operation.version = OK, body["version"]
            self.known[key] = body["version"]
        elif status == 409 and body["code"] == "version_conflict":
            seen = body["violations"][0]
            operation.outcome, operation.version = CONFLICT, seen["actual"]
            operation.state = seen["state"]
            self.known[key] = seen["actual"]
        else:
            assert body["code"] in ("stopping", "rebuilding"), (status, body)
            self.disconnect()
            if first:  # else an earlier try of the same write may have been taken
                operation.outcome = REFUSED
            return
        operation.answered = time.monotonic_ns()


def client(number, path, seed, stop, out):
    one = Client(number, path, seed, stop)
    try:
        one.run()
    except BaseException as error:
        out.put((number, repr(error), None))
        raise
    out.put((number, None, {key: [dataclasses.astuple(o) for o in operations]
                            for key, operations in one.operations.items()}))


def last_look(daemon, key):
    status, _, body = daemon.request("GET", f"/v1/spaces/s/keys/{key}/history")
    if status == 404:
        return []
    assert status == 200, (status, body)
    return [Version(record["version"], record["value"], record.get("kind") == "tombstone")
            for record in map(json.loads, body.splitlines())]


def run(lives, seed, seconds):
    operations = collections.defaultdict(list)
    for history in lives.while_called(client, PROCESSES, seed, seconds):
        for key, some in history.items():
            operations[key] += [Operation(*one) for one in some]
    versions = 0
    for key, history in sorted(operations.items()):
        try:
            versions += check(history, last_look(lives.daemon, key))
        except Broken as broken:
            raise AssertionError(f"{key}: {broken}") from None
    assert lives.daemon.stop() == 0, lives.daemon.log()
    flat = [operation for history in operations.values() for operation in history]
    counts = collections.Counter(operation.outcome if operation.kind == WRITE else READ
                                 for operation in flat)
    print_figures("history", seconds=seconds, kills=lives.kills, keys=len(operations),
                  versions=versions, acked=counts[OK], conflicts=counts[CONFLICT],
                  unanswered=counts[OPEN], refused=counts[REFUSED], reads=counts[READ],
                  violations=0)
    assert counts[OK] > 20 * seconds and counts[CONFLICT] > seconds and counts[OPEN] > 0, \
        "too little happened to say anything"


if __name__ == "__main__":
    sys.exit(main(__doc__, SECONDS, run))
