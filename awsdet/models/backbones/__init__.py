"""Backbones: images in, features of rising strides out."""
