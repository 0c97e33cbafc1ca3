#!/usr/bin/env python3
"""man/klog-errors.7 against the table of codes: each code once, with its status and exit code.

The table is core/base/codes.cc. The page names each code in two places: under its exit status, and
with its meaning. Codes that nothing in the source answers stand in a section of their own.
"""

import os
import re
import unittest

SOURCE = os.environ["KLOG_SOURCE_DIR"]
LATER = "Codes of later versions"


def read(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return file.read()


def table_of_source():
    rows = re.findall(r'\{"([a-z_]+)", (\d+), (\d+), "[^"]*"\}', read("core/base/codes.cc"))
    return {name: (int(status), int(code)) for name, status, code in rows}


def entries_of_page(page):
    """(code, status, exit, subsection) of each entry; status 0 for a dash."""
    found, subsection = [], ""
    for line in page.split("\n"):
        if line.startswith(".Ss "):
            subsection = line[4:]
        entry = re.fullmatch(r"\.It Sy ([a-z_]+) Pq (\d+|\\\(en), exit (\d+)", line)
        if entry:
            name, status, code = entry.groups()
            found.append((name, int(status) if status.isdigit() else 0, int(code), subsection))
    return found


def codes_by_exit(page):
    """{exit: [codes]} of the section EXIT STATUS."""
    section = page.split(".Sh EXIT STATUS\n")[1].split(".Sh ")[0]
    found, status = {}, None
    for line in section.split("\n"):
        if line.startswith(".It "):
            status = line[4:]
        elif line.startswith(".Sy "):
            found.setdefault(int(status), []).extend(re.findall(r"[a-z_]{2,}", line[4:]))
    return found


def codes_used():
    """The codes that the source answers. To compare with one is not to answer it."""
    used = set()
    for folder in ("core", "daemon", "cli"):
        for path, _, files in os.walk(os.path.join(SOURCE, folder)):
            for name in files:
                if not name.endswith((".cc", ".h")) or name.startswith("sim_"):
                    continue
                with open(os.path.join(path, name), encoding="utf-8") as file:
                    used.update(re.findall(r"(?<![=!]= )\bCode::([a-z_]+)", file.read()))
    return used


class ErrorsPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.page = read("man/klog-errors.7")
        cls.source = table_of_source()
        cls.entries = entries_of_page(cls.page)

    def test_the_table_was_read_whole(self):
        size = re.search(r"std::array<CodeInfo, (\d+)>", read("core/base/codes.cc")).group(1)
        self.assertEqual(len(self.source), int(size))

    def test_every_code_stands_there_once_with_its_status_and_exit_code(self):
        page = {name: (status, code) for name, status, code, _ in self.entries}
        self.assertEqual(page, self.source)
        self.assertEqual(len(page), len(self.entries), "a code stands there twice")

    def test_every_exit_status_lists_its_codes(self):
        wanted = {}
        for name, (_, code) in self.source.items():
            wanted.setdefault(code, set()).add(name)
        listed = codes_by_exit(self.page)
        self.assertEqual({code: set(names) for code, names in listed.items()}, wanted)

    def test_every_code_that_is_answered_says_what_to_do(self):
        for text in re.split(r"(?m)^\.It Sy ", self.page)[1:]:
            name = text.split()[0]
            later = (name, *self.source[name], LATER) in self.entries
            self.assertEqual(".Em What to do :" in text, not later, name)

    def test_codes_of_later_versions_are_those_that_nothing_answers(self):
        later = {name for name, _, _, subsection in self.entries if subsection == LATER}
        self.assertEqual(later, set(self.source) - codes_used())

    def test_klog_1_lists_the_same_exit_codes(self):
        section = read("man/klog.1").split(".Sh EXIT STATUS\n")[1].split(".Sh ")[0]
        codes = {int(number) for number in re.findall(r"(?m)^\.It (\d+)$", section)} - {0}
        self.assertEqual(codes, {code for _, code in self.source.values()})


if __name__ == "__main__":
    unittest.main()
