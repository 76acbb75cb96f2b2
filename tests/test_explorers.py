"""Explorers: the lines on the screen are where the formulas say, in the page without a kernel and with one."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from records import made_up

from alasso import explorers, formulas, landscape, metrics, widgets
from alasso.experiments import experiment
from alasso.explorers import Sweep
from alasso.presets import METHODS
from alasso.results import Run
from alasso.retraining import Retraining
from alasso.run import run

STATIC = Path(__file__).parents[1] / "book" / "_static"
METHOD = "alasso-published"


def run_at(a: float, seed: int) -> Run:
    """A record of three tasks with accuracies that differ in every seed, task and value of a."""
    base = 0.9 - 0.01 * a - 0.001 * seed
    accuracy = [[base - 0.1 * (n - k) - 0.02 * k if k <= n else None for k in range(3)] for n in range(3)]
    return made_up(experiment("pmnist-tiny", METHOD, {"a": str(a)}), seed, accuracy)


RUNS = {a: [run_at(a, seed) for seed in range(2)] for a in (0.5, 1.8, 3.0)}
CURVE = np.array([-1.0, 0.0, 1.0]), np.array([0.1, 0.0, 0.3])
SWEEPS = [Sweep("up", 0.3, 0.04, CURVE, CURVE), Sweep("down", -0.2, 0.01, CURVE, CURVE)]
MADE = {
    "tasks": explorers.two_tasks(),
    "measured": explorers.measured_loss(SWEEPS),
    "table": explorers.accuracy_against("a", RUNS, "caption"),
}


def positions(made: widgets.Explorer) -> list[dict[str, int]]:
    """The start; each control at both ends, the others where they start; and all at once somewhere else."""
    start = {control.name: control.start for control in made.controls}
    ends = [start | {c.name: end} for c in made.controls for end in (0, len(c.options) - 1)]
    return [start, *ends, {c.name: (3 * c.start + 2) % len(c.options) for c in made.controls}]


def points(d: str) -> np.ndarray:
    """The points of an SVG path of straight lines, (N, 2)."""
    return np.array([pair.split() for pair in d.removeprefix("M").split("L")], dtype=float)


def lines(svg: str) -> dict[str, np.ndarray]:
    """The points of all lines in an SVG that have a name."""
    return {name: points(d) for name, d in re.findall(r'<g id="\w+-\w+-\d-([\w-]+)">\s*<path d="(M[-\d][^"]*)"', svg)}


@pytest.fixture
def tab(browser, tmp_path):
    """Opens a page with the three explorers and the book's script and style, offline."""
    page = tmp_path / "page.html"
    body = "".join(made.html() for made in MADE.values())
    page.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>t</title><style>{(STATIC / 'book.css').read_text()}"
        f"</style><script defer src='{(STATIC / 'explore.js').as_uri()}'></script><body>{body}</body></html>",
        encoding="utf-8",
    )
    contexts = []

    def opened(**options):
        contexts.append(browser.new_context(offline=True, **options))
        contexts[-1].set_default_timeout(10_000)
        tab, faults = contexts[-1].new_page(), []
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.goto(page.as_uri())
        assert faults == []
        return tab

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("kind", MADE)
def test_the_script_puts_every_line_where_python_does(tab, kind):
    made, page = MADE[kind], tab()
    shown = page.locator(f"#{made.identity}")
    for chosen in positions(made):
        for name, position in chosen.items():
            control = page.locator(f"#{made.identity}-{name}")
            if control.evaluate("element => element.localName") == "select":
                control.select_option(str(position))
            else:
                control.fill(str(position))
        values = made.values(chosen)
        visible = shown.locator(".explorer-picture:visible")
        assert visible.count() == 1
        drawn, expected = lines(visible.inner_html()), lines(made.picture(values))
        assert set(drawn) == set(expected) == set(made.curves(values))
        for name in expected:
            np.testing.assert_allclose(drawn[name], expected[name], atol=0.011, err_msg=f"{name} at {values}")
        assert shown.locator(".explorer-readout").inner_text() == made.readout(values)


def assert_equation_5(svg: str, a: float) -> None:
    """From the pixels of the first picture of a measured loss back to θ and loss, without the explorer's own curves."""
    sx, tx, sy, ty = MADE["measured"].pictures[0][1]["asymmetric-wide"]
    theta, loss = torch.tensor((lines(svg)["asymmetric-wide"] - [tx, ty]) / [sx, sy]).T
    importance = torch.tensor(SWEEPS[0].omega / SWEEPS[0].move ** 2)  # ξ starts at 0
    expected = formulas.asymmetric_surrogate(theta, torch.zeros(1), importance, torch.tensor(-1.0), a, 1e-6)
    torch.testing.assert_close(loss, expected, atol=0.02 / abs(sy), rtol=1e-2)


