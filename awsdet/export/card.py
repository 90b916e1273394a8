"""The model card of an export: what a person who meets the folder needs to know (Mitchell et al. 2019)."""

from awsdet.export.contract import INFO

_KINDS = {
    "savedmodel": "a SavedModel",
    "onnx": "an ONNX model",
    "tflite": "a TensorFlow Lite model",
    "weights": "weights",
}


def text(about):
    """Markdown. `about`: the dict of awsdet.json."""
    check, source = about["check"], about["source"]
    numbers = {name: value for name, value in source["metrics"].items() if isinstance(value, float)}
    metrics = [f"| {name} | {value:.4g} |" for name, value in numbers.items() if value >= 0]  # -1: there is none
    count = len(about["class_names"])
    classes = "1 class" if count == 1 else f"{count} classes"
    rule = f"; a pixel belongs to an object from a probability of {about['mask_threshold']} on"
    lines = [
        f"# {about['name']}",
        "",
        f"A {about['detector']} of {classes}, exported as {_KINDS[about['target']]} in {about['precision']} "
        f"by awsdet {about['versions']['awsdet']} with TensorFlow {about['versions']['tensorflow']}.",
        "",
        f"- Classes: {', '.join(about['class_names'])}",
        f"- Images: {_sizes(about)}",
        f"- At most {about['max_detections']} objects per image, with a score above {about['score_threshold']}.",
        f"- Masks: {about['masks']}{'' if about['masks'] == 'none' else rule}.",
        "",
        f"## Where it comes from: step {source['step']}",
        "",
        *(["| metric | value |", "|---|---|", *metrics] if metrics else ["The checkpoint was not evaluated."]),
        "",
        "## Check against the checkpoint",
        "",
        _result(check),
        "",
        "## Data and licence",
        "",
        "Write here which data it was trained on, and under which licence model and data may be used.",
        "",
        f"`{INFO}` has all of this for programs.",
    ]
    return "\n".join(lines) + "\n"


def _sizes(about):
    size = about["size"]
    if "short_side" in size:
        rule = f"short side {size['short_side']} px, unless the long one would exceed {size['max_long_side']} px"
    else:
        rule = f"as large as {size['height']} x {size['width']} px (height, width) allow"
    if about["target"] == "weights" or (about["target"] in ("onnx", "tflite") and "height" in size):
        where = "the caller resizes them and pads them at the right and at the bottom"
    else:
        where = "resizing them is inside the model"
    return f"{rule}; {where}. Pixels are normalised with mean and std of `{INFO}`" + (
        ", by the caller." if about["target"] == "weights" else ", inside the model."
    )


def _result(check):
    if "differs" in check:
        return "The arrays are equal."
    if "allowed" in check:
        scores = (
            f"{kind} AP {check['checkpoint'][kind]:.4f} -> {after:.4f}" for kind, after in check["exported"].items()
        )
        return f"On {check['images']} images of records, in float32 -> this model: {'; '.join(scores)}."
    masks = "none to compare" if check["masks"] is None else f"{check['masks']:.4%} of the pixels or more are equal"
    return (
        f"{check['images']} {check['on']}, {check['objects']} objects: boxes differ by at most {check['boxes']:.2g} "
        f"px, scores by at most {check['scores']:.2g}; masks: {masks}."
    )
