"""Sphinx builds these pages: `make docs`."""

from __future__ import annotations

import converter

project = "converter"
author = "the converter developers"
version = release = converter.__version__

extensions = ["myst_parser", "sphinx_click"]
myst_heading_anchors = 4
nitpicky = True
html_theme = "furo"
html_title = f"converter {release}"
