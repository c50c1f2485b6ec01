"""The four networks of the first page: their files, their bytes, and the classes that they give."""

import json

import pytest

from stn_course.data import mnist, to_float
from stn_course.experiments import runner, web
from stn_course.models.layers import evaluating
from tests.experiments.test_web import in_the_page
from tests.js import make_golden


@pytest.mark.parametrize("name", web.FIRST_PAGE)
def test_the_pages_files_are_what_the_records_weights_give(name):
    path = web.FOLDER / f"{name}.json"
    assert json.loads(path.read_text("utf-8")) == json.loads(json.dumps(web.export(name)))


def test_the_pages_files_are_few_bytes():
    sizes = {p.name: p.stat().st_size for p in (web.FOLDER).iterdir()}
    assert set(sizes) == {f"{name}.json" for name in web.FIRST_PAGE}
    assert sum(sizes.values()) < 600_000, sizes


def test_the_golden_vectors_are_what_torch_gives_now():
    stored = json.loads(make_golden.PATH.read_text("utf-8"))
    now = make_golden.golden()
    assert stored["pictures"] == now["pictures"]
    for name in web.FIRST_PAGE:
        for was, each in zip(stored["nets"][name], now["nets"][name], strict=True):
            assert each["logits"] == pytest.approx(was["logits"], abs=1e-4)


@pytest.mark.full_data
@pytest.mark.parametrize("name", web.FIRST_PAGE)
def test_of_a_thousand_test_digits_the_page_gives_the_networks_own_class(name, tmp_path, tell):
    """As far as rounding goes: against the network as it was learned, at least 999 of 1 000."""
    model = runner.trained(name)
    images = to_float(mnist("test").images[:1000])
    with evaluating(model):
        exact, rounded = model(images), web.rounded(model)(images)
    found = in_the_page(web.export(name), images, tmp_path)
    same = (found.argmax(1) == exact.argmax(1)).sum().item()
    apart = (found - rounded).abs().max().item()
    tell(f"{name}: the same class on {same} of 1 000; logits within {apart:.1e} of torch's")
    assert same >= 999 and apart <= 1e-3
