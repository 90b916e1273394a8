"""Reads the weights of other systems, and writes ours in mmdetection's names."""
