"""Daemons for tests: started from the real binary, spoken to over their socket.

Uses nothing but Python's standard library, and shares no code with klog.
"""

import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

KLOG = os.environ.get("KLOG_BIN", "")
# Sanitizers slow a start down; no test waits this long where all is well.
LIMIT_SECONDS = 60


def wait_until(condition, what, seconds=LIMIT_SECONDS):
    """Waits for what tells nobody of itself. Gives the condition's value once it is true."""
    limit = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > limit:
            raise AssertionError(f"not within {seconds} s: {what}")
        pause.wait(0.005)


def is_alive(pid):
    """True while the process runs; one that only waits to be collected has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


class Place:
    """A home of its own, so that nothing of the caller's reaches klog."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="klog-t-")
        for name in ("home", "run", "tmp", "work"):
            os.mkdir(self.path(name), 0o700)
        self.environment = {
            "HOME": self.path("home"),
            "XDG_RUNTIME_DIR": self.path("run"),
            "TMPDIR": self.path("tmp"),
            "PATH": os.path.dirname(KLOG) + ":" + os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]
        self.started = []

    def path(self, *names):
        return os.path.join(self.root, *names)

    def klog(self, *arguments, **more):
        """Runs klog to its end. Gives the completed process, with text."""
        environment = {**self.environment, **more.pop("env", {})}
        more.setdefault("cwd", self.path("work"))
        more.setdefault("stdin", subprocess.DEVNULL)
        more.setdefault("timeout", LIMIT_SECONDS)
        return subprocess.run([KLOG, *arguments], env=environment, capture_output=True, text=True,
                              check=False, **more)

    def start(self, *arguments, env=None):
        """Starts klog and leaves it running."""
        process = subprocess.Popen(
            [KLOG, *arguments], env={**self.environment, **(env or {})}, cwd=self.path("work"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.started.append(process)
        return process

    def daemon(self, *arguments, env=None, prefix=()):
        daemon = Daemon(self, arguments, env, prefix=prefix)
        self.started.append(daemon.process)
        return daemon

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait(LIMIT_SECONDS)
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()
        shutil.rmtree(self.root, ignore_errors=True)


class Daemon:
    """`klog daemon`, from its ready line on. `prefix` is a command that becomes it."""

    def __init__(self, place, arguments, env=None, wait=True, prefix=()):
        reader, writer = os.pipe()
        # A file, not a pipe: a log that nobody reads must not hold the daemon up.
        self.log_path = tempfile.mktemp(prefix="log-", dir=place.root)
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*prefix, KLOG, "daemon", "--ready-fd", str(writer), *arguments],
                pass_fds=[writer],
                env={**place.environment, **(env or {})}, cwd=place.path("work"),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        os.close(writer)
        self.ready_fd = reader
        self.ready = None
        if wait:
            self.wait_ready()

    def wait_ready(self):
        """Waits for the ready line and for its descriptor to be closed behind it."""
        text = b""
        while True:
            if not select.select([self.ready_fd], [], [], LIMIT_SECONDS)[0]:
                raise AssertionError("no ready line\n" + self.log())
            part = os.read(self.ready_fd, 65536)
            if not part:
                break
            text += part
        os.close(self.ready_fd)
        self.ready_fd = -1
        if not text:
            self.process.wait(LIMIT_SECONDS)
            raise AssertionError(f"the daemon ended with {self.process.returncode}\n" + self.log())
        self.ready = json.loads(text)

    @property
    def socket(self):
        return self.ready["urls"][0].removeprefix("unix://")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def request(self, method, target, body=None, content_type=None):
        return request(self.socket, method, target, body, content_type)

    def produce(self, topic, value="1"):
        status, _, body = self.request("POST", f"/v1/records?topic={topic}", value.encode(),
                                       "application/json")
        assert status == 201, (status, body)
        return json.loads(body)["seq"]

    def head(self):
        status, _, body = self.request("GET", "/v1/head")
        assert status == 200, (status, body)
        return json.loads(body)["seq"]

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=LIMIT_SECONDS):
        code = self.process.wait(seconds)
        log = self.log()
        # What a sanitizer found is the reason, and it lies in a folder that goes with the test.
        if "Sanitizer" in log:
            raise AssertionError(f"the daemon ended with {code}\n" + log)
        return code

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        self.process.kill()
        self.process.wait(LIMIT_SECONDS)
        if self.ready_fd >= 0:
            os.close(self.ready_fd)
            self.ready_fd = -1


class UnixConnection(http.client.HTTPConnection):
    """http.client over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=LIMIT_SECONDS)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def request(path, method, target, body=None, content_type=None):
    """One call on a connection of its own: status, headers, body."""
    connection = UnixConnection(path)
    try:
        headers = {"Content-Type": content_type} if content_type else {}
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def answers(path):
    """True if a daemon serves the socket."""
    try:
        return request(path, "GET", "/livez")[0] == 200
    except OSError:
        return False
