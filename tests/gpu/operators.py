"""Part `operators`: every operator that has a GPU kernel, called through TensorFlow on both devices."""

import time

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import kernels

from awsdet.ops import library
from tests.gpu import cases
from tests.gpu.compare import EXACT, compare
from tests.gpu.inputs import Sizes
from tests.gpu.outcome import error_text, failure, judged, unfinished


def run(devices, clock, sizes=None, makers=cases.ALL, report=lambda outcome: None):
    """Compares the results of all calls on `devices`, a pair of names such as ("GPU:0", "CPU:0").

    Args:
        clock: Clock; calls that it leaves no time for are named in the Outcome.
        makers: functions of (generator, Sizes) that make a Case.
        report: gets an Outcome after each call, which stands if the process does not survive the next.

    Returns an Outcome; its figures are, by the name of the call, the seconds and what was compared.
    """
    library.load()  # which registers the kernels
    figures, failures, left_out = {}, [], []
    for seed, make in enumerate(makers):
        if clock.over():
            left_out.append(f"{len(makers) - seed} of {len(makers)} calls, since {clock.limit:.0f} s were over")
            break
        case = make(np.random.default_rng(seed), sizes or Sizes())
        figures[case.name], wrong = check(case, devices)
        failures += wrong
        report(unfinished(figures))
    return judged(figures, failures, left_out)


def check(case, devices):
    """Calls one Case on both devices. Returns (figures, list of failures)."""
    missing = [name for name in case.operators if not has_kernel(name, devices[0])]
    if missing:
        what = f"{', '.join(missing)} have no kernel for {devices[0]} in this build: make ops, with a CUDA toolkit"
        return {}, [failure(case.name, what)]
    start = time.monotonic()
    try:
        ours, theirs = (results(case, device) for device in devices)
    except tf.errors.OpError as error:
        return {}, [failure(case.name, error_text(error))]
    figures, failures = {"seconds": round(time.monotonic() - start, 2)}, []
    for name in theirs:
        tolerance = case.tolerances.get(name.partition("[")[0], EXACT)
        figures[name], wrong = compare(f"{case.name}, {name}", ours[name], theirs[name], tolerance)
        failures += [wrong] if wrong else []
    return _short(figures), failures


def has_kernel(operator, device):
    """Whether an operator has a kernel for a kind of device. TensorFlow would silently take the host's instead."""
    kind = device.partition(":")[0]
    found = kernels.get_registered_kernels_for_op(operator).kernel
    return any(kernel.device_type == kind for kernel in found)


def results(case, device):
    """The results of a Case on one device: dict of NumPy arrays; those of a list are called name[0], name[1], ..."""
    with tf.device(device):
        found = case.call(**tf.nest.map_structure(tf.constant, case.inputs))
    named = {}
    for name, value in found.items():
        if isinstance(value, list):
            named.update({f"{name}[{i}]": part.numpy() for i, part in enumerate(value)})
        else:
            named[name] = value.numpy()
    return named


def _short(figures):
    """The figures of a list as one entry: the sums and the worst."""
    short = {}
    for name, row in figures.items():
        if not isinstance(row, dict):
            short[name] = row
            continue
        whole = short.setdefault(name.partition("[")[0], {})
        for key, value in row.items():
            whole[key] = max(whole.get(key, 0), value) if key == "worst_of_largest" else whole.get(key, 0) + value
    return short
