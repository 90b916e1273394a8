"""A schedule for going on with a trained detector on a small data set of one's own."""

STEPS = 2000


def fine_tune(config):
    """Gives a config of one of the families a schedule for fine-tuning, and returns it. The caller sets init_from.

    The run takes 2000 steps, however many images there are (at batch 2, 13 epochs of 300), after a short warm-up. It is
    evaluated up to 8 times. The rate decays at the shares of the run at which the 12 epochs of COCO decay. It is a
    quarter of that for COCO: 0.005 instead of 0.02 for 16 images. That lies between Detectron2's tutorial, which
    fine-tunes with 0.00025 for 2 images (0.002 for 16), and mmdetection's fine-tuning on Cityscapes, with 0.01 for 8
    (0.02 for 16).
    """
    config.optimizer.learning_rate /= 4
    config.schedule.update(name="step", warmup_steps=100, decay_shares=(8 / 12, 11 / 12))
    config.train.update(epochs=STEPS, max_steps=STEPS, max_evaluations=8)  # an epoch has a step at least
    return config
