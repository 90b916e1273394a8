"""Feature Pyramid Network (Lin et al. 2017): from features of rising strides to levels with equally many channels."""

import tensorflow as tf

from awsdet.models.layers.conv import conv_maker
from awsdet.models.layers.upsample import upsample_nearest

EXTRA_CONVS = ("none", "on_input", "on_lateral", "on_output")


class FPN(tf.keras.layers.Layer):
    """Lateral 1x1 convolutions, a top-down path of nearest-neighbour upsampling, 3x3 convolutions, coarser levels.

    Args:
        in_channels: of C2, C3, …
        channels: of every output.
        start_level: the first feature that is used, 0 for C2.
        num_outs: number of levels. Levels beyond the features are extra, each half the size (rounded up) of the one
            before.
        extra_convs: what makes the extra levels. none: subsampling. Otherwise 3x3 convolutions of stride 2, of which
            the first gets the last feature (on_input), its lateral (on_lateral) or its output (on_output).
        relu_before_extra_convs: a ReLU before each extra convolution but the first.
        norm: see `Conv`.
    """

    def __init__(
        self,
        in_channels,
        channels,
        *,
        norm,
        initializers,
        dtype,
        start_level=0,
        num_outs=5,
        extra_convs="none",
        relu_before_extra_convs=False,
        name="neck",
    ):
        super().__init__(name=name, dtype=dtype)
        self.start_level, self.num_outs = start_level, num_outs
        self.extra_convs, self.relu_before_extra_convs = extra_convs, relu_before_extra_convs
        if extra_convs not in EXTRA_CONVS:
            raise ValueError(f"extra_convs is {extra_convs!r}; it must be one of {', '.join(EXTRA_CONVS)}")
        conv = conv_maker(initializers.xavier_uniform, norm=norm, dtype=dtype)
        used = in_channels[start_level:]
        self.lateral = [conv(c, channels, 1, name=f"{name}.lateral_convs.{i}.conv") for i, c in enumerate(used)]
        self.output_convs = [conv(channels, channels, 3, name=f"{name}.fpn_convs.{i}.conv") for i in range(len(used))]
        self.coarser = []
        for index in range(len(used), num_outs if extra_convs != "none" else 0):
            source = used[-1] if extra_convs == "on_input" and not self.coarser else channels
            self.coarser.append(conv(source, channels, 3, name=f"{name}.fpn_convs.{index}.conv", strides=2))
        self.built = True

    def call(self, features, training=False):
        """Features [B, H, W, in_channels] from stride 4 on, each half the size of the one before -> list of num_outs
        levels [B, h, w, channels], finest first. Features may have odd sizes only if the graph knows their sizes;
        otherwise H and W of the image must be multiples of 32."""
        used = features[self.start_level :]
        merged = [lateral(f, training=training) for lateral, f in zip(self.lateral, used)]
        for level in reversed(range(len(merged) - 1)):
            merged[level] += _cut(upsample_nearest(merged[level + 1], 2), merged[level])
        outputs = [conv(m, training=training) for conv, m in zip(self.output_convs, merged)]
        sources = {"on_input": used[-1], "on_lateral": merged[-1]}
        for index, conv in enumerate(self.coarser):
            source = outputs[-1] if index else sources.get(self.extra_convs, outputs[-1])
            if index and self.relu_before_extra_convs:
                source = tf.nn.relu(source)
            outputs.append(conv(source, training=training))
        while len(outputs) < self.num_outs:
            outputs.append(outputs[-1][:, ::2, ::2])
        return outputs


def _cut(features, finer):
    """`features` cut to the size of `finer`, which is smaller if it is odd. Costs nothing if the sizes are equal."""
    height, width = finer.shape[1:3]
    return features if features.shape[1:3] == finer.shape[1:3] else features[:, :height, :width]
