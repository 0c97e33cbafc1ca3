#!/usr/bin/env python3
"""Heads and bodies that contradict themselves: 400, the connection ends, and nothing is written.

Behind each of them stands a request that would write. A server that disagrees with a proxy about
where a request ends would take it for one of its own; ours must never see it.
"""

import json
import unittest

import hostile
from hostile import HOST

SMUGGLED = (b"POST /v1/records?topic=smuggled HTTP/1.1\r\n" + HOST +
            b"Content-Type: application/json\r\nContent-Length: 1\r\n\r\n1")


def post(fields, body=b"", version=b"HTTP/1.1", target=b"/v1/records?topic=a/b"):
    return (b"POST " + target + b" " + version + b"\r\n" + HOST +
            b"Content-Type: application/json\r\n" + fields + b"\r\n" + body)


def chunked(body):
    return post(b"Transfer-Encoding: chunked\r\n", body)


REFUSED = {
    "two lengths that differ": post(b"Content-Length: 1\r\nContent-Length: 5\r\n", b"1"),
    "two lengths that agree": post(b"Content-Length: 1\r\nContent-Length: 1\r\n", b"1"),
    "a list of lengths": post(b"Content-Length: 1, 1\r\n", b"1"),
    "a length with a sign": post(b"Content-Length: +1\r\n", b"1"),
    "a negative length": post(b"Content-Length: -1\r\n"),
    "a length in hexadecimal": post(b"Content-Length: 0x1\r\n", b"1"),
    "a length with a blank in it": post(b"Content-Length: 1 0\r\n", b"1"),
    "a length past 64 bits": post(b"Content-Length: 18446744073709551617\r\n", b"1"),
    "an empty length": post(b"Content-Length:\r\n"),
    "length and chunked": post(b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
                               b"0\r\n\r\n"),
    "chunked and length": post(b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
                               b"0\r\n\r\n"),
    "chunked twice": post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                          b"0\r\n\r\n"),
    "chunked in HTTP/1.0": post(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"HTTP/1.0"),
    "a folded field": post(b"X: a\r\n b\r\nContent-Length: 1\r\n", b"1"),
    "a folded first field": b"GET /v1/head HTTP/1.1\r\n X: a\r\n" + HOST + b"\r\n",
    "a folded length": post(b"Content-Length:\r\n 1\r\n", b"1"),
    "a bare line feed in the fields": post(b"X: a\nContent-Length: 1\r\n", b"1"),
    "bare line feeds alone": b"GET /v1/head HTTP/1.1\nHost: localhost\n\n",
    "a bare line feed at the end": b"GET /v1/head HTTP/1.1\r\nHost: localhost\r\n\n",
    "a bare carriage return": post(b"X: a\rContent-Length: 1\r\n", b"1"),
    "a NUL in a value": post(b"X: a\0b\r\n"),
    "a NUL in a name": post(b"X\0Y: a\r\n"),
    "a NUL in the target": b"GET /v1/he\0ad HTTP/1.1\r\n" + HOST + b"\r\n",
    "a space before the colon": post(b"Content-Length : 1\r\n", b"1"),
    "a tab before the colon": post(b"Transfer-Encoding\t: chunked\r\n", b"0\r\n\r\n"),
    "a field without a colon": post(b"Content-Length 1\r\n", b"1"),
    "a field without a name": post(b": 1\r\n"),
    "a name in UTF-8": post("Lä: 1\r\n".encode()),
    "a control character": post(b"X: \x01\r\n"),
    "no version": b"GET /v1/head\r\n" + HOST + b"\r\n",
    "HTTP/2.0": b"GET /v1/head HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/1.11": b"GET /v1/head HTTP/1.11\r\n" + HOST + b"\r\n",
    "http in lower case": b"GET /v1/head http/1.1\r\n" + HOST + b"\r\n",
    "two blanks": b"GET  /v1/head HTTP/1.1\r\n" + HOST + b"\r\n",
    "a blank in the target": b"GET /v1/ head HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tab for a blank": b"GET\t/v1/head HTTP/1.1\r\n" + HOST + b"\r\n",
    "a blank in front": b" GET /v1/head HTTP/1.1\r\n" + HOST + b"\r\n",
    "the whole URL": b"GET http://localhost/v1/head HTTP/1.1\r\n" + HOST + b"\r\n",
    "the whole URL of another": b"GET http://evil.example/v1/head HTTP/1.1\r\n" + HOST + b"\r\n",
    "a place to connect to": b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target without a slash": b"GET v1/head HTTP/1.1\r\n" + HOST + b"\r\n",
    "a fragment": b"GET /v1/head#x HTTP/1.1\r\n" + HOST + b"\r\n",
    "a broken escape": b"GET /v1/head?filter=%zz HTTP/1.1\r\n" + HOST + b"\r\n",
    "an escaped NUL": b"GET /v1/spaces/a%00/keys HTTP/1.1\r\n" + HOST + b"\r\n",
    "no Host": b"GET /v1/head HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /v1/head HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "no request at all": b"\r\n\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(1, 33)) + b"\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a chunk without a size": chunked(b"\r\n1\r\n0\r\n\r\n"),
    "a chunk size that is no number": chunked(b"g\r\n1\r\n0\r\n\r\n"),
    "a negative chunk": chunked(b"-1\r\n1\r\n0\r\n\r\n"),
    "a chunk size with 0x": chunked(b"0x1\r\n1\r\n0\r\n\r\n"),
    "a chunk size past 64 bits": chunked(b"10000000000000001\r\n1\r\n0\r\n\r\n"),
    "a chunk longer than its size": chunked(b"1\r\n11\r\n0\r\n\r\n"),
    "a chunk that ends with a line feed": chunked(b"1\n1\r\n0\r\n\r\n"),
    "data that ends with a line feed": chunked(b"1\r\n1\n0\r\n\r\n"),
    "an endless extension": chunked(b"1;" + b"x" * 5000),
    "a control character in an extension": chunked(b"1;a=\x01\r\n1\r\n0\r\n\r\n"),
    "a bare line feed in an extension": chunked(b"1;a\n1\r\n0\r\n\r\n"),
    "trailers that never end": chunked(b"1\r\n1\r\n0\r\n" + b"X: y\r\n" * 4000),
    "one huge trailer": chunked(b"1\r\n1\r\n0\r\nX: " + b"y" * 20000),
    "a folded trailer": chunked(b"1\r\n1\r\n0\r\n X: y\r\n\r\n"),
    "a NUL in a trailer": chunked(b"1\r\n1\r\n0\r\nX: \0\r\n\r\n"),
    "a bare line feed behind the last chunk": chunked(b"1\r\n1\r\n0\r\n\n"),
}

