#!/usr/bin/env python3
"""produce: one record, lines, refused lines, and a daemon that dies meanwhile."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import unittest

import klogtest

LINES = 20_000


class One(klogtest.Case):
    def test_value_and_ack(self):
        ack = self.produce("orders/1/created", {"a": 1}, "-k", "1")
        self.assertEqual((ack["version"], ack["durable"]), (1, "none"))
        self.assertIn("time", ack)
        self.assertEqual(self.produce("orders/1/paid", {"a": 2}, "-k", "1")["version"], 2)
        self.assertNotIn("version", self.produce("orders/1/noted", 1))
        shown = self.klog("produce", "a/b", "1", "-o", "value").stdout
        self.assertEqual(shown, self.klog("head").stdout)

    def test_standard_input_as_one_record(self):
        self.klog("produce", "a/b", "-", "-k", "x", input='{"a":\n [1,\n 2]}\n')
        self.assertEqual(self.lines("get", "a", "x")[0]["value"], {"a": [1, 2]})
        self.klog("produce", "a/b", "-", "--raw", "-k", "y", input=b"\x00\xff\n")
        self.assertEqual(self.klog("get", "a", "y", "-o", "value").stdout, b"\x00\xff\n\n")

    def test_a_bare_word_is_no_json(self):
        text = self.problem("produce", "a/b", "hello", code=65, says="bad_json: ")
        self.assertIn("--raw", text.split("hint:")[1])
        self.klog("produce", "a/b", "hello", "--raw")

    def test_expected_versions(self):
        self.produce("a/b", 1, "-k", "x", "--expect", "absent")
        text = self.problem("produce", "a/b", "2", "-k", "x", "--expect", "0", code=3,
                            says="version_conflict: ")
        self.assertIn("a x: expected 0, but it is at version 1 (live)", text)
        self.produce("a/b", 2, "-k", "x", "--expect", "1")
        self.problem("produce", "a/b", "2", "-k", "y", "--expect", "exists", code=3,
                     says="version_conflict: ")
        self.problem("produce", "a/b", "2", "-k", "y", "--expect", "many", code=2, says="bad_option: ")

    def test_ids(self):
        first = self.produce("a/b", 1, "-k", "x", "--id", "one")
        again = self.produce("a/b", 1, "-k", "x", "--id", "one")
        self.assertEqual((again["seq"], again["duplicate"]), (first["seq"], True))
        self.problem("produce", "a/b", "2", "-k", "x", "--id", "one", code=4, says="id_reused: ")

    def test_parts_taken_from_the_value(self):
        self.klog("produce", "orders/{/id}/created", '{"id":\n7,"c":"k"}', "--key-from", "/c")
        record = self.lines("get", "orders", "k")[0]
        self.assertEqual(record["topic"], "orders/7/created")
        self.problem("produce", "orders/{/id}/created", '{"x":1}', code=65, says="bad_record: ")
        self.klog("produce", "--envelope", '{"topic":"e/f","key":"x",\n"value":[1]}')
        self.assertEqual(self.lines("get", "e", "x")[0]["value"], [1])

    def test_headers_that_outgrow_a_request_target(self):
        header = "h=" + "%" * 30_000
        self.klog("produce", "a/b", '{"n":1.50}', "-k", "long", "-H", header, "--expect", "0")
        record = self.lines("get", "a", "long")[0]
        self.assertEqual(record["headers"], {"h": "%" * 30_000})
        self.problem("produce", "a/b", '1,"expect":7', "-H", header, code=65, says="bad_json: ")

    def test_refusals(self):
        self.problem("produce", "a//b", "1", code=2, says="bad_topic: ")
        self.problem("produce", "$klog/x", "1", code=77, says="reserved_topic: ")
        self.problem("produce", "a/b", "1", "--ack", "bucket", code=65, says="no_bucket: ")
        self.problem("produce", "a/b", "1", "--ack", "moon", code=2, says="bad_option: ")
        big = json.dumps("x" * (1 << 20))
        self.problem("produce", "a/b", "-", code=65, says="value_too_large: ", input=big.encode())


class Lines(klogtest.Case):
    def test_summary_on_stderr(self):
        done = self.klog("produce", "n/x", input="1\n2\n\n3")
        self.assertEqual(done.stdout, b"")
        self.assertRegex(done.stderr, rb"^klog: 3 records, seq \d+ to \d+, [\d,]+/s\n$")
        self.assertEqual(self.klog("produce", "n/x", "-q", input="1\n").stderr, b"")
        values = self.klog("tail", "n/x", "--no-follow", "-o", "value").stdout
        self.assertEqual(values, b"1\n2\n3\n1\n")

    def test_nothing_is_no_record(self):
        self.assertEqual(self.klog("produce", "n/x").stderr, b"klog: 0 records\n")
        self.problem("produce", "n//x", code=2, says="bad_topic: ")

    def test_acks(self):
        acks = self.lines("produce", "n/x", "--acks", "-k", "k", input="1\n\n2\n")
        self.assertEqual([a["line"] for a in acks], [1, 3])
        self.assertEqual([a["version"] for a in acks], [1, 2])

    def test_a_refused_line_stops(self):
        done = self.klog("produce", "n/x", input="1\n2\n\nnope\n5\n", code=65)
        self.assertRegex(done.stderr, rb"^klog: bad_json: line 4: ")
        self.assertIn(b"klog: 2 records, ", done.stderr)
        self.assertEqual(len(self.lines("tail", "n/x", "--no-follow")), 2)

    def test_a_refused_line_is_skipped(self):
        done = self.klog("produce", "n/x", "--on-error", "skip", input="1\nno\n3\n{\n5\n", code=65)
        self.assertIn(b"bad_json: line 2: ", done.stderr)
        self.assertIn(b"bad_json: line 4: ", done.stderr)
        self.assertIn(b"3 records", done.stderr)
        self.assertIn(b"2 refused", done.stderr)
        values = self.klog("tail", "n/x", "--no-follow", "-o", "value").stdout
        self.assertEqual(values, b"1\n3\n5\n")

    def test_envelopes_of_a_tail_can_be_produced_again(self):
        self.klog("produce", "n/x", "-k", "k", "-H", "a=b", "--event-time",
                  "2026-01-02T03:04:05Z", '{"v":1}')
        self.klog("produce", "n/raw", "--raw", "bytes")
        records = self.klog("tail", "n/", "--no-follow").stdout
        self.klog("produce", "--envelope", input=records)
        first, raw, again, raw_again = self.lines("tail", "n/", "--no-follow")
        for name in ("topic", "key", "headers", "event_time", "value"):
            self.assertEqual(first[name], again[name])
        self.assertEqual(raw["value_base64"], raw_again["value_base64"])
        self.assertEqual(again["version"], 2)

    def test_conflicts_in_a_stream_name_the_line(self):
        lines = ['{"topic":"n/x","key":"k","value":1,"expect":0}',
                 '{"topic":"n/x","key":"k","value":2,"expect":5}']
        done = self.klog("produce", "--envelope", input="\n".join(lines), code=3)
        self.assertRegex(done.stderr, rb"^klog: version_conflict: line 2: ")

    def test_records_arrive_while_the_input_stays_open(self):
        process = self.start("produce", "n/x", "--acks", stdin=subprocess.PIPE)
        reader = klogtest.Reader(process.stdout)
        for n in range(1, 4):
            process.stdin.write(b"%d\n" % n)
            process.stdin.flush()
            self.assertEqual(json.loads(reader.line())["line"], n)
        process.stdin.close()
        self.assertEqual(process.wait(klogtest.LIMIT_S), 0)

    def test_a_closed_pipe_for_acks_ends_nothing(self):
        text = "".join(f"{n}\n" for n in range(LINES)).encode()
        command = f'"{klogtest.KLOG}" produce n/x --acks -q; echo $? >&2'
        shell = subprocess.Popen(["bash", "-c", f"({command}) | head -n 1"], env=self.environment(),
                                 cwd=self.directory, stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        _, errors = shell.communicate(text, timeout=klogtest.LIMIT_S)
        self.assertEqual(errors.strip(), b"0")
        self.assertEqual(self.lines("topics", "n/x")[0]["records"], LINES)

    def test_signals(self):
        for number, code in [(signal.SIGINT, 130), (signal.SIGTERM, 143)]:
            process = self.start("produce", "n/x", "--acks", stdin=subprocess.PIPE)
            reader = klogtest.Reader(process.stdout)
            process.stdin.write(b"1\n")
            process.stdin.flush()
            reader.line()
            process.send_signal(number)
            self.assertEqual(process.wait(klogtest.LIMIT_S), code)
            self.assertIn(b"every line before line 2 is written", process.stderr.read())

    def test_a_signal_while_lines_are_unanswered(self):
        process = self.start("produce", "n/x", "--acks", stdin=subprocess.PIPE)
        reader = klogtest.Reader(process.stdout)
        process.stdin.write(b"1\n")
        process.stdin.flush()
        seq = json.loads(reader.line())["seq"]
        self.daemon.pause()
        self.addCleanup(self.daemon.go_on)
        # It sends a line before it takes the next one.
        for line in (b"2\n", b"3\n"):
            process.stdin.write(line)
            process.stdin.flush()
            klogtest.wait_until(lambda: waiting_bytes(process.stdin) == 0, "the line to be taken")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(klogtest.LIMIT_S), 130)
        text = process.stderr.read().decode()
        self.assertIn("interrupted; every line before line 2 is done", text)
        self.assertIn(f"klog tail --after {seq} --no-follow", text)


class Survives(klogtest.Case):
    ephemeral = False

    def values(self):
        out = self.klog("tail", "n/x", "--no-follow", "-o", "value").stdout
        return [int(line) for line in out.split()]

    def write(self, process, first, last):
        process.stdin.write(b"".join(b"%d\n" % n for n in range(first, last + 1)))
        process.stdin.flush()

    def test_a_killed_daemon_costs_no_line_and_doubles_none(self):
        process = self.start("produce", "n/x", "--acks", stdin=subprocess.PIPE)
        reader = klogtest.Reader(process.stdout)
        self.write(process, 1, LINES)
        reader.line()
        self.daemon.kill()
        self.daemon.start()
        self.write(process, LINES + 1, 2 * LINES)
        process.stdin.close()
        acked = {}
        while len(acked) < 2 * LINES - 1:
            ack = json.loads(reader.line())
            acked[ack["line"]] = ack["seq"]
        self.assertEqual(process.wait(klogtest.LIMIT_S), 0, process.stderr.read())
        self.assertEqual(self.values(), list(range(1, 2 * LINES + 1)))

    def test_killed_again_and_again(self):
        process = self.start("produce", "n/x", "-q", stdin=subprocess.PIPE)
        for round_ in range(5):
            self.write(process, round_ * LINES + 1, (round_ + 1) * LINES)
            klogtest.wait_until(lambda n=round_: len(self.values()) > n * LINES, "some lines")
            self.daemon.kill()
            self.daemon.start()
        process.stdin.close()
        self.assertEqual(process.wait(klogtest.LIMIT_S), 0, process.stderr.read())
        self.assertEqual(self.values(), list(range(1, 5 * LINES + 1)))

    def test_a_stopping_daemon_is_waited_for(self):
        process = self.start("produce", "n/x", "-v", stdin=subprocess.PIPE)
        self.write(process, 1, LINES)
        klogtest.wait_until(self.values, "the first lines")
        self.assertEqual(self.daemon.stop(), 0)
        self.daemon.start()
        self.write(process, LINES + 1, LINES + 10)
        process.stdin.close()
        self.assertEqual(process.wait(klogtest.LIMIT_S), 0, process.stderr.read())
        self.assertEqual(self.values(), list(range(1, LINES + 11)))

    def test_out_of_time_names_the_line_to_go_on_from(self):
        process = self.start("produce", "n/x", "--acks", "--timeout", "3s",
                             stdin=subprocess.PIPE)
        reader = klogtest.Reader(process.stdout)
        self.write(process, 1, 3)
        for _ in range(3):
            reader.line()
        self.daemon.kill()
        klogtest.wait_until(lambda: not has_socket(process), "the end of the connection")
        self.write(process, 4, 5)
        self.assertEqual(process.wait(klogtest.LIMIT_S), 76)
        text = process.stderr.read().decode()
        self.assertRegex(text, r"klog: outcome_unknown: line 4: ")
        self.assertIn("hint: everything before line 4 is written: go on from there", text)

    def test_a_hanging_daemon_counts_as_lost(self):
        """What was sent to it may be written: whoever goes on there without a look writes it twice."""
        for more, says in (([], "klog tail --after {} --no-follow shows what is there"),
                           (["--id-from", "/id"], "go on from there, repeats are known by id")):
            process = self.start("produce", "n/x", "--acks", "--timeout", "3s", *more,
                                 stdin=subprocess.PIPE)
            reader = klogtest.Reader(process.stdout)
            process.stdin.write(b'{"id":"1"}\n')
            process.stdin.flush()
            seq = json.loads(reader.line())["seq"]
            self.daemon.pause()
            self.addCleanup(self.daemon.go_on)
            process.stdin.write(b'{"id":"2"}\n')
            process.stdin.flush()
            self.assertEqual(process.wait(klogtest.LIMIT_S), 76)
            self.daemon.go_on()
            text = process.stderr.read().decode()
            self.assertIn("hint: every line before line 2 is done, and line 2 and what follows may "
                          "be written too: " + says.format(seq), text)

    def test_one_record_with_an_id_is_sent_until_it_is_known(self):
        self.daemon.pause()
        process = self.start("produce", "n/x", "1", "--id", "once", "--timeout", "30s")
        # Its bytes lie in the socket of a daemon that dies before it reads them.
        klogtest.wait_until(lambda: connected(self.daemon), "the connection")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(process.wait(klogtest.LIMIT_S), 0, process.stderr.read())
        self.assertEqual(self.values(), [1])

    def test_one_record_without_an_id_is_not(self):
        self.daemon.pause()
        process = self.start("produce", "n/x", "1")
        klogtest.wait_until(lambda: connected(self.daemon), "the connection")
        self.daemon.kill()
        self.assertEqual(process.wait(klogtest.LIMIT_S), 76)
        self.assertIn(b"--id", process.stderr.read())


def waiting_bytes(pipe):
    """How much lies in a pipe that its reader has not taken."""
    count = fcntl.ioctl(pipe.fileno(), termios.FIONREAD, bytes(4))
    return int.from_bytes(count, sys.byteorder)


def has_socket(process):
    """Does a process hold a socket, as a client does while it has a connection?"""
    folder = f"/proc/{process.pid}/fd"
    for name in os.listdir(folder):
        try:
            if os.readlink(f"{folder}/{name}").startswith("socket:"):
                return True
        except FileNotFoundError:
            pass  # closed meanwhile
    return False


def connected(daemon):
    """Has some client connected to the daemon's socket? The kernel lists it even where the daemon stands still."""
    with open("/proc/net/unix", encoding="ascii", errors="replace") as table:
        rows = [row.split() for row in table]
    # State 03 is connected, 02 connecting: a queued client has the server's path on its socket.
    return sum(1 for row in rows if row[-1] == daemon.socket) > 1


if __name__ == "__main__":
    klogtest.main()
