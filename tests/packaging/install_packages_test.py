#!/usr/bin/env python3
"""packaging/install-packages, as root, with sudo, with neither, and where there is no apt. All that
it calls is a stand-in in a folder that is its whole PATH: nothing of the machine is asked or
changed."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ.get("KLOG_SOURCE_DIR", Path(__file__).resolve().parents[2]))
SCRIPT = SOURCE / "packaging/install-packages"
LIST = SOURCE / "packaging/debian-packages.txt"
LIMIT_SECONDS = 60

# What the script needs of the system itself; none of it changes anything.
REAL = ("bash", "cat", "dirname", "env", "grep")
# Those that would change the system note how they were called; a package that does not stand in
# $STATE/installed was there once and left its configuration behind.
STANDINS = {
    "dpkg-query": """
for package; do :; done
if grep -qxF -- "$package" "$STATE/installed"; then echo "install ok installed"
else echo "deinstall ok config-files"; fi
""",
    "apt-get": """
echo "apt-get $*" >>"$STATE/calls"
verb=
for word; do
    case $verb,$word in
    ,update | ,install) verb=$word ;;
    install,*) [ -e "$STATE/installs_nothing" ] || echo "$word" >>"$STATE/installed" ;;
    esac
done
[ ! -e "$STATE/fails_$verb" ] || exit "$(cat "$STATE/fails_$verb")"
""",
    "sudo": """
echo "sudo" >>"$STATE/calls"
exec "$@"
""",
    "id": """
