#!/usr/bin/env python3
"""The manual against the binary: pages, options, filters, and every command line that is shown.

A command line in a man page is a line `$ COMMAND` in a `.Bd -literal` block or behind `.Dl`; lines
that begin with `> ` go on with it, and others below it in the block are what it prints. Those of a page are typed into one bash, in order,
with a daemon and a home of their own. Each must end with 0, unless it says `echo $?` itself or
stands in CODES. The examples of --help are run the same way. README.md's session is replayed by
readme_test.py.
"""

import glob
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import unittest

import klogtest
import readme_test

SOURCE = os.environ["KLOG_SOURCE_DIR"]
MAN = os.path.join(SOURCE, "man")

# COMMAND: REASON of what cannot be run as it stands. At present that is nothing.
NOT_RUN = {}
# Pages whose command lines another test runs and compares.
ELSEWHERE = {"klog-mistakes.7": "mistakes_test.py", "klog-patterns.7": "patterns_test.py"}
# Programs that examples use beside klog; a machine without them cannot run those.
TOOLS = ("sqlite3",)
# What is run, but does not end by itself: a daemon is told to stop once it serves, a tail once
# it has shown a record.
ENDLESS = ("klog daemon", "klog tail", "klog run -- bash")
ENDS = ("--no-follow", "--limit", "&")
# Exit statuses other than 0.
CODES = {"klog doctor": (0, 1)}  # 1: this machine's disk, say, needs attention
# Pages that begin with an empty log, since they write one themselves.
EMPTY = {"klog.1", "klog-produce.1", "klog-topics.7", "klog-errors.7", "klog-durability.7",
         "help produce"}
COMMAND_SECONDS_MAX = 120


