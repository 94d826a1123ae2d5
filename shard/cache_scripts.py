"""What runs on a cache node: four scripts over one entry and one table.

An *entry* is a key behind the node's run id (``8f2a…:video:7``): ``t`` + token while somebody may
fill it, or ``f`` + token + three times (13 digits each, the node's clock in ms) + value. The times
are the fill's, the soft end until which it is fresh, and until when a refresh is somebody's. All
who miss between two deletes hold the same token: it names the time in which what they read at the
origin is valid. A delete is a plain UNLINK: the token goes with the entry, and a fill that doesn't
find it is refused.

A *stale* entry is past its soft end (``shard.policy.freshness``). A get still gives its value, and
the first one in ``REFRESH_S`` gets the token with it: the right to fill it anew. A delete revokes
that one too. The time to live of the key is the hard end.

The *table* (``squall:meta``, a hash) holds ``beat`` (last look of anybody, ms), ``gen`` (flushes),
``n:client`` (when that client left which notices) and ``a:client`` (when flushed for which).
Every get reads it, so LFU doesn't evict it; if it is lost all the same, the next look flushes.

A node that nobody has looked at for ``GAP_S`` was frozen, or cut off from all: it may have missed a
delete that found no board either. Nothing is read from it until a look has flushed it.
Source: memcached leases, Nishtala et al., "Scaling Memcache at Facebook" (NSDI 2013), section
3.2.1. Tokens there are handed out once in 10 s per key; here single-flight does that.
"""

from collections.abc import Mapping
from typing import NamedTuple

from shard.policy.coherence import STALE_BOUND_S, Board, Posting
from shard.policy.freshness import REFRESH_S, Life
from shard.resp import Answer, Argument, ReplyError, pack
from shard.script import Script

META_KEY = "squall:meta"
GAP_S = 3.0  # the lab's lease: who is silent so long is taken for gone
TOKEN_TTL_S = 10.0  # Facebook's leases; an origin slower than that isn't cached
ROW_TTL_S = 2.0 * STALE_BOUND_S  # notices and acknowledgements: no value outlives half of it
TOKEN_CHARS = 24

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

_FLUSH = """
local function flush()
  local kept = redis.call('HGETALL', KEYS[1])
  redis.call('FLUSHALL', 'ASYNC')
  if #kept > 0 then redis.call('HSET', KEYS[1], unpack(kept)) end
  redis.call('HINCRBY', KEYS[1], 'gen', 1)
end
"""

# KEYS: table, entry. ARGV: gap ms, token, token ms, refresh ms.
# -> {1, age ms, value} | {2, age ms, stale value, token or ''} | {0, token} | {-1}
GET = Script(
    _NOW
    + """
local beat = tonumber(redis.call('HGET', KEYS[1], 'beat'))
if not beat or now - beat > tonumber(ARGV[1]) then return {-1} end
local entry = redis.call('GET', KEYS[2])
if not entry or not string.find(entry, '^[tf]') then
  redis.call('SET', KEYS[2], 't' .. ARGV[2], 'PX', ARGV[3])
  return {0, ARGV[2]}
end
local kind = string.sub(entry, 1, 1)
if kind == 't' then return {0, string.sub(entry, 2)} end
local age, value = now - tonumber(string.sub(entry, 26, 38)), string.sub(entry, 65)
if now < tonumber(string.sub(entry, 39, 51)) then return {1, age, value} end
if now < tonumber(string.sub(entry, 52, 64)) then return {2, age, value, ''} end
redis.call('SETRANGE', KEYS[2], 51, string.format('%013.0f', now + ARGV[4]))
return {2, age, value, string.sub(entry, 2, 25)}
"""
)

# KEYS: table, entry. ARGV: token, value, ms to live, ms fresh. -> 1 stored | 0 refused
FILL = Script(
    _NOW
    + """
local entry = redis.call('GET', KEYS[2])
if not entry or not string.find(entry, '^[tf]') then return 0 end
if string.sub(entry, 2, 25) ~= ARGV[1] then return 0 end
if string.sub(entry, 1, 1) == 't' or now >= tonumber(string.sub(entry, 39, 51)) then
  local times = string.format('%013.0f%013.0f%013.0f', now, now + ARGV[4], 0)
  redis.call('SET', KEYS[2], 'f' .. ARGV[1] .. times .. ARGV[2], 'PX', ARGV[3])
end
return 1
"""
)

