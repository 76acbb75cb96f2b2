"""Pictures with controls, and two faces: live where a kernel runs, drawn and moved by a script in the published page.

An `Explorer` is drawn once, by Matplotlib. Its controls then move some of the lines, those with a name: a line's points
come from `curves`, and its path in the SVG is written anew. In JupyterLab ipywidgets call `curves` itself; in the page
book/_static/explore.js has the same functions, and a test holds the two together. Without a script, and on paper, the
picture stands as it was drawn.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from html import escape
from io import StringIO

import ipywidgets
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Points = tuple[np.ndarray, np.ndarray]  # x and y, (N,) each, in data coordinates
Frame = list[float]  # sx, tx, sy, ty: the point (x, y) stands at (sx x + tx, sy y + ty) in the SVG
INK = "#262626"  # of axes and text; becomes the colour of the text around the picture, light or dark
WIDTH = 4.6  # of a figure, in inches: text stays legible at the width of a phone
NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


@dataclass(frozen=True)
class Control:
    """A slider over `options` if they are numbers, a menu if they are texts; `start` is an index into them."""

    name: str
    label: str
    options: tuple
    start: int = 0

    @property
    def texts(self) -> list[str]:
        return [option if isinstance(option, str) else f"{option:g}" for option in self.options]

    @property
    def is_menu(self) -> bool:
        return isinstance(self.options[0], str)


@dataclass(frozen=True)
class Explorer:
    """A picture with controls. `values` below maps each control's name to the option chosen, a menu's to its index.

    A menu named `scene` chooses among several figures; without one there is one figure.
    """

    kind: str
    """The function of explore.js that computes the same curves."""
    title: str
    """What the picture shows, for those who cannot see it."""
    caption: str
    """HTML: the finding."""
    controls: tuple[Control, ...]
    figures: tuple[Figure, ...]
    curves: Callable[[Mapping], dict[str, Points]]
    """From values to the points of every named line."""
    readout: Callable[[Mapping], str]
    """From values to one sentence of numbers."""
    data: dict
    """What explore.js needs to compute the same."""

    @property
    def start(self) -> dict:
        return self.values({control.name: control.start for control in self.controls})

    def values(self, positions: Mapping[str, int]) -> dict:
        """From the position of each control to its value."""
        return {c.name: positions[c.name] if c.is_menu else c.options[positions[c.name]] for c in self.controls}

    @cached_property
    def pictures(self) -> list[tuple[str, dict[str, Frame]]]:
        return [svg(figure, f"{self.identity}-{scene}") for scene, figure in enumerate(self.figures)]

    @cached_property
    def identity(self) -> str:
        """An HTML id that no other explorer on a page has."""
        content = json.dumps([self.kind, self.title, self.data])
        return f"{self.kind}-{sha256(content.encode()).hexdigest()[:6]}"

    def picture(self, values: Mapping) -> str:
        """The SVG with every named line where these values put it."""
        text, frames = self.pictures[values.get("scene", 0)]
        return moved(text, frames, self.curves(values))

    def html(self) -> str:
        """The page's face: the drawn pictures, and what the script needs to move them."""
        start, pictures = self.start, []
        for scene in range(len(self.figures)):
            hidden = " hidden" * (scene != start.get("scene", 0))
            picture = self.picture({**start, "scene": scene} if "scene" in start else start)
            pictures.append(f'<div class="explorer-picture"{hidden}>{named(picture, self.title)}</div>')
        controls = [
            {"name": c.name, "label": c.label, "texts": c.texts, "start": c.start}
            | ({} if c.is_menu else {"values": c.options})
            for c in self.controls
        ]
        frames = [frames for _, frames in self.pictures]
        script = json.dumps({"kind": self.kind, "controls": controls, "frames": frames, "data": self.data})
        script = script.replace("</", r"<\/")  # else a text could end the script
        return (
            f'<figure class="explorer" id="{self.identity}">{"".join(pictures)}'
            f'<p class="explorer-readout" role="status">{escape(self.readout(start))}</p>'
            f"<figcaption>{self.caption}</figcaption>"
            f'<script type="application/json">{script}</script></figure>'
        )

    @cached_property
    def view(self) -> ipywidgets.Widget:
        """The kernel's face."""
        picture, readout = ipywidgets.HTML(), ipywidgets.HTML()
        longest = max(len(control.label) for control in self.controls)
        inputs = {control.name: _input(control, longest) for control in self.controls}

        def update(_=None) -> None:
            values = self.values({name: widget.index for name, widget in inputs.items()})
            picture.value = named(self.picture(values), self.title)
            readout.value = f'<p role="status">{escape(self.readout(values))}</p>'

        for widget in inputs.values():
            widget.observe(update, "index")
        update()
        return ipywidgets.VBox([*inputs.values(), picture, readout, ipywidgets.HTML(f"<p>{self.caption}</p>")])

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return both_faces(self.view, self.html(), self.title)


