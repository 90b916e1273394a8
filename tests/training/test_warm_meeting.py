"""The ranks of a job meet in the launcher's key-value store."""

import threading
import time

import pytest

from awsdet.launch.store import Store
from awsdet.runtime.stall import KeyValueStore
from awsdet.training import warm_meeting
from awsdet.training.warm_meeting import Meeting


@pytest.fixture
def meeting():
    """meeting(rank, size) -> Meeting, all of one job."""
    store = Store("127.0.0.1", "token")
    yield lambda rank, size: Meeting(KeyValueStore.at(store.place), rank, size)
    store.close()


def pause(missing):
    time.sleep(0.01)


def attend_all(meeting, problems):
    """What each rank is answered; rank r leaves problems[r]."""
    answers = {}

    def attend(rank):
        time.sleep(0.05 * (len(problems) - rank))  # rank 0 comes last
        answers[rank] = meeting(rank, len(problems)).attend(problems[rank], pause)

    threads = [threading.Thread(target=attend, args=(rank,)) for rank in range(len(problems))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return [answers.get(rank) for rank in range(len(problems))]


@pytest.mark.parametrize(
    "problems, wanted",
    [
        ([""], ""),
        (["", "", ""], ""),
        (["", "", "host c: no room", "host d: no room"], "host c: no room"),
        (["é: not a directory", ""], "é: not a directory"),
    ],
)
def test_all_learn_the_first_problem(meeting, problems, wanted):
    assert attend_all(meeting, problems) == [wanted] * len(problems)


def test_rank_0_knows_who_is_missing(meeting):
    seen = []

    def give_up(missing):
        raise TimeoutError

    def watch(missing):
        seen.append(list(missing))
        if len(seen) == 1:
            with pytest.raises(TimeoutError):  # rank 2 has left that it is there
                meeting(2, 3).attend("", give_up)
        if missing == [1]:
            raise TimeoutError
        time.sleep(0.02)

    with pytest.raises(TimeoutError):
        meeting(0, 3).attend("", watch)
    assert seen[0] == [1, 2]


def test_others_wait_for_the_answer(meeting):
    calls = []

    def watch(missing):
        calls.append(missing)
        if len(calls) == 3:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        meeting(1, 2).attend("", watch)
    assert calls == [[], [], []]


def test_one_that_stops_is_seen_by_all(meeting, monkeypatch):
    one, other = meeting(0, 2), meeting(1, 2)
    assert not one.stopped()
    other.stop()
    assert not one.stopped()  # asked a moment ago
    monkeypatch.setattr(warm_meeting, "_LONGEST_PAUSE", 0)
    assert one.stopped() and other.stopped()


def test_a_store_that_does_not_answer_is_asked_again():
    store = Store("127.0.0.1", "token")
    place = store.place
    store.close()
    calls = []

    def watch(missing):
        calls.append(missing)
        if len(calls) == 2:
            raise TimeoutError
        time.sleep(0.6)

    with pytest.raises(TimeoutError):
        Meeting(KeyValueStore.at(place), 0, 2).attend("", watch)
