#!/usr/bin/env python3
"""What can be tested of the load bench without a load: parsers, ratios, tables, pictures. Run it; it takes a second."""

import contextlib
import io
import json
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from lib import cases, loads, options, pictures, pierhead, process, report, results, runner, system, targets  # noqa: E402

REDIS = '''"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
"GET","15220.70","2.549","0.128","1.735","6.215","8.447","11.799"
'''
PGBENCH = '''number of transactions actually processed: 5123
number of failed transactions: 0 (0.000%)
latency average = 0.4 ms
initial connection time = 42.5 ms
tps = 2561.5 (without initial connection time)
'''
HEADER = {"mode": "full", "date": "2026-01-02T03:04:05+00:00", "commit": "abc", "settings": {"threads": 2}, "subjects": {},
          "versions": {}, "warnings": [],
          "machine": {"cpu": "x", "cpus": 2, "memory_gib": 1, "kernel": "6.1", "distribution": "d", "congestion_control": "c"}}
SUBJECTS = ["direct", "haproxy", "nginx", "pgbouncer", "pierhead"]


def example(**throughput):
    """Results of pgbench at 50 clients, from the throughput of each subject."""
    case = next(case for case in cases.all_cases(quick=False) if case.name == "pgbench-c50")
    made = results.Results([case], SUBJECTS)
    for name, values in throughput.items():
        for value in values:
            made.cell(case.name, name).add({"throughput": value, "latency_p50": 1.0, "latency_p99": 2.0, "machine_cpu": 9.0,
                                            "proxy_cpu": 1e6 / value})
    return made


class Parsers(unittest.TestCase):
    def test_redis_benchmark(self):
        self.assertEqual(loads.redis_metrics(REDIS), {"throughput": 15220.7, "latency_p50": 1.735, "latency_p99": 8.447})
        with self.assertRaises(process.Failed):
            loads.redis_metrics("Error from server: NOAUTH\n")

    def test_pgbench(self):
        work = loads.pgbench_work(PGBENCH)
        self.assertEqual((work.units, work.metrics["throughput"], work.connecting_s), (5123, 2561.5, 0.0425))
        for broken in ("", PGBENCH.replace("transactions: 0", "transactions: 3"), PGBENCH.replace("5123", "5123/6000"),
                       PGBENCH.replace("5123", "0")):
            with self.assertRaises(process.Failed):
                loads.pgbench_work(broken)

    def test_mariadb_slap(self):
        self.assertEqual(loads.slap_seconds(",mixed,1.250,1.250,1.250,10,200\n"), 1.25)
        for broken in ("", "mariadb-slap: Error when connecting to server: Access denied\n", ",mixed,0.000,0.000,0.000,10,200\n"):
            with self.assertRaises(process.Failed):
                loads.slap_seconds(broken)

    def test_iperf(self):
        out = json.dumps({"end": {"sum_received": {"bytes": 1 << 31, "bits_per_second": 8e9}}})
        work = loads.iperf_work(out)
        self.assertEqual((work.units, work.metrics["throughput"]), (2.0, 8.0))
        for broken in ({"error": "busy"},
                       {"end": {"sum_received": {"bytes": 0, "bits_per_second": 0}}}):
            with self.assertRaises(process.Failed):
                loads.iperf_work(json.dumps(broken))

    def test_lanes(self):
        page = "".join(f'pierhead_bytes_total{{addon="blog",direction="{way}",lane="{lane}"}} {count}\n'
                       for way, lane, count in (("up", "copy", 3), ("up", "splice", 4), ("down", "copy", 5), ("down", "splice", 9)))
        self.assertEqual(pierhead.lanes_of("# HELP pierhead_bytes_total Bytes.\n" + page), {"copy": 8, "splice": 13})


class Ratios(unittest.TestCase):
    def verdict(self, title, made):
        return next(v for v in targets.verdicts(made) if v.target.title.startswith(title))

    def test_best_peer_counts(self):
        made = example(direct=[300], haproxy=[90, 100, 110], nginx=[120] * 3, pgbouncer=[500], pierhead=[132.1] * 3)
        found = self.verdict("throughput, 10", made)
        self.assertEqual((found.against, found.text), ("nginx", "reached"))
        self.assertEqual(self.verdict("pgbench -S, Pierhead : direct", made).text, "not reached, behind")

    def test_less_is_better_for_cost(self):
        made = example(direct=[300], haproxy=[100], nginx=[90], pierhead=[110])
        found = self.verdict("proxy CPU per request", made)
        self.assertEqual((found.against, round(found.ratio, 2), found.text), ("haproxy", 0.91, "not reached"))

    def test_a_failure_is_no_figure(self):
        made = example(haproxy=[100], nginx=[90], pierhead=[110])
        made.cell("pgbench-c50", "pierhead").failure = "it broke"
        self.assertEqual(self.verdict("throughput, 10", made).text, "not measured")

    def test_every_target_has_its_case(self):
        names = {case.name for case in cases.all_cases(quick=False)}
        for target in targets.TARGETS:
            self.assertLessEqual(set(target.cases), names)


