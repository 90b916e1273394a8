"""The real detector in two processes: the same weights, and the gradients of one process."""

import json

# One program for two tests, since most of its time goes into starting and tracing.
STEPS = """
    import hashlib, json
    import numpy as np
    import tensorflow as tf
    from awsdet.runtime import processes
    from awsdet.training.optimizer import SGD
    from tests.models.small_detectors import TWO_IMAGES, batch_of, keys_in_index_order, small_detector

    world = processes.start(2)
    rank = world.rank

    # (a) Rank 1 sees no object at all, rank 0 does; gradients travel as float16.
    model = small_detector("model.backbone.norm=batch_norm")
    model.compile(SGD(0.01), world=world, clip_norm=10.0, compression="fp16")
    model.fit(tf.data.Dataset.from_tensors(batch_of(TWO_IMAGES if rank == 0 else [[], []])).repeat(3), verbose=0)
    weights = hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.trainable_variables)).hexdigest()

    # (b) One image per process with the normalisers summed, against both images in one process. Eager, to save time.
    def gradients(data, world_or_none, half=False):
        model = small_detector()
        model.compile(SGD(0.01), world=world_or_none, loss_normalizer="global")

        with tf.GradientTape() as tape:
            loss = tf.add_n(list(model.compute_losses(data, keys_in_index_order).values()))
        return model.world.average(tape.gradient(loss, model.trainable_variables), half)

    def distance(ours, theirs):
        return float(max(np.abs(a - b).max() for a, b in zip(ours, theirs)) / max(np.abs(b).max() for b in theirs))

    def one_image(data, index):
        return tf.nest.map_structure(lambda t: t[index : index + 1], data)

    both = batch_of(TWO_IMAGES)
    shared = gradients(one_image(both, rank), world)
    as_half = gradients(one_image(both, rank), world, half=True)
    alone = gradients(both, None)
    world.close()
    print(json.dumps({
        "weights": weights,
        "error": distance(shared, alone),
        "of half": distance(as_half, shared),
        "own": distance(gradients(one_image(both, rank), None), alone),
    }), flush=True)
"""


def test_rank_without_objects_and_global_normalizers(horovodrun):
    done = horovodrun(2, STEPS, timeout=400, flags=())  # as most users call it
    assert done.code == 0, done.output
    first, second = (json.loads(done.lines(rank)[-1]) for rank in range(2))
    assert first["weights"] == second["weights"]
    for result in (first, second):
        assert result["error"] < 1e-4 < 1e-2 < result["own"], result
        assert 0 < result["of half"] < 2**-10, result
