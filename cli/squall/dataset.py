"""The lab's data set: accounts, videos, comments, likes and views, the same on every machine.

Each thing is drawn from a random source of its own, named by the seed and its id. So the small set
is a part of the full one, and changing how comments are drawn changes no video.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

from services.account.data import AccountRecord
from services.comment.data import CommentBody
from services.video.data import VideoRecord

DEFAULT_SEED = 17
EPOCH_UNIX_S = 1_767_225_600  # 2026-01-01T00:00:00Z: fixed, or no two runs would be the same
ACCOUNTS_PER_BLOCK = 1_000
VIDEOS_PER_BLOCK = 200
COMMENTS_PER_VIDEO = 25  # on average; exactly so over each pair of neighbours
COMMENTS_SPREAD = 20
MAX_LIKES = 40
PUBLISH_EVERY_S = 1_800

FIRST_NAMES = (
    "ada", "alan", "amin", "ana", "bela", "bo", "chen", "dara", "eli", "emre", "fatou", "finn",
    "gia", "hana", "hugo", "ida", "irma", "ivan", "jomo", "kai", "kofi", "lea", "lin", "luca",
    "maya", "mei", "milo", "nadia", "nia", "noor", "omar", "pia", "ravi", "rosa", "sami",
    "tala", "uma", "wei", "yara", "zoe",
)  # fmt: skip
SUBJECTS = (
    "storm", "harbour", "night train", "small kitchen", "old bridge", "quiet street", "first snow",
    "market", "lighthouse", "long road", "river", "empty stadium", "rooftop", "slow bread",
    "red bicycle", "power cut",
)  # fmt: skip
FORMS = (
    "A day at the {}",
    "How the {} works",
    "Everything about the {}",
    "{} in ten minutes",
    "The {}, explained",
    "We walked to the {}",
    "Sounds of the {}",
    "What the {} taught me",
    "The {} at dawn",
    "Building a {}",
)
REMARKS = (
    "Watched it twice.",
    "The ending!",
    "Where was this filmed?",
    "More of these, please.",
    "Best thing I saw today.",
    "The sound at the start is wonderful.",
    "I did not expect that.",
    "My grandmother loved it.",
    "Thank you for this.",
    "Could you do one about the sea?",
    "This deserves more views.",
    "I come back to this whenever it rains.",
)


class Size(NamedTuple):
    """How much of everything, in blocks of 1,000 accounts, 200 videos and 5,000 comments."""

    blocks: int

    @property
    def accounts(self) -> int:
        """How many accounts."""
        return self.blocks * ACCOUNTS_PER_BLOCK

    @property
    def videos(self) -> int:
        """How many videos."""
        return self.blocks * VIDEOS_PER_BLOCK

    @property
    def comments(self) -> int:
        """How many comments in all."""
        return self.videos * COMMENTS_PER_VIDEO


SIZES = {"small": Size(1), "full": Size(50)}


class Audience(NamedTuple):
    """Who liked a video, and how often it was viewed."""

    likers: list[int]
    views: int


class Dataset:
    """Draw the data set's parts by id; the same id gives the same part every time.

    Args:
        seed: Another one gives other names, titles and numbers, of the same size.
    """

    def __init__(self, seed: int = DEFAULT_SEED) -> None:
        self._seed = seed

    def account(self, account_id: int) -> AccountRecord:
        """Draw an account; the id in the name keeps names apart."""
        rng = self._rng("account", account_id)
        name = f"{rng.choice(FIRST_NAMES)}_{account_id}"
        return AccountRecord(account_id, name, EPOCH_UNIX_S - rng.randrange(365 * 86_400))

    def video(self, video_id: int) -> VideoRecord:
        """Draw a video; later ids are published later."""
        rng = self._rng("video", video_id)
        title = rng.choice(FORMS).format(rng.choice(SUBJECTS))
        return VideoRecord(
            id=video_id,
            title=title[0].upper() + title[1:],
            author_id=_someone(rng, video_id),
            duration_s=rng.randrange(20, 1_800),
            published_unix_s=_published_s(video_id),
        )

    def comments(self, video_id: int) -> list[CommentBody]:
        """Draw a video's comments, oldest first."""
        rng = self._rng("comments", video_id)
        times_s = sorted(rng.randrange(7 * 86_400) for _ in range(self._comment_count(video_id)))
        return [
            CommentBody(
                _someone(rng, video_id), rng.choice(REMARKS), _published_s(video_id) + after_s
            )
            for after_s in times_s
        ]

    def audience(self, video_id: int) -> Audience:
        """Draw who liked a video and how often it was viewed."""
        rng = self._rng("audience", video_id)
        likers = sorted({_someone(rng, video_id) for _ in range(rng.randrange(MAX_LIKES))})
        return Audience(likers, len(likers) * 12 + rng.randrange(500))

    def _comment_count(self, video_id: int) -> int:
        """Let neighbours differ, and every pair have twice the average."""
        pair = (video_id + 1) // 2
        spread = self._rng("pair", pair).randrange(COMMENTS_SPREAD + 1)
        return COMMENTS_PER_VIDEO + (spread if video_id % 2 else -spread)

    def _rng(self, kind: str, number: int) -> random.Random:
        return random.Random(f"{self._seed}/{kind}/{number}")


def ids(count: int) -> Iterator[int]:
    """Count from 1."""
    return iter(range(1, count + 1))


def _someone(rng: random.Random, video_id: int) -> int:
    """Draw an account of the video's own block, so that a set's blocks stand alone."""
    first = (video_id - 1) // VIDEOS_PER_BLOCK * ACCOUNTS_PER_BLOCK
    return first + rng.randrange(1, ACCOUNTS_PER_BLOCK + 1)


def _published_s(video_id: int) -> int:
    return EPOCH_UNIX_S + video_id * PUBLISH_EVERY_S
