"""What a store's growth came to, as a figure: slots moved for each that the new shard got. Pure.

Why not keys: each slot has about as many, and who moves a slot moves them all. Why a ratio: it says
the same after half the move as after the whole, and a mover that is killed changes nothing in it.
Source: drills.md, row 21; issue "shard", "Figures".
"""

from chaos.drill.observation import NOTHING_SEEN, Observation
from chaos.drill.readings import Grown
from shard.policy.plan import GROUP_SLOTS


def moved_of_gained(grown: Grown | None) -> Observation:
    """Return slots moved over slots gained, 1.0 at best; nothing where the new shard got none.

    Nothing in it is by chance but which slots are on their way when it is counted: two groups.
    """
    if grown is None or not grown.gained:
        return NOTHING_SEEN
    return Observation(grown.moved / grown.gained, 2 * GROUP_SLOTS / grown.gained, grown.moved)
