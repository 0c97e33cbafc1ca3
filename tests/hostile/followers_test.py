#!/usr/bin/env python3
"""Many followers at once: each gets its own records once and in order, and what they cost is bounded."""

import json
import os
import resource
import select
import time
import unittest

import hostile
from hostile import HOST

KIB, MIB = 1 << 10, 1 << 20


def follow(query):
    return b"GET /v1/records?" + query.encode() + b"&follow=true&marks=true HTTP/1.1\r\n" + HOST + b"\r\n"


def envelopes(records):
    """One request: (topic, key, value) each."""
    lines = b"".join(json.dumps({"topic": topic, "key": key, "value": value}).encode() + b"\n"
                     for topic, key, value in records)
    return (b"POST /v1/records?envelope=true&acks=summary HTTP/1.1\r\n" + HOST +
            b"Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n" % len(lines) + lines)


class Peer:
    """A follower: what came on its connection, line by line."""

    def __init__(self, connection):
        self.connection = connection
        self.got = b""
        self.records = []
        self.caught_up = False
        self.ended = False

    def take(self):
        try:
            part = self.connection.recv(MIB)
        except ConnectionResetError:
            part = b""
        self.ended = not part
        self.got += part
        *lines, self.got = self.got.split(b"\n")
        for line in lines:
            if line.startswith(b'{"mark"'):
                self.caught_up = True
            elif line.startswith(b"{"):
                self.records.append(json.loads(line))


class Crowd:
    def __init__(self, case, queries, where=None):
        self.peers = []
        self.waiting = select.epoll()
        case.addCleanup(self.waiting.close)
        self.by_descriptor = {}
        for query in queries:
            connection = case.open(where)
            connection.sendall(follow(query))
            peer = Peer(connection)
            self.peers.append(peer)
            self.by_descriptor[connection.fileno()] = peer
            self.waiting.register(connection, select.EPOLLIN)
        self.read_until(lambda: all(peer.caught_up for peer in self.peers), "all have caught up")

    def read_until(self, condition, what, seconds=hostile.LIMIT_SECONDS):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {what}")
            for descriptor, _ in self.waiting.poll(0.2):
                peer = self.by_descriptor[descriptor]
                peer.take()
                if peer.ended:
                    self.waiting.unregister(descriptor)

    def close(self):
        for peer in self.peers:
            peer.connection.close()


