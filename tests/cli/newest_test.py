#!/usr/bin/env python3
"""The newest record of each key: tail --newest-per-key, and over HTTP in its forms; versions of a
key from either end."""

import json
import os
import random
import signal
import socket
import threading
import unittest

import klogtest


def body_of(answer):
    head, body = answer.split(b"\r\n\r\n", 1)
    if b"transfer-encoding: chunked" not in head.lower():
        return body
    whole = b""
    while True:
        size, body = body.split(b"\r\n", 1)
        length = int(size, 16)
        if length == 0:
            return whole
        whole += body[:length]
        body = body[length + 2:]


class Stream:
    """An answer that is read while it comes."""

    def __init__(self, daemon, target, accept):
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(klogtest.LIMIT_S)
        self.connection.connect(daemon.socket)
        self.connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n"
                                "\r\n".encode())
        self.text = b""

    def until(self, wanted):
        while wanted not in self.text:
            some = self.connection.recv(65536)
            if not some:
                raise AssertionError(f"the answer ended: {self.text}")
            self.text += some
        return self.text

    def close(self):
        self.connection.close()


class Newest(klogtest.Case):
    def setUp(self):
        super().setUp()
        self.produce("orders/1/created", 1, "-k", "1")
        self.produce("orders/2/created", 2, "-k", "2")
        self.produce("users/1", 3, "-k", "1")
        self.produce("notes", 4)
        self.produce("orders/1/paid", 5, "-k", "1")
        self.klog("produce", "orders/2/removed", "--tombstone", "-k", "2")

    def seqs(self, *args, **more):
        records = self.lines("tail", "--newest-per-key", *args, **more)
        first = self.lines("tail", "--no-follow", "--limit", "1")[0]["seq"]
        return [record["seq"] - first + 1 for record in records]

    def test_what_is_shown(self):
        self.assertEqual(self.seqs("--no-follow"), [3, 4, 5, 6])
        self.assertEqual(self.seqs("--no-follow", "orders/*/created"), [1, 2])
        self.assertEqual(self.seqs("--no-follow", "orders/", "--not", "orders/+/paid"), [1, 6])
        self.assertEqual(self.seqs("--no-follow", "--key", "1"), [3, 5])
        self.assertEqual(self.seqs("--no-follow", "--limit", "2"), [3, 4])
        self.assertEqual(self.seqs("--no-follow", "-n", "2"), [5, 6])
        self.assertEqual(self.seqs("--no-follow", "-n", "9"), [3, 4, 5, 6])
        self.assertEqual(self.seqs("--no-follow", "-n", "0"), [])
        self.assertEqual(self.seqs("--no-follow", "--from", "end"), [])
        self.assertEqual(self.seqs("--no-follow", "no/such"), [])
        self.assertEqual(self.seqs("--limit", "4"), [3, 4, 5, 6])  # from the start although it follows
        first = self.lines("tail", "--no-follow", "--limit", "1")[0]["seq"]
        self.assertEqual(self.seqs("--no-follow", "--until", str(first + 2)), [1, 2, 3])
        self.assertEqual(self.seqs("--no-follow", "--after", str(first + 3)), [5, 6])
        self.assertEqual(self.seqs("--until", str(first + 4)), [2, 3, 4, 5])
        kinds = [r.get("kind") for r in self.lines("tail", "--newest-per-key", "--no-follow")]
        self.assertEqual(kinds, [None, None, None, "tombstone"])
        self.problem("tail", "--newest-per-key=yes", code=2, says="usage: ")
        self.problem("tail", "--newest-per-key", "--from", "start", "-n", "1", code=2, says="usage: ")

    def test_first_the_newest_then_what_follows(self):
        process = self.start("tail", "orders/", "--newest-per-key", "-o", "value")
        reader = klogtest.Reader(process.stdout)
        self.assertEqual(reader.line(), b"5")
        for n in range(7, 10):
            self.produce("orders/1/paid", n, "-k", "1")
        self.assertEqual([reader.line() for _ in range(3)], [b"7", b"8", b"9"])
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(klogtest.LIMIT_S), 130)

    def test_a_cursor_file_shows_the_keys_that_changed_since(self):
        path = os.path.join(self.directory, "cursor")
        args = ("--no-follow", "--cursor-file", path)
        self.assertEqual(self.seqs(*args), [3, 4, 5, 6])
        self.assertEqual(self.seqs(*args), [])
        self.produce("orders/1/paid", 7, "-k", "1")
        self.produce("orders/1/paid", 8, "-k", "1")
        self.assertEqual(self.seqs(*args), [8])

    def test_over_http(self):
        target = "/v1/records?newest_per_key=true"
        answer = klogtest.http_get(self.daemon, target + "&marks=true&filter=orders/>")
        lines = [json.loads(line) for line in body_of(answer).splitlines()]
        head = int(self.klog("head").stdout)
        self.assertEqual([line["seq"] for line in lines[:-1]], [head - 1, head])
        self.assertEqual(lines[-1], {"mark": {"seq": head, "head": True}})
        self.assertIn(b"Klog-Read-To: %d\r\n" % head, answer)
        for wrong in ("newest_per_key=1", "newest_per_key=true&last=1&after=1"):
            answer = klogtest.http_get(self.daemon, "/v1/records?" + wrong)
            self.assertIn(b'"code":"bad_option"', answer)

    def test_events_and_frames(self):
        head = int(self.klog("head").stdout)
        for accept in ("text/event-stream", "application/vnd.klog.batch"):
            target = "/v1/records?newest_per_key=true&filter=orders/>&follow=true"
            stream = Stream(self.daemon, target, accept)
            self.addCleanup(stream.close)
            text = stream.until(b"orders/2/removed")
            self.assertIn(b"orders/1/paid", text)
            self.assertNotIn(b"orders/1/created", text)
            if accept.startswith("text"):
                self.assertIn(b"id: %d\ndata: " % head, text)
            self.produce("orders/3/next", 1, "-k", "3")
            self.produce("orders/3/last", 2, "-k", "3")
            self.assertIn(b"orders/3/next", stream.until(b"orders/3/last"))
            self.klog("produce", "orders/3/removed", "--tombstone", "-k", "3")
            self.klog("produce", "orders/2/removed", "--tombstone", "-k", "2")
            head += 4


