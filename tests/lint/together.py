"""Which sources can stand behind each other in one translation unit.

Most of the time that a compiler or clang-tidy needs for a file goes to the headers of libraries, and
to what their templates come to. tests/lint/tidy and the builds with sanitizers look at files together
for that reason. What tells files apart that cannot stand together is a name that two of them declare
for themselves, in an anonymous namespace or with a using-declaration, and a preprocessor's line
that is no #include.

As a program: `together.py MOST SOURCE...` prints `GROUP:SOURCE` lines, of at most MOST sources to a
group. A source that stands alone is not among them.
"""

import re
import sys

ALONE = re.compile(r"^[ \t]*#[ \t]*(?!include\b)", re.MULTILINE)
# clang-format puts no comment behind a namespace of one line.
ANONYMOUS = re.compile(r"^namespace \{\n([^\n]*\n(?=\}\n)|.*?^\}  // namespace\n)",
                       re.MULTILINE | re.DOTALL)
# A line that begins at the margin declares something: the name stands before one of these.
DECLARED = re.compile(r"^(?!public|protected|private|using )[A-Za-z][^\n({=;]*?\b(\w+)"
                      r"(?:\[\w*\]| final)? ?(?:[({=;]|:(?!:))", re.MULTILINE)
ALIAS = re.compile(r"^(?:using|namespace) (\w+) =", re.MULTILINE)
USED = re.compile(r"^using ((?:\w+::)+(\w+));", re.MULTILINE)


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class Names:
    """What files bring into the scope that they share."""

    def __init__(self, text):
        own = "".join(ANONYMOUS.findall(text))
        self.declared = set(DECLARED.findall(own)) | set(ALIAS.findall(text))
        self.used = {name: whole for whole, name in USED.findall(text)}

    def clashes(self, other):
        return (self.declared & other.declared or self.declared & other.used.keys()
                or other.declared & self.used.keys()
                or any(other.used.get(name, whole) != whole for name, whole in self.used.items()))

    def add(self, other):
        self.declared |= other.declared
        self.used.update(other.used)


def groups_of(paths, most, kind_of=lambda path: None):
    """Lists of at most `most` paths each; those of one list have one kind."""
    groups = []
    for path in paths:
        text = text_of(path)
        names, alone = Names(text), ALONE.search(text) is not None
        for group, of_group, kind in groups:
            if not alone and of_group is not None and len(group) < most \
                    and kind == kind_of(path) and not names.clashes(of_group):
                group.append(path)
                of_group.add(names)
                break
        else:
            groups.append(([path], None if alone else names, kind_of(path)))
    return [group for group, _, _ in groups]


if __name__ == "__main__":
    for number, found in enumerate(groups_of(sys.argv[2:], int(sys.argv[1]))):
        for source in found if len(found) > 1 else ():
            print(f"{number}:{source}")
