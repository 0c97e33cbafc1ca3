#!/usr/bin/env python3
"""kill -9 cycles against the real binary, with a recorder outside it.

Each cycle starts the daemon, lets several producers write over its socket, kills it with SIGKILL at
a random moment, starts it again and compares what it serves with what it acknowledged:

- each acknowledged record is there with its seq, version, key, topic and value, byte for byte;
- a refused one is absent; one of unknown outcome is there zero or one times, and a retry with its
  id finds out which: 200 with the first write's seq and version, or 201;
- seqs grow, times do not decrease, versions of a key have no gaps;
- nothing else is there.

Some cycles kill during the start (so during recovery), some stop in order. KLOG_TEST_SCALE says how
many cycles: run 50, all 300, release 5,000. KLOG_TEST_SEED repeats a run's choices.
"""

import http.client
import json
import os
import random
import select
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import LIMIT_SECONDS, Daemon, Place, UnixConnection  # noqa: E402
from recorder import REFUSED, UNKNOWN, Book, Source, print_figures, read_after  # noqa: E402

CYCLES = {"run": 50, "all": 150, "release": 5000}
# A directory is left for a new one after so many cycles, so that reading all of it stays quick.
CYCLES_PER_DIRECTORY = 100
# All records are read again every so many cycles; in between only the new ones.
CYCLES_PER_WHOLE_READ = 20
KILL_SECONDS_MAX = 0.06
STARTUP_KILL_SECONDS_MAX = 0.012


class Producer(threading.Thread):
    """Writes on a connection of its own until the daemon is gone."""

    def __init__(self, path, source, number):
        super().__init__(daemon=True)
        self.path, self.source, self.number = path, source, number
        self.writes = []
        self.trouble = None

    def run(self):
        try:
            self.produce()
        except (OSError, http.client.HTTPException):
            pass  # the daemon is gone: what was not answered is unknown
        except Exception as error:  # noqa: BLE001: anything else is the test's failure
            self.trouble = repr(error)

    def new(self, *arguments, **more):
        write = self.source.write(*arguments, **more)
        self.writes.append(write)
        return write


class SingleProducer(Producer):
    """One record a request, each with the expected version; now and then a stale one."""

    def __init__(self, path, source, number, versions):
        super().__init__(path, source, number)
        self.versions = versions

    def produce(self):
        connection = UnixConnection(self.path)
        while True:
            key = f"own-{self.number}-{self.source.random.randrange(4)}"
            version = self.versions.get(("single", key), 0)
            stale = self.source.random.random() < 0.1
            write = self.new("single", key, expect=version + 1 if stale else version)
            target = (f"/v1/records?topic={write.topic}&key={key}&id={write.ident}"
                      f"&expect={write.expect}")
            kind = "application/octet-stream" if write.raw else "application/json"
            connection.request("POST", target, write.value, {"Content-Type": kind})
            answer = connection.getresponse()
            body = json.loads(answer.read())
            if answer.status == 201:
                write.acknowledge(body)
                self.versions["single", key] = body["version"]
                assert not stale and body["version"] == version + 1, (write.ident, body)
            elif body["code"] == "stopping":
                write.outcome = REFUSED
                return
            else:
                assert answer.status == 409 and stale, (write.ident, answer.status, body)
                assert body["violations"][0]["actual"] == version, body
                write.outcome = REFUSED


class Stopping(Exception):
    """A daemon that stops took the request no more: nothing of it was written."""


