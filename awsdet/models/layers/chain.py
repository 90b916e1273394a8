"""Layers in a row."""

import tensorflow as tf


class Chain(tf.keras.layers.Layer):
    """Calls `layers`, one after the other, each on what the one before gives; none gives its input.

    A list of lists of layers is one of Chains, since Keras saves no list within a list.
    """

    def __init__(self, layers):
        super().__init__(name="chain", autocast=False)  # its layers know their precision
        self.layers = list(layers)
        self.built = True

    def __iter__(self):
        return iter(self.layers)

    def call(self, features, training=False):
        for layer in self.layers:
            features = layer(features, training=training)
        return features
