"""Whether a history of one key, seen from outside, could have come from one register with versions.

A history is linearizable when each operation can be given one moment between its call and its
answer so that the register, taking the operations in the order of their moments, gives just the
answers that were given. In general that is a search. Here it is none, since each write that took
effect has a version of its own, and a last look gives the value of every version:

- the writes' order is that of their versions: t(1) < t(2) < … are their moments;
- a read that saw version v lies between t(v) and t(v+1), and so does a refusal that said v;
- so t(v) comes at or behind the call of its write and the calls of all that saw v-1, behind
  t(v-1), and not behind the answer of its write nor that of anything that saw v.

The earliest moments that the calls allow are taken; if one of them is too late, no others will do.
So the check is complete: it accepts just the linearizable histories. A write without an answer has
its answer at the end of time; if no version holds its value, it never took effect.
"""

import dataclasses
import math
from typing import Optional

NEVER = math.inf

WRITE, READ = "write", "read"
# How a write ended. A read always ended, or it is left out.
OK, CONFLICT, REFUSED, OPEN = "ok", "conflict", "refused", "open"
LIVE, DELETED, ABSENT = "live", "deleted", "absent"


@dataclasses.dataclass
class Operation:
    """Times come from one clock. `version` is what was written or seen (0: nothing)."""
    kind: str
    called: float
    answered: float = NEVER
    outcome: str = OK
    value: Optional[str] = None     # of a write, unique; of a read, what it saw
    tombstone: bool = False         # a write that deletes
    expect: Optional[object] = None  # a version, "absent", "exists", or None
    version: int = 0
    state: Optional[str] = None     # what a read or a conflict said


@dataclasses.dataclass
class Version:
    """One line of the last look."""
    number: int
    value: Optional[str]
    tombstone: bool = False


class Broken(Exception):
    """The history could not have come from a register; says why."""


def holds(expect, version, state):
    if expect is None:
        return True
    if expect == "absent":
        return state != LIVE
    if expect == "exists":
        return state == LIVE
    return expect == version


def state_of(versions, number):
    if number == 0:
        return ABSENT
    return DELETED if versions[number].tombstone else LIVE


def by_number(last_look):
    versions = {}
    for version in last_look:
        if version.number != len(versions) + 1:
            raise Broken(f"version {version.number} stands where {len(versions) + 1} should")
        versions[version.number] = version
    return versions


def settle(operations, versions):
    """Gives the write of each version, and what saw which version."""
    places = {version.value: number for number, version in versions.items()}
    if len(places) != len(versions):
        raise Broken("a value stands under two versions")
    writes, sights = {}, []
    for operation in operations:
        if operation.kind == READ or operation.outcome == CONFLICT:
            sights.append(operation)
        if operation.kind == READ:
            continue
        number = places.get(operation.value)
        if operation.outcome == OK and number != operation.version:
            raise Broken(f"a lost write: {operation.value} was acknowledged as version "
                         f"{operation.version}, which is not there" if number is None else
                         f"{operation.value} was acknowledged as {operation.version}, and is "
                         f"{number}")
        if number is None:
            continue
        if operation.outcome in (REFUSED, CONFLICT):
            raise Broken(f"{operation.value} was refused, and is version {number}")
        if number in writes:
            raise Broken(f"two writes won version {number}")
        if versions[number].tombstone != operation.tombstone:
            raise Broken(f"version {number} has another kind than was written")
        if not holds(operation.expect, number - 1, state_of(versions, number - 1)):
            raise Broken(f"version {number} was written though it expected {operation.expect}")
        writes[number] = operation
    for number in versions:
        if number not in writes:
            raise Broken(f"nobody wrote version {number}")
    return writes, sights


def check_sight(sight, versions):
    number = sight.version
    if number != 0 and number not in versions:
        raise Broken(f"version {number} was seen, and is gone")
    if sight.state != state_of(versions, number):
        raise Broken(f"version {number} was said to be {sight.state}")
    if sight.kind == READ and number and sight.state == LIVE and \
            sight.value != versions[number].value:
        raise Broken(f"a read saw {sight.value} as version {number}")
    if sight.kind == WRITE and holds(sight.expect, number, sight.state):
        raise Broken(f"a write that expected {sight.expect} was refused at version {number}")


def check(operations, last_look):
    """Raises Broken where no register could have answered so. Gives how many versions there are."""
    versions = by_number(last_look)
    writes, sights = settle(operations, versions)
    count = len(versions)
    earliest = [-NEVER] * (count + 2)
    latest = [NEVER] * (count + 2)
    for number, write in writes.items():
        earliest[number] = write.called
        latest[number] = write.answered
    for sight in sights:
        check_sight(sight, versions)
        number = sight.version
        earliest[number + 1] = max(earliest[number + 1], sight.called)
        latest[number] = min(latest[number], sight.answered)
    moment = -NEVER
    for number in range(1, count + 1):
        moment = max(moment, earliest[number])
        if moment > latest[number]:
            raise Broken(f"version {number} was known {(moment - latest[number]) / 1e9:.6f} s "
                         "before it can have been written (a stale read, or writes out of order)")
    return count
