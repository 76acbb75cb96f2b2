"""What depends on where and from what the book is built: the footer, and the buttons that open a notebook elsewhere.

The footer has the versions, the commit and its date, so that the same commit gives the same page, and the book as a PDF
where `make pdf` has made one. The repository is
that of the GitHub action that builds the book, or `repository: url` of _config.yml; where there is neither, there
are no buttons.
"""

import os
import shutil
from functools import cache
from pathlib import Path

import torch

import alasso
from alasso import results

PDF = Path("_build", "alasso.pdf")
EXECUTED = "results/executed/"
COLAB_BRANCH = "colab"  # where the workflow puts the notebooks with a cell that fetches the project: book/colab.py
LAUNCH = {
    "notebook_interface": "jupyterlab",
    "binderhub_url": "https://mybinder.org",
    "colab_url": "https://colab.research.google.com",
}


@cache
def footer(folder: Path) -> str:
    """One line of HTML: versions, and outside a copy without history the commit and its date."""
    parts = [f"alasso {alasso.__version__}", f"PyTorch {torch.__version__.partition('+')[0]}"]
    if (folder / ".git").exists():
        parts.append(results.git("log", "-1", "--date=format:%-d %B %Y", "--format=commit %h of %cd", at=folder))
    return f"<p>{', '.join(filter(None, parts))}</p>"


def add_footer(app, pagename, templatename, context, doctree):
    text = footer(Path(app.srcdir))
    if (Path(app.srcdir) / PDF).exists() and app.builder.name == "html":
        text = text.replace("</p>", f', <a href="{context["pathto"](PDF.name, 1)}">the book as PDF</a></p>')
    context["theme_extra_footer"] = text


def copy_pdf(app, exception):
    if exception is None and (Path(app.srcdir) / PDF).exists() and app.builder.name == "html":
        shutil.copyfile(Path(app.srcdir) / PDF, Path(app.outdir) / PDF.name)


def configure(app, config):
    options = config.html_theme_options
    if not options.get("repository_url") and os.environ.get("GITHUB_REPOSITORY"):
        server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
        options["repository_url"] = f"{server}/{os.environ['GITHUB_REPOSITORY']}"
        options["repository_branch"] = os.environ.get("GITHUB_REF_NAME", "main")
    if options.get("repository_url"):
        options |= {"use_repository_button": True, "launch_buttons": LAUNCH}


def point_to_sources(app, pagename, templatename, context, doctree):
    """Executed notebooks are not in the repository: what is opened is their source. Other pages open nowhere."""
    groups = [group for group in context.get("header_buttons", []) if group.get("label") == "launch-buttons"]
    for group in groups:
        # A page of `alasso reproduce` has no notebook of its own.
        notebook = Path(app.srcdir, "notebooks", pagename.removeprefix(EXECUTED)).with_suffix(".ipynb")
        if not (pagename.startswith(EXECUTED) and notebook.exists()):
            context["header_buttons"].remove(group)
        for button in group["buttons"]:
            button["url"] = source_url(button["url"])


def source_url(url: str) -> str:
    """The address of the notebook that an executed one was made from; for Colab, with a cell that fetches the rest."""
    if url.startswith(LAUNCH["colab_url"]):
        repository, _, path = url.partition("/blob/")
        return f"{repository}/blob/{COLAB_BRANCH}/{path.rpartition(EXECUTED)[2]}"
    return url.replace(EXECUTED, "notebooks/")


def setup(app):
    app.connect("config-inited", configure, priority=900)  # after Jupyter Book has filled in its defaults
    app.connect("html-page-context", add_footer)
    app.connect("build-finished", copy_pdf)
    app.connect("html-page-context", point_to_sources, priority=900)  # after the theme has made its buttons
    return {"parallel_read_safe": True, "parallel_write_safe": True}
