"""Lets a page's equations start at a number of its own, so that (1) to (11) are the paper's, chapter by chapter.

In `_config.yml`:  first_equation: {results/executed/perfect: 7}
"""


def start(app, docname, source):
    # Sphinx counts the equations of a page here, from zero, and forgets the count after the page.
    app.env.temp_data["eqnoserialno"] = app.config.first_equation.get(docname, 1) - 1


def setup(app):
    app.add_config_value("first_equation", {}, "env", types=[dict])
    app.connect("source-read", start)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
