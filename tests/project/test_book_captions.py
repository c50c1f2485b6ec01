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


def test_every_picture_of_a_notebook_has_a_number(book):
    for page in (book / "notebooks").glob("*.html"):
        article = captions.ARTICLE.search(page.read_text(encoding="utf-8"))[0]
        seen = re.sub(r"<noscript>.*?</noscript>", "", article, flags=re.S)
        numbers = re.findall(r'<figcaption><a href="#figure-\d-\d+">Figure (\d)\.(\d+)</a>', seen)
        assert len(numbers) == seen.count("<img") > 0, page.name
        assert [int(k) for _, k in numbers] == list(range(1, len(numbers) + 1)), page.name
