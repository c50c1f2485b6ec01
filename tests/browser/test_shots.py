"""The script that takes pictures of pages: three widths, light and dark, and what differs."""

import pytest
from PIL import Image

from tests.browser import shots
from tests.support import ROOT

pytestmark = pytest.mark.browser


def test_pictures_of_a_page_at_all_widths_by_day_and_by_night(small_book, tmp_path, capsys):
    if shots.chromium.executable() is None:
        pytest.skip("NO CHROMIUM on this machine")
    given = ["glossary", "--html", str(small_book), "--out"]
    assert shots.main([*given, str(tmp_path / "one")]) == 0
    names = {f"glossary-{w}-{s}.png" for w in (390, 768, 1280) for s in ("light", "dark")}
    assert {path.name for path in (tmp_path / "one").iterdir()} == names
    for width in (390, 768, 1280):
        day, night = (
            Image.open(tmp_path / "one" / f"glossary-{width}-{scheme}.png").convert("L")
            for scheme in ("light", "dark")
        )
        assert day.width == night.width == width and day.height > 900  # the whole page
        assert day.getpixel((width // 2, 5)) > 200 > 60 > night.getpixel((width // 2, 5))
    capsys.readouterr()
    again = [*given, str(tmp_path / "two"), "--beside", str(tmp_path / "one"), "--widths", "390"]
    assert shots.main(again) == 0
    assert capsys.readouterr().out.count("the same") == 2


@pytest.mark.parametrize(
    ("pages", "words"), [([], "no book in"), (["index", "nothing"], "no page 'nothing'")]
)
def test_what_is_not_there_is_said(tmp_path, small_book, capsys, pages, words):
    folder = small_book if pages else tmp_path
    with pytest.raises(SystemExit):
        shots.main([*pages, "--html", str(folder), "--out", str(tmp_path / "out")])
    assert words in capsys.readouterr().err


def test_the_readme_s_picture_is_one_of_them_and_light(book, tmp_path, monkeypatch):
    monkeypatch.setattr(shots, "README", tmp_path / "made.png")
    assert shots.main(["--readme", "--html", str(book), "--out", str(tmp_path / "out")]) == 0
    made = Image.open(tmp_path / "made.png")
    stored = ROOT / "figures" / "first-page.png"
    assert stored.stat().st_size < 1_500_000
    assert abs(Image.open(stored).width - made.width) < 100 and made.height > 300
    for name in ("README.md", "README.ja.md"):
        assert "](figures/first-page.png)" in (ROOT / name).read_text(encoding="utf-8")
