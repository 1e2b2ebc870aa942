"""Sphinx's configuration of the site: `make docs` builds it, without a network, into build/docs."""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from pulsecast import __version__ as release  # noqa: E402, F401

project = "pulsecast"
author = "the pulsecast authors"
copyright = "the pulsecast authors; Apache-2.0"  # noqa: A001

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "building.repository",
    "building.generated",
    "building.docstrings",
    "building.links",
]
exclude_patterns = ["examples", "building", "README.md"]
default_role = "code"

html_theme = "furo"
html_title = "pulsecast"
html_static_path = ["look"]
html_css_files = ["pulsecast.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

# Cells run while the site is built, once for each state of a notebook; PULSECAST_NOTEBOOKS=off leaves that out.
nb_execution_mode = os.environ.get("PULSECAST_NOTEBOOKS", "cache")
nb_execution_cache_path = str(DOCS.parent / "build" / "docs-cells")
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_output_stderr = "remove"  # the engines' own log

autodoc_typehints = "signature"
autodoc_member_order = "alphabetical"
autodoc_preserve_defaults = True
maximum_signature_line_length = 60
toc_object_entries_show_parents = "hide"
python_display_short_literal_types = True
