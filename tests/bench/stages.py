#!/usr/bin/env python3
"""What a record costs in each stage: instructions of the daemon, counted by callgrind.

    tests/bench/stages.py [KLOG]

KLOG is a binary with symbols (build/dev/klog). Groups of 1, 256 and 1,024 records are streamed over
one connection, each awaited, to a daemon that runs under valgrind (apt install valgrind). What the
kernel does for it is not counted; `klog bench` shows the whole, beside the disk. Prints a table in
Markdown.
"""
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
START_SECONDS = 60
# Group size, groups to warm up, groups to count.
LOADS = ((1, 200, 3000), (256, 10, 60), (1024, 10, 20))
# Stage, the functions that it is, those within them that are stages of their own.
STAGES = (
    ("read the socket, undo the chunks", ["Connection::serve_body_from_socket()"], []),
    ("split lines, build the batch", ["ProduceStream::submit_unit()"],
     ["json::Checker::check(", "ProduceStream::append("]),
    ("parse: check the JSON", ["json::Checker::check("], []),
    ("check: names and limits, hash key and id", ["klog::prepare_batch("], []),
    ("queue: look-ups, locks, handing over", ["Pipeline::append("],
     ["klog::prepare_batch(", "Sequencer::judge(", "Pipeline::commit_one()"]),
    ("judge", ["Sequencer::judge("], ["RecordEncoder::add("]),
    ("encode", ["RecordEncoder::add("], []),
    ("checksum and write", ["WalImpl::commit("], []),
    ("publish", ["Pipeline::publish("], []),
    ("ack: write the answer, send it", ["StreamReport::add(", "Connection::send_out()"], []),
    ("behind: spares, indexes, runs", ["StoreImpl::maintain_files()"], []),
)


def value(number):
    text = f'{{"n":{number},"pad":"'
    return (text + "x" * (126 - len(text)) + '"}\n').encode()


def send_groups(path, group, count):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        peer.sendall(b"POST /v1/records?topic=bench/stages HTTP/1.1\r\nHost: localhost\r\n"
                     b"Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
        lines = b"".join(map(value, range(group)))
        for _ in range(count):
            peer.sendall(b"%x\r\n%s\r\n" % (len(lines), lines))
            acks = 0
            while acks < group:
                some = peer.recv(1 << 20)
                if not some:
                    raise RuntimeError("the daemon closed the stream")
                acks += some.count(b'"seq"')


def count(klog, group, warm_up, counted, send=send_groups):
    """Instructions a record: of everything, and function -> inclusive. send(path, group, count) sends groups."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "callgrind.out")
        data = os.path.join(folder, "data")
        path = os.path.join(data, "klog.sock")
        reads, writes = os.pipe()
        with open(reads, "rb") as ready:
            daemon = subprocess.Popen(
                ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
                 "--instr-atstart=no", klog, "daemon", "--data-dir", data,
                 "--ready-fd", str(writes)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[writes])
            os.close(writes)
            # One that ends early closes its end.
            if not select.select([ready], [], [], START_SECONDS)[0] or not ready.readline():
                raise RuntimeError("the daemon did not start")
        send(path, group, warm_up)
        for switch, groups in (("on", counted), ("off", 0)):
            subprocess.run(["callgrind_control", "-i", switch, str(daemon.pid)], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if groups:
                send(path, group, groups)
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
        text = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", out],
                              check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True).stdout
    functions = {}
    total = 0
    for line in text.splitlines():
        match = re.match(r"\s*([\d,]+) \([ \d.]+%\)\s+(.*)", line)
        if not match:
            continue
        cost = int(match[1].replace(",", "")) / (group * counted)
        if match[2].startswith("PROGRAM TOTALS"):
            total = cost
        elif "'2" not in match[2]:  # a recursive call is counted in the first
            name = match[2].replace("(anonymous namespace)::", "")
            functions[name] = max(functions.get(name, 0), cost)
    return total, functions


def cost_of(functions, pattern):
    """The function's own entry; lambdas within it and std::function's wrappers name it as well."""
    found = [cost for name, cost in functions.items()
             if pattern in name and "std::_Function_handler" not in name and "std_function" not in name]
    return max(found, default=0)


def main():
    klog = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build", "dev", "klog")
    taken = [count(klog, *load) for load in LOADS]
    print("| instructions a record | " + " | ".join(f"groups of {load[0]:,}" for load in LOADS) + " |")
    print("|---|" + "---|" * len(LOADS))
    rest = [total for total, _ in taken]
    for title, functions, inner in STAGES:
        cells = []
        for i, (_, costs) in enumerate(taken):
            cost = sum(cost_of(costs, f) for f in functions) - sum(cost_of(costs, f) for f in inner)
            rest[i] -= cost
            cells.append(f"{max(cost, 0):,.0f}")
        print(f"| {title} | " + " | ".join(cells) + " |")
    print("| the rest: turns, locks, memory | " + " | ".join(f"{max(r, 0):,.0f}" for r in rest) + " |")
    print("| all | " + " | ".join(f"{total:,.0f}" for total, _ in taken) + " |")


if __name__ == "__main__":
    main()
