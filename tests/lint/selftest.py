#!/usr/bin/env python3
"""Breaks each rule of lint.py in a copy of the project and sees the lint fail there, and only
there: a check that never fails checks nothing."""

import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lint  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))

# A project as small as the rules allow. Every check passes on it.
SOUND = {
    "CMakeLists.txt": "", "CMakePresets.json": "{}", "LICENSE": "", "README.md": "",
    "man/klog.1": "", "schemas/wal.md": "", "packaging/quickstart": "#!/usr/bin/env bash\n",
    "core/include/klog/log.h": '#include <string>\n\n#include "klog/types.h"\n',
    "core/include/klog/types.h": "#include <cstdint>\n",
    "core/base/coding.h": '#include "klog/types.h"\n',
    "core/env/posix_file.cc": '#include <fcntl.h>\nint f() { return ::open("x", 0); }\n',
    "core/topic/filter.h": '#include "base/coding.h"\n',
    "core/segment/codec.cc": '#include <zstd.h>\n#include "topic/filter.h"\n',
    "core/index/key_index.cc": "#include <sqlite3.h>\n",
    "core/object/s3.cc": "#include <curl/curl.h>\n",
    "core/log/log.cc": '#include <fmt/format.h>\n#include "segment/codec.h"\n',
    "core/segment/codec.h": "// std::ifstream is only a word in a comment.\n",
    "daemon/config.cc": "#include <yaml-cpp/yaml.h>\n",
    "daemon/http/server.cc": '#include <boost/asio.hpp>\n#include "klog/log.h"\n',
    "daemon/http/server.h": "",
    "cli/main.cc": '#include <CLI/CLI.hpp>\n#include "daemon/http/server.h"\n',
    "tests/unit/codec_test.cc": '// A test that says "sleep_for(1)" in words only.\n',
    "tests/cli/tail_test.py": "import select\n",
}


