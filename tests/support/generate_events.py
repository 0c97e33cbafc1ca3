#!/usr/bin/env python3
"""Writes made-up events as klog envelopes, one a line, for as many entities as one likes.

    tests/support/generate_events.py --keys 10000000 | klog produce --envelope

Each of --keys entities gets a first event, in an order that looks random (--order rising: in order of
their keys). With --count more come, for entities picked at random among those with a number from A to B
(--among A-B; default: all). --expect gives each event the version that its
entity has by then, --ids an id. The same arguments give the same bytes. Values have 128 bytes.

Topic orders/{0..99}/{placed|changed}, key order-00001234. 10 million events take about 20 s.
"""
import argparse
import array
import random
import sys

LINES_A_WRITE = 10_000
# Two primes near 2^32 spread what is counted up; together with a modulus they never meet twice.
SPREAD = 2_654_435_761
VALUE = '{{"order":{0},"amount":{1},"customer":"customer-{2:06d}","note":"made up, so that a value has 128 bytes"}}'
VALUE_BYTES = 128


def spread_order(keys):
    """0..keys-1, each once, in an order that jumps about: i * SPREAD mod keys, SPREAD prime to keys."""
    step = SPREAD % keys or 1
    while gcd(step, keys) != 1:
        step += 1
    at = 0
    for _ in range(keys):
        yield at
        at += step
        if at >= keys:
            at -= keys


def gcd(a, b):
    while b:
        a, b = b, a % b
    return a


def value_of(number, version):
    text = VALUE.format(number, version * 37 % 1_000_000, number * 7919 % 1_000_000)
    return text[:-2] + "." * (VALUE_BYTES - len(text)) + '"}'


def line_of(number, version, args):
    parts = [f'{{"topic":"orders/{number % 100}/{"changed" if version else "placed"}","key":"order-{number:08d}"']
    if args.expect:
        parts.append(f'"expect":{version}')
    if args.ids:
        parts.append(f'"id":"event-{number:08d}-{version}"')
    parts.append(f'"value":{value_of(number, version)}}}\n')
    return ",".join(parts)


def numbers(args):
    """The entities in the order of their events."""
    if not args.only_more:
        yield from range(args.keys) if args.order == "rising" else spread_order(args.keys)
    draw = random.Random(args.seed).random
    first, last = args.among
    for _ in range(max(0, args.count - (0 if args.only_more else args.keys))):
        yield first + int(draw() * (last + 1 - first))


def numbers_between(text):
    first, _, last = text.partition("-")
    return int(first), int(last)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1000, metavar="K", help="entities")
    parser.add_argument("--count", type=int, default=0, metavar="N", help="events in all (default: one an entity)")
    parser.add_argument("--order", choices=["spread", "rising"], default="spread", help="of the first events")
    parser.add_argument("--among", type=numbers_between, metavar="A-B", help="whose the later events are")
    parser.add_argument("--only-more", action="store_true",
                        help="leave out the first events, as if a run without this had written them")
    parser.add_argument("--expect", action="store_true", help="with the expected version")
    parser.add_argument("--ids", action="store_true", help="with an id")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if not 1 <= args.keys < 1 << 32:
        parser.error("--keys is 1 to 2^32 - 1")
    args.among = args.among or (0, args.keys - 1)
    if not 0 <= args.among[0] <= args.among[1] < args.keys:
        parser.error("--among A-B: both are numbers of entities, from 0, and A is not above B")
    versions = array.array("I", [1 if args.only_more else 0]) * args.keys
    out = sys.stdout.buffer
    lines = []
    try:
        for number in numbers(args):
            version = versions[number]
            lines.append(line_of(number, version, args))
            versions[number] = version + 1
            if len(lines) == LINES_A_WRITE:
                out.write("".join(lines).encode())
                lines.clear()
        out.write("".join(lines).encode())
        out.flush()
    except BrokenPipeError:
        sys.stderr.close()  # whoever reads has enough


if __name__ == "__main__":
    main()
