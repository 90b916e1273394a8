"""Other systems' error analysis; tests that need it are skipped without it."""

import contextlib
import io
import sys
import sysconfig
import types

import pytest

from tests.environments import environment

# What tidecv imports only to draw. The counting, which is compared here, is its own.
DRAWING = ("appdirs", "cv2", "matplotlib", "matplotlib.lines", "matplotlib.pyplot", "pandas", "seaborn")


@pytest.fixture(scope="session")
def oracles():
    """The folder with hotcoco and tidecv, importable while the tests run."""
    packages = sysconfig.get_path("purelib", vars={"base": str(environment("analysis"))})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(packages)
        for name in DRAWING:
            module = types.ModuleType(name)
            module.__path__ = []
            module.user_data_dir = module.pyplot = module.Line2D = None
            module.FONT_HERSHEY_SIMPLEX = 0
            patch.setitem(sys.modules, name, module)
        yield packages


@pytest.fixture(scope="session")
def hotcoco(oracles):
    """A function (ground truth, results, "bbox" or "segm") -> hotcoco's COCOeval, evaluated."""
    import hotcoco

    def evaluated(truth, results, kind="bbox"):
        with contextlib.redirect_stdout(io.StringIO()):
            coco = hotcoco.COCO(truth)
            scored = hotcoco.COCOeval(coco, coco.load_res(results), kind)
            scored.evaluate()
            scored.accumulate()
        return scored

    return evaluated


@pytest.fixture(scope="session")
def tidecv(oracles):
    """A function (ground truth, results, masks) -> (AP, gains by kind, counts by kind) of tidecv, AP 0 to 1."""
    from tidecv import TIDE
    from tidecv.data import Data
    from tidecv.quantify import TIDERun

    def run(truth, results, masks=False):
        gt, found = Data("truth"), Data("found")
        for image in truth["images"]:
            gt.add_image(image["id"], image["file_name"])
        for one in truth["annotations"]:
            add = gt.add_ignore_region if one["iscrowd"] else gt.add_ground_truth
            add(one["image_id"], one["category_id"], one["bbox"], one.get("segmentation"))
        for one in results:
            where = one["image_id"], one["category_id"], one["score"]
            found.add_detection(*where, one["bbox"], one.get("segmentation"))
        done = TIDERun(gt, found, 0.5, 0.1, TIDE.MASK if masks else TIDE.BOX, 100)
        gains = {kind.short_name: gain / 100 for kind, gain in done.fix_main_errors().items()}
        special = {kind.short_name: gain / 100 for kind, gain in done.fix_special_errors().items()}
        gains |= {"FP": special["FalsePos"], "FN": special["FalseNeg"]}
        return done.ap / 100, gains, {kind.short_name: count for kind, count in done.count_errors().items()}

    return run
