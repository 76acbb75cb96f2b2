"""Makes the built site self-contained: MathJax and the notebooks go with it, scripts that would fetch more do not."""

import importlib.util
import shutil
from pathlib import Path

# The TeX-to-HTML build of MathJax, the commands it loads when a formula first needs them, and its fonts: 2 MB of 24.
MATHJAX_FILES = ["tex-mml-chtml.js", "input/tex/extensions/*.js", "output/chtml/fonts/woff-v2/*.woff"]


def mathjax_source() -> Path:
    # The package's name has hyphens, so it can be found but not imported by an import statement.
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None:
        raise RuntimeError("the book's formulas need sphinx-mathjax-offline: pip install -e '.[book]'")
    return Path(spec.origin).parent / "static" / "mathjax"


def copy_mathjax(app, exception):
    if exception is not None or app.builder.format != "html":
        return
    source, target = mathjax_source(), Path(app.outdir) / "_static" / "mathjax"
    for pattern in MATHJAX_FILES:
        files = sorted(source.glob(pattern))
        if not files:
            raise RuntimeError(f"{source} holds no {pattern}: another version of sphinx-mathjax-offline?")
        for file in files:
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


def drop_live(app, pagename, templatename, context, doctree):
    """Drops what only a kernel could use.

    Jupyter Book always adds thebe, which runs cells on a remote server and breaks pages that lack one; MyST-NB adds the
    state of the widgets, of which the page shows the other face.
    """

    def unwanted(script) -> bool:
        text = f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', '')}".lower()
        return "thebe" in text or "jupyter.widget-state" in text

    for key in ("script_files", "css_files"):
        context[key] = [file for file in context.get(key, []) if not unwanted(file)]


def offer_notebooks(app, exception):
    """Lets a page's download be the notebook as it is written: of one that was executed JupyterLab shows no SVG."""
    for page in Path(app.outdir, "_sources", "results", "executed").glob("*.ipynb"):
        written = Path(app.srcdir, "notebooks", page.name)
        if exception is None and written.exists():
            shutil.copyfile(written, page)


def setup(app):
    app.connect("html-page-context", drop_live, priority=900)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", offer_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
