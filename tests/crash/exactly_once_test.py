#!/usr/bin/env python3
"""A worker whose results and position are one atomic batch: killed again and again, with its daemon
too, it leaves each result once.

24 kills in a plain run, 200 where KLOG_TEST_SCALE says all or release.
"""

import http.client
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import LIMIT_SECONDS, Place, UnixConnection, request, wait_until  # noqa: E402

KILLS = 24 if os.environ.get("KLOG_TEST_SCALE", "run") == "run" else 200
INPUTS_A_KILL = 30
BATCH = 7


def work_once(path):
    """Takes some records, writes a result for each, and acknowledges with them."""
    connection = UnixConnection(path)
    try:
        connection.request("GET", f"/v1/consumers/worker/records?limit={BATCH}")
        answer = connection.getresponse()
        if answer.status != 200:
            return answer.read() and False
        lease = int(answer.getheader("Klog-Lease"))
        records = [json.loads(line) for line in answer.read().splitlines()]
        if not records:
            return False
        lines = [{"topic": "results/done", "key": record["key"], "value": record["seq"]}
                 for record in records]
        lines.append({"ack": {"consumer": "worker", "seq": records[-1]["seq"], "lease": lease}})
        body = "".join(json.dumps(line) + "\n" for line in lines)
        connection.request("POST", "/v1/records?envelope=true&atomic=true", body.encode(),
                           {"Content-Type": "application/x-ndjson"})
        answer = connection.getresponse()
        answer.read()
        return answer.status == 200
    finally:
        connection.close()


def worker(path):
    """Until it is killed. What fails is tried again, from the position."""
    while True:
        try:
            if work_once(path):
                continue
        except (OSError, http.client.HTTPException, ValueError):
            pass
        select.select([], [], [], 0.002)


class ExactlyOnce(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)
        self.random = random.Random(int(os.environ.get("KLOG_TEST_SEED", "12")))
        self.data = self.place.path("data")
        self.daemon = self.place.daemon("--data-dir", self.data)
        self.worker = None
        self.addCleanup(self.end_worker)

    def start_worker(self):
        self.worker = subprocess.Popen([sys.executable, __file__, "--worker", self.daemon.socket],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def end_worker(self):
        if self.worker is not None:
            self.worker.kill()
            self.worker.wait(LIMIT_SECONDS)
            self.worker = None

    def write_inputs(self, first):
        body = "".join(json.dumps({"topic": "work/x", "key": f"k{first + n}", "value": n}) + "\n"
                       for n in range(INPUTS_A_KILL))
        status, _, text = request(self.daemon.socket, "POST",
                                  "/v1/records?envelope=true&acks=summary", body.encode(),
                                  "application/x-ndjson")
        assert status == 200 and json.loads(text)["count"] == INPUTS_A_KILL, text

    def lag(self):
        status, _, text = self.daemon.request("GET", "/v1/consumers/worker")
        return json.loads(text)["lag"] if status == 200 else None

    def test_each_result_once(self):
        status, _, _ = self.daemon.request("PUT", "/v1/consumers/worker",
                                           b'{"filter":"work/>","from":"start"}', "application/json")
        self.assertEqual(status, 201)
        daemons = 0
        for kill in range(KILLS):
            self.write_inputs(kill * INPUTS_A_KILL)
            if self.worker is None:
                self.start_worker()
            # Somewhere in the middle of its work, or a little later.
            left = self.random.randrange(INPUTS_A_KILL)
            wait_until(lambda: self.lag() <= left, "the worker works")  # noqa: B023
            end = time.monotonic() + self.random.random() * 0.01
            while time.monotonic() < end:
                pass
            if self.random.random() < 0.5:
                self.end_worker()
            else:
                self.daemon.kill()
                self.daemon = self.place.daemon("--data-dir", self.data)
                daemons += 1
        if self.worker is None:
            self.start_worker()
        wait_until(lambda: self.lag() == 0, "all is done")
        self.end_worker()
        self.assertGreater(daemons, KILLS // 5)
        status, _, text = self.daemon.request("GET", "/v1/records?filter=results/>")
        results = [json.loads(line) for line in text.splitlines()]
        keys = sorted(int(result["key"][1:]) for result in results)
        self.assertEqual(keys, list(range(KILLS * INPUTS_A_KILL)))
        self.assertEqual({result["version"] for result in results}, {1})
        # Each batch took what the position said, in order.
        self.assertEqual([result["value"] for result in results],
                         sorted(result["value"] for result in results))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2])
    signal.alarm(600)
    unittest.main()
