#!/usr/bin/env python3
"""Failing system calls under the real binary, with a recorder outside it.

strace makes the daemon's calls fail, one kind in each life: EIO, ENOSPC, EINTR, at a start or in the
middle of work, once or again and again. Writes come short and then fail where the kernel's limit on
the size of a file is moved into the log's own file (strace cannot write half). After each life the
daemon is started on a sound disk and must hold what it acknowledged, byte for byte, without a gap in
seqs or versions, nothing that it refused, and at most once what it could not know. Beyond that:

- an interrupted call (EINTR) is nobody's business: all is acknowledged and the stop is a clean one;
- after a failed fdatasync of the log's file nothing is acknowledged any more;
- whatever fails, the daemon ends in order, not by a signal and not with 70, a bug.

--only CALL:FAULT takes one kind. KLOG_TEST_SCALE says how many lives; KLOG_TEST_SEED repeats.
"""

import argparse
import glob
import http.client
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import LIMIT_SECONDS, Daemon, Place, UnixConnection  # noqa: E402
from recorder import (ACKED, REFUSED, UNKNOWN, Book, Source, print_figures,  # noqa: E402
                      read_after)

SKIPPED = 77
LIVES = {"run": 80, "all": 200, "release": 3000}
LIVES_ONLY = 12  # with --only
LIVES_PER_DIRECTORY = 20
ROUNDS_PER_LIFE = 12
STREAM_LINES = 24

CALLS = ["pwrite64", "fdatasync", "fsync", "openat", "rename", "ftruncate", "unlink", "pread64",
         "read", "mkdir", "newfstatat", "fallocate"]
FAULTS = [f"{call}:{fault}" for call in CALLS for fault in ("EIO", "ENOSPC")] + \
    [f"{call}:EINTR" for call in ("pwrite64", "fdatasync", "fsync", "ftruncate", "pread64", "fallocate")] + \
    ["fallocate:EOPNOTSUPP"] + \
    ["pwrite64:short", "pwrite64:EIO", "pwrite64:ENOSPC", "fdatasync:EIO", "fsync:EIO"]
LOADER_READS = 40 if os.environ.get("KLOG_SANITIZE") else 10
# Where the first fault falls: a start makes some of these calls, work the others.
FIRST_CALL_MAX = {"openat": 60, "read": 8, "pread64": 40, "pwrite64": 60, "newfstatat": 8,
                  "fdatasync": 40, "fsync": 14, "rename": 5, "ftruncate": 2, "unlink": 3, "mkdir": 4,
                  "fallocate": 1}
# Calls that the C library makes good: nothing may fail.
MADE_GOOD = ("EINTR", "EOPNOTSUPP")
# About as much as a life writes.
SHORT_WRITE_UP_TO = 200_000
LOG_FILE = re.compile(r"/wal/\d+\.wal>")


