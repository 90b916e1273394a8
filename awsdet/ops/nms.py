from awsdet.ops.plain.nms import Kept, nms  # noqa: F401
