#!/usr/bin/env python3
"""Peers that are slow, or stop: each time-out of the daemon at its real length, all side by side.

Nothing here is sped up, so the whole takes as long as the longest of them. KLOG_TEST_SCALE other
than `run` adds the idle time-out, 75 s.
"""

import json
import os
import select
import threading
import time
import unittest

import hostile
from hostile import HOST

HEAD_SECONDS = 10
BODY_SECONDS = 30
ACKS_SECONDS = 30
ANSWER_SECONDS = 30
IDLE_SECONDS = 75
# How much later than its time a limit may show on a machine that does other things too.
SLACK_SECONDS = 25
STREAM = (b"POST /v1/records?topic=slow/stream HTTP/1.1\r\n" + HOST +
          b"Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
SINGLE = (b"POST /v1/records?topic=slow/single HTTP/1.1\r\n" + HOST +
          b"Content-Type: application/json\r\n")


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


class SlowTest(hostile.Case):
    """Each `peer_` method is one peer on a thread of its own; a failure in it fails the test."""

    def setUp(self):
        super().setUp()
        for n in range(200):
            self.daemon.produce("big/record", json.dumps("x" * 100_000))

    def ends(self, connection, seconds):
        """What comes until the daemon closes, which is `seconds` from now and not before."""
        begin = time.monotonic()
        answer = hostile.read_to_end(connection, seconds + SLACK_SECONDS)
        self.assertGreaterEqual(time.monotonic() - begin, seconds - 1, answer[:300])
        return answer

    def assert_408(self, answer, says):
        head, _, body = answer.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 408 "), answer[:300])
        self.assertEqual(json.loads(body)["code"], "timeout")
        self.assertIn(says, json.loads(body)["detail"])

    def peer_that_stops_within_its_head(self):
        connection = self.open()
        connection.sendall(b"GET /v1/head HTTP/1.1\r\nHost: lo")
        self.assert_408(self.ends(connection, HEAD_SECONDS), "head")

    def peer_that_dribbles_its_head(self):
        connection = self.open()
        begin = time.monotonic()
        connection.sendall(b"GET /v1/head HTTP/1.1\r\n")
        # Each byte in time does not make a head in time.
        while not select.select([connection], [], [], 0.5)[0]:
            hostile.send(connection, b"X")
            self.assertLess(time.monotonic() - begin, HEAD_SECONDS + SLACK_SECONDS)
        self.assertGreaterEqual(time.monotonic() - begin, HEAD_SECONDS - 1)
        self.assert_408(hostile.read_to_end(connection), "head")

    def peer_that_stops_within_its_body(self):
        connection = self.open()
        connection.sendall(SINGLE + b"Content-Length: 10\r\n\r\n1")
        self.assert_408(self.ends(connection, BODY_SECONDS), "body")

    def peer_that_stops_within_a_chunk(self):
        connection = self.open()
        connection.sendall(SINGLE + b"Transfer-Encoding: chunked\r\n\r\n10\r\n1")
        self.assert_408(self.ends(connection, BODY_SECONDS), "body")

    def peer_that_stops_within_a_stream(self):
        connection = self.open()
        connection.sendall(STREAM + chunk(b"1\n2\n") + b"5\r\n{\"hal")
        answer = self.ends(connection, BODY_SECONDS)
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer[:300])
        lines = [json.loads(line) for line in answer.splitlines() if line.startswith(b"{")]
        self.assertEqual([line["status"] for line in lines], [201, 201, 408])
        self.assertEqual((lines[2]["line"], lines[2]["code"]), (3, "timeout"))

    def peer_whose_body_trickles(self):
        """Slow, but it moves: no limit ends it, and the record is written in the end."""
        connection = self.open()
        connection.sendall(SINGLE + b"Content-Length: 4\r\n\r\n")
        for _ in range(4):
            self.assertFalse(select.select([connection], [], [], BODY_SECONDS / 3)[0])
            connection.sendall(b"1")
        self.assertEqual(hostile.read_answer(connection)[0], 201)

    def peer_that_does_not_read_its_acks(self):
        connection = self.open()
        connection.sendall(STREAM)
        connection.setblocking(False)
        piece = chunk(b"1\n" * 4096)
        sent = 0
        rest = b""
        # Until the daemon takes no more. Its acks of what it took fill all there is room for.
        while select.select([], [connection], [], 5)[1]:
            rest = rest or piece
            try:
                done = connection.send(rest)
            except BlockingIOError:
                continue
            rest = rest[done:]
            sent += done
            self.assertLess(sent, 64 << 20, "the daemon goes on reading")
        connection.setblocking(True)
        connection.settimeout(hostile.LIMIT_SECONDS)
        # Nothing is read until the limit has passed; the daemon then closes its side behind the
        # acks, which only shows to who reads them.
        select.select([], [], [], ACKS_SECONDS)
        answer = hostile.read_to_end(connection, SLACK_SECONDS)
        last = [line for line in answer.splitlines() if line.startswith(b"{")][-1]
        problem = json.loads(last)
        self.assertEqual((problem["status"], problem["code"]), (408, "timeout"), problem)
        self.assertIn("acks=summary", problem["hint"])

    def peer_that_does_not_read_its_answer(self):
        connection = self.open()
        connection.sendall(b"GET /v1/records HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertTrue(select.select([connection], [], [], hostile.LIMIT_SECONDS)[0])
        select.select([], [], [], ANSWER_SECONDS + 5)
        answer = hostile.read_to_end(connection, SLACK_SECONDS)
        self.assertLess(len(answer), 200 * 100_000, "it was cut off")
        self.assertFalse(answer.endswith(b"0\r\n\r\n"), "and must not look whole")

    def peer_that_says_nothing(self):
        if os.environ.get("KLOG_TEST_SCALE", "run") == "run":
            return
        self.assertEqual(self.ends(self.open(), IDLE_SECONDS), b"")

    def peer_that_falls_silent(self):
        if os.environ.get("KLOG_TEST_SCALE", "run") == "run":
            return
        connection = self.open()
        connection.sendall(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual(hostile.read_answer(connection)[0], 200)
        self.assertEqual(self.ends(connection, IDLE_SECONDS), b"")

    def test_all_of_them_side_by_side(self):
        failures = {}

        def run(name):
            try:
                getattr(self, name)()
            except Exception as failure:  # noqa: BLE001: told below, whatever it is
                failures[name] = repr(failure)

        peers = [name for name in dir(self) if name.startswith("peer_")]
        threads = [threading.Thread(target=run, args=(name,)) for name in peers]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        # Meanwhile nobody else waits.
        written = 0
        slowest = 0.0
        while any(thread.is_alive() for thread in threads):
            before = time.monotonic()
            self.daemon.produce("fast/one")
            written += 1
            slowest = max(slowest, time.monotonic() - before)
            threads[0].join(0.5)
            select.select([], [], [], 0.2)
        for thread in threads:
            thread.join()
        self.assertEqual(failures, {})
        self.assertGreater(written, 20)
        self.assertLess(slowest, 10)
        self.assertLess(time.monotonic() - begin, IDLE_SECONDS + 2 * SLACK_SECONDS)
        self.assert_alive()


if __name__ == "__main__":
    unittest.main()
