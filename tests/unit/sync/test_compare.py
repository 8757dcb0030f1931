"""The comparison: what a round asks for, with how many requests, and what it brings along."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest
from model_server import Found, ModelServer, ModelStore, audit, compare, fetch, numbered, sync

from patchsync.errors import UnknownProject
from patchsync.patchwork.paging import LARGEST_PAGE, Page
from patchsync.sync import compare as comparison
from patchsync.sync.compare import PageToFetch
from patchsync.sync.id_set import IdSet

# What a round asks for


def test_in_sync_is_one_request() -> None:
    """Where highest and count agree, nothing else is asked."""
    server = ModelServer(numbered(1535))

    outcome = comparison.compare(server, IdSet(server.ids), window=50)

    assert outcome.in_sync
    assert (outcome.highest, outcome.count, outcome.known) == (1535, 1535, 1535)
    assert (outcome.want, outcome.requests) == ((), 1)
    assert (server.small_requests, server.pages) == (1, 0)


def test_new_ones_at_the_end_are_one_page_with_one_of_ours() -> None:
    """The page of the k + 1 newest is asked for at once, with those of ours that it may list."""
    server = ModelServer(numbered(1535))

    outcome = comparison.compare(server, IdSet(server.ids[:-7]), window=50)

    assert outcome.requests == 1
    (want,) = outcome.want
    assert want.page == Page("-id", 8, 1)
    assert 1528 in want.held
    assert len(want.held) <= 8 + comparison.SLACK


def test_quarantined_id_counts_as_known() -> None:
    """What cannot be stored is held all the same, so that no round asks for it again."""
    stored, quarantined = [1, 3], [2]
    server = ModelServer([1, 2, 3])

    assert comparison.compare(server, IdSet(stored + quarantined), window=2).in_sync


def test_unknown_project_is_an_error_and_proves_nothing() -> None:
    """An unknown project lists as an empty one: nothing of ours is taken for gone."""
    server = ModelServer([])
    server.known_project = False
    known = IdSet(numbered(10))

    with pytest.raises(UnknownProject):
        comparison.compare(server, known, window=2)
    assert len(known) == 10


def test_empty_project_has_lost_all_that_we_know() -> None:
    """A project that exists and is empty proves all of ours gone."""
    outcome = comparison.compare(ModelServer([]), IdSet(numbered(1000)), window=2)

    assert outcome.gone == set(numbered(1000))
    assert outcome.in_sync
    assert comparison.compare(ModelServer([]), IdSet([]), window=2).in_sync


def test_numbers_of_the_newest_alone_prove_nothing_gone() -> None:
    """On some servers the highest is read off the last page, which may be a moment behind."""

    class Behind(ModelServer):
        def newest(self, *, few: bool = False) -> tuple[int | None, int]:
            return 9, 10

    outcome = compare(Behind(numbered(10)), ModelStore(set(numbered(10))))

    assert outcome.gone == frozenset()


def test_only_a_project_that_is_known_to_be_small_is_asked_as_one() -> None:
    """The question for a small one takes a server long where there are many patches, or may be."""
    asked: list[bool] = []

    class Listening(ModelServer):
        def newest(self, *, few: bool = False) -> tuple[int | None, int]:
            asked.append(few)
            return super().newest(few=few)

    for known in (0, 1, comparison.FEW, comparison.FEW + 1):
        compare(Listening(numbered(known)), ModelStore(set(numbered(known))))

    assert asked == [False, True, True, False]


def test_newest_moved_away_is_seen_at_once_and_so_is_its_return() -> None:
    """What lies above the highest is gone by the newest page, and back when that lists it."""
    server, store = ModelServer(numbered(999)), ModelStore(set(numbered(1000)))

    away = compare(server, store, 2)
    store.apply_round(away)
    server.add(1000)
    returned = compare(server, store, 2)

    assert (away.gone, away.in_sync, away.requests) == ({1000}, True, 2)
    assert (returned.back, returned.in_sync, returned.requests) == ({1000}, True, 2)


@pytest.mark.parametrize("moves", [("remove", "add"), ("add", "remove")])
def test_patch_that_moves_there_and_back_within_a_round_is_no_change(
    moves: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round reports only what changes something, by the last that it saw."""
    # Given a patch by a border that changes before the second request and again before the third,
    # and a page next to it which the round looks at itself
    monkeypatch.setattr(comparison, "HELD", 0)
    server, store = ModelServer(numbered(600)), ModelStore(set(numbered(601)) - {100})
    server.add(601)
    if moves[0] == "add":
        server.remove(252)
        store.gone = {252}
    queries = iter(range(1, 1000))

    def move() -> None:
        query = next(queries)
        if query in (3, 5):
            getattr(server, moves[query == 5])(252)

    server.between = move

    # When
    outcome = comparison.compare(server, store.known(), window=50)

    # Then
    assert (outcome.gone, outcome.back) == (set(), set())


