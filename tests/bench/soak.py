#!/usr/bin/env python3
"""A steady load for a long time: does memory stay flat, does any write wait?

    tests/bench/soak.py [--minutes M] [--bytes-per-second B] [--dir DIR] [--build DIR]

Sends B (2,000,000) bytes of JSON a second for M (60) minutes to a daemon of its own, ten requests a second over
one connection, each of them due at its time: an answer that comes late counts from when it was due.
With B = 0 as much as goes, in requests of 1,000 records. Then everything is counted and the
data directory is verified. Prints a line each minute and a table in Markdown.
"""
import argparse
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REQUESTS_PER_SECOND = 10
RECORDS_AT_FULL_SPEED = 1000
BATCHES_MADE = 200  # made once, and sent in turn


def batches(bytes_each):
    """Bodies of envelopes, and how many records each holds. Words from a list, numbers at random."""
    choose = random.Random(7)
    words = [f"{choose.randrange(16**8):08x}"[:choose.randrange(3, 9)] for _ in range(4000)]
    made = []
    for _ in range(BATCHES_MADE):
        lines, size = [], 0
        while size < bytes_each if bytes_each else len(lines) < RECORDS_AT_FULL_SPEED:
            value = {"id": choose.randrange(10**9), "at": choose.randrange(10**9) / 1000,
                     "text": " ".join(choose.choice(words) for _ in range(choose.randrange(4, 24))),
                     "ok": choose.random() < 0.9}
            line = json.dumps({"topic": f"load/{choose.randrange(500)}/{choose.choice(words[:40])}",
                               "key": str(choose.randrange(1_000_000)), "value": value}) + "\n"
            lines.append(line)
            size += len(line)
        made.append(("".join(lines).encode(), len(lines)))
    return made


class Daemon:
    def __init__(self, klog, home):
        self.klog, self.data = klog, os.path.join(home, "data")
        self.socket = os.path.join(home, "s")
        ready, given = os.pipe()
        self.process = subprocess.Popen(
            [klog, "daemon", "--data-dir", self.data, "--socket", self.socket,
             "--ready-fd", str(given)],
            pass_fds=[given], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(given)
        with os.fdopen(ready) as line:
            assert line.readline(), "the daemon did not start"
        self.connection = http.client.HTTPConnection("localhost", timeout=120)
        self.connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.sock.connect(self.socket)

    def ask(self, method, target, body=None):
        headers = {"Content-Type": "application/x-ndjson"} if body else {}
        self.connection.request(method, target, body, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 201), text
        return text.decode()

    def metric(self, name):
        return next(int(line.split()[1]) for line in self.ask("GET", "/metrics").splitlines()
                    if line.startswith(name + " "))

    def memory_mb(self, field):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith(field))
        return int(line.split()[1]) / 1024


def at(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


def load(daemon, minutes, bytes_per_second):
    made = batches(bytes_per_second / REQUESTS_PER_SECOND)
    pace = threading.Event()  # nobody sets it
    began = time.monotonic()
    waits, records, sent, unsealed, minute = [], 0, 0, 0, 1
    while time.monotonic() - began < minutes * 60:
        body, count = made[len(waits) % len(made)]
        due = time.monotonic()
        if bytes_per_second:
            due = began + len(waits) / REQUESTS_PER_SECOND
            pace.wait(max(0, due - time.monotonic()))
        daemon.ask("POST", "/v1/records?envelope=true", body)
        waits.append(time.monotonic() - due)
        records += count
        sent += len(body)
        if time.monotonic() - began >= minute * 60:
            unsealed = max(unsealed, daemon.metric("klog_store_unsealed_bytes"))
            print(json.dumps({"minute": minute, "records": records,
                              "segments": daemon.metric("klog_store_segments"),
                              "rss_mb": round(daemon.memory_mb("VmRSS")),
                              "slowest_ms": round(max(waits[-600:]) * 1000, 1)}), flush=True)
            minute += 1
    seconds = time.monotonic() - began
    waits.sort()
    assert int(json.loads(daemon.ask("GET", "/v1/count"))["count"]) == records
    return [
        ("records, bytes of JSON", f"{records:,}, {sent / 1e6:,.0f} MB in {seconds:,.0f} s"),
        ("a second", f"{records / seconds:,.0f} records, {sent / seconds / 1e6:.1f} MB"),
        ("answered within p50, p99, p99.9, slowest",
         ", ".join(f"{at(waits, share) * 1000:.1f} ms" for share in (0.5, 0.99, 0.999, 1))),
        ("most memory of the daemon", f"{daemon.memory_mb('VmHWM'):.0f} MB"),
        ("segments at the end", str(daemon.metric("klog_store_segments"))),
        ("most that was closed and not sealed, looked at each minute", f"{unsealed >> 20} MiB"),
        ("bytes in segments, of the JSON that came in",
         f"{daemon.metric('klog_store_segment_bytes') / sent:.3f}"),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--bytes-per-second", type=int, default=2_000_000)
    parser.add_argument("--dir", default=None, help="a folder on the disk to measure")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    args = parser.parse_args()
    klog = os.path.join(args.build, "klog")
    home = tempfile.mkdtemp(prefix="klog-b-", dir=args.dir)
    try:
        daemon = Daemon(klog, home)
        rows = load(daemon, args.minutes, args.bytes_per_second)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(timeout=60) == 0
        began = time.monotonic()
        subprocess.run([klog, "verify", "--deep", "-q", "--data-dir", daemon.data], check=True,
                       stdout=subprocess.DEVNULL)
        rows.append(("`klog verify --deep`", f"{time.monotonic() - began:.1f} s"))
    finally:
        shutil.rmtree(home)
    print("\n| | |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
