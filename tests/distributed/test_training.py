"""The real detector in two processes: the same weights, and the gradients and updates of one process."""

import json

# One program for all of it, since most of its time goes into starting and tracing.
STEPS = """
    import hashlib, json
    import numpy as np
    import tensorflow as tf
    from awsdet.models import update
    from awsdet.ops.multi_tensor import global_norm
    from awsdet.runtime import processes
    from awsdet.training.optimizer import SGD, build_optimizer, state_variables
    from tests.models.small_detectors import TWO_IMAGES, batch_of, keys_in_index_order, small_config, small_detector

    world = processes.start(2)
    rank = world.rank

    # (a) Rank 1 sees no object at all, rank 0 does; gradients travel as float16.
    model = small_detector("model.backbone.norm=batch_norm")
    model.compile(SGD(0.01), world=world, clip_norm=10.0, compression="fp16")
    model.fit(tf.data.Dataset.from_tensors(batch_of(TWO_IMAGES if rank == 0 else [[], []])).repeat(3), verbose=0)

    def digest(variables):
        return hashlib.sha256(b"".join(v.numpy().tobytes() for v in variables)).hexdigest()

    trained = model.trainable_variables
    weights = digest(trained)

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

    # (c) AdamW with factors for some variables, from the mean over the ranks, and from the same mean in one process.
    def adamw(steps):
        settings = small_config().optimizer
        settings.update(name="adamw", rules="*.bias rate=2 decay=0", layer_decay=0.5, ema_decay=0.9)
        optimizer, variables = build_optimizer(settings, 0.01), [tf.Variable(v, name=v.name[:-2]) for v in trained]
        for own in steps:
            update.apply(optimizer, own, variables, global_norm(own), clip_norm=1.0)
        return digest([*variables, *state_variables(optimizer)])

    def drawn(of_rank):
        random = np.random.default_rng(of_rank)
        return [[tf.constant(random.normal(size=v.shape), tf.float32) for v in trained] for _ in range(2)]

    means = [[(a + b) / 2 for a, b in zip(*step)] for step in zip(drawn(0), drawn(1))]
    updated = [adamw([world.average(step) for step in drawn(rank)]), adamw(means), adamw(drawn(rank))]
    world.close()
    print(json.dumps({
        "weights": weights,
        "error": distance(shared, alone),
        "of half": distance(as_half, shared),
        "own": distance(gradients(one_image(both, rank), None), alone),
        "adamw": updated,
    }), flush=True)
"""


def test_rank_without_objects_and_global_normalizers(horovodrun):
    done = horovodrun(2, STEPS, timeout=400, flags=())  # as most users call it
    assert done.code == 0, done.output
    first, second = (json.loads(done.lines(rank)[-1]) for rank in range(2))
    assert first["weights"] == second["weights"]
    assert first["adamw"][:2] == second["adamw"][:2] == [first["adamw"][0]] * 2
    assert len({*first["adamw"], *second["adamw"]}) == 3  # with its own gradients alone, each rank is elsewhere
    for result in (first, second):
        assert result["error"] < 1e-4 < 1e-2 < result["own"], result
        assert 0 < result["of half"] < 2**-10, result