class FollowersTest(hostile.Case):
    def metric(self, name):
        for line in self.daemon.request("GET", "/metrics")[2].decode().splitlines():
            if line.startswith(name + " "):
                return int(line.split()[1])
        raise AssertionError(f"no metric {name}")

    def memory(self):
        return hostile.resident_bytes(self.daemon.process.pid)

    def write(self, records, connection=None):
        connection = connection or self.open()
        for at in range(0, len(records), 500):
            connection.sendall(envelopes(records[at:at + 500]))
            status, _, body = hostile.read_answer(connection)
            self.assertEqual(status, 200, body)
            self.assertEqual(json.loads(body).get("errors", []), [], body)

    def test_a_thousand_followers_each_get_their_own_once_and_in_order(self):
        count, rounds = 1000, 5
        # Each kind of follower, half of them over TCP: records of f/N/x with the key kN are N's.
        kinds = ("filter=f/>&key=k{}", "filter=f/{}/>", "key=k{}", "filter=*/{}/x*&filter=f/{}/x")
        queries = [kinds[n % len(kinds)].format(n, n).replace(">", "%3E") for n in range(count)]
        self.write([(f"f/{n}/x", f"k{n}", -1) for n in range(count)])
        before = self.memory()
        crowds = [Crowd(self, queries[:count // 2]), Crowd(self, queries[count // 2:], self.tcp)]
        peers = crowds[0].peers + crowds[1].peers
        idle = (self.memory() - before) / count
        self.assertEqual(self.metric("klog_log_readers"), count)
        for turn in range(rounds):
            # What is nobody's stands in between.
            self.write([record for n in range(count)
                        for record in ((f"f/{n}/x", f"k{n}", turn), (f"g/{n}/y", f"q{n}", turn))])
        for crowd in crowds:
            crowd.read_until(lambda: all(len(peer.records) >= rounds for peer in crowd.peers),
                             "all have all")
        for n, peer in enumerate(peers):
            self.assertEqual([record["value"] for record in peer.records], list(range(rounds)), queries[n])
            self.assertEqual({record["topic"] for record in peer.records}, {f"f/{n}/x"})
            seqs = [record["seq"] for record in peer.records]
            self.assertEqual(seqs, sorted(set(seqs)))
        if not hostile.SANITIZED:
            self.assertLess(idle, 16 * KIB, "idle")
            self.assertLess((self.memory() - before) / count, 24 * KIB, "after some records each")
        for crowd in crowds:
            crowd.close()
        hostile.wait_until(lambda: self.metric("klog_log_readers") == 0, "nobody follows any more")

    def test_those_that_come_and_go_leave_nothing_behind(self):
        stays = Crowd(self, [f"filter=stay/{n}/%3E" for n in range(50)])
        grown = []
        for turn in range(24):
            guests = Crowd(self, [f"filter=guest/*/{turn}-{n}&key=k{n}" if n % 2 else
                                  f"filter=guest/{turn}*/{n}/%3E" for n in range(100)])
            guests.close()
            if turn % 8 == 7:
                hostile.wait_until(lambda: self.metric("klog_log_readers") == 50, "guests have left")
                grown.append(self.memory())
        if not hostile.SANITIZED:
            self.assertLess(grown[-1] - grown[0], 2 * MIB, "flat once it has run for a while")
        self.write([(f"stay/{n}/x", "k", n) for n in range(50)])
        stays.read_until(lambda: all(peer.records for peer in stays.peers), "those that stayed go on")

    def processor_use_of_a_second(self):
        before = hostile.processor_seconds(self.daemon.process.pid)
        select.select([], [], [], 1)
        return hostile.processor_seconds(self.daemon.process.pid) - before

    def test_followers_that_do_not_read_cost_a_bounded_sum(self):
        count, megabytes = 300, 4
        connection = self.open()
        self.write([("warm/up", "k", "x" * 10_000)] * 500, connection)
        before = self.memory()
        crowd = Crowd(self, ["filter=all/%3E"] * count)
        slowest = 0
        for _ in range(megabytes):
            start = time.monotonic()
            self.write([("all/x", "k", "x" * 2000)] * 500, connection)
            slowest = max(slowest, time.monotonic() - start)
        self.assertLess(slowest, 5, "who writes is not held up")
        # 512 KiB each would be 150 MiB: what all leave untaken together is bounded.
        if not hostile.SANITIZED:
            self.assertLess(self.memory() - before, 128 * MIB)
        # They read again, and miss nothing.
        crowd.read_until(lambda: all(len(peer.records) >= 500 * megabytes for peer in crowd.peers),
                         "all have all")
        for peer in crowd.peers:
            seqs = [record["seq"] for record in peer.records]
            self.assertEqual(seqs, list(range(seqs[0], seqs[0] + 500 * megabytes)))


class FewDescriptorsTest(FollowersTest):
    """An eighth of the descriptors is for files, whoever comes."""

    LIMIT = 96

    def setUp(self):
        if hostile.SANITIZED:
            self.skipTest("UBSan looks at memory through pipes, and calls it bad without descriptors")
        self.place = hostile.Place()
        self.addCleanup(self.place.close)
        self.daemon = hostile.limited_daemon(
            self.place, resource.RLIMIT_NOFILE, self.LIMIT, "--data-dir", self.place.path("data"))
        self.tcp = None

    test_a_thousand_followers_each_get_their_own_once_and_in_order = None
    test_those_that_come_and_go_leave_nothing_behind = None
    test_followers_that_do_not_read_cost_a_bounded_sum = None

    def one_more(self):
        """The answer to a connection, as far as there is one."""
        connection = self.open()
        try:
            connection.sendall(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
            return connection, hostile.read_answer(connection)
        except (AssertionError, ConnectionResetError, BrokenPipeError):
            return connection, (0, b"", b"")

    def test_past_them_one_is_told_and_files_have_theirs(self):
        writer = self.open()
        self.write([("warm/up", "k", 1)], writer)
        crowd = Crowd(self, [f"filter=f/{n}/%3E" for n in range(self.LIMIT // 2)])
        refused = []
        inside = []
        for _ in range(self.LIMIT):
            connection, (status, head, body) = self.one_more()
            (inside if status == 200 else refused).append((connection, status, head, body))
        self.assertGreater(len(refused), self.LIMIT // 4)
        told = [one for one in refused if one[1] == 503]
        self.assertTrue(told)
        for _, _, head, body in told:
            self.assertIn(b"Retry-After: 1\r\n", head + b"\r\n")
            self.assertIn(b"Connection: close\r\n", head + b"\r\n")
            self.assertEqual(json.loads(body)["code"], "backpressure")
        # Files are made meanwhile: WAL files, their indexes, segments. So each write has to work.
        many = [(f"n/{n}", f"q{n}", "x" * 4000) for n in range(500)]
        for _ in range(40):
            self.write(many, writer)
        self.write([(f"f/{n}/x", "k", n) for n in range(self.LIMIT // 2)], writer)
        crowd.read_until(lambda: all(peer.records for peer in crowd.peers), "all were handed theirs")
        hostile.wait_until(lambda: len(self.daemon_files("seg")) > 1, "something was sealed")
        # Sealing may go on for a while.
        hostile.wait_until(lambda: self.processor_use_of_a_second() < 0.3, "no busy loop")
        # A place comes free as soon as one leaves.
        for connection, *_ in inside:
            connection.close()
        hostile.wait_until(lambda: self.one_more()[1][0] == 200, "a place")
        crowd.close()
        self.assertEqual(self.daemon.stop(), 0, self.daemon.log())

    def daemon_files(self, folder):

        return [name for _, _, names in os.walk(self.place.path("data", folder)) for name in names]


if __name__ == "__main__":
    unittest.main()
