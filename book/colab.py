"""Notebooks for Colab, which opens a notebook without its project: each gets a first cell that fetches it.

    python book/colab.py https://github.com/OWNER/NAME COMMIT FOLDER

The workflow puts the folder on the branch that the book's Colab buttons lead to (book/_ext/publication.py).
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The folder of the project becomes the working directory, which Python imports from; results are found through it.
CELL = """\
# Colab has only this notebook: fetch the project it belongs to, with its results, and what that needs.
!git clone --quiet {repository} project && git -C project checkout --quiet {commit}
%cd project
%pip install --quiet --editable . myst-nb"""


def prepared(notebook: dict, repository: str, commit: str) -> dict:
    """The notebook with a first cell that fetches this commit."""
    source = CELL.format(repository=repository, commit=commit).splitlines(keepends=True)
    first = {
        "cell_type": "code",
        "execution_count": None,
        "id": "fetch",
        "metadata": {},
        "outputs": [],
        "source": source,
    }
    return {**notebook, "cells": [first, *notebook["cells"]]}


def main(repository: str, commit: str, folder: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = prepared(json.loads(path.read_text(encoding="utf-8")), repository, commit)
        text = json.dumps(notebook, indent=1, ensure_ascii=False)
        (Path(folder) / path.name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python book/colab.py REPOSITORY COMMIT FOLDER")
    main(*sys.argv[1:])
