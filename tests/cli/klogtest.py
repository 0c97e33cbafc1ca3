"""What the black-box tests share: daemons, commands, and waiting with a limit.

They drive the program that KLOG_BIN names and share no code with it. Nothing here sleeps to let
something happen: every wait ends with an event, or fails at its limit.
"""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

KLOG = os.environ.get("KLOG_BIN", "klog")
LIMIT_S = 60.0


def wait_until(happened, what, limit_s=LIMIT_S):
    """Polls until happened() gives something true, which is returned."""
    end = time.monotonic() + limit_s
    while True:
        result = happened()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit_s} s for {what}")
        select.select([], [], [], 0.01)


class Daemon:
    """A daemon of its own, on a socket in `directory`."""

    def __init__(self, directory, ephemeral=True):
        self.socket = os.path.join(directory, "klog.sock")
        self.data_dir = None if ephemeral else os.path.join(directory, "data")
        self.url = "unix://" + self.socket
        self.process = None
        self.start()

    def start(self):
        ready, mine = os.pipe()
        where = ["--data-dir", self.data_dir] if self.data_dir else ["--ephemeral"]
        self.process = subprocess.Popen(
            [KLOG, "daemon", "-q", *where, "--socket", self.socket, "--ready-fd", str(mine)],
            env=clean_environment(), pass_fds=[mine], stdin=subprocess.DEVNULL)
        os.close(mine)
        readable, _, _ = select.select([ready], [], [], LIMIT_S)
        line = os.read(ready, 65536) if readable else b""
        os.close(ready)
        if not line:
            self.process.kill()
            raise AssertionError("the daemon did not get ready")
        self.ready = json.loads(line)

    def kill(self):
        self.process.kill()
        self.process.wait(LIMIT_S)

    def pause(self):
        """Stops every thread where it stands. kill(2) returns before that: on a busy machine a
        thread may go on for a while, and answer."""
        self.process.send_signal(signal.SIGSTOP)
        wait_until(self.stands_still, "the daemon to stand still")

    def stands_still(self):
        tasks = f"/proc/{self.process.pid}/task"
        try:
            for task in os.listdir(tasks):
                with open(f"{tasks}/{task}/stat", encoding="ascii", errors="replace") as stat:
                    if stat.read().rpartition(")")[2].split()[0] != "T":
                        return False
        except FileNotFoundError:
            return False  # a thread has just ended
        return True

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(LIMIT_S)


def clean_environment(**more):
    kept = {k: v for k, v in os.environ.items()
            if not k.startswith(("KLOG_", "XDG_", "NO_COLOR"))}
    kept.update(more)
    return kept


class Case(unittest.TestCase):
    """A test with a daemon (unless `daemon_wanted` says otherwise) and a directory of its own."""

    daemon_wanted = True
    ephemeral = True

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="klog-test-")
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.url = "unix://" + os.path.join(self.directory, "nobody.sock")
        if self.daemon_wanted:
            self.daemon = Daemon(self.directory, self.ephemeral)
            self.addCleanup(self.daemon.stop)
            self.url = self.daemon.url

    def environment(self):
        return clean_environment(KLOG_URL=self.url, HOME=self.directory)

    def klog(self, *args, input=b"", code=0):
        """Runs klog to its end; fails unless it exits with `code` (None: whatever)."""
        if isinstance(input, str):
            input = input.encode()
        done = subprocess.run([KLOG, *args], input=input, capture_output=True, timeout=LIMIT_S,
                              env=self.environment(), cwd=self.directory)
        if code is not None:
            self.assertEqual(done.returncode, code,
                             f"klog {' '.join(args)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done

    def lines(self, *args, **more):
        return [json.loads(line) for line in self.klog(*args, **more).stdout.splitlines()]

    def start(self, *args, stdin=subprocess.DEVNULL):
        """Starts klog in the background; it is ended with the test."""
        process = subprocess.Popen([KLOG, *args], stdin=stdin, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=self.environment(),
                                   cwd=self.directory)
        self.addCleanup(end, process)
        return process

    def produce(self, topic, value, *args):
        return json.loads(self.klog("produce", topic, json.dumps(value), *args).stdout)

    def problem(self, *args, code, says, input=b""):
        """klog fails with that exit code, and its first line on stderr begins with `says`."""
        done = self.klog(*args, code=code, input=input)
        self.assertTrue(done.stderr.decode().startswith("klog: " + says), done.stderr)
        return done.stderr.decode()


def end(process):
    if process.poll() is None:
        process.kill()
    process.wait(LIMIT_S)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


class Reader:
    """Lines of a process's output, waited for with a limit."""

    def __init__(self, stream):
        self.fd = stream.fileno()
        self.rest = b""

    def line(self, limit_s=LIMIT_S):
        deadline = time.monotonic() + limit_s
        while b"\n" not in self.rest:
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self.fd], [], [], max(left, 0))
            if not readable:
                raise AssertionError("no line of output came")
            some = os.read(self.fd, 65536)
            if not some:
                raise AssertionError("the output ended")
            self.rest += some
        line, self.rest = self.rest.split(b"\n", 1)
        return line


def http_get(daemon, target):
    """One plain HTTP request, so that a test can look without the client under test."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LIMIT_S)
        connection.connect(daemon.socket)
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n"
                           "Connection: close\r\n\r\n".encode())
        answer = b""
        while True:
            some = connection.recv(65536)
            if not some:
                return answer
            answer += some


def main():
    signal.alarm(600)  # a test that hangs is a test that fails
    unittest.main()
