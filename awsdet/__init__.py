"""awsdet: train object detectors and instance segmenters in TensorFlow 2 with Horovod."""
