"""ResNet backbones (He et al. 2016) with bottleneck blocks: features C2 to C5."""

import tensorflow as tf

from awsdet.models.layers import Conv

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STYLES = ("pytorch", "caffe")


class Bottleneck(tf.keras.layers.Layer):
    """1x1, 3x3, 1x1 convolutions and a shortcut.

    The stride is on the 3x3 (pytorch style) or the first 1x1 (caffe style).
    """

    def __init__(self, in_channels, width, strides, style, *, conv, name, dtype):
        super().__init__(name=name, dtype=dtype)
        first, second = (strides, 1) if style == "caffe" else (1, strides)
        self.conv1 = conv(in_channels, width, 1, strides=first, relu=True, name=f"{name}.conv1")
        self.conv2 = conv(width, width, 3, strides=second, relu=True, name=f"{name}.conv2")
        self.conv3 = conv(width, 4 * width, 1, name=f"{name}.conv3")
        self.downsample = None
        if strides != 1 or in_channels != 4 * width:
            self.downsample = conv(in_channels, 4 * width, 1, strides=strides, name=f"{name}.downsample")
        self.built = True

    def call(self, features, training=False):
        shortcut = features if self.downsample is None else self.downsample(features, training=training)
        residual = self.conv2(self.conv1(features, training=training), training=training)
        return tf.nn.relu(self.conv3(residual, training=training) + shortcut)


class ResNet(tf.keras.layers.Layer):
    """ResNet-50, 101 or 152 without its classifier.

    Args:
        depth, style, base_width, frozen_stages, norm, norm_affine_trainable: see awsdet/config.py.
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
        name="backbone",
    ):
        super().__init__(name=name, dtype=dtype)
        if depth not in BLOCKS:
            raise ValueError(f"depth is {depth}; it must be one of {', '.join(map(str, BLOCKS))}")
        if style not in STYLES:
            raise ValueError(f"style is {style!r}; it must be one of {', '.join(STYLES)}")

        def conv(in_channels, filters, kernel_size, *, name, **options):
            return Conv(
                in_channels,
                filters,
                kernel_size,
                norm=norm,
                affine=norm_affine_trainable,
                initializer=initializers.kaiming_normal(name),
                name=name,
                dtype=dtype,
                **options,
            )

        self.stem = conv(3, base_width, 7, strides=2, relu=True, name=f"{name}.conv1")
        self.stages, channels = [], base_width
        for number, blocks in enumerate(BLOCKS[depth], start=1):
            width = base_width * 2 ** (number - 1)
            stage = []
            for index in range(blocks):
                strides = 2 if index == 0 and number > 1 else 1
                path = f"{name}.layer{number}.{index}"
                stage.append(Bottleneck(channels, width, strides, style, conv=conv, name=path, dtype=dtype))
                channels = 4 * width
            self.stages.append(stage)
        self.out_channels = [base_width * 4 * 2**k for k in range(4)]
        self._freeze(frozen_stages)
        self.built = True

    def _freeze(self, frozen_stages):
        self.stem.trainable = frozen_stages < 0
        for number, stage in enumerate(self.stages, start=1):
            for block in stage:
                block.trainable = number > frozen_stages

    def call(self, images, training=False):
        """Normalised `images` [B, H, W, 3] -> list of C2, C3, C4, C5 at strides 4, 8, 16, 32."""
        features = self.stem(images, training=training)
        # After a ReLU, padding with 0 is padding with minus infinity.
        features = tf.nn.max_pool2d(tf.pad(features, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
        outputs = []
        for stage in self.stages:
            for block in stage:
                features = block(features, training=training)
            outputs.append(features)
        return outputs
