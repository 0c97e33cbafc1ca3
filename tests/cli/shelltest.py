"""What the completion tests of the shells share: a shell on a terminal, and tests for all of them."""

import fcntl
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios

import klogtest

SCRIPTS = os.path.join(os.environ["KLOG_SOURCE_DIR"], "packaging", "completion")
SKIP = 77

# Each has something that a shell would take for its own.
HOSTILE_KEYS = [
    "a b", " lead and trail ", "it's", "'lead", "trail'", 'say "hi"', '"lead', 'trail"', "$HOME",
    "$(touch pwned)", "`touch pwned`", "x; touch pwned", "x & touch pwned", "back\\slash", "end\\",
    "x:y:z", "a=b=c", "=eq", "~", "~root", "#hash", "a#b", "*", "?", "[x]", "{a,b}", "(p)", "<in",
    ">out", "bang!1", "!!", "a|b", "%1", "^c^d", "@host", "ünïcode", "日本 語", "a\u00a0b",
    "https://example.org/?q=1&r=2",
]


class Patient(klogtest.Case):
    """With the 80 ms that people get, what is answered would depend on how busy the machine is."""

    def environment(self):
        return {**super().environment(), "KLOG_COMPLETION_TIMEOUT": "30s"}


class Terminal:
    """A shell on a terminal of its own. In it `klog` is a function that notes its arguments, while
    completion asks the real one."""

    def __init__(self, test, command, setup):
        self.test = test
        self.note = os.path.join(test.directory, "arguments")
        bin_directory = os.path.join(test.directory, "bin")
        os.makedirs(bin_directory, exist_ok=True)
        if not os.path.lexists(os.path.join(bin_directory, "klog")):
            os.symlink(os.path.abspath(klogtest.KLOG), os.path.join(bin_directory, "klog"))
        environment = test.environment()
        environment.update(PATH=bin_directory + ":" + os.environ.get("PATH", "/usr/bin:/bin"),
                           TERM="xterm", LANG="C.UTF-8", LC_ALL="C.UTF-8", NOTE=self.note)
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (60, 200))
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave,
                                        env=environment, cwd=test.directory,
                                        start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.screen = b""
        self.write(setup + "\nklog ready\n")
        self.arguments("the shell's start")

    def write(self, text):
        data = text.encode()
        while data:
            data = data[os.write(self.master, data):]

    def read(self):
        """Takes what is on the screen, so that the shell can go on writing."""
        while select.select([self.master], [], [], 0.01)[0]:
            try:
                some = os.read(self.master, 65536)
            except OSError:
                return
            if not some:
                return
            self.screen += some
            # fish asks the terminal what it is, and waits a little for the answer.
            if b"\x1b[0c" in some or b"\x1b[c" in some:
                self.write("\x1b[?6c")

    def arguments(self, what):
        """The arguments of the next command that runs."""
        def there():
            self.read()
            return os.path.exists(self.note + ".done")
        try:
            klogtest.wait_until(there, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen[-3000:]!r}") from None
        with open(self.note, "rb") as file:
            found = file.read()
        os.remove(self.note + ".done")
        os.remove(self.note)
        return [part.decode() for part in found.split(b"\0")[:-1]]

    def complete(self, typed):
        """Types, completes, runs: the arguments that the command got."""
        self.write(typed + "\t\n")
        return self.arguments(typed)

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(klogtest.LIMIT_S)
        os.close(self.master)


class Shell(Patient):
    """The same tests for every shell; unittest finds them in what is derived from it."""

    command = None
    setup = None
    tilde = True  # can it insert one that is not expanded?

    def setUp(self):
        super().setUp()
        self.shell = Terminal(self, self.command, self.setup)
        self.addCleanup(self.shell.close)

    def test_verbs_options_and_values(self):
        self.assertEqual(self.shell.complete("klog hist"), ["history"])
        self.assertEqual(self.shell.complete("klog tail --no-f"), ["tail", "--no-follow"])
        self.assertEqual(self.shell.complete("klog head -o nd"), ["head", "-o", "ndjson"])
        self.assertEqual(self.shell.complete("klog head --output=nd"), ["head", "--output=ndjson"])

    def test_topics(self):
        for topic in ["orders/1/created", "notes/a$b", "notes/c:d"]:
            self.produce(topic, 1)
        self.assertEqual(self.shell.complete("klog tail ord\t1/"), ["tail", "orders/1/created"])
        self.assertEqual(self.shell.complete("klog tail 'orders/*/c"),
                         ["tail", "orders/*/created"])
        self.assertEqual(self.shell.complete("klog tail notes/a\\$"), ["tail", "notes/a$b"])
        self.assertEqual(self.shell.complete("klog tail notes/c:"), ["tail", "notes/c:d"])
        self.assertEqual(self.shell.complete("klog tail 'notes/a$"), ["tail", "notes/a$b"])
        # The space behind what is complete, and none behind a level that goes on.
        self.assertEqual(self.shell.complete("klog tail orders/1/c\tx"),
                         ["tail", "orders/1/created", "x"])
        self.assertEqual(self.shell.complete("klog tail o\t1/c"), ["tail", "orders/1/created"])

    def test_files(self):
        with open(os.path.join(self.directory, "settings.yaml"), "w", encoding="utf-8"):
            pass
        self.assertEqual(self.shell.complete("klog daemon --config setti"),
                         ["daemon", "--config", "settings.yaml"])
        self.assertEqual(self.shell.complete("klog daemon --config=setti"),
                         ["daemon", "--config=settings.yaml"])
        os.mkdir(os.path.join(self.directory, "records"))
        # zsh takes the slash away again at the end of a line.
        self.assertEqual([word.rstrip("/") for word in
                          self.shell.complete("klog daemon --data-dir reco")],
                         ["daemon", "--data-dir", "records"])

    def test_commands(self):
        path = os.path.join(self.directory, "bin", "a-command-of-our-own")
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n")
        os.chmod(path, 0o755)
        if self.command[0] == "zsh":
            self.shell.write("rehash\n")
        self.assertEqual(self.shell.complete("klog run -- a-command-of-o"),
                         ["run", "--", "a-command-of-our-own"])

    def test_hostile_keys(self):
        lines = [{"topic": f"space{i}x/t", "key": key, "value": 1}
                 for i, key in enumerate(HOSTILE_KEYS)]
        self.klog("produce", "--envelope",
                  input="".join(klogtest.json.dumps(line) + "\n" for line in lines))
        for i, key in enumerate(HOSTILE_KEYS):
            if key.startswith("~") and not self.tilde:
                self.assertEqual(self.shell.complete(f"klog get space{i}x "),
                                 ["get", f"space{i}x"])
                continue
            for quote in ["", "'", '"']:
                self.assertEqual(self.shell.complete(f"klog get space{i}x {quote}"),
                                 ["get", f"space{i}x", key], f"in {quote!r}")
        self.assertFalse(os.path.exists(os.path.join(self.directory, "pwned")))

    def test_without_a_daemon_nothing_is_said(self):
        self.daemon.stop()
        before = len(self.shell.screen)
        self.assertEqual(self.shell.complete("klog get orders a"), ["get", "orders", "a"])
        self.assertNotIn(b"klog:", self.shell.screen[before:])
        self.assertNotIn(b"unreachable", self.shell.screen[before:])


def main(shell):
    """Runs the tests of a script; ctest shows it as skipped where the shell is not installed."""
    if shutil.which(shell) is None:
        print(f"skipped: {shell} is not installed (packaging/debian-packages.txt lists it)")
        sys.exit(SKIP)
    klogtest.main()
