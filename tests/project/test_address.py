"""The repository's address stands in pyproject.toml alone, or nowhere; it goes in and out whole."""

import runpy
import shutil
import sys
import tomllib

import pytest

from tools import ROOT, address, repository

OURS = "https://github.com/someone/new-home"
ELSEWHERE = "https://git.lab.edu/group/part/course"
NOTEBOOK = "02_grid_sampling"


@pytest.fixture
def tree(tmp_path):
    """The files that know of an address, of one notebook, in the state without one."""
    for pattern in ("pyproject.toml", "CITATION.cff", "README*.md", f"notebooks/**/{NOTEBOOK}.*"):
        for path in ROOT.glob(pattern):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    assert address.main(["--none"], tmp_path) == 0
    return tmp_path


def contents(tree):
    return {path: path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()}


def test_every_copy_is_in_step():
    assert list(address.out_of_step(ROOT, repository())) == [], "run python -m tools.address"


def test_there_and_back_leaves_every_byte(tree):
    without = contents(tree)
    assert address.main([OURS], tree) == 0
    given = contents(tree)
    changed = [path.relative_to(tree).as_posix() for path in given if given[path] != without[path]]
    assert changed == [
        "CITATION.cff",
        "README.ja.md",
        "README.md",
        f"notebooks/{NOTEBOOK}.ipynb",
        f"notebooks/src/{NOTEBOOK}.md",
        "pyproject.toml",
    ]
    assert address.main(["--none"], tree) == 0
    assert contents(tree) == without
    assert address.main([OURS], tree) == 0
    assert contents(tree) == given


def test_an_address_replaces_another(tree):
    assert address.main([OURS], tree) == 0
    given = contents(tree)
    assert address.main([ELSEWHERE], tree) == 0
    assert not any(OURS.encode() in found for found in contents(tree).values())
    assert address.main([OURS], tree) == 0
    assert contents(tree) == given


def test_where_it_stands(tree):
    assert repository(tree) is None
    assert address.main([OURS], tree) == 0
    assert repository(tree) == OURS
    colab = "https://colab.research.google.com/github/someone/new-home/blob/main/notebooks"
    for name in ("README.md", "README.ja.md"):
        text = (tree / name).read_text(encoding="utf-8")
        assert f"```sh\ngit clone {OURS}\ncd new-home\nmake course" in text
        for path in (ROOT / "notebooks").glob("*.ipynb"):
            assert f"{colab}/{path.name})" in text
    assert f'repository-code: "{OURS}"\n' in (tree / "CITATION.cff").read_text()
    for name in (f"{NOTEBOOK}.ipynb", f"src/{NOTEBOOK}.md"):
        assert f"git+{OURS}" in (tree / "notebooks" / name).read_text(encoding="utf-8")


def test_colab_opens_github_alone(tree):
    assert address.main([ELSEWHERE], tree) == 0
    text = (tree / "README.md").read_text(encoding="utf-8")
    assert f"git clone {ELSEWHERE}\ncd course\n" in text and "colab" not in text


def test_without_an_address_nothing_leads_to_one(tree):
    words = (b"git clone", b"git+https", b"colab.research", b"repository-code", b"\nRepository")
    for path, found in contents(tree).items():
        assert [word for word in words if word in found] == [], path
    for page in (ROOT / "book").glob("*.md"):  # which the tool does not write
        assert "git clone" not in page.read_text(encoding="utf-8")
    project = tomllib.loads((tree / "pyproject.toml").read_text())["project"]
    assert project["urls"] == {}


