#!/usr/bin/env python3
"""`klog daemon --read-only`: every read of a sound directory, what each kind of damage leaves, no
write, and not one byte of the directory changed."""

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import walfile  # noqa: E402
from daemontest import KLOG, LIMIT_SECONDS, Place, wait_until  # noqa: E402

SEGMENTS = 3
SEAL_BYTES_MIN = 8 << 20  # less than this stays unsealed
STEP = 1500
# Closed WAL files are sealed from 8 MiB on.
VALUE = "x" * 1000
KEYS = 700
NOBODY = 65534


def body_of(first, count):
    return "".join(
        f'{{"topic":"orders/{n // 1000}/{"new" if n % 3 else "paid"}","key":"k{n % KEYS}",'
        f'"value":{{"n":{n},"text":"{VALUE}"}}}}\n' for n in range(first, first + count)).encode()


def segment_paths(data):
    folder = os.path.join(data, "seg", "1")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(os.path.join(folder, name) for name in names if name.endswith(".seg"))


def make_sealed(place, data):
    """A directory with some segments and unsealed files after a clean stop; how many records."""
    records = 0
    for segments in range(1, SEGMENTS + 1):
        daemon = place.daemon("--data-dir", data)  # a start closes a file
        while True:
            status, _, answer = daemon.request(
                "POST", "/v1/records?envelope=true&acks=summary", body_of(records, STEP),
                "application/x-ndjson")
            assert (status, json.loads(answer)["count"]) == (200, STEP), answer[:500]
            records += STEP
            if len(segment_paths(data)) >= segments:
                break
        assert daemon.stop() == 0
    return records


class ReadOnlyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.source = Place()
        cls.addClassCleanup(cls.source.close)
        cls.sealed = cls.source.path("sealed")
        cls.records = cls.filled = make_sealed(cls.source, cls.sealed)
        done = cls.source.klog("verify", "--data-dir", cls.sealed)
        assert done.returncode == 0, done.stderr
        files = {line["file"]: line for line in map(json.loads, done.stdout.splitlines())}
        cls.ranges = []  # first and last seq of each segment
        last = 0
        for path in segment_paths(cls.sealed):
            records = files[os.path.relpath(path, cls.sealed)]["records"]
            cls.ranges.append((last + 1, last + records))
            last += records

    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)
        self.data = self.place.path("data")
        shutil.copytree(self.sealed, self.data)
        self.segments = segment_paths(self.data)

    def path(self, *names):
        return os.path.join(self.data, *names)

    def listing(self):
        """All that a write could change: names, sizes, modes, times of change, contents."""
        found = {}
        for folder, folders, names in os.walk(self.data):
            for name in [*folders, *names, "."]:
                path = os.path.join(folder, name)
                info = os.lstat(path)
                digest = None
                if stat.S_ISREG(info.st_mode):
                    with open(path, "rb") as file:
                        digest = hashlib.sha256(file.read()).hexdigest()
                found[path] = (info.st_mode, info.st_ino, info.st_size, info.st_mtime_ns,
                               info.st_ctime_ns, digest)
        return found

    def serve(self, *more, **options):
        self.before = self.listing()
        daemon = self.place.daemon("--data-dir", self.data, "--read-only", *more, **options)
        self.assertTrue(daemon.ready["urls"])
        self.assertFalse([url for url in daemon.ready["urls"] if self.data in url])
        return daemon

    def end(self, daemon):
        self.assertEqual(daemon.stop(), 0, daemon.log())
        self.assertEqual(self.listing(), self.before)
        self.assertEqual(os.listdir(self.place.path("tmp")), [])  # the copy of its key index

    def klog(self, code, *arguments, says="", **more):
        done = self.place.klog(*arguments, **more)
        self.assertEqual(done.returncode, code, (arguments, done.stdout[-500:], done.stderr))
        if code not in (0, 1):
            self.assertIn("\nhint: ", done.stderr)
        self.assertIn(says, done.stderr)
        return done.stdout

    def seqs(self, code, *arguments, says=""):
        text = self.klog(code, "tail", *arguments, "--no-follow", says=says)
        return [json.loads(line)["seq"] for line in text.splitlines()]

    def metric(self, daemon, name):
        text = daemon.request("GET", "/metrics")[2].decode()
        return int(next(line.split()[1] for line in text.splitlines()
                        if line.startswith(name + " ")))

    # ---------------------------------------------------------------------------------- sound

    READS = (("head",), ("head", "orders/*/paid"), ("count",), ("count", "orders/3/*"),
             ("count", "--key", "k7"), ("topics",), ("keys", "orders"), ("get", "orders", "k5"),
             ("get", "orders", "k5", "--version", "2"), ("history", "orders", "k99"),
             ("tail", "--no-follow", "-n", "3"), ("tail", "--no-follow", "orders/*/paid", "--limit",
                                                  "50"),
             ("tail", "--no-follow", "--from", "4000", "--until", "4100"))

    def reads(self):
        return [self.klog(0, *read) for read in self.READS]

    def test_a_sound_directory_gives_what_its_daemon_gives(self):
        writer = self.place.daemon("--data-dir", self.data)
        wanted = self.reads()
        self.assertEqual(writer.stop(), 0)
        daemon = self.serve()
        self.assertEqual(self.reads(), wanted)
        self.assertEqual(len(self.seqs(0)), self.records)
        self.assertEqual(json.loads(daemon.request("GET", "/readyz")[2]),
                         {"status": "read_only", "holes": 0})
        self.assertEqual(daemon.request("GET", "/livez")[0], 200)
        self.assertEqual((self.metric(daemon, "klog_store_read_only"),
                          self.metric(daemon, "klog_store_holes"),
                          self.metric(daemon, "klog_store_writable")), (1, 0, 0))
        self.assertIn("read-only: ", daemon.log())
        self.assertNotIn("hole: ", daemon.log())
        found = self.klog(0, "doctor", "--data-dir", self.data, "--url",
                          daemon.ready["urls"][0])
        self.assertIn('"name":"read_only","status":"ok"', found)
        self.assertEqual(self.klog(0, "verify", "-q", "-o", "value", "--data-dir", self.data), "")
        self.end(daemon)

    def test_after_kill_9(self):
        writer = self.place.daemon("--data-dir", self.data)
        for n in range(20):
            writer.produce(f"late/{n}")
        writer.kill()
        daemon = self.serve()
        self.assertEqual(daemon.head(), self.records + 20)
        got = self.reads()
        self.assertEqual(self.seqs(0, "late/*"),
                         list(range(self.records + 1, self.records + 21)))
        self.end(daemon)
        self.place.daemon("--data-dir", self.data)
        self.assertEqual(self.reads(), got)

    def test_without_any_index(self):
        shutil.rmtree(self.path("index"))
        daemon = self.serve()
        got = self.reads()
        self.end(daemon)
        self.place.daemon("--data-dir", self.data)
        self.assertEqual(self.reads(), got)

    def test_a_directory_that_it_may_not_write(self):
        """Root may write anything, so this runs as nobody."""
        prefix = ()
        if os.geteuid() == 0:
            if not shutil.which("setpriv"):
                self.skipTest("there is no setpriv")
            prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
            os.chmod(self.place.root, 0o755)
            for name in ("home", "run", "tmp", "work"):
                os.chown(self.place.path(name), NOBODY, NOBODY)
            for folder, _, names in os.walk(self.data):
                for name in [*names, "."]:
                    os.chown(os.path.join(folder, name), NOBODY, NOBODY)
        for folder, _, names in os.walk(self.data):
            for name in names:
                os.chmod(os.path.join(folder, name), 0o400)
            os.chmod(folder, 0o500)
        self.addCleanup(lambda: [os.chmod(folder, 0o700) for folder, _, _ in os.walk(self.data)])
        if prefix and self.run_as(prefix, KLOG, "version").returncode != 0:
            self.skipTest("nobody may not run this build")
        done = self.run_as(prefix, KLOG, "daemon", "--data-dir", self.data)
        self.assertEqual(done.returncode, 77, done.stderr)
        self.assertIn("--read-only", done.stderr)
        daemon = self.serve(prefix=prefix)
        self.reads()
        beside = self.run_as(prefix, KLOG, "daemon", "--data-dir", self.data, "--read-only",
                             "--listen", "127.0.0.1:0")
        self.assertEqual(beside.returncode, 75, beside.stderr)
        self.end(daemon)

    def run_as(self, prefix, *command):
        return subprocess.run([*prefix, *command], env=self.place.environment, text=True,
                              cwd=self.place.path("work"), capture_output=True, check=False,
                              timeout=LIMIT_SECONDS)

    # ------------------------------------------------------------------------- what is refused

    def test_every_write_is_refused(self):
        daemon = self.serve()
        says = "klog: not_allowed: "
        self.klog(77, "produce", "a/b", "1", says=says)
        self.klog(77, "produce", "a/b", "-k", "1", "--tombstone", says=says)
        self.klog(77, "produce", "a/b", says="not_allowed", input="1\n2\n3\n", stdin=None)
        for content in ("application/json", "application/octet-stream", "application/x-ndjson"):
            status, _, answer = daemon.request("POST", "/v1/records?topic=a/b", b"1", content)
            problem = json.loads(answer)
            self.assertEqual((status, problem["code"]), (403, "not_allowed"))
            self.assertIn("--read-only", problem["detail"] + problem.get("hint", ""))
            self.assertTrue(problem["hint"])
        self.assertEqual(daemon.head(), self.records)
        self.end(daemon)

    def test_no_writer_beside_it(self):
        daemon = self.serve()
        self.klog(75, "daemon", "--data-dir", self.data, says="klog: locked: ")
        self.end(daemon)
        self.place.daemon("--data-dir", self.data)
        self.klog(75, "daemon", "--data-dir", self.data, "--read-only", says="klog: locked: ")

    def test_a_copy_without_its_lock_file(self):
        os.remove(self.path("klog.lock"))
        daemon = self.serve()
        self.klog(75, "daemon", "--data-dir", self.data, says="klog: locked: ")
        self.klog(75, "daemon", "--data-dir", self.data, "--read-only", says="klog: locked: ")
        daemon.kill()
        self.assertFalse(os.path.exists(self.path("klog.lock")))
        self.place.daemon("--data-dir", self.data)

    def test_kill_9_of_it_leaves_nothing(self):
        daemon = self.serve()
        self.klog(0, "topics")
        daemon.kill()
        self.assertEqual(self.listing(), self.before)
        self.assertEqual(len(os.listdir(self.place.path("tmp"))), 1)
        self.end(self.serve())

    def test_usage(self):
        read_only = ("daemon", "--data-dir", self.data, "--read-only")
        self.klog(2, "daemon", "--ephemeral", "--read-only", says="klog: usage: ")
        self.klog(2, *read_only, env={"XDG_RUNTIME_DIR": ""}, says="--socket")
        self.klog(2, *read_only, "--socket", self.path("own.sock"), says="klog: usage: ")
        nowhere = self.place.path("nowhere")
        self.klog(66, "daemon", "--data-dir", nowhere, "--read-only", says="klog: no_input: ")
        self.assertFalse(os.path.exists(nowhere))
        os.mkdir(nowhere)
        self.klog(66, "daemon", "--data-dir", nowhere, "--read-only", says="klog: no_input: ")
        self.assertEqual(os.listdir(nowhere), [])
        file = self.place.path("work", "klog.yaml")
        with open(file, "w", encoding="ascii") as config:
            config.write(f"read_only: true\ndata_dir: {self.data}\n")
        self.klog(2, "daemon", "--ephemeral", says="klog: usage: ")
        self.before = self.listing()
        daemon = self.place.daemon()
        self.klog(77, "produce", "a/b", "1")
        self.end(daemon)
        os.remove(file)
        own = self.place.path("own.sock")
        daemon = self.serve("--socket", own, "--listen", "127.0.0.1:0")
        self.assertEqual(daemon.ready["urls"][0], f"unix://{own}")
        self.assertEqual(len(daemon.ready["urls"]), 2)
        self.end(daemon)

    # --------------------------------------------------------------------------------- damage

    def check_stops(self):
        """A start without --read-only ends with what it ended with, and says what there is."""
        self.klog(74, "daemon", "--data-dir", self.data, says="klog daemon --read-only")

    def check_hole(self, daemon, first, last, file):
        """What lies before and behind is read, and nothing passes over the hole."""
        names = [line for line in daemon.log().splitlines() if "hole: " in line]
        self.assertEqual(len(names), 1, daemon.log())
        self.assertIn(f"from seq {first} to {last} cannot be read: ", names[0])
        self.assertIn(file, names[0])
        self.assertEqual(self.metric(daemon, "klog_store_holes"), 1)
        self.assertEqual(json.loads(daemon.request("GET", "/readyz")[2])["holes"], 1)
        found = self.klog(1, "doctor", "--data-dir", self.data, "--url",
                          daemon.ready["urls"][0], "-o", "value")
        self.assertIn("daemon read_only: ", found)
        says = f"klog: corrupt: the records from seq {first} to {last} cannot be read: "

        before = list(range(1, first))
        behind = list(range(last + 1, self.records + 1))
        self.assertEqual(self.seqs(74, says=says), before)
        self.assertEqual(self.seqs(0, "--until", str(first - 1)), before)
        self.assertEqual(self.seqs(74, "--until", str(first), says=says), before)
        self.assertEqual(self.seqs(0, "--from", str(last + 1)), behind)
        self.assertEqual(self.seqs(74, "--from", str(last), says=says), [])
        self.assertEqual(self.seqs(74, "nothing/like/it", says=says), [])
        self.assertEqual(self.seqs(74, "--key", "nobody", says=says), [])
        self.assertEqual(self.seqs(0, "-n", "3"), behind[-3:])
        self.klog(74, "count", says=says)
        self.klog(74, "count", "nothing/like/it", says=says)
        # Where the newest one lies before the hole, nothing in it is asked for.
        whole = self.seqs_of(3)[-1] < first
        text = self.klog(0 if whole else 74, "history", "orders", "k3", says="" if whole else says)
        self.assertEqual([json.loads(line)["seq"] for line in text.splitlines()],
                         [seq for seq in self.seqs_of(3) if seq < first])
        self.assertEqual(self.klog(0, "count", "--after", str(last)).strip(), str(len(behind)))
        self.assertEqual(self.klog(0, "count", "--until", str(first - 1)).strip(),
                         str(len(before)))
        self.assertEqual(self.klog(0, "head").strip(), str(self.records))

    def seqs_of(self, key):
        return [n + 1 for n in range(self.filled) if n % KEYS == key]

    def check_keys(self, first, last, known_behind):
        """The newest record of each key, where it can be known and lies in no hole."""
        for key in range(0, KEYS, 97):
            newest = self.seqs_of(key)[-1]
            readable = newest > known_behind and not first <= newest <= last
            text = self.klog(0 if readable else 74, "get", "orders", f"k{key}")
            if readable:
                self.assertEqual(json.loads(text)["seq"], newest)

    def damage_a_segment(self, damage):
        path = self.segments[1]
        size = os.path.getsize(path)
        if damage == "missing":
            os.remove(path)
        elif damage == "truncated":
            os.truncate(path, size // 2)
        elif damage == "exchanged":
            shutil.copy(self.segments[2], path)
        elif damage == "damaged":
            walfile.flip(path, size - 40)

    def test_a_segment(self):
        first, last = self.ranges[1]
        sound = os.path.join(self.sealed, os.path.relpath(self.segments[1], self.data))
        for damage in ("missing", "truncated", "exchanged", "damaged"):
            with self.subTest(damage):
                shutil.copy(sound, self.segments[1])
                self.damage_a_segment(damage)
                self.check_stops()
                daemon = self.serve()
                self.check_hole(daemon, first, last, self.segments[1])
                # Runs and the key index know all that was there.
                self.check_keys(first, last, 0)
                self.assertEqual(len(self.klog(0, "keys", "orders").splitlines()), KEYS)
                self.assertEqual(len(self.klog(0, "topics", "orders/0/*").splitlines()), 2)
                self.klog(1, "get", "orders", "nobody")
                self.end(daemon)

    def test_a_segment_without_the_indexes(self):
        first, last = self.ranges[1]
        self.damage_a_segment("missing")
        shutil.rmtree(self.path("index"))
        daemon = self.serve()
        self.check_hole(daemon, first, last, self.segments[1])
        self.check_keys(first, last, last)
        for question in (("keys", "orders"), ("topics",), ("head", "orders/*/new"),
                         ("get", "orders", "nobody")):
            self.klog(74, *question, says="klog: corrupt: ")
        self.end(daemon)

    def test_a_block(self):
        path = self.segments[1]
        walfile.flip(path, os.path.getsize(path) // 3)
        daemon = self.serve()
        self.assertNotIn("hole: ", daemon.log())
        first, last = self.ranges[1]
        got = self.seqs(74, says=path)
        self.assertEqual(got, list(range(1, len(got) + 1)))
        self.assertTrue(first <= len(got) + 1 <= last, len(got))
        self.assertEqual(self.seqs(0, "--from", str(last + 1))[0], last + 1)
        self.end(daemon)

    def test_a_wal_file(self):
        # Several unsealed ones, which hold a few records each. What is due is sealed before they
        # come, or it would take some of them along.
        daemon = self.place.daemon("--data-dir", self.data)
        wait_until(lambda: self.metric(daemon, "klog_store_unsealed_bytes") < SEAL_BYTES_MIN,
                   "what is due is sealed")
        self.assertEqual(daemon.stop(), 0)
        wanted = self.records
        for n in range(5):
            daemon = self.place.daemon("--data-dir", self.data)
            for _ in range(4):
                daemon.produce(f"late/{n}")
            self.assertEqual(daemon.stop(), 0)
        numbers = walfile.wal_numbers(self.data)
        middle = walfile.wal_path(self.data, numbers[-2])
        kept = self.place.path("kept")
        os.rename(middle, kept)
        self.records += 20
        for damage in ("missing", "truncated", "header"):
            with self.subTest(damage):
                if damage != "missing":
                    shutil.copy(kept, middle)
                if damage == "truncated":
                    os.truncate(middle, 4200)
                if damage == "header":
                    walfile.flip(middle, 60)
                self.check_stops()
                daemon = self.serve()
                self.check_hole(daemon, wanted + 13, wanted + 16, middle)
                self.end(daemon)

    def test_the_newest_wal_file(self):
        daemon = self.place.daemon("--data-dir", self.data)
        for n in range(10):
            daemon.produce(f"late/{n}")
        daemon.kill()
        path = walfile.wal_path(self.data, walfile.wal_numbers(self.data)[-1])
        at, header_bytes, _ = walfile.frames(path)[4]
        walfile.flip(path, at + header_bytes)
        first = self.records + 5
        daemon = self.serve()
        self.assertIn(f"hole: the records from seq {first} on cannot be read: {path}", daemon.log())
        says = f"klog: corrupt: the records from seq {first} on cannot be read: "
        self.assertEqual(self.seqs(74, says=says), list(range(1, first)))
        self.assertEqual(len(self.seqs(0, "--until", str(first - 1))), first - 1)
        self.klog(74, "count", says=says)
        self.klog(74, "get", "orders", "k1", says="klog: corrupt: ")
        self.end(daemon)

    def test_a_follower_meets_the_hole_too(self):
        self.damage_a_segment("missing")
        daemon = self.serve()
        first, last = self.ranges[1]
        follower = self.place.start("tail", "--from", str(first - 2))
        out, err = follower.communicate(timeout=LIMIT_SECONDS)
        self.assertEqual(follower.returncode, 74, err)
        self.assertEqual([json.loads(line)["seq"] for line in out.splitlines()],
                         [first - 2, first - 1])
        behind = self.place.start("tail", "--from", str(last + 1))
        count = self.records - last
        got = [json.loads(behind.stdout.readline())["seq"] for _ in range(count)]
        self.assertEqual(got, list(range(last + 1, self.records + 1)))
        behind.send_signal(signal.SIGINT)  # it goes on waiting
        self.assertEqual(behind.wait(LIMIT_SECONDS), 130)
        self.end(daemon)

    def test_without_a_set_that_can_be_trusted_there_is_nothing_to_serve(self):
        manifest = self.path("seg", "manifest")
        read_only = ("daemon", "--data-dir", self.data, "--read-only")
        mend = walfile.flip(manifest, 200)
        before = self.listing()
        self.klog(74, *read_only, says=manifest)
        mend()
        os.rename(manifest, self.place.path("kept"))
        self.klog(74, *read_only, says="seg/manifest")
        os.rename(self.place.path("kept"), manifest)
        self.assertEqual(set(self.listing()), set(before))


if __name__ == "__main__":
    signal.alarm(600)
    unittest.main()
