"""Recognises annotation files of formats other than COCO detection, to say what they are and what to do.

The texts are phrases that follow the name of the file.
"""

import json
import re

_LOOKED_AT = 200  # entries of a list that decide what it is
_CONVERT = "convert it to COCO detection first"
_WHOLE = "convert the whole data set with awsdet convert --dataset=FOLDER --from="
_VOC = f"is an XML file of Pascal VOC (one per image); {_WHOLE}voc"
_CVAT = "is an XML file of CVAT; export the task again as 'COCO 1.0'"
_XML = f"is an XML file; {_CONVERT}"
_HTML = "is a web page, not an annotation file; the download may have asked for a login"
_LFS = "is a pointer of Git LFS, not the file itself; run git lfs pull"
_LINES = f"holds one JSON value per line (JSON lines); {_CONVERT}"
_GROUND_TRUTH = f"is a manifest of SageMaker Ground Truth (JSON lines); {_CONVERT}"
_YOLO = f"is a text file of YOLO (class and box per line); {_WHOLE}yolo"
_YAML = f"is a YAML file such as YOLO's list of classes; {_WHOLE}yolo"
_LABEL_MAP = "is a label map of the Object Detection API; it belongs beside its TFRecord shards"
_CSV = f"is a table of comma-separated values; {_CONVERT}"

_RESULTS = "is a COCO results file (detections with scores); give the annotation file of the data set"
_PANOPTIC = (
    "is a COCO panoptic file (segments_info); convert it to COCO detection first, as panopticapi's "
    "panoptic2detection_coco_format does"
)
_CAPTIONS = "holds captions and no boxes; give the instances_*.json of the data set"
_KEYPOINTS = "holds keypoints without boxes and masks; give the instances_*.json of the data set"
_NESTED = (
    "has its annotations inside the entries of its images; put them into one list 'annotations', each with the "
    "image_id of its image"
)
_LABELME = f"is a labelme file (shapes of one image); {_WHOLE}labelme"
_VIA = "is a project of the VGG Image Annotator; export it as COCO format ('Export Annotations (COCO format)')"
_CREATE_ML = f"is a file of Create ML; {_CONVERT}"
_LABEL_STUDIO = "is an export of Label Studio in its own JSON; export it again as 'COCO'"
_SUPERVISELY = "is a file of Supervisely; export the project as COCO"
_DATUMARO = "is a file of Datumaro; export it as 'coco_instances'"
_GEOJSON = f"is a GeoJSON file; {_CONVERT}"
_VIDEOS = f"is a file of videos, such as YouTube-VIS; {_CONVERT}, with the frames as images"
_LABELBOX = f"is an export of Labelbox; {_CONVERT}"
_OWN_MANIFEST = "is a manifest of awsdet itself: these records need no conversion"


def name_of_text(text):
    """What a text is that is no JSON; None if it is not recognised."""
    start = text.lstrip("\ufeff \t\r\n")[:2000]
    if start.startswith("<"):
        return _name_of_xml(start)
    if start.startswith("version https://git-lfs"):
        return _LFS
    lines = [line for line in start.splitlines()[:20] if line.strip()]
    first = lines[0] if lines else ""
    if start.startswith(("{", "[")):
        return _name_of_lines(text)
    if re.match(r"item\s*:?\s*\{", start):
        return _LABEL_MAP
    whole = lines[:-1] if len(start) == 2000 else lines  # the last may be cut
    if whole and all(re.fullmatch(r"\s*\d+(\s+-?[\d.]+(e-?\d+)?){4,}\s*", line) for line in whole):
        return _YOLO
    if re.match(r"(#.*|[\w-]+\s*:.*|---)$", first) and re.search(r"^(names|nc|train|val|path)\s*:", start, re.M):
        return _YAML
    if first.count(",") >= 3 and not re.search(r"[{}\[\]]", first):
        return _CSV
    return None


def _name_of_xml(start):
    lower = start.lower()
    if "<html" in lower or "<!doctype html" in lower:
        return _HTML
    if "<annotations" in lower:
        return _CVAT
    return _VOC if "<annotation" in lower else _XML


