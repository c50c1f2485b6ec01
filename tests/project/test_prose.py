"""Every number in prose that comes from a record says so, and is what the record says."""

import re

import pytest

from stn_course.experiments import records
from stn_course.training.record import RunRecord
from tests.support import ROOT
from tools import prose, readme

PAGES = [*readme.LANGUAGES, *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "book").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_numbers_on_a_page_are_those_of_the_records(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    if page in readme.LANGUAGES:  # results are made from the records: test_readme.py compares
        text = readme.prose(text)
    assert prose.problems(text) == []


SOURCES = sorted((ROOT / "notebooks" / "src").glob("*.md"))


@pytest.mark.parametrize("page", SOURCES, ids=lambda p: p.stem)
def test_numbers_in_a_notebook_are_those_of_the_records(page):
    """The notebook has the same words: `tools.notebooks check` compares them."""
    assert prose.problems(page.read_text(encoding="utf-8")) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two seeds of `one` (98 and 99 of 100), one of `two` (90 of 100)."""
    folder = tmp_path_factory.mktemp("records")
    for name, seed, correct in (("one", 0, 98), ("one", 1, 99), ("two", 0, 90)):
        record = RunRecord(
            experiment=name,
            seed=seed,
            config={},
            digits="full MNIST",
            parameters=1234567,
            curves={},
            results={"test/clean": {"correct": correct, "total": 100, "loss": 0.1}},
            hashes={},
            probes={
                "turned": {"angle": [0, 45], "accuracy": [correct, 30.25]},
                "shift": {"values": [0.0, 2.0], "correct": [correct, 40 + seed], "total": 50},
            },
            seconds=12.5,
        )
        records.save(record, folder)
    return folder


@pytest.mark.parametrize(
    "text",
    [
        "reads <!-- record: one test/clean -->98.5 %<!-- / --> of them",
        "reads <!-- record: one test/clean -->98.50<!-- / --> of them",
        "wrong on <!-- record: one test/clean error -->1.5 %<!-- / -->",
        "give or take <!-- record: one test/clean sd -->0.71<!-- / -->",
        "<!--record: one test/clean n-->2<!--/--> seeds",
        "<!-- record: one test/clean correct -->197<!-- / --> of "
        "<!-- record: one test/clean total -->200<!-- / -->",
        "<!-- record: two - one test/clean -->\u22128.5<!-- / --> points",
        "<!-- record: one parameters -->1\u202f234\u202f567<!-- / --> weights",
        "<!-- record: one parameters -->1,234,567<!-- / --> weights",
        "<!-- record: one seconds -->12.5<!-- / --> s",
        "<!-- record: one probe turned accuracy 1 -->30.2 %<!-- / --> at 45 degrees",
        "<!-- record: one minutes -->0.2 minutes<!-- / --> on one core",
        "seed 1 alone: <!-- record: one/1 test/clean -->99 %<!-- / -->",
        "shifted by two: <!-- record: one at shift 2 -->81.0 %<!-- / -->",
        "that is <!-- record: one at shift 2 - two -->1.0 points<!-- / --> more",
        "published: <!-- cited: HY -->98.87 %<!-- / -->",
        "it took <!-- live -->two seconds<!-- / --> on this machine",
        "guessing: <!-- exact: ten classes -->one digit in ten<!-- / -->",
        "**Time** 60 minutes to work through. **Runs in** 50 seconds on two CPU cores.",
        "*Difficulty 2 of 5, 10 minutes.* Four points, eight equations; the 95 % intervals",
        "coarse ones, tens of lines, the eighth digit, seven of eight launches",
        "chance is 10 %, and code is `print('97.12 %')`, maths is $0.5 %$",
        "```\n97.12 %\n```",
    ],
)
def test_true_numbers_pass(text, folder):
    assert prose.problems(text, folder) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!-- record: one test/clean -->98.6 %<!-- / -->", "98.6 written, 98.5 in the records"),
        ("<!-- record: one test/clean -->98.5 to 99 %<!-- / -->", "holds 2 numbers"),
        ("<!-- record: one test/clean -->most<!-- / -->", "holds 0 numbers"),
        ("<!-- record: three test/clean -->98.5 %<!-- / -->", "three has no record"),
        ("<!-- record: one test/hard -->98.5 %<!-- / -->", "'test/hard' is not in the record"),
        ("<!-- record: one test/clean best -->99 %<!-- / -->", "asks for nothing that is known"),
        ("<!-- record: one probe turned accuracy 9 -->1<!-- / -->", "out of range"),
        ("<!-- record: one test/clean -->98.5 %", "not closed"),
        ("<!-- cited: -->98.87 %<!-- / -->", "without saying from where"),
        ("it reads 98.5 % of them", "'98.5 %' carries no mark"),
        ("<!-- record: one/7 test/clean -->98 %<!-- / -->", "one/7 has no record"),
        ("<!-- record: one at shift 3 -->98 %<!-- / -->", "shift 3 was not measured"),
        ("it took <!-- live -->two seconds<!-- / -->", "its paragraph does not say so"),
        ("In your run it differs.\n\n<!-- live -->9 s<!-- / -->", "paragraph does not say so"),
        ("<!-- exact: -->one in ten<!-- / -->", "exact without saying why"),
        # Numbers that stood in notebooks without a record, in the words that they had.
        ("29 s to compile, on two cores", "'29 s' carries no mark"),
        ("convolution 0.5 ms forward and 1.3 ms backward", "'1.3 ms' carries no mark"),
        ("came out six digits in ten thousand apart", "'six digits in ten thousand' carries"),
        ("they wait, up to five times slower", "'five times slower' carries no mark"),
        ("98.26 per cent in 16.8 min", "'16.8 min' carries no mark"),
        ("30 epochs, 40 minutes on one core", "'40 minutes' carries no mark"),
        ("misread 8 and 9 digits in a hundred", "'9 digits in a hundred' carries no mark"),
        ("three glances read half a point better", "'half a point better' carries no mark"),
        ("it has lost ten points", "'ten points' carries no mark"),
        ("nearly full marks, one digit in five at 75", "'one digit in five' carries no mark"),
        ("it reads 98.5% of them", "'98.5%' carries no mark"),
    ],
)
def test_false_and_unmarked_numbers_are_named(text, words, folder):
    found = prose.problems(text, folder)
    assert any(words in line for line in found), found


SYSTEMS = {"LJ", "XQ", "HR", "HY", "SE", "SK", "DD"}


@pytest.mark.parametrize(
    "page", ["book/defects.md", "book/scoreboard.md", "notebooks/src/06_keras.md"]
)
def test_the_public_systems_are_seven_wherever_they_are_counted(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert re.search(r"[Ss]even public\s+systems", text)
    (said,) = (p for p in text.split("\n\n") if re.search(r"[Ss]even public\s+systems", p))
    assert SYSTEMS <= set(re.findall(r"\b[A-Z]{2}\b", said))


def test_no_page_counts_the_public_systems_otherwise():
    for page in [*SOURCES, *(ROOT / name for name in PAGES)]:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"(?i)\b(five|six|eight) public (systems|projects)", text), page
    rows = (ROOT / "notebooks" / "src" / "02_grid_sampling.md").read_text(encoding="utf-8")
    assert SYSTEMS <= set(re.findall(r"\b[A-Z]{2}\b", rows))


COLOUR = r"\b(?:red|green|blue|teal)\b"
WRONG = r"\b(?:wrong|misread|mirrored)\b"


def colour_alone(text: str) -> list[str]:
    """Sentences that tell right from wrong by a colour and name no other mark."""
    plain = prose.CODE.sub(" ", text)
    found = [s for s in re.split(r"[.;:]\s", plain) if re.search(COLOUR, s, re.I)]
    found = [s for s in found if re.search(WRONG, s, re.I)]
    return [s for s in found if not re.search(r"\b(?:cross|crossed|bold|dashed|dotted)\b", s)]


@pytest.mark.parametrize(
    "page", sorted((ROOT / "notebooks" / "src").glob("*.md")), ids=lambda p: p.stem
)
def test_no_sentence_tells_right_from_wrong_by_a_colour_alone(page):
    assert colour_alone(page.read_text(encoding="utf-8")) == []


def test_such_sentences_are_found():
    assert colour_alone("Green is right, red is wrong, the small number is another.")
    assert colour_alone("See below: the number, red where it is wrong. More.")
    assert not colour_alone("The number is red, bold and with a cross where it is wrong.")


@pytest.mark.parametrize("page", [*PAGES, *(str(p.relative_to(ROOT)) for p in SOURCES)])
def test_no_line_begins_with_a_mark(page):
    """Markdown takes a line that begins with a comment for HTML, and ends the paragraph there."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if re.match(r"<!-- (exact|record|/ )", line)] == []
