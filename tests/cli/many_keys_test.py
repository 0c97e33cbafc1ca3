#!/usr/bin/env python3
"""What a newcomer does with many keys: load them, restart, ask for one, list some, follow one.

Fewer than the ten million of tests/bench/keys.py, which measures the same; here only the answers count.
"""

import json
import os
import subprocess
import sys
import unittest

SUPPORT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support")
sys.path.insert(0, SUPPORT)
from daemontest import LIMIT_SECONDS, Place, wait_until  # noqa: E402

GENERATOR = os.path.join(SUPPORT, "generate_events.py")
KEYS = 20_000 if os.environ.get("KLOG_SANITIZE") else 200_000


def generate(*options):
    """klog envelopes, one a line."""
    done = subprocess.run([sys.executable, GENERATOR, *map(str, options)], stdout=subprocess.PIPE,
                          timeout=LIMIT_SECONDS, check=True)
    return done.stdout.decode()


class ManyKeysTest(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)
        self.daemon = self.start()

    def start(self):
        return self.place.daemon("--data-dir", self.place.path("data"))

    def klog(self, *arguments, **more):
        done = self.place.klog(*arguments, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def produce(self, events):
        path = self.place.path("events")
        with open(path, "w", encoding="utf-8") as file:
            file.write(events)
        with open(path, "rb") as stdin:
            self.klog("produce", "--envelope", "-q", stdin=stdin)

    def test_load_restart_ask_list_follow(self):
        self.produce(generate("--keys", KEYS))
        self.produce(generate("--keys", KEYS, "--only-more", "--count", KEYS // 10, "--expect", "--ids"))
        self.assertEqual(self.daemon.stop(), 0)
        self.daemon = self.start()

        self.assertEqual(int(self.klog("count")), KEYS + KEYS // 10)
        listed = self.klog("keys", "orders", "-o", "ndjson").splitlines()
        self.assertEqual(len(listed), KEYS)
        rows = [json.loads(line) for line in listed]
        self.assertEqual([row["key"] for row in rows], [f"order-{n:08d}" for n in range(KEYS)])
        self.assertEqual(sum(row["version"] for row in rows), KEYS + KEYS // 10)

        often = max(rows, key=lambda row: row["version"])
        history = [json.loads(line) for line in self.klog("history", "orders", often["key"]).splitlines()]
        self.assertEqual([record["version"] for record in history], list(range(1, often["version"] + 1)))
        self.assertEqual(json.loads(self.klog("get", "orders", often["key"]))["seq"], often["seq"])
        self.assertEqual(len(self.klog("keys", "orders", "--prefix", "order-000100").splitlines()), 100)
        newest = self.klog("tail", "orders/>", "--no-follow", "--newest-per-key").splitlines()
        self.assertEqual(len(newest), KEYS)

        again = generate("--keys", KEYS, "--only-more", "--count", KEYS // 10, "--expect", "--ids")
        self.produce(again)  # each is known by its id
        self.assertEqual(int(self.klog("count")), KEYS + KEYS // 10)

    def test_follow_one_while_others_are_written(self):
        tail = self.place.start("tail", "orders/>", "--key", "watched", "-f", "--limit", "50")
        wait_until(lambda: self.readers() == 1, "the tail follows")
        events = generate("--keys", KEYS // 4).splitlines()
        step = len(events) // 50
        lines = []
        for n in range(50):
            lines += events[n * step:(n + 1) * step]
            lines.append(json.dumps({"topic": f"orders/{n % 7}/changed", "key": "watched", "value": n}))
        self.produce("\n".join(lines) + "\n")
        seen, trouble = tail.communicate(timeout=LIMIT_SECONDS)
        self.assertEqual(tail.returncode, 0, trouble)
        self.assertEqual([json.loads(line)["value"] for line in seen.splitlines()], list(range(50)))

    def readers(self):
        text = self.daemon.request("GET", "/metrics")[2].decode()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("klog_log_readers "))

    def test_the_events_are_the_same_each_time(self):
        self.assertEqual(generate("--keys", 1000, "--count", 3000), generate("--keys", 1000, "--count", 3000))
        one = [json.loads(line) for line in generate("--keys", 1000).splitlines()]
        self.assertEqual(len({event["key"] for event in one}), 1000)
        self.assertEqual({len(json.dumps(event["value"], separators=(",", ":"))) for event in one}, {128})


if __name__ == "__main__":
    unittest.main()