cat "$STATE/uid"
""",
}
# Answers whether the one header that it is asked for stands in $STATE/headers.
COMPILER = """
read -r condition
header=${condition#*__has_include(}
cat >/dev/null
grep -qxF -- "${header%)}" "$STATE/headers"
"""


def listed():
    """Lines of the list: (group, package, probe, what is lost without it)."""
    rows = []
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            words = line.split(None, 3)
            rows.append(tuple(words + [""] * (4 - len(words))))
    return rows


class Place(unittest.TestCase):
    def setUp(self):
        folder = tempfile.mkdtemp(prefix="klog-test-packages-")
        self.addCleanup(shutil.rmtree, folder, True)
        self.bin, self.state = Path(folder, "bin"), Path(folder, "state")
        self.bin.mkdir()
        self.state.mkdir()
        for tool in REAL:
            found = shutil.which(tool)
            self.assertIsNotNone(found, tool)
            (self.bin / tool).symlink_to(found)
        self.note("calls", "")

    def note(self, name, text):
        (self.state / name).write_text(text, encoding="utf-8")

    def stand_in(self, name, text):
        path = self.bin / name
        path.write_text(f"#!{self.bin}/bash\n{text}", encoding="utf-8")
        path.chmod(0o755)

    def run_script(self, *groups):
        done = subprocess.run([self.bin / "bash", SCRIPT, *groups], check=False, text=True,
                              env={"PATH": str(self.bin), "STATE": str(self.state)},
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_SECONDS)
        self.calls = (self.state / "calls").read_text(encoding="utf-8").splitlines()
        return done


class WithApt(Place):
    def setUp(self):
        super().setUp()
        for name, text in STANDINS.items():
            self.stand_in(name, text)
        self.note("uid", "0\n")
        self.rows = listed()
        self.have_all_but()

    def have_all_but(self, *missing):
        packages = [package for _, package, _, _ in self.rows]
        for package in missing:
            packages.remove(package)
        self.note("installed", "".join(package + "\n" for package in packages))

    def installed_by(self, call):
        """The packages of a call `apt-get … install PACKAGE…`."""
        words = call.split()
        self.assertEqual(words[0], "apt-get", call)
        return words[words.index("install") + 1:]

    def test_nothing_missing_calls_no_apt(self):
        done = self.run_script("build", "test")
        self.assertEqual((done.returncode, done.stderr, self.calls), (0, "", []))
        self.assertIn(f"all {len(self.rows)} are there", done.stdout)

    def test_only_the_groups_that_were_asked_for(self):
        self.have_all_but("doctest-dev")
        done = self.run_script("build")
        self.assertEqual((done.returncode, self.calls), (0, []))

    def test_root_installs_exactly_what_is_missing(self):
        self.have_all_but("cmake", "libfmt-dev", "doctest-dev")
        done = self.run_script("build", "test")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(len(self.calls), 2, self.calls)
        self.assertTrue(self.calls[0].endswith(" update"), self.calls)
        self.assertEqual(self.installed_by(self.calls[1]), ["cmake", "libfmt-dev", "doctest-dev"])
        self.assertIn("-y", self.calls[1].split())
        again = self.run_script("build", "test")
        self.assertEqual((again.returncode, len(self.calls)), (0, 2), again.stdout)

    def test_others_take_sudo(self):
        self.note("uid", "1000\n")
        self.have_all_but("cmake")
        done = self.run_script("build")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual([call.split()[0] for call in self.calls],
                         ["sudo", "apt-get", "sudo", "apt-get"])
        self.assertEqual(self.installed_by(self.calls[3]), ["cmake"])

    def test_without_sudo_it_says_what_to_do(self):
        self.note("uid", "1000\n")
        (self.bin / "sudo").unlink()
        self.have_all_but("cmake", "libfmt-dev")
        done = self.run_script("build")
        self.assertEqual((done.returncode, self.calls), (1, []))
        self.assertIn("apt-get install cmake libfmt-dev\n", done.stderr)

    def test_what_apt_fails_with_is_passed_on(self):
        for verb, code, calls in (("update", 100, 1), ("install", 42, 2)):
            with self.subTest(verb):
                self.note("calls", "")
                self.note("installs_nothing", "")
                self.note(f"fails_{verb}", f"{code}\n")
                self.have_all_but("cmake")
                done = self.run_script("build")
                self.assertEqual((done.returncode, len(self.calls)), (code, calls))
                self.assertIn(f"apt-get ended with {code}", done.stderr)
                self.assertIn("Still missing: cmake\n", done.stderr)
                (self.state / f"fails_{verb}").unlink()

    def test_an_apt_that_installs_nothing_is_no_success(self):
        self.note("installs_nothing", "")
        self.have_all_but("cmake")
        done = self.run_script("build")
        self.assertEqual(done.returncode, 1)
        self.assertIn("apt-get did not install: cmake\n", done.stderr)


class WithoutApt(Place):
    def setUp(self):
        super().setUp()
        self.rows = listed()
        headers = []
        for _, _, probe, _ in self.rows:
            command, _, header = probe.partition("<")
            if header:
                headers.append(f"<{header}")
                self.stand_in(command, COMPILER)
            elif not (self.bin / command).exists():
                self.stand_in(command, "exit 9\n")
        self.headers = headers
        self.set_headers(headers)

    def set_headers(self, headers):
        self.note("headers", "".join(header + "\n" for header in headers))

    def lack(self, probe):
        """Takes away what is looked for; gives what brings it back."""
        command, _, header = probe.partition("<")
        if header:
            self.set_headers(each for each in self.headers if each != f"<{header}")
            return lambda: self.set_headers(self.headers)
        path, away = self.bin / command, self.state / command
        path.rename(away)
        return lambda: away.rename(path)

    def test_all_there(self):
        done = self.run_script("build", "test")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("there is no apt", done.stdout)

    def test_what_is_missing_is_named_and_nothing_else(self):
        self.lack("cmake")
        self.lack("g++<fmt/format.h>")
        done = self.run_script("build", "test")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        named = [line.split(None, 1) for line in done.stderr.splitlines() if line[0] == " "]
        self.assertEqual(named, [["cmake", "the command cmake"],
                                 ["libfmt-dev", "the header <fmt/format.h>"]])
        self.assertIn("Install what holds them", done.stderr)

    def test_each_package_is_looked_for(self):
        for group, package, probe, lost in self.rows:
            if probe in REAL:
                continue
            with self.subTest(package):
                bring_back = self.lack(probe)
                done = self.run_script(group)
                bring_back()
                named = [line for line in done.stderr.splitlines() if line[0] == " "]
                self.assertEqual(done.returncode, 0 if lost else 1, done.stderr)
                self.assertEqual(len(named), 1, done.stderr)
                self.assertEqual(named[0].split()[0], package)
                self.assertTrue(named[0].endswith(lost), named)

    def test_without_a_compiler_headers_stay_open(self):
        self.lack("g++")
        done = self.run_script("build")
        self.assertEqual(done.returncode, 1)
        named = [line.split()[0] for line in done.stderr.splitlines() if line[0] == " "]
        self.assertEqual(named, ["g++"])
        self.assertIn("Not looked for", done.stderr)
        self.assertIn(" libfmt-dev", done.stderr)

    def test_dpkg_without_apt_is_no_apt(self):
        self.stand_in("dpkg-query", STANDINS["dpkg-query"])
        self.note("installed", "")
        self.assertEqual(self.run_script("build").returncode, 0)


class Usage(Place):
    def test_no_group_or_an_unknown_one(self):
        for groups in ((), ("all",)):
            done = self.run_script(*groups)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn("usage: install-packages", done.stderr)

    def test_the_list(self):
        rows = listed()
        packages = [package for _, package, _, _ in rows]
        self.assertEqual(len(set(packages)), len(packages))
        for group, package, probe, _ in rows:
            self.assertIn(group, ("build", "test"), package)
            self.assertRegex(probe, r"^[\w.+-]+(<[\w./+-]+>)?$", package)


if __name__ == "__main__":
    unittest.main()
