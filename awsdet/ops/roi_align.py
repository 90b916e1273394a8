from awsdet.ops.plain.roi_align import assign_levels, roi_align  # noqa: F401
