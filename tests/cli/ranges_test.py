#!/usr/bin/env python3
"""Filters, start points, --until, -n and --limit against a naive reading of the whole log.

Some hundred random questions, over HTTP and through the command line, about a log of a few thousand
records under many topics. KLOG_TEST_SEED repeats a run.
"""

import bisect
import datetime
import json
import os
import random
import unittest
import urllib.parse

import klogtest

RECORDS, BATCH = 4000, 100
BATCHES_OF_A_LIFE = 2
VALUE_BYTES = 2000  # so that most of the log is not in memory
HTTP_QUESTIONS, CLI_QUESTIONS = 400, 120
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def micros_of(text):
    time = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (time - EPOCH) // datetime.timedelta(microseconds=1)


def text_of(micros):
    return (EPOCH + datetime.timedelta(microseconds=micros)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def now_micros():
    return (datetime.datetime.now(datetime.timezone.utc) - EPOCH) // datetime.timedelta(microseconds=1)


def matches(pattern, topic):
    levels = topic.split("/")
    parts = pattern.split("/")
    if parts[-1] == ">":
        if len(levels) < len(parts):
            return False
        parts.pop()
        levels = levels[:len(parts)]
    return len(parts) == len(levels) and all(
        part == level or (part.endswith("*") and level.startswith(part[:-1]))
        for part, level in zip(parts, levels))


class Question:
    """What is asked, as parameters of HTTP by name; and what a naive reader finds."""

    def __init__(self, choose, log):
        self.log = log
        self.filters = [self.filter(choose) for _ in range(choose.choice((0, 1, 1, 1, 2, 3)))]
        self.nots = [self.filter(choose) for _ in range(choose.choice((0, 0, 0, 1, 2)))]
        self.key = choose.choice((None, None, None, str(choose.randrange(30))))
        self.start, self.until = self.place(choose, ("from", "after", "last")), None
        if choose.random() < 0.6:
            self.until = self.place(choose, ("until",))
        self.limit = choose.choice((None, None, None, 1, 7, 300))

    @staticmethod
    def filter(choose):
        n = choose.randrange(40)
        return choose.choice((">", "a/>", f"a/{n}/*", "a/*/new", f"*/{n}/>", "b*/>", f"rare/{n % 5}",
                              f"a/{n // 10}*/done", "rare/*", "nothing/here"))

    def place(self, choose, names):
        name = choose.choice(names)
        if name == "last":
            return name, choose.choice((0, 1, 2, 5, 50, 1000, 10**6))
        if name != "after" and choose.random() < 0.4:
            return name, text_of(choose.choice(self.log)["micros"] + choose.choice((-1, 0, 0, 1)))
        return name, max(0, choose.randrange(self.log[-1]["seq"] + 3))

    def parameters(self):
        pairs = [("filter", f) for f in self.filters] + [("not", f) for f in self.nots]
        pairs += [("key", self.key)] * (self.key is not None)
        pairs += [self.start, *([self.until] if self.until else [])]
        return pairs + [("limit", self.limit)] * (self.limit is not None)

    def options(self):
        """The same on the command line."""
        words = list(self.filters)
        for name, value in self.parameters():
            if name != "filter":
                words += ["--" + name, str(value)]
        return words

    def wrong(self):
        """True where the start lies after the end."""
        if self.start[0] != "from" or self.until is None:
            return False
        first, last = self.start[1], self.until[1]
        return isinstance(first, str) == isinstance(last, str) and first > last

    def found(self):
        topics = {topic for topic in {r["topic"] for r in self.log} if self.takes(topic)}
        return [r["seq"] for r in self.log if r["topic"] in topics
                and (self.key is None or r.get("key") == self.key)]

    def takes(self, topic):
        return ((not self.filters or any(matches(f, topic) for f in self.filters))
                and not any(matches(f, topic) for f in self.nots))

    def end(self):
        """The last seq that is looked at."""
        head = self.log[-1]["seq"]
        if self.until is None:
            return head
        if isinstance(self.until[1], int):
            return min(head, self.until[1])
        times = [r["micros"] for r in self.log]
        return bisect.bisect_right(times, micros_of(self.until[1]))  # seqs count from 1

    def begin(self):
        """The seq behind which it is looked; None where that is the reader's own business."""
        name, value = self.start
        if name == "after":
            return value
        if name == "last":
            return self.end() if value == 0 else None
        if isinstance(value, str):
            return bisect.bisect_left([r["micros"] for r in self.log], micros_of(value))
        return max(0, value - 1)

    def answer(self):
        """(seqs, Klog-Read-To)."""
        seqs = [seq for seq in self.found() if seq <= self.end()]
        begin = self.begin()
        if self.start[0] == "last":
            seqs = seqs[-self.start[1]:] if self.start[1] else []
            if self.start[1] == 0:  # the end of the log, wherever it is to end
                begin = self.log[-1]["seq"]
        else:
            seqs = [seq for seq in seqs if seq > begin]
        return seqs[:self.limit], max(begin or 0, self.end())

    def count(self):
        """(parameters, answer) of a count between the cursors of this question."""
        begin = self.start[1] if self.start[0] == "after" else 0
        pairs = [p for p in self.parameters() if p[0] not in ("from", "last", "limit")]
        return pairs, sum(begin < seq <= self.end() for seq in self.found())


class Ranges(klogtest.Case):
    ephemeral = False

    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("KLOG_TEST_SEED") or random.randrange(2**32))
        print(f"KLOG_TEST_SEED={self.seed}", flush=True)
        self.choose = random.Random(self.seed)
        self.write()
        self.log = [json.loads(line) for line in self.get("/v1/records")[2].splitlines()]
        self.assertEqual([r["seq"] for r in self.log], list(range(1, RECORDS + 1)))
        for record in self.log:
            record["micros"] = micros_of(record["time"])

    def write(self):
        """Batches, so that times differ. Each life of the daemon leaves a file behind, so the older
        ones are sealed into segments, and the newer ones are not."""
        for first in range(0, RECORDS, BATCH):
            if first % (BATCH * BATCHES_OF_A_LIFE) == 0:
                self.daemon.stop()
                self.daemon.start()
            lines = []
            for n in range(first, first + BATCH):
                where = self.choose.randrange(40)
                topic = self.choose.choice((f"a/{where}/new", f"a/{where}/done", f"b/{where}/x/y",
                                            f"bb/{where}"))
                if n % 397 == 0:
                    topic = f"rare/{n % 5}"
                line = {"topic": topic, "value": "x" * self.choose.randrange(VALUE_BYTES)}
                if self.choose.random() < 0.7:
                    line["key"] = str(self.choose.randrange(30))
                lines.append(json.dumps(line))
            self.klog("produce", "--envelope", "-q", input="\n".join(lines) + "\n")
        segments = os.path.join(self.daemon.data_dir, "seg", "1")
        klogtest.wait_until(lambda: os.path.isdir(segments) and os.listdir(segments), "a segment")

    def get(self, path, pairs=()):
        target = path + ("?" + urllib.parse.urlencode(pairs) if pairs else "")
        head, _, body = klogtest.http_get(self.daemon, target).partition(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if fields.get(b"Transfer-Encoding") == b"chunked":
            body = unchunked(body)
        return int(head.split()[1]), fields, body

    def test_questions_over_http(self):
        found = 0
        for number in range(HTTP_QUESTIONS):
            asked = Question(self.choose, self.log)
            with self.subTest(seed=self.seed, number=number, asked=asked.parameters()):
                status, fields, body = self.get("/v1/records", asked.parameters())
                if asked.wrong():
                    self.assertEqual((status, json.loads(body)["code"]), (400, "bad_option"))
                    continue
                self.assertEqual(status, 200, body)
                seqs, read_to = asked.answer()
                self.assertEqual([json.loads(line)["seq"] for line in body.splitlines()], seqs)
                self.assertEqual(int(fields[b"Klog-Read-To"]), read_to)
                found += len(seqs) > 0
                pairs, count = asked.count()
                status, _, body = self.get("/v1/count", pairs)
                self.assertEqual((status, json.loads(body)), (200, {"count": count}))
        self.assertGreater(found, HTTP_QUESTIONS // 4)

    def test_questions_through_the_command_line(self):
        for number in range(CLI_QUESTIONS):
            asked = Question(self.choose, self.log)
            with self.subTest(seed=self.seed, number=number, asked=asked.options()):
                words = ["tail", "--no-follow", "-q", *asked.options()]
                if asked.wrong():
                    self.problem(*words, code=2, says="bad_option: ")
                    continue
                self.assertEqual([r["seq"] for r in self.lines(*words)], asked.answer()[0])
                for pattern in asked.filters[:1]:
                    newest = max((r["seq"] for r in self.log if matches(pattern, r["topic"])), default=0)
                    self.assertEqual(int(self.klog("head", pattern).stdout), newest)

    def test_durations_before_now(self):
        """The daemon's clock is this machine's: what it took for now lies between two looks at it."""
        for number in range(30):
            target = self.choose.choice(self.log)["micros"]
            ago = max(1, (now_micros() - target) // 1000)
            pattern = Question.filter(self.choose)
            with self.subTest(seed=self.seed, number=number, ago=ago, pattern=pattern):
                for words, begins in ((["--until"], False), (["--from"], True)):
                    before = now_micros() - ago * 1000
                    start = [] if begins else ["--from", "start"]
                    shown = self.lines("tail", pattern, "--no-follow", "-q", *start, *words, f"{ago}ms")
                    after = now_micros() - ago * 1000
                    naive = [r for r in self.log if matches(pattern, r["topic"])]
                    shown = {r["seq"] for r in shown}
                    for record in naive:
                        if not before < record["micros"] <= after:
                            inside = (record["micros"] > after) if begins else record["micros"] <= before
                            self.assertEqual(record["seq"] in shown, inside, record["seq"])

    def test_a_cursor_file_stops_where_until_does(self):
        """What lies behind --until is not passed over: the next run shows it."""
        middle = self.log[RECORDS // 2]
        path = os.path.join(self.directory, "cursor")
        words = ["tail", "rare/*", "--no-follow", "-q", "--cursor-file", path]
        first = [r["seq"] for r in self.lines(*words, "--until", middle["time"])]
        second = [r["seq"] for r in self.lines(*words)]
        self.assertEqual(first + second,
                         [r["seq"] for r in self.log if matches("rare/*", r["topic"])])
        self.assertGreater(len(second), 0)


def unchunked(body):
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        out += body[:length]
        body = body[length + 2:]
    return out


if __name__ == "__main__":
    klogtest.main()
