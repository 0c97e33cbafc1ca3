#!/usr/bin/env python3
"""tail --as and the verb consumer: positions that outlive reads, restarts and kills."""

import json
import os
import pty
import signal
import subprocess
import sys
import unittest

import klogtest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import UnixConnection  # noqa: E402


class Consumer(klogtest.Case):
    ephemeral = False

    def setUp(self):
        super().setUp()
        for n in range(1, 4):
            self.produce(f"orders/{n}/created", n, "-k", str(n))
        self.produce("notes/x", "note")

    def values(self, *args):
        out = self.klog("tail", "-o", "value", "--no-follow", *args).stdout
        return [json.loads(line) for line in out.splitlines()]

    def show(self, name):
        return json.loads(self.klog("consumer", "show", name, "-o", "ndjson").stdout)

    def call(self, method, target, body=None, headers=None):
        connection = UnixConnection(self.daemon.socket)
        self.addCleanup(connection.close)
        connection.request(method, target, body and json.dumps(body), headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), dict(answer.getheaders())

    def follow(self, *args):
        """A following tail that holds its consumer, and its lines."""
        process = self.start("tail", *args)
        reader = klogtest.Reader(process.stdout)
        name = args[args.index("--as") + 1]
        klogtest.wait_until(lambda: self.reads(name), "the tail reads")
        return process, reader

    def reads(self, name):
        status, row, _ = self.call("GET", f"/v1/consumers/{name}?lag=false")
        return status == 200 and row["reader"]

    def test_each_record_once_and_the_filter_is_kept(self):
        self.assertEqual(self.values("orders/", "--as", "billing"), [1, 2, 3])
        self.assertEqual(self.values("--as", "billing"), [])
        self.produce("orders/4/created", 4)
        self.produce("notes/y", "another")
        row = self.show("billing")
        self.assertEqual((row["filter"], row["lag"], row["reader"]), (["orders/>"], 1, False))
        self.assertEqual(self.values("orders/>", "--as", "billing"), [4])
        self.assertEqual(self.show("billing")["lag"], 0)
        self.problem("tail", "notes/", "--as", "billing", code=4, says="consumer_differs: ")
        self.assertEqual(self.values("--as", "billing"), [])

    def test_where_it_begins(self):
        self.assertEqual(self.values("--as", "a", "--from", "3"), [3, "note"])
        self.assertEqual(self.values("--as", "b", "--after", "3"), ["note"])
        self.assertEqual(self.values("--as", "c", "--from", "end"), [])
        self.assertEqual(self.values("--as", "d", "--from", "1h", "--not", "notes/"), [1, 2, 3])
        self.assertEqual(self.values("--as", "e", "--limit", "2"), [1, 2])
        self.assertEqual(self.values("--as", "e", "--limit", "1"), [3])
        self.assertEqual(self.values("--as", "e", "--until", "4"), ["note"])
        told = self.klog("tail", "--as", "e", "--from", "start", "--no-follow").stderr
        self.assertIn(b"klog consumer reset", told)

    def test_mistakes(self):
        for args in (["--as", "x", "--cursor-file", "f"], ["--as", "x", "-n", "3"],
                     ["--as", "x", "--key", "1"], ["--as", "x", "--newest-per-key"],
                     ["--no-ack"], ["--take-over"]):
            self.problem("tail", *args, code=2, says="usage: ")
        for name in ("a/b", "a b", "*", "x" * 129):
            self.problem("tail", "--as", name, code=2, says="bad_option: ")
        self.problem("tail", "$klog/>", "--as", "own", "--no-follow", code=2, says="bad_filter: ")
        self.problem("consumer", "show", "nobody", code=1, says="not_found: ")
        self.problem("consumer", "ack", "nobody", "1", code=1, says="not_found: ")
        for args in ([], ["lst"], ["show"], ["ls", "x"], ["ack", "a"], ["rm"], ["reset", "a", "--yes"],
                     ["show", "a", "--yes"], ["ls", "--to", "start"], ["rm", "a", "--idle", "3d"]):
            self.problem("consumer", *args, code=2, says="usage: ")
        self.problem("consumer", "ack", "a", "x", code=2, says="bad_option: SEQ")
        self.problem("consumer", "rm", "--idle", "3x", "--yes", code=2, says="bad_option: --idle")

    def test_acks_of_a_worker(self):
        lines = self.lines("tail", "orders/", "--as", "w", "--no-ack", "--no-follow")
        self.assertEqual([line["value"] for line in lines], [1, 2, 3])
        lease = lines[0]["meta"]["lease"]
        self.assertEqual(lines[2]["meta"], {"consumer": "w", "lease": lease})
        self.assertEqual(self.show("w")["lag"], 3)
        self.klog("consumer", "ack", "w", "2", '{"ok":1.00}', "--lease", str(lease))
        self.assertIn(b'"result":{"ok":1.00}', self.klog("consumer", "show", "w").stdout)
        self.klog("consumer", "ack", "w", "1")  # below the position: nothing moves
        self.assertEqual(self.show("w")["position"], 2)
        again = self.lines("tail", "--as", "w", "--no-ack", "--no-follow")
        self.assertEqual([line["value"] for line in again], [3])
        self.problem("consumer", "ack", "w", "3", "--lease", str(lease), code=4, says="stale_lease: ")
        self.problem("consumer", "ack", "w", "999", code=4, says="ack_ahead: ")
        self.problem("consumer", "ack", "w", "3", "x" * 10, code=65, says="bad_json: ")
        for result in ("done", '1,"seq":2'):
            said = self.problem("consumer", "ack", "w", "3", result, code=65, says="bad_json: RESULT is")
            self.assertIn("a text stands in quotes of its own", said)
        self.problem("consumer", "ack", "w", "3", '"' + "x" * 200 + '"', code=2, says="bad_option: ")
        self.assertEqual(self.klog("consumer", "ack", "w", "3", "-o", "json").stdout,
                         b'{"position":3}\n')
        # What tail printed can be produced again.
        self.klog("produce", "--envelope", "-q", input=json.dumps(again[0]))

    def test_one_reader_at_a_time(self):
        first, lines = self.follow("orders/", "--as", "one", "--from", "start")
        self.assertEqual(json.loads(lines.line())["value"], 1)
        told = self.problem("tail", "--as", "one", "--no-follow", code=75, says="consumer_busy: ")
        self.assertIn(f"process {first.pid} reads as \"one\" since ", told)
        self.assertRegex(told, r"since \d{4}-\d\d-\d\dT.* with the lease \d+")
        self.assertIn("--take-over", told)
        self.problem("consumer", "reset", "one", "--to", "start", "--yes", code=75,
                     says="consumer_busy: ")
        self.klog("tail", "--as", "one", "--take-over", "--no-follow")
        self.assertEqual(first.wait(klogtest.LIMIT_S), 4)
        self.assertTrue(first.stderr.read().startswith(b"klog: fenced: "))
        self.assertEqual(self.values("--as", "one"), [])
        # Whoever reads as one that is removed is ended as well.
        second, _ = self.follow("--as", "one")
        self.klog("consumer", "rm", "one", "--yes")
        self.assertEqual(second.wait(klogtest.LIMIT_S), 4)

    def test_ends_by_a_signal_and_a_closed_pipe(self):
        process, lines = self.follow("--as", "s", "--from", "start")
        for _ in range(4):
            lines.line()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(klogtest.LIMIT_S), 143)
        self.assertEqual(self.show("s")["lag"], 0)
        # Nobody reads what it writes: nothing was shown, so nothing is acknowledged.
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([klogtest.KLOG, "tail", "--as", "p", "--from", "start"],
                              env=self.environment(), stdout=writer, stderr=subprocess.PIPE,
                              timeout=klogtest.LIMIT_S, check=True)
        os.close(writer)
        self.assertEqual((done.stderr, self.show("p")["lag"]), (b"", 4))

    def test_what_destroys_asks(self):
        self.values("--as", "a")
        for args in (["rm", "a"], ["reset", "a", "--to", "start"], ["rm", "--idle", "1ms"]):
            text = self.problem("consumer", *args, code=2, says="usage: ")
            self.assertIn("--yes", text)
        for typed, left in ((b"n\n", 1), (b"y\n", 0)):
            ours, theirs = pty.openpty()
            process = subprocess.Popen([klogtest.KLOG, "consumer", "rm", "a"], stdin=theirs,
                                       stderr=theirs, stdout=subprocess.DEVNULL,
                                       env=self.environment())
            os.close(theirs)
            os.write(ours, typed)
            self.assertEqual(process.wait(klogtest.LIMIT_S), 1 if left else 0)
            os.close(ours)
            self.assertEqual(len(self.lines("consumer", "ls")), left)

    def test_reset_and_rm(self):
        self.assertEqual(self.values("orders/", "--as", "a"), [1, 2, 3])
        self.klog("consumer", "reset", "a", "--to", "start", "--yes")
        self.assertEqual(self.values("--as", "a"), [1, 2, 3])
        self.klog("consumer", "reset", "a", "--to", "2", "--yes")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.values("--as", "a"), [3])
        self.klog("consumer", "reset", "a", "--to", "start", "--yes")
        self.klog("consumer", "reset", "a", "--to", "end", "--yes")
        self.assertEqual(self.values("--as", "a"), [])
        self.problem("consumer", "reset", "a", "--to", "999", "--yes", code=4, says="ack_ahead: ")
        self.values("--as", "b")
        self.assertEqual(self.klog("consumer", "rm", "--idle", "1h", "--yes").stdout, b"0\n")
        self.assertEqual(self.klog("consumer", "rm", "--idle", "1ms", "--yes").stdout, b"2\n")
        self.assertEqual(self.klog("consumer", "ls").stdout, b"")
        self.assertEqual(self.values("orders/", "--as", "a"), [1, 2, 3])

    def test_listing_and_modes(self):
        self.values("orders/", "--not", "orders/1/>", "--as", "b")
        self.values("--as", "a")
        self.produce("orders/7/created", 7)
        rows = self.lines("consumer", "ls")
        self.assertEqual([(r["name"], r["lag"]) for r in rows], [("a", 1), ("b", 1)])
        self.assertEqual(rows[1]["not"], ["orders/1/>"])
        self.assertNotIn("lag", self.lines("consumer", "ls", "--no-lag")[0])
        self.assertEqual(self.klog("consumer", "ls", "-o", "value").stdout, b"a\nb\n")
        self.assertRegex(self.klog("consumer", "ls", "-o", "pretty").stdout.decode(),
                         r'(?m)^b  at seq \d+  1 behind  \["orders/>"\]  not \["orders/1/>"\]  active ')
        self.assertEqual(len(json.loads(self.klog("consumer", "ls", "-o", "json").stdout)), 2)
        offered = self.klog("__complete", "fish", "consumer", "show", "").stdout.decode()
        self.assertRegex(offered, r"(?m)^=a\tat seq \d+$")

    def test_positions_outlive_a_stop_and_a_kill(self):
        self.assertEqual(self.values("orders/", "--as", "a"), [1, 2, 3])
        self.daemon.stop()
        self.daemon.start()
        self.assertEqual(self.values("--as", "a"), [])
        # The daemon is killed again and again under a following tail: everything comes, in order,
        # and once, since a tail that reads on knows what it has shown.
        process, lines = self.follow("orders/", "--as", "f", "--from", "end")
        wanted = []
        for life in range(6):
            for n in range(20):
                wanted.append(life * 100 + n)
                self.produce("orders/x/created", wanted[-1])
            for value in wanted[-20:]:
                self.assertEqual(json.loads(lines.line())["value"], value)
            self.daemon.kill()
            self.daemon.start()
            klogtest.wait_until(lambda: self.reads("f"), "the tail is back")
            # Acknowledgements that the daemon had in memory only are sent again.
            klogtest.wait_until(lambda: self.show("f")["lag"] == 0, "the position is back")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(klogtest.LIMIT_S), 130)
        self.assertEqual(self.show("f")["lag"], 0)

    def test_a_kill_shows_some_again_and_skips_none(self):
        seen = []
        for _ in range(8):
            self.klog("produce", "orders/y", "-q", input="".join(f"{n}\n" for n in range(30)))
            process = self.start("tail", "orders/", "--as", "k", "--from", "start", "--no-follow")
            reader = klogtest.Reader(process.stdout)
            seen += [json.loads(reader.line())["seq"] for _ in range(5)]
            self.daemon.kill()
            process.kill()
            process.wait()
            self.daemon.start()
        seen += [line["seq"] for line in self.lines("tail", "--as", "k", "--no-follow")]
        records = [line["seq"] for line in self.lines("tail", "orders/", "--no-follow")]
        # What lay in the pipe of a tail that was killed counts as shown only if it was acknowledged;
        # each life shows no more than it read.
        self.assertLessEqual(set(seen), set(records))
        self.assertEqual(self.show("k")["lag"], 0)

    def test_a_position_moves_past_what_does_not_match(self):
        self.assertEqual(self.values("rare/", "--as", "r"), [])
        before = self.show("r")["position"]
        self.klog("produce", "notes/z", "-q", input="1\n" * 5000)
        headers = self.read_lease("r")
        self.assertGreater(int(headers["Klog-Lease"]), before)
        self.assertGreaterEqual(self.show("r")["position"], before + 5000)
        # … but not past a record that is not acknowledged.
        seq = self.produce("rare/1", 1)["seq"]
        self.klog("produce", "notes/z", "-q", input="1\n" * 100)
        headers = self.read_lease("r")
        self.assertLess(self.show("r")["position"], seq)
        self.assertEqual(self.show("r")["lag"], 1)
        self.klog("consumer", "ack", "r", str(seq), "--lease", headers["Klog-Lease"])
        self.assertEqual(self.show("r")["lag"], 0)

    def read_lease(self, name):
        connection = UnixConnection(self.daemon.socket)
        connection.request("GET", f"/v1/consumers/{name}/records")
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return dict(answer.getheaders())

    def test_http_refuses_what_is_wrong(self):
        one = "/v1/consumers/h"
        self.assertEqual(self.call("PUT", one, {"filter": "orders/>", "from": "start"})[0], 201)
        self.assertEqual(self.call("PUT", one, {"filter": ["orders/>"]})[0], 200)
        for method, target, body, status, code in (
                ("PUT", one, {"filter": ["x"]}, 409, "consumer_differs"),
                ("PUT", one + "2", {"filter": ["a//b"]}, 400, "bad_filter"),
                ("PUT", one + "2", {"filter": [1]}, 400, "bad_record"),
                ("PUT", one + "2", {"filters": []}, 400, "bad_record"),
                ("PUT", one + "2", {"filter": [f"{n:0>500}/x" for n in range(40)]}, 400, "bad_option"),
                ("PUT", one + "2", {"from": "yesterday"}, 400, "bad_option"),
                ("PUT", one + "2", {"from": 99999}, 409, "ack_ahead"),
                ("PUT", "/v1/consumers/a%2Fb", {}, 400, "bad_option"),
                ("POST", one + "/ack", {"seq": -1}, 400, "bad_record"),
                ("POST", one + "/ack", {"seq": "1"}, 400, "bad_record"),
                ("POST", one + "/ack", {}, 400, "bad_record"),
                ("POST", one + "/ack", {"seq": 1, "lease": 1}, 400, "bad_record"),
                ("POST", one + "/reset", {"position": "middle"}, 400, "bad_record"),
                ("GET", one + "/records?filter=x", None, 400, "unknown_parameter"),
                ("DELETE", "/v1/consumers", None, 400, "bad_option")):
            answer = self.call(method, target, body)
            self.assertEqual((answer[0], answer[1]["code"]), (status, code), (method, target, body))
        answer = self.call("POST", one + "/ack", {"seq": 1}, {"Klog-Lease": "x"})
        self.assertEqual((answer[0], answer[1]["code"]), (400, "bad_option"))

    def test_a_result_of_several_lines_is_shown_in_one(self):
        self.call("PUT", "/v1/consumers/h", {"from": "start"})
        connection = UnixConnection(self.daemon.socket)
        self.addCleanup(connection.close)
        connection.request("POST", "/v1/consumers/h/ack", b'{"seq":1,"result":{"a":\r\n1,\n"b":"\\n"}}')
        self.assertEqual(connection.getresponse().status, 200)
        connection = UnixConnection(self.daemon.socket)
        self.addCleanup(connection.close)
        connection.request("GET", "/v1/consumers")
        rows = [json.loads(line) for line in connection.getresponse().read().splitlines()]
        self.assertEqual([row["result"] for row in rows], [{"a": 1, "b": "\n"}])

    def test_a_reader_that_does_not_read_holds_nobody(self):
        connection = UnixConnection(self.daemon.socket)
        self.klog("produce", "big/x", "-q", input=("1" * 1000 + "\n") * 5000)
        self.call("PUT", "/v1/consumers/slow", {"from": "start"})
        connection.request("GET", "/v1/consumers/slow/records?follow=true")
        klogtest.wait_until(lambda: self.reads("slow"), "it reads")
        for n in range(50):
            self.produce("big/y", n)
        self.assertEqual(self.show("slow")["position"], 0)
        connection.close()
        klogtest.wait_until(lambda: not self.reads("slow"), "the daemon sees that it is gone")


if __name__ == "__main__":
    klogtest.main()
