"""Summaries against numbers worked out by hand."""

import numpy as np
import pytest

from alasso import metrics

NAN = np.nan
MATRIX = np.array([[0.9, NAN, NAN], [0.7, 0.8, NAN], [0.5, 0.85, 0.6]])


def test_average_accuracy_is_over_the_tasks_seen():
    assert metrics.average_accuracy(MATRIX) == pytest.approx([0.9, 0.75, 0.65])
    assert metrics.final_accuracy(MATRIX) == pytest.approx(0.65)


def test_learning_accuracy_is_that_of_tasks_just_trained():
    assert metrics.learning_accuracy(MATRIX) == pytest.approx((0.9 + 0.8 + 0.6) / 3)


def test_spread_is_over_the_tasks_seen():
    assert metrics.spread(MATRIX) == pytest.approx([0, 0.05, np.sqrt((0.15**2 + 0.2**2 + 0.05**2) / 3)])


def test_forgetting_counts_from_the_best_accuracy():
    assert metrics.forgetting(MATRIX) == pytest.approx(((0.9 - 0.5) + (0.8 - 0.85)) / 2)


def test_one_task_forgets_nothing():
    assert metrics.forgetting(MATRIX[:1, :1]) == 0


def test_the_best_accuracy_may_come_after_a_tasks_own_training():
    matrix = np.array([[0.5, NAN, NAN], [0.7, 0.6, NAN], [0.4, 0.5, 0.9]])
    assert metrics.forgetting(matrix) == pytest.approx(((0.7 - 0.4) + (0.6 - 0.5)) / 2)
