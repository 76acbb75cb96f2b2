"""Notebooks executed with parameters into results/executed, once for each state of all that they depend on."""

import hashlib
import importlib.util
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from alasso.errors import BadInput, check_name


def check(notebook: Path) -> None:
    """Raise BadInput if no page can be made of this notebook here."""
    if not notebook.exists():
        raise BadInput(f"{notebook}: not there; pages are made in a checkout of the project")
    if not all(map(importlib.util.find_spec, ("nbformat", "papermill"))):
        raise BadInput("pages need papermill and JupyterLab: pip install 'alasso[book]'")


def execute(
    notebook: Path, page: Path, parameters: Mapping[str, object], data: Iterable[Path] = (), title: str | None = None
) -> bool:
    """Run the notebook with these parameters; returns False if the page is there and nothing has changed since.

    A title takes the place of the notebook's own, its first line.

    What counts is the notebook, the parameters, the package's source and the data files. The page appears whole or not
    at all; while it is made, or if a cell fails, it is in `….partial.ipynb`.
    Raises BadInput as `check` does and for a parameter that the notebook does not have, and papermill's
    PapermillExecutionError.
    """
    check(notebook)
    key = _key(notebook, parameters, data)
    if _key_of(page) == key:
        return False
    import nbformat
    import papermill

    known = papermill.inspect_notebook(str(notebook))
    for name in parameters:
        check_name(f"parameter {name!r} of {notebook.name}", name, known)
    page.parent.mkdir(parents=True, exist_ok=True)
    partial = page.with_suffix(".partial.ipynb")
    papermill.execute_notebook(str(notebook), str(partial), dict(parameters), progress_bar=False)
    made = nbformat.read(partial, as_version=4)
    for cell in made.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            said = [line for line in cell.source.splitlines() if not line.startswith("results = ")]  # a folder of here
            cell.source = "\n".join(said)
            cell.metadata.tags += ["remove-cell"] * all(line.startswith("#") for line in said)
    made.metadata["alasso"] = {"key": key}
    if title:
        first = made.cells[0]
        first.source = "\n".join([f"# {title}", *first.source.splitlines()[1:]])
    nbformat.write(made, partial)
    os.replace(partial, page)
    return True


def _key(notebook: Path, parameters: Mapping[str, object], data: Iterable[Path]) -> str:
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for path in [notebook, *sorted(Path(__file__).parent.glob("*.py")), *sorted(data)]:
        digest.update(f"{path.name}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _key_of(page: Path) -> str | None:
    try:
        return json.loads(page.read_text(encoding="utf-8"))["metadata"]["alasso"]["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
