#!/usr/bin/env python3
"""Replays the terminal session of README.md and compares what comes out word for word.

Every ```console block is part of one session: lines that begin with `$ ` are typed into one bash,
`> ` goes on with the command above, everything else is what the terminal showed. Standard output
and errors are both shown. What differs from run to run (times, ports, process ids, temporary
folders) is compared by its form alone; see VARIABLE.
"""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

COMMAND_SECONDS_MAX = 30

VARIABLE = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"), "TIME"),
    (re.compile(r"\b\d\d:\d\d:\d\d(?:\.\d+)?\b"), "TIME"),
    (re.compile(r"\b(?:127\.0\.0\.1|localhost):\d+"), "ADDRESS"),
    (re.compile(r'("pid":)\d+'), r"\1PID"),
    (re.compile(r"\b\d+(?:\.\d+)? ?(?:ms|s)\b"), "DURATION"),
    (re.compile(r"\b[\d,]+ (?:records/s|/s)"), "RATE"),
    (re.compile(r"(?:/[\w.-]+)+/klog\.sock"), "SOCKET"),
]


def same_form(text):
    for pattern, word in VARIABLE:
        text = pattern.sub(word, text)
    return text.rstrip()


def session_of(text):
    """The commands of the README with what they print, as (line, command, output)."""
    steps, inside = [], False
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("```"):
            inside = not inside and line.strip() == "```console"
        elif inside and line.startswith("$ "):
            steps.append([number, line[2:], []])
        elif inside and not steps:
            raise SystemExit(f"README.md:{number}: output before the first command")
        elif inside and line.startswith("> ") and not steps[-1][2]:
            steps[-1][1] += "\n" + line[2:]
        elif inside:
            steps[-1][2].append(line)
    return [(number, command, "\n".join(output)) for number, command, output in steps]


class Shell:
    """One bash that is typed into."""

    def __init__(self, home, binary):
        environment = {
            "HOME": home, "LANG": "C.UTF-8", "TERM": "dumb",
            "XDG_RUNTIME_DIR": os.path.join(home, "run"),
            "PATH": os.path.dirname(binary) + ":" + os.environ.get("PATH", "/usr/bin:/bin"),
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        os.mkdir(environment["XDG_RUNTIME_DIR"], 0o700)
        self.process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"], cwd=home, env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.count = 0

    def run(self, command):
        """What the command printed. A shell that it starts or leaves goes on with the session."""
        self.count += 1
        end = f"--end-of-command-{self.count}--"
        self.process.stdin.write(f"{command}\necho {end}\n".encode())
        self.process.stdin.flush()
        output, marker = b"", end.encode() + b"\n"
        limit = time.monotonic() + COMMAND_SECONDS_MAX
        while not output.endswith(marker):
            left = limit - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise SystemExit(f"no end within {COMMAND_SECONDS_MAX} s: {command}\n"
                                 + output.decode(errors="replace"))
            part = os.read(self.process.stdout.fileno(), 65536)
            if not part:
                raise SystemExit(f"the shell ended: {command}\n" + output.decode(errors="replace"))
            output += part
        return output[:-len(marker)].decode()

    def close(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def main():
    source, binary = os.environ["KLOG_SOURCE_DIR"], os.environ["KLOG_BIN"]
    with open(os.path.join(source, "README.md"), encoding="utf-8") as file:
        steps = session_of(file.read())
    if not steps:
        raise SystemExit("README.md shows no session")
    home = tempfile.mkdtemp(prefix="klog-readme-")
    failed = 0
    shell = Shell(home, binary)
    try:
        for number, command, expected in steps:
            got = shell.run(command)
            if same_form(got) != same_form(expected):
                failed += 1
                print(f"README.md:{number}: $ {command}\n--- README\n{same_form(expected)}\n"
                      f"--- klog\n{same_form(got)}\n--- as it came\n{got}")
    finally:
        shell.close()
        shutil.rmtree(home, ignore_errors=True)
    print(f"{len(steps)} commands, {failed} differ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