class Lint(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        os.makedirs(os.path.join(self.root, "tests/lint"))
        for name in ("layers.txt", "adapters.txt"):
            shutil.copy(os.path.join(HERE, name), os.path.join(self.root, "tests/lint", name))
        for path, text in SOUND.items():
            self.write(path, text)

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)

    def fails(self, check, path, text, line=None):
        """`check` names `path` (at `line`) once this text stands in it; no other check does."""
        before = lint.violations(check, self.root)
        self.assertEqual(before, [], "the copy was sound before")
        old = SOUND.get(path)
        self.write(path, text)
        found = lint.violations(check, self.root)
        self.assertEqual(len(found), 1, f"{path} with {text!r}: {found}")
        self.assertTrue(found[0].startswith(f"{path}:{line or ''}"), found[0])
        if old is None:
            os.remove(os.path.join(self.root, path))
        else:
            self.write(path, old)

    def test_a_sound_project_passes_every_check(self):
        for check in lint.CHECKS:
            self.assertEqual(lint.violations(check, self.root), [], check)

    def test_a_folder_must_not_include_what_stands_below_it(self):
        self.fails("layers", "core/base/coding.h", '\n#include "topic/filter.h"\n', 2)
        self.fails("layers", "core/topic/filter.h", '#include "segment/codec.h"\n', 1)
        self.fails("layers", "core/log/log.cc", '#include "daemon/http/server.h"\n', 1)
        self.fails("layers", "core/include/klog/log.h", '#include "base/coding.h"\n', 1)
        self.fails("layers", "daemon/http/server.cc", '  #  include "cli/x.h"\n', 1)

    def test_a_spelling_around_the_rule_is_found(self):
        self.fails("layers", "core/base/coding.h", '#include "../topic/filter.h"\n', 1)
        self.fails("layers", "core/segment/codec.cc", '#include "codec.h"\n', 1)
        self.fails("layers", "core/base/coding.h", "#include HEADER\n", 1)
        self.fails("layers", "core/extra/x.cc", "int x;\n")

    def test_a_library_has_one_user(self):
        self.fails("layers", "core/log/log.cc", "#include <sqlite3.h>\n", 1)
        self.fails("layers", "daemon/config.cc", "#include <curl/curl.h>\n", 1)
        self.fails("layers", "cli/main.cc", "#include <boost/asio.hpp>\n", 1)
        self.fails("layers", "daemon/http/server.cc", "#include <yaml-cpp/yaml.h>\n", 1)
        self.fails("layers", "core/index/key_index.cc", "#include <zstd.h>\n", 1)
        self.fails("layers", "daemon/http/server.cc", "#include <CLI/CLI.hpp>\n", 1)
        self.fails("layers", "core/log/log.cc", "#include <lmdb.h>\n", 1)

    def test_public_headers_are_std_only(self):
        for header in ("fmt/format.h", "nlohmann/json.hpp", "simdjson.h", "unistd.h"):
            self.fails("layers", "core/include/klog/log.h", f"#include <{header}>\n", 1)

    def test_sizes(self):
        self.fails("sizes", "core/base/coding.h", "\n" * (lint.HEADER_LINES_MAX + 1))
        self.fails("sizes", "tests/support/help.h", "\n" * (lint.HEADER_LINES_MAX + 1))
        self.fails("sizes", "core/log/log.cc", "\n" * (lint.SOURCE_LINES_MAX + 1))

    def test_long_functions(self):
        body = "    if (x) { f(); }\n" * (lint.FUNCTION_LINES_MAX + 1)
        self.fails("functions", "core/log/log.cc",
                   "namespace klog {\n\nvoid f(int x) {\n" + body + "}\n\n}\n", 3)
        self.fails("functions", "core/log/log.cc",
                   "class A {\npublic:\n    A() : b_{1} {\n" + body + "    }\n};\n", 3)
        self.fails("functions", "core/log/log.cc",
                   "int f(A a = {}, B b = {1}) {\n" + body + "}\n", 1)
        self.write("core/log/log.cc", "class A {\n" + "    int x();\n" * 200 + "};\n")
        self.assertEqual(lint.violations("functions", self.root), [])

    def test_sleeps(self):
        self.fails("sleeps", "tests/unit/codec_test.cc",
                   "void f() {\n    std::this_thread::sleep_for(1ms);\n}\n", 2)
        self.fails("sleeps", "tests/cli/tail_test.py", "import time\ntime.sleep(1)\n", 2)
        self.fails("sleeps", "tests/crash/kill_test.sh", "#!/bin/bash\nsleep 1\n", 2)

    def test_machine_paths(self):
        self.fails("paths", "README.md", "see /wor" + "k/x\n", 1)
        self.fails("paths", "core/log/log.cc", '"/roo' + 't/x"\n', 1)

    def test_unfinished_work(self):
        self.fails("words", "core/log/log.cc", "\n// TO" + "DO: more\n", 2)
        self.fails("words", "tests/cli/tail_test.py", "# FIX" + "ME\n", 1)

    def test_loops_over_what_is_gone(self):
        self.fails("loops", "core/log/log.cc",
                   "void f() {\n    for (const auto& x : set_->state()->all) g(x);\n}\n", 2)
        self.write("core/log/log.cc",
                   "void f() {\n    for (const auto& x : set_->all()) g(x->y());\n}\n")
        self.assertEqual(lint.violations("loops", self.root), [])

    def test_calls_outside_the_adapters(self):
        for call in ("std::chrono::steady_clock::now()", 'std::ifstream in("x")',
                     '::open("x", 0)', 'fopen("x", "r")', "std::random_device{}()",
                     "getrandom(p, 1, 0)", "socket(1, 2, 3)", "std::rand()", "time(nullptr)",
                     "std::filesystem::remove(p)", "::fdatasync(fd)"):
            self.fails("adapters", "core/log/log.cc", f"void f() {{ {call}; }}\n", 1)
        for call in ("env.open(path, mode)", "Store::open(env, options)", "env_->now()",
                     "file->size()", "reader.read(1, 2)", "Result<int> open(const char* path)"):
            self.write("core/log/log.cc", f"auto x = {call};\n")
            self.assertEqual(lint.violations("adapters", self.root), [], call)

    def test_top_level(self):
        self.fails("toplevel", "NOTES.md", "")
        self.write("docs/x.md", "")
        self.assertEqual(len(lint.violations("toplevel", self.root)), 1)
        shutil.rmtree(os.path.join(self.root, "docs"))
        os.remove(os.path.join(self.root, "man/klog.1"))
        self.assertEqual(len(lint.violations("toplevel", self.root)), 1)

    def test_the_rules_are_read_from_their_file(self):
        self.write("tests/lint/layers.txt",
                   lint.text_of(self.root, "tests/lint/layers.txt").replace(
                       "library sqlite3 core/index", "library sqlite3 core/log"))
        found = lint.violations("layers", self.root)
        self.assertEqual(len(found), 1, found)
        self.assertIn("core/index/key_index.cc:1", found[0])


if __name__ == "__main__":
    unittest.main()
