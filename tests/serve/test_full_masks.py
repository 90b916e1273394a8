"""Models exported with --masks=full: limited before the work, answered with run lengths that pycocotools decodes."""

import signal

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from awsdet.serve.full_masks import check_size
from awsdet.serve.limits import Limits
from awsdet.serve.refusal import Refused
from awsdet.serve.rest import images_call
from tests.serve import tiny_model
from tests.serve.browser import PROGRAM, Browser
from tests.serve.running import SECONDS, b64, encoded, serve

PREDICT = "/v1/models/tiny:predict"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = serve(tiny_model.write(tmp_path_factory.mktemp("model"), masks="full"), "--max-mask-bytes=60000")
    running.until(lambda health: health["state"] == "ready")
    yield running
    running.process.send_signal(signal.SIGTERM)
    errors = running.process.communicate(timeout=SECONDS)[1]
    assert running.process.returncode == 0 and "Traceback" not in errors, errors


def box_mask(size, box):
    mask = np.zeros(size, np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    return mask


def test_masks_have_the_size_of_their_own_image(server):
    images = [encoded(), encoded(size=(70, 30), box=(1, 2, 3, 4))]
    status, answer, _ = server.ask("POST", PREDICT, {"instances": [b64(image) for image in images]})
    assert status == 200, answer
    for found, size, box in zip(answer["predictions"], ((40, 60), (30, 70)), ((10, 5, 30, 25), (1, 2, 3, 4))):
        assert found["count"] == 2 and found["masks"][2] is None
        np.testing.assert_array_equal(coco_mask.decode(found["masks"][0]), box_mask(size, box))
        assert coco_mask.decode(found["masks"][1]).shape == size and coco_mask.decode(found["masks"][1]).all()
    status, columns, _ = server.ask("POST", PREDICT, {"inputs": [b64(image) for image in images]})
    assert columns["outputs"]["masks"] == [found["masks"] for found in answer["predictions"]]
    status, alone, _ = server.ask("POST", "/invocations", images[1], Content_Type="image/png")
    assert alone["predictions"][0]["masks"] == answer["predictions"][1]["masks"]


def test_what_would_take_too_much_is_refused_before_the_work(server):
    large = encoded(size=(150, 140), box=(1, 2, 3, 4))  # 3 masks of 21,000 bytes
    status, answer, _ = server.ask("POST", PREDICT, {"instances": [b64(large)]})
    assert status == 413 and "63,000 bytes" in answer["error"] and "--max-mask-bytes" in answer["error"]
    pixels = {"signature_name": "pixels", "instances": np.zeros((1, 140, 150, 3), int).tolist()}
    status, answer, _ = server.ask("POST", PREDICT, pixels)
    assert status == 413 and "an image of 150 x 140 pixels" in answer["error"]


def test_all_masks_have_the_size_of_the_largest_upright_image():
    exif = Image.Exif()
    exif[274] = 6
    images = [encoded("JPEG", size=(60, 20), box=(1, 2, 3, 4), exif=exif), encoded(size=(50, 10), box=(1, 2, 3, 4))]
    definition = {"outputs": {"masks": {"dtype": "DT_UINT8", "tensor_shape": {"dim": [{"size": "-1"}, {"size": "7"}]}}}}
    limits = Limits(mask_bytes=2 * 7 * 60 * 50)
    check_size(images_call(images, limits), definition, limits)
    with pytest.raises(Refused, match="2 images of 50 x 60 pixels would take 42,000 bytes, 7 masks each"):
        check_size(images_call(images, limits), definition, limits._replace(mask_bytes=2 * 7 * 60 * 50 - 1))
    broken = encoded("JPEG", size=(60, 20), box=(1, 2, 3, 4), exif=b"Exif\0\0broken")
    check_size(images_call([broken], limits), definition, limits._replace(mask_bytes=7 * 60 * 20))
    definition["outputs"]["masks"]["dtype"] = "DT_FLOAT"
    check_size(images_call(images, limits), definition, limits._replace(mask_bytes=1))


@pytest.mark.skipif(PROGRAM is None, reason="needs Chromium: apt-get install chromium-headless-shell")
def test_the_page_unpacks_them(server, tmp_path):
    random = np.random.default_rng(0)
    mask = random.random((37, 53)) < np.linspace(0, 1, 53)  # short runs, long ones, growing and shrinking
    packed = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    packed["counts"] = packed["counts"].decode()
    (tmp_path / "thing.png").write_bytes(encoded(size=(150, 100), box=(25, 10, 75, 60)))
    browser = Browser(tmp_path / "profile")
    try:
        browser.open(f"http://127.0.0.1:{server.port}/")
        np.testing.assert_array_equal(browser.value(f"[...unpacked({packed})]"), mask.ravel())
        browser.choose("#file", tmp_path / "thing.png")
        browser.wait("document.getElementById('state').textContent.includes('objects')")
        pixel = "Array.from(canvas.getContext('2d').getImageData({}, 30, 1, 1).data.slice(0, 3))"
        assert browser.value(pixel.format(50)) != [250, 90, 30]
        assert browser.value(pixel.format(100)) == [20, 20, 20]
        assert "run lengths of 2 masks" in browser.value("json.textContent")
    finally:
        browser.close()
