"""Trained detectors as models that run without awsdet."""
