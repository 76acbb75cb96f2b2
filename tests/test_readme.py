"""What the README says is what the committed results say, and what it tells to type exists."""

import re
import tomllib
from pathlib import Path

import readme
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from alasso.presets import PRESETS

ROOT = Path(__file__).parents[1]

TEXT = readme.README.read_text(encoding="utf-8")


def test_the_table_is_that_of_the_committed_results():
    assert readme.updated(TEXT, readme.tables()) == TEXT, "run `make readme`"


def test_the_figure_is_of_the_committed_results():
    assert readme.digest() in readme.FIGURE.read_text("utf-8"), "run `make readme`"


def test_a_figure_with_other_names_or_dashes_is_another_one(monkeypatch):
    groups, broken = readme.front_page.curves()
    first, *others = groups
    for name, line in ((f"{first}!", broken), (first, [*broken, first])):
        renamed = {name: groups[first]} | {other: groups[other] for other in others}
        monkeypatch.setattr(readme.front_page, "curves", lambda shown=(renamed, line): shown)
        assert readme.digest() not in readme.FIGURE.read_text("utf-8")


def test_links_and_pictures_are_there():
    targets = re.findall(r"\]\(((?!http)[^)#]+)\)", TEXT)
    assert targets
    for target in targets:
        assert (ROOT / target).is_file(), target


def test_what_it_tells_to_type_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    pages = (readme.README, ROOT / "CHANGELOG.md", *(ROOT / "book").rglob("*.md"))
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    targets = set(re.findall(r"(?:^|`)make (?:\w+=\S+ )*(\w+)", text, re.MULTILINE))
    assert {"book", "pdf", "test", "bench"} <= targets <= set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
    presets = set(re.findall(r"alasso run (\S+)", TEXT))
    assert set(readme.SHOWN) <= presets <= PRESETS.keys()


def test_conda_users_get_the_same_list_of_dependencies():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    assert all(re.fullmatch(r"[a-z]+ ?([<>]=?[\d.]+(,|$))*", line) for line in conda), "as conda and pip both read it"
    python, installer = map(Requirement, conda)
    assert (python.name, installer.name) == ("python", "pip")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    every = [f"3.{minor}.0" for minor in range(30)]
    allowed, ours = ([*spec.filter(every)] for spec in (python.specifier, SpecifierSet(project["requires-python"])))
    assert allowed
    assert all(version in ours for version in allowed)
    index = "--extra-index-url https://download.pytorch.org/whl/cpu"
    assert pip == {"pip": [index, "--constraint constraints.txt", "-e .[test]"]}