# KEYS: table. ARGV: gap ms, row ms, client, its notices. -> the whole table
LOOK = Script(
    _NOW
    + _FLUSH
    + """
local beat = tonumber(redis.call('HGET', KEYS[1], 'beat'))
if not beat or now - beat > tonumber(ARGV[1]) then flush() end
redis.call('HSET', KEYS[1], 'beat', string.format('%.0f', now))
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[1], 'n:' .. ARGV[3])
else
  redis.call('HSET', KEYS[1], 'n:' .. ARGV[3], string.format('%.0f;', now) .. ARGV[4])
end
local rows = redis.call('HGETALL', KEYS[1])
for i = 1, #rows, 2 do
  local kind, written = string.sub(rows[i], 1, 2), tonumber(string.match(rows[i + 1], '^(%d+);'))
  if (kind == 'n:' or kind == 'a:') and now - written > tonumber(ARGV[2]) then
    redis.call('HDEL', KEYS[1], rows[i])
  end
end
return redis.call('HGETALL', KEYS[1])
"""
)

# KEYS: table. ARGV: client, number. -> 1 flushed | 0 had been already
FLUSH = Script(
    _NOW
    + _FLUSH
    + """
local done = redis.call('HGET', KEYS[1], 'a:' .. ARGV[1])
if done and tonumber(string.match(done, ';(%d+)$')) >= tonumber(ARGV[2]) then return 0 end
flush()
redis.call('HSET', KEYS[1], 'a:' .. ARGV[1], string.format('%.0f;', now) .. ARGV[2])
return 1
"""
)


class Call(NamedTuple):
    """A script with its arguments."""

    script: Script
    tail: tuple[Argument, ...]

    def by_digest(self) -> bytes:
        """Pack it for a node that knows the script."""
        return pack(("EVALSHA", self.script.sha, *self.tail))

    def by_source(self) -> bytes:
        """Pack it for a node that has never seen the script."""
        return pack(("EVAL", self.script.source, *self.tail))


class Filled(NamedTuple):
    """What lies at a node.

    Args:
        value: Without what stands before it.
        age_s: Seconds since its fill.
        fresh_s: Seconds until its soft end; negative when it is stale.
    """

    value: bytes
    age_s: float
    fresh_s: float


def get_call(entry: str, token: str) -> Call:
    """Read an entry, or place a token where there is none."""
    args = (_ms(GAP_S), token, _ms(TOKEN_TTL_S), _ms(REFRESH_S))
    return _call(GET, (META_KEY, entry), args)


def fill_call(entry: str, token: str, value: bytes, life: Life) -> Call:
    """Put a value where its token still is, unless a fresh one is there already."""
    args = (token, value, max(1, _ms(life.total_s)), max(1, _ms(life.fresh_s)))
    return _call(FILL, (META_KEY, entry), args)


def parse_entry(entry: Answer, time: Answer) -> Filled | None:
    """Read an entry as it lies at its node, with the node's answer to TIME; None: no value."""
    match entry, time:
        case bytes(), [bytes(seconds), bytes(micros)] if entry[:1] == b"f":
            now_ms = int(seconds) * 1000 + int(micros) // 1000
            filled_ms, fresh_ms = int(entry[25:38]), int(entry[38:51])
            age_s, fresh_s = (now_ms - filled_ms) / 1000.0, (fresh_ms - now_ms) / 1000.0
            return Filled(entry[64:], max(0.0, age_s), fresh_s)
    return None


def look_call(client: str, notices: Mapping[str, int]) -> Call:
    """Show that we are here, leave our notices, read everybody's."""
    text = ",".join(f"{node}={number}" for node, number in sorted(notices.items()))
    return _call(LOOK, (META_KEY,), (_ms(GAP_S), _ms(ROW_TTL_S), client, text))


def flush_call(client: str, number: int) -> Call:
    """Drop everything, unless that has been done for this notice."""
    return _call(FLUSH, (META_KEY,), (client, number))


def is_unknown_script(answer: Answer) -> bool:
    """Whether the node wants the source."""
    return isinstance(answer, ReplyError) and answer.kind == "NOSCRIPT"


def parse_board(answer: Answer) -> Board | None:
    """Read a look's answer; None when it isn't one."""
    if not isinstance(answer, list):
        return None
    try:
        return _board([each.decode() for each in answer])
    except (AttributeError, ValueError):  # somebody else's data under our name
        return None


def _board(texts: list[str]) -> Board:
    table = dict(zip(texts[::2], texts[1::2], strict=True))
    now_ms = int(table["beat"]) if "beat" in table else 0
    notices: dict[Posting, int] = {}
    silent_s: dict[str, float] = {}
    flushed: dict[str, int] = {}
    for name, value in table.items():
        kind, _, client = name.partition(":")
        written_ms, _, rest = value.partition(";")
        if kind == "n":
            silent_s[client] = (now_ms - int(written_ms)) / 1000.0
            for pair in rest.split(","):
                node, _, number = pair.rpartition("=")
                notices[Posting(client, node)] = int(number)
        elif kind == "a":
            flushed[client] = int(rest)
    return Board(notices, silent_s, flushed, int(table.get("gen", "0")))


def _call(script: Script, keys: tuple[str, ...], args: tuple[Argument, ...]) -> Call:
    return Call(script, (len(keys), *keys, *args))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
