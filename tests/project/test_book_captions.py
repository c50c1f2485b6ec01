"""Numbers and captions of the pictures in the book's pages."""

import re

import pytest

from tools.book import captions


@pytest.mark.parametrize(
    "alt, first",
    [
        ("A 2. Below it a 3.", "A 2."),
        ("Shifts of 1, 2 and 0.5 pixels", "Shifts of 1, 2 and 0.5 pixels"),
        ("Theta (six numbers). The rest.", "Theta (six numbers)."),
        ("theta. it goes on in small letters", "theta. it goes on in small letters"),
    ],
)
def test_a_caption_is_the_first_sentence(alt, first):
    assert captions.first_sentence(alt) == first


def test_pictures_are_numbered_and_what_is_no_picture_of_the_page_is_not(tmp_path):
    page = tmp_path / "03_page.html"
    still = '<noscript><figure><img class="still" src="s.png" alt="still"></figure></noscript>'
    page.write_text(
        '<img src="logo.svg" alt="the theme\'s"><article><img alt="One &lt; two. More." '
        f'src="a.png" />{still}<a class="reference internal image-reference" href="b.png">'
        '<img src="b.png" alt="Two." /></a></article>'
    )
    captions.apply(tmp_path)
    text = page.read_text()
    assert re.findall(r'id="(figure-[\d-]+)"', text) == ["figure-3-1", "figure-3-2"]
    assert 'Figure 3.1</a> <span aria-hidden="true">One &lt; two.</span>' in text
    assert 'alt="One &lt; two. More."' in text and still in text and "image-reference" not in text
    assert text.startswith('<img src="logo.svg"')


def test_drawings_live_figures_and_those_with_a_caption_are_numbered_too(tmp_path):
    page = tmp_path / "03_page.html"
    view = '<script type="application/vnd.jupyter.widget-view+json">{"model_id": "a"}</script>'
    still = '<div class="output text_html"><noscript><img alt="A &amp; b. More."></noscript></div>'
    page.write_text(
        '<article><figure class="hero-figure"><svg></svg><figcaption>Draw.</figcaption></figure>'
        '<figure class="drawing-figure"><svg><title id="t">A net</title></svg></figure>'
        f'{view}\n{still}{view}<img alt="Last." src="l.png"></article>'
    )
    captions.apply(tmp_path)
    text = page.read_text()
    assert re.findall(r'id="figure-3-(\d)"', text) == list("12345")
    assert '<figcaption><a href="#figure-3-1">Figure 3.1</a> Draw.</figcaption>' in text
    assert 'Figure 3.2</a> <span aria-hidden="true">A net</span></figcaption></figure>' in text
    assert f'{still}<p class="live-caption" id="figure-3-3">' in text
    assert "Figure 3.3</a> A &amp; b.</p>" in text and "3.4</a> A figure that moves.</p>" in text
    assert 'id="figure-3-5"><div class="scrolls"><img alt="Last."' in text


def test_every_figure_of_a_notebook_has_a_number(book):
    for page in (book / "notebooks").glob("*.html"):
        article = captions.ARTICLE.search(page.read_text(encoding="utf-8"))[0]
        seen = re.sub(r"<noscript>.*?</noscript>", "", article, flags=re.S)
        numbers = re.findall(r'<a href="#figure-\d-\d+">Figure (\d)\.(\d+)</a>', seen)
        wanted = [seen.count(each) for each in ("<img", "widget-view+json", 'class="drawing"')]
        assert len(numbers) == sum(wanted) > 0, page.name
        assert [int(k) for _, k in numbers] == list(range(1, len(numbers) + 1)), page.name
