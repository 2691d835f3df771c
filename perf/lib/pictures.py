"""One picture for each family of figures, made from the results."""

import os

from .report import number
from .results import replace
from .svg import Bar, Panel, picture

SMALL = ("redis-get", "pgbench", "connect")
REQUESTS = ("redis-get", "pgbench")

FAMILIES = (
    # file, title, how to read it, cases by the start of their name, metrics, panels side by side
    ("throughput.svg", "Throughput, small requests and short connections", "longer is better", SMALL, ("throughput",), 3),
    ("latency.svg", "Latency as the clients see it, median and 99th percentile", "shorter is better", REQUESTS,
     ("latency_p50", "latency_p99"), 2),
    ("cpu.svg", "CPU time of the proxy for each request, or for each connection", "shorter is better", SMALL, ("proxy_cpu",), 3),
    ("bulk.svg", "Bulk: throughput, and CPU time of the proxy for each GiB",
     "throughput: longer is better; CPU: shorter is better", ("bulk",), ("throughput", "proxy_cpu"), 2),
    ("memory.svg", "Memory in user space with thousands of idle connections", "shorter is better", ("idle",),
     ("memory_per_connection", "memory_total"), 2),
)
SHORT = {"latency_p50": "p50", "latency_p99": "p99", "proxy_cpu": "proxy CPU", "throughput": "",
         "memory_per_connection": "each connection", "memory_total": "in all"}


def write_pictures(directory, results, header):
    """Writes those that have something to show, removes those that have not, and tells which were written."""
    written = []
    for name, title, reading, starts, metrics, columns in FAMILIES:
        path = os.path.join(directory, name)
        chosen = [case for case in results.cases if case.name.startswith(starts)]
        panels = [panel(results, case, metric) for case in chosen for metric in metrics]
        drawn = picture(title, f"{reading}; {legend(header)}", panels, columns)
        if drawn:
            replace(path, drawn)
            written.append(path)
        elif os.path.exists(path):
            os.unlink(path)
    return written


def legend(header):
    machine = header["machine"]
    return f"bar: median, whisker: lowest to highest of the rounds; {machine['cpus']} CPUs, " \
           f"Linux {machine['kernel'].partition('-')[0]}, {header['date'][:10]}, {header['commit']}"


def panel(results, case, metric):
    bars = []
    for subject, cell in results.cells[case.name].items():
        summary = results.summary(case.name, subject, metric)
        if summary:
            bars.append(Bar(subject, summary.median, summary.min, summary.max, number(summary.median)))
        elif cell.failure:
            bars.append(Bar(subject, None, None, None, "failed"))
    short = SHORT[metric]
    title = case.title.split(", among")[0].partition(", 500 requests/s")[0]
    return Panel(f"{title}{', ' + short if short else ''}", case.units[metric], tuple(bars))
