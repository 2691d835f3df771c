"""What issue 3 asks for: Pierhead beside the better of HAProxy and nginx, in one run."""

from dataclasses import dataclass

from .cases import PEERS

REDIS_MANY = ("redis-get-c50", "redis-get-c500", "redis-get-c50-p16")
PGBENCH = ("pgbench-c1", "pgbench-c4", "pgbench-c10", "pgbench-c50", "pgbench-c100")
AT_50 = ("redis-get-c50", "pgbench-c50")
BULK = ("bulk-to-s1", "bulk-to-s4", "bulk-from-s1", "bulk-from-s4")
CONNECT = ("connect-redis", "connect-pgbench")


@dataclass(frozen=True)
class Target:
    """`bound` is a floor for what should be high and a ceiling for what should be low."""

    title: str
    cases: tuple
    metric: str
    bound: float
    more_is_better: bool = True
    against: tuple = PEERS


TARGETS = (
    Target("redis GET throughput, 1 and 4 clients", ("redis-get-c1", "redis-get-c4"), "throughput", 1.5),
    Target("throughput, 10 to 500 clients", (*REDIS_MANY, "pgbench-c10", "pgbench-c50", "pgbench-c100"), "throughput", 1.10),
    Target("proxy CPU per request, 50 clients", AT_50, "proxy_cpu", 0.85, more_is_better=False),
    Target("proxy CPU per GiB in bulk", BULK, "proxy_cpu", 0.65, more_is_better=False),
    Target("p99, 50 clients", AT_50, "latency_p99", 1.0, more_is_better=False),
    Target("connect-query-close rate", CONNECT, "throughput", 1.0),
    Target("memory per idle connection", ("idle",), "memory_per_connection", 0.5, more_is_better=False),
    Target("pgbench -S, Pierhead : direct", PGBENCH, "throughput", 0.80, against=("direct",)),
)


@dataclass(frozen=True)
class Verdict:
    target: Target
    case: str
    against: str  # the one that Pierhead is compared with: the best
    ratio: float  # none: one of the two was not measured
    text: str

    @property
    def bound_text(self):
        return f"{'≥' if self.target.more_is_better else '≤'} {self.target.bound:.2f}"


def verdicts(results, subject="pierhead"):
    """One for each target and case of this run."""
    measured = {case.name for case in results.cases if results.cell(case.name, subject)}
    return [judge(results, target, case, subject) for target in TARGETS for case in target.cases if case in measured]


def judge(results, target, case, subject):
    own = results.median(case, subject, target.metric)
    others = {name: results.median(case, name, target.metric) for name in target.against}
    others = {name: value for name, value in others.items() if value}
    if own is None or not others:
        return Verdict(target, case, "", None, "not measured")
    best = (max if target.more_is_better else min)(others, key=others.get)
    ratio = own / others[best]
    if (ratio >= target.bound) if target.more_is_better else (ratio <= target.bound):
        text = "reached"
    # "≥ 1.10, never below 1.0": between the two Pierhead is ahead, though not by as much as it should be.
    elif (ratio >= 1) if target.more_is_better else (ratio <= 1):
        text = "not reached"
    else:
        text = "not reached, behind"
    return Verdict(target, case, best, ratio, text)
