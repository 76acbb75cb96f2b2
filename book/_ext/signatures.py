"""Makes the reference readable: sphinx.ext.autodoc leaves its own marks in signatures, and Python in named tuples."""


def without_marks(app, what, name, obj, options, signature, annotation):
    # "~" is for names outside of a signature; a default that a factory makes has no other text.
    return signature and signature.replace("~", "").replace("<factory>", "..."), annotation


def without_numbers(app, what, name, obj, options, lines):
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()


def setup(app):
    app.connect("autodoc-process-signature", without_marks)
    app.connect("autodoc-process-docstring", without_numbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
