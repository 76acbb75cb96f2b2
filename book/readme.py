"""Write the README's figure and table from the committed results: `make readme`. A test compares them."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from alasso import metrics, plots, results
from alasso.presets import METHODS, PRESETS, experiment
from alasso.results import Run

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
FIGURE = ROOT / "book" / "_static" / "average-accuracy.svg"
PRESET = "pmnist-demo"
SHOWN = ("none", "si", "ewc", "alasso-published", "alasso-paper")  # the book has all methods
BEGIN, END = "<!-- results: made by `make readme` -->", "<!-- end of results -->"


def committed() -> list[Run]:
    """Every committed run of the preset under its own settings: no seed is left out."""
    paths = [
        p for m in SHOWN for p in sorted((ROOT / "results" / PRESET).glob(experiment(PRESET, m).path("", "*").name))
    ]
    return [results.load(path) for path in paths]


def table(runs: list[Run]) -> str:
    """Markdown: what is kept at the end, and what was lost on the way."""
    protocol = PRESETS[PRESET].protocol
    lines = [
        f"| `{PRESET}`, {protocol.tasks} tasks | average accuracy at the end | forgetting | seeds | to make one again |"
    ]
    lines += ["|---|---|---|---|---|"]
    for method in SHOWN:
        mine = [run for run in runs if run.method == method]
        final = [100 * metrics.average_accuracy(run.matrix)[-1] for run in mine]
        lost = [100 * metrics.forgetting(run.matrix) for run in mine]
        lines.append(
            f"| {METHODS[method].label} | {np.mean(final):.1f} ± {np.std(final):.1f} % "
            f"| {np.mean(lost):.1f} ± {np.std(lost):.1f} | {len(mine)} | `{mine[0].command}` |"
        )
    best = max(SHOWN, key=lambda m: np.mean([metrics.average_accuracy(r.matrix)[-1] for r in runs if r.method == m]))
    note = "The settings are the literature's for the full data set, not tuned for this one."
    lines += ["", f"Best on this small stream: {METHODS[best].label}. {note}"]
    commits = sorted({run.commit[:7] + ("+" if run.dirty else "") for run in runs})
    torch = sorted({run.versions["torch"] for run in runs})
    lines += [f"Mean ± standard deviation over seeds; commit {', '.join(commits)}, PyTorch {', '.join(torch)}."]
    return "\n".join(lines)


def updated(readme: str, block: str) -> str:
    """The README with the block between its two marks."""
    head, rest = readme.split(BEGIN)
    return f"{head}{BEGIN}\n{block}\n{END}{rest.split(END)[1]}"


def draw(runs: list[Run]) -> None:
    plots.use_style()
    figure, ax = plt.subplots(figsize=(7.2, 3.6))
    plots.average_accuracy(ax, runs)
    figure.savefig(FIGURE, metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    found = committed()
    if not found:
        sys.exit(f"results/{PRESET} is empty: run the experiments first")
    README.write_text(updated(README.read_text(encoding="utf-8"), table(found)), encoding="utf-8")
    draw(found)
