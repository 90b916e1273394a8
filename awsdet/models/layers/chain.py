"""A sequence of layers."""

import tensorflow as tf


class Chain(tf.keras.layers.Layer):
    """Calls `layers` one after another, each on the output of the one before. Without layers it returns its input.

    Use a list of Chains instead of a list of lists of layers, which Keras does not save.
    """

    def __init__(self, layers):
        super().__init__(name="chain", autocast=False)  # each layer has its own precision
        self.layers = list(layers)
        self.built = True

    def __iter__(self):
        return iter(self.layers)

    def call(self, features, training=False):
        for layer in self.layers:
            features = layer(features, training=training)
        return features
