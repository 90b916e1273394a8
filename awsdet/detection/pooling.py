"""RoI features: each RoI is pooled from the pyramid level that suits its size.

Symbols: B images, R RoIs, S RoIs per image, P side of the pooled features.
"""

import dataclasses

import tensorflow as tf

from awsdet.ops.roi_align import roi_align


@dataclasses.dataclass(frozen=True)
class RoIPooler:
    """RoIAlign (He et al. 2017) over a feature pyramid.

    Attributes:
        size: P, side of the pooled features.
        strides: image pixels per feature pixel, for each level to pool from, finest first.
        sampling_ratio: samples per bin and axis; 0: as many as the bin has feature pixels.
        aligned: pixel centres lie at half-integer coordinates; False is the original Detectron rule.
        finest_scale: RoIs of this size (px) and up to twice it are pooled from the finest level.
    """

    size: int
    strides: tuple
    sampling_ratio: int = 0
    aligned: bool = True
    finest_scale: float = 56.0

    def pool(self, pyramid, rois, image_index):
        """The features [R, P, P, C] of `rois` float32 [R, 4], in image pixels, of the images `image_index` int32 [R].

        `pyramid`: list of [B, H, W, C]; levels beyond those of `strides` are not used.
        """
        return roi_align(
            pyramid[: len(self.strides)],
            rois,
            image_index,
            strides=self.strides,
            output_size=self.size,
            finest_scale=self.finest_scale,
            sampling_ratio=self.sampling_ratio,
            aligned=self.aligned,
        )

    def pool_batch(self, pyramid, rois):
        """The features [B * S, P, P, C] of `rois` float32 [B, S, 4]."""
        batch, per_image = tf.unstack(tf.shape(rois)[:2])
        # tf.repeat would compute this on a GPU and read it back.
        image_index = tf.range(batch * per_image) // tf.maximum(per_image, 1)
        return self.pool(pyramid, tf.reshape(rois, [-1, 4]), image_index)
