"""Data: COCO annotations to records to batches."""
