#!/usr/bin/env python3
"""The table of figures: klog beside the raw disk and beside what else is installed, in one run.

    tests/bench/compare.py [--seconds N] [--dir DIR] [--release]

Builds what it needs in build/dev (or build/release), measures, and prints a table in Markdown. Each
figure with a target says whether it was held. Redis is measured where redis-server is installed
(apt install redis-server), with appendfsync always, since klog syncs as well; SQLite in a process of
its own, with synchronous FULL. DIR is on the disk to measure; default the build folder. Nothing else
should run meanwhile.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REDIS_PORT = 16379
ONE_SHOTS = 40

# Figure, its title, its unit in the table. What it is held to stands in TARGETS.
ROWS = [
    ("produce.1", "one record at a time, one stream", "us"),
    ("produce.256", "groups of 256, one stream", "/s"),
    ("produce.1024", "groups of 1,024, one stream", "/s"),
    ("produce.unbounded", "not waiting for acks, one stream", "/s"),
    ("produce.pipe", "`klog produce` from a pipe", "/s"),
    ("one.1", "1 connection, one record a request", "us"),
    ("one.1.expect", "the same with `expect`", "us"),
    ("one.32", "32 connections, one record a request", "/s"),
    ("one.32.expect", "the same with `expect`", "/s"),
    ("one.64", "64 connections", "/s"),
    ("one.64.expect", "the same with `expect`", "/s"),
    ("end-to-end", "producer to tail, one record each 5 ms", "us"),
    ("replay", "replay as NDJSON", "/s"),
    ("replay.framed", "replay in frames", "/s"),
    ("tail.pipe", "`klog tail` into a pipe", "/s"),
    ("get.1", "newest record of a key", "us"),
    ("start", "start to first ack", "us"),
    ("one-shot", "`klog produce T V` as a process", "us"),
    ("memory.idle", "memory when idle", "MB"),
    ("memory.million", "memory after a million records", "MB"),
    ("idle-tails", "processor for 200 idle tails", "ms/s"),
]


def run_json(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, **options)
    return {line["figure"]: line for line in map(json.loads, done.stdout.splitlines())}


def value(figures, name, unit):
    """A figure in the table's unit; None where it was not taken."""
    figure = figures.get(name)
    if figure is None:
        return None
    return figure["p50_us"] if unit == "us" and "p50_us" in figure else figure["value"]


def targets(klog, redis, sqlite):
    """What a figure is held to: name -> (limit, "at least" or "at most", in words)."""
    raw = {n: klog["raw." + n] for n in ("1", "256", "1024")}
    held = {
        "produce.1": (raw["1"]["p50_us"] + 60, "most", "raw + 60 us"),
        "one.1": (raw["1"]["p50_us"] + 60, "most", "raw + 60 us"),
        "produce.256": (0.3 * raw["256"]["value"], "least", "0.3 of raw"),
        "produce.pipe": (0.8 * klog["produce.unbounded"]["value"], "least", "0.8 of one stream"),
        "end-to-end": (klog["raw.paced"]["p50_us"] + 120, "most", "raw, paced the same, + 120 us"),
        "start": (7000, "most", "7 ms"),
        "one-shot": (3000, "most", "3 ms"),
        "memory.idle": (8, "most", "8 MB"),
        "memory.million": (24, "most", "24 MB"),
        "idle-tails": (1, "most", "1 ms/s"),
        "one.32.expect": (0.9 * klog["one.32"]["value"], "least", "0.9 of without"),
    }
    if "one.32" in redis:
        held["one.32"] = (1.2 * redis["one.32"]["value"], "least", "1.2 of Redis")
        limit = min(held["end-to-end"][0], 0.5 * redis["end-to-end"]["p50_us"])
        held["end-to-end"] = (limit, "most", "raw, paced the same, + 120 us; half of Redis")
    if "produce.1024" in sqlite:
        best = max(sqlite["produce.256"]["value"], 0.3 * raw["256"]["value"])
        held["produce.256"] = (best, "least", "0.3 of raw; more than SQLite")
        held["produce.1024"] = (sqlite["produce.1024"]["value"], "least", "more than SQLite")
    return held


