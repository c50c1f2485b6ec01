"""The front pages: short, made from records and headers, alike in both languages, and true."""

import re

import pytest

from tools import ROOT, package_map, readme, repository

TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in readme.LANGUAGES}
ENGLISH, JAPANESE = TEXTS.values()
URL = "https://github.com/someone/a-course"
MOST_WORDS = 500
CODE = re.compile(r"```.*?```", re.DOTALL)


@pytest.fixture(scope="module")
def table():
    from stn_course.experiments import scoreboard

    return scoreboard.rows()


def links(text):
    return re.findall(r"\]\(([^)]+)\)", CODE.sub("", text))


# What is made


@pytest.mark.parametrize("name", TEXTS)
def test_its_parts_are_what_records_and_headers_say(name, table):
    made = readme.rewritten(TEXTS[name], readme.LANGUAGES[name], table, repository())
    assert made == TEXTS[name], "run python -m tools.readme"


@pytest.mark.parametrize("name", TEXTS)
def test_another_record_is_another_line(name, table):
    other = [{**row, "measured": "12.34 ± 0.56 %", "n": 7} for row in table]
    made = readme.rewritten(TEXTS[name], readme.LANGUAGES[name], other, repository())
    assert made.count("12.34 ± 0.56 %, n=7") == 2 * len(readme.RESULTS)
    none = [{**row, "measured": "not yet run", "n": 0, "here": "-"} for row in table]
    made = readme.rewritten(TEXTS[name], readme.LANGUAGES[name], none, repository())
    language = readme.LANGUAGES[name]
    assert made.count(readme.NOT_YET[language]) == 2 * len(readme.RESULTS)


def test_a_line_says_its_split_its_source_and_its_budget():
    lines = readme.part(ENGLISH, "results")[1].splitlines()
    (lj,) = (line for line in lines if line.startswith("|[LJ]"))
    (se,) = (line for line in lines if line.startswith("|[SE]"))
    (paper,) = (line for line in lines if line.startswith("|[STN paper]"))
    assert "98.26 % (on validation)" in lj
    assert "98.70 % (off a bar chart)" in se
    assert "(CPU budget)" in paper and ".7 % error" in paper
    (hr,) = (line for line in lines if line.startswith("|[HR]"))
    assert hr.count("(random start)") == 2 and "(pose asked for)" in hr
    assert "n=3 (from three strips)" in lj
    assert len([line for line in lines if line.startswith("|[")]) == len(readme.RESULTS) == 6


@pytest.mark.parametrize("key", ["theirs", "here"])
def test_terms_that_nobody_has_put_in_words_are_refused(table, key):
    other = [{**row, key: "test; affine, read backwards"} for row in table]
    with pytest.raises(ValueError, match="stands on terms .'read backwards'.; wanted some of"):
        readme.results(other, 0)


def test_an_experiment_that_is_not_in_the_scoreboard_is_named(table):
    with pytest.raises(LookupError, match="S1 has 0 lines of lj-ffn"):
        readme.results([row for row in table if row["row"] != "S1"], 0)


def test_a_missing_part_is_named():
    with pytest.raises(ValueError, match="<!-- map --> ... <!-- /map --> stands there 0 times"):
        readme.part("no parts", "map")


def test_every_notebook_has_a_question_and_its_minutes():
    from tools.notebooks import rules as notebook_rules
    from tools.notebooks import run as notebooks

    stems = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert sorted(readme.QUESTIONS) == stems
    for stem in stems:
        stated = notebook_rules.header(notebooks.read(ROOT / "notebooks" / f"{stem}.ipynb"))
        for text in TEXTS.values():
            assert re.search(rf"notebooks/{stem}\.ipynb\).*\|{stated['minutes']:.0f}\W", text), stem


# What is written


@pytest.mark.parametrize("address", [None, URL], ids=["without", "with address"])
def test_it_is_one_screen(address):
    words = CODE.sub("", readme.addressed(ENGLISH, address)).split()
    assert len(words) <= MOST_WORDS


