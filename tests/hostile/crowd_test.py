#!/usr/bin/env python3
"""Too many at once: connections, memory (descriptors: followers_test.py). The daemon lives, and goes on when they left."""

import json
import os
import resource
import select
import signal
import threading
import unittest

import hostile
from hostile import HOST

LIVE = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
MIB = 1 << 20


def single(length):
    return (b"POST /v1/records?topic=crowd/large HTTP/1.1\r\n" + HOST +
            b"Content-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % length)


class CrowdTest(hostile.Case):
    def test_a_thousand_connections_at_once(self):
        before = hostile.resident_bytes(self.daemon.process.pid)
        crowd = [self.open() for _ in range(1000)]
        for n, connection in enumerate(crowd):
            connection.sendall(
                b"POST /v1/records?topic=crowd/%d HTTP/1.1\r\n" % n + HOST +
                b"Content-Type: application/json\r\nContent-Length: 1\r\n\r\n1")
        seqs = set()
        for connection in crowd:
            status, _, body = hostile.read_answer(connection)
            self.assertEqual(status, 201)
            seqs.add(json.loads(body)["seq"])
        self.assertEqual(seqs, set(range(1, 1001)))
        # All of them stay, and each is served again.
        for connection in crowd:
            connection.sendall(LIVE)
        for connection in crowd:
            self.assertEqual(hostile.read_answer(connection)[0], 200)
        if not hostile.SANITIZED:
            grown = hostile.resident_bytes(self.daemon.process.pid) - before
            self.assertLess(grown, 64 * MIB, "no more than 64 KiB each")

    def test_sixteen_thousand_connections_and_one_more(self):
        wanted = 16_000
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < wanted + 400:
            self.skipTest(f"the system allows {hard} descriptors")
        if os.environ.get("KLOG_TEST_SCALE", "run") == "run":
            self.skipTest("not in a plain run")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        crowd = [self.open() for _ in range(wanted)]
        crowd[-1].sendall(LIVE)
        self.assertEqual(hostile.read_answer(crowd[-1])[0], 200)
        one_more = self.open()
        answer = hostile.read_to_end(one_more)
        self.assertTrue(answer.startswith(b"HTTP/1.1 503 "), answer[:200])
        self.assertIn(b"\r\nRetry-After: 1\r\n", answer)
        self.assertEqual(json.loads(answer.partition(b"\r\n\r\n")[2])["code"], "backpressure")
        for connection in crowd[:100]:
            connection.close()
        hostile.wait_until(lambda: self.daemon.request("GET", "/livez")[0] == 200, "a place")

    def test_connections_that_say_half_a_head_cost_no_time(self):
        crowd = [self.open() for _ in range(300)]
        for connection in crowd:
            connection.sendall(b"GET /v1/head HTTP/1.1\r\nHost: ")
        self.assertEqual(self.daemon.request("GET", "/livez")[0], 200)
        before = hostile.processor_seconds(self.daemon.process.pid)
        select.select([], [], [], 2)
        used = hostile.processor_seconds(self.daemon.process.pid) - before
        self.assertLess(used, 0.3, "waiting costs nothing")


class MemoryTest(hostile.Case):
    """Many bodies at their limit at once: as many as fit are taken, the others told to come again."""

    daemon_options = ("--value-bytes-max", str(32 * MIB))
    BUDGET = 256 * MIB
    BODIES = 20

    def bodies_held(self):
        for line in self.daemon.request("GET", "/metrics")[2].decode().splitlines():
            if line.startswith("klog_http_bodies_bytes "):
                return int(line.split()[1])
        raise AssertionError("no such gauge")

    def test_bodies_that_do_not_fit_in_together(self):
        length = 30 * MIB
        piece = b"x" * MIB
        crowd = [self.open() for _ in range(self.BODIES)]
        for connection in crowd:
            connection.sendall(single(length))

        # Side by side, a piece of each, all but the last byte: none of them is over.
        refused = set()
        for sent in range(0, length, MIB):
            data = piece if sent + MIB < length else piece[:-1]
            for n, connection in enumerate(crowd):
                if n in refused:
                    continue
                if select.select([connection], [], [], 0)[0] or not hostile.send(connection, data):
                    refused.add(n)
        hostile.wait_until(lambda: self.bodies_held() >= length, "bodies have come")
        self.assertLessEqual(self.bodies_held(), self.BUDGET)
        if not hostile.SANITIZED:
            self.assertLess(hostile.resident_bytes(self.daemon.process.pid), 3 * self.BUDGET)
        # Small ones pass all the same.
        self.assertEqual(self.daemon.produce("crowd/small"), 1)
        answers = []

        def finish(connection):
            hostile.send(connection, b"x")
            answers.append(hostile.read_answer(connection))

        threads = [threading.Thread(target=finish, args=(connection,)) for connection in crowd]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(answers), self.BODIES)
        statuses = [status for status, _, _ in answers]
        self.assertEqual(sorted(set(statuses)), [201, 503], statuses)
        for status, head, body in answers:
            if status == 503:
                problem = json.loads(body)
                self.assertEqual(problem["code"], "backpressure")
                self.assertIn("try again", problem["hint"])
                self.assertIn(b"\r\nRetry-After: ", head)
        # The log's own queue has a limit too, so not all that found room as bodies are taken.
        taken = statuses.count(201)
        self.assertGreaterEqual(taken, 1)
        self.assertEqual(self.daemon.head(), 1 + taken, "what was refused is absent")
        hostile.wait_until(lambda: self.bodies_held() == 0, "all of it is given back")
        # And there is room again.
        connection = self.open()
        connection.sendall(single(length) + piece * 30)
        self.assertEqual(hostile.read_answer(connection)[0], 201)

    def test_bodies_whose_senders_left(self):
        for _ in range(3):
            crowd = [self.open() for _ in range(8)]
            for connection in crowd:
                connection.sendall(single(30 * MIB))
                hostile.send(connection, b"x" * (8 * MIB))
            for connection in crowd:
                connection.close()
        hostile.wait_until(lambda: self.bodies_held() == 0, "all of it is given back")
        self.assertEqual(self.daemon.head(), 0)


