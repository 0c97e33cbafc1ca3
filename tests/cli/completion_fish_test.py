#!/usr/bin/env python3
"""Completion in fish, on a terminal."""

import shelltest


class Fish(shelltest.Shell):
    command = ["fish", "--no-config", "-i"]
    tilde = False
    setup = ("set -g fish_greeting; klog completion fish | source\n"
             "function klog; printf '%s\\0' $argv >\"$NOTE\"; true >\"$NOTE.done\"; end")


if __name__ == "__main__":
    shelltest.main("fish")
