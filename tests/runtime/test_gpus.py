"""Which GPU each process of a machine takes, and whether two took the same."""

import pytest

from awsdet.runtime import gpus


@pytest.mark.parametrize(
    "count, local_size, wanted",
    [
        (8, 8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (8, 2, [0, 1]),
        (1, 1, [0]),
        (1, 3, [0, 0, 0]),  # each may see its own
        (2, 3, [None, None, None]),
    ],
)
def test_each_process_takes_its_own_or_the_only_one_that_it_sees(count, local_size, wanted):
    assert [gpus.choice(count, rank, local_size) for rank in range(local_size)] == wanted


def test_the_first_two_ranks_of_a_gpu_are_found():
    assert gpus.taken_twice(["a", "b", "c", "b", "a"]) == (1, 3)
    assert gpus.taken_twice(["a", "b", None, None]) is None and gpus.taken_twice([]) is None


def test_without_a_driver_nothing_is_known(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(gpus.ctypes, "CDLL", missing)
    assert gpus.identity(0) is None and gpus.memory(0) is None and gpus.driver() == ""


@pytest.mark.parametrize("fails", ["", "cuInit", "cuDeviceGet", "cuDeviceGetUuid"])
def test_the_driver_is_asked(monkeypatch, fails):
    """An older driver has no cuDeviceGetUuid_v2; any of its functions returns an error's number."""
    uuid = bytes(range(16))

    class Driver:
        def cuInit(self, flags):
            return fails == "cuInit"

        def cuDeviceGet(self, device, index):
            device._obj.value = index + 5
            return 101 if fails == "cuDeviceGet" else 0

        def cuDeviceGetUuid(self, into, device):
            assert device.value == 7
            into.raw = uuid
            return 1 if fails == "cuDeviceGetUuid" else 0

        def cuDeviceTotalMem_v2(self, into, device):
            into._obj.value = 17 * 2**30
            return 0

    monkeypatch.setattr(gpus.ctypes, "CDLL", lambda name: Driver())
    assert gpus.memory(2) == (None if fails in ("cuInit", "cuDeviceGet") else 17 * 2**30)
    assert gpus.identity(2) == (None if fails else uuid.hex())