class LittleMemoryTest(hostile.Case):
    """The system itself has no more memory to give: requests fail, and the daemon lives, or ends as
    if it had been killed where the log's own bookkeeping got none. It never goes on with half a
    change, and never hangs."""

    LIMIT = 640 * MIB

    def setUp(self):
        if hostile.SANITIZED:
            self.skipTest("sanitizers take all the address space there is")
        self.place = hostile.Place()
        self.addCleanup(self.place.close)
        self.data = self.place.path("data")
        self.daemon = hostile.limited_daemon(
            self.place, resource.RLIMIT_AS, self.LIMIT, "--data-dir", self.data,
            "--value-bytes-max", str(64 * MIB))

    def upload(self, connection, length, statuses):
        hostile.send(connection, single(length))
        for _ in range(length // MIB):
            if not hostile.send(connection, b"x" * MIB):
                break
        try:
            statuses.append(hostile.read_answer(connection)[0])
        except (AssertionError, ConnectionResetError):
            statuses.append(0)  # there was no memory even for an answer

    def test_large_bodies_until_it_has_no_more(self):
        statuses = []
        threads = [threading.Thread(target=self.upload, args=(self.open(), 60 * MIB, statuses))
                   for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertLessEqual(set(statuses), {0, 201, 503}, statuses)
        self.assertNotEqual(statuses.count(201), len(statuses), "the limit was never reached")
        if self.daemon.process.poll() is None:
            self.assert_alive()
            self.daemon.produce("crowd/after")
            self.assertEqual(self.daemon.stop(), 0)
            statuses.append(201)
        else:
            self.assertEqual(self.daemon.process.returncode, -signal.SIGABRT, self.daemon.log())
        again = self.place.daemon("--data-dir", self.data)
        # What was never answered may be there or not.
        self.assertGreaterEqual(again.head(), statuses.count(201))
        self.assertLessEqual(again.head(), statuses.count(201) + statuses.count(0))


if __name__ == "__main__":
    unittest.main()
