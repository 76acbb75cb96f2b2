"""What the front page says is what the records say."""

import json
import statistics

import pytest
from records import made_up, stretched

from alasso import evidence, front_page, report, results
from alasso.experiments import experiment
from alasso.presets import METHODS

RESULTS = results.folder()


def end(line) -> float:
    return line.get_ydata()[-1]


def test_what_is_kept_by_weight_has_every_run_and_the_best_method_first(tmp_path):
    def write(preset, method, share, settings=None):
        made = experiment(preset, method, settings)
        results.save(made_up(made, 0, stretched([[share, None], [share, share]], 30)), made.path(tmp_path, 0))

    write("pmnist30-short", "none", 0.9)
    write("pmnist30-short", "si", 0.7)
    write("pmnist30-short", "si", 0.5, {"c": "1", "damping": "0.001"})
    write("pmnist30", "si", 0.4, {"c": "10"})
    write("pmnist30", "ewc", 0.6)
    write("pmnist30", "single", 0.99)
    assert front_page.table(tmp_path).splitlines()[2:] == [
        "| EWC | 50, the default | 60.0 | not run |",
        "| SI | 0.1, the default | not run | 70.0 |",
        "| SI | 1, damping = 0.001 | not run | 50.0 |",
        "| SI | 10 | 40.0 | not run |",
        "| plain training | none | not run | 90.0 |",
    ]
    write("pmnist30", "si", 0.3)
    write("pmnist30", "alasso-coupled", 0.8)
    (ax,) = front_page.figure(tmp_path).axes
    curves = {text.get_text(): line for text, line in zip(ax.texts, sorted(ax.lines, key=end), strict=True)}
    assert {name: (end(line), line.get_linestyle()) for name, line in curves.items()} == {
        "SI, c = 0.1": (pytest.approx(0.3), "-"),
        "SI, c = 10": (pytest.approx(0.4), "--"),
        "EWC, c = 50": (pytest.approx(0.6), "-"),
    }


def test_the_front_page_names_what_keeps_most():
    """Against the files themselves: means of last rows."""

    def ends(preset, name):
        found = sorted(RESULTS.glob(f"{preset}/{name}-s*.json"))
        rows = [json.loads(path.read_text(encoding="utf-8"))["accuracy"][-1] for path in found]
        return [100 * sum(row) / len(row) for row in rows]

    lines = front_page.overview().partition("\n\n")[2].splitlines()
    full = ends("pmnist30", f"alasso-published-{experiment('pmnist30', 'alasso-published').digest}")
    assert f"keeps most, {statistics.mean(full):.1f}" in lines[0]


def test_another_weight_changes_the_order_as_the_front_page_says():
    def kept(preset, method, c):
        records = evidence.recorded(experiment(preset, method, {"c": c}), RESULTS)
        return statistics.mean(evidence.kept(records))

    at_five, at_twenty = (
        {c: kept(preset, "alasso-published", c) for c in ("1", "10")} for preset in ("pmnist30-short", "pmnist30")
    )
    assert at_five["1"] < kept("pmnist30-short", "mas", "0.01") < at_five["10"]
    five, twenty = (max(at, key=at.get) for at in (at_five, at_twenty))
    assert (five, twenty) == ("10", "1")
    assert f"best of those tried is {five} at five epochs and {twenty} at twenty" in front_page.overview()


def test_the_strongest_rival_is_named_with_its_weight():
    """Against the files of the paper's size themselves; one searched stream is not a result."""
    ends = {}
    for path in RESULTS.glob("pmnist30/*-s?.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        if not record["method"].startswith(("alasso", "single", "multi")):
            row = record["accuracy"][-1]
            ends.setdefault((record["method"], record["hyperparameters"].get("c")), []).append(sum(row) / len(row))
    (method, c), shares = max(ends.items(), key=lambda end: statistics.mean(end[1]))
    named = f"at twenty, {METHODS[method].label} with c = {c:g} keeps most of all others, "
    assert f"{named}{report.percent(shares)} %" in front_page.overview()
