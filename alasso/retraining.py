"""The small stream trained anew, by a button in JupyterLab."""

from collections.abc import Sequence
from functools import cached_property

import ipywidgets
import numpy as np
from matplotlib.ticker import MaxNLocator

from alasso import datasets, metrics, plots
from alasso.experiments import experiment
from alasso.results import Run
from alasso.run import build_network, build_stream
from alasso.train import Place, Watch, train_stream
from alasso.widgets import INK, both_faces, figure, moved, moving, named, svg


class Retraining:
    """The small stream trained anew, at an `a` of the reader's choice, beside the runs that are already known.

    Training is for the kernel. The page shows the known runs, one a seed, and says where the button is.
    """

    TITLE = "Average accuracy against the number of tasks trained: the known runs, and in JupyterLab yours"
    CAPTION = (
        "Average test accuracy of the tasks seen so far. In JupyterLab this picture has a slider for a and a button: "
        "the small stream is trained while you watch, and its curve is drawn, in black, beside the known ones."
    )

    SEED = 0

    def __init__(self, known: Sequence[Run]):
        self.known = known
        plots.use_style()
        drawn, (ax,) = figure(1, 3.4)
        plots.average_accuracy(ax, list(known))
        lowest = min(metrics.average_accuracy(run.matrix).min() for run in known)
        ax.set(xlim=(None, len(known[0].matrix) + 0.5), ylim=(max(0, lowest - 0.1), None))  # room for a worse run
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        moving(ax, "new", color=INK, linewidth=2.2)
        self.text, self.frames = svg(drawn, "retraining")

    def picture(self, averages: Sequence[float]) -> str:
        """The SVG with the average accuracies (tasks so far,) of the new run."""
        curve = np.arange(1, len(averages) + 1), np.array(averages)
        return named(moved(self.text, self.frames, {"new": curve}), self.TITLE)

    def train(self, a: float, watch: Watch) -> None:
        """A new run with this a; nothing is kept of it but what `watch` sees."""
        chosen = experiment(self.known[0].preset, self.known[0].method, {"a": f"{a:g}"})
        protocol, dataset = chosen.protocol, datasets.load(chosen.protocol.dataset)
        stream = build_stream(protocol, dataset, self.SEED)
        train_stream(build_network(protocol, dataset), chosen.surrogate, stream, protocol, self.SEED, "cpu", watch)

    @cached_property
    def view(self) -> ipywidgets.Widget:
        protocol = self.known[0].protocol
        slider = ipywidgets.FloatSlider(self.known[0].hyperparameters["a"], min=0.5, max=8, step=0.1, description="a")
        button, status = ipywidgets.Button(description="Train"), ipywidgets.HTML()
        progress = ipywidgets.IntProgress(max=protocol["tasks"] * protocol["epochs"], description="epochs")
        picture = ipywidgets.HTML(self.picture([]))

        def watch(place: Place, learner, loss: float) -> None:
            progress.value = place.task * protocol["epochs"] + place.epoch
            if place.epoch == place.step == 0:  # a task has ended
                averages = [float(np.mean(seen)) for seen, *_ in place.done]
                picture.value = self.picture(averages)
                status.value = (
                    f'<p role="status">a = {slider.value:g}, seed {self.SEED}: {100 * averages[-1]:.1f} % on average '
                    f"after {len(averages)} of {protocol['tasks']} tasks.</p>"
                )

        def start(_) -> None:
            button.disabled = True
            status.value, picture.value = "", self.picture([])
            try:
                self.train(slider.value, watch)
            finally:
                button.disabled = False

        button.on_click(start)
        return ipywidgets.VBox([slider, button, progress, status, picture])

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        caption = f"<figcaption>{self.CAPTION}</figcaption>"
        return both_faces(self.view, f'<figure class="explorer">{self.picture([])}{caption}</figure>', self.TITLE)
