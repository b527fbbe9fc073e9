"""A small book, built with the extensions that a test asks for."""

import io

import pytest


@pytest.fixture
def sphinx_build(tmp_path):
    """`sphinx_build(source, out, config)` builds a folder of pages, and gives the warnings as one text."""

    def sphinx_build(source, out, config, builder="html"):
        from sphinx.application import Sphinx
        from sphinx.util.docutils import docutils_namespace, patch_docutils

        warnings = io.StringIO()
        config = {"myst_enable_extensions": ["dollarmath"], "html_theme": "basic"} | config
        doctrees = tmp_path / "doctrees"
        with patch_docutils(), docutils_namespace():
            app = Sphinx(source, None, out, doctrees, builder, confoverrides=config, status=None, warning=warnings)
            app.build()
        return warnings.getvalue()

    return sphinx_build