class TracedDaemon(Daemon):
    """A daemon whose calls fail as `rule`, in strace's words, says."""

    def __init__(self, place, data_dir, trace, call, rule):
        self.pid = None
        self.prefix = ["strace", "-f", "-y", "-qq", "--seccomp-bpf", "-o", trace,
                       "-e", f"trace={call}", "-e", f"inject={call}:{rule}", "--"]
        # The search for leaks does not work in a process that is traced.
        options = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        super().__init__(place, ["--data-dir", data_dir], prefix=self.prefix,
                         env={"ASAN_OPTIONS": options})
        self.pid = self.ready["pid"]

    def wait_ready(self):
        """strace keeps the descriptor open: the line's end has to do."""
        text = b""
        while not text.endswith(b"\n"):
            if not select.select([self.ready_fd], [], [], LIMIT_SECONDS)[0]:
                raise AssertionError("no ready line\n" + self.log())
            part = os.read(self.ready_fd, 65536)
            if not part:
                self.process.wait(LIMIT_SECONDS)
                raise AssertionError(
                    f"the daemon ended with {self.process.returncode}\n" + self.log())
            text += part
        os.close(self.ready_fd)
        self.ready_fd = -1
        self.ready = json.loads(text)

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        try:
            self.signal(signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(LIMIT_SECONDS)


def injected(trace):
    with open(trace, encoding="utf-8", errors="replace") as file:
        return [line for line in file if "(INJECTED)" in line]


class Life:
    """What one daemon was sent until something broke it, or it was stopped."""

    def __init__(self, daemon, source, book):
        self.daemon, self.source, self.book = daemon, source, book
        self.writes = []

    def new(self, *arguments, **more):
        self.writes.append(self.source.write(*arguments, **more))
        return self.writes[-1]

    def work(self):
        try:
            for number in range(ROUNDS_PER_LIFE):
                self.single(number)
                self.stream()
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            pass  # it has ended: what was not answered is unknown

    def single(self, number):
        write = self.new("single", f"own-{number % 3}")
        kind = "application/octet-stream" if write.raw else "application/json"
        status, _, body = self.daemon.request(
            "POST", f"/v1/records?topic={write.topic}&key={write.key}&id={write.ident}",
            write.value, kind)
        self.judge(write, status, json.loads(body))

    def stream(self):
        writes = [self.new("shared", f"k{i % 5}") for i in range(STREAM_LINES)]
        status, _, body = self.daemon.request(
            "POST", "/v1/records?envelope=true&on_error=skip",
            b"".join(write.envelope() for write in writes), "application/x-ndjson")
        if status != 200:
            for write in writes:
                self.judge(write, status, json.loads(body))
            return
        for line in body.splitlines():
            answer = json.loads(line)
            self.judge(writes[answer["line"] - 1], answer["status"], answer)

    @staticmethod
    def judge(write, status, answer):
        if status == 201:
            write.acknowledge(answer)
        elif status == 504:
            assert answer["code"] == "outcome_unknown", answer
        else:
            assert status in (500, 503, 507), (status, answer)
            write.outcome = REFUSED

    def after_a_failed_sync(self):
        """Nothing may be acknowledged any more."""
        try:
            write = self.new("single", "own-0")
            status, _, body = self.daemon.request(
                "POST", f"/v1/records?topic={write.topic}&key={write.key}&id={write.ident}",
                write.value, "application/octet-stream" if write.raw else "application/json")
            assert status != 201, f"acknowledged after a failed sync: {body}"
            self.judge(write, status, json.loads(body))
        except (OSError, http.client.HTTPException):
            pass

    def short_write(self, chance):
        """Moves the limit on a file's size to somewhere in the log's own file, and back later."""
        folder = os.path.join(self.daemon.ready["data_dir"], "wal")
        sizes = [os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)]
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.daemon.pid, resource.RLIMIT_FSIZE,
                         (chance.randrange(4096, min(max(sizes), SHORT_WRITE_UP_TO)) | 1, hard))

    def no_limit(self):
        resource.prlimit(self.daemon.pid, resource.RLIMIT_FSIZE,
                         resource.getrlimit(resource.RLIMIT_FSIZE))


