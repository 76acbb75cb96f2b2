"""Makes the reference readable: sphinx.ext.autodoc leaves its own marks in signatures, and Python in named tuples."""


def clean(app, what, name, obj, options, signature, annotation):
    # "~" is for names outside of a signature; a default that a factory makes has no other text.
    return signature and signature.replace("~", "").replace("<factory>", "..."), annotation


def clear(app, what, name, obj, options, lines):
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()


def setup(app):
    app.connect("autodoc-process-signature", clean)
    app.connect("autodoc-process-docstring", clear)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
