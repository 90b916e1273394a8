"""Batches read one ahead. Without a GPU, images are sent to the CPU, by the same code."""

import gc
import time

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models.keras_steps import TimedSteps
from awsdet.models.read_ahead import ReadAhead
from tests.models.small_detectors import TWO_IMAGES, batch_of, small_detector


def images(number):
    return np.full((1, 2, 3, 3), number, np.uint8)


def dataset(count, log, fails_at=None):
    """Batches with the numbers from 0; the list `log` gets a line as each is read."""

    def numbers():
        for number in range(count):
            if number == fails_at:
                raise ValueError("a broken record")
            log.append(f"read {number}")
            yield {"image": images(number), "image_id": [number]}

    spec = {"image": tf.TensorSpec([None, None, None, 3], tf.uint8), "image_id": tf.TensorSpec([None], tf.int64)}
    options = tf.data.Options()
    options.autotune.enabled = False  # it would add a prefetch
    return tf.data.Dataset.from_generator(numbers, output_signature=spec).with_options(options)


def steps(log, after=lambda: None):
    def step(batch):
        number = int(batch["image_id"][0])
        np.testing.assert_array_equal(batch["image"], images(number))
        log.append(f"step {number}")
        after()
        return {"loss": number}

    return TimedSteps(step, eagerly=True, ahead=ReadAhead("CPU:0"))


def wait_for(log, line):
    for _ in range(1000):
        if line in log:
            return
        time.sleep(0.01)
    raise AssertionError(f"{line} never came: {log}")


def test_batches_come_in_order_once_and_the_end_comes_after_the_last():
    log = []
    run, iterator = steps(log), iter(dataset(4, log))
    assert [run(iterator)["loss"] for _ in range(4)] == [0, 1, 2, 3]
    for _ in range(2):
        with pytest.raises(StopIteration):
            run(iterator)
    assert [line for line in log if "step" in line] == [f"step {number}" for number in range(4)]


def test_the_next_batch_is_read_while_a_step_runs_and_no_further_one():
    log = []
    run, iterator = steps(log, after=lambda: wait_for(log, "read 1")), iter(dataset(9, log))
    run(iterator)  # would never end if the batch was read after the step
    assert log[:2] == ["read 0", "step 0"] or log[:2] == ["read 0", "read 1"]
    time.sleep(0.2)
    assert "read 2" not in log


def test_an_error_of_the_reader_comes_in_its_turn():
    log = []
    run, iterator = steps(log), iter(dataset(4, log, fails_at=2))
    assert [run(iterator)["loss"] for _ in range(2)] == [0, 1]
    with pytest.raises(tf.errors.InvalidArgumentError, match="a broken record"):
        run(iterator)


def test_another_iterator_begins_with_its_own_first_batch():
    log = []
    run, first, second = steps(log), iter(dataset(4, log)), iter(dataset(4, log))
    assert [run(first)["loss"] for _ in range(2)] == [0, 1]
    assert [run(second)["loss"] for _ in range(4)] == [0, 1, 2, 3]


def test_the_batch_of_an_iterator_that_is_gone_is_dropped():
    log, run = [], None
    ahead = ReadAhead("CPU:0")
    iterator = iter(dataset(4, log))
    ahead.take(iterator)
    wait_for(log, "read 1")
    ahead._next.result()
    del iterator, run
    for _ in range(100):
        gc.collect()
        if ahead._next is None:
            return
        time.sleep(0.01)  # the thread lets go of it in a moment
    raise AssertionError("a batch is kept")


def test_only_the_reader_is_waited_for_not_the_copy():
    log = []
    ahead = ReadAhead("CPU:0")
    copy = 0.3  # seconds
    ahead._send = lambda pixels: time.sleep(copy) or pixels
    start = time.perf_counter()
    _, waited = ahead.take(iter(dataset(2, log)))
    assert 0 < waited <= time.perf_counter() - start - copy


@pytest.mark.parametrize("batch", [{"image": np.ones((2, 2))}, {"classes": np.ones(3)}, np.ones(1)], ids=str)
def test_a_batch_of_another_kind_is_left_to_the_check(batch):
    iterator = iter(tf.data.Dataset.from_tensors(batch))
    found, _ = ReadAhead("CPU:0").take(iterator)
    tf.nest.map_structure(np.testing.assert_array_equal, found, batch)


def test_the_compiled_step_takes_such_batches():
    log = []
    run = TimedSteps(
        lambda batch: {"sum": tf.reduce_sum(tf.cast(batch["image"], tf.int64))}, False, ahead=ReadAhead("CPU:0")
    )
    iterator = iter(dataset(3, log))
    assert [int(run(iterator)["sum"]) for _ in range(3)] == [0, 18, 36]


def test_fit_trains_on_the_same_batches_in_the_same_steps():
    """Whether an epoch ends the data, breaks it off, or goes on in it: all that Keras does with iterators."""

    data = tf.data.Dataset.from_tensors(batch_of(TWO_IMAGES)).concatenate(
        tf.data.Dataset.from_tensors(batch_of(TWO_IMAGES, seed=1))
    )

    def detector(ahead):
        made = small_detector(detector="retinanet")
        made.compile("sgd")
        if ahead:
            made.train_function = TimedSteps(made.train_step, False, ahead=ReadAhead("CPU:0"))
        return made

    def trained(detector, **options):
        losses = []
        watch = tf.keras.callbacks.LambdaCallback(on_batch_end=lambda _, logs: losses.append(logs["loss"]))
        detector.set_weights(start)
        detector.fit(data.repeat(2), epochs=2, verbose=0, callbacks=[watch], **options)
        assert isinstance(detector.train_function, TimedSteps)
        return [*losses, *detector.get_weights()]

    plain, ahead = detector(False), detector(True)
    start = plain.get_weights()
    for options in ({}, {"steps_per_epoch": 1}):
        wanted, found = trained(plain, **options), trained(ahead, **options)
        assert len(wanted) == len(found) and not np.array_equal(wanted[-1], start[-1])
        for first, second in zip(wanted, found):
            np.testing.assert_array_equal(first, second)
