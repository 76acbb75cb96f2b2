"""Verdicts on the papers' numbers, from records made up for the purpose."""

import json
import statistics
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from records import made_up, stretched

from alasso import numbers, results
from alasso.experiments import experiment
from alasso.numbers import Number
from alasso.search import tuned

PRESET = "pmnist10"


def write(folder: Path, method: str, seed: int, final: float, settings=None) -> None:
    """A record of this experiment whose average accuracy at the end is `final`."""
    made = experiment(PRESET, method, settings)
    accuracy = stretched([[0.99, None], [final - 0.01, final + 0.01]], made.protocol.tasks)
    results.save(made_up(made, seed, accuracy), made.path(folder, seed))


@pytest.mark.parametrize(
    ("paper", "flags", "verdict"),
    [
        (0.905, {}, "agrees"),
        (0.84, {}, "open"),  # .05 beyond the margin, and one seed may move by .06
        (0.82, {}, "higher"),
        (0.94, {}, "open"),
        (0.98, {}, "lower"),
        (0.88, {"about": True}, "agrees"),
        (0.86, {"about": True}, "open"),
        (0.8, {"about": True}, "higher"),
        (0.5, {"at_least": True}, "agrees"),
        (0.93, {"at_least": True}, "open"),
        (0.98, {"at_least": True}, "lower"),
    ],
)
def test_one_seed_that_is_near_settles_nothing(tmp_path, paper, flags, verdict):
    write(tmp_path, "si", 0, 0.9)
    number = Number("Table", "SI", paper, PRESET, "si", **flags)
    found = numbers.outcome(number, PRESET, tmp_path)
    assert (found.seeds, found.verdict(number)) == (1, verdict)


def test_what_seeds_that_scatter_leave_open_does_not_agree(tmp_path):
    for seed, final in enumerate((0.86, 0.90, 0.94)):
        write(tmp_path, "si", seed, final)
    error = 0.04 / 3**0.5  # by hand: sample deviation .04 of three
    for distance, verdict in (
        (0.0099, "agrees"),
        (0.0101, "open"),
        (0.01 + 2 * error - 1e-6, "open"),
        (0.01 + 2 * error + 1e-6, "lower"),
    ):
        number = Number("Table", "SI", 0.9 + distance, PRESET, "si")
        found = numbers.outcome(number, PRESET, tmp_path)
        assert (found.limits[1], found.deviation) == (pytest.approx(0.9 + 2 * error), pytest.approx(0.04))
        assert found.verdict(number) == verdict
    assert numbers.summary([number], tmp_path).endswith("On one seed: 0.")


@pytest.mark.parametrize(
    ("paper", "verdict"), [(0.909, "agrees"), (0.911, "open"), (0.952, "open"), (0.953, "lower"), (0.847, "higher")]
)
def test_seeds_that_are_alike_by_luck_do_not_make_a_number_sure(tmp_path, paper, verdict):
    for seed in range(2):
        write(tmp_path, "si", seed, 0.9)
    number = Number("Table", "SI", paper, PRESET, "si")
    found = numbers.outcome(number, PRESET, tmp_path)  # 2 × .03 / √2 = .0424 beyond the margin of .01
    assert found.verdict(number) == verdict


@pytest.mark.parametrize(("kind", "preset"), [("permuted", "pmnist-demo"), ("split", "split-cifar")])
def test_the_usual_scatter_is_that_of_the_records(kind, preset):
    """Against the files themselves: all pairs of settings with three seeds."""
    ends = {}
    for path in results.folder().glob(f"{preset}/*-s?.json"):
        row = json.loads(path.read_text(encoding="utf-8"))["accuracy"][-1]
        ends.setdefault(path.stem.rpartition("-s")[0], {})[path.stem[-1]] = sum(row) / len(row)
    three = [found for found in ends.values() if {"0", "1", "2"} <= found.keys()]
    gaps = [[one[seed] - other[seed] for seed in "012"] for one, other in combinations(three, 2)]
    scatter = statistics.mean(statistics.variance(gap) for gap in gaps) ** 0.5
    assert numbers.SCATTER[kind] == pytest.approx(scatter, abs=0.001)


def test_a_difference_is_to_the_best_of_the_others(tmp_path):
    number = Number("Figure", "above", 0.15, PRESET, "alasso-published", against=("si", "none"))
    write(tmp_path, "alasso-published", 0, 0.9)
    assert numbers.outcome(number, PRESET, tmp_path) is None  # above whom?
    write(tmp_path, "none", 0, 0.5)
    assert "| at most 40.0 | open | +25.0 | 90.0; plain training 50.0; no seed in common: SI |" in numbers.table(
        [number], tmp_path
    )
    said = "Of 1 numbers 1 have runs at the papers' own size: agrees 0, higher 0, lower 0, open 1. On one seed: 1."
    assert said in numbers.summary([number], tmp_path)
    write(tmp_path, "si", 0, 0.7)
    found = numbers.outcome(number, PRESET, tmp_path)
    assert found.ours == pytest.approx(0.2)
    assert found.rival[0].method == "si"
    assert numbers.seed_by_seed(found) == "90.0; SI 70.0"


