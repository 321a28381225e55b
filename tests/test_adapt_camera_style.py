from __future__ import annotations

import numpy as np
import pytest
from learning import make_figures
from PIL import Image, ImageFilter
from skimage import color

from unrealperson.adapt.camera_style import (
    CameraStyles,
    contact_sheet,
    describe,
    lab_to_rgb,
    rgb_to_lab,
)
from unrealperson.data.loader import Images


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Images:
    """Two cameras: the second is darker, blue, blurred and noisy."""
    root = tmp_path_factory.mktemp("figures")
    manifest = make_figures(root, identities=6, cameras=2, images=2)
    rng = np.random.default_rng(0)
    for row in np.flatnonzero(manifest.camid == 2):
        picture = Image.open(manifest.image_path(row)).filter(ImageFilter.GaussianBlur(1.2))
        pixels = np.asarray(picture) * np.array([0.5, 0.6, 0.8]) + rng.normal(0, 9, (64, 32, 1))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(manifest.image_path(row))
    return Images(manifest, height=64, width=32)


def camera(images: Images) -> np.ndarray:
    return images.manifest.camid - 1


def test_lab_is_that_of_scikit_image():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3), dtype=np.uint8)
    pixels[0], pixels[1] = 0, 255
    np.testing.assert_allclose(rgb_to_lab(pixels), color.rgb2lab(pixels), atol=0.05)
    np.testing.assert_array_equal(lab_to_rgb(rgb_to_lab(pixels)), pixels)


@pytest.mark.parametrize("style", ["reinhard", "histogram", "fourier"])
def test_views_look_as_the_other_camera_does(images, style):
    own = camera(images)
    styles = CameraStyles(images, own, style=style)
    rows = np.flatnonzero(own == 0)
    moved = describe(styles.views(rows, np.ones(len(rows), int), [0]))
    before, after = styles.looks
    for name in ("mean", "deviation"):
        if style != "fourier":
            gap = np.abs(getattr(after, name) - getattr(before, name)).max()
            assert np.abs(getattr(moved, name) - getattr(after, name)).max() < 0.35 * gap
    assert abs(moved.noise - after.noise) < 0.5 * abs(before.noise - after.noise)
    gaps = [np.abs(np.log(each.spectrum[:8] / after.spectrum[:8])).mean() for each in (moved, before)]
    assert gaps[0] < gaps[1]


def test_an_image_of_the_camera_itself_stays(images):
    styles = CameraStyles(images, camera(images))
    np.testing.assert_array_equal(styles.views(np.array([3]), camera(images)[3:4], [0]), images[np.array([3])])


def test_views_depend_on_the_seed_alone(images):
    rows, target = np.arange(6), 1 - camera(images)[:6]
    made = [CameraStyles(images, camera(images)).views(rows, target, [5]) for _ in range(2)]
    np.testing.assert_array_equal(*made)
    rest = CameraStyles(images, camera(images)).views(rows[4:], target[4:], [5], 4)
    np.testing.assert_array_equal(rest, made[0][4:])


@pytest.mark.parametrize("name", ["{stem}_fake_{own}to{other}.jpg", "{stem}_fake_{other}.png"])
def test_camstyle_folders_are_read(images, tmp_path, name):
    manifest = images.manifest
    stem, own = manifest.path[0].split("/")[-1].removesuffix(".png"), manifest.camid[0]
    (tmp_path / "merge").mkdir()
    Image.new("RGB", (32, 64), (9, 99, 199)).save(tmp_path / "merge" / name.format(stem=stem, own=own, other=2))
    styles = CameraStyles(images, camera(images), folder=str(tmp_path))
    view, made = styles.views(np.array([0, 1]), np.array([1, 1]), [0])
    assert np.abs(view.astype(int) - (9, 99, 199)).max() <= 3
    assert np.abs(made.astype(int) - (9, 99, 199)).max() > 30


def test_camstyle_folders_that_hold_nothing_are_refused(images, tmp_path):
    for folder, message in ((tmp_path, "holds no image named"), (tmp_path / "absent", "there is no folder")):
        with pytest.raises(ValueError, match=f"adapt.camstyle: .*{message}"):
            CameraStyles(images, camera(images), folder=str(folder))


def test_contact_sheet(images):
    sheet = contact_sheet(CameraStyles(images, camera(images)), [0, 5])
    assert sheet.shape == (128, 96, 3)