def test_round_stops_where_the_list_moves_under_it() -> None:
    """Positions that no longer fit what was read say nothing: the next round goes on."""
    # Given that most of the lower half vanishes after the middle was read
    server, store = ModelServer(numbered(1000)), ModelStore(set(numbered(1000)) - {100})
    queries = iter(range(1, 1000))

    def vanish() -> None:
        if next(queries) == 5:
            server.ids = server.ids[300:]

    server.between = vanish

    outcome = compare(server, store)

    assert outcome.requests == 3
    assert outcome.want == ()


@pytest.mark.parametrize("window", [1, 2, 5])
def test_no_round_asks_for_more_than_the_window(window: int) -> None:
    """A backlog is met a window at a time, and each page of it once."""
    server, store = ModelServer(numbered(3001)), ModelStore()

    rounds = sync(server, store, window=window, rounds=40)

    assert store.held == set(server.ids)
    assert server.pages <= 3001 // LARGEST_PAGE + 3
    assert rounds <= server.pages / window + 3


def test_backlog_goes_on_while_new_ones_arrive() -> None:
    """New patches on top do not make the window of a backlog list what we have."""
    server = ModelServer(numbered(100_000))
    store = ModelStore(set(server.ids[50_000:]))
    for patch_id in range(100_001, 100_004):
        server.add(patch_id)

    outcome = compare(server, store, 20)
    for want in outcome.want:
        store.apply(fetch(server, want))

    assert store.held >= {100_001, 100_002, 100_003}
    assert len(store.held) >= 50_000 + 18 * LARGEST_PAGE
    assert store.downloaded_again == 0


def test_many_new_ones_over_many_holes_do_not_list_what_we_have() -> None:
    """Several pages at the end are taken for new ones only after a look at the lowest of them."""
    # Given ids with room for more new ones than there are: another project has the others
    server = ModelServer(range(2, 20_000, 2))
    store = ModelStore(set(server.ids[5000:-10]))
    server.add(40_000)

    outcome = compare(server, store, 20)
    for want in outcome.want:
        store.apply(fetch(server, want))

    assert store.downloaded_again == 0
    assert len(store.held) >= 4000 + 15 * LARGEST_PAGE


@pytest.mark.parametrize("step", [1, 3])
def test_holes_are_met_while_patches_arrive_without_end(step: int) -> None:
    """We lack more than there is room for at the end: so holes need not wait for a pause."""
    server = ModelServer(range(1, 1536 * step, step))
    holes = set(Random(2).sample(server.ids, 15))
    store = ModelStore(set(server.ids) - holes)
    server.between = lambda: server.add(server.ids[-1] + step)

    for _ in range(5):
        outcome = compare(server, store)
        store.apply_round(outcome)
        for want in outcome.want:
            store.apply(fetch(server, want))

    assert store.held >= holes


# What a wanted page brings along


def test_held_names_all_of_ours_that_a_page_lists_and_stays_bounded(random: Random) -> None:
    """In quiet conditions nothing of ours is downloaded again, and messages stay small."""
    for _ in range(60):
        ids = sorted(random.sample(range(1, 9000), random.randrange(1, 3000)))
        server = ModelServer(ids)
        holes = random.sample(ids, min(len(ids), random.randrange(12)))
        extra = random.sample(range(1, 9100), random.randrange(12))
        new = random.choice([0, 0, 3, 300])
        held = (set(ids[: len(ids) - new]) - set(holes)) | set(extra)
        store = ModelStore(held)
        for _ in range(12):
            outcome = compare(server, store)
            store.apply_round(outcome)
            for want in outcome.want:
                store.apply(fetch(server, want))
        assert store.downloaded_again == 0


def test_id_gone_inside_a_wanted_page_is_noticed_by_its_fetch() -> None:
    """A fetch task sees what is gone by the ids of ours that it was given."""
    server, store = ModelServer(numbered(1535)), ModelStore(set(numbered(1535)))
    server.remove(600)

    outcome = compare(server, store)
    (want,) = outcome.want

    assert outcome.gone == frozenset()
    assert fetch(server, want) == Found(
        listed=tuple(i for i in range(501, 752) if i != 600), downloaded=(), gone=(600,)
    )


