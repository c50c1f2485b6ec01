"""Words on bent, tilted labels, drawn from nothing but fonts that come with matplotlib."""

from stn_course.data.words.flat import ALPHABET, DIGITS, FLAT, FONTS, flat_words, text_of
from stn_course.data.words.scenes import Bent, carried, straight_scenes, straightened, word_scenes

__all__ = [
    "ALPHABET",
    "DIGITS",
    "FLAT",
    "FONTS",
    "Bent",
    "carried",
    "flat_words",
    "straight_scenes",
    "straightened",
    "text_of",
    "word_scenes",
]
