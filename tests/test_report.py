"""What pages say of runs, against numbers worked out by hand."""

import ast
import inspect
from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from records import made_up

from alasso import plots, report
from alasso.errors import BadInput
from alasso.experiments import experiment
from alasso.formulas import si_importance
from alasso.train import Learner


def run(seed: int, *final: float) -> SimpleNamespace:
    """A run of which these accuracies are left at the end."""
    matrix = np.full((len(final), len(final)), np.nan)
    matrix[np.tril_indices(len(final))] = 0.99
    matrix[-1] = final
    return SimpleNamespace(seed=seed, matrix=matrix)


def test_an_effect_is_that_of_the_same_seeds_however_far_these_are_apart():
    usual = [run(0, 0.2, 0.4), run(1, 0.6, 0.8)]  # keep 30 and 70 %
    assert report.effect(usual, [run(0, 0.3, 0.5), run(1, 0.7, 0.9)]) == "+10.0 ± 0.0"
    assert report.effect(usual, [run(1, 0.5, 0.7), run(0, 0.1, 0.1)]) == "-15.0 ± 7.1"  # by 20 and by 10
    assert report.effect(usual, [run(0, 0.1999, 0.4)]) == "+0.0"


def test_a_seed_that_one_side_lacks_does_not_count():
    usual = [run(1, 0.6, 0.8), run(3, 0.1, 0.1)]
    assert report.effect(usual, [run(0, 1.0, 1.0), run(1, 0.7, 0.8), run(2, 0.0, 0.0)]) == "+5.0"
    assert report.effect(usual, [run(0, 1.0, 1.0)]) == report.effect(usual, []) == "not measured"


def test_the_rows_and_sentences_of_a_page():
    one = made_up(experiment("split-cifar", "si"), 0, [[0.8, None], [0.4, 0.9]])
    assert report.cells([one]) == "65.0 | 85.0 | 40.0"
    assert report.cells([one, one]) == "65.0 ± 0.0 (65.0, 65.0) | 85.0 ± 0.0 | 40.0 ± 0.0"
    assert report.conditions("split-cifar", [one]).endswith(
        " 30 tasks of 3 classes, 60 epochs a task in batches of 256, by Adam at 0.001 with its moments reset between "
        "tasks; 1 parameters. 1 run, seed 0; reference loop in float32; commit 0000000."
    )
    slow = replace(one, seconds=[3600.0, 3600.0], threads=2)
    assert "| 65.0 | 85.0 | 40.0 | 4 |\n" in report.benchmark([[slow]])
    assert f"\n- {report.name(slow)}: `{slow.again}`\n" in report.benchmark([[slow]])
    assert "| 4 |\n" in report.benchmark([[slow, replace(one, seed=1, precision="bfloat16")]]), "of another precision"
    other = replace(one, method="ewc", hyperparameters={"c": 50.0, "fisher": "exact", "online": False, "decay": 0.5})
    assert report.name(other) == "EWC with fisher = exact, decay = 0.5"
    assert report.provenance([one, one]) == f"`{one.again}`, 2 seeds in all; commit 0000000, PyTorch 2."


def test_where_a_method_stands_among_those_that_keep_no_old_data():
    runs = {name: [run(0, share)] for name, share in (("si", 0.6), ("none", 0.4), ("single", 1), ("mas", 0.5))}
    runs["alasso-published"] = [run(0, 0.9)]
    assert report.standing("si", runs) == (
        "place 2 of 4, 20.0 points above plain training, 30.0 points below ALASSO, published, "
        "40.0 points below single task."
    )
    assert report.standing("single", runs) == ""


def test_shares_are_said_in_percent():
    assert report.percent([0.5, 0.7]) == "60.0 ± 14.1"


def test_findings_order_methods_and_say_what_each_paid():
    def runs(method, *rows):
        return [made_up(experiment("split-cifar", method), 0, rows)]

    text = report.findings(
        {
            "none": runs("none", [0.8, None], [0.4, 0.9]),
            "si": runs("si", [0.7, None], [0.7, 0.7]),
            "single": runs("single", [0.8, None], [0.8, 0.8]),
        }
    ).splitlines()
    assert "Of the 2 methods that keep no old data and have run" in text[0]
    assert "**SI** keeps most, 70.0 %: 5.0 points more than plain" in text[0]
    assert text[0].endswith("with a single seed of each.")
    assert "learned tasks to 70.0 % on average, 10.0 points below a network of its own, and lost 0.0 points." in text[1]
    assert "keeps 5.0 points less; it learned tasks to 85.0 % on average, 5.0 points above" in text[2]
    assert text[2].endswith("lost 40.0 points.")


def test_a_lead_comes_with_its_standard_error():
    runs = {"si": [run(0, 0.5), run(1, 0.7)], "none": [run(0, 0.4), run(1, 0.5)], "single": [run(0, 1.0)]}
    said = report.leader(runs)
    assert "60.0 ± 14.1 %: 15.0 points more than plain training (standard error 5.0 over 2 seeds)" in said  # .1 and .2
    assert report.leader({name: runs[name] for name in ("si", "single")}) == ""


