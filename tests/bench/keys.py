#!/usr/bin/env python3
"""Ten million keys: how fast they are written, and what each question for one of them costs.

    tests/bench/keys.py [--keys N] [--dir DIR] [--build DIR] [--sources DIR] [--redis]

N (10,000,000; the 100 million of --keys 100000000 want about 60 GB and an hour) entities get a first event of
128 bytes, in an order that jumps about. Then come events with an expected version: of 1,000 hot keys and of keys
at random, in turns. The daemon is stopped, started, killed, started again, and started without its indexes; keys
are got, listed, followed. --sources keeps the events for the next run. Beside each figure stands what it is held to,
and what one needs who has no keys: to read the topic. --redis adds a Redis server with a stream a key (a tenth of the
keys). Prints a table in Markdown. Nothing else should run meanwhile.
"""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from history import forget_pages, spread
from replay import ROOT, Daemon

GENERATOR = os.path.join(ROOT, "tests", "support", "generate_events.py")
HOT_KEYS = 1_000
SETTLED_WITHIN_S = 120
ASKS = 1_000
PACED_EVERY_S = 0.01


class Table:
    def __init__(self):
        self.rows = []

    def add(self, what, figure, target="", held=None):
        self.rows.append((what, figure, target, "" if held is None else "held" if held else "missed"))
        print(f"  {what}: {figure}", file=sys.stderr, flush=True)

    def show(self):
        print("| | | held to | |\n|---|---|---|---|")
        for row in self.rows:
            print("| " + " | ".join(row) + " |")


