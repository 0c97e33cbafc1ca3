#!/usr/bin/env python3
"""Compare-and-set under concurrency, through kills: every key is one register with versions.

Several processes read and write a few keys over connections of their own: with the version that they
saw last, with `absent`, `exists` or nothing expected, now and then deleting. The daemon is killed
and started again while they do. Calls and answers are timed by one monotonic clock. A write whose
answer never came stays open, unless its process repeats it with the same id. In the end
checker.py says whether one register for each key could have given all those answers.

--seconds N says how long; otherwise KLOG_TEST_SCALE does.
"""

import argparse
import collections
import dataclasses
import http.client
import json
import multiprocessing
import os
import random
import select
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from checker import (ABSENT, CONFLICT, DELETED, LIVE, NEVER, OK, OPEN, READ, REFUSED,  # noqa: E402
                     WRITE, Broken, Operation, Version, check)
from daemontest import LIMIT_SECONDS, Daemon, Place, UnixConnection  # noqa: E402
from recorder import print_figures  # noqa: E402

SECONDS = {"run": 15, "all": 60, "release": 900}
PROCESSES = 5
# New keys from time to time, since the whole history of each is read in the end.
SECONDS_PER_KEYS = 10
KEYS = 4
LIFE_SECONDS_MAX = 1.0
STOP_IN_ORDER_SHARE = 0.2
RECONNECT_SECONDS = 0.01
REPEAT_SHARE = 0.5


class Unanswered(Exception):
    """The connection broke after sending."""


class Client:
    """One process: it makes operations until it is told to stop, and keeps what came of them."""

    def __init__(self, number, path, seed, stop):
        self.number, self.path, self.stop = number, path, stop
        self.random = random.Random(seed * 100 + number)
        self.connection = None
        self.operations = collections.defaultdict(list)
        self.known = {}
        self.count = 0
        self.begun = time.monotonic()

    def connected(self):
        """False: there is no daemon, and nothing was sent."""
        if self.connection is not None:
            return True
        connection = UnixConnection(self.path)
        try:
            connection.connect()
        except OSError:
            return False
        self.connection = connection
        return True

    def call(self, method, target, body=None):
        """Status and parsed body. The connection is there; if it breaks, Unanswered."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            self.connection.request(method, target, body, headers)
            answer = self.connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text)
        except (OSError, http.client.HTTPException, ValueError):
            self.connection.close()
            self.connection = None
            raise Unanswered from None

    def pause(self):
        self.stop.wait(RECONNECT_SECONDS)

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
            assert body["code"] == "stopping", (status, body)
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
            assert body["code"] == "stopping", (status, body)
            self.connection.close()
            self.connection = None
            if first:  # else an earlier try of the same write may have been taken
                operation.outcome = REFUSED
            return
        operation.answered = time.monotonic_ns()


def client(number, path, seed, stop, out):
    one = Client(number, path, seed, stop)
    try:
        one.run()
    except BaseException as error:
        out.put((number, repr(error), {}))
        raise
    out.put((number, None, {key: [dataclasses.astuple(o) for o in operations]
                            for key, operations in one.operations.items()}))


class Lives:
    """Daemons on one directory, one after the other."""

    def __init__(self, place, chance):
        self.place, self.random, self.daemon, self.kills = place, chance, None, 0
        self.path = place.path("klog.sock")

    def start(self):
        self.daemon = Daemon(self.place, ["--data-dir", self.place.path("data"),
                                          "--socket", self.path])

    def live_and_end(self):
        descriptor = os.pidfd_open(self.daemon.process.pid)
        ended = select.select([descriptor], [], [], self.random.uniform(0, LIFE_SECONDS_MAX))[0]
        os.close(descriptor)
        assert not ended, f"the daemon ended by itself\n{self.daemon.log()}"
        if self.random.random() < STOP_IN_ORDER_SHARE:
            assert self.daemon.stop() == 0, self.daemon.log()
        else:
            self.daemon.kill()
            self.kills += 1
        os.unlink(self.daemon.log_path)


def last_look(daemon, key):
    status, _, body = daemon.request("GET", f"/v1/spaces/s/keys/{key}/history")
    if status == 404:
        return []
    assert status == 200, (status, body)
    return [Version(record["version"], record["value"], record.get("kind") == "tombstone")
            for record in map(json.loads, body.splitlines())]


def gather(workers, out):
    operations = collections.defaultdict(list)
    for _ in workers:
        number, trouble, history = out.get(timeout=LIMIT_SECONDS)
        assert trouble is None, f"process {number}: {trouble}"
        for key, some in history.items():
            operations[key] += [Operation(*one) for one in some]
    for worker in workers:
        worker.join(LIMIT_SECONDS)
    return operations


def run(lives, seed, seconds):
    lives.start()
    stop, out = multiprocessing.Event(), multiprocessing.Queue()
    workers = [multiprocessing.Process(target=client, args=(n, lives.path, seed, stop, out),
                                       daemon=True) for n in range(PROCESSES)]
    for worker in workers:
        worker.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        lives.live_and_end()
        lives.start()
    stop.set()
    operations = gather(workers, out)
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


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float,
                        default=SECONDS[os.environ.get("KLOG_TEST_SCALE", "run")])
    seconds = parser.parse_args().seconds
    seed = int(os.environ.get("KLOG_TEST_SEED", time.time_ns() % 1_000_000_000))
    print(f"seed {seed}", flush=True)
    place = Place()
    try:
        lives = Lives(place, random.Random(seed))
        run(lives, seed, seconds)
    finally:
        if lives.daemon and lives.daemon.process.poll() is None:
            lives.daemon.kill()
        place.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
