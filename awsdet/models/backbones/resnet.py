"""ResNet backbones (He et al. 2016) with bottleneck blocks and their variants: features C2 to C5.

Variants: the stride on the 3x3 (pytorch style; v1b in GluonCV) or on the first 1x1 (caffe style); ResNet-D (He et al.
2019, v1d: a stem of three 3x3 convolutions, average pooling in the shortcuts); ResNeXt (Xie et al. 2017: the 3x3 in
groups).
"""

import tensorflow as tf

from awsdet.models.layers.chain import Chain
from awsdet.models.layers.conv import conv_maker

# 14 and 26 are not the paper's: one and two bottlenecks per stage, as others who have them count (timm's resnet26).
BLOCKS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STYLES = ("pytorch", "caffe")


class Bottleneck(tf.keras.layers.Layer):
    """1x1, 3x3, 1x1 convolutions and a shortcut; the output has four times `channels`.

    Args:
        strides: of the 3x3 (pytorch style) or the first 1x1 (caffe style).
        width: of the 3x3; None: `channels`.
        groups: of the 3x3.
        average_shortcut: a strided shortcut takes the mean of each 2x2 instead of every second pixel (v1d).
        last_gamma: initial gamma of the last normalisation; with 0 the block begins as its shortcut alone (Goyal et
            al. 2017).
        conv: makes a `Conv`; see `conv_maker`.
    """

    def __init__(
        self,
        in_channels,
        channels,
        strides,
        style,
        *,
        conv,
        name,
        dtype,
        width=None,
        groups=1,
        average_shortcut=False,
        last_gamma=1.0,
    ):
        super().__init__(name=name, dtype=dtype)
        width = width or channels
        first, second = (strides, 1) if style == "caffe" else (1, strides)
        self.conv1 = conv(in_channels, width, 1, strides=first, relu=True, name=f"{name}.conv1")
        self.conv2 = conv(width, width, 3, strides=second, groups=groups, relu=True, name=f"{name}.conv2")
        self.conv3 = conv(width, 4 * channels, 1, relu=True, initial_gamma=last_gamma, name=f"{name}.conv3")
        self.downsample, self.pool = None, strides if average_shortcut else 1
        if strides != 1 or in_channels != 4 * channels:
            # In mmdetection's sequence the pooling is number 0 and the convolution number 1.
            path, strides = (f"{name}.downsample.1", 1) if average_shortcut else (f"{name}.downsample", strides)
            self.downsample = conv(in_channels, 4 * channels, 1, strides=strides, name=path)
        self.built = True

    def call(self, features, training=False):
        outputs = self.conv2(self.conv1(features, training=training), training=training)
        return self.conv3(outputs, training=training, residual=self._shortcut(features, training))

    def _shortcut(self, features, training):
        if self.downsample is None:
            return features
        if self.pool > 1:  # at an odd border the mean is over the pixels that exist
            features = tf.nn.avg_pool2d(features, self.pool, self.pool, "SAME")
        return self.downsample(features, training=training)


class ResNet(tf.keras.layers.Layer):
    """ResNet-14, 26, 50, 101 or 152 without its classifier.

    Args:
        depth, style, base_width, groups, width_per_group, frozen_stages, norm, norm_affine_trainable: see
            awsdet/config/defaults.py.
        deep_stem: three 3x3 convolutions instead of one 7x7.
        average_shortcut: see `Bottleneck`.
        initializers: `layers.Initializers`.
    """

    def __init__(
        self,
        *,
        depth,
        style,
        base_width,
        frozen_stages,
        norm,
        norm_affine_trainable,
        initializers,
        dtype,
        groups=1,
        width_per_group=64,
        deep_stem=False,
        average_shortcut=False,
        name="backbone",
    ):
        super().__init__(name=name, dtype=dtype)
        if depth not in BLOCKS:
            raise ValueError(f"depth is {depth}; it must be one of {', '.join(map(str, BLOCKS))}")
        if style not in STYLES:
            raise ValueError(f"style is {style!r}; it must be one of {', '.join(STYLES)}")
        conv = conv_maker(initializers.kaiming_normal, norm=norm, affine=norm_affine_trainable, dtype=dtype)
        self.style = style
        self.stem = _stem(base_width, deep_stem, conv, name)
        # In mmdetection a ResNeXt begins with 1 too. A gamma that is fixed begins with 0 there, but such a block would
        # stay a shortcut for ever.
        learned = norm_affine_trainable or norm == "group_norm"
        options = {"groups": groups, "average_shortcut": average_shortcut, "conv": conv, "dtype": dtype}
        options["last_gamma"] = 0.0 if groups == 1 and learned else 1.0
        self.stages, in_channels = [], base_width
        for number, blocks in enumerate(BLOCKS[depth], start=1):
            channels = base_width * 2 ** (number - 1)
            width = grouped_width(channels, base_width, groups, width_per_group)
            stage = []
            for index in range(blocks):
                strides = 2 if index == 0 and number > 1 else 1
                path = f"{name}.layer{number}.{index}"
                stage.append(Bottleneck(in_channels, channels, strides, style, width=width, name=path, **options))
                in_channels = 4 * channels
            self.stages.append(Chain(stage))
        self.out_channels = [base_width * 4 * 2**k for k in range(4)]
        self._freeze(frozen_stages)
        self.built = True

    def _freeze(self, frozen_stages):
        for conv in self.stem:
            conv.trainable = frozen_stages < 0
        for number, stage in enumerate(self.stages, start=1):
            stage.trainable = number > frozen_stages

    def call(self, images, training=False):
        """Normalised `images` [B, H, W, 3] -> list of C2, C3, C4, C5 at strides 4, 8, 16, 32."""
        features = images
        for conv in self.stem:
            features = conv(features, training=training)
        # After a ReLU, padding with 0 has the effect of padding with minus infinity.
        features = tf.nn.max_pool2d(tf.pad(features, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
        outputs = []
        for stage in self.stages:
            features = stage(features, training=training)
            outputs.append(features)
        return outputs


def grouped_width(channels, base_width, groups, width_per_group):
    """Width of a block's 3x3 convolution (Xie et al. 2017, as torchvision and mmdetection round it).

    `width_per_group` is that of the first stage; `channels` / `base_width` is 1, 2, 4, 8 in stages 1 to 4.
    """
    return channels if groups == 1 else channels * width_per_group // base_width * groups


def _stem(channels, deep, conv, name):
    if not deep:
        return [conv(3, channels, 7, strides=2, relu=True, name=f"{name}.conv1")]
    half = channels // 2
    sizes = [(3, half, 2), (half, half, 1), (half, channels, 1)]
    # The numbers are those of mmdetection's sequence, in which convolution, norm and ReLU count separately.
    return [
        conv(ins, outs, 3, strides=strides, relu=True, name=f"{name}.stem.{3 * index}")
        for index, (ins, outs, strides) in enumerate(sizes)
    ]
