"""The run: every subject started once, then each case in rounds A B C A B C, so that a machine that grows slower
does so for all."""

import contextlib
import sys
import time

from . import system
from .idle import Idle
from .measure import Span, spliced
from .process import Failed, cpu_s
from .results import Results
from .subjects import Instance

QUIET_S = 0.2  # how long the machine is watched before each case
BUSY_SHARE_MAX = 0.10  # more of it used by others spoils the figures
IDLE_CPU_SHARE_MAX = 0.02  # of one CPU: what a subject may use while another is measured


class Runner:
    def __init__(self, stack, workdir, engines, subjects, cases, settings):
        self.workdir, self.engines, self.subjects, self.cases, self.settings = workdir, engines, subjects, cases, settings
        self.results = Results(cases, [subject.name for subject in subjects])
        self.busy = {}  # case -> share of the machine that others used
        self.warnings = []
        self.instances = {}
        needed = {case.protocol for case in cases if not isinstance(case.load, Idle)}
        for subject in subjects:
            self.instances[subject.name] = self.launch(stack, subject, {p: e for p, e in engines.items() if p in needed})
        self.progress = Progress(sum(case.seconds_estimated(list(self.results.cells[case.name])) for case in cases))

    def launch(self, stack, subject, engines):
        """A subject that cannot start fails in its cases, and the others go on."""
        engines = {protocol: engine for protocol, engine in engines.items() if protocol in subject.protocols}
        try:
            return subject.launch(stack, self.workdir, engines, self.settings)
        except Failed as error:
            return Instance(subject.name, {}, problems={protocol: str(error) for protocol in subject.protocols})

    def run(self):
        for case in self.cases:
            case.load.cpus = self.settings.load_cpus
            self.busy[case.name] = system.busy_share(QUIET_S)
            if isinstance(case.load, Idle):
                self.rounds(case, self.fresh)
            else:
                plans = self.warm_up(case)
                self.rounds(case, lambda case, subject: self.once(case, subject, plans))
            self.progress.case_done(case.seconds_estimated(list(self.results.cells[case.name])))
        self.progress.done()
        if max(self.busy.values()) > BUSY_SHARE_MAX:
            noisy = ", ".join(f"{name} {share:.0%}" for name, share in self.busy.items() if share > BUSY_SHARE_MAX)
            self.warnings.append(f"the machine was busy with something else before: {noisy}; do not trust these figures")
        return self.results

    def warm_up(self, case):
        """One short round each, which also tells how much work makes a round as long as it should be."""
        plans = {}
        for name in self.results.cells[case.name]:
            self.progress.show(f"{case.name} warm-up {name}")
            with self.failures_noted(case, name):
                engine = self.engines[case.protocol]
                plans[name] = case.load.warm_up(engine, self.instances[name].address(case.protocol))
        return plans

    def rounds(self, case, measure):
        for number in range(case.rounds):
            for subject in self.subjects:
                cell = self.results.cell(case.name, subject.name)
                if cell is None or cell.failure:
                    continue
                with self.failures_noted(case, subject.name, f" (round {number + 1})"):
                    metrics = measure(case, subject)
                    cell.add(metrics)
                    round_text = f"round {number + 1}/{case.rounds}"
                    self.progress.show(f"{case.name} {round_text} {subject.name}: {brief(case, metrics)}")

    def once(self, case, subject, plans):
        instance = self.instances[subject.name]
        others = self.cpu_of_others(subject.name)
        lanes = instance.lanes() if instance.lanes and case.work == "GiB" else None
        with Span(instance) as span:
            engine, address = self.engines[case.protocol], instance.address(case.protocol)
            work = case.load.measure(engine, address, plans[subject.name], case.seconds)
        for name, used_s in self.cpu_of_others(subject.name).items():
            share = (used_s - others.get(name, used_s)) / span.seconds
            if share > IDLE_CPU_SHARE_MAX:
                self.warn(f"{name} used {share:.0%} of a CPU while {subject.name} was measured in {case.name}")
        return {**work.metrics, **span.cpu_per(work.units, case.cpu_scale), **(spliced(instance, lanes) if lanes else {})}

    def fresh(self, case, subject):
        engine = self.engines[case.protocol]
        return case.load.measure_fresh(lambda stack: self.launch(stack, subject, {case.protocol: engine}), engine, case.seconds)

    def cpu_of_others(self, measured):
        """A process that has ended used no more; its own rows will say so."""
        used = {}
        for name, instance in self.instances.items():
            if name != measured:
                with contextlib.suppress(Failed):
                    used[name] = sum(cpu_s(pid) for pid in instance.pids())
        return used

    def failures_noted(self, case, subject, where=""):
        cell = self.results.cell(case.name, subject)
        return Noted(cell, where, lambda reason: self.progress.line(f"{case.name} {subject}: failed: {reason}"))

    def warn(self, text):
        self.progress.line(f"warning: {text}")
        self.warnings.append(text)


class Noted:
    """A failure becomes the row's reason, and does not end the run."""

    def __init__(self, cell, where, tell):
        self.cell, self.where, self.tell = cell, where, tell

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind and issubclass(kind, Failed):
            self.cell.failure = " ".join(str(error).split()) + self.where
            self.tell(self.cell.failure)
            return True
        return False


def brief(case, metrics):
    if "throughput" in metrics:
        return f"{metrics['throughput']:,.5g} {case.unit}"
    return f"{metrics['memory_per_connection']:.2f} KiB/connection" if "memory_per_connection" in metrics else "done"


class Progress:
    """Where the run is and how long it will take: a bar on a terminal, lines elsewhere."""

    WIDTH = 24

    def __init__(self, estimated_s):
        self.estimated_s, self.started = estimated_s, time.monotonic()
        self.planned_done_s = self.elapsed_at_case_s = 0.0
        self.is_terminal = sys.stderr.isatty()

    def case_done(self, planned_s):
        self.planned_done_s += planned_s
        self.elapsed_at_case_s = time.monotonic() - self.started

    def left_s(self):
        """What is left of the plan, stretched by what the finished cases have really taken."""
        stretch = self.elapsed_at_case_s / self.planned_done_s if self.planned_done_s else 1.0
        since_case_s = time.monotonic() - self.started - self.elapsed_at_case_s
        return max(0.0, (self.estimated_s - self.planned_done_s) * stretch - since_case_s)

    def show(self, text):
        left_s, elapsed_s = self.left_s(), time.monotonic() - self.started
        share = elapsed_s / max(elapsed_s + left_s, 1)
        clock = f"{int(left_s) // 60}:{int(left_s) % 60:02} left"
        if not self.is_terminal:
            system.say(f"[{share:4.0%}, {clock}] {text}")
            return
        bar = ("#" * round(share * self.WIDTH)).ljust(self.WIDTH, ".")
        sys.stderr.write(f"\r\x1b[K[{bar}] {share:4.0%} {clock}  {text[:90]}")
        sys.stderr.flush()

    def line(self, text):
        if self.is_terminal:
            sys.stderr.write("\r\x1b[K")
        system.say(text)

    def done(self):
        self.line(f"measured in {time.monotonic() - self.started:.0f} s")