def text(number, unit):
    if number is None:
        return ""
    if unit == "/s":
        return f"{number:,.0f}/s"
    if unit == "us":
        return f"{number:,.0f} us" if number < 1000 else f"{number / 1000:.2f} ms"
    return f"{number:.2f} {unit}"


def measure_redis(bench, folder, seconds):
    server = os.environ.get("KLOG_REDIS_SERVER") or shutil.which("redis-server")
    if server is None:
        print("redis-server is not installed: left out", file=sys.stderr)
        return {}
    data = os.path.join(folder, "redis")
    os.mkdir(data)
    process = subprocess.Popen(
        [server, "--bind", "127.0.0.1", "--port", str(REDIS_PORT), "--dir", data, "--save", "",
         "--appendonly", "yes", "--appendfsync", "always"],
        stdout=subprocess.DEVNULL)
    try:
        client = os.path.join(os.path.dirname(server), "redis-cli")
        ping = [client, "-p", str(REDIS_PORT)]
        until = time.monotonic() + 10
        while subprocess.run(ping + ["ping"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL).returncode != 0:
            if time.monotonic() > until:
                raise RuntimeError("redis-server did not start")
        figures = run_json([bench, "redis", f"127.0.0.1:{REDIS_PORT}", str(seconds)])
        took = []
        for _ in range(ONE_SHOTS):
            begin = time.perf_counter()
            subprocess.run(ping + ["XADD", "shot", "*", "d", "x" * 128], check=True,
                           stdout=subprocess.DEVNULL)
            took.append(1e6 * (time.perf_counter() - begin))
        figures["one-shot"] = {"value": sorted(took)[len(took) // 2]}
        return figures
    finally:
        process.terminate()
        process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--dir")
    parser.add_argument("--release", action="store_true", help="measure the release build")
    given = parser.parse_args()
    preset = "release" if given.release else "dev"
    build = os.path.join(ROOT, "build", preset)
    for command in (["cmake", "--preset", preset],
                    ["cmake", "--build", build, "--target", "klog", "klog_peers_bench"]):
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    klog_binary = os.path.join(build, "klog")
    bench = os.path.join(build, "tests", "klog_peers_bench")

    with tempfile.TemporaryDirectory(dir=given.dir or build) as folder:
        klog = run_json([klog_binary, "bench", "-o", "ndjson", "--dir", folder, "--seconds",
                         str(given.seconds)])
        redis = measure_redis(bench, folder, given.seconds)
        sqlite = run_json([bench, "sqlite", folder, str(given.seconds)])

    held = targets(klog, redis, sqlite)
    print(f"{preset} build, {os.cpu_count()} processors, {given.seconds} s a figure, "
          f"{time.strftime('%Y-%m-%d')}. us and ms are medians.\n")
    print("| | klog | raw disk | Redis, always | SQLite, FULL | held to | |")
    print("|---|---|---|---|---|---|---|")
    missed = 0
    for name, title, unit in ROWS:
        mine = value(klog, name, unit)
        raw = value(klog, "raw." + name.split(".")[-1], unit) if name.startswith("produce.") else None
        if name == "end-to-end":
            raw = value(klog, "raw.paced", unit)
        limit = held.get(name)
        verdict = ""
        if limit is not None:
            good = mine <= limit[0] if limit[1] == "most" else mine >= limit[0]
            missed += not good
            verdict = "held" if good else f"missed: {text(limit[0], unit)}"
        print(f"| {title} | {text(mine, unit)} | {text(raw, unit)} "
              f"| {text(value(redis, name, unit), unit)} | {text(value(sqlite, name, unit), unit)} "
              f"| {limit[2] if limit else ''} | {verdict} |")
    print(f"\n{missed} targets missed.")


if __name__ == "__main__":
    main()
