"""Sampling: a fixed number of positives and negatives for the loss.

The candidates with the smallest keys are taken: random keys give a random sample, and a test can choose its own keys.

Symbols: B images, N candidates and G ground-truth slots per image.
"""

import dataclasses

from awsdet.ops.sample import sample


@dataclasses.dataclass(frozen=True)
class Sampler:
    """mmdetection's RandomSampler: negatives fill the slots that positives leave.

    Attributes:
        size: S, candidates per image.
        positive_fraction: at most int(size * positive_fraction) of them are positive.
    """

    size: int
    positive_fraction: float

    @property
    def positive_limit(self):
        """The most positives per image."""
        return int(self.size * self.positive_fraction)

    def sample(self, matched, keys, candidates, truth, coder, background=0, with_truth=False):
        """Chooses candidates, and says what they are to learn.

        Args:
            matched: the Match of the candidates to `truth`, a GroundTruth.
            keys: float32, of the shape of the Match; the smallest win, of equal ones the first.
            candidates: float32 [B, N, 4], or [N, 4] for all images.
            coder: BoxCoder.
            background: the label of all that are not positive.
            with_truth: as for `Matcher.match`.

        Returns an `ops.sample.Sample`.
        """
        return sample(
            matched,
            keys,
            candidates,
            truth.boxes,
            truth.classes,
            size=self.size,
            positive_limit=self.positive_limit,
            background=background,
            stds=coder.stds,
            with_truth=with_truth,
        )
