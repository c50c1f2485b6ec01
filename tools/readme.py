"""Write the README's scoreboard from the records: the rows that have one.

python tools/readme.py
"""

from pathlib import Path

from stn_course import scoreboard

README = Path(__file__).resolve().parents[1] / "README.md"
START, END = "<!-- scoreboard -->\n", "<!-- /scoreboard -->"
COLUMNS = "row task variant kind source published target ours n params command".split()


def around(text: str) -> tuple[str, str]:
    """What stands before and after the table."""
    before, rest = text.split(START)
    return before, rest.split(END)[1]


def rewritten(text: str) -> str:
    """``text`` with the table between the two marks made anew from the records."""
    before, after = around(text)
    rows = [{k: row[k] for k in COLUMNS} for row in scoreboard.rows() if row["n"]]
    table = scoreboard.markdown(rows) if rows else scoreboard.NOT_YET
    return f"{before}{START}{table}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text(encoding="utf-8")), encoding="utf-8")
