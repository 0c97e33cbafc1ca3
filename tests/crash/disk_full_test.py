#!/usr/bin/env python3
"""A full disk, seen from outside: a daemon whose data lie in a small file system of their own.

Writes are refused with 507 (75 on the command line) and a hint, reads go on, a producer that reads
from a pipe keeps trying, and once there is room everything goes on without a restart. Nothing that
was acknowledged is lost, then and after a kill.

The file system is a tmpfs in a mount namespace that a process of the test keeps alive.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import daemontest

EXIT_TRY_AGAIN, SKIPPED = 75, 77
SIZE_MIB = 24
# What is taken away while the disk is to be full.
FILLER_MIB = 18
VALUE_BYTES = 16 * 1024
SHORT_TIMEOUT_SECONDS = 2


class SmallDisk:
    """A tmpfs that only those see who enter its namespace."""

    def __init__(self, mount_point):
        self.mount_point = mount_point
        self.user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self.holder = subprocess.Popen(
            ["unshare", "--mount", *self.user, "sh", "-c",
             f'mount -t tmpfs -o size={SIZE_MIB}m klog "$0" && echo mounted && exec cat',
             mount_point],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.mounted = self.holder.stdout.readline() == "mounted\n"

    def prefix(self):
        """A command that runs another one in there."""
        enter = ["nsenter", "--target", str(self.holder.pid), "--mount"]
        if self.user:
            enter += ["--user", "--preserve-credentials"]
        return [*enter, "--"]

    def seen_from_outside(self, name):
        return f"/proc/{self.holder.pid}/root{self.mount_point}/{name}"

    def close(self):
        self.holder.stdin.close()
        self.holder.wait(daemontest.LIMIT_SECONDS)
        self.holder.stdout.close()
        self.holder.stderr.close()

    def fill(self):
        """Takes room away, as somebody else's file would."""
        path = self.seen_from_outside("filler")
        with open(path, "ab", buffering=0) as file:
            file.write(bytes(FILLER_MIB << 20))

    def make_room(self):
        os.remove(self.seen_from_outside("filler"))


