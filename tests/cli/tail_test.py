#!/usr/bin/env python3
"""tail: filters, where it starts and ends, cursors, lost connections."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
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


    def test_starts_behind_the_end(self):
        for first, last in (("3", "2"), ("2026-11-24T00:00:01Z", "2026-11-24T00:00:00Z"),
                            ("1m", "1h"), ("1m", "2026-01-01T00:00:00Z"),
                            ("9999-01-01T00:00:00Z", "1h")):
            for more in (["--no-follow"], ["-f"], ["--no-follow", "--cursor-file", "new"]):
                text = self.problem("tail", "--from", first, "--until", last, *more, code=2,
                                    says="bad_option: ")
                self.assertIn("lies after", text)
                self.assertIn("hint: ", text)
        self.assertEqual(self.values("--from", "2", "--until", "2"), [10])
        time = self.lines("tail", "--no-follow")[2]["time"]
        self.assertIn(2, self.values("--from", time, "--until", time))
        self.assertEqual(self.values("--from", "1h", "--until", "1h"), [])
        self.assertEqual(self.values("--after", "3", "--until", "2"), [], "seen already")

    def test_the_last_ones_up_to_somewhere(self):
        self.assertEqual(self.values("-n", "2", "--until", "4", "--no-follow"), [2, 20])
        self.assertEqual(self.values("orders/+/paid", "-n", "1", "--until", "3"), [10])
        time = self.lines("tail", "--no-follow")[4]["time"]
        self.assertEqual(self.values("orders/*/created", "-n", "1", "--until", time), [3])

    def test_a_cursor_ahead_of_the_head(self):
        head = int(self.klog("head").stdout)
        done = self.klog("tail", "--after", str(head + 2), "--no-follow")
        self.assertEqual((done.stdout, done.stderr.decode()),
                         (b"", f"klog: the cursor {head + 2} lies ahead of the head, which is {head}; "
                               "there is nothing to show\n"))
        process = self.start("tail", "--after", str(head + 2), "-o", "value", "--limit", "1")
        told = klogtest.Reader(process.stderr).line()
        self.assertTrue(told.endswith(b"; waiting"), told)
        for n in range(100, 104):
            self.produce("notes/x", n)
        self.assertEqual(klogtest.Reader(process.stdout).line(), b"102")
        self.assertEqual(process.wait(klogtest.LIMIT_S), 0)


class Forms(klogtest.Case):
    """Frames, and the lines of a daemon that knows no frames."""

    def test_values_of_every_kind(self):
        self.produce("a/x", {"n": 1}, "-k", "k", "-H", "h=v", "--id", "i")
        self.klog("produce", "a/x", "--raw", "-", input=b"\x00\xff")
        self.klog("produce", "a/x", "--raw", "-", input=b"")
        self.klog("produce", "a/x", "-k", "k", "--tombstone")
        self.produce("a/\u00e9", 'x"')
        _, body = klogtest.http_get(self.daemon, "/v1/records").split(b"\r\n\r\n", 1)
        lines = self.klog("tail", "--no-follow").stdout
        self.assertEqual(len(lines.splitlines()), 5)
        for line in lines.splitlines():
            self.assertIn(line + b"\n", body)
        self.assertEqual(json.loads(self.klog("tail", "--no-follow", "-o", "json").stdout),
                         [json.loads(line) for line in lines.splitlines()])
        self.assertEqual(self.klog("tail", "--no-follow", "-o", "value").stdout,
                         b'{"n": 1}\n\x00\xff\n\n"x\\""\n')

    def serve(self, kind, *bodies):
        """A daemon that answers reads so, one connection each, and then is gone."""
        path = os.path.join(self.directory, "fake.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        listener.settimeout(klogtest.LIMIT_S)
        asked = []

        def run():
            for status, body in bodies:
                connection, _ = listener.accept()
                with connection:
                    asked.append(connection.recv(65536).decode())
                    connection.sendall(b"HTTP/1.1 %d X\r\nContent-Type: %s\r\nKlog-Read-To: 2\r\n"
                                       b"Content-Length: %d\r\n\r\n" % (status, kind, len(body)) + body)
            listener.close()

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        self.url = "unix://" + path
        return asked

    def test_a_daemon_that_knows_no_frames(self):
        lines = b'{"seq":1,"topic":"a","value":1}\n{"seq":2,"topic":"a","value":2}\n'
        asked = self.serve(b"application/x-ndjson", (200, lines + b'{"mark":{"seq":2}}\n'))
        self.assertEqual(self.klog("tail", "--no-follow", "-q").stdout, lines)
        self.assertIn("Accept: application/vnd.klog.batch\r\n", asked[0])

    def test_an_answer_that_breaks_off_is_an_error_and_no_record(self):
        line = b'{"seq":1,"topic":"a","value":1}\n'
        error = b'{"error":{"status":500,"code":"corrupt","detail":"a block is bad"}}\n'
        self.serve(b"application/x-ndjson", (200, line + error))
        done = self.klog("tail", "--no-follow", "-q", code=74)
        self.assertEqual((done.stdout, done.stderr),
                         (line, b"klog: corrupt: a block is bad\nhint: klog verify says what is "
                                b"damaged; reads before and behind it go on\n"))

    def test_frames_that_are_damaged(self):
        self.serve(b"application/vnd.klog.batch", (200, b"KBAX" + bytes(60)))
        self.problem("tail", "--no-follow", "-q", code=74, says="corrupt: ")

    def test_damage_in_the_log(self):
        """What is sound comes first; then what is wrong, and 74."""
        self.daemon.stop()
        self.daemon = klogtest.Daemon(self.directory, ephemeral=False)
        self.addCleanup(self.daemon.stop)
        self.url = self.daemon.url
        value = json.dumps("x" * 100_000)
        self.klog("produce", "a/x", "-q", input="\n".join([value] * 70) + "\n")  # less than is sealed
        folder = os.path.join(self.daemon.data_dir, "wal")
        at = 2_400_000  # behind what the first step reads, before what memory holds
        for name in sorted(name for name in os.listdir(folder) if name.endswith(".wal")):
            path = os.path.join(folder, name)
            if at < os.path.getsize(path):
                break
            at -= os.path.getsize(path)
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(b"!")
        done = self.klog("tail", "--no-follow", "-q", code=74)
        self.assertIn(b"klog: corrupt: ", done.stderr)
        self.assertIn(os.path.basename(path).encode(), done.stderr)
        shown = [json.loads(line)["seq"] for line in done.stdout.splitlines()]
        self.assertEqual(shown, list(range(1, len(shown) + 1)))
        self.assertGreater(len(shown), 2)


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
        klogtest.wait_until(lambda: self.cursor() == seq, "the cursor to move")
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
        process = self.start("tail", "a/", "--from", "start", "--timeout", "3s")
        reader = klogtest.Reader(process.stdout)
        self.produce("a/x", 0)
        reader.line()
        self.daemon.kill()
        self.assertEqual(process.wait(klogtest.LIMIT_S), 69)
        self.assertIn(b"unreachable", process.stderr.read())


class AnotherLog(klogtest.Case):
    def test_a_log_that_ends_before_the_cursor_is_told(self):
        for n in range(5):
            self.produce("a/x", n)
        process = self.start("tail", "a/", "--from", "start", "-o", "value")
        shown, told = klogtest.Reader(process.stdout), klogtest.Reader(process.stderr)
        self.assertEqual([shown.line() for _ in range(5)], [b"%d" % n for n in range(5)])
        cursor = int(self.klog("head").stdout)
        self.daemon.kill()
        self.daemon.start()  # which begins with an empty log
        line = told.line().decode()
        found = re.fullmatch(r"klog: the cursor (\d+) lies ahead of the head, which is (\d+); waiting",
                             line)
        self.assertTrue(found, line)
        self.assertEqual((int(found[1]), int(found[2])), (cursor, int(self.klog("head").stdout)))
        last = 0
        for n in range(10, 20):
            last = self.produce("a/x", n)["seq"]
            if last > cursor:
                break
        self.assertGreater(last, cursor)
        self.assertEqual(shown.line(), b"%d" % n)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(klogtest.LIMIT_S), 143)
        self.assertEqual((told.rest, process.stderr.read()), (b"", b""))


if __name__ == "__main__":
    klogtest.main()
