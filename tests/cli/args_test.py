#!/usr/bin/env python3
"""Arguments: verbs, options, operands, help. Its examples are run by manual_test.py."""

import unittest

import klogtest

VERBS = ["daemon", "run", "produce", "tail", "get", "history", "keys", "topics", "head", "count", "verify",
         "doctor", "bench", "config", "completion", "version", "help"]


class Args(klogtest.Case):
    daemon_wanted = False

    def test_unknown_verbs_are_usage_errors_with_the_nearest_one(self):
        text = self.problem("prodcue", "a", code=2, says="usage: there is no verb \"prodcue\"")
        self.assertIn("hint: klog produce\n", text)
        for later in ["compact", "policy", "wait", "state", "purge"]:
            self.problem(later, code=2, says="usage: there is no verb")

    def test_no_verb_is_a_usage_error(self):
        self.problem(code=2, says="usage: ")

    def test_unknown_options_are_usage_errors_with_the_nearest_one(self):
        text = self.problem("get", "a", "b", "--verison", "1", code=2,
                            says="usage: there is no option --verison")
        self.assertIn("hint: --version\n", text)
        for option in ["--close", "--wait-for"]:
            self.problem("produce", "a/b", "1", option, "x", code=2, says="usage: there is no")
        for option in ["--where", "--from-snapshot", "--reducer"]:
            self.problem("tail", option, "x", code=2, says="usage: there is no")

    def test_empty_missing_and_repeated_values(self):
        self.problem("get", "a", "b", "--version=", code=2, says="usage: the value of --version")
        self.problem("get", "a", "b", "--version", "", code=2, says="usage: the value of --version")
        self.problem("produce", "a/b", "1", "-k", "", code=2, says="usage: the value of -k")
        self.problem("get", "a", "b", "--version", code=2, says="usage: --version needs a value")
        self.problem("get", "a", "b", "--version", "1", "--version", "2", code=2,
                     says="usage: --version is given more than once")
        self.problem("keys", "a", "--deleted=yes", code=2, says="usage: --deleted takes no value")

    def test_operands_are_counted(self):
        self.problem("get", "a", code=2, says="usage: KEY is missing")
        self.problem("get", "a", "b", "c", code=2, says="usage: \"c\" is one operand too many")
        self.problem("produce", "a", "1", "2", code=2, says="usage: \"2\" is one operand too many")

    def test_bad_values_name_their_option(self):
        self.problem("get", "a", "b", "--version", "-1", code=2, says="bad_option: --version")
        self.problem("tail", "--limit", "0", code=2, says="bad_option: --limit")
        self.problem("tail", "--from", "yesterday", code=2, says="bad_option: --from")
        self.problem("head", "-o", "xml", code=2, says="bad_option: ")
        self.problem("head", "--timeout", "5", code=2, says="bad_option: --timeout")
        self.problem("tail", "--from", "1", "--after", "2", code=2, says="usage: --from")
        self.problem("produce", "a", "1", "-H", "novalue", code=2, says="bad_option: --header")

    def test_help_of_every_verb(self):
        overview = self.klog("help").stdout.decode()
        self.assertEqual(overview, self.klog("--help").stdout.decode())
        for verb in VERBS:
            self.assertRegex(overview, rf"(?m)^  {verb} ")
            text = self.klog(verb, "--help").stdout
            self.assertEqual(text, self.klog("help", verb).stdout)
            self.assertTrue(text.startswith(f"klog {verb}: ".encode()), text)
        self.problem("help", "hed", code=2, says="usage: there is no verb")

    def test_version(self):
        self.assertRegex(self.klog("version").stdout, rb"^klog \d+\.\d+\.\d+\n$")
        self.assertEqual(self.klog("--version").stdout, self.klog("version").stdout)
        self.assertEqual(list(self.lines("version", "-o", "json")[0]), ["version"])


class Operands(klogtest.Case):
    def test_options_stand_before_or_after_operands(self):
        self.produce("orders/1/created", {"n": 1}, "-k", "1")
        for args in [["get", "orders", "1", "-o", "value"], ["get", "-o", "value", "orders", "1"],
                     ["-o", "value", "get", "orders", "1"], ["get", "orders", "-ovalue", "1"],
                     ["get", "--output=value", "--", "orders", "1"]]:
            self.assertEqual(self.klog(*args).stdout, b'{"n": 1}\n', args)

    def test_dashes_end_options_and_negative_numbers_are_operands(self):
        self.klog("produce", "numbers/a", "-5", "-k", "-7")
        self.klog("produce", "numbers/a", "[1,2]", "-k", "list")
        self.klog("produce", "-k", "--odd", "--", "numbers/b", "-0.5e3")
        values = self.klog("tail", "numbers/", "--no-follow", "-o", "value").stdout
        self.assertEqual(values, b"-5\n[1,2]\n-0.5e3\n")
        self.assertEqual(self.klog("get", "numbers", "-7", "-o", "value").stdout, b"-5\n")
        self.assertEqual(self.klog("keys", "numbers", "-o", "value").stdout, b"--odd\n-7\nlist\n")


if __name__ == "__main__":
    klogtest.main()
