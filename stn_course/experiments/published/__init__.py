"""The rows of the scoreboard: what was published, and which experiment answers it."""

from stn_course.experiments.published.rows import (
    AS_PUBLISHED,
    CPU_BUDGET,
    IN_KERAS,
    OURS,
    ROWS,
    SOURCES,
    Row,
)

__all__ = ["AS_PUBLISHED", "CPU_BUDGET", "IN_KERAS", "OURS", "ROWS", "SOURCES", "Row"]
