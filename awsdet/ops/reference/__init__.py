"""The operators in plain TensorFlow or NumPy: the oracles of the tests, and what an exported model is made of."""
