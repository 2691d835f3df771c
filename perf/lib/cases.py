"""What is measured: one line for each case."""

import fnmatch
from dataclasses import dataclass, field

from .idle import Idle
from .loads import Copy, Iperf, Load, Pgbench, Redis, Slap

PEERS = ("haproxy", "nginx")
BASE = ("direct", *PEERS, "pierhead")
# Userland proxy and pooler are there for comparison, not as targets, so they are in fewer cases.
WITH_DOCKER = (*BASE, "docker-proxy")
WITH_POOLER = (*BASE, "pgbouncer")
WITH_BOTH = (*BASE, "docker-proxy", "pgbouncer")

IDLE_CONNECTIONS = 9_000
IDLE_CONNECTIONS_QUICK = 2_000


@dataclass
class Case:
    """`unit` is the unit of throughput; `work` the unit of work that CPU time is divided by, `cpu_scale` of a second. A
    case that is `only_named` is measured when it is asked for; a run over everything has no time for it."""

    name: str
    title: str
    protocol: str
    unit: str
    work: str
    load: Load
    subjects: tuple
    rounds: int = 5
    seconds: float = 1.5
    quick: bool = False
    only_named: bool = False
    cpu_scale: float = 1e6
    overhead_s: float = 0.3
    units: dict = field(default_factory=dict)

    def __post_init__(self):
        cpu = f"s/{self.work}" if self.cpu_scale == 1 else f"us/{self.work}"
        self.units = {"throughput": self.unit, "latency_p50": "ms", "latency_p99": "ms", "proxy_cpu": cpu, "machine_cpu": cpu,
                      "memory_per_connection": "KiB", "memory_total": "MiB", "spliced": "%"}

    def takes(self, subject):
        """A variant of Pierhead is measured wherever Pierhead is."""
        return subject.partition(":")[0] in self.subjects

    def seconds_estimated(self, subjects):
        warm_ups = 0 if isinstance(self.load, Idle) else 0.6 * len(subjects)
        return warm_ups + self.rounds * len(subjects) * (self.seconds + self.overhead_s)


def redis(name, title, load, subjects=BASE, unit="req/s", work="req", **more):
    return Case(name, title, "redis", unit, work, load, subjects, **more)


def pgbench(name, title, load, subjects=BASE, unit="tx/s", work="tx", **more):
    return Case(name, title, "postgres", unit, work, load, subjects, seconds=2, **more)


def bulk(name, title, load, subjects=BASE, protocol="none", **more):
    return Case(name, title, protocol, "Gbit/s", "GiB", load, subjects, rounds=3, seconds=2, cpu_scale=1, **more)


def all_cases(quick):
    connections = IDLE_CONNECTIONS_QUICK if quick else IDLE_CONNECTIONS
    return [
        redis("redis-get-c1", "redis GET, 1 client", Redis(1), quick=True),
        redis("redis-get-c4", "redis GET, 4 clients", Redis(4)),
        redis("redis-get-c50", "redis GET, 50 clients", Redis(50), WITH_DOCKER, quick=True),
        redis("redis-get-c500", "redis GET, 500 clients", Redis(500)),
        redis("redis-get-c50-p16", "redis GET, 50 clients, pipelines of 16", Redis(50, pipeline=16)),
        pgbench("pgbench-c1", "pgbench -S, 1 client", Pgbench(1), WITH_POOLER, quick=True),
        pgbench("pgbench-c4", "pgbench -S, 4 clients", Pgbench(4)),
        pgbench("pgbench-c10", "pgbench -S, 10 clients", Pgbench(10), WITH_POOLER, quick=True),
        pgbench("pgbench-c50", "pgbench -S, 50 clients", Pgbench(50), WITH_BOTH, quick=True),
        pgbench("pgbench-c100", "pgbench -S, 100 clients", Pgbench(100)),
        bulk("bulk-to-s1", "iperf3, 1 stream to the container", Iperf(1), WITH_DOCKER, quick=True),
        bulk("bulk-to-s4", "iperf3, 4 streams to the container", Iperf(4)),
        bulk("bulk-from-s1", "iperf3 -R, 1 stream from the container", Iperf(1, reverse=True), quick=True),
        bulk("bulk-from-s4", "iperf3 -R, 4 streams from the container", Iperf(4, reverse=True)),
        bulk("copy-to", "COPY FROM STDIN, 256 MiB", Copy(), protocol="postgres", only_named=True),
        bulk("copy-from", "COPY TO STDOUT, 256 MiB", Copy(reverse=True), protocol="postgres",
             only_named=True),
        redis("idle", f"{connections:,} idle connections, {500} requests/s among them", Idle(connections), WITH_DOCKER,
              rounds=3, seconds=2, overhead_s=connections / 2_500 + 1, quick=True),
        redis("connect-redis", "connect-GET-close, redis, 50 clients", Redis(50, reconnect=True), WITH_DOCKER, "conn/s", "conn",
              quick=True),
        pgbench("connect-pgbench", "connect-SELECT-close, pgbench -C, 10 clients", Pgbench(10, reconnect=True), WITH_BOTH,
                "conn/s", "conn", quick=True),
        Case("connect-mysql", "connect-SELECT-close, mariadb-slap --detach=1, 10 clients", "mysql", "conn/s", "conn", Slap(10),
             BASE, seconds=2, only_named=True),
    ]


def chosen(cases, patterns):
    """Those that match one of the patterns: a whole name, a pattern with wildcards, or a part of a name."""
    if not patterns:
        return cases
    names = {case.name for case in cases}
    globs = [pattern if pattern in names or any(sign in pattern for sign in "*?[") else f"*{pattern}*" for pattern in patterns]
    return [case for case in cases if any(fnmatch.fnmatchcase(case.name, glob) for glob in globs)]
