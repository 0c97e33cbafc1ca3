#!/usr/bin/env python3
"""Mistakes that people make: each gets its exit code, a precise message and the next thing to try,
and writes nothing.

The table of those that can be typed is man/klog-mistakes.7, which is run here as it stands: a title
that ends with the exit status, the command, and what klog says. The others follow below.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import walfile  # noqa: E402
from daemontest import LIMIT_SECONDS, Place, answers, wait_until  # noqa: E402

SOURCE = os.environ.get("KLOG_SOURCE_DIR",
                        os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
MISTAKES_MIN = 30


def unescape(line):
    return line.replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")


def read_page():
    """(title, exit status or None, command, what is said) of each example of the page."""
    with open(os.path.join(SOURCE, "man", "klog-mistakes.7"), encoding="utf-8") as file:
        lines = file.read().split("\n")
    found = []
    title = []
    block = None
    for line in lines:
        if line.startswith(".Bd"):
            block = []
        elif line.startswith(".Ed"):
            text = " ".join(title)
            status = re.search(r"\((\d+)(?::[^()]*)?\)$", text)
            found.append((text, int(status.group(1)) if status else None, block))
            title, block = [], None
        elif block is not None:
            block.append(unescape(line))
        elif line.startswith((".Pp", ".Ss", ".Sh")):
            title = []
        elif not line.startswith("."):
            title.append(line)
    return found


def says(expected, actual):
    """True if the lines are the same; … stands for anything."""
    if len(expected) != len(actual):
        return False
    for wanted, got in zip(expected, actual):
        pattern = ".*".join(re.escape(part) for part in wanted.split("…"))
        if not re.fullmatch(pattern, got):
            return False
    return True


class Typed(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)
        self.daemon = self.place.daemon("--ephemeral")

    def bash(self, command):
        return subprocess.run(
            ["bash", "-c", command], cwd=self.place.path("work"), capture_output=True,
            stdin=subprocess.DEVNULL, timeout=LIMIT_SECONDS, check=False,
            env={**self.place.environment, "KLOG_URL": "unix://" + self.daemon.socket})

    def test_the_page_of_mistakes(self):
        page = read_page()
        set_up = [block for _, status, block in page if status is None]
        self.assertEqual(len(set_up), 1)
        for line in set_up[0]:
            if line.startswith("$ klog produce"):
                self.assertEqual(self.bash(line[2:]).returncode, 0, line)
        mistakes = [entry for entry in page if entry[1] is not None]
        self.assertGreaterEqual(len(mistakes), MISTAKES_MIN)
        for title, status, block in mistakes:
            with self.subTest(title):
                self.assertTrue(block[0].startswith("$ "), block)
                before = self.daemon.head()
                done = self.bash(block[0][2:])
                said = done.stderr.decode("utf-8", "replace").splitlines()
                self.assertEqual(done.returncode, status, said)
                self.assertTrue(says(block[1:], said), f"\n{block[1:]}\n{said}")
                self.assertEqual(done.stdout, b"")
                written = 1 if "the line before is written" in title else 0
                self.assertEqual(self.daemon.head(), before + written, "nothing else is written")
                # Who is refused is told what to do.
                if status not in (0,):
                    self.assertTrue(said[-1].startswith("hint: "), said)


class Daemons(unittest.TestCase):
    """Mistakes with daemons and their directories."""

    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)
        self.data = self.place.path("data")

    def assert_refused(self, code, words, hint, *arguments, **more):
        done = self.place.klog("daemon", "-q", *arguments, **more)
        self.assertEqual(done.returncode, code, done.stderr)
        first, second = done.stderr.splitlines()[-2:]
        for word in words:
            self.assertIn(word, first)
        self.assertTrue(second.startswith("hint: "), done.stderr)
        self.assertIn(hint, second)

    def digests(self):
        found = {}
        for folder, _, names in os.walk(self.data):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        found[path] = file.read()
        return found

    def test_a_second_daemon(self):
        first = self.place.daemon("--data-dir", self.data)
        first.produce("a/b")
        pid = f"(process {first.process.pid})"
        self.assert_refused(75, ["klog: locked: ", self.data, pid], "another --data-dir",
                            "--data-dir", self.data)
        self.assert_refused(75, ["klog: locked: ", first.socket], "",
                            "--data-dir", self.place.path("other"), "--socket", first.socket)
        self.assertEqual(first.head(), 1)

    def test_a_directory_of_a_later_version(self):
        daemon = self.place.daemon("--data-dir", self.data)
        daemon.produce("a/b")
        self.assertEqual(daemon.stop(), 0)
        walfile.make_newer(walfile.wal_path(self.data, 1))
        before = self.digests()
        self.assert_refused(74, ["klog: format_unknown: ", walfile.wal_path(self.data, 1),
                                 "klog 9.9.9"], "that version of klog or a later one",
                            "--data-dir", self.data)
        self.assertEqual(self.digests(), before)

    def test_a_directory_that_may_not_be_written(self):
        if os.geteuid() == 0:
            # Root may write everywhere but into what the kernel keeps for itself.
            path = "/sys/klog"
            if not os.path.isdir("/sys/kernel"):
                self.skipTest("there is no /sys here")
        else:
            path = self.place.path("shut", "data")
            os.mkdir(os.path.dirname(path), 0o500)
        done = self.place.klog("daemon", "-q", "--data-dir", path)
        self.assertIn(done.returncode, (74, 77), done.stderr)
        self.assertIn(path, done.stderr)
        self.assertTrue(done.stderr.splitlines()[-1].startswith("hint: "), done.stderr)
        self.assertFalse(os.path.exists(path))

    def test_a_data_directory_that_is_too_deep_for_a_socket(self):
        deep = self.place.path("d" * 110)
        self.assert_refused(78, ["klog: config: ", "at most 107"], "--data-dir", "--data-dir",
                            deep)
        self.assertFalse(os.path.exists(os.path.join(deep, "wal")))

    def test_a_runtime_directory_that_is_wiped(self):
        daemon = self.place.daemon("--data-dir", self.data)
        runtime = self.place.path("run", "klog")
        environment = {"KLOG_DATA_DIR": self.data}
        self.assertEqual(self.place.klog("head", env=environment).stdout, "0\n")
        shutil.rmtree(runtime)
        # Clients find the other socket at once …
        self.assertEqual(self.place.klog("head", env=environment).stdout, "0\n")
        # … and this one comes back by itself.
        wait_until(lambda: answers(os.path.join(runtime, "klog.sock")), "the socket is back", 20)
        self.assertIsNone(daemon.process.poll())

    def test_a_clock_that_jumps_back(self):
        if os.environ.get("KLOG_SANITIZE"):
            self.skipTest("another library stands first there")
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            self.skipTest("there is no C compiler")
        library = self.place.path("clock.so")
        source = self.place.path("clock.c")
        shift = self.place.path("shift")
        with open(source, "w", encoding="ascii") as file:
            file.write(CLOCK)
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)

        def set_clock(seconds):
            with open(shift + ".new", "w", encoding="ascii") as file:
                file.write(f"{seconds}\n")
            os.rename(shift + ".new", shift)

        set_clock(3600)
        daemon = self.place.daemon("--data-dir", self.data,
                                   env={"LD_PRELOAD": library, "KLOG_TEST_CLOCK": shift})
        daemon.produce("a/b")
        set_clock(0)
        for _ in range(3):
            daemon.produce("a/b")
        daemon.stop()
        # Also for the next daemon, whose clock is right.
        daemon = self.place.daemon("--data-dir", self.data)
        daemon.produce("a/b")
        text = self.place.klog("tail", "--no-follow").stdout
        times = [json.loads(line)["time"] for line in text.splitlines()]
        self.assertEqual(len(times), 5)
        self.assertEqual(times, sorted(times), "time never decreases")
        self.assertEqual(times[1:], [times[0]] * 4, "it waits for the clock")


# The wall clock, shifted by the seconds that a file names.
CLOCK = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec* now) {
    const int result = (int)syscall(SYS_clock_gettime, clock, now);
    const char* path = getenv("KLOG_TEST_CLOCK");
    if (result != 0 || clock != CLOCK_REALTIME || path == NULL) return result;
    FILE* file = fopen(path, "r");
    long shift = 0;
    if (file != NULL) {
        if (fscanf(file, "%ld", &shift) != 1) shift = 0;
        fclose(file);
    }
    now->tv_sec += shift;
    return 0;
}
"""


if __name__ == "__main__":
    unittest.main()
