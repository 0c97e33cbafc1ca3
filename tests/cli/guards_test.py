#!/usr/bin/env python3
"""Guards over filters: of one record, of envelopes in a stream, and every way to get them wrong."""

import json
import os
import subprocess
import sys
import unittest

import klogtest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import UnixConnection  # noqa: E402

SHELLS = 6
LIMIT = 4


class Guarded(klogtest.Case):
    def post(self, query, body=b"1", content_type="application/json"):
        """(status, document)."""
        status, documents = self.post_all(query, body, content_type)
        return status, documents[0]

    def post_all(self, query, body, content_type):
        """(status, documents), one a line."""
        connection = UnixConnection(self.daemon.socket)
        connection.request("POST", "/v1/records?" + query, body, {"Content-Type": content_type})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, [json.loads(line) for line in text.splitlines()]

    def refused(self, query, code, status=400, **more):
        got, document = self.post(query, **more)
        self.assertEqual((got, document["code"]), (status, code), document)
        return document

    def head(self):
        return int(self.klog("head").stdout)


class One(Guarded):
    def test_the_newest_record_that_matches_and_its_first_filter_are_named(self):
        self.produce("enrol/c1/s1", 1, "-k", "s1")
        self.produce("enrol/c2/s1", 1, "-k", "s1")
        document = self.refused("topic=x&expect_none=other&expect_none=enrol/*/s1&expect_none=enrol/>",
                                "guard_conflict", 409)
        self.assertEqual(document["violations"], [
            {"code": "guard_conflict", "line": 1, "filter": "enrol/*/s1", "after": 0, "seq": 2,
             "topic": "enrol/c2/s1", "key": "s1"}])
        self.assertEqual(self.head(), 2)
        self.assertEqual(self.post("topic=x&expect_none=enrol/>&after=2")[0], 201)

    def test_tombstones_and_records_without_a_key_count(self):
        self.produce("a/x", 1)
        document = self.refused("topic=b&expect_none=a/x", "guard_conflict", 409)
        self.assertNotIn("key", document["violations"][0])
        self.klog("produce", "c/y", "-k", "k", "--tombstone")
        document = self.refused("topic=b&expect_none=c/*", "guard_conflict", 409)
        self.assertEqual(document["violations"][0]["key"], "k")

    def test_its_own_record_does_not_stand_against_it(self):
        for _ in range(2):
            self.klog("produce", "a/x", "1", "--expect-none", "a/x", "--after", str(self.head()))
        self.problem("produce", "a/x", "1", "--expect-none", "a/x", code=3, says="guard_conflict: ")

    def test_what_the_command_line_says(self):
        self.produce("enrol/c1/s1", 1, "-k", "s1")
        text = self.problem("produce", "enrol/c1/s2", "1", "--expect-none", "enrol/c1/+", code=3,
                            says="guard_conflict: enrol/c1/s1 at seq 1 (key s1) matches enrol/c1/+\n")
        self.assertIn("hint: klog tail 'enrol/c1/+' --after 0 --no-follow ", text)
        self.produce("it's/x", 1)
        text = self.problem("produce", "y", "1", "--expect-none", "it's/*", "--after", "1", code=3,
                            says="guard_conflict: it's/x at seq 2 matches it's/* behind 1\n")
        command = text.split("hint: klog ")[1].split(" shows")[0]
        shown = subprocess.run(["bash", "-c", f'"$0" {command}', klogtest.KLOG],
                               env=self.environment(), capture_output=True,
                               timeout=klogtest.LIMIT_S)
        self.assertEqual(json.loads(shown.stdout)["topic"], "it's/x", shown.stderr)

    def test_beside_an_expected_version_both_must_hold(self):
        self.produce("a/x", 1, "-k", "k")
        self.produce("b/x", 1)
        self.refused("topic=a/y&key=k&expect=9&expect_none=c/>", "version_conflict", 409)
        self.refused("topic=a/y&key=k&expect=1&expect_none=b/>", "guard_conflict", 409)
        self.assertEqual(self.post("topic=a/y&key=k&expect=1&expect_none=b/>&after=2")[0], 201)
        for expect in ("9", "1"):
            self.klog("produce", "a/y", "1", "-k", "k", "--expect", expect, "--expect-none", "b/>",
                      code=3)
        self.klog("produce", "a/y", "1", "-k", "k", "--expect", "2", "--expect-none", "c/>")

    def test_a_repeated_id_is_known_before_the_guard_is_judged(self):
        write = ("produce", "a/x", "1", "--id", "i", "--expect-none", "a/>")
        self.klog(*write)
        self.assertTrue(json.loads(self.klog(*write).stdout)["duplicate"])

    def test_a_cursor_ahead_of_the_head(self):
        self.produce("a", 1)
        self.refused("topic=b&expect_none=c&after=2", "guard_unknown", 410)
        self.problem("produce", "b", "1", "--expect-none", "c", "--after", "7", code=4,
                     says="guard_unknown: ")
        self.assertEqual(self.post("topic=b&expect_none=c&after=1")[0], 201)

    def test_what_cannot_be_a_guard(self):
        self.refused("topic=a&after=1", "bad_option")
        self.refused("topic=a&expect_none=", "bad_filter")
        self.refused("topic=a&expect_none=b&after=-1", "bad_option")
        self.refused("topic=a&expect_none=b&after=1&after=1", "bad_option")
        self.refused("topic=a" + "&expect_none=b" * 17, "bad_option")
        for filter, column in (("b/*/*c", 5), ("$klog/>", 1)):
            detail = self.refused("topic=a&expect_none=" + filter, "bad_filter")["detail"]
            self.assertIn(f"(column {column})", detail)
        self.refused("topic=a&expect_none=b", "bad_option", body=b"1\n",
                     content_type="application/x-ndjson")
        for wrong, says in [
                (("1", "--after", "1"), "usage: --after stands without"),
                (("1", "--expect-none", "b", "--after", "x"), "bad_option: --after"),
                (("1", "--expect-none", ""), "usage: the value of --expect-none"),
                (("1", "--expect-none", "a*b"), "bad_filter: "),
                (("1", "--expect-none", "$klog/>"), "bad_filter: "),
                (("1", *["--expect-none", "b"] * 17), "bad_option: "),
                (("--expect-none", "b"), "usage: --expect-none is for one record"),
                (("{}", "--key-from", "/k", "--expect-none", "b"), "usage: ")]:
            self.problem("produce", "a", *wrong, code=2, says=says, input=b"1\n")
        self.assertEqual(self.head(), 0)

    def test_a_guard_that_no_target_has_room_for_goes_in_an_envelope(self):
        filters = [f"enrol/{i}/" + "é" * 480 for i in range(16)]
        options = [part for one in filters for part in ("--expect-none", one)]
        self.klog("produce", "a", "1", *options, "-H", "h=" + "x" * 20_000)
        self.produce(filters[7], 1)
        text = self.problem("produce", "a", "1", *options, "-H", "h=" + "x" * 20_000, code=3,
                            says="guard_conflict: ")
        self.assertIn("at seq 2", text)
        self.klog("produce", "a", "1", *options, "-H", "h=" + "x" * 20_000, "--after", "2")

    def test_shells_that_decide_never_pass_the_limit(self):
        script = f"""
            while :; do
              C=$("$0" head); N=$("$0" count 'course/+' --until "$C")
              [ "$N" -ge {LIMIT} ] && exit 0
              "$0" produce "course/$1-$N" 1 --expect-none 'course/+' --after "$C" -q >/dev/null 2>&1
              CODE=$?; [ $CODE = 0 ] || [ $CODE = 3 ] || exit $CODE
            done"""
        shells = [subprocess.Popen(["bash", "-c", script, klogtest.KLOG, str(i)],
                                   env=self.environment()) for i in range(SHELLS)]
        for shell in shells:
            self.assertEqual(shell.wait(klogtest.LIMIT_S), 0)
        self.assertEqual(int(self.klog("count", "course/+").stdout), LIMIT)


