"""Sphinx builds these pages: `make docs`."""

from __future__ import annotations

import converter

project = "converter"
author = "the converter developers"
version = release = converter.__version__

extensions = ["myst_parser", "sphinx_click", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_typehints = "none"  # each argument's description names its type
myst_heading_anchors = 4
nitpicky = True
html_theme = "furo"
html_title = f"converter {release}"
