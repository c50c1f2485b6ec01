"""The API pages: every public name, with its source; and docstrings that no markup can break."""

import html
import io
import re

import docutils.core
import docutils.utils
import pytest
import torch

import stn_course
from tools import ROOT
from tools.book import api as book_api

NAMES = [name for name in stn_course.__all__ if not (ROOT / "stn_course" / name).is_dir()]


def rendered(text, arguments=()):
    """What docutils makes of a docstring: (its tree as text, its warnings)."""
    said = io.StringIO()
    settings = {"warning_stream": said, "report_level": 1, "halt_level": 5}
    rest = ".. default-role:: literal\n\n" + "\n".join(
        book_api.to_rest(text.splitlines(), set(arguments))
    )
    tree = docutils.core.publish_doctree(rest, settings_overrides=settings)
    return tree.pformat(), said.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "Takes *args and **options, x_ and _x, |a| <= 1, a\\b, f(x)_, 2*y and `code` with k`s.",
        "An item:\n\n- one, which is\n  longer than a line\n- two_ *",
        "An argument follows.\n\nsize: (H, W) of the output\n    and what it means\nx: another",
        "An example::\n\n    from a import *\n    x = `1`\n\n    y = |2|\n\nAnd more.",
        "A table:\n\n    NAME *    what it is\n    OTHER_    what else",
        "Wide `a <b>` and ``two`` ticks, `[B, C]`, `x > 0`, a `name`, `call()`.  # [B, 2, 3]",
        "1. first\n2. second",
        "",
    ],
)
def test_plain_text_is_never_taken_for_markup(text):
    tree, warnings = rendered(text, {"size", "x"})
    assert warnings == ""
    assert "<emphasis>" not in tree and "<strong>" not in tree and "<problematic" not in tree


def test_what_it_makes_of_them():
    tree, _ = rendered(
        "Reads 2*x*y.\n\n- one\n  more\n- two\n\nsize: of it\n\nE::\n\n    a = 1", {"size"}
    )
    assert "Reads 2*x*y." in tree
    assert tree.count("<list_item>") == 2 and "one more" in tree
    assert re.search(r"<field_name>\s+param size\s", tree)
    assert re.search(r"<literal_block[^>]*>\s+a = 1", tree)
    assert "<emphasis>" in rendered("Maps *down*, not up.")[0]
    assert "<strong>" in rendered("Maps **output to input** always.")[0]
    assert book_api.to_rest(["The median.  # [B, C]"], set())[0] == "The median. → ``[B, C]``\\ "
    assert book_api.to_rest(["See `geometry.affine` and `x > 0`."], set())[0] == (
        r"See `geometry.affine`\  and ``x > 0``\ ."
    )


def test_an_unknown_argument_is_prose():
    assert "field" not in rendered("Raises: never.", {"size"})[0]


def test_solutions_are_not_shown():
    found = list(book_api.modules(ROOT / "stn_course" / "lessons"))
    assert "stn_course.lessons.widgets" in found
    assert not any("exercises" in name for name in found)


# What is beside the public names

ELSEWHERE = re.compile(r"\{py:obj\}`([\w.]+) <(stn_course\.[\w.]+)>`")


def test_what_packages_have_is_listed_where_it_is_defined_and_has_an_example(monkeypatch):
    """And the examples run, one after another."""
    from stn_course import models

    page = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    listed = dict(ELSEWHERE.findall(page))
    for short, full in listed.items():
        thing = stn_course
        for part in short.split("."):
            thing = getattr(thing, part)
        assert f"{thing.__module__}.{thing.__qualname__}" == full
        assert re.search(rf"\b{re.escape(short)}\b", "".join(code))
    wanted = "transform_points transform_points_back transform_boxes transform_polygons Rotation "
    wanted += "Parametrisation spline_from_landmarks homography_from_points robust_homography"
    assert {f"geometry.{name}" for name in wanted.split()} <= set(listed)
    monkeypatch.setattr(models, "TRANSFORMS", dict(models.TRANSFORMS))
    names = {}
    for block in code:
        exec(block, names)
    shapes = {"read_at": (4, 2, 2), "around": (4, 1, 4), "outline": (4, 1, 4, 2)}
    shapes |= {"flat": (1, 3, 32, 100), "fit": (1, 3, 3), "four": (4, 3, 16, 50)}
    shapes |= {"small": (4, 3, 8, 25), "wider": (4, 3, 16, 50), "shifted": (4, 3, 32, 100)}
    assert {name: tuple(names[name].shape) for name in shapes} == shapes
    assert names["moved"].dtype == torch.int64 and names["inliers"].tolist()[0].count(False) <= 2


# The built pages


def test_every_public_name_is_listed_once_and_leads_to_its_entry_and_source(book):
    page = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"(?m)^   (\w+)$", page)) == sorted(NAMES)
    built = (book / "api.html").read_text(encoding="utf-8")
    for name in NAMES:
        thing = getattr(stn_course, name)
        home = f"{thing.__module__}.{thing.__qualname__}"
        found = re.search(rf'href="(api/\w+\.html)#{re.escape(home)}"', built)
        assert found, name
        entry = (book / found[1]).read_text(encoding="utf-8")
        source = f"../_modules/{thing.__module__.replace('.', '/')}.html"
        assert f'href="{source}#{thing.__qualname__}"' in entry and (book / "api" / source).exists()


def test_every_package_has_a_page_with_its_sentence(book):
    index = html.unescape((book / "api.html").read_text(encoding="utf-8"))
    for folder in book_api.packages():
        assert (book / "api" / f"{folder.name}.html").exists()
        assert f'href="api/{folder.name}.html"' in index


def test_a_name_in_backquotes_leads_to_where_it_is_explained(book):
    text = (book / "api" / "models.html").read_text(encoding="utf-8")
    assert re.search(r'href="[^"]*geometry[^"]*"[^>]*><code', text)


def test_the_source_of_a_name_is_in_the_package(monkeypatch):
    """A mocked decorator names its own package, which has no page: nothing may lead there."""
    where = "stn_course.sampling.reference"
    mocked = type("Mocked", (), {"__module__": "triton"})
    monkeypatch.setattr(f"{where}.kernel", mocked(), raising=False)
    assert book_api.source_of(None, where, "kernel") == where
    assert book_api.source_of(None, where, "no_such") == where
    assert book_api.source_of(None, "stn_course", "SpatialTransformer") == (
        "stn_course.models.transformers"
    )
    assert book_api.source_of(None, "stn_course.models", "SpatialTransformer.forward") == (
        "stn_course.models.transformers"
    )