def _name_of_lines(text):
    """For a text that begins as JSON: whether its first two lines are a JSON value each."""
    lines = text.lstrip("\ufeff \t\r\n").split("\n", 2)
    if len(lines) < 2:
        return None
    try:
        first = json.loads(lines[0])
        if lines[1].strip():
            json.loads(lines[1])
    except (ValueError, RecursionError):
        return None
    return _GROUND_TRUTH if isinstance(first, dict) and "source-ref" in first else _LINES


def name_of_content(content):
    """What the content of a JSON file is that is not COCO detection; None if it is, or if it is not recognised."""
    if isinstance(content, list):
        return _name_of_list(_dicts(content))
    if not isinstance(content, dict):
        return f"holds a single value ({json.dumps(content)[:20]}); it must be a COCO detection file"
    return _name_of_dict(content)


def _name_of_list(entries):
    if _all(entries, lambda e: "image_id" in e and "category_id" in e and ("score" in e or "bbox" in e)):
        return _RESULTS
    if _all(entries, lambda e: "image_id" in e and ("keypoints" in e or "caption" in e or "segmentation" in e)):
        return _RESULTS
    if _all(entries, lambda e: isinstance(e.get("image", e.get("imagefilename")), str) and "annotations" in e):
        return _CREATE_ML
    if _all(entries, lambda e: "data" in e and ({"annotations", "completions", "predictions"} & e.keys())):
        return _LABEL_STUDIO
    if _all(entries, lambda e: "data_row" in e or "Labeled Data" in e):
        return _LABELBOX
    if _all(entries, _is_via_entry):
        return _VIA
    if _all(entries, lambda e: "shapes" in e and "imagePath" in e):
        return _LABELME
    return "holds a list; a COCO detection file is an object with the lists 'images', 'annotations' and 'categories'"


def _name_of_dict(content):
    annotations, images = _dicts(content.get("annotations")), _dicts(content.get("images"))
    if str(content.get("format", "")).startswith("awsdet records"):
        return _OWN_MANIFEST
    if "shapes" in content and ("imagePath" in content or "imageData" in content):
        return _LABELME
    if any(key.startswith("_via_") for key in content) or _all(_values(content), _is_via_entry):
        return _VIA
    if isinstance(content.get("objects"), list) and isinstance(content.get("size"), dict):
        return _SUPERVISELY
    if isinstance(content.get("items"), list) and "categories" in content:
        return _DATUMARO
    if content.get("type") == "FeatureCollection":
        return _GEOJSON
    if "source-ref" in content:
        return _GROUND_TRUTH
    if isinstance(content.get("videos"), list) and "images" not in content:
        return _VIDEOS
    if _all(annotations, lambda a: "segments_info" in a and "bbox" not in a):
        return _PANOPTIC
    if _all(annotations, lambda a: "caption" in a and _is_bare(a)):
        return _CAPTIONS
    if _all(annotations, lambda a: "keypoints" in a and _is_bare(a)):
        return _KEYPOINTS
    if not annotations and any(_holds_objects(image) for image in images):
        return _NESTED
    return None


def _holds_objects(entry):
    """Whether the entry of an image holds annotations of its own."""
    lists = [entry.get(key) for key in ("annotations", "objects", "anns", "labels", "regions", "bboxes", "boxes")]
    return any(isinstance(value, (list, dict)) and value for value in lists)


def _is_bare(annotation):
    return "bbox" not in annotation and "segmentation" not in annotation


def _is_via_entry(entry):
    return isinstance(entry.get("regions"), (list, dict)) and ("filename" in entry or "fileref" in entry)


def _values(content):
    values = list(content.values())[:_LOOKED_AT]
    return values if all(isinstance(value, dict) for value in values) else []


def _dicts(values):
    """The dicts among the first entries of a list; nothing if it is none."""
    return [v for v in values[:_LOOKED_AT] if isinstance(v, dict)] if isinstance(values, list) else []


def _all(entries, test):
    return bool(entries) and all(test(entry) for entry in entries)
