"""Configuration of Sphinx."""

from __future__ import annotations

from importlib.metadata import version as installed_version

project = "cortado"
author = "the cortado developers"
copyright = "2026, the cortado developers"
version = release = installed_version("cortado-hep")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# In docstrings `name` is code, and |w| is an absolute value.
default_role = "code"
rst_prolog = r"""
.. |w| replace:: \|w\|
"""

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {
    "members": True,
    "special-members": "__call__",
    "exclude-members": "model_config",
    "show-inheritance": True,
}
napoleon_use_rtype = False
