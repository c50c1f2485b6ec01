"""Which experiments differ in one thing, so that their seeds can be compared pair by pair."""

_PLACES = {  # CoordConv, where: (the run without, the run with it)
    "CoordConv in the classifier, no STN": ("03", "04"),
    "CoordConv in the classifier": ("01", "05"),
    "CoordConv in the localiser": ("01", "06"),
    "CoordConv in both": ("01", "07"),
    "the transformer itself": ("03", "01"),
}
_SETTINGS = {  # of SE's runs, the end of their names: (what it is called, the set)
    "": ("SE's recipe", "clean"),
    "-well": ("trained well", "clean"),
    "-rts": ("SE's recipe, RTS", "rts"),
    "-well-rts": ("trained well, RTS", "rts"),
}

# Row of the scoreboard: what is compared -> (experiment without, experiment with it, their set).
PAIRS = {
    "S4": {
        "a transformer before FC": ("xq-fc-hard", "xq-stn-fc-hard", "test/hard"),
    },
    "S5": {
        "a transformer before the CNN": ("xq-cnn-mild", "xq-stn-cnn-mild", "test/mild"),
    },
    "S8": {"asking for the pose": ("hr-stn", "hr-upright", "test/hr")},
    "S9": {"a transformer before HY's CNN": ("hy-cnn-source", "hy-stn-source", "test/clean")},
    "S10": {
        f"{where}: {said}": (f"se-{a}{end}", f"se-{b}{end}", f"test/{on}")
        for end, (said, on) in _SETTINGS.items()
        for where, (a, b) in _PLACES.items()
    },
    "S11": {
        f"{with_it} for {without}": (f"proj-{without}", f"proj-{with_it}", "test/p")
        for without, with_it in (
            ("none", "affine"),
            ("affine", "homography"),
            ("affine", "corners"),
            ("homography", "corners"),
            ("se-01", "se-05"),
            ("se-01", "se-06"),
            ("se-01", "se-07"),
        )
    },
    "S12": {
        f"{kind.upper()}: a transformer before the CNN": (
            f"paper-cnn-{kind}",
            f"paper-st-cnn-aff-{kind}",
            f"test/{kind}",
        )
        for kind in ("r", "rts", "p", "e")
    }
    | {
        f"E, ours: {with_it} for {without}": (
            f"elastic-{without}",
            f"elastic-{with_it}",
            "test/e",
        )
        for without, with_it in (("none", "affine"), ("none", "tps"), ("affine", "tps"))
    },
    "S16": {
        f"{task}, {split} split: coordconv for conv": (
            *(f"clevr-{task}-{network}-{split}" for network in ("conv", "coordconv")),
            f"test/{split}",
        )
        for task in ("classification", "rendering", "regression")
        for split in ("uniform", "quadrant")
    },
}
