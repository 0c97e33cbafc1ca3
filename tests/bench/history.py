#!/usr/bin/env python3
"""One key's records among ten million: how long `history` and `get` take.

    tests/bench/history.py [--records N] [--dir DIR] [--build DIR] [--data DIR]

N (10,000,000) records of 128 bytes of 1,000,000 keys, and 200 keys more with a record in each 100,000 of
them (100 records each, every one in another block). They are loaded through `klog produce`; --data names a
folder where they are kept for the next run. Then one kept connection over the socket asks for the
history of one of the 200 again and again, of each of them once, and of each once with nothing in the page
cache; and for the newest record of keys. Prints a table in Markdown. Nothing else should run meanwhile.
"""
import argparse
import os
import shutil
import tempfile
import threading
import time

from replay import ROOT, VALUE, Daemon

SPREAD, SPREAD_EVERY = 200, 100_000
WARM_TARGET_MS, COLD_TARGET_MS, GET_TARGET_MS = 1.0, 10.0, 0.3


def write_envelopes(records, out):
    """One in 500 records belongs to one of the 200 keys, so that no two of them share a block."""
    step = SPREAD_EVERY // SPREAD
    with out:
        for first in range(0, records, 20_000):
            lines = []
            for n in range(first, min(first + 20_000, records)):
                key = f"spread-{n % SPREAD_EVERY // step}" if n % step == 7 else str(n * 7919 % 1_000_000)
                lines.append(f'{{"topic":"load/{n // 5000 % 200}","key":"{key}","value":{VALUE % n}}}\n')
            out.write("".join(lines).encode())


def load(daemon, records):
    reader, writer = os.pipe()
    feeder = threading.Thread(target=write_envelopes, args=(records, os.fdopen(writer, "wb")))
    feeder.start()
    with os.fdopen(reader, "rb") as lines:
        daemon.run("produce", "--envelope", "-q", stdin=lines)
    feeder.join()


def forget_pages(data):
    """Takes the files of the daemon out of the page cache."""
    for folder, _, names in os.walk(data):
        for name in names:
            try:
                file = os.open(os.path.join(folder, name), os.O_RDONLY)
            except OSError:
                continue  # a socket, or sealed meanwhile
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


class Asker:
    def __init__(self, daemon):
        self.connection = daemon.connection()

    def ms(self, target, lines):
        """How long one answer takes, which has so many lines."""
        began = time.perf_counter()
        self.connection.request("GET", target)
        body = self.connection.getresponse().read()
        took = (time.perf_counter() - began) * 1000
        assert body.count(b"\n") == lines, (target, body[:300])
        return took

    def history(self, number, lines):
        return self.ms(f"/v1/spaces/load/keys/spread-{number}/history", lines)

    def get(self, key):
        return self.ms(f"/v1/spaces/load/keys/{key}", 1)


def spread(samples):
    samples = sorted(samples)
    return samples[len(samples) // 2], samples[len(samples) * 99 // 100]


def row(name, samples, target):
    middle, high = spread(samples)
    said = "held" if middle <= target else "missed"
    return (name, f"{middle:.2f} ms, p99 {high:.2f} ms", f"{target:g} ms", said)


def measure(daemon, data, records, restart):
    """Rows of the table, and the daemon that runs at the end. restart(daemon): a new one."""
    lines = records // SPREAD_EVERY
    rows = []
    asker = Asker(daemon)
    asker.history(0, lines)
    rows.append(row("the same key again and again", [asker.history(0, lines) for _ in range(1000)],
                    WARM_TARGET_MS))
    for number in range(SPREAD):
        asker.history(number, lines)
    rows.append(row("200 keys in turn, the files in the page cache",
                    [asker.history(number, lines) for number in range(SPREAD)], WARM_TARGET_MS))
    cold = []
    for number in range(0, SPREAD, 4):
        forget_pages(data)
        cold.append(asker.history(number, lines))
    rows.append(row("each with nothing in the page cache", cold, COLD_TARGET_MS))
    first = []
    for number in range(5):
        daemon = restart(daemon)
        forget_pages(data)
        first.append(Asker(daemon).history(number, lines))
    rows.append(row("the first one after a start, nothing in the page cache", first, COLD_TARGET_MS))
    asker = Asker(daemon)
    keys = [n * 104_729 % 1_000_000 for n in range(1000)]
    for key in keys:
        asker.get(key)
    rows.append(row("`get` of 1,000 keys in turn", [asker.get(key) for key in keys], GET_TARGET_MS))
    return rows, daemon


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--dir", default=None, help="a folder on the disk to measure")
    parser.add_argument("--data", default=None, help="the log is made here, or was made here before")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    args = parser.parse_args()
    klog = os.path.join(args.build, "klog")
    home = tempfile.mkdtemp(prefix="klog-b-", dir=args.dir)
    data = args.data or os.path.join(home, "data")
    known = os.path.isdir(data)
    try:
        daemon = Daemon(klog, data, home)
        if not known:
            load(daemon, args.records)

        def restart(running):
            running.stop()
            return Daemon(klog, data, home)

        unsealed = daemon.metric("klog_store_unsealed_bytes")
        segments = daemon.metric("klog_store_segments")
        rows, daemon = measure(daemon, data, args.records, restart)
        daemon.stop()
    finally:
        shutil.rmtree(home)
    print(f"{args.records:,} records in {segments} segments, {unsealed >> 10} KiB closed and not sealed")
    print(f"\n| history of {args.records // SPREAD_EVERY} records | | held to | |\n|---|---|---|---|")
    for cells in rows:
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
