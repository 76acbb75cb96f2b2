"""The logo, the favicon and the cover are what the formulas draw."""

import re
from pathlib import Path

import artwork
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", artwork.PICTURES)
def test_a_picture_is_what_its_code_draws(name):
    drawn = artwork.PICTURES[name]()
    assert (artwork.STATIC / name).read_text(encoding="utf-8") == drawn, "run python book/artwork.py"


def test_the_curve_is_a_parabola_four_times_as_steep_on_the_right():
    points = re.search(r'd="M([^"]*)"', artwork.favicon())[1].split("L")
    (x0, y0), *_, (x1, y1) = [tuple(map(float, point.split())) for point in points]
    left, right = (17 - x0) / 9, (x1 - 17) / 9  # 9 pixels a unit, the anchor at (17, 26)
    assert (26 - y0) / 9 == pytest.approx(left**2, abs=0.02)
    assert (26 - y1) / 9 == pytest.approx(4 * right**2, abs=0.05)