# What is no HTTP of ours for another reason, each with its own answer.
OTHERWISE = {
    "gzip, then chunked": (501, post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n")),
    "chunked, then identity": (501, post(b"Transfer-Encoding: chunked, identity\r\n")),
    "a coding that looks like chunked": (501, post(b"Transfer-Encoding: xchunked\r\n")),
    "chunked behind a vertical tab": (400, post(b"Transfer-Encoding: \x0bchunked\r\n")),
    "an expectation that nobody knows": (417, post(b"Expect: tea\r\nContent-Length: 1\r\n", b"1")),
    "101 fields": (431, b"GET /v1/head HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 100 + b"\r\n"),
    "17 KiB of fields": (431, b"GET /v1/head HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 17000),
    "a target of 65 KiB": (414, b"GET /v1/head?filter=" + b"y" * 66560),
    "a page of elsewhere": (403, b"GET /v1/head HTTP/1.1\r\n" + HOST +
                            b"Origin: http://evil.example\r\n\r\n"),
}


class FramingTest(hostile.Case):
    def refuse(self, where, data, status):
        connection = self.open(where)
        hostile.send(connection, data + SMUGGLED)
        answer = hostile.read_to_end(connection)
        head, _, body = answer.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 %d " % status), answer[:300])
        self.assertIn(b"\r\nConnection: close", head)
        self.assertIn(b"\r\nContent-Type: application/problem+json", head)
        # One answer and no more: the rest of what was sent is no request.
        problem = json.loads(body)
        self.assertEqual(problem["status"], status)
        self.assertTrue(problem["detail"], problem)
        connection.close()

    def test_each_is_refused_and_nothing_behind_it_is_read(self):
        for where in (self.daemon.socket, self.tcp):
            for name, data in REFUSED.items():
                with self.subTest(name, where=where):
                    self.refuse(where, data, 400)
            for name, (status, data) in OTHERWISE.items():
                with self.subTest(name, where=where):
                    self.refuse(where, data, status)
        self.assertEqual(self.daemon.head(), 0)
        self.assert_alive()

    def test_a_foreign_name_over_tcp(self):
        self.refuse(self.tcp, b"GET /v1/head HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403)
        self.assertEqual(self.daemon.head(), 0)

    def test_http_1_0_gets_an_answer_and_the_end(self):
        for fields in (b"", HOST, b"Connection: keep-alive\r\n"):
            connection = self.open()
            hostile.send(connection, b"GET /v1/head HTTP/1.0\r\n" + fields + b"\r\n" + SMUGGLED)
            answer = hostile.read_to_end(connection)
            self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
            self.assertIn(b"\r\nConnection: close", answer)
        # A stream of unknown length ends with the connection, unchunked.
        self.daemon.produce("a/b")
        connection = self.open()
        hostile.send(connection, b"GET /v1/records HTTP/1.0\r\n\r\n")
        answer = hostile.read_to_end(connection)
        self.assertNotIn(b"chunked", answer)
        self.assertEqual(json.loads(answer.partition(b"\r\n\r\n")[2])["topic"], "a/b")
        self.assertEqual(self.daemon.head(), 1)

    def test_a_body_where_none_belongs_is_not_the_next_request(self):
        connection = self.open()
        get = (b"GET /v1/head HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED))
        hostile.send(connection, get + SMUGGLED + b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual(hostile.read_answer(connection)[0], 200)
        self.assertEqual(hostile.read_answer(connection)[2], b'{"status":"alive"}\n')
        self.assertEqual(self.daemon.head(), 0)

    def test_garbage_behind_a_good_request(self):
        connection = self.open()
        good = post(b"Content-Length: 1\r\n", b"1")
        hostile.send(connection, good + b"\x00\xff garbage\r\n\r\n" + SMUGGLED)
        answer = hostile.read_to_end(connection)
        self.assertTrue(answer.startswith(b"HTTP/1.1 201 "), answer)
        self.assertEqual(answer.count(b"HTTP/1.1 "), 2)
        self.assertIn(b"HTTP/1.1 400 ", answer)
        self.assertEqual(self.daemon.head(), 1)

    def test_what_is_only_unusual_is_taken(self):
        for data in (b"\r\n" + post(b"Content-Length: 1\r\n", b"1"),
                     post(b"content-LENGTH:1\r\n", b"1"),
                     post(b"Content-Length: \t1 \t\r\n", b"1"),
                     post(b"transfer-encoding: CHUNKED\r\n", b"1;ext=\"a\"\r\n1\r\n000\r\nX: y\r\n\r\n"),
                     post(b"Transfer-Encoding: chunked\r\n", b"0001 \r\n1\r\n0\r\n\r\n")):
            with self.subTest(data):
                connection = self.open()
                hostile.send(connection, data)
                self.assertEqual(hostile.read_answer(connection)[0], 201)


if __name__ == "__main__":
    unittest.main()
