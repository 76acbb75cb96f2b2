"""The book as a reader gets it: built once from a copy of the sources, then checked as files and in a real browser."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import chain
from pathlib import Path
from urllib.parse import unquote, urlsplit

import papermill
import pytest
from axe_playwright_python.sync_playwright import Axe

ROOT = Path(__file__).parents[1]
SOURCES = ["_config.yml", "_toc.yml", "alasso", "benchmarks", "book", "notebooks", "pyproject.toml", "results"]
BUILD = [Path(sys.executable).with_name("jupyter-book"), "build", ".", "--all", "-W", "--keep-going", "-n"]
TINY = {  # every notebook, with what makes it small
    "forgetting": {"tasks": 2, "epochs": 1},
    "surrogate": {"epochs": 1},
    "perfect": {"tasks": 4},
    "other_side": {"per_layer": 10},
    "tune_a": {},
    "decoupling": {},
    "permuted_mnist": {"methods": ["none", "si"]},
    "all_methods": {"methods": ["none", "si"]},
    "switches": {},
    "paper_vs_ours": {},
    "pmnist_full": {},
    "weight_and_epochs": {},
    "steepness": {},
    "split_cifar": {"preset": "split-cifar"},
    "split_tiny": {"preset": "split-tiny-64"},
}
EQUATIONS = {  # (1) to (11), in the paper's order
    "surrogate": ["total-si", "quadratic", "si"],
    "other_side": ["side", "asymmetric", "total"],
    "perfect": ["perfect", "vertex", "recursion", "drop-new", "drop-past"],
}
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


class Page(HTMLParser):
    """The elements of one HTML page, as (tag, attributes), and its ids."""

    def __init__(self, path: Path):
        super().__init__()
        self.path, self.text = path, path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict]] = []
        self.feed(self.text)
        self.ids = {attributes["id"] for _, attributes in self.elements if attributes.get("id")}

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def urls(self, *tags: str) -> list[str]:
        """Where the elements with these tags point to."""
        found = [a.get("src") or a.get("href") for tag, a in self.elements if tag in tags]
        return [url for url in found if url]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The folder of the built site, after the notebooks have run in miniature."""
    copy = tmp_path_factory.mktemp("book")
    for source in (ROOT / name for name in SOURCES):
        if source.is_dir():
            skipped = shutil.ignore_patterns("executed", "__pycache__", ".ipynb_checkpoints")
            shutil.copytree(source, copy / source.name, ignore=skipped)
        else:
            shutil.copy(source, copy)
    (copy / "results" / "executed").mkdir()
    (copy / ".venv").mkdir()
    (copy / ".venv" / "README.md").write_text("# No chapter of the book\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(copy), os.environ.get("PYTHONPATH", "")]))
        for name, parameters in TINY.items():
            notebook = copy / "notebooks" / f"{name}.ipynb"
            small = {"preset": "pmnist-tiny", "seeds": 1, "results": str(copy / "results")}
            known = papermill.inspect_notebook(notebook)
            papermill.execute_notebook(
                notebook,
                copy / "results" / "executed" / f"{name}.ipynb",
                {key: value for key, value in small.items() if key in known} | parameters,
                progress_bar=False,
                cwd=copy,
            )
        built = subprocess.run(BUILD, cwd=copy, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-4000:]
    return copy / "_build" / "html"


@pytest.fixture(scope="module")
def pages(site) -> list[Page]:
    return [Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]


def is_remote(url: str) -> bool:
    return urlsplit(url).scheme in {"http", "https"} or url.startswith("//")


def test_nothing_is_loaded_from_elsewhere(site, pages):
    remote = [(p.path.name, url) for p in pages for url in p.urls("script", "link", "img", "iframe") if is_remote(url)]
    for style in site.rglob("*.css"):
        loaded = re.findall(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", style.read_text(encoding="utf-8"))
        remote += [(style.name, url) for pair in loaded for url in pair if is_remote(url)]
    assert remote == []


def test_every_internal_link_leads_somewhere(site, pages):
    known = {page.path: page.ids for page in pages}
    dead = []
    for page in pages:
        for url in page.urls("a", "link", "script", "img"):
            parts = urlsplit(url)
            if parts.scheme or url.startswith("//"):
                continue
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            fragment = unquote(parts.fragment)
            if not target.is_file() or (fragment and target in known and fragment not in known[target]):
                dead.append((page.path.relative_to(site).as_posix(), url))
    assert dead == []


def test_every_image_is_there_and_described(pages):
    images = [(page.path, a) for page in pages for tag, a in page.elements if tag == "img"]
    assert images
    for path, image in images:
        assert (path.parent / unquote(image["src"])).is_file(), (path.name, image)
        assert len(image.get("alt", "")) > 10, (path.name, image)
        assert not re.search(r"\.(png|svg|jpe?g)$", image["alt"]), (path.name, image)


def test_equations_carry_the_numbers_of_the_paper(site):
    pattern = r'id="equation-eq-([\w-]+)">\s*<span class="eqno">\((\d+)\)'
    number = 1
    for chapter, labels in EQUATIONS.items():
        html = (site / "results" / "executed" / f"{chapter}.html").read_text(encoding="utf-8")
        assert re.findall(pattern, html) == [(label, str(number + k)) for k, label in enumerate(labels)]
        number += len(labels)


def test_references_to_equations_show_the_numbers_of_the_paper(pages):
    numbers = {label: str(n) for n, label in enumerate(chain.from_iterable(EQUATIONS.values()), start=1)}
    pattern = r'href="[^"]*#equation-eq-([\w-]+)">\(?(\d+)\)?<'
    shown = [found for page in pages for found in re.findall(pattern, page.text)]
    assert len(shown) > 20
    assert [(label, number) for label, number in shown if numbers[label] != number] == []


@pytest.mark.parametrize("name", TINY)
def test_chapters_open_with_aims_and_close_with_solved_exercises(site, name):
    cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    prose = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    assert "After this chapter you can" in prose[0]
    exercises = re.findall(r"^\*\*\d\.", "\n".join(prose).split("## Exercises")[1], flags=re.M)
    solutions = [cell for cell in cells if "solution" in cell["metadata"].get("tags", [])]
    assert 2 <= len(exercises) == len(solutions)
    assert cells[-1] is solutions[-1]
    for cell in solutions:
        assert "hide-cell" in cell["metadata"]["tags"]
        assert cell["metadata"]["jupyter"] == {"source_hidden": True}
        assert cell["source"][0] == "# Solution\n", "all that JupyterLab shows of it"
    html = (site / "results" / "executed" / f"{name}.html").read_text(encoding="utf-8")
    assert html.count("Hide the solution") == len(solutions)


@pytest.mark.parametrize("page", ["methods/bounds", "deviations", "speed", "scale", "own_project"])
def test_later_parts_close_with_solved_exercises_too(site, page):
    closing = (ROOT / "book" / f"{page}.md").read_text(encoding="utf-8").split("## Exercises\n")[1]
    exercises = re.findall(r"^\*\*\d\.", closing, flags=re.M)
    solutions = re.findall(r"code_prompt_show: Solution$|\{dropdown\} Solution$", closing, flags=re.M)
    assert 2 <= len(exercises) == len(solutions)
    html = (site / "book" / f"{page}.html").read_text(encoding="utf-8")
    assert len(re.findall(r">\s*Solution<|Hide the solution", html)) >= len(solutions)


def test_fences_of_notebooks_are_closed():
    """On lines of their own: one that is not swallows the rest of its cell, without a warning."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            fences = [line for line in "".join(cell["source"]).splitlines() if ":::" in line]
            assert len(fences) % 2 == 0, (path.name, fences)
            assert all(line.startswith(":::") for line in fences), (path.name, fences)


def test_every_notebook_is_tried_in_miniature():
    elsewhere = {"target"}  # test_reproduce.py executes it for several targets
    assert set(TINY) | elsewhere == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}


@pytest.fixture(params=["light", "dark"])
def opened(request, browser, pages):
    """Opens every page in turn in one window: yields (the page in the browser, the page as a file, what went wrong)."""

    def each(viewport):
        context = browser.new_context(offline=True, viewport=viewport, color_scheme=request.param)
        context.set_default_timeout(15_000)
        shown = [page for page in pages if "<main" in page.text]
        assert len(shown) == len(pages) - 1, "all but the redirect at the top of the site"
        for page in shown:
            tab, faults = context.new_page(), []
            tab.on("pageerror", lambda error, faults=faults: faults.append(str(error)))
            tab.on("console", lambda m, faults=faults: faults.append(m.text) if m.type == "error" else None)
            tab.on("request", lambda r, faults=faults: faults.append(r.url) if is_remote(r.url) else None)
            tab.on("requestfailed", lambda r, faults=faults: faults.append(r.url))
            tab.goto(page.path.as_uri())
            tab.wait_for_load_state("load")
            if 'class="math' in page.text:
                tab.wait_for_function("window.MathJax?.startup?.promise?.then(() => true)")
            assert tab.locator("html").get_attribute("data-theme") == request.param, page.path
            yield tab, page, faults
            tab.close()
        context.close()

    return each


def test_pages_open_without_fault(opened):
    for tab, page, faults in opened(DESK):
        assert faults == [], page.path
        assert tab.locator("mjx-merror").count() == 0, page.path
        assert tab.locator("mjx-container").count() == len(re.findall(r'class="math ', page.text)), page.path
        assert tab.evaluate("[...document.images].every(image => image.naturalWidth > 0)"), page.path


def test_pages_are_accessible(opened):
    for tab, page, _ in opened(DESK):
        found = Axe().run(tab, context="main").response["violations"]
        assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found] == [], page.path


def test_formulas_without_mathjax_are_noticed(browser, pages):
    page = next(page for page in pages if 'class="math' in page.text)
    context = browser.new_context(offline=True)
    context.route("**/mathjax/**", lambda route: route.abort())
    tab, failed = context.new_page(), []
    tab.on("requestfailed", lambda request: failed.append(request.url))
    tab.goto(page.path.as_uri())
    assert [url for url in failed if url.endswith("tex-mml-chtml.js")]
    assert tab.locator("mjx-container").count() == 0
    context.close()


def test_the_front_page_fits_a_screen(browser, site):
    context = browser.new_context(offline=True, viewport=DESK)
    tab = context.new_page()
    tab.goto((site / "book" / "index.html").as_uri())
    for part in (".front figure img", *(f".front .sd-card:has-text('{way}')" for way in ("Read", "Run", "Reproduce"))):
        box = tab.locator(part).bounding_box()
        assert box["y"] + box["height"] <= DESK["height"], part
    context.close()


@pytest.mark.parametrize("opened", ["dark"], indirect=True)
def test_figures_have_a_light_ground_in_dark_mode_too(opened):
    found = 0
    for tab, page, _ in opened(DESK):
        grounds = tab.locator("main img").evaluate_all("images => images.map(i => getComputedStyle(i).backgroundColor)")
        assert set(grounds) <= {"rgb(255, 255, 255)"}, page.path
        found += len(grounds)
    assert found > len(TINY)


def test_pages_fit_a_phone(opened):
    for tab, page, _ in opened(PHONE):
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], page.path
        chapter = tab.locator(".bd-sidebar-primary").get_by_role("link", name="Forgetting")
        assert not chapter.is_visible(), page.path
        tab.locator("button.primary-toggle").click()
        chapter.wait_for()
