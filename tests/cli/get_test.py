#!/usr/bin/env python3
"""get, history, keys, topics, head."""

import json
import unittest

import klogtest


class Get(klogtest.Case):
    def setUp(self):
        super().setUp()
        self.produce("orders/1/created", {"a": 1}, "-k", "1", "--id", "first", "-H", "who=me")
        self.produce("orders/1/paid", {"a": 2}, "-k", "1")
        self.produce("orders/2/created", {"a": 3}, "-k", "2")
        self.klog("produce", "orders/2/removed", "--tombstone", "-k", "2")
        self.klog("produce", "notes/x", "--raw", "plain text", "-k", "k/é")

    def test_newest_and_versions(self):
        newest = self.lines("get", "orders", "1")[0]
        self.assertEqual(newest["topic"], "orders/1/paid")
        self.assertEqual((newest["version"], newest["key"], newest["value"]), (2, "1", {"a": 2}))
        first = self.lines("get", "orders", "1", "--version", "1")[0]
        self.assertEqual((first["version"], first["id"]), (1, "first"))
        self.assertEqual(first["headers"], {"who": "me"})
        self.assertEqual(self.klog("get", "orders", "1", "-o", "value").stdout, b'{"a": 2}\n')
        document = self.klog("get", "orders", "1", "-o", "json").stdout
        self.assertGreater(document.count(b"\n"), 3)
        self.assertEqual(json.loads(document), newest)

    def test_bytes_come_back_as_they_were(self):
        self.assertEqual(self.klog("get", "notes", "k/é", "-o", "value").stdout, b"plain text\n")
        self.assertIn("value_base64", self.lines("get", "notes", "k/é")[0])
        odd = '{"b":1,"a":12345678901234567890123, "b" : 1.50}'
        self.klog("produce", "notes/odd", odd, "-k", "odd")
        self.assertEqual(self.klog("get", "notes", "odd", "-o", "value").stdout.decode(),
                         odd + "\n")

    def test_what_is_not_there(self):
        text = self.problem("get", "orders", "99", code=1, says="not_found: ")
        self.assertIn("hint: klog keys orders", text)
        text = self.problem("get", "orders", "2", code=1, says="not_found: orders 2 is deleted")
        self.assertIn("hint: klog history orders 2", text)
        self.problem("get", "orders", "1", "--version", "9", code=1, says="not_found: ")
        self.problem("get", "orders/x", "1", code=2, says="bad_topic: ")
        self.problem("get", "orders", "", code=2, says="bad_key: ")

    def test_history(self):
        records = self.lines("history", "orders", "2")
        self.assertEqual([r["version"] for r in records], [1, 2])
        self.assertEqual(records[1]["kind"], "tombstone")
        self.assertEqual(len(self.lines("history", "orders", "1", "--from-version", "2")), 1)
        self.assertEqual(len(self.lines("history", "orders", "1", "--to-version", "1")), 1)
        listed = json.loads(self.klog("history", "orders", "1", "-o", "json").stdout)
        self.assertEqual([r["version"] for r in listed], [1, 2])
        self.problem("history", "orders", "99", code=1, says="not_found: ")

    def test_keys(self):
        self.assertEqual([k["key"] for k in self.lines("keys", "orders")], ["1"])
        self.assertEqual([k["version"] for k in self.lines("keys", "orders", "--deleted")], [2, 2])
        self.assertEqual(self.lines("keys", "orders", "--prefix", "9"), [])
        self.assertEqual(json.loads(self.klog("keys", "orders", "--prefix", "9", "-o", "json")
                                    .stdout), [])

    def test_topics(self):
        topics = {t["topic"]: t for t in self.lines("topics")}
        self.assertEqual(topics["orders/1/paid"]["records"], 1)
        self.assertEqual(set(topics), {"orders/1/created", "orders/1/paid", "orders/2/created",
                                       "orders/2/removed", "notes/x"})
        self.assertEqual(self.klog("topics", "orders/*/created", "-o", "value").stdout,
                         b"orders/1/created\norders/2/created\n")

    def test_head(self):
        head = int(self.klog("head").stdout)
        self.assertEqual(self.lines("head", "-o", "json"), [{"seq": head}])
        self.assertEqual(self.klog("head", "orders/+/paid").stdout,
                         str(self.lines("get", "orders", "1")[0]["seq"]).encode() + b"\n")
        self.assertEqual(self.klog("head", "nothing/here").stdout, b"0\n")


if __name__ == "__main__":
    klogtest.main()
