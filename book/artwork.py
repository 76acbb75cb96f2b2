"""Draw the logo, the favicon and the cover: `python book/artwork.py`. A test draws them again and compares.

Their curves are equation (5) itself. Letters become outlines, so that no font is needed; every picture brings its own
ground, so that it is legible on a light page and on a dark one.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from alasso import formulas

STATIC = Path(__file__).parent / "_static"
GROUND, SEEN, LINE, MARK, FAINT = "#14304f", "#1f4870", "#ffffff", "#ff8c42", "#7fb8e6"
LETTERS = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}  # of Matplotlib's path codes
Place = Callable[[float, float], tuple[float, float]]  # from (θ, loss) to a point of the picture


def curve(place: Place, a: float, low: float, high: float, style: str) -> str:
    """Equation (5) with its anchor at 0, Ω̂ = 1, and training that came from the left, as an SVG path."""
    theta = torch.linspace(low, high, 61, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    loss = formulas.asymmetric_surrogate(theta, 0 * one, one, -one, a, epsilon=0.0)
    points = "L".join("{:.1f} {:.1f}".format(*place(x, y)) for x, y in zip(theta.tolist(), loss.tolist(), strict=True))
    return f'<path d="M{points}" fill="none" stroke-linecap="round" {style}/>'


def words(text: str, x: float, y: float, size: float, weight: str, colour: str) -> str:
    """A line of text that begins at (x, y) on its base line, as outlines."""
    outline = TextPath((0, 0), text, size=size, prop=FontProperties(family="DejaVu Sans", weight=weight))
    parts = []
    for points, code in outline.iter_segments(curves=True, simplify=False):
        pairs = [] if code == 79 else [f"{x + px:.1f} {y - py:.1f}" for px, py in points.reshape(-1, 2)]
        parts.append(LETTERS[int(code)] + " ".join(pairs))
    return f'<path d="{"".join(parts)}" fill="{colour}"/>'


def picture(width: int, height: int, title: str, *parts: str, corner: int = 0) -> str:
    ground = f'<rect width="{width}" height="{height}" rx="{corner}" fill="{GROUND}"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    return "\n".join([head, f"<title>{title}</title>", ground, *parts, "</svg>\n"])


def mark(x: float, y: float, scale: float) -> list[str]:
    """The sign of the book, 32 × 32 before scaling: the surrogate with a = 4, and its anchor."""

    def place(theta: float, loss: float) -> tuple[float, float]:
        return x + scale * (17 + 9 * theta), y + scale * (26 - 9 * loss)

    (cx, cy), style = place(0, 0), f'stroke="{LINE}" stroke-width="{3 * scale:g}"'
    dot = f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="{2.8 * scale:g}" fill="{MARK}"/>'
    return [curve(place, 4, -1.45, 0.745, style), dot]


def favicon() -> str:
    return picture(32, 32, "ALASSO", *mark(0, 0, 1), corner=6)


def logo() -> str:
    return picture(320, 96, "ALASSO, reproduced", *mark(8, 6, 2.6), words("ALASSO", 104, 56, 42, "bold", LINE),
                   words("reproduced", 106, 80, 19, "normal", FAINT), corner=14)  # fmt: skip


def cover() -> str:
    """The surrogate for growing a, on the side that nobody saw."""

    def place(theta: float, loss: float) -> tuple[float, float]:
        return 640 + 330 * theta, 590 - 150 * loss

    seen = f'<rect y="230" width="640" height="360" fill="{SEEN}"/>'
    fan = [
        curve(place, a, 0, (2.4 / a) ** 0.5, f'stroke="{MARK}" stroke-width="{2 + a / 2:g}" opacity="{0.2 * a:g}"')
        for a in (2, 3, 4, 5)
    ]
    symmetric = curve(place, 1, 0, 2.4**0.5, f'stroke="{FAINT}" stroke-width="4" stroke-dasharray="14 12"')
    observed = curve(place, 1, -(2.4**0.5), 0, f'stroke="{LINE}" stroke-width="7"')
    dot = '<circle cx="640" cy="590" r="13" fill="#ffffff"/>'
    return picture(
        1280, 640, "ALASSO, reproduced: a quadratic that is steeper on the side nobody saw",
        seen, symmetric, *fan, observed, dot,
        words("ALASSO, reproduced", 60, 108, 66, "bold", LINE),
        words("the loss of the past: a quadratic, steeper on the side nobody saw", 62, 170, 29, "normal", FAINT),
        words("seen", 40, 560, 30, "normal", FAINT), words("unseen", 1128, 560, 30, "normal", MARK),
    )  # fmt: skip


PICTURES = {"favicon.svg": favicon, "logo.svg": logo, "cover.svg": cover}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (STATIC / name).write_text(draw(), encoding="utf-8")
