#!/usr/bin/env python3
"""`klog verify`: sound directories, each kind of damage, torn tails, and beside a living daemon."""

import hashlib
import json
import os
import re
import shutil
import sqlite3
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import walfile  # noqa: E402
from daemontest import Place, wait_until  # noqa: E402

# Fills more than one WAL file.
RECORDS = 12000
VALUE = "x" * 100


class VerifyTest(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)
        self.data = self.place.path("data")

    def daemon(self):
        return self.place.daemon("--data-dir", self.data)

    def fill(self, daemon, records=RECORDS, first=0):
        body = "".join(f'{{"topic":"orders/{n % 50}/made","key":"k{n}","value":"{VALUE}"}}\n'
                       for n in range(first, first + records))
        status, _, answer = daemon.request(
            "POST", "/v1/records?envelope=true&acks=summary", body.encode(),
            "application/x-ndjson")
        self.assertEqual((status, json.loads(answer)["count"]), (200, records), answer[:500])

    def verify(self, code=0, *more):
        done = self.place.klog("verify", "--data-dir", self.data, *more)
        self.assertEqual(done.returncode, code, done.stdout[-3000:] + done.stderr)
        files = [json.loads(line) for line in done.stdout.splitlines()]
        return {file["file"]: file for file in files}, done.stderr

    def stopped(self):
        """A directory after a clean stop, with WAL files, runs, both indexes."""
        daemon = self.daemon()
        self.fill(daemon)
        self.assertEqual(daemon.stop(), 0)
        self.assertGreaterEqual(len(walfile.wal_numbers(self.data)), 2)

    def newest(self):
        return walfile.wal_numbers(self.data)[-1]

    def path(self, *names):
        return os.path.join(self.data, *names)

    def digests(self):
        found = {}
        for folder, _, names in os.walk(self.data):
            for name in names:
                path = os.path.join(folder, name)
                if not os.path.isfile(path):
                    continue  # a socket
                with open(path, "rb") as file:
                    found[path] = (hashlib.sha256(file.read()).digest(),
                                   os.stat(path).st_mtime_ns)
        return found

    def last(self, suffix, *folder):
        names = sorted(n for n in os.listdir(self.path(*folder)) if n.endswith(suffix))
        return "/".join([*folder, names[-1]])

    # ---------------------------------------------------------------------------------- sound

    def test_a_clean_directory_is_sound_and_stays_as_it_is(self):
        self.stopped()
        before = self.digests()
        files, summary = self.verify()
        self.assertEqual(self.digests(), before)
        kinds = {file["kind"] for file in files.values() if file["result"] == "sound"}
        self.assertEqual(kinds, {"wal", "clean_marker", "run", "wal_index", "key_index"})
        self.assertEqual(sum(file.get("records", 0) for file in files.values()), RECORDS)
        self.assertIn("files sound", summary)
        self.assertIn(f"{RECORDS} records", summary)

    def test_forms_of_output(self):
        self.stopped()
        pretty = self.place.klog("verify", "--data-dir", self.data, "-o", "pretty")
        self.assertRegex(pretty.stdout, r"(?m)^sound +wal/0+1\.wal  .* frames?, \d+ records?$")
        document = self.place.klog("verify", "--data-dir", self.data, "-o", "json")
        self.assertIn("wal/clean", [file["file"] for file in json.loads(document.stdout)])
        value = self.place.klog("verify", "--data-dir", self.data, "-o", "value", "-q")
        self.assertEqual((value.stdout, value.stderr), ("", ""))
        walfile.flip(walfile.wal_path(self.data, 1), 5000)
        value = self.place.klog("verify", "--data-dir", self.data, "-o", "value", "-q")
        self.assertEqual((value.returncode, value.stdout), (74, f"wal/{1:020}.wal\n"))

    def test_the_examples_of_its_help(self):
        for verb in ("verify", "doctor"):
            for folder in (("home", ".local", "share", "klog"), ("work", "data")):
                daemon = self.place.daemon("--data-dir", self.place.path(*folder))
                daemon.produce("a/b")
                daemon.stop()
            text = self.place.klog("help", verb).stdout
            examples = re.findall(r"(?m)^  \$ (klog .+)$", text)
            self.assertGreaterEqual(len(examples), 3)
            for example in examples:
                done = self.place.klog(*example.split()[1:])
                self.assertIn(done.returncode, (0,) if verb == "verify" else (0, 1), done.stderr)

    def test_where_nothing_lies(self):
        done = self.place.klog("verify", "--data-dir", self.place.path("nowhere"))
        self.assertEqual(done.returncode, 66)
        self.assertTrue(done.stderr.startswith("klog: no_input: "), done.stderr)
        self.assertFalse(os.path.exists(self.place.path("nowhere")))

    def test_files_of_others_are_named_and_no_failure(self):
        self.stopped()
        for name in ("notes.txt", "wal/1.wal", "index/1/old.run", "index/other"):
            with open(self.path(name), "w", encoding="ascii") as file:
                file.write("mine\n")
        files, _ = self.verify()
        for name in ("notes.txt", "wal/1.wal", "index/1/old.run", "index/other"):
            self.assertEqual((files[name]["kind"], files[name]["result"]),
                             ("unknown", "not_checked"))

    # --------------------------------------------------------------------------------- damage

    def assert_damage(self, name, offset=None, says=""):
        files, stderr = self.verify(74)
        self.assertEqual(files[name]["result"], "damaged", files[name])
        self.assertEqual(files[name]["code"], "corrupt")
        if offset is not None:
            self.assertEqual(files[name]["offset"], offset, files[name])
            self.assertIn(f"offset {offset}", stderr)
        self.assertTrue(stderr.startswith("klog: corrupt: "), stderr)
        self.assertIn(self.path(name), stderr)
        self.assertIn("\nhint: ", stderr)
        self.assertIn(says, stderr)
        others = [f["file"] for f in files.values() if f["result"] == "damaged"]
        self.assertEqual(others, [name])

    def test_a_byte_of_the_log(self):
        self.stopped()
        for number in (1, self.newest()):
            path = walfile.wal_path(self.data, number)
            name = f"wal/{number:020}.wal"
            found = walfile.frames(path)
            self.assertGreaterEqual(len(found), 1)
            at, header_bytes, payload_bytes = found[-1]
            places = {"file header": (100, 0), "its checksum": (4095, 0),
                      "first frame's header": (walfile.HEADER_BYTES + 60, walfile.HEADER_BYTES),
                      "last frame's magic": (at, at), "last frame's chain": (at + 20, at),
                      "last frame's payload": (at + header_bytes, at),
                      "last byte of it": (at + header_bytes + payload_bytes - 1, at)}
            for what, (offset, named) in places.items():
                with self.subTest(what, number=number):
                    mend = walfile.flip(path, offset)
                    self.assert_damage(name, named)
                    mend()
        self.verify()

    def test_a_byte_of_an_index(self):
        self.stopped()
        run = self.last(".run", "index", "1")
        listing = self.last(".idx", "index", "wal")
        size = os.path.getsize(self.path(run))
        places = [(run, 30, 0), (run, 4096 + 3, 4096), (run, size - 1, None), (listing, 8, 0),
                  (listing, 100, 80),
                  (listing, os.path.getsize(self.path(listing)) - 1, None), ("wal/clean", 40, 0)]
        for name, offset, named in places:
            with self.subTest(name, offset=offset):
                mend = walfile.flip(self.path(name), offset)
                self.assert_damage(name, named, "no record is lost")
                mend()
        # The hint of an index holds: without the file, the next start makes it anew.
        walfile.flip(self.path(run), 4096 + 3)
        os.unlink(self.path(run))
        daemon = self.daemon()
        self.assertEqual(daemon.head(), RECORDS)
        self.assertEqual(daemon.stop(), 0)
        self.verify()

    def test_a_byte_of_the_key_index(self):
        self.stopped()
        name = "index/1/keys.db"
        with sqlite3.connect(f"file:{self.path(name)}?mode=ro&immutable=1", uri=True) as database:
            page_bytes, = database.execute("PRAGMA page_size").fetchone()
            root, = database.execute("SELECT rootpage FROM sqlite_schema WHERE name='block'"
                                     ).fetchone()
        # The type of a page, the number of its cells; SQLite itself has no checksums.
        page = (root - 1) * page_bytes
        for offset in (page, page + 3, 20):
            with self.subTest(offset=offset):
                mend = walfile.flip(self.path(name), offset, 0x7F)
                self.assert_damage(name, None, "no record is lost")
                mend()
        self.verify()

    def test_a_file_that_is_missing_or_too_short(self):
        self.stopped()
        daemon = self.daemon()
        self.fill(daemon, 10, RECORDS)
        daemon.stop()
        first, last = walfile.wal_path(self.data, 1), walfile.wal_path(self.data, self.newest())
        shutil.copy(first, self.place.path("kept"))
        os.unlink(first)
        self.assert_damage(f"wal/{1:020}.wal", None, "missing")
        with open(self.place.path("kept"), "rb") as file:
            whole = file.read()
        with open(first, "wb") as file:
            file.write(whole[:-8])
        self.assert_damage(f"wal/{1:020}.wal", len(whole) - 8, "were synced")
        with open(first, "wb") as file:
            file.write(whole)
        os.rename(last, self.place.path("last"))
        files, stderr = self.verify(74)
        self.assertEqual(files[f"wal/{self.newest():020}.wal"]["result"], "sound")
        self.assertIn("which is missing", stderr)

    def test_an_index_that_knows_more_than_the_log(self):
        self.stopped()
        os.unlink(walfile.wal_path(self.data, self.newest()))
        os.unlink(self.path("wal", "clean"))
        files, stderr = self.verify(74)
        self.assertEqual(files["index/1/keys.db"]["result"], "damaged")
        # Which index is named first depends on when the last run was written.
        self.assertRegex(stderr, r"knows seq \d+, but the log ends at \d+ ")
        self.assertIn("are missing from wal/", stderr)

    def test_files_of_another_store(self):
        self.stopped()
        other = self.place.path("other")
        stranger = self.place.daemon("--data-dir", other)
        stranger.produce("a/b")
        stranger.stop()
        os.unlink(self.path("wal", "clean"))
        shutil.copy(os.path.join(other, "wal", f"{1:020}.wal"), walfile.wal_path(self.data, 1))
        files, stderr = self.verify(74)
        self.assertEqual(files[f"wal/{2:020}.wal"]["result"], "damaged")
        self.assertIn("does not follow on", stderr)

    def test_a_later_version_wrote_it(self):
        self.stopped()
        newest = self.newest()
        walfile.make_newer(walfile.wal_path(self.data, newest))
        files, stderr = self.verify(74)
        self.assertEqual(files[f"wal/{newest:020}.wal"]["code"], "format_unknown")
        self.assertIn("klog: format_unknown: ", stderr)
        self.assertIn("klog 9.9.9", stderr)

    # ------------------------------------------------------------------------------- segments

    def sealed(self):
        """A directory with segments after a clean stop, and how many records it holds."""
        daemon = self.daemon()
        first = 0
        while not self.segments():  # the daemon seals in the background
            self.fill(daemon, first=first)
            first += RECORDS
        head = daemon.head()
        self.assertEqual(daemon.stop(), 0)
        return head

    def segments(self):
        folder = self.path("seg", "1")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return sorted(f"seg/1/{name}" for name in names if name.endswith(".seg"))

    def test_segments(self):
        head = self.sealed()
        name = self.segments()[0]
        path = self.path(name)
        for more in ((), ("--deep",)):
            files, summary = self.verify(0, *more)
            self.assertEqual((files[name]["kind"], files[name]["result"]), ("segment", "sound"))
            self.assertEqual(files[name]["bytes"], os.path.getsize(path))
            self.assertGreater(files[name]["records"], 0)
            self.assertEqual(self.records_of(files), head)
            self.assertIn(f"{head} records", summary)
        mend = walfile.flip(path, os.path.getsize(path) // 2)
        self.assert_damage(name, None, "offset")
        _, stderr = self.verify(74, "--deep")
        self.assertIn("were not compared: a part of it could not be read", stderr)
        mend()
        shutil.copy(path, self.path("seg/1", f"{9999:020}.seg"))
        files, _ = self.verify()
        self.assertEqual(files[f"seg/1/{9999:020}.seg"]["kind"], "left_over")
        self.assertEqual(self.records_of(files), head)
        os.rename(path, self.place.path("kept"))
        self.assert_damage(name, None, "it holds the records from seq ")

    # -------------------------------------------------------------------------------- crashes

    def test_what_a_crash_leaves_is_no_damage(self):
        daemon = self.daemon()
        self.fill(daemon)
        daemon.kill()
        files, _ = self.verify()
        newest = f"wal/{self.newest():020}.wal"
        self.assertIn(files[newest]["result"], ("sound", "torn_tail"))
        self.assertEqual(sum(file.get("records", 0) for file in files.values()), RECORDS)
        # A frame that was being written when the power went.
        path = walfile.wal_path(self.data, self.newest())
        end, torn = walfile.end_of_frames(path), walfile.torn_frame(path, 1000)
        with open(path, "r+b") as file:
            file.seek(end)
            file.write(torn)
        files, _ = self.verify()
        self.assertEqual(files[newest]["result"], "torn_tail")
        self.assertGreaterEqual(files[newest]["bytes_dropped"], 1000)
        again = self.daemon()
        self.assertEqual(again.head(), RECORDS)
        again.stop()
        self.verify()

    def test_damage_below_the_watermark_is_no_torn_tail(self):
        daemon = self.daemon()
        self.fill(daemon)
        for _ in range(4):
            daemon.produce("orders/1/made")  # each of them says that those before it are synced
        daemon.kill()
        path = walfile.wal_path(self.data, self.newest())
        at, _, _ = walfile.frames(path)[0]
        walfile.flip(path, at + 130)
        files, stderr = self.verify(74)
        self.assertEqual(files[f"wal/{self.newest():020}.wal"]["offset"], at)
        self.assertIn("acknowledged records stood there", stderr)

    # ------------------------------------------------------------------------ beside a daemon

    def test_beside_a_daemon_that_writes(self):
        daemon = self.daemon()
        daemon.produce("orders/1/made")
        stop = threading.Event()
        failures = []

        def write():
            first = 0
            try:
                while not stop.is_set():
                    self.fill(daemon, 500, first)
                    first += 500
            except (AssertionError, OSError) as failure:
                failures.append(failure)

        writer = threading.Thread(target=write)
        writer.start()
        self.addCleanup(writer.join)
        self.addCleanup(stop.set)
        # Through at least two changes of the file that is written.
        rounds = 0
        while len(walfile.wal_numbers(self.data)) < 3 or rounds < 8:
            files, summary = self.verify(0, *(("--deep",) if rounds % 2 else ()))
            rounds += 1
            self.assertIn("a daemon is writing here", summary)
            self.assertIn("growing", [file["result"] for file in files.values()])
            self.assertFalse(failures, failures)
        stop.set()
        writer.join()
        self.assertFalse(failures, failures)
        head = daemon.head()
        # Once idle the daemon marks what it synced, and verify sees all of it.
        wait_until(lambda: self.records_of(self.verify()[0]) == head, "all records are synced")
        self.assertEqual(daemon.stop(), 0)
        files, _ = self.verify()
        self.assertEqual(self.records_of(files), head)

    @staticmethod
    def records_of(files):
        return sum(file.get("records", 0) for file in files.values())

    def test_a_key_index_that_a_daemon_has_open(self):
        self.stopped()
        daemon = self.daemon()
        self.assertEqual(self.place.klog("keys", "orders", "--prefix", "k11999").returncode, 0)
        self.assertTrue(os.path.exists(self.path("index/1/keys.db-wal")))
        files, _ = self.verify()
        self.assertEqual(files["index/1/keys.db"]["result"], "sound")
        daemon.kill()
        # Its journal is read with it, also when nobody has it open any more.
        scratch = self.path("index/1/keys.db-shm")
        before = self.digests()
        files, _ = self.verify()
        self.assertEqual(files["index/1/keys.db"]["result"], "sound")
        after = self.digests()
        before.pop(scratch, None)
        after.pop(scratch, None)
        self.assertEqual(after, before)

    def test_damage_beside_a_daemon(self):
        daemon = self.daemon()
        self.fill(daemon)
        at, _, _ = walfile.frames(walfile.wal_path(self.data, 1))[-1]
        mend = walfile.flip(walfile.wal_path(self.data, 1), at + 150)
        self.assert_damage(f"wal/{1:020}.wal", at)
        mend()
        self.verify()
        self.assertEqual(daemon.stop(), 0)


if __name__ == "__main__":
    unittest.main()
