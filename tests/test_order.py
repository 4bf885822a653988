"""The order of samples is arithmetic: equal for every way of spreading a run, and every video once a pass."""

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmpl_zoo.datasets.order import BalancedOrder, SampleOrder, positions


def seen(size: int, batch: int, world_size: int, steps: range, seed: int) -> list[list[tuple[int, int]]]:
    """(pass, video) of each step, all ranks together, each rank with a stream of its own."""
    ranks = [SampleOrder(size, seed) for _ in range(world_size)]
    return [
        [stream[p] for rank, stream in enumerate(ranks) for p in positions(step, batch, rank, world_size)]
        for step in steps
    ]


@given(
    size=st.integers(1, 60),
    share=st.integers(1, 5),
    world_size=st.sampled_from([1, 2, 3, 4]),
    other=st.sampled_from([1, 2, 3, 4]),
    steps=st.integers(1, 12),
    stop=st.integers(0, 12),
    seed=st.integers(0, 99),
)
def test_any_number_of_ranks_and_any_stop_see_the_same_samples(size, share, world_size, other, steps, stop, seed):
    batch = 12 * share
    unbroken = seen(size, batch, 1, range(steps), seed)
    stop = min(stop, steps)
    resumed = seen(size, batch, world_size, range(stop), seed) + seen(size, batch, other, range(stop, steps), seed)
    assert resumed == unbroken


@given(size=st.integers(1, 60), batch=st.integers(1, 30), passes=st.integers(1, 4), seed=st.integers(0, 99))
def test_every_video_once_a_pass_and_evenly_at_any_time(size, batch, passes, seed):
    steps = -(-passes * size // batch)
    flat = [sample for step in seen(size, batch, 1, range(steps), seed) for sample in step]
    for number in range(passes):
        assert sorted(flat[number * size : (number + 1) * size]) == [(number, video) for video in range(size)]
    counts = Counter(video for _, video in flat)
    assert max(counts.values()) - min(counts[video] for video in range(size)) <= 1


def test_passes_and_seeds_have_orders_of_their_own():
    orders = {
        tuple(SampleOrder(50, seed)[place][1] for place in range(k * 50, k * 50 + 50))
        for seed in (1, 2)
        for k in (0, 1)
    }
    assert len(orders) == 4


def test_a_batch_that_ranks_cannot_share_is_refused():
    with pytest.raises(ValueError, match="a batch of 10 cannot be shared by 4 ranks"):
        positions(0, 10, 1, 4)


@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any), seed=st.integers(0, 99))
def test_balanced_rounds_have_a_video_of_each_class_and_passes_over_a_class_all_of_its_videos(sizes, seed):
    ids = [label for label, size in enumerate(sizes) for _ in range(size)][::-1]
    classes = sorted(set(ids))
    order = BalancedOrder(ids, seed)
    drawn = [order[position] for position in range(2 * max(sizes) * len(classes))]
    for start in range(0, len(drawn), len(classes)):
        assert sorted(ids[video] for _, video in drawn[start : start + len(classes)]) == classes
    for label in classes:
        of_class = [(within, video) for within, video in drawn if ids[video] == label]
        videos = [video for video, other in enumerate(ids) if other == label]
        for number in range(2):
            part = of_class[number * len(videos) : (number + 1) * len(videos)]
            assert sorted(part) == [(number, video) for video in videos]
    assert [BalancedOrder(ids, seed)[position] for position in (7, 3, 5)] == [order[position] for position in (7, 3, 5)]


def test_balanced_rounds_have_orders_of_their_own():
    order = BalancedOrder(range(9), 0)
    assert len({tuple(order[9 * number + place][1] for place in range(9)) for number in range(20)}) == 20


def test_what_replaces_a_video_is_of_its_class():
    ids = [0, 1, 1, 2, 2, 2, 2]
    order = BalancedOrder(ids, 5)
    for position in range(9):
        candidates = list(islice(order.candidates(position, batch=4), 8))
        assert candidates[0] == order[position]
        assert {ids[video] for _, video in candidates} == {ids[candidates[0][1]]}
        assert len({video for _, video in candidates}) == ids.count(ids[candidates[0][1]])
    order = SampleOrder(9, 5)
    assert list(islice(order.candidates(7, batch=4), 3)) == [order[7], order[11], order[15]]
