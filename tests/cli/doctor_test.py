#!/usr/bin/env python3
"""`klog doctor`: with and without a daemon, and each finding that needs attention."""

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import KLOG, LIMIT_SECONDS, Place  # noqa: E402


class Answerer:
    """Stands in for a daemon: answers each request with what `answers` holds for its target."""

    def __init__(self, path, answers):
        self.answers = answers
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(LIMIT_SECONDS)
                request = connection.recv(65536).decode()
                if not request:
                    continue  # somebody looked whether we listen
                status, body = self.answers[request.split()[1]]
                connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n"
                                   f"Connection: close\r\n\r\n{body}".encode())

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(LIMIT_SECONDS)


class DoctorTest(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)
        self.data = self.place.path("home", ".local", "share", "klog")
        # The disk of a machine under test may be as full as it likes.
        self.ignored = {("disk", "free"), ("disk", "inodes")}

    def doctor(self, *arguments, env=None, preexec_fn=None):
        done = self.place.klog("doctor", *arguments, env=env or {}, preexec_fn=preexec_fn)
        found = {}
        for line in done.stdout.splitlines():
            finding = json.loads(line)
            found[finding["area"], finding["name"]] = finding
        bad = [key for key, finding in found.items() if finding["status"] != "ok"]
        self.assertEqual(done.returncode, 1 if bad else 0, done.stdout + done.stderr)
        return found, sorted(set(bad) - self.ignored)

    def assert_attention(self, key, message, hint, *arguments, **more):
        found, bad = self.doctor(*arguments, **more)
        self.assertEqual(bad, [key], found)
        self.assertIn(message, found[key]["message"])
        self.assertIn(hint, found[key]["hint"])

    def test_before_there_is_anything(self):
        found, bad = self.doctor()
        self.assertEqual(bad, [])
        self.assertIn("none yet", found["data", "directory"]["value"])
        self.assertIn("none runs", found["daemon", "answers"]["value"])
        self.assertFalse(os.path.exists(self.data), "it changes nothing")

    def test_with_a_daemon(self):
        daemon = self.place.daemon()
        for n in range(3):
            daemon.produce(f"a/{n}")
        found, bad = self.doctor()
        self.assertEqual(bad, [])
        pid = str(daemon.process.pid)
        self.assertEqual(found["daemon", "pid"]["value"], pid)
        self.assertEqual(found["daemon", "head"]["number"], 3)
        self.assertEqual(found["daemon", "ready"]["value"], "yes")
        self.assertIn(f"process {pid}", found["socket", "data_dir"]["value"])
        self.assertIn(f"process {pid}", found["socket", "runtime"]["value"])
        self.assertGreaterEqual(found["data", "wal"]["number"], 1 << 15)
        self.assertGreater(found["daemon", "open_files"]["number"], 3)

    def test_forms_of_output(self):
        self.place.daemon()
        os.chmod(self.data, 0o755)
        pretty = self.place.klog("doctor", "-o", "pretty")
        self.assertRegex(pretty.stdout, r"(?m)^! directory +/")
        self.assertIn(f"\n    hint: chmod 700 {self.data}\n", pretty.stdout)
        value = self.place.klog("doctor", "-o", "value", "-q")
        self.assertIn("data directory: other users may enter it (mode 0755)\n", value.stdout)
        self.assertEqual((value.returncode, value.stderr), (1, ""))
        document = json.loads(self.place.klog("doctor", "-o", "json").stdout)
        self.assertEqual(document[0]["area"], "klog")

    def test_settings_are_shown_with_their_origin(self):
        found, _ = self.doctor(env={"KLOG_TOKEN": "secret", "KLOG_TIMEOUT": "9s"})
        self.assertEqual(found["config", "timeout"]["value"], "9s (environment KLOG_TIMEOUT)")
        self.assertNotIn("secret", json.dumps(list(found.values())))

    def test_a_file_of_settings_that_is_wrong(self):
        with open(self.place.path("work", "klog.yaml"), "w", encoding="ascii") as file:
            file.write("dta_dir: x\n")
        self.assert_attention(("config", "settings"), "./klog.yaml:1: there is no setting dta_dir",
                              "data_dir")

    def test_a_directory_that_is_none(self):
        path = self.place.path("file")
        with open(path, "w", encoding="ascii") as file:
            file.write("x")
        self.assert_attention(("data", "directory"), "a file stands", "--data-dir", "--data-dir",
                              path)

    @unittest.skipIf(os.geteuid() == 0, "root may read everything")
    def test_a_directory_that_may_not_be_written(self):
        path = self.place.path("shut")
        os.mkdir(path, 0o500)
        self.assert_attention(("data", "directory"), "you may not", "owner", "--data-dir", path)

    def test_a_socket_path_that_is_too_long(self):
        path = self.place.path("home", "d" * 100)
        self.assert_attention(("socket", "data_dir"), "a socket's may have at most 107",
                              "shorter --data-dir", "--data-dir", path)

    def test_a_file_in_the_place_of_a_socket(self):
        os.makedirs(self.place.path("run", "klog"), 0o700)
        with open(self.place.path("run", "klog", "klog.sock"), "w", encoding="ascii") as file:
            file.write("x")
        self.assert_attention(("socket", "runtime"), "something else", "mv ")

    def test_a_socket_that_a_killed_daemon_left(self):
        self.place.daemon().kill()
        found, bad = self.doctor()
        self.assertEqual(bad, [])
        self.assertIn("left by a daemon that was killed", found["socket", "data_dir"]["value"])

    def test_a_url_that_nobody_answers(self):
        self.assert_attention(("daemon", "answers"), "no daemon answers", "config show --origin",
                              "--url", "unix:///nowhere/klog.sock")

    def test_clients_reach_another_directory(self):
        self.place.daemon()
        other = self.place.path("other")
        self.place.daemon("--data-dir", other)
        self.assert_attention(("daemon", "data"), "another data directory", f"unix://{other}",
                              env={"KLOG_DATA_DIR": other})
        found, bad = self.doctor("--data-dir", other)
        self.assertEqual(bad, [], found)

    def test_too_few_descriptors(self):
        self.assert_attention(
            ("limits", "open_files"), "fewer connections", "LimitNOFILE",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)))

    def test_a_daemon_with_few_descriptors_left(self):
        environment = self.place.environment
        reader, writer = os.pipe()
        daemon = subprocess.Popen(
            [KLOG, "daemon", "-q", "--ready-fd", str(writer)], env=environment,
            pass_fds=[writer], stdin=subprocess.DEVNULL,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400)))
        os.close(writer)
        self.place.started.append(daemon)
        with os.fdopen(reader) as ready:
            self.assertTrue(ready.readline())
        taken = []
        for _ in range(312):  # more than 80% with its files, and the last eighth is for files
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(os.path.join(self.data, "klog.sock"))
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertTrue(connection.recv(1))
            self.addCleanup(connection.close)
            taken.append(connection)
        self.ignored.add(("daemon", "connections"))  # of which there may be fewer, too
        self.assert_attention(("daemon", "open_files"), "nearly all the descriptors",
                              "LimitNOFILE")

    def test_what_a_daemon_says_of_itself(self):
        gauges = {"klog_log_head_seq": 2_000_001, "klog_log_key_index_seq": 1,
                  "klog_log_queue_bytes": 32 << 20, "klog_log_memtable_bytes": 31 << 20,
                  "klog_http_connections_open": 9_999, "klog_http_connections_max": 10_000,
                  "klog_store_segments": 12, "klog_store_segment_bytes": 3 << 20,
                  "klog_store_unsealed_bytes": 1000 << 20}
        metrics = 'klog_build_info{version="0.0.1"} 1\n'
        metrics += "".join(f"# TYPE {name} gauge\n{name} {value}\n"
                           for name, value in gauges.items())
        problem = json.dumps({"status": 503, "code": "disk_full", "detail": "there is no room",
                              "hint": "free some space"})
        path = self.place.path("fake.sock")
        answerer = Answerer(path, {"/metrics": (200, metrics), "/readyz": (503, problem)})
        self.addCleanup(answerer.close)
        found, bad = self.doctor("--url", "unix://" + path)
        self.assertEqual(bad, [("daemon", name) for name in
                               ("connections", "key_index_lag", "memtable", "queue", "ready",
                                "unsealed", "version")])
        self.assertEqual(found["daemon", "segments"]["value"], "12 segments, 3.0 MiB")
        self.assertEqual(found["daemon", "ready"]["message"], "there is no room")
        self.assertEqual(found["daemon", "ready"]["hint"], "free some space")
        self.assertIn("0.0.1", found["daemon", "version"]["message"])
        for key in bad:
            self.assertTrue(found[key]["hint"], found[key])

    def test_what_is_sealed_and_what_is_not(self):
        daemon = self.place.daemon()
        body = "".join(f'{{"topic":"a/{n % 9}","value":"{"x" * 1000}"}}\n'
                       for n in range(10000)).encode()
        while True:  # the daemon seals in the background
            status, _, answer = daemon.request("POST", "/v1/records?envelope=true&acks=summary",
                                               body, "application/x-ndjson")
            self.assertEqual(status, 200, answer)
            metrics = daemon.request("GET", "/metrics")[2].decode()
            if "\nklog_store_segments 0\n" not in metrics:
                break
        daemon.stop()
        found, bad = self.doctor()
        self.assertEqual(bad, [])
        self.assertRegex(found["data", "segments"]["value"],
                         r"^\d+ segments?, [\d.]+ \w+, \d+ records up to seq \d+$")
        self.assertEqual(found["data", "segments"]["number"],
                         found["data", "segment_files"]["number"])
        self.assertGreater(found["data", "unsealed"]["number"], 0)
        wal = os.path.join(self.data, "wal")
        newest = max(name for name in os.listdir(wal) if name.endswith(".wal"))
        os.truncate(os.path.join(wal, newest), 900 << 20)  # a hole, which takes no room
        self.assert_attention(("data", "unsealed"), "sealing is behind", "sealing fails")
        with open(os.path.join(self.data, "seg", "manifest"), "r+b") as file:
            file.write(b"nothing of klog's")
        self.assert_attention(("data", "segments"), "seg/manifest", "klog verify")

    def test_what_answers_is_no_klog(self):
        path = self.place.path("fake.sock")
        answerer = Answerer(path, {"/metrics": (404, "nothing"), "/readyz": (200, "")})
        self.addCleanup(answerer.close)
        self.assert_attention(("daemon", "answers"), "is no klog daemon", "--url", "--url",
                              "unix://" + path)


if __name__ == "__main__":
    unittest.main()