def test_a_lead_is_over_the_seeds_that_both_have():
    runs = {"si": [run(0, 0.9), run(1, 0.5)], "none": [run(1, 0.4)]}
    said = report.leader(runs)
    assert "70.0 ± 28.3 %: 10.0 points more than plain training on seed 1, the only one that both have." in said
    runs["none"] = [run(1, 0.4), run(2, 0.4)]
    assert "10.0 points more than plain training on seed 1, the only one that both have." in report.leader(runs)
    runs["none"] = [run(7, 0.4)]
    assert "30.0 points more than plain training, with no seed that both have." in report.leader(runs)


def test_who_keeps_most_may_be_behind_on_the_seeds_that_both_have():
    runs = {"si": [run(0, 0.5), run(1, 0.9)], "ewc": [run(0, 0.6)]}
    assert "**SI** keeps most, 70.0 ± 28.3 %: 10.0 points less than EWC on seed 0" in report.leader(runs)


def test_code_is_quoted_as_the_package_has_it():
    quoted = report.source(Learner.step, si_importance)
    assert quoted.startswith("```python\ndef step(self")
    method, function = ast.parse(quoted.removeprefix("```python\n").removesuffix("```")).body
    assert (method.name, function.name) == ("step", "si_importance")
    (own,) = ast.parse(inspect.getsource(si_importance)).body
    assert ast.dump(function) == ast.dump(own)


def test_the_figure_of_single_tasks_has_the_first_every_fifth_and_the_average():
    matrix = [[0.1 * (k + 1) if k <= n else None for k in range(6)] for n in range(6)]
    ax = plots.final_by_task(plt.figure().subplots(), [made_up(experiment("split-cifar", "si"), 0, matrix)])
    drawn = [line for line in ax.get_lines() if line.get_marker() == "o" and len(line.get_xdata()) == 3]
    assert [list(line.get_ydata()) for line in drawn] == [pytest.approx([0.1, 0.5, 0.35])]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "5", "average"]


def test_only_the_average_over_tasks_has_a_mean_over_seeds():
    """Task 1 of another seed has other classes."""
    runs = [
        made_up(experiment("split-cifar", "si"), seed, [[0.9, None], [share, share]])
        for seed, share in enumerate((0.2, 0.6))
    ]
    (bars,) = plots.final_by_task(plt.figure().subplots(), runs).collections
    ((start, end),) = bars.get_segments()
    assert start[1] == end[1] == pytest.approx(0.4)
    assert start[0] < 1 < end[0], "the column after that of task 1"


def recorded(final, seed=0, **changes):
    return replace(made_up(experiment("pmnist-tiny", "si"), seed, [[0.9, None], [final, final]]), **changes)


def test_code_that_differed_from_its_commit_is_marked():
    assert report.commits([recorded(0.5), recorded(0.5, seed=1, dirty=True)]) == "0000000, 0000000+"


def test_the_cost_is_that_of_the_fastest_run():
    slow, quick = recorded(0.5, seconds=[7200.0, 7200.0]), recorded(0.5, seed=1, seconds=[3600.0, 3600.0])
    assert "| 2 |\n" in report.benchmark([[slow, quick]])


def test_settings_of_a_part_are_what_differs_from_the_first():
    *_, row = report.settings("ewc", "online-ewc").splitlines()
    assert row == "| online EWC | `online-ewc` | as `ewc`, with `online=true` |"
    assert "as `none`" not in report.settings("none", "si", "ewc")
    assert "as `si`" not in report.settings("none", "si", "ewc"), "the first has nothing that could be shared"


def test_panels_are_those_with_records_a_short_one_beside_its_whole(monkeypatch):
    there = {"pmnist30", "pmnist30-short", "pmnist100", "split-cifar"}
    monkeypatch.setattr(report.evidence, "of_preset", lambda preset: {"si" if preset in there else "ewc": [1]})
    assert list(report._panels(("si",))) == ["pmnist30", "pmnist30-short", "pmnist100", "split-cifar"]


def test_the_table_of_a_method_has_its_rows_and_where_it_stands(monkeypatch):
    kept = {"si": 0.4, "none": 0.2}
    runs = {name: [made_up(experiment("pmnist-tiny", name), 0, [[0.8, None], [k, 0.9]])] for name, k in kept.items()}
    monkeypatch.setattr(report, "_panels", lambda _: {"pmnist-tiny": runs})
    said = report.table("si")
    assert "| SI, `pmnist-tiny` | 65.0 | 85.0 | 40.0 |" in said
    assert "| plain training, `pmnist-tiny` |" not in said
    assert "place 1 of 2, 10.0 points above plain training." in said


def test_a_method_without_records_is_named_and_what_makes_one(monkeypatch):
    monkeypatch.setattr(report.evidence, "of_preset", lambda preset: {})
    with pytest.raises(BadInput, match="no run of si is recorded; `alasso run PRESET si` makes one"):
        report.figure("si")
