"""What the hostile tests share: bytes as they are given, and answers read without trust."""

import os
import resource
import select
import socket
import sys
import time
import unittest
import weakref

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import LIMIT_SECONDS, Place, wait_until  # noqa: E402, F401

SANITIZED = bool(os.environ.get("KLOG_SANITIZE"))
HOST = b"Host: localhost\r\n"


def connect(where):
    """A path is a Unix socket, (host, port) is TCP."""
    if isinstance(where, str):
        # Blocking: with a time-out a full backlog is an error at once.
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(where)
        connection.settimeout(LIMIT_SECONDS)
        return connection
    connection = socket.socket(socket.AF_INET)
    connection.settimeout(LIMIT_SECONDS)
    connection.connect(where)
    return connection


def send(connection, data):
    """Sends what the peer takes; one that has closed already takes less."""
    try:
        connection.sendall(data)
        return True
    except (BrokenPipeError, ConnectionResetError):
        return False


# What came with an answer and belongs to the next one.
_ahead = weakref.WeakKeyDictionary()


def readable(connection, seconds):
    """Waits for it with poll(2): select(2) knows no descriptor from 1024 on."""
    waiting = select.poll()
    waiting.register(connection, select.POLLIN)
    return bool(waiting.poll(max(0, seconds) * 1000))


def read_to_end(connection, limit=LIMIT_SECONDS):
    """All that comes until the peer closes, which it must do within the limit."""
    got = _ahead.pop(connection, b"")
    end = time.monotonic() + limit
    while True:
        if not readable(connection, end - time.monotonic()):
            raise AssertionError(f"not closed within {limit} s, after {got[:500]!r}")
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            return got
        if not part:
            return got
        got += part


def read_answer(connection):
    """One answer with a Content-Length: (status, head, body). The next one may come with it."""
    got = _ahead.pop(connection, b"")
    while b"\r\n\r\n" not in got:
        part = connection.recv(65536)
        if not part:
            raise AssertionError(f"closed within a head: {got!r}")
        got += part
    head, _, body = got.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        part = connection.recv(65536)
        if not part:
            raise AssertionError("closed within a body")
        body += part
    _ahead[connection] = body[length:]
    return int(head.split()[1]), head, body[:length]


def processor_seconds(pid):
    """User and system time that a process took so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Case(unittest.TestCase):
    daemon_options = ()

    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)
        self.daemon = self.place.daemon("--data-dir", self.place.path("data"), "--listen",
                                        "127.0.0.1:0", *self.daemon_options)
        port = int(self.daemon.ready["urls"][-1].rpartition(":")[2])
        self.tcp = ("127.0.0.1", port)

    def open(self, where=None):
        connection = connect(where or self.daemon.socket)
        self.addCleanup(connection.close)
        return connection

    def assert_alive(self):
        self.assertIsNone(self.daemon.process.poll(), self.daemon.log())
        self.assertEqual(self.daemon.request("GET", "/livez")[0], 200)


def limited_daemon(place, which, most, *arguments):
    """A daemon that may have `most` of a resource, and cannot raise that."""
    letter = {resource.RLIMIT_NOFILE: "n", resource.RLIMIT_AS: "v"}[which]
    count = most if letter == "n" else most // 1024
    script = f'ulimit -S -{letter} {count}; ulimit -H -{letter} {count}; exec "$0" "$@"'
    return place.daemon(*arguments, prefix=["sh", "-c", script])
