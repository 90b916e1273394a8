"""The model of a step's time on GPUs: what it must do whatever its inputs are."""

import pytest

from benchmarks import gpu_model
from benchmarks.gpu_model import CARDS, PER_MACHINE, all_reduce, evaluation, step, with_exchange

V100, A10G, A100, H100 = CARDS


def given(**changes):
    return gpu_model.parse([f"--{name}={value}" for name, value in changes.items()])


def test_the_device_needs_its_flops_and_its_bytes():
    inputs = given(few_blocks_ms=0, host_ms=0, waits=0, launches=0, flop_share=0.5, byte_share=0.5)
    found = step(A100, 2, inputs)
    assert found.device == pytest.approx(2 * 1.37 / 156 * 1e3 + 2 * 9.7 / 777.5 * 1e3) and found.total == found.device
    assert step(A100, 4, inputs).total == pytest.approx(2 * found.total)


def test_launches_count_once_the_device_is_faster():
    few, many = (step(H100, 2, given(launches=n)) for n in (100, 100_000))
    assert few.device > few.host and many.host == pytest.approx(600) and many.total > 600
    assert step(H100, 2, given(launches=200)).total == few.total  # hidden behind the device's work


def test_each_wait_comes_on_top():
    with_waits, without = (step(V100, 8, given(waits=n)).total for n in (60, 0))
    assert with_waits - without == pytest.approx(3.0)


def test_the_gradients_go_through_the_slowest_link():
    assert all_reduce(A100, 1, given()) == 0
    moved = 2 * 7 / 8 * 44.2e6 * 4 / 1e9
    assert all_reduce(A100, PER_MACHINE, given()) == pytest.approx(moved / A100.link * 1e3)
    assert all_reduce(A100, 64, given()) > all_reduce(A100, PER_MACHINE, given())
    half, whole = (all_reduce(A100, 64, given(gradient_bytes=n)) for n in (2, 4))
    assert half == pytest.approx(whole / 2)


def test_what_a_step_does_not_hide_makes_it_longer():
    assert with_exchange(V100, 4, 64, given(hidden=1)) == step(V100, 4, given()).total
    open_to_all = with_exchange(V100, 4, 64, given(hidden=0))
    assert open_to_all == pytest.approx(step(V100, 4, given()).total + all_reduce(V100, 64, given()))


def test_scoring_stays_however_many_gpus_there_are():
    (epoch, scored), (short, least) = (evaluation(H100, 4, gpus, given()) for gpus in (1, 256))
    assert epoch > scored > 10 and least == pytest.approx(10, rel=0.05) and short < least


def test_the_report_has_a_row_per_card():
    lines = list(gpu_model.report(given()))
    for card in CARDS:
        assert sum(line.startswith(f"| {card.name} |") for line in lines) == 2
    assert any("28.6" in line for line in lines) and any("| 179 |" in line for line in lines)
