"""If one rank fails, all raise; none is left waiting."""

import pytest

from awsdet.runtime.errors import RankFailed, UserError
from awsdet.runtime.together import together
from awsdet.runtime.world import World
from tests.runtime.thread_world import ThreadWorld


def run(size, errors):
    """What each rank gets if rank r raises errors[r], for each r in `errors`."""

    def work(world):
        def function():
            if world.rank in errors:
                raise errors[world.rank]
            return f"of rank {world.rank}"

        return together(world, function)

    return ThreadWorld.run(size, work)


def test_each_rank_gets_its_own_value():
    assert run(3, {}) == ["of rank 0", "of rank 1", "of rank 2"]
    assert together(World(), lambda: 7) == 7


def test_a_mistake_of_the_user_on_one_rank_is_told_by_all():
    results = run(3, {1: UserError("no such file")})
    assert all(type(error) is UserError and str(error) == "no such file (on rank 1)" for error in results)


def test_a_mistake_that_all_ranks_see_is_told_as_rank_0_tells_it():
    results = run(2, {rank: UserError(f"seen by {rank}") for rank in range(2)})
    assert [str(error) for error in results] == ["seen by 0"] * 2


def test_any_other_error_stays_itself_where_it_happened():
    error = ValueError("no memory left")
    first, second, third = run(3, {1: error, 2: UserError("later")})
    assert second is error
    for other in (first, third):
        assert type(other) is RankFailed and str(other) == "rank 1 failed: ValueError: no memory left"


def test_alone_an_error_keeps_its_cause():
    def fail():
        raise UserError("no such file") from KeyError("x")

    with pytest.raises(UserError, match="^no such file$") as caught:
        together(World(), fail)
    assert isinstance(caught.value.__cause__, UserError)
