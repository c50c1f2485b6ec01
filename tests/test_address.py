"""The repository's address stands in pyproject.toml; everywhere else it is a copy."""

import address
import pytest
from support import NOTEBOOKS, ROOT

OURS = "https://github.com/someone/new-home"


def test_every_copy_is_in_step():
    assert list(address.out_of_step()) == [], "run tools/address.py"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_notebook_has_its_colab_link_in_the_readme(name):
    slug = "/".join(address.address().split("/")[-2:])
    link = f"https://colab.research.google.com/github/{slug}/blob/main/notebooks/{name}.ipynb"
    assert link in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('pip install "stn-course @ git+https://github.com/a/b"', f"git+{OURS}"),
        ("git+https://example.org/a/b.c@main", f"git+{OURS}@main"),
        ("git+https://github.com/a/b.git", f"git+{OURS}"),
        (
            "(https://colab.research.google.com/github/a/b/blob/main/notebooks/01.ipynb)",
            "(https://colab.research.google.com/github/someone/new-home/blob/main/",
        ),
        ('repository-code: "https://github.com/a/b"', f'repository-code: "{OURS}"'),
        ("[issues](https://github.com/a/stn-course/issues)", f"({OURS}/issues)"),
        ("[issues](https://github.com/a/new-home/issues)", f"({OURS}/issues)"),
    ],
)
def test_our_addresses_are_rewritten(before, after):
    assert after in address.rewritten(before, OURS)


@pytest.mark.parametrize(
    "text", ["https://github.com/pytorch/pytorch/issues/1", "https://github.com/a/stn-courses"]
)
def test_others_are_left_alone(text):
    assert address.rewritten(text, OURS) == text


def test_the_tool_checks_and_then_rewrites(tmp_path, capsys):
    (tmp_path / "pyproject.toml").write_text(f'[project.urls]\nRepository = "{OURS}"\n')
    readme = tmp_path / "README.md"
    readme.write_text("git clone https://github.com/a/stn-course\n")
    assert address.main(["--check"], tmp_path) == 1
    assert readme.read_text().endswith("a/stn-course\n")
    assert address.main([], tmp_path) == 0
    assert readme.read_text() == f"git clone {OURS}\n"
    assert address.main(["--check"], tmp_path) == 0
    assert "README.md: another address" in capsys.readouterr().out


def test_an_address_of_another_form_is_refused(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "github.com/a"\n')
    with pytest.raises(ValueError, match="wanted https://host/owner/name"):
        address.address(tmp_path)
