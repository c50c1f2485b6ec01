"""The project's own tools, run as `python -m tools.NAME`. Here stands what they share."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def repository(root: Path = ROOT) -> str | None:
    """The address that pyproject.toml gives the repository; None where it gives none."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository")
