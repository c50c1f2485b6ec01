"""The gallery: sheets that hold the pictures, outlines, and the page in a browser."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from stn_course import models, sampling
from stn_course.analysis import gallery, predictions, run_plots
from stn_course.training import tensorboard


def seen(n=1500, transformer=True, channels=1):
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 256, (n, 12, 12 * channels), dtype=np.uint8)
    p = rng.dirichlet(np.ones(10), n).astype(np.float32)
    labels = rng.integers(0, 10, n)
    box = np.float32([[-1, -1], [0.5, -1], [0.5, 0.5], [-1, 0.5]])
    return predictions.Predictions(
        inputs,
        inputs[:, ::2, ::2].copy() if transformer else None,
        np.broadcast_to(box, (n, 1, 4, 2)) if transformer else None,
        labels,
        p,
        -np.log(p[np.arange(n), labels]),
        channels,
    )


def test_sheets_hold_every_picture_in_its_place(tmp_path):
    made = seen()
    gallery.write(tmp_path, made, "a test")
    for k in (0, 31, 32, 1023, 1024, 1499):
        (path,) = tmp_path.glob(f"sheet_*_input_{k // 1024}.png")
        sheet = np.asarray(Image.open(path))
        y, x = divmod(k % 1024, 32)
        tile = sheet[12 * y : 12 * y + 12, 12 * x : 12 * x + 12]
        assert np.array_equal(tile, made.inputs[k])
    gallery.write(tmp_path, seen(10, transformer=False), "a shorter one")
    (only,) = tmp_path.glob("sheet_*")
    assert only.name.endswith("_input_0.png")
    data = (tmp_path / "gallery.js").read_text()
    data = json.loads(data.removeprefix("const GALLERY = ").removesuffix(";\n"))
    assert data["output"] is None and data["boxes"] is None and len(data["truth"]) == 10


def test_confusion_has_the_truth_in_rows():
    made = seen(3)
    made.labels = np.array([2, 2, 7])
    made.probabilities = np.eye(10)[[2, 5, 7]]
    matrix = made.confusion()
    assert matrix.sum() == 3 and matrix[2, 2] == matrix[2, 5] == matrix[7, 7] == 1


def test_outlines_go_round_the_place_that_was_read():
    square = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    theta = torch.tensor([[[0.5, 0, 0.25], [0, 2, 0]]])
    wanted = square * torch.tensor([0.5, 2]) + torch.tensor([0.25, 0])
    torch.testing.assert_close(sampling.outline(theta), wanted[None])
    torch.testing.assert_close(sampling.outline(torch.eye(3)[None]), square[None])
    spline = sampling.outline(torch.zeros(1, 16, 2))
    assert spline.shape == (1, 32, 2)
    torch.testing.assert_close(spline[0, ::8], square, atol=1e-5, rtol=0)
    assert bool((spline.abs().amax(2) - 1).abs().max() < 1e-5)


@pytest.mark.parametrize(
    "name, options, channels, shapes",
    [
        ("stn-small", {}, 1, ((5, 28, 28), (5, 1, 4, 2))),
        ("stn-small", {"transform": "tps"}, 1, ((5, 28, 28), (5, 1, 32, 2))),
        ("stn-small", {"transformers": 2, "channels": 2}, 2, ((5, 28, 112), (5, 2, 4, 2))),
        ("cnn", {}, 1, None),
        ("stn-features", {}, 1, None),  # what it reads is no image
    ],
)
def test_every_kind_of_model_is_looked_at(name, options, channels, shapes):
    model = models.build(name, **options).train()
    x = torch.rand(5, channels, 28, 28, generator=torch.Generator().manual_seed(0))
    made = predictions.predict(model, x, torch.arange(5), batch=2)
    assert model.training and made.inputs.shape == (5, 28, 28 * channels)
    assert made.channels == channels and np.allclose(made.probabilities.sum(1), 1, atol=1e-5)
    assert not any(m._forward_hooks for m in model.modules())
    if shapes is None:
        assert made.outputs is None and made.boxes is None
    else:
        assert (made.outputs.shape, made.boxes.shape) == shapes
        assert np.array_equal(made.outputs[..., :28], made.inputs[..., :28])  # untrained: identity


@pytest.mark.parametrize("transformers", [1, 2])
def test_pictures_in_colour_are_one_picture_and_need_not_be_square(transformers, tmp_path):
    x = torch.rand(5, 3, 32, 100, generator=torch.Generator().manual_seed(0))
    options = {"channels": 3, "size": (32, 100), "transformers": transformers}
    made = predictions.predict(models.build("stn", **options), x, torch.arange(5), batch=2)
    shown = x.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(made.inputs, shown) and made.channels == 1
    assert made.outputs.shape == (5, 32, 100 * transformers, 3)
    for k in range(transformers):  # untrained: the identity, one after another
        part = made.outputs[:, :, 100 * k : 100 * (k + 1)]
        assert np.abs(part.astype(int) - shown).max() <= 1
    gallery.write(tmp_path, made, "colour")
    (sheet,) = tmp_path.glob("sheet_*_input_0.png")
    picture = np.asarray(Image.open(sheet))
    assert picture.shape == (32, 3200, 3) and np.array_equal(picture[:, 100:200], shown[1])
    assert '"colour":true' in (tmp_path / "gallery.js").read_text()
    gallery.write_images(tmp_path, made)
    written = np.asarray(Image.open(tmp_path / "input" / "00003.png"))
    assert np.array_equal(written, shown[3])
    first = next(tensorboard.with_boxes(made, zoom=1))
    assert first.shape == (32, 100, 3)
    figure = run_plots.by_class(made.inputs, made.outputs, made.labels, made.read)
    pixels = np.asarray(figure.axes[0].images[0].get_array())
    assert np.array_equal(pixels[2:34, 2:102], shown[0])  # no negative of it


@pytest.mark.browser
@pytest.mark.parametrize("transformer", [True, False])
def test_the_page_shows_outlines_where_there_is_a_transformer(tmp_path, visit, transformer):
    page = visit(gallery.write(tmp_path, seen(30, transformer), "a test").as_uri())
    legend = page.locator("#legend").inner_text()
    assert ("red outline" in legend) == transformer and "misread" in legend
    assert page.locator(".picture").count() == (60 if transformer else 30)
    assert page.locator("polygon").count() == (30 if transformer else 0)


@pytest.mark.browser
def test_the_page_lists_pages_sorts_and_filters(tmp_path, visit):
    made = seen(1150)
    page = visit(gallery.write(tmp_path, made, "a test").as_uri())
    status, items = page.locator("#status"), page.locator("#list li")
    wrong = int((made.labels != made.read).sum())
    assert status.inner_text() == f"1150 images, {wrong} misread; page 1 of 12"
    assert items.count() == 100 and page.title() == "a test"

    listed = []
    for _ in range(12):
        listed += items.evaluate_all("all => all.map(i => Number(i.dataset.index))")
        if len(listed) < 1150:
            page.click("#next")
    assert listed == list(range(1150)) and page.locator("#next").is_disabled()
    page.click("#back")
    assert "page 11 of 12" in status.inner_text()

    for how, values, sign in (
        ("error", made.losses, -1),
        ("doubt", made.probabilities.max(1), 1),
        ("confidence", made.probabilities.max(1), -1),
    ):
        page.select_option("#sort", how)
        shown = items.evaluate_all("all => all.map(i => Number(i.dataset.index))")
        assert "page 1 of 12" in status.inner_text()
        best = sign * np.sort(sign * values)[:100]
        assert np.allclose(values[shown], best, atol=2e-5)

    said = items.locator(".said").evaluate_all(
        "all => all.map(e => [e.textContent, getComputedStyle(e).fontWeight,"
        " e.closest('li').dataset.index])"
    )
    for text, weight, k in said:
        misread = made.labels[int(k)] != made.read[int(k)]
        assert text.startswith("✗ ") == misread and (weight == "700") == misread

    page.check("#wrong")
    assert f"{wrong} images, {wrong} misread" in status.inner_text()
    page.select_option("#truth", "3")
    both = int(((made.labels != made.read) & (made.labels == 3)).sum())
    assert f"{both} images" in status.inner_text()
    page.select_option("#size", "500")
    assert items.count() == both


@pytest.mark.browser
def test_outlines_differ_in_their_dashes_too(tmp_path, visit):
    made = seen(5)
    made.boxes = np.repeat(made.boxes, 5, 1)
    page = visit(gallery.write(tmp_path, made, "a test").as_uri())
    dashes = (
        page.locator("li")
        .first.locator("polygon")
        .evaluate_all("all => all.map(e => getComputedStyle(e).strokeDasharray)")
    )
    assert dashes[0] == "none" and len(set(dashes)) == 5
    assert "teal and dashed, amber and dotted" in page.locator("#legend").inner_text()


@pytest.mark.browser
def test_the_page_shows_the_right_part_of_the_sheet(tmp_path, visit):
    made = seen(1100)
    made.inputs[:] = 0
    made.inputs[1060] = 255
    page = visit(gallery.write(tmp_path, made, "a test").as_uri())
    page.select_option("#size", "500")
    for _ in range(2):
        page.click("#next")
    for k, grey in ((1060, 0), (1059, 255), (1061, 255), (1092, 255)):
        shot = tmp_path / "shot.png"
        page.evaluate("document.querySelectorAll('svg').forEach(s => s.remove())")
        page.locator(f"li[data-index='{k}'] .picture").first.screenshot(path=shot)
        pixels = np.asarray(Image.open(shot).convert("L"))[4:-4, 4:-4]
        assert (pixels == grey).all(), k
