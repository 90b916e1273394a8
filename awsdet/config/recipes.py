"""Recipes beyond 1x that change a few settings of a family: more epochs with several sizes, and better weights."""

# Epochs -> those after which the rate decays, as mmdetection and Detectron2 have them.
_DECAYS = {24: (16, 22), 36: (27, 33)}


def multi_scale(config, epochs):
    """Gives a config of one of the families, with ResNet-50, the 2x or the 3x recipe, and returns it.

    Short sides of 640 to 800 px (mmdetection's ms, Detectron2's 3x).

    Args:
        config: ConfigDict.
        epochs: 24 or 36.

    Raises ValueError for other epochs.
    """
    if epochs not in _DECAYS:
        raise ValueError(f"multi_scale knows when the rate falls in {list(_DECAYS)} epochs, not in {epochs}")
    config.data.short_side_range = (640, 800)
    config.schedule.decay_epochs = _DECAYS[epochs]
    config.train.update(epochs=epochs, init_from="imagenet-r50")
    return config


def resnet_strikes_back(config, learning_rate=2e-4):
    """Gives a config of one of the families AdamW and the weights of "ResNet strikes back", and returns it.

    mmdetection's configs/resnet_strikes_back (weights: Wightman et al. 2021); norms do not decay.

    Args:
        config: ConfigDict, with ResNet-50.
        learning_rate: for 16 images per update; RetinaNet has 1e-4.
    """
    config.optimizer.update(name="adamw", learning_rate=learning_rate, weight_decay=0.05)
    config.optimizer.rules = "*.gamma decay=0, *.beta decay=0"  # norms
    config.train.init_from = "imagenet-r50-rsb"
    return config
