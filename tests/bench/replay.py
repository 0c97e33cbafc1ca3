#!/usr/bin/env python3
"""A long log, end to end: loaded while it is sealed, read in each way, killed, and found again.

    tests/bench/replay.py [--records N] [--dir DIR] [--build DIR]

N (10,000,000) records of 128 bytes go through `klog produce` from a pipe into a daemon of its own,
one in a thousand of them under topics of their own that lie together, as many and ten times as many under
topics that are scattered evenly, and 100 of each 1,000,000 with one key. Then: counts, replays as NDJSON,
through `klog tail` (which reads the framed form) and of the rare topics, ten readers at once, the history of that
key, and a start after kill -9. Prints a table in Markdown. Nothing else should run meanwhile.
"""
import argparse
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VALUE = '{"n":%d,"text":"' + "x" * 96 + '","tags":[1,2,3]}'
RARE_RUN, RARE_EVERY = 1_000, 1_000_000
LOOKS_PER_SECOND = 4
READERS = 10
SEALED_WITHIN_S = 60


class Daemon:
    def __init__(self, klog, data, home):
        self.klog, self.socket = klog, os.path.join(home, "s")
        ready, given = os.pipe()
        began = time.monotonic()
        self.process = subprocess.Popen(
            [klog, "daemon", "--data-dir", data, "--socket", self.socket, "--ready-fd", str(given)],
            pass_fds=[given], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(given)
        with os.fdopen(ready) as line:
            assert line.readline(), "the daemon did not start"
        self.start_ms = (time.monotonic() - began) * 1000

    def run(self, *args, **more):
        env = {**os.environ, "KLOG_URL": "unix://" + self.socket}
        return subprocess.run([self.klog, *args], env=env, check=True, **more)

    def timed(self, *args, **more):
        began = time.monotonic()
        done = self.run(*args, **more)
        return time.monotonic() - began, done.stdout

    def connection(self):
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.connect(self.socket)
        return connection

    def metric(self, name):
        connection = self.connection()
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))

    def memory_mb(self, field):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith(field))
        return int(line.split()[1]) / 1024

    def replay(self, target, accept="application/x-ndjson"):
        """Seconds and bytes of one answer, read as it comes."""
        connection = self.connection()
        began = time.monotonic()
        connection.request("GET", target, headers={"Accept": accept})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        buffer, total = memoryview(bytearray(1 << 20)), 0
        while got := answer.readinto(buffer):
            total += got
        connection.close()
        return time.monotonic() - began, total

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)


