#!/usr/bin/env python3
"""klog-patterns(7), line by line: once in peace, and once while the daemon is killed and started again.

Each block of the page is typed into one bash, in order, with a daemon of its own. What a block shows
must come out, and a command that shows nothing must end with 0. In the second round the daemon gets
SIGKILL every second or so and starts again on its directory, whatever the page is doing, and at least
once before each pattern: how often beyond that is left to how fast the machine is.

In the second round loops run fewer times (SMALLER) unless KLOG_TEST_SCALE says all or release. Under
sanitizers, which make a start of klog slow, the page is not run.
"""

import os
import random
import re
import select
import shutil
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import Daemon, Place, wait_until  # noqa: E402

SOURCE = os.environ.get("KLOG_SOURCE_DIR",
                        os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
PAGE = "klog-patterns.7"
# The page's first steps, for people: the patterns have their daemon and their folder already.
START = "klog daemon --data-dir data --socket klog.sock 2>>daemon.log &"
KILL = "kill -9 $(cat data/daemon.pid)"
FREE = "flock --nonblock data/klog.lock true"
PREPARED = ("cd $(mktemp -d)", "export KLOG_URL=unix://$PWD/klog.sock", START, KILL)
TOOLS = ("jq", "bc")
PATTERNS_MIN = 8
COMMAND_SECONDS_MAX = 240
LIFE_SECONDS = (0.3, 1.5)
KILL_SECONDS_MAX = 60
SMALLER = [("visits 200", "visits 10"), ("\n1600\n", "\n80\n"), ("seq 40", "seq 33"),
           ("in 1 2 3 4 5; do", "in 1 2; do"), ("seq 1 50", "seq 1 10"),
           ("\n50\n50\n", "\n10\n10\n"), ("\n50\n", "\n10\n")]


def read_page(smaller):
    """[(heading, command, what it prints)] in order."""
    with open(os.path.join(SOURCE, "man", PAGE), encoding="utf-8") as file:
        text = file.read().replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")
    if smaller:
        for large, small in SMALLER:
            assert large in text, large
            text = text.replace(large, small)
    steps, heading, inside = [], "", False
    for line in text.split("\n"):
        if line.startswith(".Ss "):
            heading = line[4:]
        elif line.startswith((".Bd", ".Ed")):
            inside = line.startswith(".Bd")
        elif inside and line.startswith("$ "):
            steps.append([heading, line[2:], ""])
        elif inside and line.startswith("> ") and not steps[-1][2]:
            steps[-1][1] += "\n" + line[2:]
        elif inside:
            steps[-1][2] += line + "\n"
    return steps


class Lives(threading.Thread):
    """Kills the daemon again and again, until it is told to stop."""

    def __init__(self, place, socket):
        super().__init__()
        self.place, self.socket = place, socket
        self.arguments = ["--data-dir", place.path("data"), "--socket", socket]
        self.served = Daemon(place, self.arguments)
        self.stopped, self.chance = threading.Event(), random.Random()
        self.kills, self.killed = 0, threading.Condition()

    def run(self):
        while not self.stopped.wait(self.chance.uniform(*LIFE_SECONDS)):
            self.served.kill()
            self.served = Daemon(self.place, self.arguments)
            with self.killed:
                self.kills += 1
                self.killed.notify_all()

    def await_kills(self, count):
        """Until the daemon was killed, and has started again, `count` times."""
        with self.killed:
            if not self.killed.wait_for(lambda: self.kills >= count, KILL_SECONDS_MAX):
                raise AssertionError(f"{self.kills} kills, not {count}")

    def end(self):
        self.stopped.set()
        if self.is_alive():
            self.join()
        return self.served.stop()


class Shell:
    def __init__(self, place, socket):
        self.process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"], cwd=place.path("work"), stdin=subprocess.PIPE,
            env={**place.environment, "KLOG_URL": "unix://" + socket}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        self.count = 0

    def run(self, command):
        """(what it printed, its exit status)."""
        self.count += 1
        end = f"--end-of-command-{self.count}--"
        self.process.stdin.write(f"{command}\necho {end} $?\n".encode())
        self.process.stdin.flush()
        output, done = b"", None
        limit = time.monotonic() + COMMAND_SECONDS_MAX
        while done is None:
            if not select.select([self.process.stdout], [], [], limit - time.monotonic())[0]:
                raise AssertionError(f"no end of: {command}\n{output.decode()}")
            part = os.read(self.process.stdout.fileno(), 65536)
            if not part:
                raise AssertionError(f"the shell ended: {command}\n{output.decode()}")
            output += part
            done = re.search(end.encode() + rb" (\d+)\n$", output)
        return output[:done.start()].decode(), int(done.group(1))

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@unittest.skipIf(os.environ.get("KLOG_SANITIZE"), "thousands of starts of klog take too long")
@unittest.skipIf(any(shutil.which(tool) is None for tool in TOOLS), "the page uses jq and bc")
class Patterns(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)
        self.lives = Lives(self.place, self.place.path("k.sock"))
        self.addCleanup(self.lives.end)
        self.shell = Shell(self.place, self.lives.socket)
        self.addCleanup(self.shell.close)

    def run_page(self, smaller, killed=False):
        steps = [step for step in read_page(smaller) if step[1] not in PREPARED]
        self.assertGreaterEqual(len({heading for heading, _, _ in steps}), PATTERNS_MIN)
        previous = ""
        for heading, command, shown in steps:
            if killed and heading != previous:
                self.lives.await_kills(self.lives.kills + 1)
            previous, begun = heading, time.monotonic()
            printed, code = self.shell.run(command)
            said = f"{heading}: $ {command}\n{printed}\nthe daemon's log:\n{self.lives.served.log()}"
            self.assertEqual(code, 0, said)
            if shown:
                self.assertEqual(printed, shown, said)
            if time.monotonic() - begun > 1:
                print(f"{time.monotonic() - begun:.1f} s: {heading}", file=sys.stderr, flush=True)

    def test_as_it_stands(self):
        self.run_page(False)

    def test_its_first_steps(self):
        first = [command for _, command, _ in read_page(False)][:5]
        self.assertEqual(first, [*PREPARED[:3], KILL, START])
        try:
            for command in first:
                _, code = self.shell.run(command)
                self.assertEqual(code, 0, command)
                if command == KILL:  # kill does not wait: the lock may be held a little longer
                    wait_until(lambda: self.shell.run(FREE)[1] == 0, "the folder is free")
                if command == START:
                    wait_until(lambda: self.shell.run("klog head")[1] == 0, "the daemon answers")
                    self.assertEqual(self.shell.run("klog produce a/b 1 -q")[1], 0)
            self.assertEqual(self.shell.run("klog head")[0].strip(), "2")
        finally:
            self.shell.run(KILL)

    def test_while_the_daemon_is_killed(self):
        self.lives.start()
        self.run_page(os.environ.get("KLOG_TEST_SCALE", "run") == "run", killed=True)


if __name__ == "__main__":
    unittest.main()
