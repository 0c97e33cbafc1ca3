#!/usr/bin/env python3
"""Atomic batches: all lines or none, what a batch may hold, and what it says when it is refused."""

import contextlib
import json
import os
import re
import socket
import sys
import threading
import unittest

import klogtest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import UnixConnection  # noqa: E402

LINES_MAX, FILTERS_MAX, BYTES_MAX = 10_000, 10_000, 16 << 20
NDJSON = "application/x-ndjson"


def text_of(*lines):
    return "".join(json.dumps(line) + "\n" for line in lines)


def record(topic, **more):
    return {"topic": topic, "value": 1, **more}


def guard(**members):
    return {"guard": members}


class Batches(klogtest.Case):
    def post(self, lines, query="envelope=true&atomic=true"):
        """(status, document)."""
        connection = UnixConnection(self.daemon.socket)
        body = lines if isinstance(lines, (bytes, str)) else text_of(*lines)
        # What is far too large is refused before it was sent.
        with contextlib.suppress(BrokenPipeError):
            connection.request("POST", "/v1/records?" + query, body, {"Content-Type": NDJSON})
        answer = connection.getresponse()
        document = json.loads(answer.read())
        connection.close()
        return answer.status, document

    def refused(self, lines, status, code, **more):
        got, document = self.post(lines, **more)
        self.assertEqual((got, document["code"]), (status, code), document)
        return document

    def batch(self, *lines, code=0, more=()):
        return self.klog("produce", "--envelope", "--atomic", *more, input=text_of(*lines), code=code)

    def head(self):
        return int(self.klog("head").stdout)


