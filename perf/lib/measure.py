"""CPU time and memory of one subject over one stretch of work."""

import time

from .process import cpu_s, memory_bytes
from .system import machine_cpu_s

LANES_SETTLE_S = 0.1


class Span:
    """`with Span(instance) as span:` fills `span.seconds`, `span.proxy_cpu_s` (nothing without a proxy) and
    `span.machine_cpu_s`. Time in soft interrupts is charged to whoever was running; the machine's figure has it all."""

    def __init__(self, instance):
        self.pids = instance.pids()
        self.seconds = self.machine_cpu_s = 0.0
        self.proxy_cpu_s = None

    def __enter__(self):
        self.start = self.now()
        return self

    def __exit__(self, kind, error, trace):
        if kind:
            return
        ended = self.now()
        self.seconds, self.machine_cpu_s, proxy_cpu_s = (end - start for end, start in zip(ended, self.start))
        self.proxy_cpu_s = proxy_cpu_s if self.pids else None

    def now(self):
        return time.monotonic(), machine_cpu_s(), sum(cpu_s(pid) for pid in self.pids)

    def cpu_per(self, units, scale):
        """The two CPU metrics, for each unit of work; `scale` makes microseconds or seconds of it."""
        metrics = {"machine_cpu": self.machine_cpu_s * scale / units}
        if self.proxy_cpu_s is not None:
            metrics["proxy_cpu"] = self.proxy_cpu_s * scale / units
        return metrics


def spliced(instance, before):
    """The share of the bytes that were spliced since `before`, in percent; for a subject that tells, after bulk."""
    # Bytes are counted at the end of a connection, which the subject may still be busy with.
    time.sleep(LANES_SETTLE_S)
    moved = {lane: count - before[lane] for lane, count in instance.lanes().items()}
    return {"spliced": 100 * moved["splice"] / max(1, sum(moved.values()))}


def memory_of(instance):
    return sum(memory_bytes(pid) for pid in instance.pids())


def percentile(values, share):
    """The value that `share` of all are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