@pytest.mark.parametrize("end", [0, -1])
@pytest.mark.parametrize("hole", [260, 1290])
def test_page_that_shifts_before_it_is_fetched_brings_nothing_again(end: int, hole: int) -> None:
    """A few of our ids beyond the page are named too."""
    server, store = ModelServer(numbered(1535)), ModelStore(set(numbered(1535)) - {hole})

    (want,) = compare(server, store).want
    for _ in range(5):
        server.remove(server.ids[end])

    assert fetch(server, want).downloaded == (hole,)


def test_border_that_is_not_ours_differs_even_where_counts_agree() -> None:
    """One late at a border and one gone above it do not hide each other from a round that looks."""
    server, store = ModelServer(numbered(1000)), ModelStore(set(numbered(1000)) - {501, 20})
    server.remove(800)
    server.add(1001)
    store.held.add(1001)

    sync(server, store)

    assert store.held - store.gone == set(server.ids)


def test_lists_are_counted_from_the_nearer_end() -> None:
    """The server's cost grows with the distance, so that none lies beyond the middle."""
    server, store = ModelServer(numbered(30_000)), ModelStore()
    store.held = set(numbered(30_000)) - {5, 8_000, 14_990, 15_010, 21_000, 29_000}

    sync(server, store)

    assert store.held == set(server.ids)
    assert server.deepest <= 15_000


@pytest.mark.parametrize(
    "left",
    [
        pytest.param([*range(1, 2301), *range(7301, 10_001)], id="5,000 in one place"),
        pytest.param([2500], id="all but one"),
        pytest.param([*range(1, 10_001, 50)], id="49 of 50"),
        pytest.param([1, 2, 9999, 10_000], id="all but the ends"),
    ],
)
def test_more_gone_than_a_message_should_name_are_found_by_the_round(left: list[int]) -> None:
    """Where most of ours are gone the round looks itself, instead of sending thousands of ids."""
    server, store = ModelServer(left), ModelStore(set(numbered(10_000)))

    sync(server, store, window=20)

    assert store.held - store.gone == set(left)
    assert store.downloaded_again == 0
    assert server.small_requests + server.pages <= 12


def test_pages_that_the_round_lists_itself_count_for_the_window() -> None:
    """A round is short even where it has to look and to fetch."""
    # Given that two of three are gone from the two newest pages, and all below is missing
    server = ModelServer([*range(1, 5001), *range(5001, 6501, 3)])

    outcome = compare(server, ModelStore(set(range(5001, 6501))), 4)

    assert (server.pages, len(outcome.want)) == (2, 2)


# How many requests it takes: facts measured before, small requests and pages of 250

PROJECT = numbered(1535)


@pytest.mark.parametrize(
    ("ids", "held", "small", "pages"),
    [
        pytest.param(PROJECT, PROJECT, 1, 0, id="nothing new"),
        pytest.param(PROJECT, PROJECT[:-1], 3, 0, id="1 new"),
        pytest.param(PROJECT, PROJECT[:-300], 2 + 1, 2, id="300 new"),
        pytest.param(PROJECT, PROJECT[:-1000], 2 + 1, 5, id="1,000 new"),
        pytest.param(PROJECT, [], 2, 7, id="empty store"),
        pytest.param(PROJECT, PROJECT[1:], 4, 1, id="hole at the start"),
        pytest.param(PROJECT, set(PROJECT) - {768}, 5, 1, id="hole in the middle"),
        pytest.param(PROJECT, set(PROJECT) - {9, 300, 700, 1100, 1500}, 7, 5, id="5 holes"),
        pytest.param(PROJECT, set(PROJECT[:-3]) - {400}, 6, 1 + 1, id="a hole and 3 new"),
        pytest.param(set(PROJECT) - {400}, PROJECT, 5, 1, id="1 deleted"),
        pytest.param(
            set(PROJECT) - set(range(400, 700)),
            PROJECT[:-300],
            4 + 2,
            4,
            id="block of 300 deleted, with 300 new",
        ),
        pytest.param(PROJECT[:-1], PROJECT, 2, 1, id="newest deleted"),
        pytest.param(PROJECT, set(PROJECT) - {555}, 4 + 1, 2, id="moved in"),
        pytest.param(set(PROJECT) - {751}, PROJECT, 3, 0, id="moved out between two pages"),
        pytest.param([], PROJECT, 3, 0, id="all deleted"),
    ],
)
def test_project_of_1535_needs_few_requests(
    ids: Iterable[int], held: Iterable[int], small: int, pages: int
) -> None:
    """Small requests and pages of 250 until in sync are no more than measured before, nearly."""
    server, store = ModelServer(ids), ModelStore(set(held))

    sync(server, store)

    assert store.held - store.gone == set(ids)
    assert store.downloaded_again == 0
    assert server.small_requests <= small
    assert server.pages <= pages


