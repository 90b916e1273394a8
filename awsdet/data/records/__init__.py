"""TFRecord shards and their manifest: written, read, inspected."""
