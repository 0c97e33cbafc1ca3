#!/usr/bin/env python3
"""A million topics, each with one record: what they take in memory and on disk is bounded."""

import os
import re
import unittest

import hostile
from hostile import Place

TOPICS = 1_000_000
BATCH = 50_000
MIB = 1 << 20
# Sealing holds the topics of one file, and the table of them grows by copies.
MEMORY_MAX = 320 * MIB
DISK_BYTES_A_TOPIC_MAX = 100


def topic(number):
    return f"sensors/{number % 1000}/{number}"


@unittest.skipIf(hostile.SANITIZED, "memory and time of a sanitizer are its own")
class TopicsTest(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)
        self.data = self.place.path("data")

    def start(self):
        return self.place.daemon("--data-dir", self.data)

    @staticmethod
    def memory_peak(daemon):
        with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1)) * 1024

    def bytes_below(self, *names):
        return sum(os.path.getsize(os.path.join(folder, file))
                   for folder, _, files in os.walk(os.path.join(self.data, *names))
                   for file in files)

    def test_a_million_topics(self):
        daemon = self.start()
        for first in range(0, TOPICS, BATCH):
            lines = "".join(f'{{"topic":"{topic(n)}","value":{n}}}\n'
                            for n in range(first, first + BATCH))
            status, _, answer = daemon.request(
                "POST", "/v1/records?envelope=true&acks=summary", lines.encode(),
                "application/x-ndjson")
            self.assertEqual(status, 200, answer[:500])
        self.assertLess(self.memory_peak(daemon), MEMORY_MAX)
        self.assertEqual(daemon.stop(), 0)
        names = sum(len(topic(n)) for n in range(TOPICS))
        beyond = self.bytes_below("index") - names
        self.assertLess(beyond / TOPICS, DISK_BYTES_A_TOPIC_MAX)

        daemon = self.start()
        for n in (0, TOPICS // 2, TOPICS - 1):
            _, _, found = daemon.request("GET", f"/v1/records?filter={topic(n)}")
            self.assertEqual([f'"value":{n}' in line for line in found.decode().splitlines()],
                             [True])
        _, _, count = daemon.request("GET", "/v1/count?filter=sensors/7/%3E")
        self.assertIn(f"{TOPICS // 1000}", count.decode())
        _, _, rows = daemon.request("GET", "/v1/topics?limit=3&after=sensors/999")
        self.assertEqual(len(rows.splitlines()), 3)
        self.assertLess(self.memory_peak(daemon), MEMORY_MAX)
        self.assertEqual(daemon.stop(), 0)


if __name__ == "__main__":
    unittest.main()
