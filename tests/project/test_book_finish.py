"""What is done to the book's pages once Sphinx has made them: formulas, weight, policy."""

import base64
import io
import json
import re

import nbformat
import numpy as np
import pytest
from PIL import Image

from tests.project.small_book import COUNTER, small_notebook
from tests.support import ROOT
from tools.book import formulas, policy, weight
from tools.notebooks import figures

# Formulas


@pytest.fixture(scope="module")
def setter():
    with formulas.Setter() as opened:
        yield opened


def test_a_formula_is_a_drawing_with_words_for_those_who_listen(setter):
    inline, display = setter.set(r"\theta \in \R^{2 \times 3}"), setter.set("x^2", True)
    assert inline.startswith("<mjx-container") and "<svg" in inline and "<script" not in inline
    assert "<math" in inline and 'mathvariant="double-struck"' in inline
    assert 'display="true"' not in inline and 'display="true"' in display
    assert "mjx-assistive-mml" in setter.style()


def test_what_tex_does_not_take_is_said_with_the_formula(setter):
    with pytest.raises(ValueError, match=r"Undefined control sequence .foo in the formula '.+foo'"):
        setter.set(r"\foo")
    assert "<svg" in setter.set("x")  # and the next is set


def test_other_files_of_mathjax_are_refused(monkeypatch):
    monkeypatch.setattr(formulas, "FILES", formulas.FILES[:-1])
    with pytest.raises(ValueError, match="MathJax's files have SHA-256 .*: reinstall them"):
        formulas.scripts()


def test_pages_have_formulas_and_no_script_that_sets_them(small_book):
    page = (small_book / "notebooks" / "01_small.html").read_text(encoding="utf-8")
    assert page.count("<mjx-container") == 2 and r"\theta" not in page
    assert not list(small_book.rglob("tex-svg.js"))


# Weight


@pytest.mark.parametrize(
    "css, left",
    [
        (".a{x:1}.b{x:2}", ".a{x:1}\n"),
        (".b,.a .a{x:1}", ".a .a{x:1}\n"),
        ("#b{x:1}", ""),
        (".a:not(.b){x:1}", ".a:not(.b){x:1}\n"),
        (".a[data-b=c]{x:1}", ".a[data-b=c]{x:1}\n"),
        ("p>q{x:1}p{x:2}", "p{x:2}\n"),
        (".show .a{x:1}", ".show .a{x:1}\n"),  # bootstrap's
        ("@media print{.b{x:1}}", ""),
        ("@media print{.a{x:1}.b{x:2}}", "@media print{.a{x:1}\n}\n"),
        ("@keyframes k{from{x:1}to{x:2}}.a{animation:k 1s}", None),
        ("@keyframes k{from{x:1}to{x:2}}.a{x:1}", ".a{x:1}\n"),
        ('.a::before{content:";}"}', '.a::before{content:";}"}\n'),
    ],
)
def test_rules_that_no_page_can_match_go(css, left):
    found = weight.needed(css, {"a"}, {"p", "div"})
    if left is None:
        assert "@keyframes k" in found and ".a{" in found
    else:
        assert found.strip() == left.strip()


def test_properties_that_nothing_reads_go_and_those_of_pages_stay():
    sheets = {"one": 'p{--a:1;--b:url("x;y");--c:var(--a)}', "two": "q{x:var(--c);--d:2;y:3}"}
    found = weight.read_alone(sheets, {"--d"})
    assert found == {"one": "p{--a:1;--c:var(--a)}", "two": "q{x:var(--c);--d:2;y:3}"}


@pytest.mark.parametrize("kinds", [("PNG",), ("PNG", "WEBP")], ids=len)
@pytest.mark.parametrize("kind", ["few", "clear", "many", "opaque"])
def test_a_picture_is_packed_without_loss(kind, kinds):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 30, 4), dtype=np.uint8)
    if kind in ("few", "clear"):
        pixels = rng.choice([0, 80, 255], (40, 30, 4)).astype(np.uint8)
    if kind in ("few", "opaque"):
        pixels[..., 3] = 255
    file = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(file, "PNG")
    packed, suffix = weight.packed(file.getvalue(), kinds)
    assert len(packed) < len(file.getvalue()) or kind in ("many", "clear")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(packed)).convert("RGBA")), pixels)
    assert Image.open(io.BytesIO(packed)).format.lower() == suffix[1:]


