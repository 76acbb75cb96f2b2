"""Notebooks executed into pages: when one is made again, and when none is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from alasso import pages
from alasso.errors import BadInput

ROOT = Path(__file__).parents[1]


@pytest.fixture
def small(tmp_path):
    """A notebook of one cell, with one parameter."""
    cells = [
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "preset = 'a'\nthen = 1"},
        {"cell_type": "code", "metadata": {}, "source": "print(preset, 1 / then)"},
    ]
    cells = [cell | {"id": str(k), "outputs": [], "execution_count": None} for k, cell in enumerate(cells)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path = tmp_path / "small.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_a_page_is_made_again_if_what_it_depends_on_has_changed(small, tmp_path, monkeypatch):
    page, data = tmp_path / "executed" / "page.ipynb", tmp_path / "data.json"
    data.write_text("1")
    made = []
    import papermill

    def execute(notebook, partial, *_, **__):
        made.append(partial)
        Path(partial).write_text(small.read_text())

    monkeypatch.setattr(papermill, "execute_notebook", execute)
    assert pages.execute(small, page, {"preset": "b"}, [data])
    assert not pages.execute(small, page, {"preset": "b"}, [data])
    assert pages.execute(small, page, {"preset": "c"}, [data])
    data.write_text("2")
    assert pages.execute(small, page, {"preset": "c"}, [data])
    small.write_text(small.read_text().replace("print(", "print(0, "))
    assert pages.execute(small, page, {"preset": "c"}, [data])
    assert not pages.execute(small, page, {"preset": "c"}, [data])
    page.write_text("torn")
    assert pages.execute(small, page, {"preset": "c"}, [data])
    package = tmp_path / "alasso"
    package.mkdir()
    monkeypatch.setattr(pages, "__file__", str(package / "pages.py"))
    for text in ("x = 1", "x = 2"):
        (package / "formulas.py").write_text(text)
        assert pages.execute(small, page, {"preset": "c"}, [data]), "the package is what a page is made with"
    assert len(made) == 7
    assert all(name.endswith(".partial.ipynb") for name in made)


@pytest.mark.parametrize(
    ("given", "shown", "tags"),
    [
        ('results = "_build/runs/1"', "# Parameters", ["injected-parameters", "remove-cell"]),
        ('results = "_build/runs/1"\nseeds = 5', "# Parameters\nseeds = 5", ["injected-parameters"]),
    ],
)
def test_a_reader_sees_what_was_given_but_no_folder_of_the_machine(small, tmp_path, monkeypatch, given, shown, tags):
    import papermill

    def execute(notebook, partial, *_, **__):
        book = json.loads(small.read_text())
        injected = {"tags": ["injected-parameters"]}
        cell = {"cell_type": "code", "metadata": injected, "source": f"# Parameters\n{given}", "id": "i"}
        book["cells"].append(cell | {"outputs": [], "execution_count": None})
        Path(partial).write_text(json.dumps(book))

    monkeypatch.setattr(papermill, "execute_notebook", execute)
    page = tmp_path / "page.ipynb"
    assert pages.execute(small, page, {"preset": "b"})
    last = json.loads(page.read_text())["cells"][-1]
    assert ("".join(last["source"]), last["metadata"]["tags"]) == (shown, tags)


def test_an_unknown_parameter_is_refused_and_a_failing_cell_makes_no_page(small, tmp_path):
    page = tmp_path / "page.ipynb"
    with pytest.raises(BadInput, match=r"parameter 'presett' of small\.ipynb: unknown; did you mean preset"):
        pages.execute(small, page, {"presett": "b"})
    with pytest.raises(Exception, match="ZeroDivisionError"):
        pages.execute(small, page, {"then": 0})
    assert not page.exists()
    assert "ZeroDivisionError" in page.with_suffix(".partial.ipynb").read_text()


def test_papermill_alone_runs_the_benchmark_from_any_directory(tmp_path):
    tool = Path(sys.executable).with_name("papermill")
    given = {"preset": "pmnist-tiny", "seeds": "1", "methods": "none,si", "results": str(tmp_path / "results")}
    options = [word for name, value in given.items() for word in ("-p", name, value)]
    notebook = ROOT / "notebooks" / "permuted_mnist.ipynb"
    subprocess.run([tool, notebook, "out.ipynb", *options], cwd=tmp_path, check=True, capture_output=True)
    cells = json.loads((tmp_path / "out.ipynb").read_text(encoding="utf-8"))["cells"]
    assert "| SI |" in json.dumps([cell.get("outputs") for cell in cells])
    assert len(list((tmp_path / "results" / "pmnist-tiny").glob("*.json"))) == 2
