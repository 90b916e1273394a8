"""A trained detector at work: loaded, given images, its objects drawn. Knows nothing of training."""
