#!/usr/bin/env python3
"""What people see: tail and produce on a terminal, and the same in a pipe."""

import json
import os
import pty
import select
import socket
import subprocess
import termios
import threading
import unittest

import klogtest

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z"


class Screen:
    """A terminal, and all that was written to it. Programs get `slave` for what they print on it,
    or read from it."""

    def __init__(self, test):
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (60, 200))
        test.addCleanup(self.close)
        self.shown = b""

    def close(self):
        os.close(self.master)
        os.close(self.slave)

    def type(self, text):
        os.write(self.master, text.encode())

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            self.shown += os.read(self.master, 65536)
        return self.shown

    def wait_for(self, text):
        klogtest.wait_until(lambda: text in self.read(), f"{text} on the screen")

    def end(self, process, code=0):
        """Waits for the end of a program, which may have to wait for its screen to be read."""
        klogtest.wait_until(lambda: self.read() is not None and process.poll() is not None,
                            "the end of the program")
        assert process.returncode == code, (process.returncode, self.read())
        return self.read().decode()


class Terminal(klogtest.Case):
    def setUp(self):
        super().setUp()
        self.screen = Screen(self)

    def on(self, *args, stdin=subprocess.DEVNULL, stdout=None, stderr=None, **environment):
        """Starts klog; what is not said otherwise of its output is the terminal."""
        slave = self.screen.slave
        process = subprocess.Popen(
            [klogtest.KLOG, *args], stdin=stdin, stdout=slave if stdout is None else stdout,
            stderr=slave if stderr is None else stderr, cwd=self.directory,
            env={**self.environment(), **environment})
        self.addCleanup(klogtest.end, process)
        return process

    def seen(self, *args, **environment):
        """All that such a call shows on a terminal of its own."""
        self.screen = Screen(self)
        return self.screen.end(self.on(*args, **environment))

    def answer(self, status, body):
        """A daemon that has five records and answers to /v1/count so."""
        path = os.path.join(self.directory, "fake.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        listener.settimeout(klogtest.LIMIT_S)

        def run():
            counted = False
            while True:
                connection, _ = listener.accept()
                with connection:
                    target = connection.recv(65536).split(b" ")[1]
                    said = (200, b'{"seq":5}\n')
                    if target.startswith(b"/v1/count"):
                        counted, said = True, (status, body)
                    elif target.startswith(b"/v1/records"):
                        said = (400, b'{"code":"bad_option","detail":"enough"}')
                    connection.sendall(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\n"
                                       b"Content-Length: %d\r\n\r\n" % (said[0], len(said[1]))
                                       + said[1])
                    if target.startswith(b"/v1/records"):
                        assert counted
                        break
            listener.close()

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        self.url = "unix://" + path


class Tail(Terminal):
    def setUp(self):
        super().setUp()
        self.produce("orders/1/created", {"a": 1}, "-k", "1")
        self.produce("orders/1/paid", {"a": 2}, "-k", "1")
        self.produce("orders/2/created", {"a": 3}, "-k", "2")
        self.produce("notes/x", 4)
        self.head = self.klog("head").stdout.decode().strip()

    def test_pretty_on_a_terminal(self):
        shown = self.seen("tail", "--from", "start", "--limit", "4").split("\r\n")
        self.assertRegex(shown[0], "^\x1b\\[2m" + TIME + "\x1b\\[0m  \x1b\\[36morders/1/created"
                         "\x1b\\[0m  \x1b\\[33m1@1\x1b\\[0m  \\{\"a\": 1\\}$")
        self.assertRegex(shown[3], "^\x1b\\[2m" + TIME + "\x1b\\[0m  \x1b\\[36mnotes/x\x1b\\[0m  4$")
        self.assertEqual(shown[4:], [""])

    def test_without_colour(self):
        for args, environment in ([], {"NO_COLOR": "1"}), (["--color", "never"], {}):
            shown = self.seen("tail", "--from", "start", "--limit", "2", *args, **environment)
            lines = shown.split("\r\n")
            self.assertNotIn("\x1b", shown)
            self.assertRegex(lines[1], "^" + TIME + '  orders/1/paid  1@2  \\{"a": 2\\}$')

    def test_ndjson_in_a_pipe(self):
        process = self.on("tail", "--from", "start", "--limit", "4", stdout=subprocess.PIPE)
        out, _ = process.communicate(timeout=klogtest.LIMIT_S)
        self.assertEqual([json.loads(line)["topic"] for line in out.splitlines()],
                         ["orders/1/created", "orders/1/paid", "orders/2/created", "notes/x"])
        self.assertEqual(self.screen.read(), b"")

    def test_how_many_earlier_records_match(self):
        # A tail that starts at the end and ends there as well.
        for args, says in (
                ([], "4 earlier records match (--from start shows them)"),
                (["orders/"], "3 earlier records match (--from start shows them)"),
                (["orders/", "notes/"], "4 earlier records match (--from start shows them)"),
                (["orders/", "--not", "orders/+/created"],
                 "1 earlier record matches (--from start shows it)"),
                (["--key", "1"], "2 earlier records match (--from start shows them)"),
                (["orders/", "--from", "end", "--key", "2"],
                 "1 earlier record matches (--from start shows it)")):
            shown = self.seen("tail", "--until", self.head, *args)
            self.assertEqual(shown, f"klog: {says}\r\n", args)

    def test_where_nothing_is_said(self):
        for args in (["nothing/"], ["orders/", "--key", "3"], ["--not", ">"], ["-q"],
                     ["--after", self.head], ["-n", "0"], ["--no-follow", "--after", self.head]):
            self.assertEqual(self.seen("tail", "--until", self.head, *args), "", args)
        process = self.on("tail", "--until", self.head, stdout=subprocess.PIPE)
        process.communicate(timeout=klogtest.LIMIT_S)
        self.assertEqual(self.screen.read(), b"", "in a pipe")

    def test_a_daemon_that_does_not_count(self):
        for status, body in (404, b'{"code":"not_found"}'), (200, b"{}"):
            self.answer(status, body)
            screen = self.screen = Screen(self)
            shown = screen.end(self.on("tail"), 2).split("\r\n")
            self.assertEqual(shown[0],
                             "klog: waiting for new records (--from start shows earlier records)")
            os.unlink(self.url.removeprefix("unix://"))


class Produce(Terminal):
    def test_progress_and_summary(self):
        """The line of progress takes itself back, and the summary stands in its place."""
        process = self.on("produce", "n/x", stdin=subprocess.PIPE)
        process.stdin.write(b"1\n2\n")
        process.stdin.flush()
        self.screen.wait_for(b"\r\x1b[K2 records, ")
        process.stdin.write(b"3\n")
        process.stdin.close()
        shown = self.screen.end(process)
        self.assertRegex(shown, r"^\r\x1b\[K0 records, 0/s")
        self.assertRegex(shown, r"\d/s\r\x1b\[Kklog: 3 records, seq \d+ to \d+, [\d,]+/s\r\n$")

    def test_quiet(self):
        process = self.on("produce", "n/x", "-q", stdin=subprocess.PIPE)
        process.stdin.write(b"1\n")
        process.stdin.close()
        self.assertEqual(self.screen.end(process), "")

    def test_what_is_typed_stays_as_it_is(self):
        process = self.on("produce", "n/x", stdin=self.screen.slave)
        self.screen.wait_for(b"klog: one record a line; Ctrl-D ends\r\n")
        for n, line in enumerate(("1", '"two"', "3")):
            self.screen.type(line + "\n")
            klogtest.wait_until(lambda n=n: self.klog("count", "n/x").stdout == b"%d\n" % (n + 1),
                                "the line in the log")
        self.screen.type("[4,5]\n\x04")
        self.assertRegex(
            self.screen.end(process),
            r'^klog: one record a line; Ctrl-D ends\r\n1\r\n"two"\r\n3\r\n\[4,5\]\r\n'
            r"(\^D\x08\x08)?klog: 4 records, seq \d+ to \d+, [\d,]+/s\r\n$")


if __name__ == "__main__":
    klogtest.main()