@pytest.mark.parametrize("name", TEXTS)
def test_the_example_runs_and_is_eight_lines(name):
    (block,) = re.findall(r"```python\n(.*?)```", TEXTS[name], re.DOTALL)
    names = {}
    exec(block, names)
    assert names["turned"].shape == names["seen"].shape == (8, 1, 28, 28)
    assert len([line for line in block.splitlines() if line]) <= 8


def test_both_languages_have_the_same_numbers():
    def numbers(text):
        text = re.sub(r"<!--.*?-->|\]\([^)]*\)|、", " ", CODE.sub("", text))
        return sorted(re.findall(r"\d+(?:\.\d+)?", text))

    assert numbers(ENGLISH) == numbers(JAPANESE)


def test_both_languages_have_the_same_code_and_links():
    def code(text):
        return [re.sub(r"\s*#.*", "", block) for block in CODE.findall(text)]

    assert code(ENGLISH) == code(JAPANESE)
    own = {"README.ja.md": "", "README.md": ""}
    assert [own.get(link, link) for link in links(ENGLISH)] == [
        own.get(link, link) for link in links(JAPANESE)
    ]


def test_the_packages_are_those_there_are_bottom_first():
    for text in TEXTS.values():
        listed = re.findall(r"(?m)^- `(\w+)`:", text)
        assert tuple(listed) == package_map.NAMES
    for name in package_map.NAMES:
        assert (ROOT / "stn_course" / name / "__init__.py").exists(), name


# What all pages name exists

PAGES = ["README.md", "README.ja.md", "CONTRIBUTING.md", "CHANGELOG.md"]
PAGES += sorted(str(path.relative_to(ROOT)) for path in (ROOT / "book").glob("*.md"))


def commands(page):
    """What stands in code on a page, a line each."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:sh|bash|powershell)\n(.*?)```", text, re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", CODE.sub("", text))
    lines = "\n".join(blocks + spans).replace("\\\n", " ").splitlines()
    return [part.strip() for line in lines for part in re.split(r"&&|;|#", line) if part.strip()]


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page):
    import importlib.util

    from stn_course.cli.main import build_parser
    from stn_course.experiments.catalogue import EXPERIMENTS

    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (known,) = (a.choices for a in build_parser()._actions if hasattr(a.choices, "keys"))
    for command in commands(page):
        if found := re.match(r"make ([a-z]\w*)", command):
            assert re.search(rf"(?m)^{found[1]}:", makefile), command
        if found := re.search(r"-m (tools\.[a-z_]+)", command):
            assert importlib.util.find_spec(found[1]), command
        if found := re.match(r"stn-course ([a-z]\w*)(.*)", command):
            assert found[1] in known, command
            parser = known[found[1]]
            for actions in [a.choices for a in parser._actions if hasattr(a.choices, "keys")]:
                assert found[2].split()[0] in actions, command
                parser = actions[found[2].split()[0]]
            options = {o for a in parser._actions for o in a.option_strings}
            assert set(re.findall(r"--[\w-]+", found[2])) <= options, command
            for name in re.findall(r" ((?:se|hr|xq|hy)-[\w-]+)", found[2]):
                assert name in EXPERIMENTS, command


@pytest.mark.parametrize("page", [page for page in PAGES if "book/" not in page])
def test_local_links_lead_somewhere(page):
    for link in links((ROOT / page).read_text(encoding="utf-8")):
        if not re.match(r"https?:|#", link):
            assert (ROOT / link.partition("#")[0]).exists(), link


def test_the_code_of_the_package_page_runs(tmp_path, monkeypatch):
    from stn_course import Config
    from stn_course.data import Digits, mnist
    from stn_course.training import datasets, run_folder

    few = mnist("test")
    few = Digits(few.images[:100], few.labels[:100], few.source)
    monkeypatch.setattr(datasets, "mnist", lambda split: few)
    monkeypatch.chdir(tmp_path)
    run_folder.train(Config(model="stn-small", epochs=1), 0, "runs/stn")
    names = {}
    text = (ROOT / "book" / "package.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)  # the second goes on where the first ended
    assert names["turned"].shape == (8, 1, 28, 28)
    assert names["seen"].shape == (8, 2, 20, 36)
    assert names["net"](names["images"]).shape == (8, 10)
