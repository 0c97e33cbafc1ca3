#!/usr/bin/env python3
"""Errors: their form on stderr, their exit codes, and servers that are no daemon."""

import os
import socket
import threading
import unittest

import klogtest

CLIENTS = [["head"], ["get", "a", "b"], ["keys", "a"], ["topics"], ["history", "a", "b"],
           ["tail"], ["tail", "--no-follow"], ["produce", "a/b", "1"], ["produce", "a/b"]]


class Unreachable(klogtest.Case):
    daemon_wanted = False

    def test_nobody_listens(self):
        for args in CLIENTS:
            text = self.problem(*args, code=69, says="unreachable: no daemon answers at unix://")
            self.assertTrue(text.endswith("hint: klog daemon\n"), text)

    def test_a_socket_that_nobody_holds_any_more(self):
        path = os.path.join(self.directory, "nobody.sock")
        socket.socket(socket.AF_UNIX).bind(path)
        self.problem("head", code=69, says="unreachable: ")

    def test_bad_urls(self):
        self.url = "ftp://somewhere"
        self.problem("head", code=78, says="config: ")

    def test_unknown_tenants_and_contexts(self):
        self.problem("head", "--tenant", "acme", code=78, says="config: there is no tenant")
        self.problem("head", "--context", "prod", code=78, says="config: ")


class Impostor(klogtest.Case):
    """Something listens, but it is no klog server."""

    daemon_wanted = False

    def serve(self, answer):
        path = os.path.join(self.directory, "nobody.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        listener.settimeout(klogtest.LIMIT_S)

        def run():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(listener.close)
        self.addCleanup(thread.join)

    def test_no_http(self):
        self.serve(b"220 mail.example.org ESMTP\r\n")
        self.problem("head", code=78, says="not_klog: ")

    def test_another_web_server(self):
        body = b"<html>not here</html>"
        self.serve(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s"
                   % (len(body), body))
        self.problem("head", code=78, says="not_klog: ")

    def test_codes_of_a_newer_daemon_keep_their_exit_codes(self):
        for status, code in [(400, 65), (401, 77), (403, 77), (404, 78), (408, 124), (409, 4),
                             (410, 4), (412, 4), (413, 65), (418, 2), (422, 65), (429, 75),
                             (500, 70), (503, 75), (504, 76), (507, 75)]:
            with self.subTest(status=status):
                body = b'{"code":"from_the_future","detail":"it says why","hint":"do this"}'
                self.serve(b"HTTP/1.1 %d Odd\r\nContent-Type: application/problem+json\r\n"
                           b"Content-Length: %d\r\n\r\n%s" % (status, len(body), body))
                text = self.problem("head", code=code, says="from_the_future: it says why\n")
                self.assertTrue(text.endswith("hint: do this\n"))
                self.doCleanups()
                self.setUp()

    def test_a_failed_sync_of_the_daemon_is_an_io_error(self):
        body = b'{"code":"io","detail":"a sync of the log failed earlier","hint":"look at the disk"}'
        self.serve(b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/problem+json\r\n"
                   b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.problem("produce", "a/b", "1", code=74, says="io: a sync of the log failed earlier\n")

    def test_an_answer_that_never_comes(self):
        path = os.path.join(self.directory, "nobody.sock")
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(path)
        listener.listen()
        self.problem("head", "--timeout", "200ms", code=124, says="timeout: ")


class Streams(klogtest.Case):
    def test_stdout_that_is_full(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("there is no /dev/full here")
        with open("/dev/full", "wb") as full:
            done = klogtest.subprocess.run([klogtest.KLOG, "head"], stdout=full,
                                           stderr=klogtest.subprocess.PIPE, env=self.environment())
        self.assertEqual(done.returncode, 74)
        self.assertTrue(done.stderr.startswith(b"klog: io: standard output: "))


if __name__ == "__main__":
    klogtest.main()
