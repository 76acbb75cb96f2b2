"""What papers report, held against the records: a number of theirs, ours with every seed, and a verdict by one rule.

They lie in a JSON file, an entry each with the fields of Number. Nothing here trains.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from alasso import evidence, report, results
from alasso.experiments import Experiment
from alasso.presets import PRESETS, SCALES
from alasso.results import Run
from alasso.search import counted, tuned

CLOSE, ROUGH = 0.01, 0.03
"""How far from a number, and from one that its paper calls "about", still counts as the same."""

SCATTER = {"permuted": 0.03, "split": 0.042}
"""How far a difference of two settings scatters over seeds, by the kind of stream.

The root mean square of its standard deviation, over all pairs of settings that have three seeds on `pmnist-demo` and on
`split-cifar`.
"""


def chance(error: float, seeds: int, preset: str) -> float:
    """How far a mean over seeds may be off by chance: twice its standard error, or what SCATTER makes of it if larger.

    A few seeds may lie close together by luck. Of a single one there is no standard error: `error` is then 0.
    """
    kind = "split" if PRESETS[preset].protocol.classes_per_task else "permuted"
    return 2 * max(error, SCATTER[kind] / seeds**0.5)


def limits(each: Iterable[list[float]], preset: str) -> tuple[float, float]:
    """How low and how high the smallest of some means may be by `chance`; each has its values seed by seed."""
    found = [(np.mean(values), chance(evidence.standard_error(values), len(values), preset)) for values in each]
    return float(min(mean - off for mean, off in found)), float(min(mean + off for mean, off in found))


def settled(usual: list[Run], changed: list[Run]) -> bool:
    """Whether the seeds that both have settle which of two settings keeps more: by more than `chance`."""
    found = evidence.differences(usual, changed)
    if not found:
        return False
    low, high = limits([found], usual[0].preset)
    return not low <= 0 <= high


@dataclass(frozen=True)
class Number:
    """One number of a paper: an average accuracy at the end, or by how much it is above that of other methods."""

    source: str
    """Table, figure or section that has the number."""
    what: str
    paper: float
    """A share in [0, 1], or a difference of two."""
    preset: str
    method: str
    settings: Mapping[str, str] = field(default_factory=dict)
    against: tuple[str, ...] = ()
    """Methods of which the best is subtracted; none: the accuracy itself."""
    about: bool = False
    """The paper says "about"."""
    at_least: bool = False
    """The paper says "at least": more agrees too."""

    def experiment(self, preset: str) -> Experiment:
        """Whose accuracy it is."""
        return tuned(preset, self.method, self.settings)

    def rivals(self, preset: str) -> dict[str, list[Experiment]]:
        """What it is held against, by method: one for each setting that counts.

        That which its search settled on, or all that were tried.
        """
        return {name: [tuned(preset, name, one) for one in counted(preset, name)] for name in self.against}


@dataclass(frozen=True)
class Outcome:
    """What the records say of a number at one preset."""

    ours: float
    deviation: float
    """Standard deviation over seeds; of a difference, over the seeds that both sides have."""
    limits: tuple[float, float]
    """How low and how high it may be by chance; a difference, against whichever rival."""
    seeds: int
    """How many count; of a difference, those that both sides have."""
    runs: list[Run]
    """All seeds of the number's own method."""
    rival: list[Run]
    """All seeds of the method and setting over which it leads least, of those it is held against; none: an accuracy."""
    missing: tuple[str, ...] = ()
    """Rivals that have not run with a seed of the number's method, which can only lower `ours`."""

    def verdict(self, number: Number) -> str:
        """`agrees` within CLOSE (ROUGH for "about"), `open` if it may be so by chance, else `higher` or `lower`.

        `open` also while a rival is missing, which could only lower `ours`, unless it is `lower` already.
        """
        low, ours, high = (value - number.paper for value in (self.limits[0], self.ours, self.limits[1]))
        if number.at_least:
            low, ours, high = (min(value, 0.0) for value in (low, ours, high))
        margin = ROUGH if number.about else CLOSE
        if self.missing:
            return "lower" if high < -margin else "open"
        if high < -margin or low > margin:
            return "lower" if high < -margin else "higher"
        return "agrees" if abs(ours) <= margin else "open"


