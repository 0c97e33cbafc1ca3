"""Whether a history of batches with guards, seen from outside, could have come from one log.

Each batch that was written stands in the log once, all its records next to each other, and the log
is one order. So, as in checker.py, nothing has to be searched for: a last look gives the order, and
what is left to ask is

- whether what each batch expected held in the state just before it: no record behind a guard's
  cursor that its filters match, and each expected version;
- whether moments can be given to the batches, in their order, each between its call and its answer,
  so that all that was seen fits: a head that was read lies behind its record and before the next
  one; a refusal that named a record lies behind that one, and before the next that the guard's
  filters match; one that named a version lies behind its record, and before the entity's next one.

The earliest moments that calls allow are taken; if one of them is too late, no others will do.
"""

import dataclasses
import math
from typing import List, Optional, Tuple

NEVER = math.inf
OK, REFUSED, OPEN = "ok", "refused", "open"


@dataclasses.dataclass
class Guard:
    none: Tuple[str, ...]
    after: int
    nots: Tuple[str, ...] = ()


@dataclasses.dataclass
class Expected:
    key: str
    version: int


@dataclasses.dataclass
class Against:
    """What a refusal named: a record against a guard, or the version of an entity."""
    guard: Optional[Guard] = None
    seq: int = 0
    expected: Optional[Expected] = None
    actual: int = 0


@dataclasses.dataclass
class Batch:
    """Times come from one clock. Values are unique; seqs where it was acknowledged."""
    called: float
    values: List[str]
    answered: float = NEVER
    outcome: str = OPEN
    guards: List[Guard] = dataclasses.field(default_factory=list)
    expected: List[Expected] = dataclasses.field(default_factory=list)
    seqs: List[int] = dataclasses.field(default_factory=list)
    against: List[Against] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Head:
    called: float
    answered: float
    seq: int


@dataclasses.dataclass
class Record:
    """A line of the last look."""
    seq: int
    topic: str
    value: str
    key: Optional[str] = None
    version: int = 0


class Broken(Exception):
    """The history could not have come from a log; says why."""


def level_matches(segment, level):
    if segment.endswith("*"):
        return level.startswith(segment[:-1])
    return segment == level


def matches(text, topic):
    segments, levels = text.split("/"), topic.split("/")
    if segments[-1] == ">":
        segments.pop()
        if len(levels) <= len(segments):
            return False
        levels = levels[:len(segments)]
    return len(levels) == len(segments) and all(map(level_matches, segments, levels))


def stands_against(guard, topic):
    return any(matches(one, topic) for one in guard.none) and \
        not any(matches(one, topic) for one in guard.nots)


class Log:
    """The last look, and what can be asked of it."""

    def __init__(self, records):
        self.records = records
        for number, record in enumerate(records, 1):
            if record.seq != number:
                raise Broken(f"seq {record.seq} stands where {number} should")
        self.place = {record.value: record.seq for record in records}
        if len(self.place) != len(records):
            raise Broken("a value stands in the log twice")
        self.of_key = {}
        for record in records:
            if record.key is None:
                continue
            seqs = self.of_key.setdefault(record.key, [])
            seqs.append(record.seq)
            if record.version != len(seqs):
                raise Broken(f"seq {record.seq} is version {record.version}, not {len(seqs)}")

    def version_before(self, key, seq):
        return sum(1 for one in self.of_key.get(key, []) if one < seq)

    def against(self, guard, first, last):
        """The first record in [first, last] that stands against the guard; None: none does."""
        for record in self.records[first - 1:last]:
            if stands_against(guard, record.topic):
                return record.seq
        return None


