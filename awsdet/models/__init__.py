"""Detectors and their parts; `builder.build` makes a detector from a config."""