def test_pages_name_the_smaller_picture(tmp_path):
    """One of pages alone becomes WebP, and links to it follow; others keep their names."""
    rng = np.random.default_rng(0)
    pixels = np.kron(
        rng.integers(0, 256, (30, 30, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8)
    )
    for folder in ("_images", "_static"):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "a.png")
    page = tmp_path / "sub" / "page.html"
    page.parent.mkdir()
    page.write_text(
        '<a href="../_images/a.png"><img src="../_images/a.png"></a><img src="../_static/a.png">'
    )
    weight.pack(tmp_path)
    text = page.read_text()
    assert text.count("../_images/a.webp") == 2 and "../_static/a.png" in text
    assert text.count('loading="lazy"') == 2 == text.count('width="240"')
    assert sorted(p.name for p in tmp_path.rglob("a.*")) == ["a.png", "a.webp"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "_images" / "a.webp")), pixels)


def test_another_theme_is_noticed(tmp_path):
    (tmp_path / "_static" / "styles").mkdir(parents=True)
    (tmp_path / "_static" / "styles" / "theme.css").write_text(
        '.fa-b{--fa:"\\f2f2"}.fa-b::before{content:var(--fa)}'
    )
    page = tmp_path / "index.html"
    page.write_text('<script src="_static/scripts/fontawesome.js"></script><i class="fa-b"></i>')
    weight.lighten(tmp_path)
    assert page.read_text() == '<i class="fa-b"></i>'
    with pytest.raises(ValueError, match="0 icon scripts and 1 icons: it has changed"):
        weight.lighten(tmp_path)


def test_a_signature_reads_the_same_without_its_spans(book):
    text = (book / "api" / "training.html").read_text(encoding="utf-8")
    words = re.sub(r"<[^>]*>", "", text)
    assert '<span class="pre">' not in "".join(re.findall(r'<dt class="sig.*?</dt>', text, re.S))
    assert "class Config( model: str = 'cnn'," in " ".join(words.split())


def test_code_in_a_line_has_one_tag_and_a_link_no_second_address(book):
    text = (book / "api" / "experiments.html").read_text(encoding="utf-8")
    assert '<code class="literal">' in text and '<span class="pre">' not in text
    assert not re.search(r'href="[^"]*#([\w.]+)" title="\1"', text)


# Policy


def test_a_module_becomes_a_function_s_text():
    text = policy.classic("export const a = 1;\nexport function f() {}\n" + COUNTER)
    assert "export" not in text and text.rstrip().endswith("return { render };")
    for module in ('import x from "y";\n', "export class A {}\n", "export * from 'y';\n"):
        with pytest.raises(ValueError, match="wanted exports of const and function"):
            policy.classic(module)


def finished(tmp_path, body: str) -> str:
    page = tmp_path / "sub" / "page.html"
    page.parent.mkdir()
    (tmp_path / "_static").mkdir()
    page.write_text(f"<html><head></head><body>{body}</body></html>")
    policy.apply(tmp_path)
    return page.read_text()


