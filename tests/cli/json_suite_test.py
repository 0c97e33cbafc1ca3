#!/usr/bin/env python3
"""JSONTestSuite against the daemon: each y_ text is taken and kept, each n_ text refused.

What is up to the parser (i_) is decided here, and the test holds klog to it: numbers of any size and
lone surrogate escapes are kept as they came; what is no UTF-8, or deeper than 128 levels, is refused.
"""

import http.client
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import Place, UnixConnection  # noqa: E402
from fetch_json_suite import NOT_UTF8, NotToBeHad, cases  # noqa: E402

SKIPPED = 77
SPACE = b" \t\r\n"
TAKEN_OF_THE_FREE = {
    "i_number_double_huge_neg_exp", "i_number_huge_exp", "i_number_neg_int_huge_exp",
    "i_number_pos_double_huge_exp", "i_number_real_neg_overflow", "i_number_real_pos_overflow",
    "i_number_real_underflow", "i_number_too_big_neg_int", "i_number_too_big_pos_int",
    "i_number_very_big_negative_int", "i_object_key_lone_2nd_surrogate",
    "i_string_1st_surrogate_but_2nd_missing", "i_string_1st_valid_surrogate_2nd_invalid",
    "i_string_incomplete_surrogate_and_escape_valid", "i_string_incomplete_surrogate_pair",
    "i_string_incomplete_surrogates_escape_valid", "i_string_invalid_lonely_surrogate",
    "i_string_invalid_surrogate", "i_string_inverted_surrogates_U+1D11E",
    "i_string_lone_second_surrogate",
}
REFUSED_OF_THE_FREE = {name for name in NOT_UTF8 if name.startswith("i_")} | {
    "i_structure_500_nested_arrays", "i_structure_UTF-8_BOM_empty_object",
}


def wanted(name):
    if name.startswith("i_"):
        assert (name in TAKEN_OF_THE_FREE) != (name in REFUSED_OF_THE_FREE), f"{name}: undecided"
        return name in TAKEN_OF_THE_FREE
    return name.startswith("y_")


def as_kept(text):
    """White space around a value goes, line ends between its tokens become spaces."""
    return text.strip(SPACE).replace(b"\n", b" ").replace(b"\r", b" ")


def judge(daemon, connection, name, text):
    """What is wrong, or None."""
    connection.request("POST", f"/v1/records?topic=json/{len(name)}", text,
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    if not wanted(name):
        if answer.status == 400 and body["code"] == "bad_json":
            return None
        return f"{name}: {answer.status} {body}"
    if answer.status != 201:
        return f"{name}: {answer.status} {body}"
    status, _, line = daemon.request("GET", f"/v1/records?from={body['seq']}&limit=1")
    if status == 200 and line.endswith(b'"value":' + as_kept(text) + b"}\n"):
        return None
    return f"{name}: kept as {line[:200]}"


def main():
    try:
        suite = cases()
    except NotToBeHad as reason:
        print(f"skipped: {reason}")
        return SKIPPED
    place = Place()
    try:
        daemon = place.daemon("--ephemeral")
        connection = UnixConnection(daemon.socket)
        wrong = []
        for name, text in suite:
            try:
                wrong.append(judge(daemon, connection, name, text))
            except (OSError, http.client.HTTPException) as error:
                raise AssertionError(f"{name}: no answer: {error!r}") from error
        wrong = [one for one in wrong if one]
        assert not wrong, "\n".join(wrong)
        taken = sum(wanted(name) for name, _ in suite)
        print(f"{len(suite)} texts: {taken} taken and kept, {len(suite) - taken} refused")
        assert daemon.stop() == 0
    finally:
        place.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
