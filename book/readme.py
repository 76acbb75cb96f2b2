"""Write the README's figure and tables from the committed results: `make readme`. A test compares them."""

import hashlib
import json
import sys
from pathlib import Path

from alasso import claims, evidence, front_page, plots, report
from alasso.presets import METHODS, PRESETS
from alasso.results import Run
from alasso.search import tuned

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
FIGURE = ROOT / "book" / "_static" / "average-accuracy.svg"
SHOWN = {  # the book has all methods
    "pmnist30": (
        ("none", "si", "ewc", "mas", "alasso-published", "alasso-paper"),
        "The paper's own experiment, at its size, with the literature's settings: ALASSO's a was determined on "
        "permuted MNIST, by its authors, the others' settings come from shorter streams or other networks. With c = 1 "
        "SI comes nearer: see the next table.",
    ),
    "split-cifar": (
        ("none", "si", "alasso-published", "single"),
        "SI's and ALASSO's c and ξ are from ten trials each on a stream of held-out images, and a second round "
        "that was added after a look at a reported run.",
    ),
    "pmnist-demo": (
        ("none", "si", "ewc", "mas", "alasso-published", "alasso-paper"),
        "What `make book` trains. The settings are the literature's for the full data set, not tuned for this one.",
    ),
}
BEGIN, END = "<!-- results: made by `make readme` -->", "<!-- end of results -->"


def committed(preset: str) -> list[Run]:
    """Every committed run of the preset under its methods' settings: no seed is left out."""
    return [run for method in SHOWN[preset][0] for run in evidence.recorded(tuned(preset, method))]


def table(preset: str, runs: list[Run]) -> str:
    """Markdown: what is kept at the end, and what was lost on the way."""
    methods, note = SHOWN[preset]
    groups = {method: mine for method in methods if (mine := [run for run in runs if run.method == method])}
    tasks = PRESETS[preset].protocol.tasks
    lines = report.head(
        f"`{preset}`, {tasks} tasks | average accuracy at the end | forgetting | seeds | command for one seed"
    )
    for method, mine in groups.items():
        lost = report.percent(evidence.forgotten(mine))
        lines.append(
            f"| {METHODS[method].label} | {report.percent(evidence.kept(mine))} % | {lost} | {len(mine)} "
            f"| `{mine[0].again}` |"
        )
    torch = sorted({run.versions["torch"] for run in runs})
    said = [report.leader(evidence.of_preset(preset)), note]  # the leader of all that ran, not of those shown
    lines += ["", " ".join(filter(None, said))]
    precisions = {
        precision: [METHODS[m].label for m, mine in groups.items() if precision in {run.precision for run in mine}]
        for precision in sorted({run.precision for run in runs})
    }
    made = [name + f" ({'; '.join(of)})" * (len(precisions) > 1) for name, of in precisions.items()]
    several = "Mean ± sample standard deviation over seeds; " * any(len(mine) > 1 for mine in groups.values())
    lines.append(
        f"{several or 'One seed each; '}commit {report.commits(runs)}, PyTorch {', '.join(torch)}, "
        f"matrix products in {', '.join(made)}."
    )
    return "\n".join(lines)


def tables() -> str:
    """All of them."""
    first, *others = (table(preset, committed(preset)) for preset in SHOWN)
    title = "The thirty permuted tasks again, with other weights of the past (comparable between SI and ALASSO only):"
    weights = f"{title}\n\n{front_page.table()}"
    return "\n\n".join([claims.overview(), first, weights, *others])


def updated(readme: str, block: str) -> str:
    """The README with the block between its two marks."""
    head, rest = readme.split(BEGIN)
    return f"{head}{BEGIN}\n{block}\n{END}{rest.split(END)[1]}"


def digest() -> str:
    """Of what the figure shows; it is in the file, as what fonts make of a figure cannot be compared."""
    groups, broken = front_page.curves()
    shown = [broken, [[name, [[run.seed, run.accuracy] for run in mine]] for name, mine in groups.items()]]
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()


def draw() -> None:
    plots.use_style()
    front_page.figure().savefig(FIGURE, metadata={"Date": None, "Description": digest()}, facecolor="white")


if __name__ == "__main__":
    for preset in SHOWN:
        if not committed(preset):
            sys.exit(f"results/{preset} is empty: run the experiments first")
    README.write_text(updated(README.read_text(encoding="utf-8"), tables()), encoding="utf-8")
    draw()
