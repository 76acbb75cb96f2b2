"""A directive that shows, on any page, a figure which an executed notebook has glued.

    ```{notebook-figure} /results/executed/permuted_mnist.ipynb average-accuracy-figure
    :alt: what the picture shows, for those who cannot see it
    :name: fig:average-accuracy

    The caption.
    ```

In the notebook: `myst_nb.glue("average-accuracy-figure", fig, display=False)`. MyST-NB's own `glue:figure` cannot take
a figure from another page. A key that is missing is an error, and so is a missing alt.
"""

import json
from base64 import b64decode
from pathlib import Path

from docutils.parsers.rst.directives.images import Figure as DocutilsFigure
from sphinx.directives.patches import Figure

SUFFIXES = {"image/svg+xml": ".svg", "image/png": ".png"}


def glued_image(notebook: Path, key: str) -> tuple[str, bytes]:
    """The file suffix and bytes of the picture glued under this key."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    glued = {o["metadata"]["scrapbook"]["name"]: o["data"] for o in outputs if "scrapbook" in o.get("metadata", {})}
    if key not in glued:
        raise ValueError(f"{notebook.name} has glued no {key!r}; it has: {', '.join(sorted(glued)) or 'nothing'}")
    # With display=False, glue prefixes every media type.
    data = {mime.removeprefix("application/papermill.record/"): value for mime, value in glued[key].items()}
    for mime, suffix in SUFFIXES.items():
        if mime in data:
            text = "".join(data[mime])
            return suffix, text.encode() if suffix == ".svg" else b64decode(text)
    raise ValueError(f"{key!r} of {notebook.name} is no picture; it is: {', '.join(data)}")


class NotebookFigure(Figure):
    required_arguments = 2
    final_argument_whitespace = False
    option_spec = DocutilsFigure.option_spec

    def run(self):
        if not self.options.get("alt"):
            raise self.error("notebook-figure needs an :alt: text")
        env = self.state.document.settings.env
        path, key = self.arguments
        _, absolute = env.relfn2path(path)
        env.note_dependency(absolute)
        try:
            suffix, data = glued_image(Path(absolute), key)
        except (OSError, ValueError) as error:
            raise self.error(f"notebook-figure: {error}") from error
        # Sphinx takes images from below its source folder, which for this book is the whole project.
        picture = Path("_build", "figures", f"{Path(path).stem}-{key}{suffix}")
        (Path(env.srcdir) / picture).parent.mkdir(parents=True, exist_ok=True)
        (Path(env.srcdir) / picture).write_bytes(data)
        self.arguments = [f"/{picture.as_posix()}"]
        return super().run()


def setup(app):
    app.add_directive("notebook-figure", NotebookFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
