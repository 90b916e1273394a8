"""Records to batches, in `tf.data`."""
