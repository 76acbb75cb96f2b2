"""What pages say of runs, against numbers worked out by hand."""

import ast
import inspect
from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from records import made_up, stretched

from alasso import metrics, plots, report, results
from alasso.formulas import si_importance
from alasso.presets import experiment
from alasso.search import FINALISTS, FIRST_ROUND, GRIDS, SEED, tuned
from alasso.targets import TARGETS
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


def test_a_seed_that_one_side_lacks_does_not_count():
    usual = [run(1, 0.6, 0.8), run(3, 0.1, 0.1)]
    assert report.effect(usual, [run(0, 1.0, 1.0), run(1, 0.7, 0.8), run(2, 0.0, 0.0)]) == "+5.0"
    assert report.effect(usual, [run(0, 1.0, 1.0)]) == report.effect(usual, []) == "not measured"


def test_the_rows_and_sentences_of_a_page():
    one = made_up(experiment("split-cifar", "si"), 0, [[0.8, None], [0.4, 0.9]])
    assert report.cells([one]) == "65.0 | 65.0 | 85.0 | 40.0"
    assert report.conditions("split-cifar", [one]).endswith(
        " 30 tasks of 3 classes, 60 epochs a task in batches of 256, by Adam at 0.001 with its moments reset between "
        "tasks; 1 parameters. 1 run, seed 0; reference loop in float32; commit 0000000."
    )
    slow = replace(one, seconds=[3600.0, 3600.0], threads=2)
    assert "| 65.0 | 65.0 | 85.0 | 40.0 | 4 | `" in report.benchmark([[slow]])
    assert report.provenance([one, one]) == f"`{one.again}`, 2 seeds in all; commit 0000000, PyTorch 2."


def test_where_a_method_stands_among_those_that_keep_no_old_data():
    runs = {name: [run(0, share)] for name, share in (("si", 0.6), ("none", 0.4), ("single", 1), ("mas", 0.5))}
    runs["alasso-published"] = [run(0, 0.9)]
    assert report.standing("si", runs) == (
        "place 2 of 4, 20.0 points above plain training, 30.0 points below ALASSO, published, "
        "40.0 points below single task. "
    )
    assert report.standing("single", runs) == ""


def test_shares_are_said_in_percent():
    assert report.percent([0.5, 0.7]) == "60.0 ± 14.1"


def test_a_search_marks_the_best_and_says_what_is_missing(tmp_path):
    tried = TARGETS["search-split-cifar-si"].experiments()
    for k, one in enumerate(tried[:3]):
        accuracy = stretched([[0.5, None], [0.5, 0.5 + (k == 1) / 10]], one.protocol.tasks)
        results.save(made_up(one, SEED, accuracy), one.path(tmp_path, SEED))
    rows = report.search("search-split-cifar-si", tmp_path).splitlines()[2:]
    assert len(rows) == len(tried) == len(GRIDS["split-cifar"]["si"])
    assert [row.split("|")[2].strip() for row in rows] == ["50.0", "**55.0**", "50.0", *["not run yet"] * 7]


def test_a_search_has_found_something_when_its_last_trial_is_there(tmp_path):
    tried = TARGETS["search-pmnist30-ewc"].experiments()
    for k, one in enumerate(tried):
        assert report.found("search-pmnist30-ewc", tmp_path) is None
        accuracy = stretched([[0.5, None], [0.5, 0.5 + (k == 2) / 10]], one.protocol.tasks)
        results.save(made_up(one, SEED, accuracy), one.path(tmp_path, SEED))
    assert report.found("search-pmnist30-ewc", tmp_path) == {"c": "100"}


