#!/usr/bin/env python3
"""Checks of the tree that no compiler makes.

usage: lint.py CHECK [ROOT]

Prints one line `file:line: what is wrong` for each violation and exits with 1 if there is any.
The rules that are lists stand beside this file: layers.txt, adapters.txt.
"""

import fnmatch
import os
import re
import subprocess
import sys

HEADER_LINES_MAX = 350
SOURCE_LINES_MAX = 650
FUNCTION_LINES_MAX = 80

TOP_LEVEL = {"CMakeLists.txt", "cli", "daemon", "core", "schemas", "man", "tests", "packaging",
             "README.md", "LICENSE", "CMakePresets.json"}

CODE_FOLDERS = ("core/", "daemon/", "cli/")


def project_files(root):
    """Paths of the project relative to root, whether or not they are committed."""
    if os.path.exists(os.path.join(root, ".git")):
        listed = subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True, capture_output=True, text=True).stdout.split("\0")
        return sorted(p for p in set(listed) if p and os.path.isfile(os.path.join(root, p)))
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders
                      if f not in (".git", ".cache", "__pycache__") and
                      not (folder == root and f.startswith("build"))]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    return sorted(found)


def text_of(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def cxx_files(files, folders=CODE_FOLDERS):
    return [p for p in files if p.startswith(folders) and p.endswith((".cc", ".h"))]


TOKENS = re.compile(
    r'//[^\n]*|/\*.*?\*/'
    r'|(?:u8|u|U|L)?R"(?P<delim>[^()\s\\]{0,16})\(.*?\)(?P=delim)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'", re.DOTALL)


def blank_literals(text):
    """C++ text without what stands in comments and literals; lines and columns stay."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return TOKENS.sub(blank, text)


def line_at(text, position):
    return text.count("\n", 0, position) + 1


def rules_of(root, name):
    """Lines `verb word…` of a list beside this file, as (verb, words)."""
    rules = []
    for line in text_of(root, "tests/lint/" + name).splitlines():
        words = line.split("#", 1)[0].split()
        if words:
            rules.append((words[0], words[1:]))
    return rules


# ------------------------------------------------------------------------------------- layers

class Layers:
    def __init__(self, root):
        self.layers, self.libraries, self.system, self.std = [], [], set(), set()
        for verb, words in rules_of(root, "layers.txt"):
            if verb == "layer":
                self.layers += words
            elif verb == "library":
                self.libraries.append((words[0], words[1:]))
            elif verb == "system":
                self.system.update(words)
            elif verb == "std":
                self.std.update(words)
            else:
                raise SystemExit(f"layers.txt: unknown rule {verb}")
        if not self.layers or not self.libraries or not self.std:
            raise SystemExit("layers.txt: holds no rules")

    def layer_of(self, path):
        for number, layer in enumerate(self.layers):
            if path.startswith(layer + "/"):
                return number
        return None


def is_public(path):
    return path.startswith("core/include/")


def may_use(path, places):
    for place in places:
        if place == "code":
            if not is_public(path):
                return True
        elif "*" in place:
            if fnmatch.fnmatch(path, place):
                return True
        elif path.startswith(place + "/"):
            return True
    return False


def own_header(target):
    """Where a header of the project would lie, from how it is spelled in an #include."""
    if target.startswith("klog/"):
        return "core/include/" + target
    if target.startswith(("daemon/", "cli/")):
        return target
    return "core/" + target


def judge_include(rules, files, path, target, quoted):
    """What is wrong with one #include, or None."""
    public = is_public(path)
    own = own_header(target)
    if quoted or target.startswith("klog/"):
        if own not in files:
            return (f'"{target}" is no header of the project: paths start at core/, '
                    'klog/, daemon/ or cli/')
        layer = rules.layer_of(own)
        if layer is None:
            return f'"{target}" lies in no layer of layers.txt'
        if layer > rules.layer_of(path):
            return (f"{rules.layers[rules.layer_of(path)]} must not include "
                    f"{rules.layers[layer]}, which stands below it in layers.txt")
        return None
    for prefix, places in rules.libraries:
        if target.startswith(prefix):
            if may_use(path, places):
                return None
            return f"<{target}> is used in {' '.join(places)} only"
    if target in rules.std:
        return None
    if target in rules.system:
        return f"<{target}> in a public header, which is std-only" if public else None
    return f"<{target}> is not listed in layers.txt"


def check_layers(root, files):
    rules = Layers(root)
    known = set(files)
    for path in cxx_files(files):
        if rules.layer_of(path) is None:
            yield path, 1, "lies in no layer of layers.txt"
            continue
        text = text_of(root, path)
        for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*([^\n]*)', text, re.MULTILINE):
            form = re.match(r'(?:"([^"]+)"|<([^>]+)>)', match.group(1))
            if not form:
                yield path, line_at(text, match.start()), "an #include that cannot be judged"
                continue
            wrong = judge_include(rules, known, path, form.group(1) or form.group(2),
                                  form.group(1) is not None)
            if wrong:
                yield path, line_at(text, match.start()), wrong


# ------------------------------------------------------------------------------------- sizes

def check_sizes(root, files):
    for path in cxx_files(files, CODE_FOLDERS + ("tests/",)):
        lines = text_of(root, path).count("\n")
        limit = HEADER_LINES_MAX if path.endswith(".h") else SOURCE_LINES_MAX
        if lines > limit:
            yield path, lines, f"{lines} lines; the limit is {limit}: split it by duty"


NOT_A_FUNCTION = re.compile(
    r"^(?:inline\s+)?(?:namespace|extern\s*$|(?:typedef\s+)?(?:class|struct|union|enum)\b)")


def opens_function(before):
    """Whether `{` behind this text, at namespace or class scope, begins a function's body."""
    before = re.sub(r"^\s*#.*$", "", before, flags=re.MULTILINE)
    before = re.sub(r"\b(?:public|private|protected)\s*:", "", before).strip()
    before = re.sub(r"^template\s*<[^{;]*?>\s*(?=class|struct|union)", "", before)
    # KLOG_CAPABILITY("x") and the like stand between `class` and its name.
    return "(" in before and not NOT_A_FUNCTION.match(before) and \
        not re.search(r"=\s*$", before)


def is_initialiser(before):
    """Whether `{` behind this text is a default argument, or stands in a constructor's list."""
    if before.count("(") > before.count(")"):
        return True
    return re.search(r"\)\s*(?:noexcept\s*)?:(?!:)", before) and re.search(r"[\w>]\s*$", before)


def check_functions(root, files):
    for path in cxx_files(files):
        text = blank_literals(text_of(root, path))
        text = re.sub(r"^[ \t]*#[^\n]*(?:\\\n[^\n]*)*",
                      lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.MULTILINE)
        stack, start = [], 0
        for match in re.finditer(r"[{};]", text):
            sign, at = match.group(0), match.start()
            if sign == "{":
                kind = "scope"
                if any(outer != "scope" for outer, _ in stack):
                    kind = "inside"
                elif is_initialiser(text[start:at]):
                    kind = "initialiser"
                elif opens_function(text[start:at]):
                    kind = "function"
                stack.append((kind, at))
                if kind == "initialiser":
                    continue
            elif sign == "}" and stack:
                kind, begin = stack.pop()
                if kind == "initialiser":
                    continue
                lines = line_at(text, at) - line_at(text, begin)
                if kind == "function" and lines > FUNCTION_LINES_MAX:
                    yield path, line_at(text, begin), (
                        f"a function of {lines} lines; the limit is {FUNCTION_LINES_MAX}")
            elif any(outer == "initialiser" for outer, _ in stack):
                continue
            start = at + 1


# ------------------------------------------------------------------------------------- words

SLEEPS = re.compile(r"\b(?:sleep_for|sleep_until|usleep|nanosleep)\s*\(|(?<![\w.:])sleep\s*\("
                    r"|\btime\.sleep\b|\bfrom\s+time\s+import\b[^\n]*\bsleep\b")
SHELL_SLEEP = re.compile(r"(?:^|[;&|(`]|\bdo\b|\bthen\b)[ \t]*sleep[ \t]+[\d.$\"]", re.MULTILINE)


def check_sleeps(root, files):
    for path in files:
        if not path.startswith("tests/") or path.startswith("tests/lint/"):
            continue
        if path == "tests/bench/peers_bench.cc":  # its pause is a pace, not a wait
            continue
        if path.endswith((".cc", ".h", ".py")):
            text = text_of(root, path)
            if not path.endswith(".py"):
                text = blank_literals(text)
            pattern = SLEEPS
        else:
            text = text_of(root, path)
            if not path.endswith(".sh") and not re.match(r"#!.*\bsh\b|#!.*bash", text):
                continue
            pattern = SHELL_SLEEP
        for match in pattern.finditer(text):
            yield path, line_at(text, match.start()), "sleeps; wait for an event, with a limit"


# Until C++23 only the last temporary in the head of a range-for lives as long as the loop: a pointer
# that a function gave is gone before the first turn.
FOR = re.compile(r"\bfor\s*\(")


def loop_head(text, start):
    """What stands in the brackets that opened before `start`."""
    depth = 1
    for end in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if depth == 0:
            return text[start:end]
    return ""


def check_loops(root, files):
    for path in cxx_files(files, CODE_FOLDERS + ("tests/",)):
        text = blank_literals(text_of(root, path))
        for match in FOR.finditer(text):
            head = loop_head(text, match.end())
            if ";" not in head and re.search(r"[^:]:\s.*\)->\w", head, re.DOTALL):
                yield path, line_at(text, match.start()), (
                    "loops over what a temporary pointer holds; keep the pointer in a variable")


# Spelled in pieces, so that this file holds none of them.
MACHINE_PATHS = re.compile(r"(?<![\w.$}])/(?:" + "|".join(
    ["wor" + "k/", "roo" + "t/", "tmp/" + "bash"]) + ")")
UNFINISHED = re.compile(r"\b(?:" + "|".join(
    ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK", "TB" + "D", "W" + "IP"]) + r")\b")


def check_text(root, files, pattern, says):
    for path in files:
        if path == "LICENSE":
            continue
        text = text_of(root, path)
        if "\0" in text:
            continue
        for match in pattern.finditer(text):
            yield path, line_at(text, match.start()), says + ": " + match.group(0)


def check_paths(root, files):
    return check_text(root, files, MACHINE_PATHS, "a path of one machine")


def check_words(root, files):
    return check_text(root, files, UNFINISHED, "unfinished work")


# ------------------------------------------------------------------------------------- adapters

ADAPTER_CALLS = [
    ("the clock", r"_clock::now\s*\(|\b(?:clock_gettime|gettimeofday)\s*\("
                  r"|\bstd::time\s*\(|(?<![\w.>:])time\s*\(\s*(?:nullptr|NULL|0)\s*\)"),
    ("waiting", r"\bthis_thread::sleep|\b(?:nanosleep|usleep)\s*\("),
    ("files", r"\bstd::(?:basic_)?[io]?fstream\b|\bstd::filesystem\b"
              r"|(?<![\w.>:])(?:std::)?f?(?:re)?open(?:dir|at)?\s*\(\s*\"|\b(?:std::)?fopen\s*\("
              r"|(?<![\w>])::(?:open|openat|creat|read|write|pread|pwrite|close|fsync|fdatasync"
              r"|rename|unlink|mkdir|rmdir|stat|fstat|ftruncate|fallocate|opendir|flock)\s*\("
              r"|\b(?:pread|pwrite|fdatasync|fsync|mkstemp|mkdtemp|posix_fallocate)\s*\("),
    ("the network", r"(?<![\w>])::(?:socket|connect|bind|listen|accept4?|send|recv)\s*\("
                    r"|(?<![\w.>:])(?:socket|socketpair|getaddrinfo)\s*\("),
    ("randomness", r"\bstd::random_device\b|\b(?:getrandom|getentropy|arc4random)\s*\("
                   r"|(?<![\w.>:])(?:std::)?s?rand\s*\(|\bRAND_bytes\s*\("),
    ("processes", r"(?<![\w.>:])(?:::)?(?:fork|popen|execvp?|posix_spawnp?)\s*\(|\bstd::system\s*\("),
]


def check_adapters(root, files):
    allowed = [p for verb, words in rules_of(root, "adapters.txt") if verb == "adapter"
               for p in words]
    if not allowed:
        raise SystemExit("adapters.txt: holds no rules")
    patterns = [(what, re.compile(pattern)) for what, pattern in ADAPTER_CALLS]
    for path in cxx_files(files):
        if any(fnmatch.fnmatch(path, pattern) for pattern in allowed):
            continue
        text = blank_literals(text_of(root, path))
        for what, pattern in patterns:
            for match in pattern.finditer(text):
                yield path, line_at(text, match.start()), (
                    f"{what} outside the adapters (adapters.txt): {match.group(0).strip()}")


# ------------------------------------------------------------------------------------- top level

def check_toplevel(root, files):
    top = {p.split("/", 1)[0] for p in files}
    for name in sorted(top - TOP_LEVEL):
        if not name.startswith("."):
            yield name, 1, "is not part of the top level, which is fixed"
    for name in sorted(TOP_LEVEL - top):
        yield name, 1, "is missing from the top level, which is fixed"


CHECKS = {
    "layers": check_layers,
    "sizes": check_sizes,
    "functions": check_functions,
    "sleeps": check_sleeps,
    "paths": check_paths,
    "words": check_words,
    "loops": check_loops,
    "adapters": check_adapters,
    "toplevel": check_toplevel,
}


def violations(check, root):
    files = project_files(root)
    if not files:
        raise SystemExit(f"lint: no files in {root}")
    return [f"{path}:{line}: {says}" for path, line, says in CHECKS[check](root, files)]


def main(argv):
    if len(argv) not in (2, 3) or argv[1] not in CHECKS:
        print("usage: lint.py " + "|".join(CHECKS) + " [ROOT]", file=sys.stderr)
        return 2
    here = os.path.dirname(os.path.abspath(__file__))
    root = argv[2] if len(argv) == 3 else os.path.dirname(os.path.dirname(here))
    found = violations(argv[1], root)
    print("\n".join(found) if found else f"{argv[1]}: ok")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