class Output(unittest.TestCase):
    def setUp(self):
        self.made = example(direct=[300, 310, 320], haproxy=[100, 101, 102], pierhead=[110, 111, 150])
        self.made.cell("pgbench-c50", "nginx").failure = "nginx: it <ended> | & more"

    def test_rows(self):
        rows = self.made.rows()
        self.assertIn({"case": "pgbench-c50", "subject": "pierhead", "metric": "throughput", "unit": "tx/s", "median": 111.0,
                       "min": 110.0, "max": 150.0, "rounds": 3}, rows)
        self.assertEqual([row["reason"] for row in rows if row["metric"] == "failed"], ["nginx: it <ended> | & more"])

    def test_report_keeps_losing_and_failed_rows(self):
        text = report.report(self.made, HEADER)
        for expected in ("| nginx ", "failed: nginx: it <ended> / & more", "111 (110 – 150)", "not reached"):
            self.assertIn(expected, text)

    def test_pictures_are_wellformed(self):
        with tempfile.TemporaryDirectory() as directory:
            written = pictures.write_pictures(directory, self.made, HEADER)
            self.assertEqual([os.path.basename(path) for path in written], ["throughput.svg", "latency.svg", "cpu.svg"])
            for path in written:
                xml.etree.ElementTree.parse(path)

    def test_json_is_a_list(self):
        with tempfile.TemporaryDirectory() as directory:
            results.write_json(directory + "/latest.json", self.made.rows())
            with open(directory + "/latest.json", encoding="utf-8") as file:
                self.assertEqual(json.load(file), self.made.rows())


class CommandLine(unittest.TestCase):
    def names(self, *argv):
        return [case.name for case in options.parse(argv).cases]

    def test_cases(self):
        self.assertEqual(self.names("--case", "pgbench-c10"), ["pgbench-c10"])
        self.assertEqual(self.names("--case", "from"), ["bulk-from-s1", "bulk-from-s4", "copy-from"])
        self.assertEqual(self.names("--compare-pgbench"), ["pgbench-c1", "pgbench-c10", "pgbench-c50"])
        self.assertLess(len(self.names("--quick")), len(self.names()))
        self.assertNotIn("copy-to", self.names())

    def test_wrong_usage(self):
        for argv in (["--case", "nothing"], ["--rounds", "0"], ["--subject", "x"], ["--proxy-cpus", "9999"]):
            with self.assertRaises(SystemExit) as ended, contextlib.redirect_stderr(io.StringIO()):
                options.parse(argv)
            self.assertEqual(ended.exception.code, 2)

    def test_budgets(self):
        """Under two minutes and under fifteen, with something left for a slower machine."""
        for argv, seconds_max in ((["--quick"], 110), ([], 14 * 60)):
            parsed = options.parse(argv)
            names = [subject.name for subject in options.subjects_of(parsed, "/bin/true")]
            planned = sum(case.seconds_estimated([name for name in names if case.takes(name)]) for case in parsed.cases)
            self.assertLess(planned, seconds_max)

    def test_variants(self):
        made = pierhead.variant("nospin:spin_us=0,relay=copy,binary=/tmp/old", "/tmp/new")
        self.assertEqual((made.name, made.binary), ("pierhead:nospin", "/tmp/old"))
        self.assertEqual(made.given, {"spin_us": "0", "relay": '"copy"'})


class Measuring(unittest.TestCase):
    def test_cpu_of_this_process(self):
        before = process.cpu_s(os.getpid())
        sum(range(3_000_000))
        self.assertGreater(process.cpu_s(os.getpid()), before)
        self.assertGreater(process.memory_bytes(os.getpid()), 1 << 20)
        self.assertLessEqual(system.busy_share(0.05), 1.1)

    def test_tree_and_failures(self):
        self.assertIn(os.getpid(), process.tree(os.getppid()))
        with self.assertRaisesRegex(process.Failed, "exit 3: why"):
            process.run(["sh", "-c", "echo first >&2; echo why >&2; exit 3"], 5)
        with self.assertRaisesRegex(process.Failed, "did not end"):
            process.run(["sleep", "5"], 0.1)

    def test_time_left(self):
        progress = runner.Progress(100)
        self.assertAlmostEqual(progress.left_s(), 100, delta=1)
        progress.started -= 20
        progress.case_done(10)
        self.assertAlmostEqual(progress.left_s(), 180, delta=1)


if __name__ == "__main__":
    unittest.main()