def test_dragging_the_slider_moves_the_surrogate_to_where_equation_5_says(tab):
    made, page, seen = MADE["measured"], tab(), set()
    slider = page.locator(f"#{made.identity}-a")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    for share in (0.1, 0.5, 0.9):
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2, steps=3)
        page.mouse.up()
        a = made.controls[1].options[int(slider.input_value())]
        seen.add(a)
        assert_equation_5(page.locator(f"#{made.identity} .explorer-picture:visible").inner_html(), a)
    assert len(seen) == 3


def test_the_keyboard_moves_a_labelled_slider(tab):
    made, page = MADE["table"], tab()
    slider = page.locator(f"#{made.identity}").get_by_role("slider", name="a", exact=True)
    slider.focus()
    assert slider.get_attribute("aria-valuetext") == "1.8"
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "3"
    assert page.locator(f"#{made.identity}").get_by_role("status").inner_text() == made.readout({"a": 3.0})
    page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext") == "0.5"


def test_without_a_script_and_on_paper_the_drawn_picture_stands(tab):
    for page in (tab(java_script_enabled=False), tab()):
        page.emulate_media(media="print")
        assert page.locator("input:visible, select:visible").count() == 0
        for made in MADE.values():
            picture = page.locator(f"#{made.identity} .explorer-picture:visible")
            assert picture.count() == 1
            drawn, start = lines(picture.inner_html()), lines(made.picture(made.start))
            assert all(np.abs(drawn[name] - start[name]).max() < 0.011 for name in start)


