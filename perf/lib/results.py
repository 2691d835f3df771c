"""Rounds become medians with their spread. A subject that failed in a case keeps its row, with the reason."""

import json
import os
import statistics
from dataclasses import dataclass, field


@dataclass
class Cell:
    """One subject in one case: metric -> one value for each round."""

    samples: dict = field(default_factory=dict)
    failure: str = None

    def add(self, metrics):
        for metric, value in metrics.items():
            self.samples.setdefault(metric, []).append(value)


@dataclass(frozen=True)
class Summary:
    median: float
    min: float
    max: float
    rounds: int


class Results:
    """Every cell of a run, by case and subject, in the order in which they were measured."""

    def __init__(self, cases, subjects):
        self.cases = cases
        self.cells = {case.name: {name: Cell() for name in subjects if case.takes(name)} for case in cases}

    def cell(self, case, subject):
        return self.cells.get(case, {}).get(subject)

    def summary(self, case, subject, metric):
        """Nothing if it was not measured, or if the subject failed: half a result is none."""
        cell = self.cell(case, subject)
        if cell is None or cell.failure or metric not in cell.samples:
            return None
        values = cell.samples[metric]
        return Summary(statistics.median(values), min(values), max(values), len(values))

    def median(self, case, subject, metric):
        found = self.summary(case, subject, metric)
        return None if found is None else found.median

    def rows(self):
        """One object for each case, subject and metric."""
        rows = []
        for case in self.cases:
            for subject, cell in self.cells[case.name].items():
                head = {"case": case.name, "subject": subject}
                if cell.failure:
                    rows.append({**head, "metric": "failed", "unit": "", "median": None, "min": None, "max": None, "rounds": 0,
                                 "reason": cell.failure})
                    continue
                for metric in cell.samples:
                    found = self.summary(case.name, subject, metric)
                    rows.append({**head, "metric": metric, "unit": case.units[metric], "median": short(found.median),
                                 "min": short(found.min), "max": short(found.max), "rounds": found.rounds})
        return rows

    def failed(self, subjects):
        """Whether one of these has a row without figures."""
        return any(cell.failure for row in self.cells.values() for name, cell in row.items() if name in subjects)


def short(value):
    """Six digits: more would pretend to a precision that is not there."""
    return float(f"{value:.6g}")


def write_json(path, rows):
    """A list with one object a line, so that two runs can be compared with diff."""
    replace(path, "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def replace(path, text):
    """All of the file or none of it, whatever interrupts."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".part", path)
