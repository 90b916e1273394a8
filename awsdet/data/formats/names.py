"""The names of formats and splits, apart from what reads them, so that `awsdet convert --help` answers at once."""

SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test",)}  # names of folders
FORMATS = {
    "voc": "Pascal VOC: Annotations/*.xml, JPEGImages/, ImageSets/Main/*.txt",
    "yolo": "YOLO: data.yaml or classes.txt, images/ and labels/*.txt",
    "labelme": "labelme: one JSON per image",
    "masks": "mask images: masks/NAME.png for images/NAME.jpg, or masks/NAME/*.png",
}
