#!/usr/bin/env python3
"""/metrics by the rules of Prometheus's text format, and whether the numbers are true."""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import Place  # noqa: E402

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*,?)?\}})? ([^ ]+)( -?\d+)?")
TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}


def parse(text):
    """{name: value} of samples without labels. Raises AssertionError where a rule is broken."""
    assert text.endswith("\n"), "the last line must end with a line feed"
    helped, typed, values, order = set(), {}, {}, []
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            name, _, words = line[7:].partition(" ")
            assert re.fullmatch(NAME, name) and words, line
            assert re.fullmatch(r"(?:[^\\]|\\\\|\\n)*", words), f"bad escape: {line}"
            assert name not in helped, f"a second HELP: {line}"
            helped.add(name)
        elif line.startswith("# TYPE "):
            name, _, kind = line[7:].partition(" ")
            assert re.fullmatch(NAME, name) and kind in TYPES, line
            assert name not in typed, f"a second TYPE: {line}"
            assert name not in order, f"TYPE behind a sample: {line}"
            typed[name] = kind
        elif line and not line.startswith("#"):
            sample = SAMPLE.fullmatch(line)
            assert sample, f"no sample: {line}"
            name, labels, value = sample[1], sample[2], float(sample[3])
            assert name in typed, f"a sample without TYPE: {line}"
            assert (name, labels) not in values, f"twice: {line}"
            assert not order or order[-1] == name or name not in order, f"not together: {line}"
            assert typed[name] != "counter" or value >= 0, f"a counter below 0: {line}"
            # What promtool asks for beyond the format.
            assert (typed[name] == "counter") == name.endswith("_total"), f"misnamed: {line}"
            assert name in helped, f"a sample without HELP: {line}"
            values[name, labels] = value
            order.append(name)
    return {name: value for (name, labels), value in values.items() if labels is None}


class MetricsTest(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)
        self.daemon = self.place.daemon("--data-dir", self.place.path("data"))

    def metrics(self):
        status, headers, body = self.daemon.request("GET", "/metrics")
        self.assertEqual(status, 200)
        self.assertEqual(headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        return parse(body.decode())

    def test_the_format_and_the_numbers(self):
        before = self.metrics()
        self.assertGreater(len(before), 20)
        for number in range(3):
            self.daemon.produce("a/b", str(number))
        status, _, _ = self.daemon.request("POST", "/v1/records?topic=a&key=k&expect=5", b"1",
                                           "application/json")
        self.assertEqual(status, 409)
        after = self.metrics()
        self.assertEqual(before.keys(), after.keys())

        def grew(name):
            return after[name] - before[name]
        self.assertEqual(after["klog_log_head_seq"], 3)
        self.assertEqual(grew("klog_log_records_written_total"), 3)
        self.assertEqual(grew("klog_log_refused_total"), 1)
        self.assertGreaterEqual(grew("klog_store_syncs_total"), 3)
        self.assertGreater(grew("klog_store_sync_seconds_total"), 0)
        self.assertEqual(grew("klog_http_responses_4xx_total"), 1)
        self.assertEqual(grew("klog_http_requests_total"), 5)  # the second look counts itself
        self.assertEqual((after["klog_store_writable"], after["klog_store_failed"]), (1, 0))
        # A counter never goes back.
        again = self.metrics()
        for name, value in after.items():
            if name.endswith("_total"):
                self.assertGreaterEqual(again[name], value, name)

    def test_the_parser_sees_what_is_broken(self):
        for text in ("a 1", "a 1\n", "# TYPE a gauge\na 1\n", "# HELP a x\n# TYPE a gauge\na  1\n",
                     "# HELP a x\n# TYPE a gauge\na 1\na 1\n",
                     "# HELP a x\n# TYPE a counter\na 1\n",
                     "# HELP a x\n# TYPE a gauge\na{b=c} 1\n",
                     "# HELP a x\n# TYPE a gauge\na one\n"):
            with self.assertRaises((AssertionError, ValueError), msg=text):
                parse(text)


if __name__ == "__main__":
    unittest.main()
