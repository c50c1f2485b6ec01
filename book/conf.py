"""Sphinx's settings. Build with `python -m tools.book`, which gathers the sources first."""

import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT.get("urls", {}).get("Repository")  # none: no button that leads to one
sys.path.insert(0, str(ROOT))  # the tools, and the package whose docstrings are shown

project = "How spatial transformers work"
author = "The stn-course authors"
release = PROJECT["version"]
language = "en"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "tools.book.api",
    "tools.book.formulas",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_togglebutton",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["generated", "_vendor", "api/packages.md"]
autosummary_generate = False  # the list of public names leads to the packages' own pages

# The API pages. A name in single backquotes is a link where it is known, and code elsewhere.
default_role = "py:obj"
autodoc_mock_imports = ["keras", "tensorflow"]  # their names are enough, and they load slowly
if find_spec("triton") is None:  # where it is there, torch loads it too and needs the real one
    autodoc_mock_imports.append("triton")
autodoc_typehints = "signature"
autodoc_preserve_defaults = True  # as the code writes them: no path of this machine
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 68
add_module_names = False
toc_object_entries = False  # a sidebar of a thousand names helps nobody and is slow to make

nb_execution_mode = "off"  # pages show the outputs stored in the notebooks
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables that a cell displays become tables
nb_ipywidgets_js = {"anywidget_static.js": {"defer": "defer"}}
myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
bibtex_bibfiles = ["refs.bib"]

html_math_renderer = "drawn"  # by MathJax when the book is built: tools/book/formulas.py

html_theme = "sphinx_book_theme"
html_title = "Spatial transformers"
html_logo = "_static/mark.svg"
html_favicon = "_static/mark.svg"
html_static_path = ["_static"]
html_css_files = ["formulas.css", "course.css"]
html_js_files = [(f"{name}.js", {"defer": "defer"}) for name in ("scrollers", "page", "board")]
html_show_sourcelink = False
html_context = {"default_mode": "auto"}  # light or dark as the reader's system has it
html_theme_options = {
    "logo": {"text": "Spatial transformers", "alt_text": "Spatial transformers: home"},
    "navbar_persistent": [],  # the search field is in the sidebar already
    "home_page_in_toc": True,
    "show_navbar_depth": 1,
    "use_download_button": True,
    "footer_content_items": "extra-footer.html",
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "github-dark",
}
if REPOSITORY:
    html_theme_options |= {
        "use_repository_button": True,
        "repository_url": REPOSITORY,
        "repository_branch": "main",
        "path_to_docs": "",
    }
    if REPOSITORY.startswith("https://github.com/"):  # Colab opens notebooks from there alone
        html_theme_options["launch_buttons"] = {"colab_url": "https://colab.research.google.com"}


def footer(app, page, template, context, doctree):
    """Below what every page says: when this one was changed, and where to edit it and to ask."""
    from tools.book.pages import changed

    if said := changed(page, REPOSITORY):
        context["theme_extra_footer"] = f"{context.get('theme_extra_footer', '')}<p>{said}</p>"


def setup(app):
    """Add the static files that the build gathered, and to each page its own footer."""
    app.connect("html-page-context", footer)
    app.connect(
        "config-inited",
        lambda app, config: config.html_static_path.append(str(Path(app.srcdir) / "_vendor")),
    )
