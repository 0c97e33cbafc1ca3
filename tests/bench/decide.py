#!/usr/bin/env python3
"""What it costs to decide: conditional appends beside UmaDB and Tephra, and a guard in each record of a stream.

    tests/bench/decide.py [--phases append,guards,instructions] [--loads 64x1,64x64,…] [--seconds N] [--rounds N] [--dir DIR]
                          [--klog PATH] [--bench PATH]

append: CONNECTIONSxBATCH, each connection with one append of BATCH events of 256 bytes under way, each append with
one condition: no event of this writer's entity behind the newest position that it knows. Servers take turns, each
time on an empty directory, all over TCP, all synced, all with their defaults. umadb and tephra-server are looked for
in the PATH, or where KLOG_BENCH_UMADB and KLOG_BENCH_TEPHRA say. guards: one connection, groups of 256 envelopes,
with and without a guard each, which take turns of a few milliseconds. instructions: those groups again, but what a
record costs the daemon in instructions, which other programs do not change (needs valgrind).

Builds the preset `release` unless --klog and --bench name binaries. The client (decide/) is the same loop for all
servers and shares the machine's processors with them. DIR is on the disk to measure; default the build folder.
Prints tables in Markdown, each figure beside its target. Nothing else should run meanwhile.
"""
import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import stages

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOADS = "64x1,64x64,64x512,1x1,1x64,1x512"
SERVERS = {"klog": "klog", "umadb": "UmaDB", "tephra": "Tephra"}
# klog is held to so many times the peer's events/s, where TARGET_CONNECTIONS append.
TARGETS = {"umadb": 3, "tephra": 1.5}
TARGET_CONNECTIONS = 64
GUARD_COST_MAX = 0.02
KINDS = {
    "plain": "without a guard",
    "padded": "as many bytes of JSON, but no guard",
    "fresh": "a guard on its own topics, behind the last acknowledgement",
    "second": "a guard on other topics, up to a second old",
}
START_S = 20
ENTITIES = 4096
GROUP = 256
# Groups before and while instructions are counted.
GROUPS_WARM, GROUPS_COUNTED = 32, 64


class Server:
    """One of the servers, on an empty directory, as it is without options."""

    def __init__(self, name, binary, folder):
        self.home = tempfile.mkdtemp(prefix=f"{name}-", dir=folder)
        data = os.path.join(self.home, "data")
        self.socket = os.path.join(self.home, "s")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.where = f"127.0.0.1:{free.getsockname()[1]}"
        command = {
            "klog": ["daemon", "--data-dir", data, "--socket", self.socket, "--listen", self.where],
            "umadb": ["--listen", self.where, "--db-path", data],
            "tephra": ["-b", self.where, "-d", data],
        }[name]
        if name == "umadb":
            os.mkdir(data)
        self.log = os.path.join(self.home, "log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([binary, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait_ready()

    def wait_ready(self):
        host, port = self.where.split(":")
        limit = time.monotonic() + START_S
        while self.process.poll() is None and time.monotonic() < limit:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                return
            except OSError:
                threading.Event().wait(0.02)
        self.stop()
        raise RuntimeError(f"{self.process.args[0]} did not start")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.home)


