#!/usr/bin/env python3
"""`klog bench` from the outside: that its figures are taken, not how large they are."""

import json
import os
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import KLOG, LIMIT_SECONDS, Place, wait_until  # noqa: E402

# All that a plain run takes, in its order.
FIGURES = """raw.1 produce.1 raw.256 produce.256 raw.1024 produce.1024 produce.unbounded
produce.pipe one.1 one.1.expect one.32 one.32.expect one.64 one.64.expect raw.paced end-to-end replay
replay.framed tail.pipe get.1 one-shot start memory.idle memory.million idle-tails""".split()
BENCH_SECONDS_MAX = 400


class BenchTest(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)
        self.work = self.place.path("work")

    def figures(self, *words):
        done = self.place.klog("bench", "--seconds", "1", *words, timeout=BENCH_SECONDS_MAX)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertEqual(os.listdir(self.work), [], "it left something behind")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_list_names_every_figure_and_takes_none(self):
        done = self.place.klog("bench", "--list")
        self.assertEqual((done.returncode, done.stdout.split()), (0, FIGURES), done.stderr)

    def test_a_figure_stands_beside_the_raw_disk(self):
        raw, produced = self.figures("256")
        self.assertEqual((raw["figure"], produced["figure"]), ("raw.256", "produce.256"))
        self.assertGreater(produced["value"], 0)
        self.assertLessEqual(produced["p50_us"], produced["p99_us"])
        self.assertAlmostEqual(produced["of_raw"], produced["value"] / raw["value"], places=2)

    def test_streams_connections_and_processes(self):
        # A million records take a sanitized daemon longer than any test may.
        memory = "memory.idle" if os.environ.get("KLOG_SANITIZE") else "memory"
        taken = self.figures("pipe", "one.32.expect", "end", "replay", "get", "shot", "start", memory,
                             "idle-tails")
        names = [figure["figure"] for figure in taken]
        self.assertEqual(names, [name for name in FIGURES if name in names])
        self.assertEqual(len(names), 12 if memory == "memory" else 11)
        for figure in taken:
            if figure["figure"] != "idle-tails":
                self.assertGreater(figure["value"], 0, figure)

    def test_a_running_daemon_can_be_measured(self):
        daemon = self.place.daemon()
        done = self.place.klog("bench", "produce.1", "--seconds", "1", "--url", "unix://" + daemon.socket)
        self.assertEqual(done.returncode, 0, done.stderr)
        _, _, body = daemon.request("GET", "/v1/head?filter=bench/groups")
        self.assertGreater(json.loads(body)["seq"], 0)

    def test_mistakes(self):
        for words, code, said in ((("nothing-like-that",), 2, "klog bench --list"),
                                  (("--seconds", "0"), 2, "--seconds"),
                                  (("--seconds", "4000"), 2, "3600"),
                                  (("--dir", "/nonexistent/x"), 74, "--dir")):
            with self.subTest(words):
                done = self.place.klog("bench", *words)
                self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
                self.assertIn(said, done.stderr)

    def test_a_signal_ends_it_and_it_cleans_up(self):
        process = subprocess.Popen([KLOG, "bench", "one", "--seconds", "1"], cwd=self.work,
                                   env=self.place.environment, stdout=subprocess.PIPE, text=True)
        self.place.started.append(process)
        self.addCleanup(process.stdout.close)
        self.assertIn("one.1", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(LIMIT_SECONDS), 130)
        wait_until(lambda: os.listdir(self.work) == [], "the folder is still there")


if __name__ == "__main__":
    unittest.main()
