#!/usr/bin/env python3
"""`klog config show`: what counts, and where it came from."""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import Place  # noqa: E402


class ConfigTest(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)

    def write(self, text, *names):
        path = self.place.path(*names)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def show(self, *arguments, **more):
        done = self.place.klog("config", "show", "--origin", *arguments, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return {row["name"]: (row.get("value"), row["origin"]) for row in rows}

    def test_each_source_and_its_strength(self):
        user = self.write("tenant: default\noutput: json\ntimeout: 9s\n",
                          "home", ".config", "klog", "klog.yaml")
        self.write("timeout: 8s\ncolor: never\n", "work", "klog.yaml")
        shown = self.show("--url", "unix:///s", "-o", "ndjson", env={"KLOG_TIMEOUT": "7s"})
        self.assertEqual(shown["url"], ("unix:///s", "flag --url"))
        self.assertEqual(shown["timeout"], ("7s", "environment KLOG_TIMEOUT"))
        self.assertEqual(shown["color"], ("never", "./klog.yaml:2"))
        self.assertEqual(shown["tenant"], ("default", f"{user}:1"))
        self.assertEqual(shown["value_bytes_max"], ("1048576", "default"))
        self.assertEqual(shown["data_dir"],
                         (self.place.path("home", ".local", "share", "klog"), "default"))

    def test_the_url_shown_is_the_one_that_is_used(self):
        own = "unix://" + self.place.path("home", ".local", "share", "klog", "klog.sock")
        self.assertEqual(self.show()["url"], (own, "default"))
        self.place.daemon("--data-dir", self.place.path("data"))
        runtime = "unix://" + self.place.path("run", "klog", "klog.sock")
        self.assertEqual(self.show()["url"], (runtime, "default"))

    def test_forms_of_output(self):
        done = self.place.klog("config", "show", "-o", "json")
        rows = json.loads(done.stdout)
        self.assertIn({"name": "tenant", "value": "default"}, rows)
        done = self.place.klog("config", "show", "--origin", "-o", "pretty")
        self.assertRegex(done.stdout, r"(?m)^tenant +default +default$")
        done = self.place.klog("config", "show", "-o", "pretty")
        self.assertRegex(done.stdout, r"(?m)^tenant +default$")

    def test_a_token_is_never_shown(self):
        shown = self.show(env={"KLOG_TOKEN": "very-secret"})
        self.assertEqual(shown["token"], ("********", "environment KLOG_TOKEN"))
        self.assertNotIn("very-secret", self.place.klog(
            "config", "show", "-o", "value", env={"KLOG_TOKEN": "very-secret"}).stdout)

    def test_mistakes_are_configuration_errors(self):
        self.write("\ntime_out: 3s\n", "work", "klog.yaml")
        done = self.place.klog("head")
        self.assertEqual(done.returncode, 78)
        self.assertEqual(done.stderr.splitlines(), [
            "klog: config: ./klog.yaml:2: there is no setting time_out",
            "hint: did you mean timeout?"])

    def test_a_context_is_picked_by_name(self):
        path = self.write("contexts:\n  there: {url: 'http://127.0.0.1:1'}\n", "c.yaml")
        shown = self.show("--context", "there", env={"KLOG_CONFIG": path})
        self.assertEqual(shown["url"], ("http://127.0.0.1:1", f"{path}:2 (context there)"))
        done = self.place.klog("config", "show", "--context", "thee", env={"KLOG_CONFIG": path})
        self.assertEqual(done.returncode, 78)
        self.assertIn("did you mean there?", done.stderr)

    def test_usage(self):
        for arguments, code in ((["config"], 2), (["config", "edit"], 2),
                                (["config", "show", "--config", "missing.yaml"], 66)):
            self.assertEqual(self.place.klog(*arguments).returncode, code, arguments)


if __name__ == "__main__":
    unittest.main()
