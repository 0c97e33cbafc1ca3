#!/usr/bin/env python3
"""Real events through `klog produce --envelope`, with the daemon killed half-way.

The producer has to finish by itself; every event must be there exactly once, in the order it was
sent, its value byte for byte; and three wildcards must count what jq counts on the input.
40,000 events; KLOG_TEST_SCALE=all 100,000; release 1,000,000.
"""
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

KLOG = os.environ["KLOG_BIN"]
SOURCE = Path(os.environ["KLOG_SOURCE_DIR"])
COUNTS = {"run": 40_000, "all": 100_000, "release": 1_000_000}
COUNT = COUNTS[os.environ.get("KLOG_TEST_SCALE") or "run"]
LIMIT_SECONDS = 300
HELD_BACK = 1000  # lines
# Each filter with the jq test that says the same about a topic.
FILTERS = {
    "wiki/*/User_talk/>": '^wiki/[^/]+/User_talk/.',
    "wiki/vi.wikipedia/>": '^wiki/vi[.]wikipedia/.',
    "wiki/*/*/bot/new": '^wiki/[^/]+/[^/]+/bot/new$',
}


def check(condition, message):
    if not condition:
        print(f"FAILED: {message}", file=sys.stderr)
        sys.exit(1)


def wait_until(condition, what):
    pause = threading.Event()
    end = time.monotonic() + LIMIT_SECONDS
    while not condition():
        check(time.monotonic() < end, f"waited {LIMIT_SECONDS} s for {what}")
        pause.wait(0.01)


class Daemon:
    def __init__(self, folder):
        self.folder = folder
        self.log = open(folder / "daemon.log", "ab")
        self.process = None

    def start(self):
        reading, writing = os.pipe()
        self.process = subprocess.Popen(
            [KLOG, "daemon", "--data-dir", str(self.folder / "data"), "--socket",
             str(self.folder / "s.sock"), "--ready-fd", str(writing)],
            pass_fds=[writing], stderr=self.log)
        os.close(writing)
        with os.fdopen(reading) as ready:
            check(ready.readline(), "the daemon did not start: "
                  + (self.folder / "daemon.log").read_text())

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        check(self.process.wait(LIMIT_SECONDS) == 0, "the daemon did not stop cleanly")


def klog(folder, *args):
    done = subprocess.run([KLOG, "--url", f"unix://{folder / 's.sock'}", *args],
                          stdout=subprocess.PIPE, check=False)
    check(done.returncode == 0, f"klog {' '.join(args)} ended with {done.returncode}")
    return done.stdout


def split(line):
    """(what stands before the value, the value's bytes)."""
    head, value = line.rstrip(b"\n").split(b',"value":', 1)
    return head, value[:-1]


def topic_and_key(head):
    """From an envelope or a record, as they are written."""
    at = head.index(b'"topic":')
    text = head[at:]
    end = text.find(b',"version":')
    return text if end < 0 else text[:end]


def compare(sent_path, got_path):
    count = 0
    last_seq = 0
    versions = {}
    with open(sent_path, "rb") as sent, open(got_path, "rb") as got:
        for sent_line in sent:
            got_line = got.readline()
            count += 1
            check(got_line, f"event {count} and all behind it are missing")
            sent_head, sent_value = split(sent_line)
            got_head, got_value = split(got_line)
            check(sent_value == got_value, f"value {count} differs: {got_value[:200]}")
            name = topic_and_key(got_head)
            check(topic_and_key(sent_head) == name, f"record {count} is {got_head[:200]}")
            seq = int(got_head[len(b'{"seq":'):got_head.index(b",")])
            check(seq > last_seq, f"seq {seq} follows {last_seq}")
            last_seq = seq
            key = name[name.index(b',"key":'):]
            version = int(got_head[got_head.index(b',"version":') + 11:].split(b",")[0])
            versions[key] = versions.get(key, 0) + 1
            check(version == versions[key], f"record {count} has version {version}")
        check(not got.readline(), "there are more records than were sent")
    return count


def feed_lines(events, to, killed):
    """The last lines come when the daemon was killed, however fast the producer is."""
    with open(events, "rb") as lines, to:
        for number, line in enumerate(lines):
            if number == COUNT - HELD_BACK:
                to.flush()
                killed.wait(LIMIT_SECONDS)
            to.write(line)


def main():
    with tempfile.TemporaryDirectory(prefix="klog-") as name:
        folder = Path(name)
        events = folder / "events.ndjson"
        with open(events, "wb") as out:
            subprocess.run([SOURCE / "tests/support/fetch_events.py", "--count", str(COUNT)],
                           stdout=out, check=True)
        daemon = Daemon(folder)
        daemon.start()
        url = f"unix://{folder / 's.sock'}"
        began = time.monotonic()
        # A pipe rather than the file, so that it cannot be read again from the start.
        producer = subprocess.Popen([KLOG, "--url", url, "produce", "--envelope"],
                                    stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        killed = threading.Event()
        feed = threading.Thread(target=feed_lines, args=(events, producer.stdin, killed))
        feed.start()
        summary = []
        reader = threading.Thread(target=lambda: summary.append(producer.stderr.read()))
        reader.start()
        wait_until(lambda: producer.poll() is not None or int(klog(folder, "head")) >= COUNT // 3,
                   "a third of the events")
        check(producer.poll() is None, "the producer ended before the daemon was killed")
        daemon.kill()
        killed.set()
        daemon.start()
        check(producer.wait(LIMIT_SECONDS) == 0, f"the producer ended with {producer.returncode}: "
              f"{summary}")
        reader.join()
        took = time.monotonic() - began
        feed.join()
        with open(folder / "out.ndjson", "wb") as out:
            subprocess.run([KLOG, "--url", url, "tail", ">", "--no-follow"], stdout=out, check=True)
        count = compare(events, folder / "out.ndjson")
        check(count == COUNT, f"{count} of {COUNT} events were compared")
        for pattern, test in FILTERS.items():
            matching = klog(folder, "tail", pattern, "--no-follow").count(b"\n")
            wanted = subprocess.run(
                ["jq", "-n", f'[inputs | select(.topic | test("{test}"))] | length', str(events)],
                stdout=subprocess.PIPE, check=True).stdout
            check(matching == int(wanted) > 0, f"{pattern}: {matching} records, jq {wanted!r}")
        daemon.stop()
        print(f"figures: battery=events events={count} seconds={took:.1f} kills=1 violations=0")
        print(f"{count} events once each, in order, in {took:.2f} s with a kill and a restart; "
              f"{summary[0].decode().strip()}")


main()
