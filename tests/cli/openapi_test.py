#!/usr/bin/env python3
"""/v1/openapi.json against what the daemon really answers.

The document itself is checked: references, parameters, and by openapi-spec-validator where that is
installed. Then each call that it lists is driven to each status that it lists, and whatever comes
back has to stand in it: the status, the type of the content, each line of the body by its schema,
each header. A status that is listed and was not seen fails as well.
"""

import contextlib
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import socket
import struct
import sys
import termios
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import LIMIT_SECONDS, Place, UnixConnection, wait_until  # noqa: E402
from schema_check import Mismatch, check, resolve  # noqa: E402

# What HTTP itself is about; no document lists them for each call.
PLAIN_HEADERS = {"content-type", "content-length", "transfer-encoding", "date", "connection",
                 "server", "cache-control", "x-content-type-options", "allow", "vary"}
JSON, LINES, BYTES = "application/json", "application/x-ndjson", "application/octet-stream"
FRAMES = "application/vnd.klog.batch"
# Values that need more than one file of a new log, so that an old one can be damaged.
LARGE_BYTES, LARGE_VALUES = 200_000, 40


class Answers:
    """Requests, each judged by the document."""

    def __init__(self, document):
        self.document, self.seen = document, set()
        self.wrong = []

    def operation(self, method, target):
        path = target.split("?")[0]
        for pattern, operations in self.document["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path):
                return pattern, operations.get(method.lower())
        return path, None

    def call(self, daemon, method, target, body=None, content_type=None, headers=None):
        connection = UnixConnection(daemon.socket)
        sent = {"Content-Type": content_type} if content_type else {}
        connection.request(method, target, body, {**sent, **(headers or {})})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        self.judge(method, target, answer.status, dict(answer.getheaders()), text)
        return answer.status, text

    def judge(self, method, target, status, headers, text):
        pattern, operation = self.operation(method, target)
        where = f"{method} {target[:80]}: {status}"
        if operation is None or str(status) not in operation["responses"]:
            self.wrong.append(f"{where} stands nowhere in the document: {text[:200]}")
            return
        self.seen.add((pattern, method, str(status)))
        described = operation["responses"][str(status)]
        if "$ref" in described:
            described = resolve(self.document, described["$ref"])
        headers = {name.lower(): value for name, value in headers.items()}
        known = {name.lower() for name in described.get("headers", {})}
        for name in headers.keys() - known - PLAIN_HEADERS:
            self.wrong.append(f"{where}: the header {name} stands nowhere")
        kind = headers.get("content-type", "").split(";")[0]
        content = described.get("content", {}).get(kind)
        if content is None:
            self.wrong.append(f"{where}: content of type {kind}")
            return
        try:
            self.judge_body(kind, content["schema"], text)
        except (Mismatch, ValueError) as error:
            self.wrong.append(f"{where}: {error}")
        if kind == "application/problem+json" and json.loads(text)["status"] != status:
            self.wrong.append(f"{where}: the body says another status")

    def judge_body(self, kind, schema, text):
        if kind in (JSON, "application/problem+json"):
            check(self.document, schema, json.loads(text))
        elif kind == LINES:
            for line in text.splitlines():
                check(self.document, schema, json.loads(line))
        elif kind == FRAMES:
            check(self.document, schema, "")
            assert text.startswith(b"KBAT"), text[:20]
        else:
            check(self.document, schema, text.decode())

    def not_seen(self):
        listed = {(path, method.upper(), status)
                  for path, operations in self.document["paths"].items()
                  for method, operation in operations.items() if method != "parameters"
                  for status in operation["responses"]}
        return sorted(listed - self.seen)


class OpenApiTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = Place()
        cls.daemon = cls.place.daemon("--data-dir", cls.place.path("data"))
        status, _, text = cls.daemon.request("GET", "/v1/openapi.json")
        assert status == 200
        cls.document = json.loads(text)

    @classmethod
    def tearDownClass(cls):
        cls.place.close()

    def test_the_document_is_the_one_of_the_sources(self):
        path = os.path.join(os.environ["KLOG_SOURCE_DIR"], "schemas", "openapi.json")
        with open(path, encoding="utf-8") as file:
            self.assertEqual(json.load(file), self.document)

    def test_the_document_is_sound(self):
        with contextlib.suppress(ImportError):
            import openapi_spec_validator  # pylint: disable=import-outside-toplevel
            openapi_spec_validator.validate(self.document)
        self.assertRegex(self.document["openapi"], r"^3\.1\.")
        names = set()
        for path, operations in self.document["paths"].items():
            shared = operations.get("parameters", [])
            for method, operation in operations.items():
                if method == "parameters":
                    continue
                names.add(operation["operationId"])
                given = {p["name"] for p in shared + operation.get("parameters", [])
                         if p["in"] == "path"}
                self.assertEqual(given, set(re.findall(r"\{(\w+)\}", path)), path)
                self.assertTrue(operation["responses"], path)
        self.assertEqual(len(names), sum(len(o.keys() - {"parameters"})
                                         for o in self.document["paths"].values()))
        for reference in re.findall(r'"\$ref": *"([^"]+)"', json.dumps(self.document)):
            resolve(self.document, reference)

    def test_the_validator_refuses_what_does_not_fit(self):
        schemas = self.document["components"]["schemas"]
        ack = {"seq": 1, "time": "2026-01-02T03:04:05.000006Z", "durable": "local"}
        check(self.document, schemas["Ack"], ack)
        for change in ({"seq": 0}, {"seq": "1"}, {"seq": True}, {"durable": "maybe"},
                       {"time": "yesterday"}, {"duplicate": False}):
            with self.assertRaises(Mismatch, msg=change):
                check(self.document, schemas["Ack"], {**ack, **change})
        with self.assertRaises(Mismatch):
            check(self.document, schemas["Envelope"], {"topic": "a", "exepct": 1})

    def test_what_is_answered_stands_in_it(self):
        answers = Answers(self.document)
        slow = threading.Thread(target=slow_body, args=(self.daemon, answers))
        slow.start()
        writes(answers, self.daemon)
        reads(answers, self.daemon)
        consumers(answers, self.daemon)
        mistakes(answers, self.daemon)
        damaged(answers, self.place)
        unknown(answers, self.place)
        no_room(answers, self.place)
        slow.join(LIMIT_SECONDS)
        stopping(answers, self.place)
        self.assertFalse(answers.wrong, "\n".join(answers.wrong))
        self.assertEqual(answers.not_seen(), [], "listed, and never seen")


def post(answers, daemon, query, body=b"1", content_type=JSON):
    return answers.call(daemon, "POST", "/v1/records?" + query, body, content_type)


def writes(answers, daemon):
    for _ in range(2):  # 201, then 200 for the repeated id
        post(answers, daemon, "topic=a/b&key=k&id=i1&header=h=v&event_time=2026-01-02T03:04:05Z")
    post(answers, daemon, "topic=a/b&key=k&expect=1", b"\x00\xff", BYTES)
    post(answers, daemon, "topic=a/b&key=gone")
    post(answers, daemon, "topic=a/b&key=gone&kind=tombstone", b"")
    post(answers, daemon, "topic=a/c")
    for expect in ("7", "absent", "0"):  # 409
        post(answers, daemon, f"topic=a/b&key=k&expect={expect}")
    post(answers, daemon, "topic=a/b&key=gone&expect=exists")
    post(answers, daemon, "topic=a/b&key=k&id=i1", b"2")
    lines = (b'{"topic":"a/b","key":"k","value":[1]}\n{"topic":"a/b","key":"k","expect":99,"value":1}\n'
             b'{"topic":"!","value":1}\n{"topic":"a","value_base64":"aGk=","headers":{"n":"v"}}\n')
    for more in ("", "&acks=summary"):
        post(answers, daemon, "envelope=true&on_error=skip" + more, lines, LINES)
        post(answers, daemon, "topic=a/{/n}&key_from=/n" + more, b'{"n":"x"}\n{"n":2}\nbroken\n', LINES)


    guards(answers, daemon)


def guards(answers, daemon):
    post(answers, daemon, "topic=a/x&expect_none=nothing/>&after=0")
    post(answers, daemon, "topic=a/x&key=k&expect_none=a/b")  # 409, with the key
    post(answers, daemon, "topic=a/x&expect_none=a/x")  # without one
    post(answers, daemon, "topic=a/x&expect_none=a/b&after=99999999")  # 410
    guarded = b'{"topic":"a/x","value":1,"expect":{"none":["a/*"]}}\n'
    post(answers, daemon, "envelope=true", guarded, LINES)
    batch = "envelope=true&atomic=true"
    known = b'{"topic":"g/1","id":"g1","key":"k","value":1}\n{"topic":"g/2","id":"g2","value":1}\n'
    for _ in range(2):  # 201, then 200
        post(answers, daemon, batch, known, LINES)
    post(answers, daemon, batch, b'{"guard":{"none":["nothing"]}}\n', LINES)
    post(answers, daemon, batch + "&expect_none=a/*", guarded + known + b'{"topic":"g/3","value":1}\n'
         b'{"guard":{"space":"a","key":"k","expect":99}}\n', LINES)
    post(answers, daemon, batch + "&expect_none=a/*", guarded +
         b'{"guard":{"space":"a","key":"k","expect":99}}\n', LINES)
    post(answers, daemon, batch, b'{"guard":{"none":["a"],"after":99999999}}\n', LINES)  # 410
    post(answers, daemon, batch, b'{"topc":1}\n' * 101, LINES)
    post(answers, daemon, "topic=a/x&atomic=true", b"1\n" * 10_001, LINES)  # 413


def reads(answers, daemon):
    for target in ("/v1/records", "/v1/records?filter=a/>&not=a/c&limit=2", "/v1/records?key=k",
                   "/v1/records?last=1", "/v1/records?from=1&until=2",
                   "/v1/spaces/a/keys/k", "/v1/spaces/a/keys/k?version=1",
                   "/v1/spaces/a/keys/k/history", "/v1/spaces/a/keys/k/history?from_version=2",
                   "/v1/spaces/a/keys/k/history?to_version=9&last=1",
                   "/v1/records?newest_per_key=true&filter=a/>",
                   "/v1/spaces/a/keys/gone", "/v1/spaces/a/keys/nobody",
                   "/v1/spaces/a/keys/nobody/history", "/v1/spaces/a/keys/k?version=999",
                   "/v1/spaces/a/keys", "/v1/spaces/a/keys?deleted=true&prefix=g", "/v1/topics",
                   "/v1/topics?filter=a/*", "/v1/head", "/v1/head?filter=nothing/>",
                   "/v1/count", "/v1/count?filter=a/>&not=a/c&after=1&until=9&key=k",
                   "/v1/openapi.json", "/livez", "/readyz", "/metrics"):
        answers.call(daemon, "GET", target)
    for accept in ("text/event-stream", FRAMES, f"text/event-stream, {FRAMES}"):  # 200, 200, 406
        answers.call(daemon, "GET", "/v1/records?limit=1", headers={"Accept": accept})


def consumers(answers, daemon):
    one, made = "/v1/consumers/worker", b'{"filter":["a/>"],"not":"a/c","from":"start"}'
    for body in (made, made, b'{"filter":"b"}', b'{"filtre":[]}', b"x" * 300_000):
        answers.call(daemon, "PUT", one, body, JSON)  # 201, 200, 409, 400, 413
    answers.call(daemon, "PUT", one + "2", b'{"from":1}', JSON)
    for target in (one, one + "?lag=false", one + "?lag=x", "/v1/consumers/nobody",
                   "/v1/consumers", "/v1/consumers?lag=true&limit=1", "/v1/consumers?limit=0",
                   one + "/records", one + "/records?limit=0",
                   "/v1/consumers/nobody/records"):
        answers.call(daemon, "GET", target)
    for accept in ("text/event-stream", FRAMES):
        answers.call(daemon, "GET", one + "/records?limit=1&after=1", headers={"Accept": accept})
    for body in (b'{"seq":1,"result":{"ok":true}}', b'{"seq":99999}', b"{}", b"x" * 300_000):
        answers.call(daemon, "POST", one + "/ack", body, JSON)  # 200, 409, 400, 413
    answers.call(daemon, "POST", one + "/ack", b'{"seq":1}', JSON, {"Klog-Lease": "1"})  # 409
    answers.call(daemon, "POST", "/v1/consumers/nobody/ack", b'{"seq":1}', JSON)
    answers.call(daemon, "GET", one)
    with open_socket(daemon) as reader:
        reader.sendall(b"GET " + one.encode() + b"/records?follow=true HTTP/1.1\r\n"
                       b"Host: localhost\r\n\r\n")
        assert reader.recv(65536)
        answers.call(daemon, "GET", one + "/records")  # 429
        answers.call(daemon, "POST", one + "/reset", b'{"position":"start"}', JSON)
        answers.call(daemon, "GET", one + "/records?take_over=true")
    for body in (b'{"position":1}', b'{"position":99999}', b"{}", b"x" * 300_000):
        answers.call(daemon, "POST", one + "/reset", body, JSON)  # 200, 409, 400, 413
    answers.call(daemon, "POST", "/v1/consumers/nobody/reset", b'{"position":1}', JSON)
    for target in (one + "?x=1", one, one, "/v1/consumers?idle=30d", "/v1/consumers"):
        answers.call(daemon, "DELETE", target)  # 400, 200, 404, 200, 400
    for method, target in CONSUMER_CALLS:
        answers.call(daemon, method, target, b"{}" if method in ("PUT", "POST") else None,
                     headers={"Klog-Tenant": "another"})


CONSUMER_CALLS = (("GET", "/v1/consumers"), ("DELETE", "/v1/consumers?idle=1d"),
                  ("GET", "/v1/consumers/c"), ("PUT", "/v1/consumers/c"),
                  ("DELETE", "/v1/consumers/c"), ("GET", "/v1/consumers/c/records"),
                  ("POST", "/v1/consumers/c/ack"), ("POST", "/v1/consumers/c/reset"))


def mistakes(answers, daemon):
    post(answers, daemon, "topic=$klog/x")
    post(answers, daemon, "topic=a", b"hello")
    post(answers, daemon, "topic=a//b")
    post(answers, daemon, "topic=a&nonsense=1")
    post(answers, daemon, "topic=a&ack=bucket")
    post(answers, daemon, "topic=a", b'"' + b"x" * (1 << 20) + b'"')
    post(answers, daemon, "topic=a", b"1", "text/plain")
    for target in ("/v1/records?filter=a/>/b", "/v1/records?limit=0", "/v1/spaces/a/keys/k?version=x",
                   "/v1/spaces/a/keys/k/history?from_version=x",
                   "/v1/spaces/a/keys/k/history?from_version=2&to_version=1",
                   "/v1/records?newest_per_key=maybe", "/v1/spaces/a/keys?what=1",
                   "/v1/topics?filter=", "/v1/head?filter=*a", "/v1/count?filter=*a",
                   "/v1/count?after=x", "/v1/records?from=3&until=2"):
        answers.call(daemon, "GET", target)
    for method, target in (("POST", "/v1/records?topic=a"), ("GET", "/v1/records"),
                           ("GET", "/v1/spaces/a/keys/k"), ("GET", "/v1/spaces/a/keys/k/history"),
                           ("GET", "/v1/spaces/a/keys"), ("GET", "/v1/topics"), ("GET", "/v1/head"),
                           ("GET", "/v1/count")):
        body = b"1" if method == "POST" else None
        answers.call(daemon, method, target, body, JSON if body else None,
                     {"Klog-Tenant": "another"})


def open_socket(daemon):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(LIMIT_SECONDS)
    connection.connect(daemon.socket)
    return connection


def slow_body(daemon, answers):
    """A body that does not come: 408 after half a minute."""
    with open_socket(daemon) as connection:
        connection.sendall(b"POST /v1/records?topic=a HTTP/1.1\r\nHost: localhost\r\n"
                           b"Content-Type: application/json\r\nContent-Length: 5\r\n\r\n12")
        status, headers, text = raw_answer(connection)
    answers.judge("POST", "/v1/records?topic=a", status, headers, text)


def raw_answer(connection):
    """An answer that ends with its connection."""
    answer = b""
    while True:
        part = connection.recv(65536)
        if not part:
            break
        answer += part
    head, _, text = answer.partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    return int(first.split()[1]), dict(field.split(": ", 1) for field in fields), text


def damaged(answers, place):
    """A byte of an old file is another one: reads of it are 500."""
    data = place.path("damaged")
    daemon = place.daemon("--data-dir", data)
    for _ in range(LARGE_VALUES):  # more than the newest frames that are kept in memory
        daemon.produce("a/large", '"' + "x" * LARGE_BYTES + '"')
    folder = os.path.join(data, "wal")
    for name in sorted(name for name in os.listdir(folder) if name.endswith(".wal")):
        path = os.path.join(folder, name)
        if os.path.getsize(path) > LARGE_BYTES:
            with open(path, "r+b") as file:
                file.seek(LARGE_BYTES // 2)
                file.write(b"!")
            break
    # A count of a key has to read.
    for target in ("/v1/records", "/v1/count?key=k"):
        status, text = answers.call(daemon, "GET", target)
        assert status == 500 and json.loads(text)["code"] == "corrupt", (status, text[:300])
    daemon.kill()


def unknown(answers, place):
    """A file of the log is gone, and what is newest of a key with it: a read-only daemon says 500."""
    data = place.path("holes")
    for topic in (None, "a/x", "a/y"):  # a WAL file each
        daemon = place.daemon("--data-dir", data)
        if topic is None:
            daemon.request("PUT", "/v1/consumers/c", b"{}", JSON)
        if topic:
            daemon.request("POST", f"/v1/records?topic={topic}&key=k", b"1", JSON)
        daemon.stop()
    shutil.rmtree(os.path.join(data, "index"))
    os.remove(os.path.join(data, "wal", f"{2:020}.wal"))
    daemon = place.daemon("--data-dir", data, "--read-only", "--socket", place.path("holes.sock"))
    for target in ("/v1/spaces/a/keys/k2", "/v1/spaces/a/keys/k2/history", "/v1/spaces/a/keys",
                   "/v1/topics", "/v1/head?filter=a/*"):
        status, text = answers.call(daemon, "GET", target)
        assert status == 500 and json.loads(text)["code"] == "corrupt", (target, status, text[:300])
    status, text = post(answers, daemon, "topic=a/x", b"1")
    assert status == 403 and json.loads(text)["code"] == "not_allowed", (status, text)
    for method, target in CONSUMER_CALLS:
        answers.call(daemon, method, target, b"{}" if method in ("PUT", "POST") else None)
    answers.call(daemon, "GET", "/readyz")
    daemon.stop()


def no_room(answers, place):
    """A limit on the size of files stands for a full disk, and for one that fails."""
    daemon = place.daemon("--data-dir", place.path("full"))
    daemon.produce("a/x")
    before = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
    folder = os.path.join(place.path("full"), "wal")
    log_file = os.path.join(folder, max(n for n in os.listdir(folder) if n.endswith(".wal")))
    with open(log_file, "rb") as file:
        end = len(file.read().rstrip(b"\0"))
    # The head of the next frame fits, its value does not: 507, and nothing is left of it.
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (end + 1000, before[1]))
    status, text = post(answers, daemon, "topic=a/x", b'"' + b"x" * 20_000 + b'"')
    assert status == 507, (status, text)
    answers.call(daemon, "GET", "/readyz")
    # Not even the head fits, so that what is there cannot be undone: 504, and no more writes.
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (1000, before[1]))
    status, text = post(answers, daemon, "topic=a/x", b"1")
    assert status == 504, (status, text)
    post(answers, daemon, "topic=a/x", b"1")
    answers.call(daemon, "GET", "/readyz")
    daemon.kill()


def unread_by_peer(connection):
    return struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]


def stopping(answers, place):
    """A request whose head ends when the daemon drains already: 503."""
    daemon = place.daemon("--data-dir", place.path("stopping"))
    with open_socket(daemon) as stream, open_socket(daemon) as late:
        # An open stream holds the drain up.
        stream.sendall(b"POST /v1/records?topic=a HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                       b"application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n1\n\r\n")
        late.sendall(b"POST /v1/records?topic=a HTTP/1.1\r\nHost: localhost\r\n")
        assert stream.recv(65536)
        wait_until(lambda: unread_by_peer(late) == 0, "the daemon reads the half head")
        daemon.signal(signal.SIGTERM)
        # It takes no new connections from when it refuses new requests on old ones.
        wait_until(lambda: not os.path.exists(daemon.socket), "the daemon drains")
        late.sendall(b"Content-Type: application/json\r\nContent-Length: 1\r\n\r\n1")
        answers.judge("POST", "/v1/records?topic=a", *raw_answer(late))
    daemon.wait()


if __name__ == "__main__":
    signal.alarm(300)
    unittest.main()