class Sources:
    """Files of envelopes, made once."""

    def __init__(self, folder, keys):
        self.folder, self.keys = folder, keys

    def file(self, name, *options, keys=None):
        path = os.path.join(self.folder, f"{name}-{keys or self.keys}.ndjson")
        if not os.path.exists(path):
            with open(path + ".part", "wb") as out:
                subprocess.run([sys.executable, GENERATOR, "--keys", str(keys or self.keys), *options],
                               stdout=out, check=True)
            os.rename(path + ".part", path)
        return path

    def parts(self, name, count, *options, keys=None):
        """The same events in so many files, which are to be written in their order."""
        whole = self.file(name, *options, keys=keys)
        parts = [f"{whole}.{n}" for n in range(count)]
        if not all(map(os.path.exists, parts)):
            with open(whole, "rb") as lines:
                lines = lines.readlines()
            for n, part in enumerate(parts):
                with open(part, "wb") as out:
                    out.writelines(lines[len(lines) * n // count:len(lines) * (n + 1) // count])
        return parts


def lines_of(path):
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def produce(daemon, *paths):
    """Events a second, of files that are written one after the other."""
    seconds = events = 0
    for path in paths:
        with open(path, "rb") as lines:
            seconds += daemon.timed("produce", "--envelope", "-q", stdin=lines)[0]
        events += lines_of(path)
    return events / seconds


def settle(daemon):
    """Until sealing and merging have come to an end: a little always waits for more."""
    limit, seen, same = time.monotonic() + SETTLED_WITHIN_S, None, 0
    while same < 8 and time.monotonic() < limit:
        now = [daemon.metric(name) for name in ("klog_store_unsealed_bytes", "klog_store_segment_bytes")]
        seen, same = now, same + 1 if now == seen else 0
        threading.Event().wait(0.25)


def bytes_below(folder):
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names)


class Asker:
    def __init__(self, daemon):
        self.connection = daemon.connection()

    def ms(self, target):
        began = time.perf_counter()
        self.connection.request("GET", target)
        answer = self.connection.getresponse()
        body = answer.read()
        took = (time.perf_counter() - began) * 1000
        assert answer.status == 200, (target, body[:300])
        return took, body


def key_name(number):
    return f"order-{number:08d}"


def ask(table, daemon, keys):
    """What one question costs, on one kept connection."""
    asker, draw = Asker(daemon), random.Random(5)
    some = [key_name(draw.randrange(keys)) for _ in range(ASKS)]
    for name, target, path in (("`get`", 0.3, "/v1/spaces/orders/keys/{}"),
                               ("history of a key", 1, "/v1/spaces/orders/keys/{}/history"),
                               ("a page of 100 keys behind a key", 1, "/v1/spaces/orders/keys?limit=100&after={}")):
        for key in some:
            asker.ms(path.format(key))
        middle, high = spread([asker.ms(path.format(key))[0] for key in some])
        table.add(f"{name}, {ASKS:,} in turn, warm", f"{middle:.2f} ms, p99 {high:.2f} ms", f"{target} ms",
                  middle <= target)
    prefix = key_name(keys // 2)[:-3]
    took, body = asker.ms(f"/v1/spaces/orders/keys?prefix={prefix}&limit=10000")
    assert body.count(b"\n") == 1000, body[:200]
    table.add("1,000 keys with a prefix", f"{took:.1f} ms")


def list_all(table, daemon, keys):
    began, most = time.monotonic(), 0
    client = subprocess.Popen([daemon.klog, "keys", "orders"], stdout=subprocess.DEVNULL,
                              env={**os.environ, "KLOG_URL": "unix://" + daemon.socket})
    while client.poll() is None:
        with open(f"/proc/{client.pid}/status", encoding="ascii") as status:
            most = max([most] + [int(line.split()[1]) >> 10 for line in status if line.startswith("VmHWM")])
        threading.Event().wait(0.05)
    assert client.returncode == 0
    table.add("`klog keys orders`, all of them", f"{keys / (time.monotonic() - began):,.0f}/s, client {most} MB "
              "at the most")


def scan(table, daemon, keys):
    """What any other log needs for one key's newest record."""
    seconds, size = daemon.replay("/v1/records?filter=orders/>", "application/vnd.klog.batch")
    table.add("for comparison: to read the whole topic in frames, as one without keys has to",
              f"{seconds * 1000:,.0f} ms, {size >> 20:,} MiB")
    seconds, size = daemon.replay("/v1/records?filter=orders/>")
    table.add("… as NDJSON", f"{seconds * 1000:,.0f} ms, {size >> 20:,} MiB")


def follow_one(table, daemon, flood):
    """A key that changes every 10 ms, followed while others are written as fast as it goes."""
    arrived, due = {}, {}
    answer = None

    def take():
        for line in answer:
            if line.strip():
                arrived[json.loads(line)["value"]["n"]] = time.perf_counter()

    reading = daemon.connection()
    reading.request("GET", "/v1/records?filter=orders/watched/*&key=watched&follow=true")
    answer = reading.getresponse()
    threading.Thread(target=take, daemon=True).start()
    writer = threading.Thread(target=produce, args=(daemon, flood))
    writing = daemon.connection()
    began = time.perf_counter()
    writer.start()
    n = 0
    while writer.is_alive():
        due[n] = began + n * PACED_EVERY_S  # latency counts from here, also where this thread is late
        while (left := due[n] - time.perf_counter()) > 0:
            threading.Event().wait(left)
        writing.request("POST", "/v1/records?topic=orders/watched/changed&key=watched", f'{{"n":{n}}}',
                        {"Content-Type": "application/json"})
        assert writing.getresponse().read()
        n += 1
    events = lines_of(flood)
    rate = events / (time.perf_counter() - began)
    limit = time.monotonic() + 10
    while len(arrived) < n and time.monotonic() < limit:
        threading.Event().wait(0.01)
    assert len(arrived) == n, (len(arrived), n)
    middle, high = spread([(arrived[i] - due[i]) * 1000 for i in range(n)])
    table.add(f"one key followed while {events:,} others are written ({rate:,.0f}/s), due to seen",
              f"{middle:.1f} ms, p99 {high:.1f} ms")


def rebuild(table, klog, data, home, keys):
    shutil.rmtree(os.path.join(data, "index"))
    began = time.monotonic()
    daemon = Daemon(klog, data, home)
    asker = Asker(daemon)
    asker.connection.request("GET", f"/v1/records?from={keys // 2}&limit=1")
    line = asker.connection.getresponse().read()
    served = time.monotonic() - began
    assert json.loads(line)["seq"] == keys // 2, line
    while True:
        asker.connection.request("GET", "/readyz")
        answer = asker.connection.getresponse()
        body = answer.read()
        if answer.status == 200:
            break
        assert answer.status == 503, body
        threading.Event().wait(0.05)
    seconds = time.monotonic() - began
    table.add("start without indexes: a record in the middle is read after", f"{served * 1000:.0f} ms")
    table.add("… all is known again after", f"{seconds:.1f} s", "60 s", seconds <= 60)
    table.add("… most memory", f"{daemon.memory_mb('VmHWM'):.0f} MB", "256 MB", daemon.memory_mb("VmHWM") <= 256)
    return daemon


def start_and_write(daemon_of):
    """A start until the first record is acknowledged. Returns the daemon and ms."""
    began = time.monotonic()
    daemon = daemon_of()
    connection = daemon.connection()
    connection.request("POST", "/v1/records?topic=orders/first/placed&key=first", "1",
                       {"Content-Type": "application/json"})
    assert connection.getresponse().status == 201
    return daemon, (time.monotonic() - began) * 1000


def killed_while_writing(daemon, source):
    feed = subprocess.Popen([daemon.klog, "produce", "--envelope", "-q", "--timeout", "1s"],
                            stdin=open(source, "rb"), stderr=subprocess.DEVNULL,
                            env={**os.environ, "KLOG_URL": "unix://" + daemon.socket})
    threading.Event().wait(1.0)
    daemon.kill()
    feed.wait()


def with_ids(table, klog, home, sources):
    """The same events with and without an id, for new keys and for known ones, in turns."""
    count = str(sources.keys // 5)
    rates = {}
    for turn in range(2):
        for ids in (False, True):
            folder = os.path.join(home, f"ids-{turn}-{ids}")
            daemon = Daemon(klog, folder, home)
            options = ("--ids",) if ids else ()
            for kind, more in (("new keys", ()), ("known keys", ("--only-more", "--count", count))):
                path = sources.file(f"{kind.replace(' ', '-')}{'-ids' if ids else ''}", *options, *more,
                                    keys=sources.keys // 5)
                rates.setdefault((kind, ids), []).append(produce(daemon, path))
            memory = daemon.memory_mb("VmHWM")
            daemon.stop()
            shutil.rmtree(folder)
    for kind in ("new keys", "known keys"):
        without, with_id = max(rates[kind, False]), max(rates[kind, True])
        table.add(f"an id on every event, {kind}", f"{with_id:,.0f}/s, {with_id / without:.2f} of without",
                  "0.75", with_id >= 0.75 * without)
    table.add("… most memory of the daemon", f"{memory:.0f} MB", "256 MB", memory <= 256)


def redis(table, home, source, keys):
    """A stream a key, as one would do it there; always synced."""
    server = shutil.which("redis-server")
    if server is None:
        return table.add("Redis", "not installed")
    path = os.path.join(home, "redis.sock")
    process = subprocess.Popen([server, "--port", "0", "--unixsocket", path, "--dir", home, "--save", "",
                                "--appendonly", "yes", "--appendfsync", "always"], stdout=subprocess.DEVNULL)
    commands = os.path.join(home, "redis.commands")
    with open(source, "rb") as lines, open(commands, "wb") as out:
        for line in lines:
            event = json.loads(line)
            parts = [b"XADD", event["key"].encode(), b"*", b"v", json.dumps(event["value"]).encode()]
            out.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
    while not os.path.exists(path):
        threading.Event().wait(0.01)
    began = time.monotonic()
    with open(commands, "rb") as stdin:
        subprocess.run(["redis-cli", "-s", path, "--pipe"], stdin=stdin, stdout=subprocess.DEVNULL, check=True)
    rate = keys / (time.monotonic() - began)
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
    process.terminate()
    process.wait()
    return table.add(f"for comparison: Redis, a stream for each of {keys:,} keys",
                     f"{rate:,.0f}/s, {memory * (1 << 20) / keys:,.0f} bytes of memory a key")


def measure(args, klog, home, table):
    keys, data = args.keys, os.path.join(home, "data")
    sources = Sources(args.sources or home, keys)
    first = sources.file("first")
    more = ("--only-more", "--expect", "--count", str(max(keys // 5, 1000)))
    hot = sources.parts("more-hot", 4, *more, "--among", f"0-{HOT_KEYS - 1}")
    rand = sources.parts("more-random", 4, *more, "--among", f"{HOT_KEYS}-{keys - 1}")
    flood = sources.file("flood", "--order", "rising", keys=max(keys // 10, 1000))

    daemon = Daemon(klog, data, home)
    table.add("loaded, each event of a new key", f"{produce(daemon, first):,.0f}/s")
    table.add("… most memory", f"{daemon.memory_mb('VmHWM'):.0f} MB", "256 MB", daemon.memory_mb("VmHWM") <= 256)
    settle(daemon)
    asker = Asker(daemon)
    took, _ = asker.ms("/v1/spaces/orders/keys?limit=1")
    table.add("… the first listing after it", f"{took:.0f} ms")
    daemon.stop()
    beyond = bytes_below(os.path.join(data, "index")) / keys - len(key_name(0))
    table.add("on disk for heads and key index, beyond the key's text", f"{beyond:.1f} bytes a key", "100 bytes",
              beyond <= 100)

    daemon, took = start_and_write(lambda: Daemon(klog, data, home))
    table.add("start to first ack after a clean stop", f"{took:.0f} ms", "100 ms", took <= 100)
    table.add("… memory then", f"{daemon.memory_mb('VmRSS'):.0f} MB", "128 MB", daemon.memory_mb("VmRSS") <= 128)
    ask(table, daemon, keys)
    table.add("… memory after these", f"{daemon.memory_mb('VmRSS'):.0f} MB", "128 MB",
              daemon.memory_mb("VmRSS") <= 128)

    rates = {"hot": [], "random": []}
    for turn in range(3):
        rates["hot"].append(produce(daemon, hot[turn]))
        rates["random"].append(produce(daemon, rand[turn]))
    hot_rate, random_rate = (len(r) / sum(1 / x for x in r) for r in rates.values())
    table.add(f"with an expected version, {HOT_KEYS:,} hot keys", f"{hot_rate:,.0f}/s")
    table.add("… keys at random, warm", f"{random_rate:,.0f}/s, {random_rate / hot_rate:.2f} of hot", "0.5",
              random_rate >= 0.5 * hot_rate)
    table.add("… most memory", f"{daemon.memory_mb('VmHWM'):.0f} MB", "256 MB", daemon.memory_mb("VmHWM") <= 256)
    settle(daemon)
    daemon.stop()
    forget_pages(data)
    daemon = Daemon(klog, data, home)
    cold = produce(daemon, rand[3])
    table.add("… keys at random, nothing in the page cache at first", f"{cold:,.0f}/s, {cold / hot_rate:.2f} of hot")
    follow_one(table, daemon, flood)
    list_all(table, daemon, keys)
    scan(table, daemon, keys)
    killed_while_writing(daemon, flood)
    daemon, took = start_and_write(lambda: Daemon(klog, data, home))
    table.add("start to first ack after kill -9 under load", f"{took:.0f} ms", "1,000 ms", took <= 1000)
    settle(daemon)
    daemon.stop()
    daemon = rebuild(table, klog, data, home, keys)
    took = Asker(daemon).ms("/v1/spaces/orders/keys?limit=1")[0]
    table.add("… the first listing after that", f"{took:.0f} ms")
    daemon.stop()
    shutil.rmtree(data)
    with_ids(table, klog, home, sources)
    if args.redis:
        redis(table, home, flood, max(keys // 10, 1000))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=10_000_000)
    parser.add_argument("--dir", default=None, help="a folder on the disk to measure")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--sources", default=None, help="a folder that keeps the events")
    parser.add_argument("--redis", action="store_true")
    args = parser.parse_args()
    if args.sources:
        os.makedirs(args.sources, exist_ok=True)
    home = tempfile.mkdtemp(prefix="klog-b-", dir=args.dir)
    table = Table()
    try:
        measure(args, os.path.join(args.build, "klog"), home, table)
    finally:
        shutil.rmtree(home)
        table.show()


if __name__ == "__main__":
    main()
