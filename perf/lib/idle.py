"""Thousands of idle connections with a trickle: the memory of each, and what a request costs among them.

The subject is a fresh one every time: memory that an earlier round took and gave back would not grow again.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass

from .engines import PASSWORD
from .loads import Load, Redis
from .measure import Span, memory_of, percentile
from .process import Failed, stop

RATE = 500  # requests a second, over all connections
SETTLE_S = 0.3


@dataclass
class Idle(Load):
    """Connections with a login each, then silence but for the trickle."""

    connections: int

    def measure_fresh(self, launch, engine, seconds):
        """`launch(stack)` starts a new instance of the subject."""
        with ExitStack() as stack:
            instance = launch(stack)
            address = instance.address(engine.protocol)
            # Buffers and pools that every proxy makes once are not the connections' share.
            warm_up = Redis(clients=50)
            warm_up.cpus = self.cpus
            warm_up.run(engine, address, 5_000)
            time.sleep(SETTLE_S)
            before = memory_of(instance)
            client = Conversation(stack, [sys.executable, os.path.join(os.path.dirname(__file__), "idle_client.py"),
                                          address[0], str(address[1]), engine.name, PASSWORD, str(self.connections)], self.cpus)
            client.ask("open")
            time.sleep(SETTLE_S)
            held = memory_of(instance)
            with Span(instance) as span:
                latencies_ms = client.ask(f"trickle {seconds} {RATE}")["latencies_ms"]
            # Memory is cheap for connections that were dropped: every single one must still answer.
            client.ask("check")
            client.ask("close")
        metrics = {"latency_p50": percentile(latencies_ms, 0.50), "latency_p99": percentile(latencies_ms, 0.99),
                   **span.cpu_per(len(latencies_ms), 1e6)}
        if instance.processes:
            metrics["memory_per_connection"] = (held - before) / self.connections / 1024
            metrics["memory_total"] = held / (1 << 20)
        return metrics


class Conversation:
    """The client's process: a line to it, a line of JSON from it."""

    def __init__(self, stack, argv, cpus):
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None)
        stack.callback(self.end)

    def ask(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline() or '{"error": "it ended"}')
        except OSError as error:
            answer = {"error": str(error)}
        if "error" in answer:
            raise Failed(f"idle client: {answer['error']}")
        return answer

    def end(self):
        stop(self.process)
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()