class Streams(Guarded):
    def envelopes(self, *records, code=0, more=("--on-error", "skip")):
        body = "".join(json.dumps(record) + "\n" for record in records)
        done = self.klog("produce", "--envelope", "--acks", "-q", *more, input=body, code=code)
        return done.stderr.decode()

    def test_each_sees_those_before_it(self):
        one = {"topic": "a/1", "value": 1, "expect": {"none": ["a/*"]}}
        text = self.envelopes(one, {**one, "topic": "a/2"},
                              {**one, "expect": {"none": ["a/*"], "after": 1}},
                              {**one, "expect": {"none": ["a/*"], "not": ["a/1"]}}, code=3)
        self.assertEqual(text.count("klog: guard_conflict: line "), 1)
        self.assertIn("line 2: a/1 at seq 1 matches a/*", text)
        self.assertEqual(self.head(), 3)

    def test_the_first_refusal_ends_the_stream(self):
        one = {"topic": "a/1", "value": 1, "expect": {"none": ["a/*"]}}
        self.envelopes(one, one, {"topic": "b", "value": 1}, code=3, more=())
        self.assertEqual(self.head(), 1)

    def test_versions_stand_within_a_guard(self):
        record = {"topic": "a/1", "key": "k", "value": 1}
        self.envelopes({**record, "expect": {"none": ["b/>"], "version": "absent"}},
                       {**record, "expect": {"none": ["b/>"], "version": 1}},
                       {**record, "expectedVersion": {"none": ["b/>"], "version": "exists"}})
        self.assertIn("version_conflict: line 1",
                      self.envelopes({**record, "expect": {"none": ["b/>"], "version": 1}}, code=3))

    def test_what_cannot_be_a_guard(self):
        none, many = ["a"], ["a"] * 17
        cases = [({"none": []}, "bad_record", 65), ({"after": 1}, "bad_record", 65),
                 ({"not": none}, "bad_record", 65), ({"none": "a"}, "bad_record", 65),
                 ({"none": [1]}, "bad_record", 65), ({"none": many}, "bad_record", 65),
                 ({"none": many[:9], "not": many[:8]}, "bad_record", 65),
                 ({"none": none, "aftr": 1}, "bad_record", 65),
                 ({"none": none, "after": -1}, "bad_record", 65),
                 ({"none": none, "after": 1.5}, "bad_record", 65),
                 ({"none": none, "after": "1"}, "bad_record", 65),
                 ({"none": none, "version": "new"}, "bad_record", 65),
                 ({"none": ["a/>/b"]}, "bad_filter", 2), ({"none": ["$klog/>"]}, "bad_filter", 2),
                 ({"none": none, "not": ["$x"]}, "bad_filter", 2), ({"none": [""]}, "bad_filter", 2)]
        for expect, code, status in cases:
            text = self.envelopes({"topic": "b", "value": 1, "expect": expect}, code=status)
            self.assertTrue(text.startswith(f"klog: {code}: line 1: "), (expect, text))
        text = self.envelopes({"topic": "b", "value": 1, "expect": {"none": none, "aftr": 1}}, code=65)
        self.assertIn("hint: did you mean 'after'?", text)
        for line in ({"guard": {"none": none}}, {"ack": {"consumer": "c", "seq": 1}}):
            text = self.envelopes(line, code=65)
            self.assertIn("klog: bad_record: line 1: ", text)
            self.assertIn("--atomic", text.split("hint: ")[1])
        self.assertEqual(self.head(), 0)

    def test_in_a_stream_over_http_the_line_says_what_stands_against_it(self):
        self.produce("a/x", 1, "-k", "k")
        body = json.dumps({"topic": "b", "value": 1, "expect": {"none": ["a/*"]}}).encode() + b"\n"
        _, line = self.post("envelope=true", body, "application/x-ndjson")
        self.assertEqual((line["line"], line["status"], line["code"]), (1, 409, "guard_conflict"))
        self.assertEqual(line["violations"], [{"code": "guard_conflict", "line": 1, "filter": "a/*",
                                               "after": 0, "seq": 1, "topic": "a/x", "key": "k"}])

    def test_in_a_stream_each_refused_line_tells_what_only_the_disk_knows_in_its_order(self):
        self.produce("a/x", 1, "-k", "k", "--id", "first")
        lines = []
        for n in range(150):
            kind = n % 3
            lines.append({"topic": "b", "value": n} if kind == 0 else
                         {"topic": "b", "value": n, "expect": {"none": ["a/*"]}} if kind == 1 else
                         {"topic": "a/y", "key": "k", "value": n, "expect": 7})
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        _, answers = self.post_all("envelope=true&on_error=skip", body, "application/x-ndjson")
        self.assertEqual([one["line"] for one in answers], list(range(1, 151)))
        for n, one in enumerate(answers):
            self.assertEqual(one["status"], 201 if n % 3 == 0 else 409)
        self.assertEqual(answers[1]["violations"][0]["key"], "k")
        self.assertEqual(answers[2]["violations"][0]["last_id"], "first")


class Restarts(Guarded):
    ephemeral = False

    def test_a_guard_remembers_what_was_before_the_start(self):
        self.produce("a/old", 1, "-k", "k")
        for i in range(50):
            self.produce(f"b/{i}", i)
        for end in (self.daemon.stop, self.daemon.kill):
            end()
            self.daemon.start()
            document = self.refused("topic=x&expect_none=a/*", "guard_conflict", 409)
            self.assertEqual((document["violations"][0]["seq"], document["violations"][0]["key"]),
                             (1, "k"))
            self.refused("topic=x&expect_none=b/*&after=50", "guard_conflict", 409)
            self.assertEqual(self.post("topic=y&expect_none=a/*&after=1")[0], 201)
        self.refused("topic=y&expect_none=y", "guard_conflict", 409)


if __name__ == "__main__":
    klogtest.main()
