#!/usr/bin/env python3
"""count: exact, over filters, ranges and keys; and what it says of filters that match nothing."""

import json
import unittest

import klogtest


class Count(klogtest.Case):
    def setUp(self):
        super().setUp()
        self.seqs = [self.produce(f"orders/{n}/{what}", n, "-k", str(n))["seq"]
                     for n in range(1, 4) for what in ("created", "paid")]
        self.klog("produce", "orders/3/deleted", "-k", "3", "--tombstone")
        self.produce("notes/x", "note")

    def count(self, *args):
        done = self.klog("count", *args)
        self.assertEqual(done.stderr, b"")
        self.assertRegex(done.stdout, rb"\A\d+\n\Z")
        return int(done.stdout)

    def test_what_matches(self):
        self.assertEqual(self.count(), 8)
        self.assertEqual(self.count("orders/"), 7, "tombstones count")
        self.assertEqual(self.count("orders/*/paid"), 3)
        self.assertEqual(self.count("orders/1/", "orders/*/paid", "notes/"), 5)
        self.assertEqual(self.count("orders/", "--not", "*/*/paid", "--not", "orders/1/"), 3)
        self.assertEqual(self.count("--key", "3"), 3)
        self.assertEqual(self.count("orders/*/paid", "--key", "3"), 1)
        self.assertEqual(self.count("nothing/here"), 0)

    def test_ranges(self):
        head = int(self.klog("head").stdout)
        self.assertEqual(self.count("--after", str(self.seqs[1])), 6)
        self.assertEqual(self.count("--until", str(self.seqs[1])), 2)
        self.assertEqual(self.count("--after", str(self.seqs[1]), "--until", str(self.seqs[3])), 2)
        self.assertEqual(self.count("--after", str(head), "--until", str(head)), 0)
        self.assertEqual(self.count("--after", str(head + 9), "--until", "1"), 0)
        self.assertEqual(self.count("--until", str(head + 9)), 8, "it never waits")
        self.assertEqual(self.count("--until", "1h"), 0)
        times = [record["time"] for record in self.lines("tail", "--no-follow")]
        self.assertEqual(self.count("--until", times[3]), sum(t <= times[3] for t in times))

    def test_its_form(self):
        self.assertEqual(json.loads(self.klog("count", "-o", "json").stdout), {"count": 8})
        self.assertEqual(self.klog("count", "-o", "value").stdout, b"8\n")
        status, body = self.http("/v1/count?filter=orders/>&not=orders/1/>&after=1&key=2")
        self.assertEqual((status, json.loads(body)), (b"200", {"count": 2}))

    def http(self, target):
        head, _, body = klogtest.http_get(self.daemon, target).partition(b"\r\n\r\n")
        return head.split()[1], body

    def test_mistakes(self):
        self.problem("count", "a/*b", code=2, says="bad_filter: ")
        self.problem("count", "--after", "x", code=2, says="bad_option: --after ")
        self.problem("count", "--until", "x", code=2, says="bad_option: --until ")
        self.problem("count", "--key", "a\tb", code=2, says="bad_key: ")
        for target, code in (("filter=a+/x", "bad_filter"), ("until=x", "bad_option"),
                             ("after=-1", "bad_option"), ("limit=1", "unknown_parameter"),
                             ("after=1&after=2", "bad_option")):
            status, body = self.http("/v1/count?" + target)
            self.assertEqual((status, json.loads(body)["code"]), (b"400", code), target)

    def test_advice(self):
        for verb in ("count", "head"):
            done = self.klog(verb, "orders")
            self.assertEqual(done.stdout, b"0\n")
            self.assertEqual(done.stderr.decode(),
                             "hint: no topic is named orders, but there are topics below it: "
                             f"klog {verb} orders/\n")
            self.assertEqual(self.klog(verb, "orders", "-q").stderr, b"")
            self.assertEqual(self.klog(verb, "nothing").stderr, b"")


class Long(klogtest.Case):
    """A log that does not fit into what is kept in memory."""

    ephemeral = False
    VALUES, VALUE_BYTES = 120, 100_000

    def test_more_than_one_step(self):
        value = json.dumps("x" * self.VALUE_BYTES)
        lines = "".join('{"topic":"big/%d","value":%s}\n' % (n % 3, value)
                        for n in range(self.VALUES))
        self.klog("produce", "--envelope", input=lines)
        self.assertEqual(self.klog("count", "big/1").stdout, b"%d\n" % (self.VALUES // 3))
        self.assertEqual(self.klog("count").stdout, b"%d\n" % self.VALUES)


if __name__ == "__main__":
    klogtest.main()