def both_faces(view: ipywidgets.Widget, html: str, text: str) -> dict:
    """What Jupyter shows, best first: the widget where a kernel runs, HTML in the book, else the text."""
    model = {"model_id": view.model_id, "version_major": 2, "version_minor": 0}
    return {"application/vnd.jupyter.widget-view+json": model, "text/html": html, "text/plain": text}


def figure(rows: int, height: float) -> tuple[Figure, list[Axes]]:
    """An empty figure of the explorers' width, outside pyplot, so that no notebook shows it by itself."""
    empty = Figure(figsize=(WIDTH, height), layout="constrained")
    return empty, list(np.atleast_1d(empty.subplots(rows)))


def moving(ax: Axes, name: str, **style) -> None:
    """A line with a name. Its points come later; until then it is in sight, else Matplotlib would leave it out."""
    ax.plot([0.4, 0.6], [0.5, 0.5], gid=name, transform=ax.transAxes, **style)


def svg(drawn: Figure, identity: str) -> tuple[str, dict[str, Frame]]:
    """The figure as an SVG element, and the frame of each line that has a name (its `gid`); axes must be linear.

    Ids begin with `identity`, so that several pictures fit in one page. Ink takes the colour of the text around it, and
    every other colour #rrggbb can be replaced by a style sheet, as the variable --c-rrggbb.
    """
    buffer = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "alasso"}):
        drawn.savefig(buffer, format="svg", transparent=True, metadata=NO_METADATA)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(f": {INK}", ": currentColor")
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # its rule is for every element of the page
    text = re.sub(r'<svg([^>]*?) width="[^"]*" height="[^"]*"', r"<svg\1", text, count=1)
    text = re.sub(r" height=\"[\d.]+pt\"| width=\"[\d.]+pt\"", "", text)
    text = re.sub(r": #([0-9a-f]{6})\b", r": var(--c-\1, #\1)", text)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{identity}-", text)
    # The layout is that of the SVG just written, which counts 72 points to the inch, downwards.
    scale, height = 72 / drawn.dpi, 72 * drawn.get_figheight()
    frames = {}
    for ax in drawn.axes:
        (x0, y0), (x1, y1) = scale * ax.transData.transform([(0, 0), (1, 1)])
        lines = [line.get_gid() for line in ax.lines if line.get_gid()]
        frames |= {line: [round(v, 6) for v in (x1 - x0, x0, y0 - y1, height - y0)] for line in lines}
    return text, frames


def path(frame: Frame, x: np.ndarray, y: np.ndarray) -> str:
    """The points of a line as the `d` of an SVG path."""
    sx, tx, sy, ty = frame
    if len(x) == 0:
        return ""
    return "M" + "L".join(f"{sx * a + tx:.2f} {sy * b + ty:.2f}" for a, b in zip(x, y, strict=True))


def moved(text: str, frames: Mapping[str, Frame], curves: Mapping[str, Points]) -> str:
    """The SVG with its named lines put through these points."""
    for name, (x, y) in curves.items():
        pattern = rf'(<g id="[^"]*-{name}">\s*<path d=")[^"]*'
        text, found = re.subn(pattern, rf"\g<1>{path(frames[name], x, y)}", text)
        assert found == 1, f"the picture has {found} lines named {name}"
    return text


def named(picture: str, title: str) -> str:
    """The SVG as one image to screen readers, at a width that a page can hold."""
    style = "width: 100%; max-width: 32rem; height: auto"
    return picture.replace("<svg", f'<svg role="img" aria-label="{escape(title)}" style="{style}"', 1)


def _input(control: Control, longest: int) -> ipywidgets.Widget:
    """Room for the longest label of all, in characters: ipywidgets cut what does not fit."""
    options = [(text, index) for index, text in enumerate(control.texts)]
    widget = ipywidgets.Dropdown if control.is_menu else ipywidgets.SelectionSlider
    room = max(11, 0.45 * longest)
    look = {
        "style": {"description_width": f"{room:g}rem"},
        "layout": {"width": f"{room + 21:g}rem", "max_width": "100%"},
    }
    return widget(options=options, index=control.start, description=control.label, **look)
