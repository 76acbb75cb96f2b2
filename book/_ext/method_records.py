"""Directives that show what the committed records say of some methods, by alasso.report, while the page is built.

    ```{method-figure} ewc online-ewc
    :alt: what the picture shows, for those who cannot see it
    :name: fig:method-ewc

    The caption.
    ```

    ```{method-table} results ewc online-ewc
    ```

The table is one of `results` and `settings`, or, without methods, `overview`. Instead of methods a figure can have
`overview` or `claims`: the front page's.
A cell would do the same and start a kernel for every page.
"""

from pathlib import Path

import matplotlib.pyplot as plt
from docutils.statemachine import StringList
from sphinx.directives.patches import Figure
from sphinx.util.docutils import SphinxDirective

from alasso import claims, front_page, plots, report

TABLES = {"results": report.table, "settings": report.settings, "overview": front_page.overview}
FIGURES = {"overview": front_page.figure, "claims": claims.figure}


class MethodFigure(Figure):
    def run(self):
        if not self.options.get("alt"):
            raise self.error("method-figure needs an :alt: text")
        name, *others = self.arguments[0].split()
        # Sphinx takes images from below its source folder, which for this book is the whole project.
        picture = Path("_build", "figures", f"method-{'-'.join([name, *others])}.svg")
        target = Path(self.state.document.settings.env.srcdir) / picture
        target.parent.mkdir(parents=True, exist_ok=True)
        plots.use_style()
        drawing = FIGURES[name]() if name in FIGURES else report.figure(name, *others)
        drawing.savefig(target, metadata={"Date": None})
        plt.close(drawing)
        self.arguments = [f"/{picture.as_posix()}"]
        return super().run()


class MethodTable(SphinxDirective):
    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        kind, *methods = self.arguments[0].split()
        if kind not in TABLES:
            raise self.error(f"method-table {kind}: choose from {', '.join(TABLES)}")
        return self.parse_text_to_nodes(StringList(TABLES[kind](*methods).splitlines(), source=self.get_location()))


def setup(app):
    app.add_directive("method-figure", MethodFigure)
    app.add_directive("method-table", MethodTable)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
