#!/usr/bin/env python3
"""Completion: what klog answers to the scripts. completion_bash_test.py and its like have the
scripts in real shells on a terminal."""

import os
import socket
import time

import klogtest
import shelltest


class Answers(shelltest.Patient):
    """klog __complete without a shell."""

    def words(self, *args, shell="zsh"):
        """Candidates without notes, and what else was said."""
        done = self.klog("__complete", shell, *args)
        self.assertEqual(done.stderr, b"")
        lines = done.stdout.decode().splitlines()
        return ([line[1:].split("\t")[0] for line in lines if line.startswith("=")],
                [line for line in lines if not line.startswith("=")])

    def candidates(self, *args):
        return self.words(*args)[0]

    def test_verbs(self):
        listed = {line.split()[0] for line in self.klog("help").stdout.decode().splitlines()
                  if line.startswith("  ") and not line.startswith("  -")
                  and not line.startswith("      ")}
        self.assertEqual(set(self.candidates("")), listed)
        self.assertEqual(self.candidates("to"), ["topics"])
        self.assertEqual(self.candidates("help", "to"), ["topics"])
        self.assertEqual(self.candidates("-o", "json", "to"), ["topics"])
        self.assertEqual(self.candidates("nosuchverb", ""), [])

    def test_options_are_those_of_the_help(self):
        for verb in self.candidates(""):
            text = self.klog("help", verb).stdout.decode()
            options = {word.rstrip(",") for line in text.splitlines() if line.startswith("  ")
                       for word in line.split()[:2] if word.startswith("--")}
            self.assertEqual(set(self.candidates(verb, "-")), options, verb)

    def test_an_option_that_stands_already_is_not_offered_again(self):
        self.assertNotIn("--limit", self.candidates("tail", "--limit", "5", "--"))
        self.assertNotIn("--last", self.candidates("tail", "-n5", "--"))
        self.assertIn("--not", self.candidates("tail", "--not", "a/", "--"))

    def test_fixed_values_and_every_one_is_taken(self):
        for option, run in [("--output", ["head"]), ("--color", ["head"]),
                            ("--tenant", ["head"]), ("--on-error", ["produce", "a/b"]),
                            ("--from", ["tail", "--limit", "1", "--no-follow"])]:
            values = self.candidates(*run, option, "")
            self.assertGreater(len(values), 0, option)
            self.assertEqual(self.candidates(*run, option + "="),
                             [f"{option}={value}" for value in values])
            for value in values:
                self.klog(*run, option, value)
        self.assertEqual(self.candidates("produce", "--ack", ""), ["local", "bucket"])
        self.assertEqual(self.candidates("produce", "--expect", "a"), ["absent"])
        self.assertEqual(self.candidates("completion", ""), ["bash", "zsh", "fish"])
        self.assertEqual(self.candidates("config", ""), ["show"])
        self.assertEqual(self.candidates("get", "a", "b", "-o", "v"), ["value"])

    def test_the_figures_of_bench(self):
        listed = self.klog("bench", "--list").stdout.decode().split()
        self.assertEqual(sorted(self.candidates("bench", "")), sorted(listed))
        self.assertEqual(self.candidates("bench", "raw.1", "produce.256"), ["produce.256"])

    def test_what_the_shell_knows_itself(self):
        self.assertEqual(self.words("daemon", "--data-dir", ""), ([], [":folders"]))
        self.assertEqual(self.words("tail", "--cursor-file", ""), ([], [":files"]))
        self.assertEqual(self.words("run", "--", "p"), ([], [":commands"]))
        self.assertEqual(self.words("run", "--", "cat", "p"), ([], [":files"]))

    def test_topics_level_by_level(self):
        for topic in ["orders/1/created", "orders/1/paid", "orders/20/created", "orders",
                      "orders-old/1", "notes"]:
            self.produce(topic, 1)
        for verb in ["tail", "produce", "topics", "head", "count"]:
            self.assertEqual(self.candidates(verb, ""),
                             ["notes", "orders", "orders-old/", "orders/"], verb)
        self.assertEqual(self.candidates("tail", "orders/"), ["orders/1/", "orders/20/"])
        self.assertEqual(self.candidates("tail", "orders/2"), ["orders/20/"])
        self.assertEqual(self.candidates("tail", "orders/1/"),
                         ["orders/1/created", "orders/1/paid"])
        self.assertEqual(self.candidates("tail", "notes"), ["notes"])
        self.assertEqual(self.candidates("tail", "orders/*/"),
                         ["orders/*/created", "orders/*/paid"])
        self.assertEqual(self.candidates("tail", "notes", "--not", "orders/+/p"),
                         ["orders/+/paid"])
        self.assertEqual(self.candidates("produce", "notes", "1", "--expect-none", "orders/+/p"),
                         ["orders/+/paid"])
        self.assertEqual(self.candidates("produce", "orders/*/"), [])
        self.assertEqual(self.candidates("produce", "notes", ""), [])
        self.assertEqual(self.candidates("produce", "--envelope", ""), [])
        self.assertEqual(self.words("tail", "orders/2")[1], [":nospace"])
        self.assertEqual(self.words("tail", "notes")[1], [])

    def test_what_bash_would_replace_wrongly_is_not_offered(self):
        self.produce("notes", 1)
        self.assertEqual(self.words("klog tail ", "", shell="bash"), (["notes"], []))
        self.assertEqual(self.words("klog tail a:\t'", "\t'", shell="bash"), ([], []))

    def test_spaces_and_keys(self):
        for key in ["a1", "a2", "b1", "--odd"]:
            self.produce(f"orders/{key}/created", 1, "-k", key)
        self.produce("orders/a2/removed", None, "-k", "a2")
        self.klog("produce", "orders/a2/removed", "-k", "a2", "--tombstone")
        self.produce("notes", 1, "-k", "n")
        for verb in ["get", "history", "keys"]:
            self.assertEqual(self.candidates(verb, ""), ["notes", "orders"])
        self.assertEqual(self.candidates("get", "orders", "a"), ["a1"])
        self.assertEqual(self.candidates("history", "orders", "a"), ["a1", "a2"])
        self.assertEqual(self.candidates("get", "orders", ""), ["a1", "b1"])
        self.assertEqual(self.candidates("get", "--", "orders", "-"), ["--odd"])
        self.assertEqual(self.candidates("keys", "orders", "--prefix", "b"), ["b1"])
        self.assertEqual(self.candidates("tail", "orders/", "--key", "b"), ["b1"])
        self.assertEqual(self.candidates("count", "orders/", "--key", "b"), ["b1"])
        self.assertEqual(self.candidates("produce", "orders/b1/paid", "--key=b"), ["--key=b1"])
        self.assertEqual(self.candidates("get", "orders", "a1", ""), [])

    def test_at_most_two_hundred(self):
        lines = "".join('{"topic":"many/%04d/x","key":"%04d","value":1}\n' % (i, i)
                        for i in range(1000))
        self.klog("produce", "--envelope", input=lines)
        self.assertEqual(self.candidates("get", "many", ""), ["%04d" % i for i in range(200)])
        self.assertEqual(self.candidates("tail", "many/"),
                         ["many/%04d/" % i for i in range(200)])

    def test_what_lies_below_a_level_is_passed_over(self):
        lines = "".join('{"topic":"a/%05d","value":1}\n' % i for i in range(5000))
        self.klog("produce", "--envelope", input=lines + '{"topic":"b/1","value":1}\n')
        self.assertEqual(self.candidates("tail", ""), ["a/", "b/"])

    def test_contexts(self):
        with open(os.path.join(self.directory, "klog.yaml"), "w", encoding="utf-8") as file:
            file.write('contexts:\n  prod: {url: "unix:///x"}\n  test: {url: "unix:///y"}\n'
                       '  "te\\nst": {url: "unix:///z"}\n')
        self.assertEqual(self.candidates("head", "--context", ""), ["prod", "test"])
        self.assertEqual(self.candidates("--context", "p"), ["prod"])

    def test_the_line_says_which_daemon(self):
        self.produce("here/1", 1)
        url, self.url = self.url, "unix:///nowhere"
        self.assertEqual(self.candidates("tail", ""), [])
        self.assertEqual(self.candidates("tail", "--url", url, ""), ["here/"])
        self.assertEqual(self.candidates("tail", "--url=" + url, "he"), ["here/"])


