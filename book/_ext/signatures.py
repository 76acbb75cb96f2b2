"""Makes signatures of the package readable: sphinx.ext.autodoc leaves its own marks in those of dataclasses."""


def clean(app, what, name, obj, options, signature, annotation):
    # "~" is for names outside of a signature; a default that a factory makes has no other text.
    return signature and signature.replace("~", "").replace("<factory>", "..."), annotation


def setup(app):
    app.connect("autodoc-process-signature", clean)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
