"""COCO annotations and images: checked and cleaned."""
