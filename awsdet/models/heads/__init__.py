"""Heads: from features to raw outputs, targets, losses and detections."""
