"""The load: what a well-known tool is told, what it answers, and whether it really did what it was told.

A load has `warm_up(engine, address) -> plan` and `measure(engine, address, plan, seconds) -> Work`. The plan makes a
round as long as it should be where the tool counts requests and not seconds.
"""

import csv
import glob
import json
import os
import re
import time
from dataclasses import dataclass, field

from . import probe, system
from .engines import PASSWORD
from .measure import percentile
from .process import Failed, last_words, run

GIB = 1 << 30
SLACK_S = 30  # beyond the length of a round, before a tool is given up
SAMPLES_MAX = 20_000  # transactions of one round whose latency pgbench writes down


@dataclass
class Work:
    """What was done: units of work, and metrics by name."""

    units: float
    metrics: dict = field(default_factory=dict)
    connecting_s: float = 0.0


class Load:
    """`cpus`: where the tool runs; none: anywhere. The runner sets it, the same for all."""

    cpus = None


@dataclass
class Redis(Load):
    """redis-benchmark, GET of one key of 3 bytes."""

    clients: int
    pipeline: int = 1
    reconnect: bool = False

    def warm_up(self, engine, address):
        first = 2_000 if self.reconnect else 10_000 * min(self.pipeline, 4)
        work = self.run(engine, address, first)
        return work.metrics["throughput"]

    def measure(self, engine, address, plan, seconds):
        return self.run(engine, address, max(self.clients * self.pipeline, int(plan * seconds)))

    def run(self, engine, address, requests):
        before = probe.redis(engine.address, engine.name, PASSWORD)
        out = run(["redis-benchmark", "-h", address[0], "-p", str(address[1]), "--user", engine.name, "-a", PASSWORD, "-t", "get",
                   "-c", str(self.clients), "-n", str(requests), "-P", str(self.pipeline), "-k", "0" if self.reconnect else "1",
                   "--csv"], SLACK_S + requests / 1_000, cpus=self.cpus)
        done = probe.redis(engine.address, engine.name, PASSWORD) - before
        if done < requests:
            raise Failed(f"of {requests} requests the engine saw {done}")
        return Work(requests, redis_metrics(out))


def redis_metrics(out):
    """The CSV of redis-benchmark: a line of names, a line of values."""
    lines = [line for line in out.splitlines() if line.startswith('"')]
    if len(lines) < 2:
        raise Failed(f"redis-benchmark printed no result: {last_words(out)}")
    row = next(csv.DictReader(lines))
    return {"throughput": float(row["rps"]), "latency_p50": float(row["p50_latency_ms"]),
            "latency_p99": float(row["p99_latency_ms"])}


