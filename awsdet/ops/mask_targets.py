from awsdet.ops.plain.mask_targets import polygon_targets, rle_targets  # noqa: F401
