from awsdet.ops.plain.paste_masks import paste_masks  # noqa: F401