def test_holes_during_inserts_need_few_requests() -> None:
    """Patches that arrive between any two queries cost a few pages more, not rounds without end."""
    server = ModelServer(PROJECT)
    store = ModelStore(set(PROJECT) - set(Random(2).sample(PROJECT, 15)))

    def arrive() -> None:
        if len(server.ids) < 1555:
            server.add(server.ids[-1] + 1)

    server.between = arrive

    sync(server, store)

    assert store.held == set(server.ids)
    assert server.small_requests <= 12 + 2
    assert server.pages <= 10


@pytest.mark.parametrize(
    ("count", "holes", "requests"),
    [
        (300_000, 1, 13 + 1),
        (300_000, 5, 47 + 5),
        (300_000, 50, 241 + 49),
        (1_000_000, 1, 14 + 1),
        (1_000_000, 5, 52 + 5),
        (1_000_000, 50, 304 + 50),
    ],
)
def test_scattered_holes_in_a_big_project_need_few_requests(
    count: int, holes: int, requests: int
) -> None:
    """k holes in P pages cost about k log2(P/k) small requests and k pages."""
    server = ModelServer(range(1, count + 1))
    store = ModelStore(set(server.ids) - set(Random(holes).sample(server.ids, holes)))

    sync(server, store)

    assert len(store.held) == count
    assert server.pages <= holes
    assert server.small_requests + server.pages <= requests + 2


def test_ten_thousand_new_in_a_million_are_their_pages_and_three_requests() -> None:
    """The newest, one look at the lowest page of them, the pages, the newest."""
    server = ModelServer(range(1, 1_000_001))
    store = ModelStore(set(server.ids[:-10_000]))

    sync(server, store)

    assert len(store.held) == 1_000_000
    assert (server.small_requests, server.pages) == (2 + 1, 41)


def test_a_backlog_goes_on_while_pages_are_in_flight() -> None:
    """What lies below them is asked for, in few requests, and nothing of them again."""
    server, store = ModelServer(numbered(10_000)), ModelStore()
    first = compare(server, store, 8).want
    # Stored in another order than they were asked for
    for want in (first[0], first[1], first[3], first[5]):
        store.apply(fetch(server, want))
    in_flight = [first[place].page for place in (2, 4, 6, 7)]
    before = server.small_requests
    outcome = comparison.compare(server, store.known(), 4, in_flight)
    assert [want.page for want in outcome.want] == [
        Page("-id", LARGEST_PAGE, number) for number in (9, 10, 11, 12)
    ]
    assert server.small_requests - before <= 4
    assert not outcome.in_sync


@pytest.mark.parametrize("seed", range(40))
def test_pages_that_come_late_and_in_any_order(seed: int) -> None:
    """Rounds beside pages in flight, on a server that changes, end as rounds alone do."""
    chance = Random(seed)
    server = ModelServer(chance.sample(range(1, 6000), 3000))
    store = ModelStore(set(chance.sample(server.ids, chance.choice([0, 500, 2900]))))
    window, flying = 6, list[PageToFetch]()
    for number in range(400):
        if number < 20 and chance.random() < 0.5:
            change = chance.randint(1, 7000)
            (server.remove if change in server.ids else server.add)(change)
        if not flying or len(flying) <= window // 2:
            pages = [want.page for want in flying]
            outcome = comparison.compare(server, store.known(), window - len(flying), pages)
            store.apply_round(outcome)
            assert not {want.page for want in outcome.want} & set(pages)
            flying += outcome.want
            if outcome.in_sync and not flying:
                break
        chance.shuffle(flying)
        for _ in range(min(len(flying), chance.randint(0, 3))):
            store.apply(fetch(server, flying.pop()))
    else:
        raise AssertionError("it does not end")
    audit(server, store)
    sync(server, store)
    assert store.held - store.gone == set(server.ids)
