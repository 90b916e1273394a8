"""HRNetV2 (Sun et al. 2019): parallel branches of several resolutions that exchange features repeatedly.

Branch b has stride 4 * 2**b and width * 2**b channels. Stages 2, 3 and 4 have 2, 3 and 4 branches, each made of
modules. A module runs four residual blocks per branch and then adds to each branch the features of all others.
"""

import tensorflow as tf

from awsdet.models.backbones.resnet import Bottleneck
from awsdet.models.layers.chain import Chain
from awsdet.models.layers.conv import conv_maker
from awsdet.models.layers.upsample import upsample_nearest

MODULES = {2: 1, 3: 4, 4: 3}  # stage -> number of modules
BLOCKS = 4  # residual blocks per branch of a module, and of the first stage


class BasicBlock(tf.keras.layers.Layer):
    """Two 3x3 convolutions and an identity shortcut."""

    def __init__(self, channels, *, conv, name, dtype):
        super().__init__(name=name, dtype=dtype)
        self.conv1 = conv(channels, channels, 3, relu=True, name=f"{name}.conv1")
        self.conv2 = conv(channels, channels, 3, relu=True, name=f"{name}.conv2")
        self.built = True

    def call(self, features, training=False):
        return self.conv2(self.conv1(features, training=training), training=training, residual=features)


class Module(tf.keras.layers.Layer):
    """One module: blocks in each branch, then the exchange between all of them. `channels`: of each branch."""

    def __init__(self, channels, *, conv, name, dtype):
        super().__init__(name=name, dtype=dtype)
        self.branches = [
            Chain(
                BasicBlock(width, conv=conv, name=f"{name}.branches.{branch}.{index}", dtype=dtype)
                for index in range(BLOCKS)
            )
            for branch, width in enumerate(channels)
        ]
        # The convolutions from each branch (source) to each other branch (target); the targets in order.
        self.fuse = [
            Chain(_path(channels, source, target, conv, f"{name}.fuse_layers"))
            for target in range(len(channels))
            for source in range(len(channels))
        ]
        self.built = True

    def call(self, features, training=False):
        """List of the branches' features -> a list of the same shapes."""
        outputs = [blocks(branch, training=training) for blocks, branch in zip(self.branches, features)]
        return [
            tf.nn.relu(tf.add_n([self._message(outputs, s, t, training) for s in range(len(outputs))]))
            for t in range(len(outputs))
        ]

    def _message(self, features, source, target, training):
        message = self.fuse[target * len(features) + source](features[source], training=training)
        return upsample_nearest(message, 2 ** (source - target)) if source > target else message


class Transition(tf.keras.layers.Layer):
    """Makes the input of each branch of a stage, with `channels`, from the last stage, whose channels are `before`."""

    def __init__(self, before, channels, conv, name):
        super().__init__(name=name, autocast=False)
        self.paths = []
        for branch, width in enumerate(channels):
            path = []
            if branch >= len(before):
                path = [conv(before[-1], width, 3, strides=2, relu=True, name=f"{name}.{branch}.0.0")]
            elif width != before[branch]:
                path = [conv(before[branch], width, 3, relu=True, name=f"{name}.{branch}.0")]
            self.paths.append(Chain(path))
        self.built = True

    def call(self, features, training=False):
        """List of the branches' features -> a list that may have one more."""
        # A new branch starts from the coarsest one.
        sources = features + features[-1:] * (len(self.paths) - len(features))
        return [path(source, training=training) for path, source in zip(self.paths, sources)]


class HRNet(tf.keras.layers.Layer):
    """HRNetV2 without its classifier.

    Args:
        branch_width: channels of the finest branch; 32 for HRNetV2-W32.
        base_width: channels of the stem; the first stage has four times as many.
        frozen_stages, norm, norm_affine_trainable: see awsdet/config/defaults.py.
        initializers: `layers.Initializers`.
    """

    def __init__(
        self,
        *,
        branch_width,
        base_width,
        frozen_stages,
        norm,
        norm_affine_trainable,
        initializers,
        dtype,
        name="backbone",
    ):
        super().__init__(name=name, dtype=dtype)
        conv = conv_maker(initializers.kaiming_normal, norm=norm, affine=norm_affine_trainable, dtype=dtype)
        self.stem = [
            conv(ins, base_width, 3, strides=2, relu=True, name=f"{name}.conv{number}")
            for number, ins in ((1, 3), (2, base_width))
        ]
        self.first = [
            Bottleneck(
                base_width * (4 if index else 1),
                base_width,
                1,
                "pytorch",
                conv=conv,
                name=f"{name}.layer1.{index}",
                dtype=dtype,
            )
            for index in range(BLOCKS)
        ]
        self.out_channels = [branch_width * 2**branch for branch in range(4)]
        self.transitions, self.stages, before = [], [], [4 * base_width]
        for number, modules in MODULES.items():
            channels = self.out_channels[:number]
            self.transitions.append(Transition(before, channels, conv, f"{name}.transition{number - 1}"))
            self.stages.append(
                Chain(
                    Module(channels, conv=conv, name=f"{name}.stage{number}.{m}", dtype=dtype) for m in range(modules)
                )
            )
            before = channels
        self._freeze(frozen_stages)
        self.built = True

    def _freeze(self, frozen_stages):
        parts = [self.stem, self.first]
        parts += [[transition, stage] for transition, stage in zip(self.transitions, self.stages)]
        for number, layers in enumerate(parts):
            for layer in layers:
                layer.trainable = number > frozen_stages

    def call(self, images, training=False):
        """Normalised `images` [B, H, W, 3], H and W multiples of 32 -> features of the four branches, strides 4, 8,
        16, 32."""
        features = images
        for layer in [*self.stem, *self.first]:
            features = layer(features, training=training)
        features = [features]
        for transition, stage in zip(self.transitions, self.stages):
            features = stage(transition(features, training=training), training=training)
        return features


def _path(channels, source, target, conv, name):
    """Convolutions from branch `source` to branch `target` of a module."""
    path = f"{name}.{target}.{source}"
    if source == target:
        return []
    if source > target:  # followed by upsampling
        return [conv(channels[source], channels[target], 1, name=f"{path}.0")]
    steps = target - source
    return [
        conv(
            channels[source],
            channels[target if step == steps - 1 else source],
            3,
            strides=2,
            relu=step < steps - 1,
            name=f"{path}.{step}.0",
        )
        for step in range(steps)
    ]