def read(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return file.read()


def plain(text):
    """A line of a man page as it is printed."""
    return text.replace(r"\-", "-").replace(r"\&", "").replace(r"\e", "\\")


def steps_of_page(page):
    """[(command, output)] in order; output is "" where the page shows none."""
    steps, inside = [], False
    for line in page.split("\n"):
        if line.startswith(".Bd -literal"):
            inside = True
        elif line.startswith(".Ed"):
            inside = False
        elif line.startswith(".Dl $ "):
            steps.append([plain(line[6:]), ""])
        elif inside and line.startswith("$ "):
            steps.append([plain(line[2:]), ""])
        elif inside and line.startswith("> ") and steps and not steps[-1][1]:
            steps[-1][0] += "\n" + plain(line[2:])
        elif inside and steps and not line.startswith("."):
            steps[-1][1] += plain(line) + "\n"
    return steps


def steps_of_help(verb):
    text = subprocess.run([klogtest.KLOG, "help", verb], check=True, capture_output=True,
                          timeout=klogtest.LIMIT_S).stdout.decode()
    return [[command, ""] for command in re.findall(r"(?m)^  \$ (.+)$", text)]


def verbs():
    text = subprocess.run([klogtest.KLOG, "help"], check=True, capture_output=True,
                          timeout=klogtest.LIMIT_S).stdout.decode()
    return dict(re.findall(r"(?m)^  ([a-z]+) +([^-\s].*)$", text))


def same_form(text):
    return re.sub(r'"seq":\d+', '"seq":N', readme_test.same_form(text))


class Scratch:
    """A home with a daemon, and a bash in it that is typed into."""

    def __init__(self, test, empty):
        self.home = tempfile.mkdtemp(prefix="klog-manual-")
        test.addCleanup(shutil.rmtree, self.home, True)
        self.environment = klogtest.clean_environment(
            HOME=self.home, LANG="C.UTF-8", TERM="dumb",
            XDG_RUNTIME_DIR=os.path.join(self.home, "run"),
            PATH=os.path.join(self.home, "bin") + ":" + os.environ.get("PATH", "/usr/bin:/bin"))
        os.mkdir(self.environment["XDG_RUNTIME_DIR"], 0o700)
        os.mkdir(os.path.join(self.home, "bin"))
        os.symlink(os.path.abspath(klogtest.KLOG), os.path.join(self.home, "bin", "klog"))
        self.start_daemon(test)
        self.prepare(empty)
        self.shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"], cwd=self.home, env=self.environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True)
        test.addCleanup(self.close)
        self.count = 0

    def start_daemon(self, test):
        ready, mine = os.pipe()
        daemon = subprocess.Popen([klogtest.KLOG, "daemon", "-q", "--ready-fd", str(mine)],
                                  env=self.environment, cwd=self.home, pass_fds=[mine],
                                  stdin=subprocess.DEVNULL)
        os.close(mine)
        test.addCleanup(daemon.wait, klogtest.LIMIT_S)
        test.addCleanup(daemon.terminate)
        with os.fdopen(ready, "rb") as stream:
            assert select.select([stream], [], [], klogtest.LIMIT_S)[0] and stream.readline()

    def prepare(self, empty):
        """What the examples take for given: records of an order, and a few files."""
        def write(name, text, mode=0o644):
            path = os.path.join(self.home, name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(path, mode)
        write("orders.ndjson", '{"id":"7"}\n{"id":"8"}\n')
        write("test-orders.sh", "#!/bin/sh\nklog produce orders/1/created 1 && klog head\n", 0o755)
        os.symlink(os.path.join(".local", "share", "klog"), os.path.join(self.home, "data"))
        lines = [{"topic": "orders/123/" + what, "key": "123", "value": {"amount": 12.5}}
                 for what in ("created", "paid", "completed")]
        if not empty:
            subprocess.run([klogtest.KLOG, "produce", "--envelope", "-q"], check=True,
                           env=self.environment, timeout=klogtest.LIMIT_S,
                           input="".join(json.dumps(line, separators=(",", ":")) + "\n"
                                         for line in lines).encode())

    def run(self, command):
        """(what it printed, its exit status)."""
        self.count += 1
        end = f"--end-of-command-{self.count}--"
        self.shell.stdin.write(f"{command}\necho {end} $?\n".encode())
        self.shell.stdin.flush()
        output, done = b"", None
        while done is None:
            if not select.select([self.shell.stdout], [], [], COMMAND_SECONDS_MAX)[0]:
                raise AssertionError(f"no end of: {command}\n{output!r}")
            part = os.read(self.shell.stdout.fileno(), 65536)
            if not part:
                raise AssertionError(f"the shell ended: {command}\n{output!r}")
            output += part
            done = re.search(end.encode() + rb" (\d+)\n$", output)
        return output[:done.start()].decode(), int(done.group(1))

    def close(self):
        os.killpg(self.shell.pid, signal.SIGTERM)
        try:
            self.shell.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.shell.pid, signal.SIGKILL)
            self.shell.wait()
        self.shell.stdin.close()
        self.shell.stdout.close()


def is_endless(command):
    return command.startswith(ENDLESS) and not any(word in command for word in ENDS)


class Examples(unittest.TestCase):
    def start(self, command, scratch, **more):
        process = subprocess.Popen(["bash", "-c", "exec " + command], cwd=scratch.home,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE,
                                   env={**scratch.environment, **more})
        self.addCleanup(klogtest.end, process)
        return process

    def run_daemon(self, command, scratch):
        home = os.path.join(scratch.home, f"other-{scratch.count}")
        os.makedirs(os.path.join(home, "run"), 0o700)
        scratch.count += 1
        process = self.start("env -C " + home + " " + command, scratch, HOME=home,
                             XDG_RUNTIME_DIR=os.path.join(home, "run"))
        reader, told = klogtest.Reader(process.stderr), b""
        while b"klog.sock" not in told:
            told = reader.line()
        process.terminate()
        self.assertEqual(process.wait(klogtest.LIMIT_S), 0, command)

    def run_tail(self, command, scratch):
        process = self.start(command, scratch)

        def shown():
            scratch.run("klog produce orders/123/completed 1 -k 123 -q")
            return select.select([process.stdout], [], [], 0.5)[0]

        klogtest.wait_until(shown, command)
        self.assertIn(b'"topic":"orders/', os.read(process.stdout.fileno(), 65536))
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(klogtest.LIMIT_S), 130, command)

    def run_shell(self, command, scratch):
        process = self.start(command, scratch)
        out, _ = process.communicate(b"klog head\nexit 7\n", klogtest.LIMIT_S)
        self.assertEqual((out, process.returncode), (b"0\n", 7), command)

    def run_steps(self, where, steps):
        scratch = Scratch(self, where in EMPTY)
        for command, shown in steps:
            if command in NOT_RUN or shutil.which(command.split()[0]) is None and \
                    command.split()[0] in TOOLS:
                continue
            if is_endless(command):
                kind = command.split()[1]
                {"daemon": self.run_daemon, "tail": self.run_tail,
                 "run": self.run_shell}[kind](command, scratch)
                continue
            printed, code = scratch.run(command)
            allowed = next((codes for start, codes in CODES.items() if command.startswith(start)),
                           (0,))
            self.assertIn(code, allowed, f"{where}: $ {command}\n{printed}")
            if shown:
                self.assertEqual(same_form(printed), same_form(shown), f"{where}: $ {command}")

    def test_every_command_line_of_the_pages(self):
        total = 0
        for page in sorted(glob.glob(os.path.join(MAN, "*.[1-9]"))):
            name = os.path.basename(page)
            if name in ELSEWHERE:
                self.assertIn(name, read("tests/cli/" + ELSEWHERE[name]))
                continue
            steps = steps_of_page(read("man/" + name))
            total += len(steps)
            with self.subTest(page=name):
                self.run_steps(name, steps)
                self.doCleanups()
        self.assertGreater(total, 40)

    def test_command_lines_are_marked_so_that_they_are_run(self):
        names = "|".join(verbs())
        for page in glob.glob(os.path.join(MAN, "*.[1-9]")):
            self.assertEqual(re.findall(rf"(?m)^(?:\.Dl )?klog (?:{names})\b.*$", read(page)), [],
                             os.path.basename(page))

    def test_every_example_of_help(self):
        for verb in verbs():
            with self.subTest(verb=verb):
                steps = steps_of_help(verb)
                self.assertGreater(len(steps), 0)
                self.assertTrue(all("klog " + verb in command for command, _ in steps))
                self.run_steps("help " + verb, steps)
                self.doCleanups()

    def test_what_is_not_run_still_stands_somewhere(self):
        shown = {command for verb in verbs() for command, _ in steps_of_help(verb)}
        for page in glob.glob(os.path.join(MAN, "*.[1-9]")):
            shown.update(command for command, _ in steps_of_page(read(page)))
        self.assertLessEqual(set(NOT_RUN), shown)