def test_on_permuted_mnist_a_rival_has_the_best_of_its_settings(tmp_path):
    number = Number("Figure", "above", 0.15, PRESET, "alasso-published", against=("si", "mas"))
    write(tmp_path, "alasso-published", 0, 0.9)
    write(tmp_path, "alasso-published", 0, 0.95, {"c": "10"})  # not what the number is of
    write(tmp_path, "si", 0, 0.6)
    write(tmp_path, "si", 0, 0.8, {"c": "1"})
    write(tmp_path, "si", 0, 0.85, {"c": "2"})  # not of the search
    write(tmp_path, "mas", 0, 0.7)
    found = numbers.outcome(number, PRESET, tmp_path)
    assert found.ours == pytest.approx(0.1)
    assert numbers.seed_by_seed(found) == "90.0; SI with c = 1 80.0"
    split = Number("Figure", "above", 0.15, "split-cifar", "single", against=("si",))
    assert split.rivals("split-cifar") == {"si": [tuned("split-cifar", "si")]}


def test_a_difference_is_over_the_seeds_that_both_have(tmp_path):
    number = Number("Figure", "above", 0.15, PRESET, "alasso-published", against=("si",))
    for seed, share in enumerate((0.95, 0.85, 0.75)):
        write(tmp_path, "alasso-published", seed, share)
    write(tmp_path, "si", 2, 0.7)
    found = numbers.outcome(number, PRESET, tmp_path)
    assert (found.ours, found.seeds, found.verdict(number)) == (pytest.approx(0.05), 1, "lower")
    write(tmp_path, "ewc", 7, 0.7)
    assert numbers.outcome(replace(number, against=("ewc",)), PRESET, tmp_path) is None  # no seed that both have


@pytest.mark.parametrize("flags", [{}, {"at_least": True}])
def test_a_lead_that_one_rival_refutes_needs_no_other(tmp_path, flags):
    number = Number("Figure", "above", 0.15, PRESET, "alasso-published", against=("si", "none"), **flags)
    write(tmp_path, "alasso-published", 0, 0.9)
    write(tmp_path, "none", 0, 0.5)
    assert "| at most 40.0 | open |" in numbers.table([number], tmp_path)  # 40 points so far; SI may yet come closer
    write(tmp_path, "none", 0, 0.79)
    assert "| at most 11.0 | open |" in numbers.table([number], tmp_path)  # one seed
    write(tmp_path, "none", 0, 0.83)
    assert "| at most 7.0 | lower | -8.0 | 90.0; plain training 83.0; no seed in common: SI |" in numbers.table(
        [number], tmp_path
    )
    write(tmp_path, "si", 0, 0.7)
    assert "| 7.0 | lower | -8.0 | 90.0; plain training 83.0 |" in numbers.table([number], tmp_path)


def test_only_runs_with_the_settings_of_the_claim_count(tmp_path):
    number = Number("Table 1", "a = 3", 0.9, PRESET, "alasso-published", {"a": "3"})
    write(tmp_path, "alasso-published", 0, 0.9)
    assert numbers.outcome(number, PRESET, tmp_path) is None
    assert numbers.table([number], tmp_path).startswith(
        "- Not run yet: a = 3 (Table 1: 90.0). A run of `pmnist10` takes "
    )
    command = "alasso run pmnist10 alasso-published --seed 0 --set a=3.0"
    assert numbers.commands([number], tmp_path) == f"- a = 3: `{command}`"
    assert numbers.summary([number], tmp_path).startswith("Of 1 numbers 0 have runs")
    write(tmp_path, "alasso-published", 0, 0.8, {"a": "3"})
    assert "| a = 3 (Table 1) | 90.0 | 80.0 | lower | -10.0 | 80.0 |" in numbers.table([number], tmp_path)
    assert numbers.commands([number], tmp_path) == f"- a = 3: `{command} --reference`"
    write(tmp_path, "si", 0, 0.7)
    rival = "`alasso run pmnist10 si --seed 0 --reference`"
    assert (
        numbers.commands([replace(number, against=("si",))], tmp_path)
        == f"- a = 3: `{command} --reference` against {rival}"
    )
    said = "agrees 0, higher 0, lower 1, open 0. On one seed: 1."
    assert numbers.summary([number], tmp_path).endswith(said)


