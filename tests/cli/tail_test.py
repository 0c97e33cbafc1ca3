#!/usr/bin/env python3
"""tail: filters, where it starts and ends, cursors, lost connections."""

import json
import os
import signal
import subprocess
import unittest

import klogtest


class Tail(klogtest.Case):
    def setUp(self):
        super().setUp()
        for n in range(1, 4):
            self.produce(f"orders/{n}/created", n, "-k", str(n))
            self.produce(f"orders/{n}/paid", n * 10, "-k", str(n))
        self.produce("notes/x", "note")

    def values(self, *args, **more):
        out = self.klog("tail", "-o", "value", *args, **more).stdout
        return [json.loads(line) for line in out.splitlines()]

    def test_filters(self):
        self.assertEqual(self.values("--no-follow"), [1, 10, 2, 20, 3, 30, "note"])
        self.assertEqual(self.values("orders/*/paid", "--no-follow"), [10, 20, 30])
        self.assertEqual(self.values("orders/+/paid", "notes/", "--no-follow"),
                         [10, 20, 30, "note"])
        self.assertEqual(self.values("orders/", "--not", "orders/+/paid", "--no-follow"), [1, 2, 3])
        self.assertEqual(self.values("--key", "2", "--no-follow"), [2, 20])
        self.problem("tail", "a/*b/c", "--no-follow", code=2, says="bad_filter: ")

    def test_start_and_end(self):
        head = int(self.klog("head").stdout)
        first = self.lines("tail", "--no-follow", "--limit", "1")[0]["seq"]
        self.assertEqual(self.values("--no-follow", "-n", "2"), [30, "note"])
        self.assertEqual(self.values("orders/", "--no-follow", "-n", "2"), [3, 30])
        self.assertEqual(self.values("--no-follow", "-n", "0"), [])
        self.assertEqual(self.values("--no-follow", "--from", str(head)), ["note"])
        self.assertEqual(self.values("--no-follow", "--after", str(head)), [])
        self.assertEqual(self.values("--no-follow", "--until", str(first)), [1])
        self.assertEqual(self.values("--from", "start", "--until", str(head)),
                         [1, 10, 2, 20, 3, 30, "note"])
        self.assertEqual(self.values("--after", str(head), "--until", str(head)), [])
        self.assertEqual(self.values("--from", "start", "--limit", "3"), [1, 10, 2])
        self.assertEqual(self.values("--from", "1h", "--no-follow", "--limit", "2"), [1, 10])
        self.assertEqual(self.values("--from", "start", "--until", "1h"), [])
        times = [r["time"] for r in self.lines("tail", "--no-follow")]
        later = [t for t in times if t >= times[3]]
        self.assertEqual(len(self.values("--from", times[3], "--no-follow")), len(later))

    def test_modes(self):
        records = self.lines("tail", "orders/", "--no-follow")
        listed = self.klog("tail", "orders/", "--no-follow", "-o", "json").stdout
        self.assertEqual(json.loads(listed), records)
        self.assertEqual(self.klog("tail", "no/such", "--no-follow", "-o", "json").stdout, b"[]\n")
        pretty = self.klog("tail", "orders/1/*", "--no-follow", "-o", "pretty").stdout.decode()
        self.assertRegex(pretty, r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z  orders/1/created  1@1  1\n")
        self.assertNotIn("\x1b", pretty)
        painted = self.klog("tail", "--no-follow", "-o", "pretty", "--color", "always").stdout
        self.assertIn(b"\x1b[36morders/1/created\x1b[0m", painted)

    def test_follows_from_the_end(self):
        process = self.start("tail", "orders/")
        reader = klogtest.Reader(process.stdout)
        # It follows once it shows something; everything before that may be missed.
        record = klogtest.wait_until(lambda: self.poke(reader), "the first record")
        self.assertEqual(record["topic"], "orders/9/poked")
        self.produce("notes/y", 1)
        self.produce("orders/8/created", 8)
        while record["topic"] == "orders/9/poked":
            record = json.loads(reader.line())
        self.assertEqual(record["value"], 8)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(klogtest.LIMIT_S), 143)

    def poke(self, reader):
        self.produce("orders/9/poked", 9)
        try:
            return json.loads(reader.line(0.5))
        except AssertionError:
            return None

    def test_a_closed_pipe_is_quiet_success(self):
        command = f'("{klogtest.KLOG}" tail --from start; echo $? >&2) | head -n 1'
        shell = subprocess.Popen(["bash", "-c", command], env=self.environment(),
                                 cwd=self.directory, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.addCleanup(klogtest.end, shell)
        klogtest.Reader(shell.stdout).line()
        reader = klogtest.Reader(shell.stderr)

        def ended():
            self.produce("orders/9/poked", 9)
            try:
                return reader.line(0.5)
            except AssertionError:
                return None

        self.assertEqual(klogtest.wait_until(ended, "the end of the tail"), b"0")

    def test_advice(self):
        done = self.klog("tail", "orders", "--no-follow")
        self.assertIn(b"hint: no topic is named orders, but there are topics below it", done.stderr)
        self.assertNotIn(b"hint", self.klog("tail", "notes/x", "--no-follow").stderr)
        open(os.path.join(self.directory, "orders"), "w", encoding="ascii").close()
        done = self.klog("tail", "orders", "notes", "--no-follow")
        self.assertIn(b"in quotes", done.stderr)
        self.assertEqual(self.klog("tail", "orders", "notes", "--no-follow", "-q").stderr, b"")
        done = self.klog("tail", "--after", "100000", "--no-follow")
        self.assertIn(b"lies ahead of the head", done.stderr)


class CursorFile(klogtest.Case):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.directory, "cursor")

    def read(self):
        return self.klog("tail", "a/", "--no-follow", "-o", "value", "--cursor-file",
                         self.path).stdout

    def cursor(self):
        with open(self.path, encoding="ascii") as file:
            return int(file.read())

    def test_each_record_once(self):
        self.produce("a/x", 1)
        self.produce("a/x", 2)
        self.assertEqual(self.read(), b"1\n2\n")
        self.assertEqual(self.read(), b"")
        self.produce("a/x", 3)
        self.assertEqual(self.read(), b"3\n")
        self.assertEqual(os.listdir(self.directory).count("cursor"), 1)
        self.assertEqual([n for n in os.listdir(self.directory) if ".tmp" in n], [])

    def test_it_moves_past_what_does_not_match(self):
        self.produce("b/x", 1)
        self.assertEqual(self.read(), b"")
        self.assertEqual(self.cursor(), int(self.klog("head").stdout))

    def test_limit_stands_at_the_last_record_shown(self):
        for n in range(3):
            self.produce("a/x", n)
        args = ["tail", "a/", "--no-follow", "--limit", "1", "--cursor-file", self.path]
        seqs = [self.lines(*args)[0]["seq"] for _ in range(3)]
        self.assertEqual(seqs, sorted(set(seqs)))
        self.assertEqual(self.cursor(), seqs[-1])

    def test_first_cursor_at_once_and_kept_while_following(self):
        head = int(self.klog("head").stdout)
        process = self.start("tail", "a/", "--cursor-file", self.path)
        klogtest.wait_until(lambda: os.path.exists(self.path) and os.path.getsize(self.path),
                            "the first cursor")
        self.assertGreaterEqual(self.cursor(), head)
        seq = self.produce("a/x", 1)["seq"]
        self.assertEqual(json.loads(klogtest.Reader(process.stdout).line())["seq"], seq)
        klogtest.wait_until(lambda: self.cursor() == seq, "the cursor to move", 5)
        quiet = self.produce("b/x", 1)["seq"]
        self.problem("tail", "--cursor-file", self.path, code=75, says="locked: ")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(klogtest.LIMIT_S), 130)
        self.assertIn(self.cursor(), (seq, quiet))
        self.assertEqual(self.read(), b"")

    def test_other_contents_and_places(self):
        with open(self.path, "w", encoding="ascii") as file:
            file.write("hello\n")
        self.problem("tail", "--no-follow", "--cursor-file", self.path, code=65, says="bad_record: ")
        with open(self.path, encoding="ascii") as file:
            self.assertEqual(file.read(), "hello\n")
        self.problem("tail", "--no-follow", "--cursor-file", self.directory, code=74, says="io: ")
        self.problem("tail", "--no-follow", "--cursor-file", self.directory + "/no/such/file",
                     code=74, says="io: ")
        open(self.path, "w", encoding="ascii").close()
        self.produce("a/x", 1)
        self.assertEqual(self.read(), b"1\n")


class Reconnects(klogtest.Case):
    ephemeral = False

    def test_goes_on_where_it_was(self):
        self.produce("a/x", 0)
        process = self.start("tail", "a/", "--from", "start", "-o", "value")
        reader = klogtest.Reader(process.stdout)
        self.assertEqual(reader.line(), b"0")
        for n in range(1, 4):
            self.daemon.kill()
            self.daemon.start()
            self.produce("a/x", n)
            self.assertEqual(reader.line(), str(n).encode())
        self.assertEqual(self.daemon.stop(), 0)
        self.daemon.start()
        self.produce("a/x", 4)
        self.assertEqual(reader.line(), b"4")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(klogtest.LIMIT_S), 143)
        self.assertEqual(process.stderr.read(), b"")

    def test_gives_up_after_a_timeout(self):
        process = self.start("tail", "a/", "--from", "start", "--timeout", "300ms")
        reader = klogtest.Reader(process.stdout)
        self.produce("a/x", 0)
        reader.line()
        self.daemon.kill()
        self.assertEqual(process.wait(klogtest.LIMIT_S), 69)
        self.assertIn(b"unreachable", process.stderr.read())


if __name__ == "__main__":
    klogtest.main()
