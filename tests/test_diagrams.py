"""What the figures of the chapters draw, against the formulas worked out by hand."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from alasso import diagrams


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def drawn(ax, colour):
    """All points drawn as lines of this colour, sorted, (N, 2)."""
    lines = [line.get_xydata() for line in ax.lines if line.get_color() == colour and len(line.get_xdata()) > 2]
    points = np.concatenate(lines)
    return points[points[:, 0].argsort()]


@pytest.mark.parametrize("previous", [-1.0, 3.0])
def test_the_two_pieces_follow_the_formula(ax, previous):
    diagrams.two_piece_surrogate(ax, previous, anchor=1.0, importance=2.0, a=3.0)
    theta, value = drawn(ax, diagrams.ALASSO_ORANGE).T
    assert len(theta) == 401
    observed = (theta - 1) * (previous - 1) > 0
    np.testing.assert_allclose(value, np.where(observed, 2.0, 6.0 + 1e-6) * (theta - 1) ** 2, atol=1e-9)
    (shaded,) = ax.patches
    assert (shaded.get_x() + shaded.get_width() / 2 < 1) == (previous < 1)


def test_with_a_loss_the_symmetric_surrogate_is_drawn_too(ax):
    diagrams.two_piece_surrogate(ax, -1.0, anchor=0.0, importance=2.0, a=3.0, loss=lambda theta: theta**4)
    theta, value = drawn(ax, diagrams.SI_BLUE).T
    np.testing.assert_allclose(value, 2 * theta**2, atol=1e-9)
    theta, value = drawn(ax, "black").T
    np.testing.assert_allclose(value, theta**4)


def test_every_parameter_is_in_the_histogram(ax):
    values = np.concatenate([np.linspace(-1, 1, 101), [-1, 1, 0]])
    diagrams.asymmetries(ax, {"all": (values, "black")})
    (stairs,) = [patch for patch in ax.patches if hasattr(patch, "get_data")]
    assert stairs.get_data().values.sum() == pytest.approx(1)


def test_distances_below_rounding_are_drawn_at_the_floor(ax):
    diagrams.distances(ax, {"si": np.array([0.0, 1e-3])})
    assert ax.lines[0].get_ydata().tolist() == [np.finfo(float).eps / 2, 1e-3]
    assert ax.get_ylim()[0] < np.finfo(float).eps / 2


def test_a_line_stands_where_a_new_task_begins_and_the_thick_one_is_the_mean(ax):
    diagrams.epochs(ax, {"si": np.array([[0.1, 0.2, 0.3, 0.4], [0.3, 0.4, 0.5, 0.6]])}, per_task=2, names=False)
    assert [line.get_xdata()[0] for line in ax.lines if len(set(line.get_xdata())) == 1] == [2.5]
    thick = max(ax.lines, key=lambda line: line.get_linewidth())
    assert list(thick.get_ydata()) == pytest.approx([0.2, 0.3, 0.4, 0.5])


def test_a_sweep_marks_where_training_began_and_ended(ax):
    units = np.linspace(-2, 2, 9)
    diagrams.sweep(ax, units, 3 * units**2)
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_marker() == "o"]
    assert dots == [pytest.approx((-1, 3)), pytest.approx((0, 0))]


def test_shares_add_up_to_their_sum(ax):
    parts = np.cumsum(np.full((5, 2), [0.1, 0.3]), 0)
    diagrams.shares(ax, parts, parts.sum(1))
    assert list(ax.lines[1].get_ydata()) == pytest.approx(list(ax.lines[0].get_ydata()))