def load() -> list[Number]:
    """What the paper and its rivals' authors state, in the order of `book/paper_numbers.json`."""
    path = results.project() / "book" / "paper_numbers.json"
    return [Number(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def table_1(preset: str) -> dict[str, float]:
    """Accuracy at the end in the paper's Table 1, by a as it is typed."""
    return {one.settings["a"]: one.paper for one in load() if one.source == "Table 1" and one.preset == preset}


def outcome(number: Number, preset: str, folder: Path | None = None) -> Outcome | None:
    """What the records say of a number at one preset.

    None without a run of its method, or without a seed that it shares with one of those that it is above.
    """
    runs = evidence.recorded(number.experiment(preset), folder)
    leads, missing = evidence.leads(runs, number.rivals(preset), folder)
    if not (leads if number.against else runs):
        return None
    each = [found for _, found in leads] if number.against else [evidence.kept(runs)]
    values = each[0]
    return Outcome(
        ours=float(np.mean(values)),
        deviation=float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
        limits=limits(each, preset),
        seeds=len(values),
        runs=runs,
        rival=leads[0][0] if leads else [],
        missing=missing,
    )


def scales(number: Number) -> list[str]:
    """The number's own preset, and the one with fewer epochs."""
    return [number.preset, SCALES["short"][number.preset]]


def table(numbers: list[Number], folder: Path | None = None) -> str:
    """Markdown: a row for each number and preset that has its runs; below, those that have none, and their cost."""
    rows, missing = [], {}
    for number in numbers:
        found = {preset: result for preset in scales(number) if (result := outcome(number, preset, folder))}
        paper = "about " * number.about + "≥\u00a0" * number.at_least + f"{100 * number.paper:.1f}"
        for preset, result in found.items():
            ours = "at most " * bool(result.missing) + f"{100 * result.ours:.1f}"
            ours += f" ± {100 * result.deviation:.1f}" if result.deviation else ""
            verdict, epochs = result.verdict(number), ""
            if preset != number.preset:
                verdict, epochs = f"({verdict})", f", with {PRESETS[preset].protocol.epochs} epochs"
            cells = [paper, ours, verdict, f"{100 * (result.ours - number.paper):+z.1f}", seed_by_seed(result)]
            rows.append(f"| {number.what}{epochs} ({number.source}) | {' | '.join(cells)} |")
        if not found:
            missing.setdefault(number.preset, []).append(f"{number.what} ({number.source}: {paper})")
    if rows:
        rows = [*report.head("number | paper | ours | verdict | difference | seed by seed"), *rows, ""]
    for preset, unseen in missing.items():
        rows.append(f"- Not run yet: {'; '.join(unseen)}. A run of `{preset}` takes {PRESETS[preset].cost}.")
    return "\n".join(rows)


def commands(numbers: list[Number], folder: Path | None = None) -> str:
    """Markdown: of each row of the table, the commands for the first seed of the number's method and of its rival."""
    lines = []
    for number in numbers:
        found = [result for preset in scales(number) if (result := outcome(number, preset, folder))]
        made = [" against ".join(f"`{runs[0].again}`" for runs in (one.runs, one.rival) if runs) for one in found]
        for command in made or [f"`{number.experiment(number.preset).command(0)}`"]:
            lines.append(f"- {number.what}: {command}")
    return "\n".join(lines)


def seed_by_seed(result: Outcome) -> str:
    """Every seed behind an outcome, in percent; of a difference, the other side with its name, and who is missing."""
    if not result.rival:
        return report.each(result.runs)
    missing = f"; no seed in common: {'; '.join(result.missing)}" if result.missing else ""
    return f"{report.each(result.runs)}; {report.name(result.rival[0])} {report.each(result.rival)}{missing}"


def summary(numbers: list[Number], folder: Path | None = None) -> str:
    """A sentence that counts the verdicts at the papers' own size."""
    judged = [
        (result, result.verdict(number)) for number in numbers if (result := outcome(number, number.preset, folder))
    ]
    verdicts = [verdict for _, verdict in judged]
    single = sum(result.seeds == 1 for result, _ in judged)
    counted = ", ".join(f"{name} {verdicts.count(name)}" for name in ("agrees", "higher", "lower", "open"))
    return (
        f"Of {len(numbers)} numbers {len(judged)} have runs at the papers' own size: {counted}. On one seed: {single}."
    )