def build():
    folder = os.path.join(ROOT, "build", "release")
    subprocess.run(["cmake", "--preset", "release"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", folder, "--target", "klog", "klog_decide_bench"],
                   check=True, stdout=subprocess.DEVNULL)
    return os.path.join(folder, "klog"), os.path.join(folder, "tests", "klog_decide_bench")


def installed(klog):
    """Name -> binary; says which are missing."""
    found = {"klog": klog,
             "umadb": os.environ.get("KLOG_BENCH_UMADB") or shutil.which("umadb"),
             "tephra": os.environ.get("KLOG_BENCH_TEPHRA") or shutil.which("tephra-server")}
    for name in [name for name, binary in found.items() if binary is None]:
        print(f"{SERVERS[name]} is not installed: left out", file=sys.stderr)
        del found[name]
    return found


def ask(bench, *args):
    """The bench's figures, one a line."""
    done = subprocess.run([bench, *map(str, args)], stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def append_once(options, name, binary, load):
    server = Server(name, binary, options.dir)
    try:
        return ask(options.bench, "append", name, server.where, server.process.pid, *load, options.seconds)[0]
    finally:
        server.stop()


def median(runs, figure):
    return statistics.median(run[figure] for run in runs)


def cell(runs, load):
    """Events/s with their least and most, then what each append took."""
    if runs is None:
        return "not installed"
    events = sorted(run["events_s"] for run in runs)
    appends = f", {median(runs, 'appends_s'):,.0f} appends" if load[1] > 1 else ""
    return (f"{statistics.median(events):,.0f} ({events[0]:,.0f} to {events[-1]:,.0f}){appends}; "
            f"{median(runs, 'p50_us') / 1000:.2f}, {median(runs, 'p99_us') / 1000:.2f} ms; "
            f"{median(runs, 'server_processors'):.2f} + {median(runs, 'client_processors'):.2f}")


def judge(runs, load):
    """klog's part of each peer, and what of it is held."""
    parts, verdicts = [], []
    for name, target in TARGETS.items():
        if name not in runs:
            parts.append("")
            continue
        ratio = median(runs["klog"], "events_s") / median(runs[name], "events_s")
        parts.append(f"{ratio:.2f}")
        if load[0] == TARGET_CONNECTIONS:
            verdicts.append(f"{target} of {SERVERS[name]}: {'held' if ratio >= target else 'missed'}")
    return [*parts, "; ".join(verdicts)]


def append(options):
    servers = installed(options.klog)
    print(f"{options.seconds:g} s each, {options.rounds} rounds of {', '.join(SERVERS[name] for name in servers)} in "
          "turn. Medians of events/s (the least and the most); p50, p99 of an append; processors of the server + of "
          "the client.\n")
    print("| connections, events an append | " + " | ".join(SERVERS.values())
          + " | ÷ UmaDB | ÷ Tephra | held to |\n|---" + "|---" * 6 + "|")
    for load in options.loads:
        runs = {}
        for _ in range(options.rounds):
            for name, binary in servers.items():
                runs.setdefault(name, []).append(append_once(options, name, binary, load))
        cells = [cell(runs.get(name), load) for name in SERVERS] + judge(runs, load)
        print(f"| {load[0]}, {load[1]} | " + " | ".join(cells) + " |", flush=True)
    print()


def guards(options):
    server = Server("klog", options.klog, options.dir)
    try:
        figures = ask(options.bench, "guards", server.socket, server.process.pid, options.guard_seconds)
    finally:
        server.stop()
    print(f"One connection, groups of 256 envelopes, records of 128 bytes, {figures[0]['turns']} turns of each kind. "
          "The rate of a turn by that of the plain turn in the same round: the median (and the quartiles).\n")
    print("| | records/s | of plain | a group, p50, p99 | processor of the daemon | held to | |\n|---|---|---|---|---|---|---|")
    for figure in figures:
        guarded = figure["kind"] in ("fresh", "second")
        least = 1 - GUARD_COST_MAX
        verdict = "" if not guarded else "held" if figure["of_plain"] >= least else "missed"
        print(f"| {KINDS[figure['kind']]} | {figure['records_s']:,.0f} | {figure['of_plain']:.3f} "
              f"({figure['of_plain_low']:.3f} to {figure['of_plain_high']:.3f}) "
              f"| {figure['p50_us']:.0f}, {figure['p99_us']:.0f} us | {figure['server_ns']:.0f} ns a record "
              f"| {f'{least}' if guarded else ''} | {verdict} |", flush=True)


class Groups:
    """The records of decide/guards.cc, for stages.py."""

    def __init__(self, kind):
        self.kind, self.sent, self.old, self.last = kind, 0, None, 0

    def line(self, entity, kind):
        space = "banned" if kind in ("second", "ban") else "course"
        after = self.old if kind == "second" else self.last
        guard = f'{{"none":["{space}/{entity}/*"],"after":{after or 0:10}}},'
        member = {"padded": '"meta":', "fresh": '"expect":', "second": '"expect":'}.get(kind)
        topic = "banned" if kind == "ban" else "course"
        return (f'{{"topic":"{topic}/{entity}/enrolled",{member + guard if member else ""}"value":'.encode()
                + stages.value(entity).rstrip() + b"}\n")

    def write(self, peer, kind, first):
        lines = b"".join(self.line((first + i) % ENTITIES, kind) for i in range(GROUP))
        peer.sendall(b"%x\r\n%s\r\n" % (len(lines), lines))
        answer = b""
        while answer.count(b"}") < GROUP:
            some = peer.recv(1 << 20)
            if not some or b'"code"' in answer:
                raise RuntimeError(f"the daemon refused: {answer[-300:]}")
            answer += some
        self.last = int(re.findall(rb'"seq":(\d+)', answer)[-1])

    def send(self, path, _group, count):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
            peer.sendall(b"POST /v1/records?envelope=true HTTP/1.1\r\nHost: localhost\r\n"
                         b"Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
            if self.old is None:
                for kind in ("ban", "plain"):
                    for first in range(0, ENTITIES, GROUP):
                        self.write(peer, kind, first)
                self.old = self.last
            for _ in range(count):
                self.write(peer, self.kind, self.sent)
                self.sent += GROUP


def instructions(options):
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: instructions are left out", file=sys.stderr)
        return
    print(f"\nInstructions of the daemon a record, groups of {GROUP}, counted by callgrind; without the kernel's.\n")
    print("| | instructions | more than without |\n|---|---|---|")
    plain = None
    for kind, title in KINDS.items():
        total = stages.count(options.klog, GROUP, GROUPS_WARM, GROUPS_COUNTED, Groups(kind).send)[0]
        plain = plain or total
        print(f"| {title} | {total:,.0f} | {total - plain:,.0f} ({total / plain - 1:.1%}) |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phases", default="append,guards,instructions")
    parser.add_argument("--loads", default=LOADS)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--guard-seconds", type=float, default=20)
    parser.add_argument("--klog")
    parser.add_argument("--bench")
    parser.add_argument("--dir")
    options = parser.parse_args()
    if not (options.klog and options.bench):
        options.klog, options.bench = build()
    options.loads = [tuple(map(int, load.split("x"))) for load in options.loads.split(",")]
    with tempfile.TemporaryDirectory(prefix="klog-decide-", dir=options.dir or os.path.join(ROOT, "build")) as folder:
        options.dir = folder
        for phase in options.phases.split(","):
            {"append": append, "guards": guards, "instructions": instructions}[phase](options)


if __name__ == "__main__":
    main()
