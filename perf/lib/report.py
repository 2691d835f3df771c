"""The tables, in Markdown: what was measured, every row of it, and which targets are reached."""

from .targets import verdicts

COLUMNS = (
    ("throughput", "throughput"), ("latency_p50", "p50"), ("latency_p99", "p99"), ("proxy_cpu", "proxy CPU"),
    ("machine_cpu", "machine CPU"), ("memory_per_connection", "memory per connection"), ("memory_total", "memory in all"),
    ("spliced", "spliced"),
)


def report(results, header):
    parts = ["# Load bench", "", *heading(header), "", *targets_table(results), ""]
    for case in results.cases:
        parts += [*case_table(results, case), ""]
    return "\n".join(parts)


def heading(header):
    machine = header["machine"]
    lines = [
        f"{header['mode']} run, {header['date']}, commit {header['commit']}.",
        f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gib']} GiB, Linux {machine['kernel']}, "
        f"{machine['distribution']}, TCP {machine['congestion_control']}.",
        "", "Settings: " + "; ".join(f"{key} {value}" for key, value in header["settings"].items()) + ".", "",
    ]
    lines += [f"- **{name}**: {text}" for name, text in header["subjects"].items()]
    lines += ["", "Versions: " + "; ".join(f"{key}: {value}" for key, value in header["versions"].items()) + "."]
    if header["warnings"]:
        lines += ["", *(f"> **Warning**: {warning}" for warning in header["warnings"])]
    return lines


def targets_table(results):
    found = verdicts(results)
    if not found:
        return []
    reached = sum(verdict.text == "reached" for verdict in found)
    rows = [["target", "case", "compared with", "ratio", "wanted", "verdict"]]
    for verdict in found:
        ratio = "-" if verdict.ratio is None else f"{verdict.ratio:.2f}"
        rows.append([verdict.target.title, verdict.case, verdict.against or "-", ratio, verdict.bound_text, verdict.text])
    return [f"## Targets: {reached} of {len(found)} reached", "",
            "Pierhead : the better of HAProxy and nginx (or direct, where it says so), medians of this run.", "", *table(rows)]


def case_table(results, case):
    cells = results.cells[case.name]
    metrics = [(metric, title) for metric, title in COLUMNS if any(metric in cell.samples for cell in cells.values())]
    # A column at least, for the reasons, should all have failed.
    rows = [["subject", *(f"{title} ({case.units[metric]})" for metric, title in metrics or COLUMNS[:1])]]
    for subject, cell in cells.items():
        if cell.failure:
            rows.append([subject, f"failed: {cell.failure}".replace("|", "/"), *([""] * (len(metrics) - 1))])
        else:
            rows.append([subject, *(spread(results.summary(case.name, subject, metric)) for metric, _ in metrics)])
    return [f"## {case.name}: {case.title}", "", *table(rows)]


def spread(summary):
    """Median, and from where to where the rounds went."""
    if summary is None:
        return "-"
    if summary.rounds == 1:
        return number(summary.median)
    return f"{number(summary.median)} ({number(summary.min)} – {number(summary.max)})"


def number(value):
    """Three digits that count."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def table(rows):
    """Aligned, so that it can be read as plain text too."""
    # The reason of a failure is as long as it must be and makes no column wide.
    widths = [max(len(row[n]) for row in rows if not row[n].startswith("failed:")) for n in range(len(rows[0]))]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |" for row in rows]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
