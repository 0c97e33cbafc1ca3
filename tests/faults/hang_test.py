#!/usr/bin/env python3
"""A disk that hangs: one fdatasync of the log's file takes ten seconds.

Meanwhile /livez answers, reads and listings answer, a tail that stood there before goes on living
and a new one begins, and what is not synced is shown to nobody. More writers than there are io
threads wait without an answer. When the sync is done all of them are acknowledged.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import LIMIT_SECONDS, Place, answers, wait_until  # noqa: E402

SKIPPED = 77
HANG_SECONDS = 10
# The probes have to be through well before the sync is: none begins later than this.
LAST_PROBE_SECONDS = 4
PROBES_SECONDS_MAX = 9
ANSWER_SECONDS_MAX = 5
WRITERS = 12
ROUNDS = 20
BEFORE = 5


class Writer(threading.Thread):
    def __init__(self, daemon, number):
        super().__init__(daemon=True)
        self.daemon_under_test, self.number, self.answer = daemon, number, None
        self.start()

    def run(self):
        self.answer = self.daemon_under_test.request(
            "POST", f"/v1/records?topic=a/hang&key=w{self.number}", b"1", "application/json")


class Tail:
    """A following tail on a connection of its own."""

    def __init__(self, daemon, query):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(LIMIT_SECONDS)
        self.socket.connect(daemon.socket)
        self.socket.sendall(b"GET /v1/records?" + query.encode() +
                            b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.text = b""

    def until(self, wanted):
        while wanted not in self.text:
            part = self.socket.recv(65536)
            assert part, "the tail ended"
            self.text += part


def probe(daemon):
    """One round of calls that must not wait for the disk."""
    for target in ("/livez", "/readyz", "/metrics", "/v1/head", "/v1/records?filter=a/>", "/v1/topics",
                   "/v1/spaces/a/keys/k"):
        begun = time.monotonic()
        status, _, body = daemon.request("GET", target)
        took = time.monotonic() - begun
        assert status == 200, (target, status, body)
        assert took < ANSWER_SECONDS_MAX, f"{target} took {took:.1f} s"
        assert b"hang" not in body or target == "/metrics", f"{target} shows what is not synced"


def tracer_is_there(daemon):
    """True once strace holds every thread."""
    folder = f"/proc/{daemon.process.pid}/task"
    for task in os.listdir(folder):
        with open(f"{folder}/{task}/status", encoding="ascii", errors="replace") as file:
            if re.search(r"^TracerPid:\s*0$", file.read(), re.MULTILINE):
                return False
    return True


def hang_the_next_sync(place, daemon):
    """From here on the first fdatasync of the log's file takes HANG_SECONDS."""
    folder = os.path.join(daemon.ready["data_dir"], "wal")
    log_file = max(name for name in os.listdir(folder) if name.endswith(".wal"))
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", place.path("trace"), "-P", os.path.join(folder, log_file),
         "-e", "trace=fdatasync", "-e", f"inject=fdatasync:delay_enter={HANG_SECONDS}s:when=1",
         "-p", str(daemon.process.pid)], stdin=subprocess.DEVNULL)
    place.started.append(tracer)
    tracer.stdout = tracer.stderr = None
    wait_until(lambda: tracer_is_there(daemon) or tracer.poll() is not None, "strace")
    return tracer.poll() is None


def hangs(place):
    """strace writes the call's name before it waits."""
    with open(place.path("trace"), encoding="utf-8", errors="replace") as file:
        return "fdatasync(" in file.read()


def run(place):
    # The search for leaks does not work in a process that is traced.
    options = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    daemon = place.daemon("--data-dir", place.path("data"), env={"ASAN_OPTIONS": options})
    for number in range(BEFORE):
        status, _, body = daemon.request("POST", "/v1/records?topic=a/before&key=k",
                                         str(number).encode(), "application/json")
        assert status == 201, body
    old_tail = Tail(daemon, "filter=a/>&from=start&follow=true")
    old_tail.until(b'"seq":%d,' % BEFORE)
    if not hang_the_next_sync(place, daemon):
        print("skipped: strace may not take hold of a running process here")
        return SKIPPED
    begun = time.monotonic()
    writers = [Writer(daemon, 0)]
    wait_until(lambda: hangs(place), "the sync")
    writers += [Writer(daemon, number) for number in range(1, WRITERS)]
    rounds = 0
    while rounds < ROUNDS and (rounds == 0 or time.monotonic() - begun < LAST_PROBE_SECONDS):
        probe(daemon)
        new_tail = Tail(daemon, "filter=a/>&from=start&follow=true")
        new_tail.until(b'"seq":%d,' % BEFORE)
        assert answers(daemon.socket)
        rounds += 1
    took = time.monotonic() - begun
    assert took < PROBES_SECONDS_MAX, f"{rounds} rounds took {took:.1f} s"
    assert all(writer.answer is None for writer in writers), "acknowledged before the sync"
    assert b"hang" not in old_tail.text, "shown before the sync"
    for writer in writers:
        writer.join(LIMIT_SECONDS)
        assert writer.answer is not None and writer.answer[0] == 201, writer.answer
        assert json.loads(writer.answer[2])["version"] == 1
    waited = time.monotonic() - begun
    assert waited >= HANG_SECONDS - 1, f"the sync took {waited:.1f} s only: nothing was tried"
    for tail in (old_tail, new_tail):
        tail.until(b'"seq":%d,' % (BEFORE + WRITERS))
    assert daemon.stop() == 0, daemon.log()
    print(f"{rounds} rounds of calls were answered beside a sync of {HANG_SECONDS} s")
    return 0


def main():
    if shutil.which("strace") is None:
        print("skipped: strace is not installed (packaging/debian-packages.txt lists it)")
        return SKIPPED
    place = Place()
    try:
        return run(place)
    finally:
        place.close()


if __name__ == "__main__":
    sys.exit(main())
