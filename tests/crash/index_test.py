#!/usr/bin/env python3
"""kill -9 while runs are written and merged and while lost indexes are made anew.

Each cycle streams events of many keys, new ones and known ones, and kills the daemon in the middle; then, at
times, takes its indexes away, some of them, or changes a byte of one; starts it, at times kills it again
while it is busy with them, and starts it once more. Then, of what was acknowledged:

- each key that was written last, and a sample of all, has at least the version that was acknowledged, and no
  higher one than was sent; where it is known from then on it is exactly that, however often it is looked up;
- an event sent once more is known by its id, with the version of its first write, however long ago;
- the keys under a prefix are listed in order, all of them, none twice.

KLOG_TEST_SCALE says how many cycles: run 12, all 24, release 400. KLOG_TEST_SEED repeats a run's choices.
"""

import http.client
import json
import os
import random
import re
import shutil
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import LIMIT_SECONDS, Daemon, Place, UnixConnection, wait_until  # noqa: E402
from recorder import print_figures  # noqa: E402

CYCLES = {"run": 12, "all": 24, "release": 400}
EVENTS_A_CYCLE = 150_000
EVENTS_A_SEND = 2_000
NEW_KEYS_PERCENT = 80
# A directory is left for a new one after so many cycles: disks are finite.
CYCLES_PER_DIRECTORY = 30
KILL_SECONDS_MAX = 1.5
START_KILL_SECONDS_MAX = 0.5
SAMPLE = 200
# One byte is changed, so a list meets the damage once; a second time where it is being made anew.
LIST_CUTS_MAX = 3
ACK = re.compile(rb'\{"line":(\d+),"status":20[01],"seq":\d+,"version":(\d+)')


def event(number, said, ident):
    return b'{"topic":"load/%d","key":"key-%07d","id":"%s","value":{"of":%d,"n":%d}}\n' % (
        number % 100, number, ident, number, said)


class Keys:
    """What must be there: versions that were acknowledged, and those that may be."""

    def __init__(self, chance):
        self.chance = chance
        self.acked, self.sent = [], []  # by number: versions, at least and at most
        self.ids = []                   # (number, what the value said, version) of acknowledged events
        self.events = 0                 # that were ever sent; each has an id of its own
        self.unsure = set()             # numbers whose version is known only as a range

    def next_number(self):
        if not self.sent or self.chance.randrange(100) < NEW_KEYS_PERCENT:
            self.acked.append(0)
            self.sent.append(0)
            return len(self.sent) - 1
        return self.chance.randrange(len(self.sent))


def stream(path, keys, limit):
    """Sends until the daemon is gone or `limit` events are sent. Gives how many were acknowledged."""
    pending, acked, rest, trouble = [], 0, b"", []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(LIMIT_SECONDS)

        def take(data):
            nonlocal rest, acked
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                found = ACK.match(line)
                if not found:
                    continue
                (number, said), version = pending[acked], int(found[2])
                assert int(found[1]) == acked + 1, line
                acked += 1
                assert keys.acked[number] < version <= keys.sent[number], (number, line)
                keys.acked[number] = version
                keys.ids.append((number, said, version))

        def read_answers(connection):
            try:
                while data := connection.recv(1 << 18):
                    take(data)
            except OSError:
                pass  # it was killed
            except AssertionError as wrong:
                trouble.append(wrong)

        reader = threading.Thread(target=read_answers, args=(connection,))
        try:
            connection.connect(path)
            connection.sendall(b"POST /v1/records?envelope=true HTTP/1.1\r\nHost: localhost\r\n"
                               b"Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
            reader.start()
            while len(pending) < limit:
                lines = []
                for _ in range(EVENTS_A_SEND):
                    number = keys.next_number()
                    keys.sent[number] += 1
                    keys.events += 1
                    said = keys.events
                    pending.append((number, said))
                    keys.unsure.add(number)
                    lines.append(event(number, said, b"%d-%d" % (number, said)))
                batch = b"".join(lines)
                connection.sendall(b"%x\r\n%s\r\n" % (len(batch), batch))
            connection.sendall(b"0\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        if reader.ident is not None:
            reader.join(LIMIT_SECONDS)
    assert not reader.is_alive()
    assert not trouble, trouble[0]
    return acked


def damage(data, chance, changed):
    """Something is wrong with the indexes when the daemon starts. Gives what; `changed` gets a changed file."""
    folder = os.path.join(data, "index")
    kind = chance.choice(["none", "none", "all", "some", "a byte", "the key index"])
    files = sorted(os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)
    if kind == "all":
        shutil.rmtree(folder, ignore_errors=True)  # or there is none yet
    elif kind == "some":
        for path in files:
            if chance.random() < 0.3:
                os.unlink(path)
    elif kind == "a byte" and files:
        path = chance.choice(files)
        size = os.path.getsize(path)
        if size:
            with open(path, "r+b") as file:
                at = chance.randrange(size)
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ 0x20]))
            changed.add(path)
    elif kind == "the key index":
        for path in files:
            if os.path.basename(path).startswith("keys.db"):
                os.unlink(path)
    return kind