def test_a_setting_that_keeps_more_than_what_the_search_found_is_said(tmp_path):
    def settle(method, best, share):
        for k, trial in enumerate(TARGETS[f"search-pmnist30-{method}"].experiments()):
            tasks = trial.protocol.tasks
            matrix = stretched([[0.5, None], [0.5, 0.5 + (k == best) / 10]], tasks)
            results.save(made_up(trial, SEED, matrix), trial.path(tmp_path, SEED))
        chosen = experiment("pmnist30-short", method, report.found(f"search-pmnist30-{method}", tmp_path))
        results.save(made_up(chosen, 0, stretched([[share, None], [share, share]], 30)), chosen.path(tmp_path, 0))
        return chosen.surrogate

    surrogate = settle("si", 3, 0.7)
    assert (surrogate.c, surrogate.damping) == (1, 0.001)
    settle("alasso-published", 1, 0.5)  # the literature's own
    assert report.outdone("pmnist30", "pmnist30-short", tmp_path) == []
    better = experiment("pmnist30-short", "si", {"c": "10"})
    results.save(made_up(better, 0, stretched([[0.75, None], [0.75, 0.75]], 30)), better.path(tmp_path, 0))
    assert report.outdone("pmnist30", "pmnist30-short", tmp_path) == [
        "SI keeps 70.0 % with c = 1, damping = 0.001, chosen at 2 epochs, and 75.0 % with c = 10, damping = 0.1."
    ]


def test_all_methods_of_a_search_have_as_many_trials():
    for preset, methods in GRIDS.items():
        assert len({len(tried) for tried in methods.values()}) == 1, preset
        for method, tried in methods.items():
            usual = experiment(preset, method).surrogate.c
            weights = [float(settings["c"]) for settings in tried]
            assert min(weights) <= usual <= max(weights), "around the literature's"
            assert all(experiment(preset, method, {**settings, **FIRST_ROUND[preset]}) for settings in tried)


def ranked(name: str) -> list[dict]:
    """The settings that a search tried, the best first; each must have been tried with its one seed."""
    target = TARGETS[name]
    tried = [report.recorded(one) for one in target.experiments()]
    assert [[run.seed for run in runs] for runs in tried] == [[target.first_seed]] * len(target.variations)
    order = sorted(range(len(tried)), key=lambda k: -metrics.average_accuracy(tried[k][0].matrix)[-1])
    return [
        {name: target.variations[k][name] for name in ("c", "damping") if name in target.variations[k]} for k in order
    ]


def test_what_searches_found_is_what_is_used():
    """Against the committed records: the three best of each grid, in the order of the second round."""
    assert FINALISTS
    for preset, methods in FINALISTS.items():
        for method, finalists in methods.items():
            best = ranked(f"search-{preset}-{method}")[:3]
            assert sorted(map(str, best)) == sorted(map(str, finalists))
            assert ranked(f"final-{preset}-{method}") == list(finalists)
            assert tuned(preset, method) == experiment(preset, method, finalists[0])


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
    assert "70.0 ± 28.3 %: 10.0 points more than plain training, with a single seed that both have." in said
    runs["none"] = [run(1, 0.4), run(2, 0.4)]
    assert "10.0 points more than plain training, with a single seed that both have." in report.leader(runs)
    runs["none"] = [run(7, 0.4)]
    assert "30.0 points more than plain training, with no seed that both have." in report.leader(runs)


def test_code_is_quoted_as_the_package_has_it():
    quoted = report.source(Learner.step, si_importance)
    assert quoted.startswith("```python\ndef step(self")
    method, function = ast.parse(quoted.removeprefix("```python\n").removesuffix("```")).body
    assert (method.name, function.name) == ("step", "si_importance")
    (own,) = ast.parse(inspect.getsource(si_importance)).body
    assert ast.dump(function) == ast.dump(own)


def test_only_files_named_as_records_are_read(tmp_path):
    chosen = experiment("pmnist-tiny", "none")
    results.save(made_up(chosen, 0, [[0.9, None], [0.5, 0.9]]), chosen.path(tmp_path, 0))
    copy = chosen.path(tmp_path, 0)
    copy.with_stem(f"{copy.stem} (copy)").write_text("{")
    assert [found.seed for found in report.recorded(chosen, tmp_path)] == [0]


def test_the_figure_of_single_tasks_has_every_fifth_and_the_average():
    matrix = [[0.1 * (k + 1) if k <= n else None for k in range(6)] for n in range(6)]
    ax = plots.final_by_task(plt.figure().subplots(), [made_up(experiment("split-cifar", "si"), 0, matrix)])
    drawn = [line for line in ax.get_lines() if line.get_marker() == "o" and len(line.get_xdata()) == 2]
    assert [list(line.get_ydata()) for line in drawn] == [pytest.approx([0.5, 0.35])]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["5", "average"]
