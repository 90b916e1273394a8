"""Annotations of other formats (Pascal VOC, YOLO, labelme, mask images), translated into those of COCO."""