def test_fewer_epochs_stand_beside_and_are_named(tmp_path):
    number = Number("Table 1", "a = 3", 0.9, PRESET, "alasso-published", {"a": "3"})
    made = experiment(f"{PRESET}-short", "alasso-published", {"a": "3"})
    results.save(made_up(made, 0, stretched([[0.99, None], [0.8, 0.8]], 10)), made.path(tmp_path, 0))
    row = "| a = 3, with 5 epochs (Table 1) | 90.0 | 80.0 | (lower) | -10.0 | 80.0 |"
    assert numbers.table([number], tmp_path).splitlines()[2:] == [row]
    assert numbers.summary([number], tmp_path).startswith("Of 1 numbers 0 have runs")
    write(tmp_path, "alasso-published", 0, 0.9, {"a": "3"})
    full = "| a = 3 (Table 1) | 90.0 | 90.0 | agrees | +0.0 | 90.0 |"
    assert numbers.table([number], tmp_path).splitlines()[2:] == [full, row]


def test_the_committed_numbers_are_of_experiments_that_exist(tmp_path):
    stated = numbers.load()
    assert len({number.what for number in stated}) == len(stated)
    for number in stated:
        assert -1 <= number.paper <= 1
        against = [one for settings in number.rivals(number.preset).values() for one in settings]
        assert all(made.preset == number.preset for made in (number.experiment(number.preset), *against))
    lines = numbers.table(stated, tmp_path).splitlines()
    assert len(lines) == len({number.preset for number in stated})
    assert all(any(f"{number.what} ({number.source}: " in line for line in lines) for number in stated)


def test_about_has_a_margin_of_its_own_and_the_same_chance(tmp_path):
    for seed, final in enumerate((0.87, 0.93)):  # standard error .03
        write(tmp_path, "si", seed, final)
    for excess, verdict in ((0.029, "agrees"), (0.089, "open"), (0.091, "higher")):
        number = Number("Table", "SI", 0.9 - excess, PRESET, "si", about=True)
        assert numbers.outcome(number, PRESET, tmp_path).verdict(number) == verdict


def test_a_rival_with_a_seed_that_nobody_else_has_does_not_count(tmp_path):
    number = Number("Figure", "above", 0.15, PRESET, "alasso-published", against=("si", "mas"))
    write(tmp_path, "alasso-published", 0, 0.9)
    write(tmp_path, "si", 0, 0.7)
    assert numbers.outcome(number, PRESET, tmp_path).missing == ("MAS",)
    write(tmp_path, "mas", 1, 0.95)  # more than SI, with a seed that nobody else has
    found = numbers.outcome(number, PRESET, tmp_path)
    assert (found.ours, found.rival[0].method, found.missing) == (pytest.approx(0.2), "si", ("MAS",))


def test_what_one_rival_refutes_another_that_is_unsettled_does_not_open(tmp_path):
    number = Number("Figure", "above", 0.15, PRESET, "alasso-published", against=("si", "none"))
    for seed in range(3):
        write(tmp_path, "alasso-published", seed, 0.9)
        write(tmp_path, "si", seed, 0.8)  # .1 ± .0346: below .15 - .01
    write(tmp_path, "none", 0, 0.81)  # .09 ± .06, nearer and less sure
    found = numbers.outcome(number, PRESET, tmp_path)
    assert (found.rival[0].method, found.verdict(number)) == ("none", "lower")
    assert found.limits == (pytest.approx(0.03), pytest.approx(0.1 + 2 * 0.03 / 3**0.5))


def test_the_best_of_the_others_is_so_on_average(tmp_path):
    number = Number("Figure", "above", 0.15, PRESET, "alasso-published", against=("si", "none"))
    for seed, (own, si, none) in enumerate(((0.9, 0.5, 0.6), (0.9, 0.7, 0.68))):
        write(tmp_path, "alasso-published", seed, own)
        write(tmp_path, "si", seed, si)
        write(tmp_path, "none", seed, none)
    found = numbers.outcome(number, PRESET, tmp_path)
    assert found.rival[0].method == "none"
    assert found.ours == pytest.approx(0.9 - 0.64)


@pytest.mark.parametrize(
    ("preset", "gap", "answer"),
    [  # one seed: twice .03, and twice .042
        ("pmnist-tiny", 0.061, True),
        ("pmnist-tiny", -0.061, True),
        ("pmnist-tiny", 0.059, False),
        ("split-cifar", 0.085, True),
        ("split-cifar", 0.083, False),
    ],
)
def test_a_difference_is_settled_beyond_chance(preset, gap, answer):
    def one(share, seed=0):
        return made_up(experiment(preset, "si"), seed, [[0.9, None], [share, share]])

    assert numbers.settled([one(0.5)], [one(0.5 + gap)]) is answer
    assert not numbers.settled([one(0.1)], [one(0.9, seed=1)]), "no seed that both have"
