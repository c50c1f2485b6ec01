"""What several tests share. `pythonpath` in pyproject.toml makes the tools importable."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


def offline(cache: Path) -> dict[str, str]:
    """An environment without network or data files, its cache in ``cache``: the sample."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("STN_COURSE_")}
    return {**kept, "STN_COURSE_OFFLINE": "1", "STN_COURSE_CACHE": str(cache)}
