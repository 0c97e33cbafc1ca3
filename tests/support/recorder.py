"""A recorder outside the daemon: what was sent, what was answered, and what the log must hold.

Uses nothing but Python's standard library, and shares no code with klog.
"""

import base64
import json
import random
import threading

ACKED, REFUSED, UNKNOWN = "acked", "refused", "unknown"


def print_figures(battery, **figures):
    """The line that tests/report reads."""
    words = [f"{name}={round(value, 1) if isinstance(value, float) else value}"
             for name, value in figures.items()]
    print(f"figures: battery={battery}", *words, flush=True)


class Write:
    """One record that a producer sent, and what is known of its outcome."""

    def __init__(self, topic, key, value, raw, ident, expect=None):
        self.topic, self.key, self.value, self.raw = topic, key, value, raw
        self.ident, self.expect = ident, expect
        self.outcome, self.seq, self.version = UNKNOWN, None, None

    def envelope(self):
        parts = [b'"topic":' + quoted(self.topic), b'"key":' + quoted(self.key),
                 b'"id":' + quoted(self.ident)]
        if self.expect is not None:
            parts.append(b'"expect":' + str(self.expect).encode())
        if self.raw:
            parts.append(b'"value_base64":' + quoted(base64.b64encode(self.value).decode()))
        else:
            parts.append(b'"value":' + self.value)
        return b"{" + b",".join(parts) + b"}\n"

    def stored_value(self):
        """The bytes with which the record's line ends."""
        if self.raw:
            return b'"value_base64":' + quoted(base64.b64encode(self.value).decode()) + b"}"
        return b'"value":' + self.value + b"}"

    def acknowledge(self, answer):
        self.outcome, self.seq, self.version = ACKED, answer["seq"], answer["version"]


def quoted(text):
    return json.dumps(text, ensure_ascii=False).encode()


class Source:
    """Makes records that are all different: the number in each id and value is used once."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.count = 0

    def write(self, space, key, expect=None):
        with self.lock:
            self.count += 1
            number, chance = self.count, self.random
            raw = chance.random() < 0.2
            # Now and then a large one, so that WAL files fill and rotate.
            size = chance.choice([0, 10, 100, 100, 1000]) if chance.random() > 0.02 else 200_000
            if raw:
                value = b"%d:" % number + chance.randbytes(size)
            else:
                # What a parser would change: spaces, digits beyond 64 bits, a member twice.
                value = (b'{"n": %d,"big":123456789012345678901234567890.10 ,"n":1e400,"s":"%s"}'
                         % (number, b"\\u00e9x" * (size // 7)))
            topic = f"{space}/{chance.choice('abc')}/{number % 7}"
            return Write(topic, key, value, raw, f"id-{number}", expect)


class Book:
    """What one data directory must hold."""

    def __init__(self):
        self.records = {}   # seq: Write, as found in the log
        self.versions = {}  # (space, key): the newest version
        self.seq = 0        # the newest seq that was compared
        self.time = ""

    def take(self, lines, open_writes):
        """Compares the records behind self.seq with the writes whose fate is not settled."""
        by_ident = {write.ident: write for write in open_writes}
        found = set()
        for line in lines:
            record = json.loads(line)
            write = by_ident.get(record["id"])
            assert write is not None, f"nobody wrote {line[:300]}"
            assert write.ident not in found, f"twice: {line[:300]}"
            found.add(write.ident)
            assert write.outcome != REFUSED, f"refused, and there: {line[:300]}"
            assert record["seq"] > self.seq, f"seq {record['seq']} behind {self.seq}"
            assert record["time"] >= self.time, f"time before {self.time}: {line[:300]}"
            self.seq, self.time = record["seq"], record["time"]
            entity = (write.topic.split("/")[0], write.key)
            version = self.versions.get(entity, 0) + 1
            assert record["version"] == version, f"{entity}: {record['version']}, not {version}"
            self.versions[entity] = version
            if write.outcome == ACKED:
                assert (write.seq, write.version) == (record["seq"], version), \
                    f"acked as {write.seq}, {write.version}: {line[:300]}"
            self.check(line, record, write)
            write.seq, write.version = record["seq"], version
            self.records[write.seq] = write
        for write in open_writes:
            if write.outcome == ACKED:
                assert write.ident in found, f"acked and lost: {write.ident}, seq {write.seq}"
        return found

    @staticmethod
    def check(line, record, write):
        assert (record["topic"], record["key"]) == (write.topic, write.key), line[:300]
        assert line.endswith(write.stored_value()), \
            f"{write.ident}: {line[-300:]} is not {write.stored_value()[-300:]}"

    def check_all(self, lines):
        assert len(lines) == len(self.records), f"{len(lines)}, not {len(self.records)} records"
        for line, (seq, write) in zip(lines, sorted(self.records.items())):
            record = json.loads(line)
            assert (record["seq"], record["version"], record["id"]) == \
                (seq, write.version, write.ident), line[:300]
            self.check(line, record, write)


def read_after(daemon, seq):
    status, _, body = daemon.request("GET", f"/v1/records?after={seq}")
    assert status == 200, (status, body[:300])
    return [line for line in body.split(b"\n") if line]
