"""What the published book says of its origin, where its buttons lead, and what the workflow may do."""

import importlib
import json
import re
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace

import colab
import pdf
import publication
import pytest
import torch
import yaml
from IPython.testing.globalipapp import start_ipython

import alasso
from alasso.targets import TARGETS

ROOT = Path(__file__).parents[1]

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "book.yml").read_text(encoding="utf-8"))


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A repository with a package, committed on a date of its own."""
    folder = tmp_path / "origin"
    (folder / "fetched_package").mkdir(parents=True)
    (folder / "fetched_package" / "__init__.py").write_text("answer = 42\n", encoding="utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2021-03-04T05:06:07+00:00")
    git(folder, "commit", "--quiet", "--message", "First")
    return folder


def configured(monkeypatch, **environment) -> dict:
    """The theme's options as the extension leaves them, with these variables set."""
    for name in ("GITHUB_REPOSITORY", "GITHUB_SERVER_URL", "GITHUB_REF_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config = SimpleNamespace(html_theme_options={"repository_url": ""})
    publication.configure(None, config)
    return config.html_theme_options


def test_the_oldest_pytorch_allowed_is_the_one_that_was_tested():
    allowed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for name in ("torch", "torchvision"):
        tested = re.search(rf"^{name}==(\d+\.\d+)\.", pins, re.MULTILINE)[1]
        assert f"{name}>={tested}" in allowed


def test_the_footer_has_versions_commit_and_its_date(project):
    text = publication.footer(project)
    assert f"alasso {alasso.__version__}, PyTorch {torch.__version__.partition('+')[0]}" in text
    assert f"commit {git(project, 'rev-parse', '--short', 'HEAD')} of 4 March 2021" in text


def test_the_footer_of_a_copy_without_history_has_no_commit(tmp_path):
    assert "commit" not in publication.footer(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "--quiet")
    assert publication.footer(empty) == publication.footer(tmp_path), "a repository without a commit"


def test_without_a_repository_there_are_no_buttons(monkeypatch):
    assert configured(monkeypatch) == {"repository_url": ""}


def test_on_github_the_buttons_lead_to_the_repository_of_the_action(monkeypatch):
    options = configured(
        monkeypatch, GITHUB_REPOSITORY="a/b", GITHUB_SERVER_URL="https://github.com", GITHUB_REF_NAME="main"
    )
    assert options["repository_url"] == "https://github.com/a/b"
    assert options["repository_branch"] == "main"
    assert options["launch_buttons"]["binderhub_url"]


@pytest.mark.parametrize(
    ("theme", "source"),
    [
        (
            "https://mybinder.org/v2/gh/a/b/main?urlpath=lab/tree/results/executed/switches.ipynb",
            "https://mybinder.org/v2/gh/a/b/main?urlpath=lab/tree/notebooks/switches.ipynb",
        ),
        (
            "https://colab.research.google.com/github/a/b/blob/main/results/executed/switches.ipynb",
            "https://colab.research.google.com/github/a/b/blob/colab/switches.ipynb",
        ),
    ],
)
def test_buttons_open_the_source_of_an_executed_notebook(theme, source):
    assert publication.source_url(theme) == source
    assert (ROOT / "notebooks" / source.rpartition("/")[2]).is_file()
    context = {"header_buttons": [{"label": "launch-buttons", "buttons": [{"url": theme}]}, {"label": "download"}]}
    app = SimpleNamespace(srcdir=ROOT)
    publication.point_to_sources(app, "results/executed/switches", None, context, None)
    assert context["header_buttons"][0]["buttons"][0]["url"] == source
    for other in ("book/own_project", "results/executed/figure-4-demo"):
        none = {"header_buttons": list(context["header_buttons"])}
        publication.point_to_sources(app, other, None, none, None)
        assert none["header_buttons"] == [{"label": "download"}]


def test_notebooks_for_colab_are_the_notebooks_after_one_cell(tmp_path):
    colab.main("https://github.com/a/b", "c0ffee", tmp_path / "out")
    sources = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [path.name for path in sources]
    for path in sources:
        made, source = (json.loads(p.read_text(encoding="utf-8")) for p in (tmp_path / "out" / path.name, path))
        first, *rest = made["cells"]
        assert rest == source["cells"]
        assert "https://github.com/a/b" in "".join(first["source"])


def test_the_cell_for_colab_fetches_the_commit_and_python_finds_it(project, tmp_path, monkeypatch):
    commit = git(project, "rev-parse", "HEAD")
    (project / "fetched_package" / "__init__.py").write_text("answer = 43\n", encoding="utf-8")
    git(project, "commit", "--quiet", "--all", "--message", "Second")
    cell = "".join(colab.prepared({"cells": []}, str(project), commit)["cells"][0]["source"])
    fetch, install = cell.rsplit("\n", 1)
    assert install.startswith("%pip install --quiet --editable . ")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")  # as in a notebook
    shell = start_ipython()
    assert shell.run_cell(fetch).success
    assert shell.run_cell("import fetched_package\nassert fetched_package.answer == 42").success
    assert Path.cwd() == tmp_path / "project"


def test_actions_are_pinned_and_no_job_may_more_than_it_must():
    text = (ROOT / ".github" / "workflows" / "book.yml").read_text(encoding="utf-8")
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert used
    for action, comment in used:
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
    assert WORKFLOW["permissions"] == {}
    permissions = {name: job["permissions"] for name, job in WORKFLOW["jobs"].items()}
    assert permissions == {
        "build": {"contents": "read"},
        "deploy": {"pages": "write", "id-token": "write"},
        "colab": {"contents": "write"},
    }


def test_the_workflow_runs_what_the_makefile_has():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = [step["run"] for step in WORKFLOW["jobs"]["build"]["steps"] if "run" in step]
    assert [command.split()[:2] for command in commands] == [["make", "test"], ["make", "pdf"], ["make", "book"]]
    for command in commands:
        assert f"\n{command.split()[1]}:" in makefile
    assert "book/colab.py" in WORKFLOW["jobs"]["colab"]["steps"][1]["run"]


def test_the_pdf_has_open_solutions_and_no_code_that_is_only_offered(tmp_path, browser):
    page = tmp_path / "page.html"
    page.write_text(
        """<title>A book</title><script>window.MathJax = {startup: {promise: Promise.resolve()}}</script>
        <details class="hide"><summary>Show code cell source</summary><p>offered</p></details>
        <details><summary>Solution</summary><p>forty-two</p></details>""",
        encoding="utf-8",
    )
    tab = browser.new_page()
    tab.goto(page.as_uri())
    assert not tab.get_by_text("forty-two").is_visible()
    tab.evaluate(pdf.OPENED)
    assert tab.get_by_text("forty-two").is_visible()
    assert tab.get_by_text("offered").count() == 0
    pdf.printed(page, tmp_path / "page.pdf", browser)
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_the_map_of_the_paper_leads_to_what_is_there():
    cells = json.loads((ROOT / "notebooks" / "paper_vs_ours.ipynb").read_text(encoding="utf-8"))["cells"]
    (rows,) = [text for cell in cells if (text := "".join(cell["source"])).startswith("## A map of the paper")]
    named = re.findall(r"`(formulas|networks)\.(\w+)`", rows)
    assert {name for _, name in named} >= {"total_loss", "si_importance", "perfect_importance", "table_c"}
    for module, name in named:
        assert callable(getattr(importlib.import_module(f"alasso.{module}"), name))
    targets = set(re.findall(r"\b(?:figure|table)-[a-z0-9]+(?:-\w+)?", rows))
    assert len(targets) > 5
    assert targets <= TARGETS.keys()
