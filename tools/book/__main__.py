"""Build the book: python -m tools.book [--out build/html]. Exit code 0 means that all is well.

The sources are gathered in a folder of their own (build/book/source): the pages of book/, the
executed notebooks made ready for a page without a kernel, and the pages made at build. Sphinx then
runs with warnings as errors. Its pages are mended, made light and fit for a strict policy, and read
again for requests that would leave the page, figures without alt text and dead links.
"""

import argparse
import html
import json
import shutil
import sys
from pathlib import Path

import nbformat

from tools.book import (
    api,
    board,
    captions,
    check,
    draw,
    floors,
    formulas,
    narrow,
    notebooks,
    pages,
    policy,
    speed,
    teaching,
    terms,
    theme,
    weight,
)

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Build; returns the exit code."""
    parser = argparse.ArgumentParser(description="Build the book from the stored outputs.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "html")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "book")
    parser.add_argument("--notebooks", type=Path, default=ROOT / "notebooks")
    parser.add_argument("--course", type=Path, default=ROOT / "build" / "course.json")
    parser.add_argument("--records", type=Path, help="folder of run records, if not the usual one")
    parser.add_argument("--no-api", action="store_true", help="without the pages of the package")
    parser.add_argument("--solutions", action="store_true", help="a page of them, for teachers")
    options = parser.parse_args(arguments)
    try:
        for folder in (options.out, options.work):
            _empty(folder)
        settings = stage(options)
    except (ValueError, OSError) as error:
        print(f"the book cannot be built: {error}", file=sys.stderr)
        return 1
    code = _sphinx(options, settings)
    if code:
        return code
    for original in sorted(options.notebooks.glob("[0-9][0-9]_*.ipynb")):
        shutil.copy(original, options.out / "_sources" / "notebooks")  # what a reader downloads
    found = check.problems(options.out)
    for text in found:
        print(f"error: {text}", file=sys.stderr)
    if found:
        return 1
    print(f"the book is at {options.out / 'index.html'}")
    return 0


def stage(options: argparse.Namespace) -> dict[str, str]:
    """Fill `options.work`/source; returns settings for Sphinx that depend on what was found."""
    source = options.work / "source"
    shutil.copytree(ROOT / "book", source, ignore=shutil.ignore_patterns("_static", "conf.py"))
    (source / "notebooks").mkdir()
    if options.no_api:
        (source / "api.md").write_text("# API\n\nThis build left these pages out.\n")
    else:
        api.write_pages(source / "api")
    generated = source / "generated"
    generated.mkdir()
    titles, measured = {}, {}
    read = {}
    for path in sorted(options.notebooks.glob("[0-9][0-9]_*.ipynb")):
        notebook = read[path.stem] = nbformat.read(path, as_version=4)
        titles[path.stem] = notebooks.title(notebook, path.name)
        measured[path.stem] = notebook.metadata.get("stn_course", {})
        ready = notebooks.prepare(notebook, path.name)
        nbformat.write(ready, source / "notebooks" / path.name)
    course = json.loads(options.course.read_text()) if options.course.exists() else {}

    from stn_course.experiments.scoreboard import gaps, rows
    from stn_course.experiments.speed import load

    scores, apart = rows(folder=options.records), gaps(options.records)
    commit, built = pages.commit(ROOT), pages.build_date()
    if options.solutions:
        (source / "solutions.md").write_text(teaching.solutions(), encoding="utf-8")
    taught = teaching.of_the_course(read)
    for path in source.glob("*.md"):
        text = teaching.linked(path.read_text(encoding="utf-8"), list(taught))
        path.write_text(text, encoding="utf-8")
    for name, text in {
        "plans.md": teaching.plans(taught),
        "museum.md": teaching.museum(taught, generated),
        "checklist.md": teaching.checklist(taught),
        "stn.md": notebooks.drawing("stn"),
        "draw.md": draw.block(),
        "map.md": pages.course_map(titles),
        "toc.md": pages.toctree(list(titles)) + pages.teachers(options.solutions),
        "scoreboard.md": board.page(scores, apart),
        "pairs.md": pages.pairs(scores),
        "speed.md": speed.page(load(), generated),
        "floors.md": floors.page(load()),
        "status.md": pages.status(course, measured, commit, built),
    }.items():
        (generated / name).write_text(text, encoding="utf-8")
    draw.write(source / "_vendor")
    with formulas.Setter() as setter:
        (source / "_vendor" / "formulas.css").write_text(setter.style(), encoding="utf-8")

    digits = pages.digits(course, measured)
    footer = f"Digits: {digits}. Built {built}, commit {commit}."
    settings = {"html_theme_options.extra_footer": f"<p>{html.escape(footer)}</p>"}
    if "sample" in digits:
        settings["html_theme_options.announcement"] = (
            "These pages were run on the offline sample of 5 000 digits, not on the whole of MNIST."
        )
    return settings


def _empty(folder: Path) -> None:
    """Make `folder` new. Raises ValueError rather than delete what no build made."""
    mark = folder / ".made-by-book"  # from the first moment on: a build can break off
    if folder.exists() and any(folder.iterdir()):
        if not mark.exists():
            raise ValueError(
                f"{folder} holds files that no build made: empty it or name another folder"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _sphinx(options: argparse.Namespace, settings: dict[str, str]) -> int:
    from sphinx.cmd.build import build_main

    command = ["-q", "-W", "--keep-going", "-b", "html", "-c", str(ROOT / "book")]
    command += ["-d", str(options.work / "doctrees")]
    for key, value in settings.items():
        command += ["-D", f"{key}={value}"]
    code = build_main([*command, str(options.work / "source"), str(options.out)])
    if not code:
        theme.mend(options.out)
        terms.apply(options.out)
        policy.apply(options.out)
        captions.apply(options.out)
        narrow.apply(options.out)  # captions, too, have numbers
        weight.excerpts(options.out)
        weight.lighten(options.out)
        weight.pack(options.out)
    return code


if __name__ == "__main__":
    sys.exit(main())
