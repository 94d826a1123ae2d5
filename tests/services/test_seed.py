"""The data set: the same on every machine, and safe to write again."""

import pytest

from kit.errors import ConfigError
from services.account.data import StoreAccounts
from services.comment.data import CommentBody, StoreComments
from services.counter.data import StoreCounters
from services.video.data import NEWEST_KEY, StoreVideos
from shard.store import StoreClient
from squall.commands.seed import SIZE_NAMES
from squall.commands.seed import seed as command
from squall.dataset import SIZES, Dataset
from squall.seed import MARKER_KEY, describe, parse, seed

SMALL = SIZES["small"]


def test_sizes_are_the_documented_ones() -> None:
    """Small is 1,000 accounts, 200 videos and 5,000 comments; full is fifty times that."""
    assert (SMALL.accounts, SMALL.videos, SMALL.comments) == (1_000, 200, 5_000)
    full = SIZES["full"]
    assert (full.accounts, full.videos, full.comments) == (50_000, 10_000, 250_000)
    assert set(SIZE_NAMES) == set(SIZES)


def test_the_data_set_is_reproducible() -> None:
    """The same seed gives the same things, another seed others; the exact names are pinned."""
    one, same, other = Dataset(17), Dataset(17), Dataset(18)
    assert [one.video(each) for each in (1, 200)] == [same.video(each) for each in (1, 200)]
    assert one.comments(3) == same.comments(3)
    assert one.video(1) != other.video(1)
    assert one.account(1).name == "finn_1"


def test_comments_come_to_exactly_the_documented_number() -> None:
    """Videos have different numbers of comments, 5,000 in all."""
    dataset = Dataset()
    counts = [len(dataset.comments(each)) for each in range(1, SMALL.videos + 1)]
    assert sum(counts) == SMALL.comments
    assert (min(counts) >= 5, max(counts) <= 45, len(set(counts)) > 10) == (True, True, True)


def test_everybody_named_in_the_small_set_is_in_it() -> None:
    """Authors and likers of the first 200 videos are among the first 1,000 accounts."""
    dataset = Dataset()
    for video_id in (1, 77, 200):
        people = [dataset.video(video_id).author_id, *dataset.audience(video_id).likers]
        people += [each.author_id for each in dataset.comments(video_id)]
        assert all(1 <= each <= SMALL.accounts for each in people)


def test_names_are_ones_a_session_can_be_opened_for() -> None:
    """Every seeded name is legal and unique."""
    names = [Dataset().account(each).name for each in range(1, 1_001)]
    assert len(set(names)) == 1_000
    assert all(3 <= len(each) <= 32 for each in names)


@pytest.mark.integration
async def test_seeding_twice_changes_nothing_and_keeps_what_people_added(
    store: StoreClient,
) -> None:
    """A second run writes the same data over itself; comments added meanwhile stay."""
    await store.write("DEL", NEWEST_KEY)
    first = await seed(store, "small", 17, if_empty=True)
    assert first.written
    before = await StoreVideos(store).newest(None, 100)
    comments = StoreComments(store)
    total = (await comments.newest(1, None, 1)).total
    await comments.add(1, CommentBody(5, "added since", 1))
    again = await seed(store, "small", 17, if_empty=False)
    assert again.written
    assert await StoreVideos(store).newest(None, 100) == before
    newest = await comments.newest(1, None, 1)
    assert (newest.total, newest.comments[0].body.text) == (total + 1, "added since")


@pytest.mark.integration
async def test_seeded_data_is_what_the_services_read(store: StoreClient) -> None:
    """What the seed wrote is found through the services' own repositories."""
    await store.write("DEL", NEWEST_KEY)
    await seed(store, "small", 17, if_empty=False)
    dataset = Dataset(17)
    accounts = StoreAccounts(store)
    assert await accounts.find(1000) == dataset.account(1000)
    assert await accounts.find_by_name(dataset.account(7).name) == dataset.account(7)
    assert await StoreVideos(store).find(200) == dataset.video(200)
    listed = await StoreVideos(store).newest(None, 300)
    assert [each.id for each in listed] == list(range(200, 0, -1))
    expected = dataset.comments(2)
    found, total = await StoreComments(store).newest(2, None, 100)
    assert total == len(expected)
    assert [each.body for each in reversed(found)] == expected
    audience = dataset.audience(2)
    assert await StoreCounters(store).stats([2]) == [(2, len(audience.likers), audience.views)]


@pytest.mark.integration
async def test_if_empty_does_nothing_after_a_finished_run(store: StoreClient) -> None:
    """The marker, written last, says that a data set is there."""
    await seed(store, "small", 17, if_empty=False)
    kept = await seed(store, "full", 99, if_empty=True)
    assert (kept.written, kept.size, kept.writes) == (False, "small", 0)
    assert describe(kept) == "already there: 1,000 accounts, 200 videos, 5,000 comments"
    await store.write("DEL", MARKER_KEY)


def test_arguments_have_their_documented_defaults() -> None:
    """Without arguments it writes the small set of seed 17."""
    arguments = parse([])
    assert (arguments.size, arguments.seed, arguments.if_empty) == ("small", 17, False)


@pytest.mark.parametrize("argv", [["--size", "huge"], ["--seed", "x"], ["--what"]])
def test_wrong_arguments_exit_with_2(argv: list[str]) -> None:
    """A wrong argument ends with the usage error's exit code."""
    with pytest.raises(SystemExit) as caught:
        parse(argv)
    assert caught.value.code == 2


def test_unknown_size_names_the_nearest() -> None:
    """``squall seed --size smaal`` is a usage error that names what was meant."""
    with pytest.raises(ConfigError, match="did you mean small"):
        command(size="smaal")