class Run:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.source = Source(seed)
        self.place = Place()
        self.directories = 0
        self.figures = dict.fromkeys(
            ("faults", "acked", "refused", "unknown", "starts_that_failed", "short_writes",
             "failed_syncs_of_the_log"), 0)
        self.by_kind = {}
        self.living = None  # the daemon of just now
        self.new_directory()

    def new_directory(self):
        self.directories += 1
        self.book = Book()
        self.data_dir = self.place.path(f"data-{self.directories}")

    def rule(self, call, fault):
        first = self.random.randint(1, FIRST_CALL_MAX[call])
        again = self.random.choice(["", "+", "+2", "+3", "+7"])
        if call == "read":
            again = ""  # not files but signals and wake-ups of the daemon's own are read in work
        if fault == "EINTR":
            # Each second one, since a retry is right to go on for ever. The loader does not retry.
            first, again = (LOADER_READS if call == "pread64" else 1), "+2"
        return f"error={fault}:when={first}{again}"

    def remove_spares(self):
        """A start takes room for one then."""
        for spare in glob.glob(os.path.join(self.data_dir, "wal", "spare-*")):
            os.unlink(spare)

    def life(self, kind):
        call, fault = kind.split(":")
        if call == "fallocate":
            self.remove_spares()
        trace = self.place.path("trace")
        short = fault == "short"
        rule = "delay_exit=0:when=65535" if short else self.rule(call, fault)
        writes, happened = [], 0
        self.living = None
        try:
            daemon = TracedDaemon(self.place, self.data_dir, trace, call, rule)
        except AssertionError as ended:
            self.figures["starts_that_failed"] += 1
            assert fault not in MADE_GOOD, f"{rule}: {ended}"
            code = int(re.search(r"ended with (-?\d+)", str(ended)).group(1))
            assert code > 0 and code != 70, f"{kind} {rule}: {ended}"
            assert "Sanitizer" not in str(ended), f"{kind} {rule}: {ended}"
        else:
            self.living = daemon
            writes, happened = self.work(daemon, kind, rule, trace)
        faults = len(injected(trace)) + happened
        self.figures["faults"] += faults
        self.by_kind[kind] = self.by_kind.get(kind, 0) + faults
        os.unlink(trace)
        self.check_on_a_sound_disk(writes)

    def work(self, daemon, kind, rule, trace):
        """Gives what was written, and how many writes came short."""
        life = Life(daemon, self.source, self.book)
        if kind.endswith(":short"):
            life.short_write(self.random)
        life.work()
        happened = 0
        if kind.endswith(":short"):
            happened = sum(write.outcome != ACKED for write in life.writes) and 1
            self.figures["short_writes"] += happened
            life.no_limit()
            # There is room again, and no start is needed: but where the limit lay before the
            # group, its undoing failed as well, and that is final.
            final = any(write.outcome == UNKNOWN for write in life.writes)
            life.work()
            # A log that found no room looks again after a tenth of a second.
            until = time.monotonic() + 10
            while not final and life.writes[-1].outcome != ACKED and time.monotonic() < until:
                life.work()
            assert final or life.writes[-1].outcome == ACKED, "no work after the limit was lifted"
        if kind == "fdatasync:EIO" and any(LOG_FILE.search(line) for line in injected(trace)):
            self.figures["failed_syncs_of_the_log"] += 1
            life.after_a_failed_sync()
        if self.random.random() < 0.5 and not kind.endswith(":EINTR"):
            daemon.kill()
        else:
            self.stop(daemon, kind, rule, life)
        assert "Sanitizer" not in daemon.log(), f"{kind} {rule}: {daemon.log()}"
        os.unlink(daemon.log_path)
        return life.writes, happened

    @staticmethod
    def stop(daemon, kind, rule, life):
        try:
            code = daemon.stop()
        except ProcessLookupError:
            code = daemon.wait()
        assert code >= 0 and code != 70, f"{kind} {rule}: ended with {code}\n{daemon.log()}"
        if kind.endswith(":EINTR"):
            # SQLite does not go on with a sync that was interrupted. Its index is disposable.
            assert code == 0 or (code == 74 and "klog: io: key index" in daemon.log()), \
                f"{kind} {rule}: ended with {code}\n{daemon.log()}"
            assert all(write.outcome == ACKED for write in life.writes), f"{kind} {rule}: not acked"

    def check_on_a_sound_disk(self, writes):
        daemon = self.living = Daemon(self.place, ["--data-dir", self.data_dir])
        try:
            found = self.book.take(read_after(daemon, self.book.seq), writes)
            for write in writes:
                self.figures[write.outcome] += 1
                if write.outcome != UNKNOWN or self.random.random() > 0.2:
                    continue
                # A retry with the same id finds out what became of it.
                status, _, body = daemon.request(
                    "POST", "/v1/records?envelope=true", write.envelope(), "application/x-ndjson")
                answer = json.loads(body)
                there = write.ident in found
                assert answer["status"] == (200 if there else 201), (status, there, body)
                if not there:
                    write.acknowledge(answer)
                    self.book.take(read_after(daemon, self.book.seq), [write])
            assert daemon.stop() == 0, daemon.log()
        except BaseException:
            daemon.kill()
            raise
        os.unlink(daemon.log_path)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="CALL:FAULT")
    only = parser.parse_args().only
    if shutil.which("strace") is None:
        print("skipped: strace is not installed (packaging/debian-packages.txt lists it)")
        return SKIPPED
    if subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], check=False).returncode != 0:
        print("skipped: nothing may be traced here")
        return SKIPPED
    lives = LIVES_ONLY if only else LIVES[os.environ.get("KLOG_TEST_SCALE", "run")]
    seed = int(os.environ.get("KLOG_TEST_SEED", time.time_ns() % 1_000_000_000))
    print(f"seed {seed}, {lives} lives", flush=True)
    begun = time.monotonic()
    run = Run(seed)
    try:
        for number in range(1, lives + 1):
            kind = only or FAULTS[(number + seed) % len(FAULTS)]
            if kind.startswith("mkdir"):
                run.new_directory()  # where there is something to make
            try:
                run.life(kind)
            except Exception:
                print(f"life {number}, {kind}; the data is kept in {run.data_dir}", flush=True)
                run.place.root = os.devnull
                if run.living and run.living.process.poll() is None:
                    run.living.kill()
                raise
            if number % LIVES_PER_DIRECTORY == 0:
                run.new_directory()
    finally:
        run.place.close()
    print_figures("faults", lives=lives, seconds=time.monotonic() - begun, **run.figures,
                  violations=0)
    print("faults of each kind: " + ", ".join(f"{k} {n}" for k, n in sorted(run.by_kind.items())))
    assert run.figures["faults"] >= lives / 4, "too few calls failed to say anything"
    if only == "fdatasync:EIO":
        assert run.figures["failed_syncs_of_the_log"] > 0, "the log was never synced"
    return 0


if __name__ == "__main__":
    sys.exit(main())
