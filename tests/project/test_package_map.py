"""Who imports whom, read from the imports and drawn; an import upwards is seen at once."""

import xml.etree.ElementTree as ElementTree

import pytest

from tools import package_map

FILES = {
    "geometry/__init__.py": "from stn_course.geometry.matrices import affine\n",
    "geometry/matrices.py": "import torch\n",
    "sampling/fused/operator.py": "import stn_course.geometry\n",
    "sampling/reference.py": "from stn_course import geometry, warp\n",
    "models/layers.py": "def late():\n    from stn_course.sampling.reference import warp\n",
    "__init__.py": "from stn_course.models import layers\n",
}


@pytest.fixture
def tree(tmp_path):
    def written(**more):
        for name, text in (FILES | more).items():
            path = tmp_path / "stn_course" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return written


def circles(svg, kind):
    found = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}circle")
    return [circle[0].text for circle in found if circle.get("class") == kind]


def test_imports_are_counted_by_package_wherever_they_stand(tree):
    counts = package_map.imports(tree())
    assert counts == {("sampling", "geometry"): 2, ("models", "sampling"): 1}


def test_an_import_upwards_or_beside_is_drawn_as_wrong(tree):
    assert circles(package_map.draw(tree()), "bad") == []
    up = tree(**{"geometry/boxes.py": "from stn_course.lessons.widgets import Picture\n"})
    assert circles(package_map.draw(up), "bad") == ["geometry imports lessons: 1 times"]
    beside = tree(
        **{"geometry/boxes.py": "", "data/scenes.py": "import stn_course.models.losses\n"}
    )
    assert circles(package_map.draw(beside), "bad") == ["data imports models: 1 times"]


def test_every_right_import_is_left_of_the_steps(tree):
    svg = package_map.draw(tree())
    assert circles(svg, "dot") == [
        "models imports sampling: 1 times",
        "sampling imports geometry: 2 times",
    ]
    assert "models imports sampling. data imports none of the others." in svg


def test_the_drawing_is_that_of_this_tree():
    drawn = package_map.TARGET.read_text(encoding="utf-8")
    assert drawn == package_map.draw(), "run python -m tools.package_map"
    assert circles(drawn, "bad") == []
