#!/usr/bin/env python3
"""`klog daemon` from the outside: sockets, locks, signals, temporary data."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import (LIMIT_SECONDS, Daemon, Place, UnixConnection, answers, is_alive,  # noqa: E402
                        wait_until)

DRAIN_SECONDS = 5


class DaemonTest(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)
        self.data = self.place.path("data")
        self.own = os.path.join(self.data, "klog.sock")
        self.runtime = self.place.path("run", "klog", "klog.sock")

    def daemon(self, *arguments, **more):
        return self.place.daemon("--data-dir", self.data, *arguments, **more)

    def test_ready_line_says_where_and_who(self):
        daemon = self.daemon("--listen", "127.0.0.1:0")
        self.assertEqual(daemon.ready["pid"], daemon.process.pid)
        self.assertEqual(daemon.ready["data_dir"], self.data)
        urls = daemon.ready["urls"]
        self.assertEqual(urls[:2], [f"unix://{self.own}", f"unix://{self.runtime}"])
        port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)", urls[2]).group(1))
        with socket.create_connection(("127.0.0.1", port), LIMIT_SECONDS) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
                               b"Connection: close\r\n\r\n")
            self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 200"))
        self.assertTrue(answers(self.own) and answers(self.runtime))

    def test_folders_and_sockets_are_the_users_alone(self):
        self.daemon()
        for folder in (self.data, os.path.dirname(self.runtime)):
            self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o700)
        for path in (self.own, self.runtime):
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o660)

    def test_sigterm_ends_it_in_order_and_the_records_stay(self):
        daemon = self.daemon()
        daemon.produce("t/a", '{"n":1}')
        self.assertEqual(daemon.stop(), 0)
        self.assertFalse(os.path.exists(self.own))
        self.assertFalse(os.path.exists(self.runtime))
        self.assertIn("stopping: SIGTERM", daemon.log())
        again = self.daemon()
        self.assertEqual(again.head(), 1)
        self.assertNotIn("unclean", again.log())
        again.signal(signal.SIGINT)
        self.assertEqual(again.wait(), 0)

    def test_killed_it_recovers_what_it_acknowledged(self):
        daemon = self.daemon()
        seq = daemon.produce("t/a", '{"n":1}')
        daemon.kill()
        self.assertTrue(os.path.exists(self.own), "kill -9 leaves a stale socket")
        again = self.daemon()
        self.assertEqual(again.head(), seq)
        self.assertIn("recovered after an unclean stop", again.log())

    def test_a_tail_ends_with_the_drain(self):
        daemon = self.daemon()
        connection = UnixConnection(self.own)
        self.addCleanup(connection.close)
        connection.request("GET", "/v1/records?follow=true")
        answer = connection.getresponse()
        seq = daemon.produce("t/a")
        self.assertEqual(json.loads(answer.readline())["seq"], seq)
        daemon.signal(signal.SIGTERM)
        self.assertEqual(answer.read().strip(), b"")
        self.assertEqual(daemon.wait(DRAIN_SECONDS), 0)

    def test_a_second_daemon_on_the_directory_is_refused(self):
        daemon = self.daemon()
        second = self.place.klog("daemon", "--data-dir", self.data)
        self.assertEqual(second.returncode, 75)
        self.assertIn("klog: locked: ", second.stderr)
        self.assertIn(f"(process {daemon.process.pid})", second.stderr)
        self.assertTrue(answers(self.own))

    def test_a_second_daemon_beside_it_serves_its_own_socket_only(self):
        self.daemon()
        other = self.place.daemon("--data-dir", self.place.path("other"))
        self.assertEqual(other.ready["urls"], [f"unix://{self.place.path('other', 'klog.sock')}"])
        self.assertIn(f"not listening on unix://{self.runtime}", other.log())

    def test_the_runtime_socket_is_taken_over_once_it_is_free(self):
        first = self.daemon()
        other = self.place.daemon("--data-dir", self.place.path("other"))
        first.stop()
        wait_until(lambda: answers(self.runtime), "the other daemon serves the runtime socket")
        self.assertIn(f"listening on unix://{self.runtime}", other.log())

    def test_a_wiped_runtime_folder_is_bound_again(self):
        daemon = self.daemon()
        os.unlink(self.runtime)
        os.rmdir(os.path.dirname(self.runtime))
        wait_until(lambda: answers(self.runtime), "the runtime socket is back")
        self.assertIn("was removed", daemon.log())
        self.assertEqual(daemon.stop(), 0)
        self.assertFalse(os.path.exists(self.runtime))

    def test_a_socket_of_the_users_own_takes_the_runtime_sockets_place(self):
        path = self.place.path("mine", "k.sock")
        daemon = self.daemon("--socket", path)
        self.assertEqual(daemon.ready["urls"], [f"unix://{self.own}", f"unix://{path}"])
        self.assertFalse(os.path.exists(self.runtime))
        other = self.place.klog("daemon", "--data-dir", self.place.path("other"), "--socket", path)
        self.assertEqual(other.returncode, 75)
        self.assertIn("klog: locked: ", other.stderr)
        self.assertTrue(answers(path))

    def test_a_file_that_is_no_socket_is_left_alone(self):
        path = self.place.path("precious")
        with open(path, "w", encoding="ascii") as file:
            file.write("data")
        done = self.place.klog("daemon", "--data-dir", self.data, "--socket", path)
        self.assertEqual(done.returncode, 78)
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), "data")

    def test_what_cannot_be_served_is_said(self):
        for arguments, code, name in (
                (["--listen", "0.0.0.0:0"], 78, "config"),
                (["--listen", "192.0.2.1:80"], 78, "config"),
                (["--ephemeral", "--data-dir", self.data], 2, "usage"),
                (["--data-dir", "/" + "d" * 120], 78, "config"),
                (["--data-dir", "/proc/klog"], 78, "config"),
                (["--value-bytes-max", "67108865"], 2, "bad_option"),
                (["--ready-fd", "77"], 2, "bad_option"),
                (["--config", "missing.yaml"], 66, "no_input"),
                (["--bucket", "file:///b"], 2, "usage"),
                (["--url", "unix:///x"], 2, "usage"),
                (["operand"], 2, "usage")):
            done = self.place.klog("daemon", *arguments)
            self.assertEqual(done.returncode, code, (arguments, done.stderr))
            self.assertIn(f"klog: {name}: ", done.stderr)
            self.assertEqual(done.stdout, "")

    def test_a_path_that_is_too_long_says_how_long_it_may_be(self):
        done = self.place.klog("daemon", "--data-dir", "/" + "d" * 120)
        self.assertIn("at most 107", done.stderr)
        self.assertIn("hint: choose a shorter --data-dir", done.stderr)

    def test_no_home_is_a_configuration_error(self):
        done = self.place.klog("daemon", env={"HOME": ""})
        self.assertEqual(done.returncode, 78)
        self.assertIn("--data-dir", done.stderr)

    def test_the_value_limit_holds(self):
        daemon = self.daemon("--value-bytes-max", "10")
        status, _, body = daemon.request("POST", "/v1/records?topic=t", b'"' + b"x" * 20 + b'"',
                                         "application/json")
        self.assertEqual((status, json.loads(body)["code"]), (413, "value_too_large"))

    def test_a_clients_environment_does_not_stop_it(self):
        daemon = self.daemon(env={"KLOG_CONTEXT": "gone", "KLOG_TENANT": "other",
                                  "KLOG_URL": "http://elsewhere:1"})
        self.assertTrue(answers(daemon.socket))

    def test_settings_reach_it_from_a_file(self):
        with open(self.place.path("work", "klog.yaml"), "w", encoding="ascii") as file:
            file.write(f"data_dir: {self.data}\nvalue_bytes_max: 10\n")
        daemon = self.place.daemon()
        self.assertEqual(daemon.ready["data_dir"], self.data)
        self.assertEqual(daemon.request("POST", "/v1/records?topic=t", b'"0123456789"',
                                        "application/json")[0], 413)

    def test_log_lines_carry_the_time(self):
        daemon = self.daemon()
        daemon.stop()
        lines = daemon.log().splitlines()
        self.assertGreaterEqual(len(lines), 4)
        for line in lines:
            self.assertRegex(line, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z klog: ")
        quiet = self.daemon("-q")
        quiet.stop()
        self.assertEqual(quiet.log(), "")

    def test_a_closed_terminal_ends_it_in_order(self):
        daemon = self.daemon()
        daemon.signal(signal.SIGHUP)
        self.assertEqual(daemon.wait(), 0)

    def test_a_second_signal_ends_it_at_once(self):
        daemon = self.daemon()
        # A body that does not come keeps the drain waiting.
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(connection.close)
        connection.connect(self.own)
        connection.sendall(b"POST /v1/records?topic=t HTTP/1.1\r\nHost: localhost\r\n"
                           b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n1")
        daemon.head()
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in daemon.log(), "the drain begins")
        wait_until(lambda: not os.path.exists(self.own), "the socket is gone")
        daemon.signal(signal.SIGTERM)
        self.assertIn(daemon.wait(), (143, 0))

    def test_the_drain_has_a_limit(self):
        daemon = self.daemon()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(connection.close)
        connection.connect(self.own)
        connection.sendall(b"POST /v1/records?topic=t HTTP/1.1\r\nHost: localhost\r\n"
                           b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n1")
        daemon.head()
        self.assertEqual(daemon.stop(), 0)

    # ------------------------------------------------------------------------- temporary data

    def ephemeral_folders(self):
        return [name for name in os.listdir(self.place.path("tmp"))
                if name.startswith("klog-ephemeral-")]

    def test_temporary_data_goes_with_the_daemon(self):
        daemon = self.place.daemon("--ephemeral")
        folder = daemon.ready["data_dir"]
        self.assertEqual(os.path.dirname(folder), self.place.path("tmp"))
        status, _, body = daemon.request("POST", "/v1/records?topic=t/a", b"1", "application/json")
        self.assertEqual((status, json.loads(body)["durable"]), (201, "none"))
        self.assertTrue(answers(self.runtime))
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(self.ephemeral_folders(), [])

    def test_a_dead_daemons_temporary_data_goes_at_the_next_start(self):
        dead = self.place.daemon("--ephemeral")
        living = self.place.daemon("--ephemeral")
        dead.kill()
        unmarked = self.place.path("tmp", f"klog-ephemeral-{dead.process.pid}-abcdef")
        os.mkdir(unmarked)
        mine = self.place.path("tmp", f"klog-ephemeral-{os.getpid()}-abcdef")
        os.mkdir(mine)
        self.place.daemon("--ephemeral")
        self.assertFalse(os.path.exists(dead.ready["data_dir"]))
        self.assertFalse(os.path.exists(unmarked))
        self.assertTrue(os.path.exists(mine), "its process lives and may be about to mark it")
        self.assertTrue(os.path.exists(living.ready["data_dir"]))
        self.assertTrue(answers(living.socket))

    def test_temporary_data_ignores_directories_and_sockets_that_others_name(self):
        with open(self.place.path("work", "klog.yaml"), "w", encoding="ascii") as file:
            file.write(f"socket: {self.place.path('filed.sock')}\n")
        daemon = self.place.daemon("--ephemeral", env={"KLOG_DATA_DIR": self.data})
        self.assertNotEqual(daemon.ready["data_dir"], self.data)
        self.assertFalse(os.path.exists(self.data))
        self.assertFalse(os.path.exists(self.place.path("filed.sock")))
        path = self.place.path("named.sock")
        named = self.place.daemon("--ephemeral", "--socket", path)
        self.assertIn(f"unix://{path}", named.ready["urls"])

    def test_an_idle_daemon_uses_no_processor(self):
        daemon = self.daemon()
        daemon.produce("t/a")

        def ticks():
            with open(f"/proc/{daemon.process.pid}/stat", encoding="ascii") as file:
                fields = file.read().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])

        def wakes():
            total = 0
            folder = f"/proc/{daemon.process.pid}/task"
            for task in os.listdir(folder):
                with open(f"{folder}/{task}/status", encoding="ascii") as file:
                    total += int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", file.read(),
                                           re.MULTILINE).group(1))
            return total

        before_ticks, before_wakes = ticks(), wakes()
        # The daemon's own watch over its sockets is the clock of this test.
        os.unlink(self.runtime)
        wait_until(lambda: answers(self.runtime), "the runtime socket is back")
        self.assertLessEqual(ticks() - before_ticks, 5)
        self.assertLessEqual(wakes() - before_wakes, 100)

    def test_an_address_that_cannot_be_is_told_before_anything_is_made(self):
        for options in (["--listen", "10.0.0.1:1"], ["--listen", "nowhere"],
                        ["--socket", self.place.path("s" * 120)]):
            done = self.place.klog("daemon", "--data-dir", self.data, *options)
            self.assertEqual(done.returncode, 78, done.stderr)
            self.assertFalse(os.path.exists(self.data), options)

    def test_what_a_start_needs_is_gone_when_it_fails(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            done = self.place.klog("daemon", "--data-dir", self.data, "--listen",
                                   f"127.0.0.1:{taken.getsockname()[1]}")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("something else listens on", done.stderr)
        self.assertFalse(os.path.exists(self.own))
        daemon = self.daemon()
        self.assertNotIn("unclean", daemon.log(), "a start that failed stopped in order")


if __name__ == "__main__":
    unittest.main()