def place_batch(log, batch):
    """The seqs of a batch that was written; none where it was not."""
    there = [log.place[value] for value in batch.values if value in log.place]
    if batch.outcome == REFUSED and there:
        raise Broken(f"{batch.values[0]} was refused, and a record of it is seq {there[0]}")
    if batch.outcome == OK and len(there) < len(batch.values):
        raise Broken(f"a lost write: of {batch.values[0]} were {len(there)} records left")
    if not there:
        return there
    if len(there) < len(batch.values):
        raise Broken(f"half a batch: {batch.values[0]} has {len(there)} records")
    if there != list(range(there[0], there[0] + len(there))):
        raise Broken(f"the records of {batch.values[0]} do not stand next to each other")
    if batch.outcome == OK and there != batch.seqs:
        raise Broken(f"{batch.values[0]} was acknowledged as seq {batch.seqs[0]}, and is {there[0]}")
    return there


def check_held(log, batch, first):
    for guard in batch.guards:
        seq = log.against(guard, guard.after + 1, first - 1)
        if seq is not None:
            raise Broken(f"{batch.values[0]} was written at seq {first} though seq {seq} stood "
                         f"against {guard}")
    for expected in batch.expected:
        version = log.version_before(expected.key, first)
        if version != expected.version:
            raise Broken(f"{batch.values[0]} was written though {expected.key} had version "
                         f"{version}, not {expected.version}")


def seen_between(log, against):
    """A refusal saw the log behind the first of these seqs and before the second one."""
    if against.guard is not None:
        if not against.guard.after < against.seq <= len(log.records):
            raise Broken(f"seq {against.seq} was said to stand against {against.guard}")
        if not stands_against(against.guard, log.records[against.seq - 1].topic):
            raise Broken(f"seq {against.seq} does not stand against {against.guard}")
        return against.seq, log.against(against.guard, against.seq + 1, len(log.records))
    seqs = log.of_key.get(against.expected.key, [])
    if against.actual > len(seqs):
        raise Broken(f"version {against.actual} of {against.expected.key} was seen, and is gone")
    if against.actual == against.expected.version:
        raise Broken(f"version {against.actual} was expected, and refused")
    behind = seqs[against.actual - 1] if against.actual else 0
    return behind, seqs[against.actual] if against.actual < len(seqs) else None


def check(batches, heads, last_look):
    """Raises Broken where no log could have answered so. Gives how many batches it holds."""
    log = Log(last_look)
    count = len(log.records)
    earliest, latest = [-NEVER] * (count + 2), [NEVER] * (count + 2)

    def see(called, answered, behind, before):
        latest[behind] = min(latest[behind], answered)
        if before is not None:
            earliest[before] = max(earliest[before], called)

    written, owner = 0, {}
    for batch in batches:
        seqs = place_batch(log, batch)
        for seq in seqs:
            owner[seq] = seqs[0]
            see(batch.called, batch.answered, seq, seq)
        if seqs:
            written += 1
            check_held(log, batch, seqs[0])
    for seq in range(1, count + 1):
        if seq not in owner:
            raise Broken(f"nobody wrote seq {seq}")
    for batch in batches:
        for against in batch.against:
            behind, before = seen_between(log, against)
            if before is not None and owner.get(behind) == owner[before]:
                raise Broken(f"a refusal named seq {behind}, within a batch that goes on")
            see(batch.called, batch.answered, behind, before)
    for head in heads:
        if head.seq > count:
            raise Broken(f"seq {head.seq} was the head, and is gone")
        if head.seq and head.seq < count and owner[head.seq] == owner[head.seq + 1]:
            raise Broken(f"the head {head.seq} lay within a batch")
        see(head.called, head.answered, head.seq, head.seq + 1 if head.seq < count else None)
    moment = -NEVER
    for first in sorted(set(owner.values())):
        # All records of a batch have one moment.
        seqs = [first]
        while owner.get(seqs[-1] + 1) == first:
            seqs.append(seqs[-1] + 1)
        moment = max([moment] + [earliest[seq] for seq in seqs])
        known = min(latest[seq] for seq in seqs)
        if moment > known:
            raise Broken(f"seq {first} was known {(moment - known) / 1e9:.6f} s before it can "
                         "have been written (a stale answer, or writes out of order)")
    return written