def envelopes(records, out):
    with out:
        lines = []
        for n in range(records):
            behind = n % RARE_EVERY
            rare = RARE_EVERY // 2 <= behind < RARE_EVERY // 2 + RARE_RUN
            topic = f"load/{n // 5000 % 200}"
            if rare:
                topic = f"rare/{n // RARE_EVERY}"
            elif n % 1000 == 13:
                topic = "scattered/one-in-1000"
            elif n % 100 == 57:
                topic = "scattered/one-in-100"
            key = "hot" if behind % (RARE_EVERY // 100) == 7 else str(n % 1_000_000)
            lines.append(f'{{"topic":"{topic}","key":"{key}","value":{VALUE % n}}}\n')
            if len(lines) == 20_000:
                out.write("".join(lines).encode())
                lines.clear()
        out.write("".join(lines).encode())


class Watch(threading.Thread):
    """The most that was seen while something went on."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.klog, self.over = daemon, threading.Event()
        self.unsealed_bytes = 0

    def run(self):
        while not self.over.wait(1 / LOOKS_PER_SECOND):
            self.unsealed_bytes = max(self.unsealed_bytes,
                                      self.klog.metric("klog_store_unsealed_bytes"))


def measure(daemon, source, records, rows):
    watch = Watch(daemon)
    watch.start()
    with open(source, "rb") as lines:
        seconds, _ = daemon.timed("produce", "--envelope", "-q", stdin=lines)
    watch.over.set()
    watch.join()
    rows.append(("loaded through `klog produce --envelope`", f"{records / seconds:,.0f}/s"))
    limit = time.monotonic() + SEALED_WITHIN_S
    while daemon.metric("klog_store_unsealed_bytes") and time.monotonic() < limit:
        threading.Event().wait(1 / LOOKS_PER_SECOND)
    rows.append(("most that was closed and not sealed", f"{watch.unsealed_bytes >> 20} MiB"))
    rows.append(("most memory of the daemon", f"{daemon.memory_mb('VmHWM'):.0f} MB"))
    seconds, counted = daemon.timed("count", stdout=subprocess.PIPE)
    assert int(counted) == records, counted
    rows.append(("`klog count`", f"{seconds * 1000:.0f} ms"))
    looked = daemon.metric("klog_store_cache_unpacked_total")
    seconds, _ = daemon.replay("/v1/records")
    whole = daemon.metric("klog_store_cache_unpacked_total") - looked
    rows.append(("replay as NDJSON over HTTP", f"{records / seconds:,.0f}/s"))
    seconds, size = daemon.replay("/v1/records", "application/vnd.klog.batch")
    rows.append(("replay in frames over HTTP, taken but not unpacked",
                 f"{records / seconds:,.0f}/s, {size / records:.0f} bytes a record"))
    with open(os.devnull, "wb") as nothing:
        seconds, _ = daemon.timed("tail", ">", "--no-follow", stdout=nothing)
    rows.append(("`klog tail` into nothing", f"{records / seconds:,.0f}/s"))
    with open(os.devnull, "wb") as nothing:
        seconds, _ = daemon.timed("tail", ">", "--no-follow", "-o", "value", stdout=nothing)
    rows.append(("`klog tail -o value` into nothing", f"{records / seconds:,.0f}/s"))
    for pattern, how in (("rare/*", "that lie together"), ("scattered/one-in-1000", "scattered"),
                         ("scattered/one-in-100", "scattered")):
        looked = daemon.metric("klog_store_cache_unpacked_total")
        seconds, _ = daemon.replay("/v1/records?filter=" + pattern)
        part = daemon.metric("klog_store_cache_unpacked_total") - looked
        found = int(daemon.timed("count", pattern, stdout=subprocess.PIPE)[1])
        rows.append((f"a filter that matches {found:,} records, {how}", f"{seconds * 1000:.0f} ms"))
        rows.append(("… blocks read, of those of the whole replay", f"{part / whole:.1%}"))
    many(daemon, records, whole, rows)
    daemon.replay("/v1/records?filter=load/*&key=hot")
    seconds, _ = daemon.replay("/v1/records?filter=load/*&key=hot")
    rows.append(("one key's history, warm", f"{seconds * 1000:.2f} ms"))


def many(daemon, records, whole, rows):
    """Ten that read the same at once, as NDJSON; what was unpacked for one serves the others."""
    looked = daemon.metric("klog_store_cache_unpacked_total")
    readers = [threading.Thread(target=daemon.replay, args=("/v1/records",)) for _ in range(READERS)]
    began = time.monotonic()
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    seconds = time.monotonic() - began
    unpacked = daemon.metric("klog_store_cache_unpacked_total") - looked
    rows.append((f"{READERS} readers at once, as NDJSON, together",
                 f"{READERS * records / seconds:,.0f}/s"))
    rows.append(("… blocks unpacked, of those of one replay", f"{unpacked / whole:.1f} times"))
    rows.append(("most memory of the daemon by now", f"{daemon.memory_mb('VmHWM'):.0f} MB"))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--dir", default=None, help="a folder on the disk to measure")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    args = parser.parse_args()
    klog = os.path.join(args.build, "klog")
    home = tempfile.mkdtemp(prefix="klog-b-", dir=args.dir)
    rows = []
    try:
        source, data = os.path.join(home, "events"), os.path.join(home, "data")
        envelopes(args.records, open(source, "wb"))
        daemon = Daemon(klog, data, home)
        measure(daemon, source, args.records, rows)
        daemon.kill()
        daemon = Daemon(klog, data, home)
        rows.append(("start after kill -9", f"{daemon.start_ms:.0f} ms"))
        counted = int(daemon.timed("count", stdout=subprocess.PIPE)[1])
        assert counted == args.records, counted
        rows.append(("segments", str(daemon.metric("klog_store_segments"))))
        stored = daemon.metric("klog_store_segment_bytes")
        sealed = os.path.getsize(source)
        rows.append(("bytes in segments, of the JSON that came in", f"{stored / sealed:.3f}"))
        daemon.stop()
    finally:
        shutil.rmtree(home)
    print(json.dumps({"records": args.records, "rows": dict(rows)}))
    print("\n| | |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
