"""How Sphinx builds the pages: `tox run -e docs`."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "_ext"), str(Path(__file__).parents[1])]

project = "pytest-ganeti-vcluster"
author = "the authors of pytest-ganeti-vcluster"
copyright = author
try:
    release = metadata.version("pytest-ganeti-vcluster")
except metadata.PackageNotFoundError:
    release = "not installed"
version = release

extensions = ["sphinx.ext.autodoc", "vcluster_docs"]
exclude_patterns = ["_build"]
# Docstrings write `code` with single backticks.
default_role = "code"
add_module_names = False

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
# What pages do not describe is plain text in signatures, not a link that leads nowhere.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!pytest_ganeti_vcluster).*"),
    (r"py:.*", r"pytest_ganeti_vcluster\.(ganeti|keeper|engines|settings|testing)\..*"),
]

html_theme = "alabaster"
html_theme_options = {
    "description": "A real Ganeti cluster in a pytest test",
    "fixed_sidebar": True,
    "page_width": "68em",
    "sidebar_width": "15em",
    "body_max_width": "52em",
    "show_powered_by": False,
}
html_sidebars = {"**": ["about.html", "searchbox.html", "navigation.html"]}
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_copyright = False
