#!/usr/bin/env python3
"""Ten thousand followers: memory, what they cost a writer, and how late a record reaches one.

    tests/bench/followers.py [--followers N] [--mix half|key|filter] [--klog PATH] [--bench PATH]
                             [--tcp] [--phases memory,match,…] [--rounds R] [--later SECONDS] [--dir DIR]

Builds the preset `release` unless --klog and --bench name binaries. Each phase has a daemon of its
own, on an empty directory. A follower is `GET /v1/records?…&follow=true`, half of them of one key,
half of a filter of their own with wildcards. Prints a table in Markdown, each figure beside its target. The
client (followers_bench.cc) shares the machine's processors with the daemon. Needs about 2 N + 600
descriptors (ulimit -Hn at least N + 300 for each of the two).
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RATES = (1_000, 5_000, 10_000)
# What a figure is held to: (start of its name, least or most, value).
TARGETS = {
    "memory": (("memory", "most", 16),),
    "nomatch": (("of it", "least", 0.9),),
    "match": (("of it", "least", 0.9),),
    "latency": tuple((f"{rate}/s, p99", "most", 10) for rate in RATES),
}
TITLES = {
    "memory": "Memory of the daemon",
    "idle": "Heartbeats",
    "nomatch": "Produce, records that nobody follows",
    "match": "Produce, each record for one follower",
    "latency": "From when a record was due to its ack and its follower, open loop",
    "stalled": "Nobody reads while 64 MiB come (2 where all get all), then all do",
    "churn": "200 more come and go, again and again",
}


class Daemon:
    def __init__(self, klog, home, tcp):
        ready, given = os.pipe()
        listen = ["--listen", "127.0.0.1:0"] if tcp else []
        self.process = subprocess.Popen(
            [klog, "daemon", "--data-dir", os.path.join(home, "data"), "--socket",
             os.path.join(home, "s"), "--ready-fd", str(given), *listen],
            pass_fds=[given], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(given)
        with os.fdopen(ready) as line:
            urls = json.loads(line.readline())["urls"]
        self.where = urls[-1].removeprefix("http://") if tcp else os.path.join(home, "s")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def build():
    folder = os.path.join(ROOT, "build", "release")
    subprocess.run(["cmake", "--preset", "release"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", folder, "--target", "klog", "klog_followers_bench"],
                   check=True, stdout=subprocess.DEVNULL)
    return os.path.join(folder, "klog"), os.path.join(folder, "tests", "klog_followers_bench")


def run(options, phase, seconds, more=None):
    """Figures of one phase: (name, value, unit)."""
    home = tempfile.mkdtemp(prefix="klog-followers-", dir=options.dir)
    daemon = Daemon(options.klog, home, options.tcp)
    try:
        done = subprocess.run(
            [options.bench, daemon.where, str(daemon.process.pid), str(options.followers),
             options.mix, phase, str(seconds), *([str(more)] if more else [])],
            stdout=subprocess.PIPE, text=True, check=False)
        figures = [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode != 0:
            figures.append({"figure": "broke off", "value": done.returncode, "unit": ""})
        return [(figure["figure"], figure["value"], figure["unit"]) for figure in figures]
    finally:
        daemon.stop()
        shutil.rmtree(home)


def judged(phase, name, value):
    for start, which, target in TARGETS.get(phase, ()):
        if name == start or (start == "memory" and name.startswith(start)):
            held = value <= target if which == "most" else value >= target
            return f"{target} at {which}", "held" if held else "missed"
    return "", ""


def measure(options, phase):
    if phase == "latency":
        return [figure for rate in RATES for figure in run(options, phase, options.seconds, rate)]
    megabytes = 2 if options.mix == "all" else 64
    seconds = {"memory": options.later, "idle": 32, "stalled": megabytes, "churn": 20}
    if phase in seconds:
        return run(options, phase, seconds[phase])
    return run(options, phase, options.seconds / 4, options.rounds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--followers", type=int, default=10_000)
    parser.add_argument("--mix", choices=("half", "key", "filter", "all"), default="half")
    parser.add_argument("--klog")
    parser.add_argument("--bench")
    parser.add_argument("--tcp", action="store_true")
    parser.add_argument("--phases", default=",".join(TITLES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--later", type=float, default=30)
    parser.add_argument("--dir")
    options = parser.parse_args()
    if not (options.klog and options.bench):
        options.klog, options.bench = build()
    print(f"| {options.followers:,} followers, {options.mix} | | held to | |\n|---|---|---|---|")
    for phase in options.phases.split(","):
        print(f"| **{TITLES[phase]}** | | | |", flush=True)
        for name, value, unit in measure(options, phase):
            text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
            target, verdict = judged(phase, name, value)
            print(f"| {name} | {text} {unit} | {target} | {verdict} |", flush=True)


if __name__ == "__main__":
    main()
