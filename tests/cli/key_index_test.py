#!/usr/bin/env python3
"""The key index from outside: the queries of klog-index(5), damage, other schemas, lag, cursors."""

import json
import os
import re
import sqlite3
import sys
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import walfile  # noqa: E402
from daemontest import Place, wait_until  # noqa: E402

MAN = os.path.join(os.environ["KLOG_SOURCE_DIR"], "man", "klog-index.5")
KEYS = 3000
YEARS = 4


def queries_of_page():
    """The text of each query that the man page shows, in order."""
    with open(MAN, encoding="utf-8") as file:
        lines = file.read().replace(r"\e", "\\").split("\n")
    found, command = [], None
    for line in lines:
        if line.startswith("$ sqlite3"):
            command = line
        elif command is not None and line.startswith("> "):
            command += " " + line[2:]
        elif command is not None:
            found.append(re.search(r'\\ "(.*)"$', command)[1])
            command = None
    return found


def key_of(n):
    return f"{2024 + n % YEARS}-{n}"


class KeyIndexTest(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)
        self.data = self.place.path("data")
        self.database = os.path.join(self.data, "index", "1", "keys.db")

    def daemon(self):
        return self.place.daemon("--data-dir", self.data)

    def produce(self, daemon, lines):
        status, _, answer = daemon.request(
            "POST", "/v1/records?envelope=true&acks=summary",
            "".join(json.dumps(line) + "\n" for line in lines).encode(), "application/x-ndjson")
        self.assertEqual(status, 200, answer[:500])

    def fill(self):
        """Three lives, so that there are several runs. Gives the keys of orders, sorted."""
        for life in range(3):
            daemon = self.daemon()
            self.produce(daemon, [{"topic": "orders/made", "key": key_of(n), "value": n}
                                  for n in range(life, KEYS, 3)])
            self.produce(daemon, [{"topic": "users/new", "key": f"a\"\\{life}é", "value": 1}])
            self.assertEqual(daemon.stop(), 0)
        return sorted(key_of(n) for n in range(KEYS))

    def rows(self, query):
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def listed(self, daemon, space="orders", **parameters):
        query = urllib.parse.urlencode(parameters)
        status, _, body = daemon.request("GET", f"/v1/spaces/{space}/keys?{query}")
        self.assertEqual(status, 200, body[:500])
        return [json.loads(line)["key"] for line in body.decode().splitlines()]

    def metric(self, daemon, name):
        _, _, body = daemon.request("GET", "/metrics")
        return int(re.search(rf"(?m)^{name} (\d+)$", body.decode())[1])

    def test_the_queries_of_the_manual(self):
        keys = self.fill()
        in_2026 = [(key,) for key in keys if key.startswith("2026-")]
        wanted = {
            "watermark": [(KEYS + 3,)],
            "WHERE space='orders' ORDER BY": [(key,) for key in keys],
            "first<'2026.'": in_2026,
            "BETWEEN first AND last": [(int("2026-7" in keys),)],
            "sum(keys)": [("orders", KEYS), ("users", 3)],
            "FROM topic": [("orders/made", KEYS, KEYS + 2), ("users/new", 3, KEYS + 3)],
        }
        queries = queries_of_page()
        self.assertEqual(len(queries), len(wanted))
        for query, (part, answer) in zip(queries, wanted.items()):
            with self.subTest(query=query):
                self.assertIn(part, query)
                self.assertEqual(self.rows(query), answer)
        self.assertEqual(self.rows("SELECT key FROM keys WHERE space='users' ORDER BY key"),
                         [(f'a"\\{life}é',) for life in range(3)])
        # The range is found by search, not by looking at every block.
        plan = str(self.rows("EXPLAIN QUERY PLAN " + queries[2]))
        self.assertIn("block_place", plan)

    def test_damage_and_other_schemas(self):
        keys = self.fill()

        def change(statement):
            connection = sqlite3.connect(self.database)
            with connection:
                connection.execute(statement)
            connection.close()

        def old_schema():
            os.unlink(self.database)
            connection = sqlite3.connect(self.database)
            connection.executescript(
                "CREATE TABLE key(space_id INTEGER, key TEXT); PRAGMA user_version=1;"
                "PRAGMA application_id=1802268519;")
            connection.close()

        damages = {
            "a block's text": lambda: change("UPDATE block SET list=replace(list, '2025', '2095')"),
            "a block's count": lambda: change("UPDATE block SET keys=keys+1"),
            "a table": lambda: change("DROP TABLE run"),
            "schema 1": old_schema,
            "no file": lambda: os.unlink(self.database),
        }
        for what, damage in damages.items():
            with self.subTest(what=what):
                damage()
                if what != "no file":
                    done = self.place.klog("verify", "--data-dir", self.data)
                    self.assertEqual(done.returncode, 74, done.stdout)
                    self.assertIn("index/1/keys.db", done.stderr)
                daemon = self.daemon()
                self.assertEqual(self.listed(daemon), keys)
                self.assertEqual(daemon.stop(), 0)
                done = self.place.klog("verify", "--deep", "--data-dir", self.data)
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_verify_compares_its_keys_with_the_log(self):
        self.fill()
        # Nobody sees from the index alone that a whole run was taken out of it, or its watermark
        # moved.
        connection = sqlite3.connect(self.database)
        with connection:
            run, = connection.execute("SELECT min(id) FROM run").fetchone()
            connection.execute("DELETE FROM block WHERE run=?", (run,))
            connection.execute("DELETE FROM run WHERE id=?", (run,))
        connection.close()
        self.assertEqual(self.place.klog("verify", "--data-dir", self.data).returncode, 0)
        done = self.place.klog("verify", "--deep", "--data-dir", self.data)
        self.assertEqual(done.returncode, 74)
        self.assertRegex(done.stderr, rf"it lists \d+ of the {KEYS + 3} keys that the log has")

    def test_the_lag_is_told(self):
        self.fill()
        os.unlink(self.database)
        daemon = self.daemon()
        head = KEYS + 3
        self.assertEqual(self.metric(daemon, "klog_log_head_seq"), head)
        self.listed(daemon)
        # Nothing is left to do for the thread that would list the next key at once.
        closed = walfile.wal_numbers(self.data)[:-1]
        wait_until(lambda: all(os.path.exists(os.path.join(self.data, "index", "wal", f"{number:020d}.idx"))
                               for number in closed), "the indexes of closed WAL files")
        self.assertEqual(self.metric(daemon, "klog_log_key_index_behind_records"), 0)
        self.assertEqual(self.metric(daemon, "klog_log_key_index_seq"), head)
        self.assertEqual(self.metric(daemon, "klog_log_key_index_keys"), head)
        self.assertGreaterEqual(self.metric(daemon, "klog_log_key_index_runs"), 1)
        before = self.metric(daemon, "klog_log_key_index_pending_bytes")
        self.produce(daemon, [{"topic": "orders/made", "key": "zz", "value": 1}])
        self.assertGreater(self.metric(daemon, "klog_log_key_index_pending_bytes"), before)
        self.assertEqual(self.metric(daemon, "klog_log_key_index_seq"), head)
        self.assertEqual(self.listed(daemon, prefix="zz"), ["zz"])

    def test_cursors(self):
        keys = self.fill()
        daemon = self.daemon()
        found, after = [], ""
        while True:
            page = self.listed(daemon, limit=700, after=after)
            found += page
            if len(page) < 700:
                break
            after = page[-1]
        self.assertEqual(found, keys)
        gone = [key for key in keys if key.startswith("2025-")]
        self.produce(daemon, [{"topic": "orders/made", "key": key, "kind": "tombstone"}
                              for key in gone])
        # The whole range is deleted, and what follows on it is found in the same page.
        self.assertEqual(self.listed(daemon, prefix="2025-"), [])
        self.assertEqual(self.listed(daemon, after="2025", limit=1), ["2026-10"])
        self.assertEqual(self.listed(daemon, prefix="2025-", deleted="true"), gone)
        self.assertEqual(self.place.klog("keys", "orders", "--prefix", "2025-").stdout, "")


if __name__ == "__main__":
    unittest.main()
