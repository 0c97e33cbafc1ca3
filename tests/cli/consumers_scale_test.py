#!/usr/bin/env python3
"""Many consumers, as a laptop's builds leave them behind: listing, restarting, removing.

10,000 of them in a plain run, 100,000 where KLOG_TEST_SCALE says all or release.
"""

import json
import os
import sys
import threading
import time
import unittest

import klogtest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import UnixConnection  # noqa: E402

MANY = 10_000 if os.environ.get("KLOG_TEST_SCALE", "run") == "run" else 100_000
THREADS = 8


class Scale(klogtest.Case):
    ephemeral = False

    def make(self, first):
        connection = UnixConnection(self.daemon.socket)
        for number in range(first, MANY, THREADS):
            name = f"/v1/consumers/build-of-a-laptop-{number:06}"
            connection.request("PUT", name, b'{"filter":"orders/+/completed","from":"start"}')
            answer = connection.getresponse()
            answer.read()
            if answer.status != 201:
                self.failures.append((name, answer.status))
            if number % 10 == 0:
                connection.request("POST", name + "/ack", b'{"seq":2}')
                connection.getresponse().read()
        connection.close()

    def resident_kb(self):
        with open(f"/proc/{self.daemon.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def restart(self, kill):
        if kill:
            self.daemon.kill()
        else:
            self.daemon.stop()
        began = time.monotonic()
        self.daemon.start()
        return time.monotonic() - began

    def test_many(self):
        self.failures = []
        for n in range(3):
            self.produce(f"orders/{n}/completed", n)
        before_kb = self.resident_kb()
        threads = [threading.Thread(target=self.make, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        made = time.monotonic()
        self.assertEqual(self.failures, [])
        figures = {"consumers": MANY}
        for kill in (False, True):
            figures["start_s_" + ("killed" if kill else "stopped")] = round(self.restart(kill), 3)
            figures["kb_each"] = round((self.resident_kb() - before_kb) / MANY, 3)
            rows = self.lines("consumer", "ls", "--no-lag")
            self.assertEqual(len(rows), MANY)
            self.assertEqual([row["name"] for row in rows], sorted(row["name"] for row in rows))
        positions = {row["position"] for row in rows[::10]}
        self.assertEqual(positions, {2})
        self.assertEqual({row["position"] for row in rows[1::10]}, {0})
        began = time.monotonic()
        rows = self.lines("consumer", "ls")
        figures["ls_with_lag_s"] = round(time.monotonic() - began, 3)
        self.assertEqual({(row["position"], row["lag"]) for row in rows}, {(0, 3), (2, 1)})
        # Those that are still used stay.
        self.klog("consumer", "ack", "build-of-a-laptop-000007", "1")
        idle = f"{int((time.monotonic() - made) * 1000)}ms"
        began = time.monotonic()
        removed = int(self.klog("consumer", "rm", "--idle", idle, "--yes").stdout)
        figures["rm_idle_s"] = round(time.monotonic() - began, 3)
        left = self.lines("consumer", "ls", "--no-lag")
        self.assertEqual(removed + len(left), MANY)
        self.assertIn("build-of-a-laptop-000007", [row["name"] for row in left])
        self.assertLess(len(left), 10)
        figures["start_s_after"] = round(self.restart(False), 3)
        self.assertEqual(len(self.lines("consumer", "ls", "--no-lag")), len(left))
        print(json.dumps(figures), file=sys.stderr)
        if not os.environ.get("KLOG_SANITIZE"):
            self.assertLess(figures["start_s_killed"], 5)
            self.assertLess(figures["start_s_stopped"], 5)


if __name__ == "__main__":
    klogtest.main()
