"""What the README says is what the committed results say, and what it tells to type exists."""

import json
import re
import statistics
import tomllib
from pathlib import Path

import readme
import yaml
from rattler import MatchSpec, Version, VersionSpec

from alasso import report
from alasso.experiments import experiment
from alasso.presets import ABLATIONS, PRESETS

ROOT = Path(__file__).parents[1]

TEXT = readme.README.read_text(encoding="utf-8")


def test_the_table_is_that_of_the_committed_results():
    assert readme.updated(TEXT, readme.tables()) == TEXT, "run `make readme`"


def test_the_figure_is_of_the_committed_results():
    assert readme.digest() in readme.FIGURE.read_text("utf-8"), "run `make readme`"


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
    python, installer = (MatchSpec(line, strict=True) for line in conda)
    assert [spec.name.normalized for spec in (python, installer)] == ["python", "pip"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    every = [Version(f"3.{minor}.0") for minor in range(30)]
    allowed, ours = (
        [version for version in every if VersionSpec(spec).matches(version)]
        for spec in (python.version, project["requires-python"])
    )
    assert allowed
    assert all(version in ours for version in allowed)
    index = "--extra-index-url https://download.pytorch.org/whl/cpu"
    assert pip == {"pip": [index, "--constraint constraints.txt", "-e .[test]"]}


def said_by(chapter: str) -> str:
    """Its texts and captions, wherever their lines break."""
    cells = json.loads((ROOT / "notebooks" / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]
    captions = [cell["metadata"].get("mystnb", {}).get("figure", {}).get("caption", "") for cell in cells]
    return " ".join(" ".join(["".join(cell["source"]) for cell in cells] + captions).split())


def test_more_epochs_help_whom_the_caption_says():
    said = (
        "ALASSO keeps more after twenty epochs than after five, SI about as much, EWC and MAS much less. "
        "With ten times as large a c SI and ALASSO, too, keep less after twenty"
    )
    assert said in said_by("weight_and_epochs")

    def gain(method, **settings):
        wanted = (report.recorded(experiment(p, method, settings)) for p in ("pmnist30", "pmnist30-short"))
        long, short = (statistics.mean(report.kept(runs)) for runs in wanted)
        return long / short

    assert gain("alasso-published") > 1.05
    assert 0.98 < gain("si") < 1.02
    assert max(gain("ewc"), gain("mas")) < 0.75
    assert max(gain("si", c="1"), gain("alasso-published", c="10")) < 1


def test_the_curve_of_table_1_rises_as_the_page_says():
    assert "ours rises from 1 to 3 and is level from there" in said_by("steepness")
    shares = [
        statistics.mean(report.kept(report.recorded(experiment("pmnist30-short", "alasso-published", {"a": a}))))
        for a in ("1", "2", "3", "4", "5")
    ]
    assert shares[:3] == sorted(shares[:3])
    assert max(shares[2:]) - min(shares[2:]) < 0.015 < shares[2] - shares[1]


def test_every_part_of_alasso_keeps_something_as_the_page_says():
    assert "Without (7) and without asymmetry less is kept, without decoupling little less" in said_by("pmnist_full")
    whole, *parts = (
        statistics.mean(report.kept(report.recorded(experiment("pmnist30", name))))
        for name in ("alasso-published", *ABLATIONS)
    )
    lost = dict(zip(ABLATIONS, (whole - part for part in parts), strict=True))
    assert 0 < lost.pop("alasso-coupled") < 0.015
    assert min(lost.values()) > 0.03
