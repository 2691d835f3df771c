"""What can be typed, checked before anything is started."""

import argparse
import os

from .cases import all_cases, chosen
from .pierhead import Pierhead, variant
from .subjects import Direct, DockerProxy, HAProxy, Nginx, PgBouncer

DESCRIPTION = """\
Compares Pierhead with HAProxy, nginx, PgBouncer, docker-proxy and no proxy at all, in one interleaved run, on loopback
and containers of its own. Installs from the distribution what is missing, starts everything, stops everything.
Must be root. Results: a table on stdout, and perf/results/latest.{md,json,meta.json} with pictures; a run that does
not measure everything writes to perf/results/partial/ instead."""

EXAMPLES = """\
examples:
  perf/run                                   everything, under fifteen minutes (a release build comes on top)
  perf/run --quick                           the main cases, under two minutes
  perf/run --case redis-get --rounds 9       the cases whose names hold "redis-get", more rounds
  perf/run --case 'bulk-*' --subject haproxy --subject pierhead
  perf/run --compare-pgbench                 direct, HAProxy and Pierhead at 1, 10 and 50 clients
  perf/run --case redis-get-c50 --variant nospin:spin_us=0 --variant old:binary=/tmp/pierhead-old
  perf/run --threads 1 --proxy-cpus 1 --load-cpus 0     the proxy alone on one CPU
  perf/run --list                            cases and subjects, and which of them --quick takes, or only --case"""

COMPARE_PGBENCH = {"case": ["pgbench-c1", "pgbench-c10", "pgbench-c50"], "subject": ["direct", "haproxy", "pierhead"]}


def parse(argv=None):
    options = parser().parse_args(argv)
    if options.compare_pgbench:
        if options.case or options.subject:
            parser().error("--compare-pgbench chooses cases and subjects itself")
        options.case, options.subject = COMPARE_PGBENCH["case"], COMPARE_PGBENCH["subject"]
    settle_cpus(options)
    options.cases = cases_of(options)
    return options


def parser():
    made = argparse.ArgumentParser(prog="perf/run", description=DESCRIPTION, epilog=EXAMPLES,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    what = made.add_argument_group("what is measured")
    what.add_argument("--quick", action="store_true", help="the main cases and subjects, two short rounds")
    what.add_argument("--case", action="append", metavar="PATTERN",
                      help="only these cases; may be repeated, * and ? as in a shell")
    what.add_argument("--subject", action="append", metavar="NAME", choices=[*SUBJECTS, "pierhead"],
                      help="only these; may be repeated")
    what.add_argument("--compare-pgbench", action="store_true", help="direct, HAProxy and Pierhead at 1, 10 and 50 clients")
    what.add_argument("--variant", action="append", metavar="NAME:KEY=VALUE,...", default=[],
                      help="another Pierhead in the same run, with other [core] settings or another binary=PATH")
    what.add_argument("--list", action="store_true", help="list cases and subjects, and end")
    how = made.add_argument_group("how")
    how.add_argument("--rounds", type=positive, metavar="N", help="rounds of each case")
    how.add_argument("--seconds", type=seconds, metavar="S", help="length of a round")
    how.add_argument("--threads", type=positive, metavar="N", help="threads of every proxy [all CPUs]")
    how.add_argument("--proxy-cpus", type=cpus, metavar="LIST", help="CPUs of the proxies, such as 0,2-3 [the first N]")
    how.add_argument("--load-cpus", type=cpus, metavar="LIST", help="CPUs of clients and engines [not pinned]")
    how.add_argument("--no-pin", dest="pin", action="store_false",
                     help="leave it to the kernel on which CPU a proxy's thread runs")
    how.add_argument("--binary", metavar="PATH", help="this pierhead; else `cargo build --release` is run")
    out = made.add_argument_group("results")
    out.add_argument("--out", metavar="DIR", help="where to write them")
    out.add_argument("--json", action="store_true", help="print the list of latest.json instead of the table")
    return made


SUBJECTS = {"direct": Direct, "haproxy": HAProxy, "nginx": Nginx, "pgbouncer": PgBouncer, "docker-proxy": DockerProxy}


def cases_of(options):
    every = all_cases(options.quick)
    cases = chosen(every, options.case)
    if not cases:
        parser().error(f"no case matches {' '.join(options.case)}; there are: {' '.join(case.name for case in every)}")
    if options.quick:
        # A case that was asked for by its name is measured, however long it takes.
        cases = [case for case in cases if case.quick or options.case]
    if not options.case:
        cases = [case for case in cases if not case.only_named]
    for case in cases:
        if options.quick:
            case.rounds, case.seconds = min(case.rounds, 1 if case.name == "idle" else 2), min(case.seconds, 1) / 2
        case.rounds = options.rounds or case.rounds
        case.seconds = options.seconds or case.seconds
    return cases


def subjects_of(options, binary):
    """In the order in which they take their turns."""
    wanted = options.subject or [*SUBJECTS, "pierhead"]
    if options.quick and not options.subject:
        wanted = ["direct", "haproxy", "nginx", "pierhead"]
    subjects = [kind() for name, kind in SUBJECTS.items() if name in wanted]
    if "pierhead" in wanted:
        subjects.append(Pierhead(binary))
    subjects += [variant(text, binary) for text in options.variant]
    needed = [subject for subject in subjects if any(case.takes(subject.name) for case in options.cases)]
    return needed


def needs_binary(options):
    builds = [text for text in options.variant if "binary=" not in text]
    return bool(builds) or not options.subject or "pierhead" in options.subject


def is_complete(options):
    """Whether everything is measured that belongs to a published table."""
    return not (options.case or options.subject or options.variant)


def settle_cpus(options):
    available = sorted(os.sched_getaffinity(0))
    threads = options.threads or len(options.proxy_cpus or available)
    options.proxy_cpus = options.proxy_cpus or available[:threads]
    for text in (options.proxy_cpus, options.load_cpus or []):
        if not set(text) <= set(available):
            parser().error(f"this process may run on the CPUs {available}, and on no others")
    if threads > len(options.proxy_cpus):
        parser().error(f"{threads} threads on {len(options.proxy_cpus)} CPUs: each thread has its own")
    options.threads, options.proxy_cpus = threads, options.proxy_cpus[:threads]


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def seconds(text):
    number = float(text)
    if not 0.2 <= number <= 60:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.2 and 60")
    return number


def cpus(text):
    found = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return sorted(set(found))
