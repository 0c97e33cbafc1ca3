#!/usr/bin/env python3
"""cmake --install into a folder of its own: the man pages and completions land where man and the
shells look for them, and what is installed is what the binary says."""

import glob
import os
import re
import shutil
import subprocess
import tempfile
import unittest

SOURCE = os.environ["KLOG_SOURCE_DIR"]
BUILD = os.environ["KLOG_BUILD_DIR"]
COMPLETIONS = {
    "bash": "share/bash-completion/completions/klog",
    "zsh": "share/zsh/site-functions/_klog",
    "fish": "share/fish/vendor_completions.d/klog.fish",
}


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if shutil.which("cmake") is None:
            raise unittest.SkipTest("cmake is not installed")
        cls.prefix = tempfile.mkdtemp(prefix="klog-test-install-")
        cls.addClassCleanup(shutil.rmtree, cls.prefix, True)
        subprocess.run(["cmake", "--install", BUILD, "--component", "runtime", "--prefix",
                        cls.prefix], check=True, capture_output=True, timeout=300)

    def path(self, name):
        return os.path.join(self.prefix, name)

    def test_every_man_page(self):
        pages = glob.glob(os.path.join(SOURCE, "man", "*.[1-9]"))
        self.assertGreater(len(pages), 10)
        for page in pages:
            name = os.path.basename(page)
            with open(page, "rb") as wanted, \
                    open(self.path(f"share/man/man{name[-1]}/{name}"), "rb") as installed:
                self.assertEqual(installed.read(), wanted.read(), name)

    @unittest.skipIf(shutil.which("readelf") is None, "needs readelf")
    def test_a_start_loads_no_library_that_it_does_not_need(self):
        dynamic = subprocess.run(["readelf", "-d", self.path("bin/klog")], check=True, timeout=60,
                                 capture_output=True, text=True).stdout
        needed = re.findall(r"NEEDED.*\[(.+)\]", dynamic)
        self.assertTrue(needed)
        for name in needed:
            self.assertNotRegex(name, "curl|ssl|crypto|yaml|grpc")

    def test_completions_are_what_the_installed_klog_prints(self):
        for shell, path in COMPLETIONS.items():
            printed = subprocess.run([self.path("bin/klog"), "completion", shell], check=True,
                                     capture_output=True, timeout=60).stdout
            with open(self.path(path), "rb") as file:
                self.assertEqual(file.read(), printed)

    def test_shells_take_the_scripts(self):
        for shell, path in COMPLETIONS.items():
            if shutil.which(shell) is None:
                continue
            subprocess.run([shell, "-n", self.path(path)], check=True, timeout=60)


if __name__ == "__main__":
    unittest.main()