class Reconnects(klogtest.Case):
    daemon_wanted = False

    def serve(self, *bodies):
        """A daemon that answers reads so, one connection each, and then is gone."""
        path = os.path.join(self.directory, "fake.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        listener.settimeout(klogtest.LIMIT_S)
        asked = []

        def run():
            for body in bodies:
                connection, _ = listener.accept()
                with connection:
                    asked.append(connection.recv(65536).decode().split("\r\n")[0])
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
                                       b"Klog-Read-To: 9\r\nContent-Length: %d\r\n\r\n" % len(body)
                                       + body)
            listener.close()

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        self.url = "unix://" + path
        return asked

    def test_what_was_shown_does_not_come_again(self):
        asked = self.serve(b'{"seq":4,"topic":"a","value":4}\n',
                           b'{"seq":7,"topic":"a","value":7}\n{"mark":{"seq":9}}\n',
                           b'{"seq":10,"topic":"a","value":10}\n',
                           b'{"seq":11,"topic":"a","value":11}\n')
        shown = self.klog("tail", "--newest-per-key", "-q", "--limit", "4", "-o", "value").stdout
        self.assertEqual(shown, b"4\n7\n10\n11\n")
        first, again, follows, on = asked
        self.assertIn("after=0&", first)
        self.assertIn("newest_per_key=true", first)
        self.assertNotIn("follow=true", first)
        self.assertIn("after=4&until=9&", again)  # the end stays where it was
        self.assertIn("newest_per_key=true", again)
        for asks, after in ((follows, 9), (on, 10)):
            self.assertIn(f"after={after}&", asks)
            self.assertIn("follow=true", asks)
            self.assertNotIn("newest_per_key", asks)
            self.assertNotIn("until", asks)


class Kills(klogtest.Case):
    ephemeral = False

    def test_a_daemon_that_dies_costs_nothing_and_shows_nothing_twice(self):
        chance = random.Random(4)
        lines = [json.dumps({"topic": f"a/{i % 3}", "key": str(chance.randrange(3000)), "value": i})
                 for i in range(20_000)]
        self.klog("produce", "--envelope", "-q", input="\n".join(lines) + "\n")
        process = self.start("tail", "--newest-per-key", "-o", "value")
        reader = klogtest.Reader(process.stdout)
        shown = [int(reader.line())]
        self.daemon.kill()
        self.daemon.start()
        self.produce("a/end", 20_000, "-k", "0")
        while shown[-1] != 20_000:
            shown.append(int(reader.line()))
        newest = {}
        for i, line in enumerate(lines):
            newest[json.loads(line)["key"]] = i
        self.assertEqual(shown[:-1], sorted(newest.values()))


class Versions(klogtest.Case):
    def setUp(self):
        super().setUp()
        values = "\n".join(str(n) for n in range(1, 301))
        self.klog("produce", "orders/1", "-k", "1", "-q", input=values + "\n")

    def versions(self, *args):
        return [record["version"] for record in self.lines("history", "orders", "1", *args)]

    def test_ranges_from_either_end(self):
        self.assertEqual(self.versions("-n", "3"), [298, 299, 300])
        self.assertEqual(self.versions("--to-version", "3"), [1, 2, 3])
        self.assertEqual(self.versions("--from-version", "299"), [299, 300])
        self.assertEqual(self.versions("--from-version", "150", "--to-version", "151"), [150, 151])
        self.assertEqual(self.versions("--to-version", "150", "--last", "2"), [149, 150])
        self.assertEqual(self.versions("--from-version", "299", "--last", "5"), [299, 300])
        self.assertEqual(self.versions("--from-version", "300", "--to-version", "900"), [300])
        self.assertEqual(self.versions("--from-version", "301"), [])
        self.assertEqual(self.versions("-n", "0"), [])
        self.assertEqual(len(self.versions("-n", "9999")), 300)
        document = self.klog("history", "orders", "1", "-n", "2", "-o", "value").stdout
        self.assertEqual(document, b"299\n300\n")
        got = self.lines("get", "orders", "1", "--version", "150")[0]
        self.assertEqual((got["version"], got["value"]), (150, 150))

    def test_wrong_ranges(self):
        text = self.problem("history", "orders", "1", "--from-version", "3", "--to-version", "2",
                            code=2, says="bad_option: ")
        self.assertIn("hint: --from-version 2 --to-version 3", text)
        self.problem("history", "orders", "1", "--from-version", "0", code=2, says="bad_option: ")
        self.problem("history", "orders", "1", "-n", "x", code=2, says="bad_option: ")
        self.problem("history", "orders", "99", "-n", "1", code=1, says="not_found: ")
        answer = klogtest.http_get(self.daemon, "/v1/spaces/orders/keys/99/history?last=1")
        self.assertIn(b'"state":"absent"', answer)
        answer = klogtest.http_get(
            self.daemon, "/v1/spaces/orders/keys/1/history?from_version=3&to_version=2")
        self.assertIn(b" 400 ", answer)
        self.assertIn(b'"code":"bad_option"', answer)


if __name__ == "__main__":
    klogtest.main()