def test_scripts_styles_and_pictures_move_into_files(tmp_path):
    png = base64.b64encode(b"picture").decode()
    page = finished(
        tmp_path,
        "<script>let a = \"<b style='x'>\";</script><style>p{x:1}</style>"
        f'<p style="color:red" title="a > b"><img src="data:image/png;base64,{png}"></p>'
        '<p class="c" style=\'color:red\'>"data:image/png;base64,no picture"</p>'
        '<button onclick="window.print()">print</button>',
    )
    script = re.search(r'<script src="\.\./(_static/inline/\w+\.js)"></script>', page)[1]
    assert (tmp_path / script).read_text() == "let a = \"<b style='x'>\";"
    sheets = re.findall(r'href="\.\./(_static/inline/\w+\.css)"', page.split("</head>")[0])
    styles = [(tmp_path / each).read_text() for each in sheets]
    name = re.search(r'<p class="(s-\w+)" title="a > b">', page)[1]
    assert styles == ["p{x:1}", f".{name}.{name}.{name}{{color:red}}\n"]
    assert f'<p class="{name} c">"data:image/png;base64,no picture"</p>' in page
    picture = re.search(r'src="\.\./(_static/pictures/\w+\.png)"', page)[1]
    assert (tmp_path / picture).read_bytes() == b"picture"
    assert '<button data-does="print">' in page


def test_a_handler_that_is_not_known_stops_the_build(tmp_path):
    with pytest.raises(ValueError, match='onclick="other.*no page may have a handler'):
        finished(tmp_path, '<p onclick="other()">x</p>')


def test_a_figure_s_module_is_a_file_and_its_values_stay(small_book):
    page = (small_book / "notebooks" / "01_small.html").read_text(encoding="utf-8")
    state = json.loads(
        re.search(rf'<script type="{re.escape(policy.STATE)}">(.*?)</script>', page)[1]
    )
    (model,) = state["state"].values()
    assert model["state"]["value"] == 4 and "_esm" not in model["state"]
    files = re.findall(r'<script defer src="\.\./(_static/figures/\w+\.js)"></script>', page)
    assert len(files) == 1
    text = (small_book / files[0]).read_text(encoding="utf-8")
    assert model["state"]["_module"] in text and "import(" not in text
    assert page.index(files[0]) < page.index("anywidget_static.js")


# The modules that notebooks store


def test_sync_gives_a_stored_figure_today_s_module():
    from stn_course.lessons.widgets import WarpPlayground

    notebook = small_notebook()
    state = notebook.metadata.widgets[figures.WIDGET_STATE]["state"]["live"]["state"]
    theta = [1.0, 0.0, 0.5, 0.0, 1.0, 0.0]
    state |= WarpPlayground(theta=theta).get_state() | {"_esm": "", "_css": ""}
    assert figures.outdated(notebook) == ["stn_course.lessons.widgets.WarpPlayground"]
    figures.renew(notebook)
    assert figures.outdated(notebook) == []
    found = notebook.metadata.widgets[figures.WIDGET_STATE]["state"]["live"]["state"]
    assert found["_esm"] == WarpPlayground().get_state()["_esm"] and found["theta"] == theta
    assert found["_css"] == WarpPlayground().get_state()["_css"]


def test_sync_gives_a_stored_figure_a_still_and_the_book_shows_it_without_javascript():
    from stn_course.lessons.widgets import WarpPlayground
    from tools.book.notebooks import prepare

    notebook = small_notebook()
    state = notebook.metadata.widgets[figures.WIDGET_STATE]["state"]["live"]["state"]
    state |= WarpPlayground().get_state()
    shown = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.get("data", {}).get(figures.WIDGET_VIEW, {}).get("model_id") == "live"
    ]
    for output in shown:
        output.data.pop("image/png", None)
    assert figures.outdated(notebook) == ["stn_course.lessons.widgets.WarpPlayground"]
    figures.renew(notebook)
    assert figures.outdated(notebook) == [] and shown
    for output in shown:
        assert base64.b64decode(output.data["image/png"]).startswith(b"\x89PNG")
        assert len(output.metadata["image/png"]["alt"]) >= 40
    ready = prepare(notebook, "n")
    texts = [
        o.get("data", {}).get("text/html", "") for c in ready.cells for o in c.get("outputs", [])
    ]
    stills = [text for text in texts if text.startswith("<noscript><figure><img")]
    assert len(stills) == len(shown) and "<figcaption>" in stills[0]


def test_every_stored_figure_has_today_s_module():
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        assert figures.outdated(nbformat.read(path, 4)) == [], f"{path.name}: sync"
