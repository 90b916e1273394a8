"""Backbones: from images to features at strides 4, 8, 16, 32."""
