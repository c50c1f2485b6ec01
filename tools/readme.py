"""Write what the READMEs repeat: the map from the notebooks' headers, results from the records.

python -m tools.readme
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from tools import ROOT, repository

LANGUAGES = {"README.md": 0, "README.ja.md": 1}  # where a language stands in a pair of texts
PART = "<!-- {0} -->\n", "<!-- /{0} -->"
TITLE = re.compile(r"(?m)^# (\d\d) · (.+)$")
MINUTES = re.compile(r"\*\*Time\*\*\s+(\d+) minutes")

QUESTIONS = {
    "01_invariance": (
        "What does a network not know?",
        "動かした数字について、ネットワークは何を知らないのか",
    ),
    "02_grid_sampling": (
        "How do six numbers move an image?",
        "六つの数は画像をどう動かし、勾配はそこへどう届くのか",
    ),
    "03_look_straight": (
        "How does a network learn where to look?",
        "ネットワークは見る場所をどう学ぶのか",
    ),
    "04_digit_sequences": (
        "How are three digits read, glance by glance?",
        "雑音の中の三つの数字は、一目ずつどう読まれるのか",
    ),
    "05_place_and_tilt": (
        "What do coordinates and eight numbers add?",
        "畳み込みは何を知らず、八つの数は何を加えるのか",
    ),
    "06_keras": (
        "Is it the same, weight for weight?",
        "Keras のネットワークは、重み一つまで同じか",
    ),
    "07_fast": (
        "What does a warp wait for?",
        "画像の変形は何を待つのか",
    ),
    "08_bent_words": (
        "Which transform for your own pictures?",
        "自分の画像には、どの変形、どの範囲、どの学習率か",
    ),
}
MAP_HEAD = ("notebook", "question", "minutes"), ("ノートブック", "問い", "分")


class Result(NamedTuple):
    """One line of the README: a published number, its network here, and the best of ours.

    `row` is that of the scoreboard, `theirs` and `ours` are experiments there. What is said beside
    the numbers are their terms on the scoreboard, as far as they are not the usual ones.
    """

    row: str
    task: tuple[str, str]
    theirs: str
    ours: str


RESULTS = (
    Result(
        "S1",
        ("rows of digits, per digit", "雑音の中の数字の列、一字あたり"),
        theirs="lj-ffn",
        ours="seq-rnn",
    ),
    Result(
        "S4",
        ("hard distortion", "強い歪み"),
        theirs="xq-stn-fc-hard",
        ours="hard-fc-stn",
    ),
    Result(
        "S8",
        ("distorted on 40x40", "40x40 の上で歪めた数字"),
        theirs="hr-source",
        ours="hr-upright",
    ),
    Result(
        "S9",
        ("plain MNIST", "そのままの MNIST"),
        theirs="hy-stn-source",
        ours="clean-stn",
    ),
    Result(
        "S10",
        ("plain MNIST, run 01", "そのままの MNIST、実験 01"),
        theirs="se-01",
        ours="se-01-well",
    ),
    Result(
        "S12",
        ("turned digits", "回した数字"),
        theirs="paper-st-cnn-aff-r",
        ours="ours-r",
    ),
)
RESULTS_HEAD = (
    ("from", "task", "published", "its network here", "ours"),
    ("出典", "課題", "公表値", "同じネットワークの再現", "この講座のネットワーク"),
)
# Terms that the sentence above the table has for all, and what is said of the others.
USUAL = (
    "-",
    "test",
    "affine",
    "no transformer",
    "from the identity",
    "one run",
    "mean of 3 runs",
    "mean over batches",  # of equal size but the last: a tenth of a digit in ten thousand
)
UNUSUAL = {
    "validation": ("on validation", "検証データで"),
    "from a random pose": ("random start", "乱数の姿勢から"),
    "from three strips": ("from three strips", "三つの帯から"),
    "the pose asked for as well": ("pose asked for", "姿勢も問う"),
    "off the bar chart": ("off a bar chart", "棒グラフから読み取り"),
    "CPU budget": ("CPU budget", "CPU で短く学習"),
}
ALL_ROWS = (
    "All {all} rows ({done} measured): the book's scoreboard, or `stn-course table`.",
    "全 {all} 行(測定済み {done} 行)は、本の scoreboard か `stn-course table` で見られます。",
)
NOT_YET = "not yet run", "未測定"
ERROR = "{} error", "誤り率 {}"


def part(text: str, name: str) -> tuple[str, str, str]:
    """`text` before, inside and after its part `name`. ValueError unless that is there once."""
    start, end = (mark.format(name) for mark in PART)
    if text.count(start) != 1 or text.count(end) != 1:
        raise ValueError(f"{start.strip()} ... {end} stands there {text.count(start)} times, not 1")
    before, rest = text.split(start)
    inside, after = rest.split(end)
    return before + start, inside, end + after


def prose(text: str) -> str:
    """`text` without what is made from the records."""
    before, _, after = part(text, "results")
    return before + after


def rewritten(text: str, language: int, table: list[dict], url: str | None) -> str:
    """`text` with all of its parts made anew; `table` is the scoreboard."""
    for name, lines in (("map", notebook_map(language)), ("results", results(table, language))):
        before, _, after = part(text, name)
        text = before + "\n".join(lines) + "\n" + after
    return addressed(text, url)


def addressed(text: str, url: str | None) -> str:
    """`text` with the clone line and the Colab links of `url`, or without any."""
    before, inside, after = part(text, "start")
    inside = re.sub(r"(?m)^(git clone|cd) .*\n", "", inside)
    if url:
        clone = f"```sh\ngit clone {url}\ncd {url.rsplit('/', 1)[1]}\n"
        inside = inside.replace("```sh\n", clone, 1)
    before, inside, after = part(before + inside + after, "map")
    inside = re.sub(r" \[Colab\]\([^)]*\)", "", inside)
    if url and url.startswith("https://github.com/"):  # Colab opens notebooks from there alone
        opened = f"https://colab.research.google.com/github/{url.split('/', 3)[3]}/blob/main"
        link = rf"\1 [Colab]({opened}/\2)|"
        inside = re.sub(r"(?m)^(\|\[.*?\]\((notebooks/\w+\.ipynb)\).*)\|$", link, inside)
    return before + inside + after


def notebook_map(language: int) -> list[str]:
    """A Markdown table: each notebook with its title, its question and its minutes."""
    lines = _table_head(MAP_HEAD[language])
    for path in sorted((ROOT / "notebooks" / "src").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        title, minutes = TITLE.search(text), MINUTES.search(text)
        if title is None or minutes is None or path.stem not in QUESTIONS:
            raise ValueError(f"{path.name}: wanted '# NN · title', its minutes, a question")
        link = f"[{title[1]} {title[2]}](notebooks/{path.stem}.ipynb)"
        lines.append(_line((link, QUESTIONS[path.stem][language], minutes[1])))
    return lines


def results(table: list[dict], language: int) -> list[str]:
    """A Markdown table, a line for each of `RESULTS`, and how many rows there are in all."""
    lines = _table_head(RESULTS_HEAD[language])
    for result in RESULTS:
        theirs, ours = (_find(table, result.row, name) for name in (result.theirs, result.ours))
        published = theirs["published"].partition(" (")[0]
        read_off = ["off the bar chart"] if "off the bar chart" in theirs["where"] else []
        short = [theirs["kind"]] if theirs["kind"] == "CPU budget" else []
        cells = [
            theirs["source"],
            result.task[language],
            _with(_in_words(published, language), [theirs["theirs"], *read_off], language),
            _with(_measured(theirs, language), _here(theirs, *short), language),
            _with(_measured(ours, language), _here(ours), language),
        ]
        lines.append(_line(cells))
    done = sum(row["n"] > 0 for row in table)
    return [*lines, "", ALL_ROWS[language].format(all=len(table), done=done)]


def _table_head(names: tuple[str, ...]) -> list[str]:
    return [_line(names), _line(["---"] * len(names))]


def _line(cells: Iterable[str]) -> str:
    return "|" + "|".join(cells) + "|"


def _find(table: list[dict], row: str, experiment: str) -> dict:
    command = f"stn-course run {experiment}"
    found = [line for line in table if (line["row"], line["command"]) == (row, command)]
    if len(found) != 1:
        raise LookupError(f"{row} has {len(found)} lines of {experiment} in the scoreboard")
    return found[0]


def _measured(line: dict, language: int) -> str:
    """Ours with the number of its seeds."""
    if not line["n"]:
        return NOT_YET[language]
    number = line["measured"].partition(" (")[0]  # without "one seed" and a loss
    return f"{_in_words(number, language)}, n={line['n']}"


def _in_words(number: str, language: int) -> str:
    """An accuracy as it stands, an error named in the language."""
    bare = number.removesuffix(" error")
    return number if bare == number else ERROR[language].format(bare)


def _here(line: dict, *more: str) -> list[str]:
    """The terms of ours, where it has been run."""
    return [line["here"], *more] if line["n"] else []


def _with(text: str, terms: list[str], language: int) -> str:
    """`text` and what is unusual in its terms. ValueError for one that nobody has put in words."""
    parts = [part for each in terms for part in re.split("[;,] ", each) if part not in USUAL]
    if unknown := [part for part in parts if part not in UNUSUAL]:
        raise ValueError(f"{text} stands on terms {unknown}; wanted some of {sorted(UNUSUAL)}")
    remarks = ", ".join(UNUSUAL[part][language] for part in parts)
    return f"{text} ({remarks})" if remarks else text


def main() -> None:
    from stn_course.experiments import scoreboard

    for name, language in LANGUAGES.items():
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        new = rewritten(text, language, scoreboard.rows(), repository())
        path.write_text(new, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