class Pages(unittest.TestCase):
    """Which pages there are, and that their options are those of the code."""

    def test_every_verb_has_a_page_whose_name_line_is_its_summary(self):
        for verb, summary in verbs().items():
            page = read(f"man/klog-{verb}.1")
            self.assertIn(f".Nm klog-{verb}\n.Nd {summary}\n", page)
            text = subprocess.run([klogtest.KLOG, "help", verb], check=True, capture_output=True,
                                  timeout=klogtest.LIMIT_S).stdout.decode()
            self.assertIn(f"man klog-{verb}", text)

    def test_klog_1_lists_every_page(self):
        listed = set(re.findall(r"(?m)^\.(?:It )?Xr (klog[a-z-]*) (\d)", read("man/klog.1")))
        there = {tuple(os.path.basename(page).rsplit(".", 1))
                 for page in glob.glob(os.path.join(MAN, "*.[1-9]"))}
        self.assertEqual(listed, there - {("klog", "1")})

    def test_references_lead_somewhere(self):
        for page in glob.glob(os.path.join(MAN, "*.[1-9]")):
            for name, section in re.findall(r"Xr (klog[a-z-]*) (\d)", read(page)):
                self.assertTrue(os.path.exists(os.path.join(MAN, f"{name}.{section}")),
                                f"{os.path.basename(page)}: {name}({section})")

    @staticmethod
    def options_of_page(page):
        """The options that a page describes or has in its synopsis."""
        found = set()
        for line in page.split("\n"):
            if line.startswith((".It Fl", ".Op Fl")):
                line = line.replace("Fl Fl ", "Fl -")
                for name in re.findall(r"(?:Fl|[,|]) ((?:\\?-)?\w[\w\\-]*)(?= |$)", line):
                    found.add("-" + plain(name))
        return {name for name in found if name.startswith("--") or len(name) == 2}

    @staticmethod
    def options_of_help(verb):
        """(own, global), short names too."""
        text = subprocess.run([klogtest.KLOG, "help", verb], check=True, capture_output=True,
                              timeout=klogtest.LIMIT_S).stdout.decode()
        own, _, rest = text.partition("\nGLOBAL OPTIONS\n")
        rest = rest.partition("\nEXAMPLES\n")[0]
        rows = r"(?m)^  (?:(-\w), |    )(--[\w-]+)"
        return tuple({name for row in re.findall(rows, part) for name in row if name}
                     for part in (own.partition("\nOPTIONS\n")[2], rest))

    def test_options_of_pages_and_code_are_the_same(self):
        for verb in verbs():
            own, common = self.options_of_help(verb)
            page = self.options_of_page(read(f"man/klog-{verb}.1"))
            with self.subTest(verb=verb):
                self.assertEqual(own - page, set(), "the page lacks them")
                self.assertEqual(page - own - common, set(), "klog does not know them")

    def test_global_options_stand_in_klog_1(self):
        page = self.options_of_page(read("man/klog.1"))
        self.assertEqual(page, self.options_of_help("help")[1])


class Topics(klogtest.Case):
    """The tables of klog-topics(7)."""

    def rows(self, heading):
        section = read("man/klog-topics.7").split(f".Ss {heading}\n")[1].split(".El")[0]
        return [[cell.strip() for cell in line[4:].split("Ta")]
                for line in section.split("\n") if line.startswith(".It Li ")]

    def test_what_matches_what(self):
        rows = self.rows("What matches what") + self.rows("Other ways to write them")
        self.assertGreater(len(rows), 10)
        topics = {topic for _, matches, others in rows for topic in (matches + " " + others).split()}
        for topic in topics:
            self.produce(topic, 1)
        for name, matches, others in rows:
            found = self.klog("topics", name[3:], "-o", "value").stdout.decode().split()
            self.assertLessEqual(set(matches.split()), set(found), name)
            self.assertEqual(set(others.split()) & set(found), set(), name)

    def test_what_is_no_filter(self):
        rows = self.rows("What is no filter")
        self.assertGreater(len(rows), 3)
        for name, column in rows:
            self.assertIn(f"(column {column})",
                          self.problem("head", name[3:], code=2, says="bad_filter: "))

    def test_what_a_topic_may_be(self):
        rows = self.rows("What a topic may be")
        self.assertGreater(len(rows), 3)
        for name, verdict in rows:
            if verdict.startswith("good"):
                self.produce(name[3:], 1)
                continue
            column = re.search(r"column (\d+)", verdict).group(1)
            self.assertIn(f"(column {column})",
                          self.problem("produce", name[3:], "1", code=2, says="bad_topic: "))


if __name__ == "__main__":
    klogtest.main()