class StreamProducer(Producer):
    """A stream of envelopes with a window of lines that are not acknowledged yet."""

    WINDOW_LINES = 64

    def produce(self):
        try:
            self.stream()
        except Stopping:
            for write in self.writes:
                write.outcome = REFUSED

    def stream(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(LIMIT_SECONDS)
            connection.connect(self.path)
            connection.sendall(b"POST /v1/records?envelope=true HTTP/1.1\r\nHost: localhost\r\n"
                               b"Content-Type: application/x-ndjson\r\n"
                               b"Transfer-Encoding: chunked\r\n\r\n")
            answer = Answer(connection)
            acked = 0
            while True:
                batch = b"".join(
                    self.new("shared", f"k{self.source.random.randrange(5)}").envelope()
                    for _ in range(self.source.random.choice([1, 8, 32])))
                connection.sendall(b"%x\r\n%s\r\n" % (len(batch), batch))
                while acked < len(self.writes):
                    must = len(self.writes) - acked > self.WINDOW_LINES
                    if not must and not answer.has_line():
                        break
                    line = json.loads(answer.line())
                    acked += 1
                    assert line["line"] == acked, line
                    if line.get("code") == "stopping":
                        # A definite answer: nothing of this line or behind it was written.
                        for write in self.writes[acked - 1:]:
                            write.outcome = REFUSED
                        return
                    assert line["status"] == 201, line
                    self.writes[acked - 1].acknowledge(line)


class Answer:
    """The lines of a chunked answer."""

    def __init__(self, connection):
        self.connection, self.raw, self.lines = connection, b"", b""
        self.in_body = False

    def has_line(self):
        while b"\n" not in self.lines and select.select([self.connection], [], [], 0)[0]:
            self.fill()
        return b"\n" in self.lines

    def line(self):
        while b"\n" not in self.lines:
            self.fill()
        line, self.lines = self.lines.split(b"\n", 1)
        return line

    def fill(self):
        part = self.connection.recv(65536)
        if not part:
            raise ConnectionError("the answer ended")
        self.raw += part
        if not self.in_body:
            head, end, rest = self.raw.partition(b"\r\n\r\n")
            if not end:
                return
            if head.startswith(b"HTTP/1.1 503 "):
                raise Stopping
            assert head.startswith(b"HTTP/1.1 200 "), head
            self.in_body, self.raw = True, rest
        while b"\r\n" in self.raw:
            size_text, rest = self.raw.split(b"\r\n", 1)
            size = int(size_text.split(b";")[0], 16)
            if len(rest) < size + 2:
                return
            self.lines, self.raw = self.lines + rest[:size], rest[size + 2:]


class Run:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.source = Source(seed)
        self.place = Place()
        self.directories = 0
        self.figures = dict.fromkeys(
            ("acked", "refused", "unknown", "unknown_and_there", "killed_while_starting"), 0)
        self.new_directory()

    def new_directory(self):
        self.directories += 1
        self.book = Book()
        self.data_dir = self.place.path(f"data-{self.directories}")

    def start(self):
        return Daemon(self.place, ["--data-dir", self.data_dir])

    def kill_while_starting(self):
        daemon = Daemon(self.place, ["--data-dir", self.data_dir], wait=False)
        # The end of its standard error would be its end: nothing else can happen in this time.
        select.select([daemon.ready_fd], [], [], self.random.uniform(0, STARTUP_KILL_SECONDS_MAX))
        daemon.kill()
        os.unlink(daemon.log_path)
        self.figures["killed_while_starting"] += 1

    def produce_and_kill(self):
        """Gives what was written; its outcome is settled by what the next start finds."""
        daemon = self.start()
        producers = [SingleProducer(daemon.socket, self.source, 1, dict(self.book.versions)),
                     SingleProducer(daemon.socket, self.source, 2, dict(self.book.versions)),
                     StreamProducer(daemon.socket, self.source, 3),
                     StreamProducer(daemon.socket, self.source, 4)]
        for producer in producers:
            producer.start()
        # Its end is an event; otherwise the moment of the kill has come.
        ended = self.gone(daemon, self.random.uniform(0, KILL_SECONDS_MAX))
        assert not ended, f"the daemon ended by itself\n{daemon.log()}"
        if self.random.random() < 0.1:
            assert daemon.stop() == 0, daemon.log()
        else:
            daemon.kill()
        for producer in producers:
            producer.join(LIMIT_SECONDS)
            assert not producer.is_alive(), "a producer did not notice"
            assert producer.trouble is None, producer.trouble
        os.unlink(daemon.log_path)
        return [write for producer in producers for write in producer.writes]

    @staticmethod
    def gone(daemon, seconds):
        descriptor = os.pidfd_open(daemon.process.pid)
        try:
            return bool(select.select([descriptor], [], [], seconds)[0])
        finally:
            os.close(descriptor)

    def retry(self, daemon, writes, found):
        """A retry with the same id finds out whether a write of unknown outcome is there."""
        for write in writes:
            there = write.ident in found
            self.figures["unknown_and_there"] += there
            # A version that was expected then is judged again only where nothing was written.
            write.expect = None
            status, _, body = daemon.request(
                "POST", "/v1/records?envelope=true", write.envelope(), "application/x-ndjson")
            answer = json.loads(body)
            assert status == 200 and answer["status"] == (200 if there else 201), (there, body)
            assert bool(answer.get("duplicate")) == there, (there, body)
            if there:
                assert (answer["seq"], answer["version"]) == (write.seq, write.version), body
            else:
                write.acknowledge(answer)

    def cycle(self, number):
        while self.random.random() < 0.15:
            self.kill_while_starting()
        writes = self.produce_and_kill()
        while self.random.random() < 0.15:
            self.kill_while_starting()
        daemon = self.start()
        try:
            found = self.book.take(read_after(daemon, self.book.seq), writes)
            unknown = [write for write in writes if write.outcome == UNKNOWN]
            for write in writes:
                self.figures[write.outcome] += 1
            some = self.random.sample(unknown, min(len(unknown), 4))
            self.retry(daemon, some, found)
            self.book.take(read_after(daemon, self.book.seq),
                           [write for write in some if write.ident not in found])
            if number % CYCLES_PER_WHOLE_READ == 0:
                self.book.check_all(read_after(daemon, 0))
        finally:
            daemon.kill()
        os.unlink(daemon.log_path)
        if number % CYCLES_PER_DIRECTORY == 0:
            self.new_directory()


def main():
    cycles = CYCLES[os.environ.get("KLOG_TEST_SCALE", "run")]
    seed = int(os.environ.get("KLOG_TEST_SEED", time.time_ns() % 1_000_000_000))
    print(f"seed {seed}, {cycles} cycles", flush=True)
    begun = time.monotonic()
    run = Run(seed)
    try:
        for number in range(1, cycles + 1):
            try:
                run.cycle(number)
            except Exception:
                print(f"cycle {number}; the data is kept in {run.data_dir}", flush=True)
                run.place.root = os.devnull  # so that close() leaves it
                raise
    finally:
        run.place.close()
    seconds = time.monotonic() - begun
    print_figures("kill", cycles=cycles, seconds=seconds, **run.figures, violations=0)
    assert run.figures["acked"] > 10 * cycles, "too little was written to say anything"
    return 0


if __name__ == "__main__":
    sys.exit(main())