def test_explorers_fit_a_phone(tab):
    page = tab(viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for control in page.locator("input, select").all():
        assert control.bounding_box()["width"] >= 80


@pytest.mark.parametrize("kind", MADE)
def test_the_kernels_controls_move_the_same_lines(kind):
    made = MADE[kind]
    *inputs, picture, readout, _ = made.view.children
    for chosen in positions(made):
        for control, position in zip(inputs, chosen.values(), strict=True):
            control.index = position
        values = made.values(chosen)
        _, frames = made.pictures[values.get("scene", 0)]
        for name, (x, y) in made.curves(values).items():
            assert f'd="{widgets.path(frames[name], x, y)}"' in picture.value
        assert made.readout(values) in readout.value


def test_the_kernels_slider_moves_the_surrogate_to_where_equation_5_says():
    _, slider, *_, picture, _, _ = explorers.measured_loss(SWEEPS).view.children
    for text, index in slider.options:
        slider.index = index
        assert_equation_5(picture.value, float(text))


def test_both_faces_are_offered_the_widget_and_the_page():
    bundle = MADE["tasks"]._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == MADE["tasks"].view.model_id
    assert bundle["text/html"] == MADE["tasks"].html()


def test_a_frame_is_where_matplotlib_draws():
    """A line that Matplotlib itself has drawn in data coordinates, against the path written through its frame."""
    figure, (ax,) = widgets.figure(1, 2.5)
    x, y = np.array([1.0, 2.5, 4.0]), np.array([-3.0, 10.0, 2.0])
    ax.plot(x, y, gid="line")
    ax.set(xlim=(0, 5), ylim=(-5, 12), xlabel="x")
    text, frames = widgets.svg(figure, "some-id-0")
    np.testing.assert_allclose(points(widgets.path(frames["line"], x, y)), points_of_matplotlib(text), atol=0.006)


def points_of_matplotlib(svg: str) -> np.ndarray:
    (d,) = re.findall(r'<g id="some-id-0-line">\s*<path d="([^"]*)"', svg)
    return np.array(re.findall(r"[ML] (\S+) (\S+)", d), dtype=float)


def test_a_name_that_is_not_in_the_picture_is_an_error():
    with pytest.raises(AssertionError, match="the picture has 0 lines named nowhere"):
        widgets.moved("<svg></svg>", {"nowhere": [1.0, 0.0, 1.0, 0.0]}, {"nowhere": (np.zeros(1), np.zeros(1))})


@pytest.mark.parametrize(("m", "c", "a"), [*itertools.product((-1.5, 0.5, 2.0), (0.3, 1.0, 5.0), (0.5, 1.8, 4.0))])
def test_training_between_two_tasks_stops_where_the_total_loss_is_lowest(m, c, a):
    stop, _ = explorers.next_surrogate(m, c, a, 1.0, 1.0)
    theta = torch.linspace(-2, 2, 400_001, dtype=torch.float64)
    past = torch.where(theta < 0, 1.0, a) * theta**2
    assert stop.item() == pytest.approx(theta[((theta - m) ** 2 + c * past).argmin()].item(), abs=1e-5)


@pytest.mark.parametrize(("c", "a"), [(1.0, 1.0), (0.3, 1.8), (2.0, 3.0)])
def test_without_decoupling_the_next_surrogate_is_the_total_loss(c, a):
    """Its coefficient is the second difference of the total loss; with c′ or a′ larger it falls."""
    for m in (-1.0, 1.5):
        _, importance = explorers.next_surrogate(m, c, a, c, a)
        side = 1.0 if m < 0 else a
        assert importance.item() == pytest.approx(1 + c * side)
        assert explorers.next_surrogate(m, c, a, 1.5 * c, a)[1] < importance
    assert explorers.next_surrogate(1.5, c, a, c, 1.5 * a)[1] < importance


def test_sweeps_take_the_largest_and_the_median_path_integral_of_each_layer():
    first = landscape.first_task("pmnist-tiny", 0)
    found = explorers.sweeps(first)
    weights = first.path_integral.split(first.network.layer_sizes)[::2]
    assert [sweep.omega for sweep in found[::2]] == pytest.approx([w.max().item() for w in weights])
    for sweep, weight in zip(found[1::2], weights, strict=True):
        positive = weight[weight > 0]
        assert abs((positive > sweep.omega).sum() - len(positive) / 2) <= 1
    k = int(first.path_integral[: len(weights[0])].argmax())
    assert found[0].move == pytest.approx((first.theta - first.previous)[k].item())
    for sweep in found:
        for x, rise in (sweep.near, sweep.wide):
            assert rise[len(x) // 2] == x[len(x) // 2] == 0
        assert sweep.near[0][-1] == pytest.approx(2 * abs(sweep.move))


def test_accuracies_are_those_of_the_records():
    made = MADE["table"]
    for a in (0.5, 1.8, 3.0):
        runs, curves = RUNS[a], made.curves({"a": a})
        for seed, record in enumerate(runs):
            np.testing.assert_allclose(curves[f"final-{seed}"][1], record.matrix[-1], atol=1e-5)
            np.testing.assert_allclose(curves[f"learned-{seed}"][1], record.matrix.diagonal(), atol=1e-5)
        average = 100 * np.mean([metrics.final_accuracy(run.matrix) for run in runs])
        assert f"a = {a:g}: {average:.1f} % on average" in made.readout({"a": a})
    assert made.start == {"a": METHODS[METHOD].surrogate.a}


def test_the_button_trains_the_run_that_the_command_line_would(tmp_path, monkeypatch):
    known = [run(experiment("pmnist-tiny", METHOD), 0, tmp_path, progress=False, reference=True)]
    made = Retraining(known)
    slider, button, progress, status, picture = made.view.children
    slider.value = 3.0
    button.click()
    expected = run(experiment("pmnist-tiny", METHOD, {"a": "3"}), 0, tmp_path, progress=False, reference=True)
    averages = metrics.average_accuracy(expected.matrix)
    assert picture.value == made.picture(averages.tolist())
    assert picture.value != made.picture([])
    assert f"{100 * averages[-1]:.1f} % on average after 2 of 2 tasks" in status.value
    assert progress.value == progress.max == 2
    assert button.disabled is False
    seen = []
    monkeypatch.setattr(made, "train", lambda a, watch: seen.append((status.value, picture.value)))
    button.click()
    assert seen == [("", made.picture([]))], "the last result is gone while a new one is made"
    assert made._repr_mimebundle_()["text/html"].count("<svg") == 1


def test_measured_runs_are_those_of_the_values_that_the_book_names(tmp_path, monkeypatch):
    monkeypatch.setattr(explorers, "MEASURED", {"a": ("0.5", "1.8"), "c_prime": ("0",)})
    found = explorers.measured("pmnist-tiny", ["c_prime", "a"], 2, tmp_path)
    assert {name: list(groups) for name, groups in found.items()} == {"c_prime": [0.0], "a": [0.5, 1.8]}
    for name, groups in found.items():
        for value, mine in groups.items():
            assert [(run.hyperparameters[name], run.seed) for run in mine] == [(value, 0), (value, 1)]
