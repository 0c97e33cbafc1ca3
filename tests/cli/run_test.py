#!/usr/bin/env python3
"""`klog run` from the outside: environment, exit codes, signals, what is left behind."""

import json
import os
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from daemontest import KLOG, LIMIT_SECONDS, Place, is_alive, request, wait_until  # noqa: E402

# Says who its daemon is, then waits for its standard input to end or for a signal.
WAITING = 'printf "%s\\n" "$KLOG_URL"; read -r line; exit 9'


class RunTest(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)

    def run_sh(self, script, *options, **more):
        return self.place.klog("run", *options, "--", "sh", "-c", script, **more)

    def leftovers(self):
        return os.listdir(self.place.path("tmp"))

    def start_waiting(self, script=WAITING):
        process = subprocess.Popen(
            [KLOG, "run", "--", "sh", "-c", script], env=self.place.environment,
            cwd=self.place.path("work"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True)
        self.place.started.append(process)
        self.addCleanup(process.stdin.close)
        url = process.stdout.readline().strip()
        return process, url.removeprefix("unix://")

    def test_the_command_reaches_a_fresh_daemon(self):
        done = self.run_sh("klog produce t/a 1 >&2 && klog head")
        self.assertEqual((done.returncode, done.stdout), (0, "1\n"), done.stderr)
        self.assertEqual(self.run_sh("klog head").stdout, "0\n")

    def test_it_prints_nothing_of_its_own_and_leaves_nothing(self):
        done = self.run_sh("true")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.assertEqual(self.leftovers(), [])
        self.assertEqual(os.listdir(self.place.path("run")), [])

    def test_verbose_shows_the_daemons_log(self):
        done = self.run_sh("true", "-v")
        self.assertIn("listening on unix://", done.stderr)
        self.assertIn("stopped", done.stderr)

    def test_exit_codes(self):
        script = self.place.path("work", "plain")
        with open(script, "w", encoding="ascii") as file:
            file.write("text")
        for command, code in ((["true"], 0), (["false"], 1), (["sh", "-c", "exit 42"], 42),
                              (["sh", "-c", "kill -KILL $$"], 137),
                              (["sh", "-c", "kill -TERM $$"], 143),
                              (["no-such-command-here"], 127), ([script], 126), (["/"], 126)):
            done = self.place.klog("run", "--", *command)
            self.assertEqual(done.returncode, code, (command, done.stderr))
            self.assertEqual(self.leftovers(), [])

    def test_usage(self):
        for arguments in ([], ["--"], ["true"], ["--url", "unix:///x", "--", "true"],
                          ["--data-dir", "d", "--", "true"]):
            done = self.place.klog("run", *arguments)
            self.assertEqual(done.returncode, 2, (arguments, done.stderr))
            self.assertIn("klog: usage: ", done.stderr)

    def test_options_behind_the_dashes_are_the_commands(self):
        done = self.place.klog("run", "--", "sh", "-c", 'echo "$@"', "sh", "--listen", "-v", "--")
        self.assertEqual(done.stdout, "--listen -v --\n")

    def test_the_environment_of_the_caller_does_not_lead_elsewhere(self):
        done = self.run_sh("env", env={
            "KLOG_URL": "http://elsewhere:1", "KLOG_TENANT": "t", "KLOG_CONTEXT": "c",
            "KLOG_TOKEN": "secret", "KLOG_TOKEN_FILE": "/f", "KLOG_HTTP_URL": "http://old:1",
            "KLOG_CONFIG": "/no/such/file", "KLOG_DATA_DIR": self.place.path("data")})
        self.assertEqual(done.returncode, 0, done.stderr)
        seen = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        self.assertTrue(seen["KLOG_URL"].startswith("unix://"))
        for name in ("KLOG_TENANT", "KLOG_CONTEXT", "KLOG_TOKEN", "KLOG_TOKEN_FILE",
                     "KLOG_HTTP_URL"):
            self.assertNotIn(name, seen)
        self.assertFalse(os.path.exists(self.place.path("data")))

    def test_listen_gives_an_http_url(self):
        done = self.run_sh('echo "$KLOG_HTTP_URL"; KLOG_URL=$KLOG_HTTP_URL klog head',
                           "--listen", "127.0.0.1:0")
        self.assertRegex(done.stdout, r"^http://127\.0\.0\.1:\d+\n0\n$")

    def test_files_reach_the_daemon_only_where_config_names_one(self):
        path = self.place.path("work", "klog.yaml")
        with open(path, "w", encoding="ascii") as file:
            file.write("value_bytes_max: 3\n")
        self.assertEqual(self.run_sh("klog produce t/a 12345").returncode, 0)
        self.assertEqual(self.run_sh("klog produce t/a 12345", "--config", path).returncode, 65)

    def test_a_daemon_that_cannot_start_is_said_once(self):
        done = self.run_sh("echo ran", "--listen", "192.0.2.1:1")
        self.assertEqual((done.returncode, done.stdout), (78, ""))
        self.assertEqual(done.stderr.count("klog: config: "), 1)
        self.assertEqual(self.leftovers(), [])

    def test_the_command_keeps_standard_input(self):
        done = subprocess.run([KLOG, "run", "--", "cat"], env=self.place.environment,
                              input="through", capture_output=True, text=True,
                              timeout=LIMIT_SECONDS, check=False)
        self.assertEqual(done.stdout, "through")

    def test_signals_are_passed_on(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1):
            process, _ = self.start_waiting(
                f'trap "echo caught; exit 7" {number.name[3:]}; {WAITING}')
            process.send_signal(number)
            self.assertEqual(process.wait(LIMIT_SECONDS), 7, number)
            self.assertEqual(process.stdout.read(), "caught\n")
        process, _ = self.start_waiting()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(LIMIT_SECONDS), 143)
        self.assertEqual(self.leftovers(), [])

    def test_the_daemon_outlives_a_signal_to_the_whole_group(self):
        # As a terminal does with Ctrl-C: the command ends by its own rules, and still has a daemon.
        process, path = self.start_waiting(f'trap "klog head; exit 7" INT; {WAITING}')
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual(process.wait(LIMIT_SECONDS), 7)
        self.assertIn("0\n", process.stdout.read())
        self.assertFalse(os.path.exists(path))

    def test_killed_it_takes_its_daemon_with_it(self):
        process, path = self.start_waiting()
        folder = os.path.dirname(path)
        with open(os.path.join(folder, "daemon.pid"), encoding="ascii") as file:
            pid = int(file.read())
        self.assertEqual(request(path, "GET", "/livez")[0], 200)
        process.kill()
        process.wait(LIMIT_SECONDS)
        wait_until(lambda: not is_alive(pid), "the daemon ends")
        self.assertFalse(os.path.exists(folder))

    def test_a_command_in_the_background_does_not_hold_it(self):
        done = self.run_sh("klog tail -f >/dev/null 2>&1 & exit 3")
        self.assertEqual(done.returncode, 3)
        self.assertEqual(self.leftovers(), [])

    def test_runs_beside_each_other_do_not_meet(self):
        first, path = self.start_waiting()
        done = self.run_sh("klog produce t/a 1 >&2; klog head")
        self.assertEqual(done.stdout, "1\n")
        _, _, body = request(path, "GET", "/v1/head")
        self.assertEqual(json.loads(body)["seq"], 0)
        first.stdin.close()
        self.assertEqual(first.wait(LIMIT_SECONDS), 9)

    def test_no_descriptor_of_the_caller_stays_open_in_the_daemon(self):
        reader, writer = os.pipe()
        process = subprocess.Popen(
            [KLOG, "run", "--", "sh", "-c", f"exec {writer}>&-; echo; read -r line"],
            env=self.place.environment, pass_fds=[writer], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.place.started.append(process)
        process.stdout.readline()
        os.close(writer)
        process.stdin.close()
        self.assertEqual(process.wait(LIMIT_SECONDS), 1)
        self.assertEqual(os.read(reader, 1), b"")
        os.close(reader)


if __name__ == "__main__":
    unittest.main()
