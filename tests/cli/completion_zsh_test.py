#!/usr/bin/env python3
"""Completion in zsh, on a terminal."""

import os
import shutil

import shelltest


class Zsh(shelltest.Shell):
    command = ["zsh", "-f", "-i"]
    setup = ("PS1='> '; unset HISTFILE; setopt no_beep; autoload -Uz compinit; "
             "compinit -D -u; source <(klog completion zsh)\n"
             "klog() { printf '%s\\0' \"$@\" >\"$NOTE\"; : >\"$NOTE.done\"; }")

    def test_found_by_itself_in_fpath(self):
        folder = os.path.join(self.directory, "functions")
        os.mkdir(folder)
        shutil.copy(os.path.join(shelltest.SCRIPTS, "klog.zsh"), os.path.join(folder, "_klog"))
        setup = ("PS1='> '; unset HISTFILE; fpath=($PWD/functions $fpath); "
                 "autoload -Uz compinit; compinit -D -u\n" + self.setup.split("\n")[1])
        shell = shelltest.Terminal(self, self.command, setup)
        self.addCleanup(shell.close)
        self.assertEqual(shell.complete("klog hist"), ["history"])
        self.assertEqual(shell.complete("klog head -o nd"), ["head", "-o", "ndjson"])


if __name__ == "__main__":
    shelltest.main("zsh")