@dataclass
class Pgbench(Load):
    """pgbench -S: one SELECT by primary key for each transaction."""

    clients: int
    reconnect: bool = False

    def warm_up(self, engine, address):
        amount = ["-T", "1"] if self.reconnect else ["-t", str(max(20, 3_000 // self.clients))]
        return self.run(engine, address, amount, SLACK_S, None)

    def measure(self, engine, address, plan, seconds):
        # The clock of pgbench starts before its clients have connected.
        whole = max(1, round(seconds + 2 * plan.connecting_s))
        sampling = min(1.0, SAMPLES_MAX / (plan.metrics["throughput"] * whole))
        return self.run(engine, address, ["-T", str(whole)], whole + SLACK_S, sampling)

    def run(self, engine, address, amount, timeout_s, sampling):
        logs = f"/dev/shm/pierhead-bench-{os.getpid()}-"
        log = ["--log", f"--log-prefix={logs}", f"--sampling-rate={sampling}"] if sampling and not self.reconnect else []
        try:
            out = run([system.find("pgbench"), "-n", "-S", "-c", str(self.clients), "-j", str(min(self.clients, os.cpu_count())),
                       *(["-C"] if self.reconnect else []), *amount, *log, "-h", address[0], "-p", str(address[1]),
                       "-U", engine.name, engine.name], timeout_s, cpus=self.cpus,
                      # The request for TLS, which no subject has, is left out: peers would pass it on to the engine and
                      # Pierhead answers it itself, which would make connections through Pierhead look cheaper.
                      env={"PGSSLMODE": "disable", "PGGSSENCMODE": "disable"})
            work = pgbench_work(out)
            if log:
                latencies = read_latencies(glob.glob(logs + "*"))
                work.metrics.update(latency_p50=percentile(latencies, 0.50), latency_p99=percentile(latencies, 0.99))
            return work
        finally:
            for path in glob.glob(logs + "*"):
                os.unlink(path)


def pgbench_work(out):
    done = re.search(r"transactions actually processed: (\d+)(?:/(\d+))?", out)
    rate = re.search(r"^tps = ([\d.]+)", out, re.MULTILINE)
    failed = re.search(r"number of failed transactions: (\d+)", out)
    if not done or not rate or int(done.group(1)) == 0:
        raise Failed(f"pgbench printed no result: {last_words(out)}")
    if (failed and int(failed.group(1))) or (done.group(2) and done.group(1) != done.group(2)):
        raise Failed(f"pgbench: of its transactions some failed: {done.group(0)}")
    connecting = re.search(r"initial connection time = ([\d.]+) ms", out)
    return Work(int(done.group(1)), {"throughput": float(rate.group(1))}, float(connecting.group(1)) / 1e3 if connecting else 0.0)


def read_latencies(paths):
    """Milliseconds, of the third column in microseconds."""
    latencies = []
    for path in paths:
        with open(path, encoding="ascii") as file:
            latencies.extend(int(line.split()[2]) / 1e3 for line in file)
    if not latencies:
        raise Failed("pgbench wrote down no latency")
    return latencies


@dataclass
class Slap(Load):
    """mariadb-slap: each client logs in, asks for one value and closes, again and again."""

    clients: int

    def warm_up(self, engine, address):
        return self.run(engine, address, 500).metrics["throughput"]

    def measure(self, engine, address, plan, seconds):
        return self.run(engine, address, int(plan * seconds))

    def run(self, engine, address, connections):
        each = max(1, connections // self.clients)
        before = probe.mysql(engine.address, engine.name, PASSWORD)
        out = run([*probe.mysql_client("mariadb-slap", address, engine.name, PASSWORD), f"--create-schema={engine.name}", "--no-drop",
                   "--query=SELECT 1", f"--concurrency={self.clients}", f"--number-of-queries={each * self.clients}",
                   "--detach=1", "--csv"], SLACK_S + connections / 100, cpus=self.cpus)
        done = probe.mysql(engine.address, engine.name, PASSWORD) - before
        if done < each * self.clients:
            raise Failed(f"of {each * self.clients} connections the engine saw {done}")
        return Work(each * self.clients, {"throughput": each * self.clients / slap_seconds(out)})


def slap_seconds(out):
    """The CSV of mariadb-slap: engine, load, then the average, least and most seconds, clients, queries of each."""
    fields = out.strip().split(",")
    if len(fields) < 5 or not float(fields[2]):
        raise Failed(f"mariadb-slap printed no result: {last_words(out)}")
    return float(fields[2])


@dataclass
class Iperf(Load):
    """iperf3: a stream of bytes, to the engine or from it."""

    streams: int
    reverse: bool = False

    def warm_up(self, engine, address):
        return self.run(address, ["-n", "200M"], SLACK_S)

    def measure(self, engine, address, plan, seconds):
        whole = max(1, round(seconds))
        return self.run(address, ["-t", str(whole)], whole + SLACK_S)

    def run(self, address, amount, timeout_s):
        argv = ["iperf3", "-c", address[0], "-p", str(address[1]), "-P", str(self.streams), *amount, "-J",
                "--connect-timeout", "5000", *(["-R"] if self.reverse else [])]
        # The server has one test at a time and may still be with the one before.
        for attempt in range(3):
            try:
                return iperf_work(run(argv, timeout_s, cpus=self.cpus))
            except Failed as error:
                if attempt == 2 or "busy" not in str(error):
                    raise
                time.sleep(0.3)
        raise AssertionError("unreachable: the last attempt returns or raises")


@dataclass
class Copy(Load):
    """psql, COPY of a table of rows of 1 KiB: what a dump or a restore does."""

    reverse: bool = False
    ROWS = 256 * 1024
    ROW = "x" * 1023  # and the end of the line

    def warm_up(self, engine, address):
        self.psql(engine, engine.address, f"CREATE UNLOGGED TABLE IF NOT EXISTS bench_copy AS SELECT '{self.ROW}' AS row "
                                          f"FROM generate_series(1, {self.ROWS})")
        return self.run(engine, address)

    def measure(self, engine, address, plan, seconds):
        return self.run(engine, address)

    def run(self, engine, address):
        started = time.monotonic()
        if self.reverse:
            out = self.psql(engine, address, r"\copy bench_copy TO '/dev/null'")
        else:
            lines = f"yes {self.ROW} | head -n {self.ROWS}"
            out = self.psql(engine, address, "CREATE TEMP TABLE copied (row text)", rf"\copy copied FROM PROGRAM '{lines}'")
        seconds = time.monotonic() - started
        if f"COPY {self.ROWS}" not in out:
            raise Failed(f"psql: not all rows were copied: {last_words(out)}")
        size = self.ROWS * (len(self.ROW) + 1)
        return Work(size / GIB, {"throughput": size * 8 / 1e9 / seconds})

    def psql(self, engine, address, *commands):
        return run([system.find("psql"), "-X", "-v", "ON_ERROR_STOP=1", *(word for command in commands for word in ("-c", command)),
                    "-h", address[0], "-p", str(address[1]), "-U", engine.name, engine.name], SLACK_S, cpus=self.cpus,
                   env={"PGSSLMODE": "disable", "PGGSSENCMODE": "disable"})


def iperf_work(out):
    answer = json.loads(out)
    if "error" in answer:
        raise Failed(f"iperf3: {answer['error']}")
    received = answer["end"]["sum_received"]
    if not received["bytes"]:
        raise Failed("iperf3: nothing was received")
    return Work(received["bytes"] / GIB, {"throughput": received["bits_per_second"] / 1e9})