class Whole(Batches):
    def test_the_answer_names_the_lines_of_its_records(self):
        lines = [record("a/1", key="k"), guard(none=["b"]), record("a/2", key="k"), record("a/3")]
        status, document = self.post(lines)
        self.assertEqual((status, document), (201, {
            "count": 3, "first_seq": 1, "last_seq": 3, "durable": "none",
            "records": [{"line": 1, "seq": 1, "version": 1}, {"line": 3, "seq": 2, "version": 2},
                        {"line": 4, "seq": 3}]}))
        self.assertEqual([r["topic"] for r in self.lines("tail", "--no-follow")],
                         ["a/1", "a/2", "a/3"])

    def test_acks_and_summary_of_the_command_line(self):
        done = self.batch(record("a/1", key="k", id="i1"), record("a/2", id="i2"), more=["--acks"])
        self.assertEqual(done.stdout, b'{"line":1,"status":201,"seq":1,"version":1}\n'
                                      b'{"line":2,"status":201,"seq":2}\n')
        self.assertEqual(done.stderr, b"klog: 2 records, seq 1 to 2\n")
        again = self.batch(record("a/1", key="k", id="i1"), record("a/2", id="i2"), more=["--acks"])
        self.assertEqual(again.stdout, b'{"line":1,"status":200,"seq":1,"version":1,"duplicate":true}\n'
                                       b'{"line":2,"status":200,"seq":2,"duplicate":true}\n')
        self.assertEqual(again.stderr, b"klog: 2 records, seq 1 to 2, 2 known already\n")
        self.assertEqual(self.batch(record("b")).stderr, b"klog: 1 record, seq 3\n")
        quiet = self.batch(record("b"), more=["-q"])
        self.assertEqual((quiet.stdout, quiet.stderr), (b"", b""))

    def test_values_with_a_topic(self):
        self.klog("produce", "orders/{/id}/made", "--key-from", "/id", "--id-from", "/id", "-H", "h=v",
                  "--atomic", input='{"id":7}\n\n{"id":8}\n')
        shown = self.lines("tail", "--no-follow")
        self.assertEqual([(r["topic"], r["key"], r["id"], r["headers"]) for r in shown],
                         [("orders/7/made", "7", "7", {"h": "v"}),
                          ("orders/8/made", "8", "8", {"h": "v"})])
        self.klog("produce", "n", "--atomic", input="1\n{\n2\n", code=65)
        self.assertEqual(self.head(), 2)

    def test_guards_alone_write_nothing_and_an_empty_batch_does_neither(self):
        self.produce("a", 1, "-k", "k")
        for lines in ([guard(none=["b"])], [guard(space="a", key="k", expect=1)], []):
            self.assertEqual(self.post(lines),
                             (201, {"count": 0, "durable": "none", "records": []}))
        self.assertEqual(self.batch(guard(none=["b"])).stderr, b"klog: 0 records\n")
        self.assertEqual(self.head(), 1)

    def test_followers_and_readers_see_all_of_it_or_nothing(self):
        follower = self.start("tail", "t/>", "--from", "start", "-f")
        seen = klogtest.Reader(follower.stdout)
        wrong, done = [], threading.Event()

        def look():
            while not done.is_set():
                count = int(self.klog("count", "t/>").stdout)
                head = self.head()
                if count % 500 or head % 500:
                    wrong.append((count, head))

        looking = threading.Thread(target=look)
        looking.start()
        try:
            for batch in range(8):
                self.batch(*[record(f"t/{batch}/{i}") for i in range(500)])
            for number in range(8 * 500):
                self.assertEqual(json.loads(seen.line())["seq"], number + 1)
        finally:
            done.set()
            looking.join(klogtest.LIMIT_S)
        self.assertFalse(wrong)

    def test_batches_of_many_writers_lie_next_to_each_other(self):
        def write(name):
            for batch in range(20):
                self.batch(*[record(f"w/{name}", key=name, id=f"{batch}-{i}") for i in range(7)],
                           more=["-q"])

        writers = [threading.Thread(target=write, args=(str(i),)) for i in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(klogtest.LIMIT_S)
        topics = [r["topic"] for r in self.lines("tail", "--no-follow")]
        self.assertEqual(len(topics), 4 * 20 * 7)
        for at in range(0, len(topics), 7):
            self.assertEqual(len(set(topics[at:at + 7])), 1, at)


class Judged(Batches):
    def test_against_the_state_before_it(self):
        self.assertEqual(self.post([
            record("a/1", key="k", expect={"none": ["a/>"], "version": "absent"}),
            record("a/2", key="k"), record("a/3", expect={"none": ["a/>"]}), guard(none=["a/>"]),
            guard(space="b", key="k", expect="absent"), record("b/1", key="k")])[0], 201)
        self.refused([record("a/1", key="k", expect=1)], 409, "version_conflict")
        self.assertEqual(self.post([record("a/1", key="k", expect=2), record("a/1", key="k")])[0], 201)

    def test_each_violation_is_named_with_its_line_in_order(self):
        self.produce("enrol/c1/s1", 1, "-k", "s1", "--id", "first")
        self.klog("produce", "acc/x", "-k", "x", "--tombstone")
        document = self.refused([
            record("ok/1"), record("y/1", expect={"none": ["other", "enrol/c1/*"]}),
            guard(space="acc", key="x", expect="exists"), record("acc/z", key="z", expect=3),
            guard(none=["acc/>"], after=1), guard(space="enrol", key="s1", expect=0)],
            409, "guard_conflict")
        self.assertEqual(document["violations"], [
            {"code": "guard_conflict", "line": 2, "filter": "enrol/c1/*", "after": 0, "seq": 1,
             "topic": "enrol/c1/s1", "key": "s1"},
            {"code": "version_conflict", "line": 3, "space": "acc", "key": "x", "expected": "exists",
             "actual": 1, "state": "deleted", "last_seq": 2},
            {"code": "version_conflict", "line": 4, "space": "acc", "key": "z", "expected": 3,
             "actual": 0, "state": "absent"},
            {"code": "guard_conflict", "line": 5, "filter": "acc/>", "after": 1, "seq": 2,
             "topic": "acc/x", "key": "x"},
            {"code": "version_conflict", "line": 6, "space": "enrol", "key": "s1", "expected": 0,
             "actual": 1, "state": "live", "last_seq": 1, "last_id": "first"}])
        self.assertTrue(document["detail"].startswith("line 2: "), document["detail"])
        self.assertEqual(self.head(), 2)

    def test_what_the_command_line_says_of_them(self):
        self.produce("a/x", 1, "-k", "k")
        done = self.batch(record("a/y", key="k", expect=0), guard(none=["a/+"]), code=3,
                          more=["--expect-none", "a/>", "--after", "0"])
        text = done.stderr.decode().splitlines()
        self.assertEqual(text, [
            "klog: guard_conflict: a/x at seq 1 (key k) matches a/>",
            "klog: version_conflict: line 1: a k: expected 0, but it is at version 1 (live)",
            "klog: guard_conflict: line 2: a/x at seq 1 (key k) matches a/+",
            "hint: klog tail 'a/>' --after 0 --no-follow shows what came; then decide anew, "
            "from klog head on"])
        self.assertEqual(done.stdout, b"")
        first = self.batch(record("a/y", key="k", expect=0), guard(none=["a/+"]), code=3)
        self.assertTrue(first.stderr.startswith(b"klog: version_conflict: line 1: "))
        self.batch(record("a/y"), code=0, more=["--expect-none", "a/>", "--after", "1"])

    def test_partly_known_is_refused_whole_and_known_is_not_judged(self):
        lines = [record("a/1", key="k", id="i1", expect=0), record("a/2", id="i2"),
                 guard(none=["a/>"])]
        self.assertEqual(self.post(lines)[0], 201)
        status, document = self.post(lines)
        self.assertEqual((status, document["count"], document["first_seq"]), (200, 2, 1))
        self.assertTrue(all(row["duplicate"] for row in document["records"]))
        more = [record("b"), *lines]
        document = self.refused(more, 409, "partial_duplicate")
        self.assertEqual([(v["code"], v["line"]) for v in document["violations"]],
                         [("partial_duplicate", 2), ("partial_duplicate", 3)])
        text = self.batch(*more, code=4).stderr.decode()
        self.assertTrue(text.startswith("klog: partial_duplicate: line 2: "), text)
        self.assertEqual(text.count("hint: "), 1)
        self.refused([record("a/2", id="i2", value=9)], 409, "id_reused")
        self.assertEqual(self.head(), 2)

    def test_one_expected_version_an_entity(self):
        for second in (record("a/2", key="k", expect=0), guard(space="a", key="k", expect=0)):
            document = self.refused([record("a/1", key="k", expect=0), second], 400, "bad_record")
            self.assertEqual(document["violations"][0]["line"], 2)

    def test_cursors_ahead_of_the_head(self):
        self.refused([record("a"), guard(none=["a"], after=1)], 410, "guard_unknown")
        self.batch(record("a"), code=4, more=["--expect-none", "b", "--after", "1"])


class BadInput(Batches):
    def test_lines_that_are_none(self):
        cases = [({"guard": 1}, "bad_record"), (guard(), "bad_record"), (guard(none=[]), "bad_record"),
                 (guard(after=1), "bad_record"), (guard(none=["a"], version=1), "bad_record"),
                 (guard(none=["a"] * 17), "bad_record"), (guard(none=["a"], key="k"), "bad_record"),
                 (guard(space="a", key="k"), "bad_record"), (guard(none=["a*b"]), "bad_filter"),
                 (guard(none=["$klog/>"]), "bad_filter"), (guard(none=["a"], notes=1), "bad_record"),
                 (guard(space="a/b", key="k", expect=1), "bad_topic"),
                 (guard(space="a", key="", expect=1), "bad_key"),
                 ({"guard": {"none": ["a"]}, "topic": "a", "value": 1}, "bad_record"),
                 ({"ack": {"seq": 1}}, "bad_record"), ({"ack": {"consumer": "c"}}, "bad_record"),
                 ({"ack": {"consumer": "c", "seq": -1}}, "bad_record"),
                 ({"ack": {"consumer": "c", "seq": 1, "result": "r" * 127}}, "bad_record"),
                 ({"ack": {"consumer": "c" * 129, "seq": 1}}, "bad_record"),
                 ({"ack": {"consumer": "c", "seq": 1, "lesae": 1}}, "bad_record"),
                 ({"topc": "a"}, "bad_record"), ([], "bad_record"), (record("$klog/x"), "reserved_topic"),
                 (record("a//b"), "bad_topic"), (record("a", expect=1), "bad_record"),
                 (record("a", kind="snapshot"), "bad_record")]
        for line, code in cases:
            status, document = self.post([record("good"), line])
            self.assertEqual(document["code"], code, (line, document))
            self.assertEqual(document["violations"][0]["line"], 2, (line, document))
            self.assertIn(status, (400, 403))
        self.assertEqual(self.head(), 0)

    def test_whatever_is_wrong_with_lines_is_named_at_once(self):
        ack = {"ack": {"consumer": "c", "seq": 1}}
        lines = [record("z//1"), {"topic": "y", "notes": 1}, record("a", key="k" * 1025), ack, "x",
                 ack, guard(none=["a*b"]), record("a", id="i", expect=1)]
        document = self.refused(lines, 400, "bad_topic")
        self.assertEqual([(v["line"], v["code"]) for v in document["violations"]],
                         [(1, "bad_topic"), (2, "bad_record"), (3, "bad_key"), (5, "bad_record"),
                          (6, "bad_record"), (7, "bad_filter"), (8, "bad_record")])
        self.assertIn("line 4 has one already", document["violations"][4]["detail"])
        self.assertEqual(self.head(), 0)

    def test_every_wrong_line_is_named_up_to_a_hundred(self):
        document = self.refused("{}\n" * 130, 400, "bad_record")
        self.assertEqual([v["line"] for v in document["violations"]], list(range(1, 101)))
        self.assertEqual(document["violations_left_out"], 30)
        done = self.klog("produce", "--envelope", "--atomic", input="{}\n" * 130, code=65)
        self.assertEqual(done.stderr.count(b"klog: bad_record: line "), 100)
        self.assertIn(b"klog: 30 more stand against it\n", done.stderr)
        self.produce("a", 1)
        document = self.refused([guard(none=["a"])] * 120, 409, "guard_conflict")
        self.assertEqual((len(document["violations"]), document["violations_left_out"]), (100, 20))

    def test_limits_are_exact_and_named(self):
        full = "1\n" * LINES_MAX
        self.assertEqual(self.post(full, query="topic=n&atomic=true")[1]["count"], LINES_MAX)
        for query, lines in (("topic=n&atomic=true", full + "1\n"),
                             ("topic=n&atomic=true&expect_none=b", full)):
            self.assertIn(" 10000 records", self.refused(lines, 413, "batch_too_large",
                                                         query=query)["detail"])
        guards = [guard(none=["f"] * 16)] * (FILTERS_MAX // 16)
        self.assertEqual(self.post(guards)[0], 201)
        self.assertIn(" 10000 filters", self.refused([*guards, guard(none=["f"])], 413,
                                                     "batch_too_large")["detail"])
        line = text_of(record("big", value="x" * 1_000_000)).encode()
        body = line * (BYTES_MAX // len(line))
        body += b"\n" * (BYTES_MAX - len(body))
        self.assertEqual(self.post(body)[0], 201)
        self.assertIn(f" {BYTES_MAX} bytes", self.refused(body + b"\n", 413,
                                                          "batch_too_large")["detail"])
        written = self.head()
        for stdin in ("1\n" * (LINES_MAX + 1), body + b"\n", body * 3):
            self.problem("produce", "n", "--atomic", code=65, input=stdin,
                         says="batch_too_large: an atomic batch holds at most 1")
        self.assertEqual(self.head(), written)

    def test_parameters_and_options_that_do_not_go_together(self):
        for more in ("&on_error=skip", "&acks=summary", "&session=" + "1" * 32, "&session_line=1",
                     "&topic=a", "&key=k", "&after=1"):
            self.refused([record("a")], 400, "bad_option", query="envelope=true&atomic=true" + more)
        self.refused([record("a")], 400, "bad_option", query="envelope=true&atomic=maybe")
        self.refused([record("a")], 400, "bad_topic", query="atomic=true")
        self.refused([record("a")], 400, "no_bucket", query="envelope=true&atomic=true&ack=bucket")
        for wrong in (["--envelope", "--atomic", "--on-error", "skip"], ["a", "1", "--atomic"],
                      ["a", "-", "--atomic"], ["a", "--atomic", "--tombstone", "-k", "k"],
                      ["a", "--atomic", "--id", "i"], ["a", "--atomic", "--expect", "1"],
                      ["--envelope", "{}", "--atomic"], ["a", "--atomic", "--raw"],
                      ["a", "--atomic", "--after", "1"]):
            self.problem("produce", *wrong, code=2, says="usage: ", input=text_of(record("a")))
        self.assertEqual(self.head(), 0)

    def test_a_web_page_cannot_send_one(self):
        connection = UnixConnection(self.daemon.socket)
        connection.request("POST", "/v1/records?envelope=true&atomic=true", text_of(record("a")),
                           {"Content-Type": NDJSON, "Origin": "http://elsewhere.example"})
        answer = connection.getresponse()
        self.assertEqual((answer.status, json.loads(answer.read())["code"]), (403, "not_allowed"))
        connection.close()
        connection = UnixConnection(self.daemon.socket)
        connection.request("POST", "/v1/records?envelope=true&atomic=true", text_of(record("a")),
                           {"Content-Type": "text/plain"})
        self.assertEqual(connection.getresponse().status, 415)
        connection.close()
        self.assertEqual(self.head(), 0)


def read_request(connection):
    """The body of one request."""
    head, body = b"", b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1)
    size = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
    while len(body) < size:
        body += connection.recv(size - len(body))
    return body


class Lost(klogtest.Case):
    """A server that takes a request and says nothing."""

    daemon_wanted = False

    def serve(self, answers):
        """Answers connections in turn: None breaks one off, bytes are sent. Gives what came."""
        path = os.path.join(self.directory, "nobody.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(8)
        listener.settimeout(klogtest.LIMIT_S)
        self.addCleanup(listener.close)
        came = []

        def run():
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(klogtest.LIMIT_S)
                    came.append(read_request(connection))
                    if answer is not None:
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                           b"Content-Length: %d\r\n\r\n%s" % (len(answer), answer))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.addCleanup(thread.join, klogtest.LIMIT_S)
        return came

    def produce(self, *lines, code, timeout="20s"):
        return self.klog("produce", "--envelope", "--atomic", "--timeout", timeout,
                         input=text_of(*lines), code=code).stderr.decode()

    def test_without_ids_the_outcome_stays_unknown(self):
        came = self.serve([None])
        text = self.produce(record("a", id="i"), record("b"), code=76)
        self.assertTrue(text.startswith("klog: outcome_unknown: "), text)
        self.assertIn("id", text.split("hint: ")[1])
        self.assertEqual(len(came), 1)

    def test_with_an_id_in_every_record_it_is_sent_again(self):
        answer = b'{"count":1,"first_seq":5,"last_seq":5,"durable":"local","records":[]}\n'
        came = self.serve([None, None, answer])
        text = self.produce(guard(none=["a"]), record("b", id="i"), code=0)
        self.assertEqual(text, "klog: 1 record, seq 5, 1 known already\n")
        self.assertEqual((len(came), len(set(came))), (3, 1))

    def test_acks_alone_are_not_sent_again(self):
        came = self.serve([None])
        self.produce({"ack": {"consumer": "c", "seq": 1}}, guard(none=["a"]), code=76)
        self.assertEqual(len(came), 1)

    def test_nobody_there(self):
        self.produce(record("a"), code=69)


if __name__ == "__main__":
    klogtest.main()
