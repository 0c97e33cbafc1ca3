#!/usr/bin/env python3
"""Each limit that a request can reach: what is just allowed is taken, one more is refused as
man/klog-daemon.1 and klog-errors.7 say, and nothing of what is refused is written.

Time-outs are in slow_test.py, connections, descriptors and memory in crowd_test.py.
"""

import base64
import json
import unittest
from urllib.parse import quote

import hostile
from hostile import HOST

JSON = "application/json"
BYTES = "application/octet-stream"
LINES = "application/x-ndjson"
MIB = 1 << 20


class LimitsTest(hostile.Case):
    def post(self, query, body, content_type=JSON):
        status, headers, answer = self.daemon.request("POST", "/v1/records?" + query, body,
                                                      content_type)
        return status, headers, answer

    def assert_limit(self, good, bad, status, code, hint=None):
        """Each is (query, body, content type)."""
        before = self.daemon.head()
        answer = self.post(*good)
        self.assertEqual(answer[0], 201, answer[2][:500])
        answer = self.post(*bad)
        self.assertEqual(answer[0], status, answer[2][:500])
        problem = json.loads(answer[2])
        self.assertEqual(problem["code"], code, problem)
        self.assertTrue(problem["detail"])
        if hint:
            self.assertIn(hint, problem["hint"])
        self.assertEqual(self.daemon.head(), before + 1)

    def lines(self, body, query="topic=limits/stream"):
        status, _, answer = self.post(query, body, LINES)
        self.assertEqual(status, 200, answer[:500])
        return [json.loads(line) for line in answer.splitlines()]

    # ---------------------------------------------------------------------------------- values

    def test_a_value_as_json(self):
        fits = b'"' + b"x" * (MIB - 2) + b'"'
        self.assert_limit(("topic=a/b", fits), ("topic=a/b", fits[:-1] + b'x"'), 413,
                          "value_too_large", "--value-bytes-max")

    def test_a_value_as_bytes(self):
        self.assert_limit(("topic=a/b", b"x" * MIB, BYTES), ("topic=a/b", b"x" * (MIB + 1), BYTES),
                          413, "value_too_large", "--value-bytes-max")

    def test_a_body_that_never_ends(self):
        connection = self.open()
        connection.sendall(b"POST /v1/records?topic=a/b HTTP/1.1\r\n" + HOST + b"Content-Type: "
                           b"application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        for _ in range(20):
            if not hostile.send(connection, piece):
                break
        answer = hostile.read_to_end(connection)
        self.assertTrue(answer.startswith(b"HTTP/1.1 413 "), answer[:300])
        self.assertEqual(self.daemon.head(), 0)

    def test_a_value_in_a_stream(self):
        fits = b'"' + b"x" * (MIB - 2) + b'"\n'
        answers = self.lines(b"1\n" + fits + b'"x' + fits[1:] + b"2\n")
        self.assertEqual([a["status"] for a in answers], [201, 201, 413])
        self.assertEqual((answers[2]["line"], answers[2]["code"]), (3, "value_too_large"))
        answers = self.lines(b'"x' + fits[1:] + b"2\n", "topic=limits/skip&on_error=skip")
        self.assertEqual([a["status"] for a in answers], [413, 201])
        self.assertEqual(self.daemon.head(), 3)

    def test_a_line_that_never_ends(self):
        connection = self.open()
        connection.sendall(b"POST /v1/records?topic=a/b HTTP/1.1\r\n" + HOST + b"Content-Type: "
                           b"application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"2\r\n1\n\r\n")
        piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        for _ in range(64):
            if not hostile.send(connection, piece):
                break
        # It is told as soon as the line is too long, whether or not it will end.
        answer = hostile.read_to_end(connection)
        answers = [json.loads(line) for line in answer.splitlines() if line.startswith(b"{")]
        self.assertEqual([a["status"] for a in answers], [201, 413])
        self.assertEqual((answers[1]["line"], answers[1]["code"]), (2, "value_too_large"))
        self.assertEqual(self.daemon.head(), 1)

    def test_a_line_that_ends_late(self):
        long = b'"' + b"x" * (4 * MIB) + b'"\n'
        answers = self.lines(b"1\n" + long + b"2\n" + long + long + b"3\n",
                             "topic=limits/skip&on_error=skip")
        self.assertEqual([(a["line"], a["status"]) for a in answers],
                         [(1, 201), (2, 413), (3, 201), (4, 413), (5, 413), (6, 201)])

    def test_how_deep_json_may_be(self):
        self.assert_limit(("topic=a/b", b"[" * 128 + b"]" * 128),
                          ("topic=a/b", b"[" * 129 + b"]" * 129), 400, "bad_json")

    # --------------------------------------------------------------------- topic, key, id, headers

    def test_the_length_of_a_topic(self):
        self.assert_limit(("topic=" + "x" * 1024, b"1"), ("topic=" + "x" * 1025, b"1"), 400,
                          "bad_topic")

    def test_the_levels_of_a_topic(self):
        self.assert_limit(("topic=" + "/".join("x" * 128), b"1"),
                          ("topic=" + "/".join("x" * 129), b"1"), 400, "bad_topic")

    def test_the_length_of_a_key(self):
        self.assert_limit(("topic=a/b&key=" + "k" * 1024, b"1"),
                          ("topic=a/b&key=" + "k" * 1025, b"1"), 400, "bad_key")

    def test_the_length_of_an_id(self):
        self.assert_limit(("topic=a/b&id=" + "i" * 128, b"1"),
                          ("topic=a/b&id=" + "i" * 129, b"1"), 400, "bad_option")

    def test_how_many_headers(self):
        def headers(count):
            return "topic=a/b" + "".join(f"&header=h{n}={n}" for n in range(count))
        self.assert_limit((headers(64), b"1"), (headers(65), b"1"), 413, "headers_too_large")

    def test_the_size_of_headers(self):
        def envelope(size):
            record = {"topic": "a/b", "value": 1, "headers": {"h": "x" * size}}
            return json.dumps(record).encode() + b"\n"
        answers = self.lines(envelope(60_000) + envelope(70_000), "envelope=true")
        self.assertEqual([a["status"] for a in answers], [201, 413])
        self.assertEqual(answers[1]["code"], "headers_too_large")

    def test_an_envelope_in_base64(self):
        def envelope(size):
            value = base64.b64encode(b"x" * size).decode()
            return json.dumps({"topic": "a/b", "value_base64": value}).encode() + b"\n"
        answers = self.lines(envelope(MIB) + envelope(MIB + 1), "envelope=true")
        self.assertEqual([a["status"] for a in answers], [201, 413])

    # ------------------------------------------------------------------------------- the request

    def test_the_target(self):
        rest = 64 * 1024 - len("/v1/records?filter=a/")
        status, _, _ = self.daemon.request("GET", "/v1/records?filter=a/" + "b" * rest)
        self.assertEqual(status, 400, "it came through, as a filter that is too long")
        status, _, body = self.daemon.request("GET", "/v1/records?filter=a/" + "b" * (rest + 1))
        self.assertEqual(status, 414)
        self.assertIn("envelope=true", json.loads(body)["hint"])

    def test_the_header_block(self):
        for fields, status in ((b"X: y\r\n" * 99, 200), (b"X: y\r\n" * 100, 431),
                               (b"X: " + b"y" * 16_300 + b"\r\n", 200),
                               (b"X: " + b"y" * 16_400 + b"\r\n", 431)):
            connection = self.open()
            connection.sendall(b"GET /livez HTTP/1.1\r\n" + HOST + fields + b"\r\n")
            self.assertEqual(hostile.read_answer(connection)[0], status)

    def test_how_many_filters(self):
        def read(count, what="filter"):
            query = "&".join(f"{what}=a/{n}" for n in range(count))
            return self.daemon.request("GET", "/v1/records?" + query)
        for what in ("filter", "not"):
            self.assertEqual(read(64, what)[0], 200)
            status, _, body = read(65, what)
            self.assertEqual(status, 400)
            self.assertEqual(json.loads(body)["code"], "bad_option", body)

    def test_the_length_of_a_filter(self):
        for length, status in ((1024, 200), (1025, 400)):
            answer = self.daemon.request("GET", "/v1/records?filter=" + quote("x" * length))
            self.assertEqual(answer[0], status, answer[2])

    def test_errors_of_a_summary(self):
        body = b"x\n" * 1500
        status, _, answer = self.post("topic=a/b&acks=summary&on_error=skip", body, LINES)
        self.assertEqual(status, 200)
        summary = json.loads(answer)
        self.assertEqual((summary["count"], len(summary["errors"])), (0, 1000))


if __name__ == "__main__":
    unittest.main()
