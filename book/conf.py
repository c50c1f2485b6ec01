"""Sphinx's settings. Build with `python tools/book.py`, which gathers the sources first."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "How spatial transformers work"
author = "The stn-course authors"
release = PROJECT["version"]
language = "en"
extensions = [
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_togglebutton",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["generated", "_vendor"]

nb_execution_mode = "off"  # pages show the outputs stored in the notebooks
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables that a cell displays become tables
nb_ipywidgets_js = {"anywidget_static.js": {"defer": "defer"}}
myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
bibtex_bibfiles = ["refs.bib"]

mathjax_path = "mathjax/tex-svg.js"
# No package may be fetched on demand, and no menu that would do so.
mathjax3_config = {
    "tex": {"packages": {"[-]": ["autoload", "require"]}, "macros": {"R": r"\mathbb{R}"}},
    "options": {"enableMenu": False},
}

html_theme = "sphinx_book_theme"
html_title = "Spatial transformers"
html_logo = "_static/mark.svg"
html_favicon = "_static/mark.svg"
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_show_sourcelink = False
html_context = {"default_mode": "auto"}  # light or dark as the reader's system has it
html_theme_options = {
    "logo": {"text": "Spatial transformers", "alt_text": "Spatial transformers: home"},
    "navbar_persistent": [],  # the search field is in the sidebar already
    "home_page_in_toc": True,
    "show_navbar_depth": 1,
    "use_download_button": True,
    "use_repository_button": True,
    "repository_url": PROJECT["urls"]["Repository"],
    "repository_branch": "main",
    "repository_provider": "github",
    "path_to_docs": "",
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "footer_content_items": "extra-footer.html",
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "github-dark",
}


def setup(app):
    """Add the static files that the build gathered."""
    app.connect(
        "config-inited",
        lambda app, config: config.html_static_path.append(str(Path(app.srcdir) / "_vendor")),
    )