class Silence(klogtest.Case):
    """Without a daemon, or with a bad one, completion is quick and says nothing."""

    daemon_wanted = False

    def quiet(self, *args):
        done = self.klog("__complete", *args)
        self.assertEqual((done.stdout, done.stderr), (b"", b""))

    def test_nobody_listens(self):
        self.quiet("zsh", "tail", "")
        self.quiet("zsh", "get", "orders", "")
        self.assertEqual(os.listdir(self.directory), [])

    def test_somebody_who_never_answers(self):
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(os.path.join(self.directory, "nobody.sock"))
        listener.listen()
        # 80 ms and a start are meant; what is allowed is what a loaded machine may need.
        self.assertLess(min(self.timed("zsh", "tail", "") for _ in range(10)), 2)

    def timed(self, *args):
        begin = time.monotonic()
        self.quiet(*args)
        return time.monotonic() - begin

    def test_settings_that_are_broken(self):
        with open(os.path.join(self.directory, "klog.yaml"), "w", encoding="utf-8") as file:
            file.write("no such setting: 1\n")
        self.quiet("zsh", "tail", "")
        self.quiet("zsh", "--context", "")
        os.remove(os.path.join(self.directory, "klog.yaml"))
        self.quiet("zsh", "tail", "--url", "ftp://x", "")
        self.quiet("zsh", "tail", "--tenant", "nobody", "")

    def test_nonsense(self):
        for args in [[], ["bash"], ["zsh"], ["bash", "", ""], ["bash", "klog", "klog", "x"],
                     ["bash", "klog 'tail \"", "x"], ["zsh", "tail", "--", "--", "\n"],
                     ["zsh", "get", "\xff", "\x01"], ["bash", "klog tail \\", "\\"]]:
            done = self.klog("__complete", *args)
            self.assertEqual(done.stderr, b"", args)
        text = self.klog("help").stdout.decode()
        self.assertNotIn("__complete", text)

    def test_the_script_that_is_printed_is_the_one_that_is_installed(self):
        for shell in ["bash", "zsh", "fish"]:
            with open(os.path.join(shelltest.SCRIPTS, "klog." + shell), "rb") as file:
                self.assertEqual(self.klog("completion", shell).stdout, file.read())
        self.problem("completion", "tcsh", code=2, says="bad_option: ")
        self.problem("completion", code=2, says="usage: ")


if __name__ == "__main__":
    klogtest.main()