def test_check_changes_nothing_and_says_what_is_wrong(tree, capsys):
    assert address.main([OURS], tree) == 0
    assert address.main(["--check"], tree) == 0
    citation = tree / "CITATION.cff"
    citation.write_text(citation.read_text().replace("new-home", "old-home"))
    before = contents(tree)
    capsys.readouterr()
    assert address.main(["--check"], tree) == 1
    assert capsys.readouterr().out == "CITATION.cff: out of step\n"
    assert contents(tree) == before
    assert address.main([], tree) == 0  # what pyproject.toml says, carried over
    assert OURS in citation.read_text()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://github.com/someone/course", "does not begin with https://"),
        ("git@github.com:someone/course", "does not begin with https://"),
        ("github.com/someone/course", "does not begin with https://"),
        ("https://github.com/some one/course", "white space"),
        (" https://github.com/someone/course", "white space"),
        ("https://me:secret@github.com/someone/course", "name or password"),
        ("https://token@github.com/someone/course", "name or password"),
        ("https://github.com/someone", "does not name an owner and a repository"),
        ("https://github.com/someone/", "does not name an owner and a repository"),
        ("https://github.com/someone/course/", "does not name an owner and a repository"),
        ("https://github.com/<owner>/course", "does not name an owner and a repository"),
        ('https://github.com/someone/a"b', "does not name an owner and a repository"),
        ("https://github.com/someone/course?x=1", "more in it than a host and a path"),
        ("https://github.com/someone/course#readme", "more in it than a host and a path"),
        ("https://github.com/someone/course.git", "ends in .git"),
        ("https://github.com/your-name/course", "'your-name' only stands for a name"),
        ("https://github.com/OWNER/REPO", "'OWNER' only stands for a name"),
        ("https://github.com/username/course", "'username' only stands for a name"),
        ("https://example.com/someone/course", "no host that others can reach"),
        ("https://git.example/someone/course", "no host that others can reach"),
        ("https://localhost/someone/course", "no host that others can reach"),
    ],
)
def test_an_address_that_cannot_be_is_refused(url, why, tree, capsys):
    before = contents(tree)
    assert address.main([url], tree) == 2
    assert contents(tree) == before
    said = capsys.readouterr().err
    assert why in said and "wanted https://host/owner/name" in said


def test_a_wrong_one_in_pyproject_is_refused_too(tree, capsys):
    project = tree / "pyproject.toml"
    text = project.read_text().replace("[project.urls]\n", '[project.urls]\nRepository = "x"\n')
    project.write_text(text)
    assert address.main([], tree) == 2
    assert "the repository's address is 'x'" in capsys.readouterr().err


def test_a_file_without_a_place_for_it_is_named(tree, capsys):
    (tree / "CITATION.cff").write_text("cff-version: 1.2.0\n")
    assert address.main([OURS], tree) == 2
    assert "CITATION.cff: 'license: MIT' stands there 0 times" in capsys.readouterr().err


# The notebooks' first cell


def test_the_first_cell_does_nothing_where_the_package_is():
    exec(address.setup_cell(None), {})


def test_without_an_address_it_says_what_to_run(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"stn_course is missing: run `make lab`"):
        exec(address.setup_cell(None), {})


def test_with_one_it_installs_from_there():
    from IPython.core.inputtransformer2 import TransformerManager

    cell = TransformerManager().transform_cell(address.setup_cell(OURS))
    compile(cell, "cell", "exec")
    assert f"'pip', 'install -q \"stn-course[course] @ git+{OURS}\"'" in cell


# The book's buttons


@pytest.mark.parametrize(
    ("url", "repository_button", "colab"),
    [(None, False, False), (OURS, True, True), (ELSEWHERE, True, False)],
)
def test_the_book_has_buttons_where_there_is_an_address(
    url, repository_button, colab, tree, monkeypatch
):
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert address.main([url or "--none"], tree) == 0
    (tree / "book").mkdir()
    shutil.copy(ROOT / "book" / "conf.py", tree / "book")
    options = runpy.run_path(str(tree / "book" / "conf.py"))["html_theme_options"]
    assert options.get("use_repository_button", False) is repository_button
    assert options.get("repository_url") == url
    assert ("colab_url" in options.get("launch_buttons", {})) is colab
