#!/usr/bin/env python3
"""How small sealed segments are, and how fast they are packed and unpacked, beside the targets.

    tests/bench/storage.py [--count N] [--all] [--build DIR]

Builds klog_storage_bench in build/release (or DIR) and feeds it real events (tests/support/fetch_events.py).
Prints a table in Markdown: the settings with which klog seals and merges and their neighbours, or with
--all every block size, level and dictionary. Speeds are of one thread's processor time; on a busy
machine they still come out too low. JSON in is what a producer sends: envelopes with topic and key.
"""
import argparse
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TWO_DAYS = 78488
# KiB of a block, level, KiB of the dictionary, KiB of records that it is made from.
SEAL = (16, 1, 32, 1024)
MERGE = (16, 9, 112, 8192)
NEIGHBOURS = [(16, 1, 0, 1024), (8, 1, 32, 1024), (32, 1, 32, 1024), (16, 3, 32, 1024), (16, 1, 64, 4096),
              (16, 9, 112, 1024), (16, 6, 112, 8192), (16, 12, 112, 8192), (8, 9, 112, 8192),
              (32, 9, 112, 8192), (64, 9, 112, 8192), (64, 9, 0, 1024), (16, 9, 64, 8192)]
BLOCKS, LEVELS, DICTIONARIES = (8, 16, 32, 64, 128), (1, 3, 6, 9), (0, 16, 32, 64, 112)
SIZE_MAX, UNPACK_MIN = 0.16, 1.0


def verdict(setting, figures):
    """What the presets are held to: the size once merged, the speed of reading."""
    if setting not in (SEAL, MERGE):
        return ""
    missed = []
    if setting == MERGE and figures[0] > SIZE_MAX:
        missed.append(f"{SIZE_MAX} missed")
    if figures[3] < UNPACK_MIN:
        missed.append(f"{UNPACK_MIN} GB/s missed")
    name = "sealing" if setting == SEAL else "merging"
    return f"{name}: " + (", ".join(missed) or "held")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=TWO_DAYS, help="events (two days of edits)")
    parser.add_argument("--all", action="store_true", help="every combination")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"), help="build folder")
    args = parser.parse_args()
    if not os.path.exists(os.path.join(args.build, "CMakeCache.txt")):
        subprocess.run(["cmake", "--preset", "release", "-B", args.build], cwd=ROOT,
                       stdout=subprocess.DEVNULL, check=True)
    subprocess.run(["cmake", "--build", args.build, "--target", "klog_storage_bench"],
                   stdout=subprocess.DEVNULL, check=True)
    settings = [SEAL, MERGE, *NEIGHBOURS]
    if args.all:
        settings += [(b, level, d, 1024) for b in BLOCKS for level in LEVELS for d in DICTIONARIES]
    settings = sorted(set(settings), key=lambda s: (s[1], s[0], s[2], s[3]))
    with tempfile.TemporaryDirectory(prefix="klog-storage-") as folder:
        events = subprocess.Popen(
            [sys.executable, os.path.join(ROOT, "tests", "support", "fetch_events.py"),
             "--count", str(args.count)], stdout=subprocess.PIPE)
        done = subprocess.run(
            [os.path.join(args.build, "tests", "klog_storage_bench"), folder,
             *[str(number) for setting in settings for number in setting]],
            stdin=events.stdout, stdout=subprocess.PIPE, text=True, check=True)
        if events.wait() != 0:
            sys.exit("storage: there are no events to measure with")
    print("| block | level | dictionary | made from | bytes per byte of JSON in | per byte of values |"
          " packed | unpacked | |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---|")
    for line in done.stdout.splitlines():
        fields = line.split()
        setting = tuple(int(field) for field in fields[:4])
        figures = [float(field) for field in fields[4:8]]
        block, level, dictionary, training = setting
        print(f"| {block} KiB | {level} | {f'{dictionary} KiB' if dictionary else 'none'} | "
              f"{training // 1024} MiB | {figures[0]:.4f} | {figures[1]:.4f} | {figures[2]:.0f} MB/s | "
              f"{figures[3]:.2f} GB/s | {verdict(setting, figures)} |")


if __name__ == "__main__":
    main()
