#!/usr/bin/env python3
"""Completion in bash, on a terminal."""

import shelltest


class Bash(shelltest.Shell):
    command = ["bash", "--norc", "--noprofile", "-i"]
    setup = ("PS1='> '; unset HISTFILE; bind 'set bell-style none'; "
             "bind 'set enable-bracketed-paste off'; source <(klog completion bash)\n"
             "klog() { printf '%s\\0' \"$@\" >\"$NOTE\"; : >\"$NOTE.done\"; }")


if __name__ == "__main__":
    shelltest.main("bash")
