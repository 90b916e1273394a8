"""Batch norm over two ranks against one process that has all their pixels, and in heads all their RoIs."""

import json

# One program for two tests, since most of its time goes into starting.
PROGRAM = """
    import json
    import numpy as np
    import tensorflow as tf
    from awsdet.runtime import processes
    from awsdet.models.layers.conv import Conv
    from awsdet.models.layers.initializers import Initializers
    from tests.models.small_detectors import TWO_IMAGES, batch_of, keys_in_index_order, small_detector

    world = processes.start(2)
    rank = world.rank

    def distance(ours, theirs):
        return float(max(np.abs(a - b).max() for a, b in zip(ours, theirs)) / max(np.abs(b).max() for b in theirs))

    # (a) Each rank has an image of its own, of another size. In a graph, as in training. The one process has no image
    # for both, so it takes their pixels as one long column.
    random = np.random.RandomState(3)
    images = [tf.constant(3 + random.normal(size=(1, *size, 4)), tf.float32) for size in ((6, 5), (8, 11))]
    weights = [tf.constant(random.normal(size=(*image.shape[:3], 7)), tf.float32) for image in images]
    gamma = random.uniform(0.5, 1.5, 16)

    def make_layers(world):
        layers = []
        for index, (ins, outs) in enumerate([(4, 16), (16, 16), (16, 7)]):
            name = f"layer{index}"
            options = {"norm": "sync_batch_norm", "relu": index < 2, "name": name, "dtype": "float32"}
            layers.append(Conv(ins, outs, 1, initializer=Initializers(1).kaiming_normal(name), **options))
            layers[-1].gamma.assign(gamma[:outs])
            layers[-1].world = world
        return layers

    def layer_step(layers, image, weight):
        with tf.GradientTape() as tape:
            tape.watch(image)
            features = image
            for layer in layers:
                features = layer(features, training=True)
            loss = tf.reduce_sum(weight * tf.sin(features))
        return loss, *tape.gradient(loss, [image, *(v for layer in layers for v in layer.trainable_variables)])

    def column(parts):
        return tf.concat([tf.reshape(part, [1, -1, 1, part.shape[3]]) for part in parts], axis=1)

    ours, alone = make_layers(world), make_layers(None)
    graph = tf.function(lambda image, weight: layer_step(ours, image, weight))
    for _ in range(2):
        loss, image_gradient, *gradients = graph(images[rank], weights[rank])
        one_loss, one_image_gradient, *one_gradients = layer_step(alone, column(images), column(weights))
    border = images[0].shape[1] * images[0].shape[2]
    own_part = one_image_gradient[:, :border] if rank == 0 else one_image_gradient[:, border:]
    statistics = [v.numpy() for layer in ours for v in (layer.mean, layer.variance)]
    report = {
        "loss": distance([world.sum(loss)], [one_loss]),
        "image gradient": distance([column([image_gradient])], [own_part]),
        "gradients": distance([2 * g for g in world.average(gradients)], one_gradients),
        "statistics": distance(statistics, [v.numpy() for layer in alone for v in (layer.mean, layer.variance)]),
    }

    # (b) Heads: each rank has RoIs of its own, other numbers of them, and padded ones between them. The last two steps
    # have none on rank 1, and none at all.
    rois = [tf.constant(3 + random.normal(size=(number, 3, 3, 4)), tf.float32) for number in (6, 4)]
    roi_weights = [tf.constant(random.normal(size=(number, 3, 3, 7)), tf.float32) for number in (6, 4)]
    empty = [[False] * 6, [False] * 4]
    real_rois = [
        [[True, False, True, True, False, True], [False, True, False, False]],
        [[True, False, True, True, False, True], empty[1]],
        empty,
    ]

    def head_step(layers, pooled, weight, real=None):
        with tf.GradientTape() as tape:
            tape.watch(pooled)
            features = pooled
            for layer in layers:
                features = layer(features, training=True, real=real)
            loss = tf.reduce_sum(weight * tf.sin(features))
        return loss, *tape.gradient(loss, [pooled, *(v for layer in layers for v in layer.trainable_variables)])

    def statistics_of(layers):
        return [v.numpy() for layer in layers for v in (layer.mean, layer.variance)]

    heads, head_alone = make_layers(world), make_layers(None)
    graph = tf.function(lambda *inputs: head_step(heads, *inputs))
    report["heads"] = []
    for real in real_rois:
        before = statistics_of(heads)
        loss, roi_gradient, *gradients = graph(rois[rank], roi_weights[rank], tf.constant(real[rank]))
        averaged = [2 * gradient for gradient in world.average(gradients)]
        if real is empty:
            same = all(np.array_equal(a, b) for a, b in zip(before, statistics_of(heads)))
            nothing = not any(np.any(gradient) for gradient in [loss, roi_gradient, *averaged])
            report["no real RoI"] = bool(same and nothing)
            continue
        own = [tf.boolean_mask(tensor, mask) for tensor, mask in zip(rois, real)]
        own_weights = [tf.boolean_mask(tensor, mask) for tensor, mask in zip(roi_weights, real)]
        one_loss, one_roi_gradient, *one_gradients = head_step(head_alone, tf.concat(own, 0), tf.concat(own_weights, 0))
        border = own[0].shape[0]
        own_part = one_roi_gradient[:border] if rank == 0 else one_roi_gradient[border:]
        roi_gradient = tf.boolean_mask(roi_gradient, real[rank])
        apart = [distance([roi_gradient], [own_part])] if any(real[rank]) else []
        report["heads"] += [
            *apart,
            distance([world.sum(loss)], [one_loss]),
            distance(averaged, one_gradients),
            distance(statistics_of(heads), statistics_of(head_alone)),
        ]
    statistics += statistics_of(heads)

    # (c) The whole detector, an image a rank against both in one process. Eager: no time to trace. Two stages are
    # frozen: fifty live layers one upon the other amplify float32's rounding a thousand times, on one process too.
    def detector_step(norm, data, world):
        model = small_detector(
            f"model.backbone.norm={norm}", f"model.fpn.norm={norm}", "model.backbone.frozen_stages=2",
            f"model.box_head.norm={norm}", f"model.mask_head.norm={norm}", "model.mask_head.convs=1",
            "model.box_head.convs=1", "model.box_head.conv_channels=16",
        )
        model.compile(world=world, loss_normalizer="global")
        with tf.GradientTape() as tape:
            losses = list(model.compute_losses(data, keys_in_index_order).values())
            total = tf.add_n(losses)
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(total, model.trainable_variables)]
        statistics = [v for v in model.variables if v.name.endswith((".mean:0", ".variance:0"))]
        return model.world.average(losses), model.world.average(gradients), statistics

    both = batch_of([TWO_IMAGES[0], []], size=(64, 64))  # the mask head of rank 1 has no RoI
    mine = tf.nest.map_structure(lambda t: t[rank : rank + 1], both)
    expected = detector_step("sync_batch_norm", both, None)
    synced, apart = (detector_step(norm, mine, world) for norm in ("sync_batch_norm", "batch_norm"))
    report["detector"] = [distance(a, b) for a, b in zip(synced, expected)]
    report["detector apart"] = [distance(a, b) for a, b in zip(apart, expected)]
    statistics += [v.numpy() for v in synced[2]]
    report["bits"] = np.concatenate(statistics).tobytes().hex()
    print(json.dumps(report), flush=True)
    world.close()
"""


def test_two_ranks_equal_one_process(horovodrun):
    done = horovodrun(2, PROGRAM, timeout=300)
    assert done.code == 0, done.output
    first, second = (json.loads(done.lines(rank)[-1]) for rank in range(2))
    assert first["bits"] == second["bits"]
    for result in (first, second):
        for name in ("loss", "image gradient", "gradients", "statistics"):
            assert result[name] < 1e-5, (name, result[name])
        assert max(result["heads"]) < 5e-5, result["heads"]  # losses are sums of numbers of both signs
        assert result["no real RoI"]
        losses, gradients, running = result["detector"]
        assert max(losses, running) < 3e-5, result["detector"]
        # The few RoIs of the mask head are nearly alike, so its norm enlarges the rounding of the backbone's: on one
        # process, two forms of the backbone's norms alone make a difference of 1.4e-4.
        assert gradients < 5e-4, gradients
        assert min(result["detector apart"]) > 1e-2, result["detector apart"]