class DiskFull(unittest.TestCase):
    def setUp(self):
        self.place = daemontest.Place()
        self.addCleanup(self.place.close)
        mount_point = self.place.path("work")
        self.disk = SmallDisk(mount_point)
        self.addCleanup(self.disk.close)
        self.socket = self.place.path("run", "klog.sock")
        self.url = {"KLOG_URL": "unix://" + self.socket}
        self.data = os.path.join(mount_point, "data")
        self.acked = []  # keys, in order

    def start(self):
        # Its socket lies outside, where the test reaches it.
        return self.place.daemon("--data-dir", self.data, "--socket", self.socket,
                                 prefix=self.disk.prefix())

    def request(self, method, target, body=None):
        status, _, answer = daemontest.request(self.socket, method, target, body,
                                               "application/json" if body else None)
        return status, answer

    def write(self, value_bytes=VALUE_BYTES):
        """One record under a key of its own; the key is remembered if it is acknowledged."""
        key = f"k{len(self.acked)}"
        value = b'"' + b"x" * value_bytes + b'"'
        status, answer = self.request("POST", f"/v1/records?topic=a/b&key={key}", value)
        if status == 201:
            self.acked.append(key)
        return status, json.loads(answer)

    def write_until_full(self):
        """Small records at the end, so that no room is left for anything."""
        for value_bytes in (VALUE_BYTES, 1):
            status = 201
            while status == 201:
                status, problem = self.write(value_bytes)
            self.assertEqual((status, problem["code"]), (507, "disk_full"))
            self.assertIn("hint", problem)

    def check_reads(self):
        """All that was acknowledged, in its order, and nothing twice."""
        status, body = self.request("GET", "/v1/records?from=start&filter=a/b")
        self.assertEqual(status, 200)
        self.assertEqual([json.loads(line)["key"] for line in body.splitlines()], self.acked)
        for key in self.acked[::100]:
            status, body = self.request("GET", f"/v1/spaces/a/keys/{key}")
            self.assertEqual((status, json.loads(body)["version"]), (200, 1))
        self.assertEqual(self.request("GET", "/livez")[0], 200)

    def piped(self, topic, lines, *options):
        """`klog produce` that reads numbers from a file."""
        source = self.place.path("tmp", topic.replace("/", "-"))
        with open(source, "w", encoding="ascii") as file:
            file.writelines(f"{n}\n" for n in range(1, lines + 1))
        with open(source, "rb") as stdin:
            process = subprocess.Popen(
                [daemontest.KLOG, "produce", topic, *options], stdin=stdin,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env={**self.place.environment, **self.url})
        self.place.started.append(process)
        return process

    def values(self, topic):
        status, body = self.request("GET", f"/v1/records?from=start&filter={topic}")
        self.assertEqual(status, 200)
        return [json.loads(line)["value"] for line in body.splitlines()]

    def test_writes_wait_reads_go_on_and_nothing_is_lost(self):
        daemon = self.start()
        self.disk.fill()
        self.write_until_full()
        self.assertGreater(len(self.acked), 10)
        self.check_reads()
        self.assertEqual(self.request("GET", "/readyz")[0], 503)

        done = self.place.klog("produce", "a/b", "1", env=self.url)
        self.assertEqual(done.returncode, EXIT_TRY_AGAIN, done.stderr)
        self.assertTrue(done.stderr.startswith("klog: disk_full: "), done.stderr)
        self.assertIn("\nhint: ", done.stderr)

        # From a pipe: it keeps trying for as long as it may, then says where to go on.
        process = self.piped("short/x", 1000, "--timeout", f"{SHORT_TIMEOUT_SECONDS}s")
        _, errors = process.communicate(timeout=daemontest.LIMIT_SECONDS)
        self.assertEqual(process.returncode, EXIT_TRY_AGAIN, errors)
        found = re.match(r"klog: disk_full: line (\d+): .*\nhint: everything before line (\d+) is "
                         "written: go on from there\n", errors)
        self.assertTrue(found, errors)
        self.assertEqual(found[1], found[2])
        self.assertEqual(self.values("short/x"), list(range(1, int(found[1]))))

        # One with more patience goes on by itself once there is room.
        patient = self.piped("patient/x", 5000, "-v")
        lines = iter(patient.stderr.readline, "")
        self.assertTrue(any("disk_full" in line and "trying again" in line for line in lines))
        self.check_reads()
        self.disk.make_room()
        _, errors = patient.communicate(timeout=daemontest.LIMIT_SECONDS)
        self.assertEqual(patient.returncode, 0, errors)
        self.assertEqual(self.values("patient/x"), list(range(1, 5001)))
        self.assertEqual(self.write()[0], 201)
        self.assertEqual(self.request("GET", "/readyz")[0], 200)
        self.assertIsNone(daemon.process.poll())
        self.check_reads()
        self.assertEqual(daemon.stop(), 0, daemon.log())

    def test_a_daemon_that_is_killed_on_a_full_disk_starts_there(self):
        daemon = self.start()
        self.disk.fill()
        self.write_until_full()
        for stop in (daemontest.Daemon.kill, daemontest.Daemon.stop):
            stop(daemon)
            daemon = self.start()
            self.check_reads()
            self.write_until_full()
            self.check_reads()
        self.disk.make_room()
        # Room is looked for every tenth of a second, by the maintenance once a second.
        daemontest.wait_until(lambda: self.write()[0] == 201, "a write that finds room")
        self.check_reads()
        self.assertEqual(daemon.stop(), 0, daemon.log())


def skip_reason():
    for tool in ("unshare", "nsenter"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed (packaging/debian-packages.txt lists util-linux)"
    place = daemontest.Place()
    disk = SmallDisk(place.path("work"))
    try:
        tried = disk.mounted and subprocess.run(
            [*disk.prefix(), "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return None if tried and tried.returncode == 0 else "no file system can be mounted here"
    finally:
        disk.close()
        place.close()


if __name__ == "__main__":
    reason = skip_reason()
    if reason:
        print("skipped: " + reason)
        sys.exit(SKIPPED)
    unittest.main()
