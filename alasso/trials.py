"""What searches found, and what runs with it kept, from records. Nothing here trains."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from alasso.evidence import forgotten, kept, learned, most_kept, recorded
from alasso.experiments import experiment
from alasso.presets import METHODS
from alasso.report import changed, head, percent
from alasso.results import Run
from alasso.search import FIRST_ROUND, TRIED, candidates
from alasso.targets import TARGETS


def table(target: str, folder: Path | None = None) -> str:
    """Markdown: what each setting of a search kept, learned and forgot, on held-out images; the best in bold."""
    chosen = TARGETS[target]
    made = chosen.experiments()
    tasks = made[0].protocol.tasks
    rows = head(f"{METHODS[chosen.methods[0]].label} | kept of {tasks} tasks, % | learned, % | forgetting, points")
    trials = [recorded(tried, folder) for tried in made]
    best = most_kept(trials)
    for settings, runs in zip(chosen.variations, trials, strict=True):
        name = ", ".join(f"{key} = {value}" for key, value in _tried(settings).items())
        share, *others = [percent(of(runs)) for of in (kept, learned, forgotten) if runs] or ["not run yet", "", ""]
        rows.append(f"| {name} | {f'**{share}**' if runs and runs == best else share} | {' | '.join(others)} |")
    return "\n".join(rows)


def found(target: str, folder: Path | None = None) -> dict[str, str] | None:
    """The settings that did best in a search; None while a trial of it is missing."""
    chosen = TARGETS[target]
    trials = [recorded(tried, folder) for tried in chosen.experiments()]
    if not all(trials):
        return None
    _, best = max(zip(trials, chosen.variations, strict=True), key=lambda trial: np.mean(kept(trial[0])))
    return _tried(best)


def searched(preset: str, folder: Path | None = None) -> dict[str, list[Run]]:
    """By method, the runs at a preset with what the search on permuted MNIST found, where there are any."""
    best = {name: found(f"search-pmnist30-{name}", folder) for name in TRIED}
    runs = {name: recorded(experiment(preset, name, changes), folder) for name, changes in best.items() if changes}
    return {name: mine for name, mine in runs.items() if mine}


def outdone(preset: str, folder: Path | None = None) -> list[str]:
    """Sentences: which methods keep more at a preset with another setting than with what their search found."""
    cut = " and ".join(f"{value} {name}" for name, value in FIRST_ROUND["pmnist30"].items() if value.isdigit())
    said = []
    for name, mine in searched(preset, folder).items():
        best = best_of(preset, name, folder)
        if np.mean(kept(best)) > np.mean(kept(mine)):
            old, new = mine[0].hyperparameters, best[0].hyperparameters
            sides = [
                f"{percent(kept(runs))} % with {', '.join(changed(own, other))}"
                for runs, own, other in ((mine, old, new), (best, new, old))
            ]
            said.append(f"{METHODS[name].label} keeps {sides[0]}, chosen at {cut}, and {sides[1]}.")
    return said


def best_of(preset: str, method: str, folder: Path | None = None) -> list[Run]:
    """The runs of a method at a preset that keep most, of its `candidates`."""
    return most_kept(recorded(experiment(preset, method, changes), folder) for changes in candidates(method))


def _tried(settings: Mapping[str, str]) -> dict[str, str]:
    """Without those that make a trial cheap."""
    cuts = {name for cut in FIRST_ROUND.values() for name in cut}
    return {name: value for name, value in settings.items() if name not in cuts}