class Asker:
    """Asks until it is told: indexes that are made anew are waited for."""

    def __init__(self, daemon):
        self.connection = UnixConnection(daemon.socket)
        self.waited = 0

    def ask(self, method, target, body=None):
        limit = time.monotonic() + LIMIT_SECONDS
        while True:
            headers = {"Content-Type": "application/json"} if body else {}
            self.connection.request(method, target, body, headers)
            answer = self.connection.getresponse()
            text = answer.read()
            if answer.status != 503 or json.loads(text)["code"] != "rebuilding":
                return answer.status, text
            assert time.monotonic() < limit, text
            self.waited += 1
            threading.Event().wait(0.02)


def check(asker, keys, chance):
    asked = list(keys.unsure)
    asked += [chance.randrange(len(keys.sent)) for _ in range(SAMPLE)]
    if len(asked) > 4 * SAMPLE:  # the newest matter most; the others are met again
        asked = chance.sample(asked, 2 * SAMPLE) + asked[-2 * SAMPLE:]
    for number in asked:
        status, text = asker.ask("GET", f"/v1/spaces/load/keys/key-{number:07d}")
        low, high = keys.acked[number], keys.sent[number]
        version = json.loads(text)["version"] if status == 200 else 0
        assert status in (200, 404), text
        assert low <= version <= high, f"key {number}: {version}, acknowledged {low}, sent {high}"
        keys.acked[number] = version
        if number in keys.unsure:
            keys.unsure.discard(number)
            keys.sent[number] = version
    for number, said, version in chance.sample(keys.ids, min(SAMPLE // 2, len(keys.ids))):
        line = json.loads(event(number, said, b"%d-%d" % (number, said)))
        status, text = asker.ask(
            "POST", f"/v1/records?topic={line['topic']}&key={line['key']}&id={line['id']}",
            b'{"of":%d,"n":%d}' % (number, said))
        answer = json.loads(text)
        assert status == 200 and answer["duplicate"] and answer["version"] == version, (line, text)
    check_listing(asker, keys, chance)


def list_all(daemon, asker):
    """Each block of the key index is read, so that one that was damaged is met and made anew.

    An answer that had begun is cut there: its list goes on behind the last key on a new connection.
    """
    after, listed, cuts = "", 0, 0
    while True:
        try:
            status, text = asker.ask("GET", f"/v1/spaces/load/keys?limit=10000&after={after}")
        except http.client.IncompleteRead:
            cuts += 1
            assert cuts <= LIST_CUTS_MAX, daemon.log()
            asker.connection = UnixConnection(daemon.socket)
            continue
        assert status == 200, text
        page = text.splitlines()
        listed += len(page)
        if len(page) < 10_000:
            return listed
        after = json.loads(page[-1])["key"]


def check_listing(asker, keys, chance):
    first = chance.randrange(len(keys.sent)) // 1000 * 1000
    listed, after = [], ""
    while True:
        status, text = asker.ask(
            "GET", f"/v1/spaces/load/keys?prefix=key-{first // 1000:04d}&limit=300&after={after}")
        assert status == 200, text
        page = [json.loads(line)["key"] for line in text.splitlines()]
        listed += page
        if len(page) < 300:
            break
        after = page[-1]
    assert listed == sorted(set(listed)), f"out of order or twice: {listed[:5]}"
    there = set(listed)
    for number in range(first, min(first + 1000, len(keys.sent))):
        name = f"key-{number:07d}"
        assert keys.acked[number] == 0 or name in there, f"{name} is not listed"
        assert keys.sent[number] > 0 or name not in there, f"{name} is listed"


def check_files(place, data, changed):
    """All is sound but an index whose changed byte no look-up met; what verify says to do with it mends it."""
    verified = place.klog("verify", "--data-dir", data)
    if verified.returncode != 0:
        lines = [json.loads(line) for line in verified.stdout.splitlines()]
        damaged = [line for line in lines if line["result"] == "damaged"]
        assert damaged, verified.stdout + verified.stderr
        for line in damaged:
            path = os.path.join(data, line["file"])
            assert line["kind"] in ("run", "wal_index") and path in changed, line
            assert "delete this file" in line["hint"], line
            os.unlink(path)
        daemon = place.daemon("--data-dir", data)
        wait_until(lambda: daemon.request("GET", "/readyz")[0] == 200, "the indexes are whole")
        assert daemon.stop() == 0, daemon.log()
        verified = place.klog("verify", "--data-dir", data)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def cycle(place, data, keys, chance, figures, changed):
    daemon = place.daemon("--data-dir", data)
    wait_until(lambda: daemon.request("GET", "/readyz")[0] == 200, "the indexes are whole")
    timer = threading.Timer(chance.random() * KILL_SECONDS_MAX, daemon.kill)
    timer.start()
    figures["acked"] += stream(daemon.socket, keys, EVENTS_A_CYCLE)
    timer.join()
    figures["kills"] += 1
    what = damage(data, chance, changed)
    figures["damages"] += what != "none"
    for _ in range(chance.choice([0, 0, 1, 2])):
        interrupted = Daemon(place, ("--data-dir", data), wait=False)
        threading.Event().wait(chance.random() * START_KILL_SECONDS_MAX)
        interrupted.kill()
        figures["kills"] += 1
    daemon = place.daemon("--data-dir", data)
    asker = Asker(daemon)
    try:
        check(asker, keys, chance)
        if what == "a byte":
            list_all(daemon, asker)
    except AssertionError:
        print(f"after {what}; the daemon's log:\n{daemon.log()}", file=sys.stderr)
        raise
    figures["waits"] += asker.waited > 0
    assert daemon.stop() == 0, daemon.log()


def main():
    scale = os.environ.get("KLOG_TEST_SCALE", "run")
    seed = int(os.environ.get("KLOG_TEST_SEED") or random.randrange(1 << 30))
    print(f"seed {seed}", flush=True)
    chance = random.Random(seed)
    figures = {"cycles": CYCLES[scale], "kills": 0, "damages": 0, "waits": 0, "acked": 0}
    place = Place()
    try:
        for number in range(CYCLES[scale]):
            if number % CYCLES_PER_DIRECTORY == 0:
                data, keys, changed = place.path(f"data-{number}"), Keys(chance), set()
            cycle(place, data, keys, chance, figures, changed)
            if (number + 1) % CYCLES_PER_DIRECTORY == 0 or number + 1 == CYCLES[scale]:
                check_files(place, data, changed)
                shutil.rmtree(data)
        print_figures("indexes", **figures, violations=0)
    finally:
        place.close()


if __name__ == "__main__":
    sys.exit(main())
