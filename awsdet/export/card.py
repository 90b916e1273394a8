"""The model card of an export: what a person who meets the folder needs to know (Mitchell et al. 2019)."""

from awsdet.export.contract import INFO


def text(about):
    """Markdown. `about`: the dict of awsdet.json."""
    size, check, source = about["size"], about["check"], about["source"]
    numbers = {name: value for name, value in source["metrics"].items() if isinstance(value, float)}
    metrics = [f"| {name} | {value:.4g} |" for name, value in numbers.items() if value >= 0]  # -1: there is none
    masks = "none to compare" if check["masks"] is None else f"{check['masks']:.4%} of the pixels or more are equal"
    count = len(about["class_names"])
    classes = "1 class" if count == 1 else f"{count} classes"
    rule = f"; a pixel belongs to an object from a probability of {about['mask_threshold']} on"
    lines = [
        f"# {about['name']}",
        "",
        f"A {about['detector']} of {classes}, a {about['target']} in {about['precision']}, "
        f"exported by awsdet {about['versions']['awsdet']} with TensorFlow {about['versions']['tensorflow']}.",
        "",
        f"- Classes: {', '.join(about['class_names'])}",
        f"- Images: any size. The short side is resized to {size['short_side']} px, unless the long one would exceed "
        f"{size['max_long_side']} px; this is inside the model, as is the normalisation of the pixels.",
        f"- At most {about['max_detections']} objects per image, with a score above {about['score_threshold']}.",
        f"- Masks: {about['masks']}{'' if about['masks'] == 'none' else rule}.",
        "",
        f"## Where it comes from: step {source['step']}",
        "",
        *(["| metric | value |", "|---|---|", *metrics] if metrics else ["The checkpoint was not evaluated."]),
        "",
        "## Check against the checkpoint",
        "",
        f"{check['images']} {check['on']}, {check['objects']} objects: boxes differ by at most {check['boxes']:.2g} "
        f"px, scores by at most {check['scores']:.2g}; masks: {masks}.",
        "",
        "## Data and licence",
        "",
        "Write here which data it was trained on, and under which licence model and data may be used.",
        "",
        f"`{INFO}` has all of this for programs.",
    ]
    return "\n".join(lines) + "\n"
