"""What pages say of runs, against numbers worked out by hand."""

from types import SimpleNamespace

import numpy as np

from alasso import report


def run(seed: int, *final: float) -> SimpleNamespace:
    """A run of which these accuracies are left at the end."""
    matrix = np.full((len(final), len(final)), np.nan)
    matrix[np.tril_indices(len(final))] = 0.99
    matrix[-1] = final
    return SimpleNamespace(seed=seed, matrix=matrix)


def test_an_effect_is_that_of_the_same_seeds_however_far_these_are_apart():
    usual = [run(0, 0.2, 0.4), run(1, 0.6, 0.8)]  # keep 30 and 70 %
    assert report.effect(usual, [run(0, 0.3, 0.5), run(1, 0.7, 0.9)]) == "+10.0 ± 0.0"
    assert report.effect(usual, [run(1, 0.5, 0.7), run(0, 0.1, 0.1)]) == "-15.0 ± 5.0"  # by 20 and by 10


def test_a_seed_that_one_side_lacks_does_not_count():
    usual = [run(1, 0.6, 0.8), run(3, 0.1, 0.1)]
    assert report.effect(usual, [run(0, 1.0, 1.0), run(1, 0.7, 0.8), run(2, 0.0, 0.0)]) == "+5.0 ± 0.0"
    assert report.effect(usual, [run(0, 1.0, 1.0)]) == report.effect(usual, []) == "not measured"


def test_shares_are_said_in_percent():
    assert report.percent([0.5, 0.7]) == "60.0 ± 10.0"
