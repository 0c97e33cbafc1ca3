"""What histories are made of: daemons that are killed and started again, and who calls them."""

import argparse
import http.client
import json
import multiprocessing
import os
import random
import select
import shutil
import time

from daemontest import LIMIT_SECONDS, Daemon, Place, UnixConnection

LIFE_SECONDS_MAX = 1.0
STOP_IN_ORDER_SHARE = 0.2
LOSE_INDEXES_SHARE = 0.2
RECONNECT_SECONDS = 0.01


class Unanswered(Exception):
    """The connection broke after sending."""


class Caller:
    """One process's connection, which breaks whenever the daemon ends."""

    def __init__(self, path, stop):
        self.path, self.stop = path, stop
        self.connection = None

    def disconnect(self):
        self.connection.close()
        self.connection = None

    def connected(self):
        """False: there is no daemon, and nothing was sent."""
        if self.connection is not None:
            return True
        connection = UnixConnection(self.path)
        try:
            connection.connect()
        except OSError:
            return False
        self.connection = connection
        return True

    def call(self, method, target, body=None, content_type="application/json"):
        """Status and parsed body. The connection is there; if it breaks, Unanswered."""
        headers = {"Content-Type": content_type} if body is not None else {}
        try:
            self.connection.request(method, target, body, headers)
            answer = self.connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text)
        except (OSError, http.client.HTTPException, ValueError):
            self.disconnect()
            raise Unanswered from None

    def pause(self):
        self.stop.wait(RECONNECT_SECONDS)


class Lives:
    """Daemons on one directory, one after the other."""

    def __init__(self, place, chance):
        self.place, self.random, self.daemon, self.kills = place, chance, None, 0
        self.path = place.path("klog.sock")

    def start(self):
        self.daemon = Daemon(self.place, ["--data-dir", self.place.path("data"),
                                          "--socket", self.path])

    def live_and_end(self):
        descriptor = os.pidfd_open(self.daemon.process.pid)
        ended = select.select([descriptor], [], [], self.random.uniform(0, LIFE_SECONDS_MAX))[0]
        os.close(descriptor)
        assert not ended, f"the daemon ended by itself\n{self.daemon.log()}"
        if self.random.random() < STOP_IN_ORDER_SHARE:
            assert self.daemon.stop() == 0, self.daemon.log()
        else:
            self.daemon.kill()
            self.kills += 1
        os.unlink(self.daemon.log_path)
        if self.random.random() < LOSE_INDEXES_SHARE:
            shutil.rmtree(self.place.path("data", "index"), ignore_errors=True)  # or there is none yet

    def while_called(self, client, processes, seed, seconds):
        """Lives for so long, while processes call. Gives what each of them kept.

        client(number, path, seed, stop, out) puts (number, what went wrong or None, what it kept).
        """
        self.start()
        stop, out = multiprocessing.Event(), multiprocessing.Queue()
        workers = [multiprocessing.Process(target=client, args=(n, self.path, seed, stop, out),
                                           daemon=True) for n in range(processes)]
        for worker in workers:
            worker.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.live_and_end()
            self.start()
        stop.set()
        kept = []
        for _ in workers:
            number, trouble, some = out.get(timeout=LIMIT_SECONDS)
            assert trouble is None, f"process {number}: {trouble}"
            kept.append(some)
        for worker in workers:
            worker.join(LIMIT_SECONDS)
        return kept


def main(doc, seconds_by_scale, run):
    """run(lives, seed, seconds), as the command line and the environment say."""
    parser = argparse.ArgumentParser(description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float,
                        default=seconds_by_scale[os.environ.get("KLOG_TEST_SCALE", "run")])
    seconds = parser.parse_args().seconds
    seed = int(os.environ.get("KLOG_TEST_SEED", time.time_ns() % 1_000_000_000))
    print(f"seed {seed}", flush=True)
    place = Place()
    lives = Lives(place, random.Random(seed))
    try:
        run(lives, seed, seconds)
    finally:
        if lives.daemon and lives.daemon.process.poll() is None:
            lives.daemon.kill()
        place.close()
    return 0
