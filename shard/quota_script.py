"""The store's half of a quota: one script on one node, over one hash a group of tenants.

The hash (``squall:quota:`` + group) holds ``at`` (when tokens were last divided, by the node's
clock in µs), ``b:tenant`` (tokens he may be given) and ``n:node`` (who asked: when, which question,
for what demand, and the answer). Each question does four things:

1. a number seen before gets the answer of that time; an older one gets none;
2. nodes silent for ``NODE_TTL_S`` are forgotten, and with them their demand;
3. the quota of the time that has passed is divided among tenants by weighted max-min over the
   demand of all nodes (``resilience.policy.fair_share``), what nobody asks for by weight, and put
   into their buckets, which hold ``BURST_S`` seconds of that share, and one token at least;
4. the asking node settles what it gives back or owes, and is given of each bucket the part that its
   demand is of the tenant's, no more than it wants.

So in t seconds no more is leased than quota * (t + BURST_S) and a token a tenant, whoever asks how
often; what the nodes leave in the buckets is there for the next.
Cost: O(nodes * tenants) a question, 0.16 ms with ten of each; fifty nodes with ten tenants that all
ask as often as they may take some 0.4 of the store's one core.
Not handled: the hash vanishes (restart, eviction, flush): all begins with empty buckets.
"""

from resilience.policy.lease import LeaseGrant, LeaseRequest
from shard.resp import Answer, Argument, pack
from shard.script import Script

KEY_PREFIX = "squall:quota:"
BURST_S = 1.0  # twice the longest round: a bucket must not overflow between two questions
NODE_TTL_S = 3.0  # the lab's lease: who is silent so long is taken for gone
KEY_TTL_S = 60.0  # a group that nobody asks for leaves nothing behind

# KEYS: hash. ARGV: node, sequence, quota a second, burst s, node ttl µs, key ttl ms, then for each
# tenant: name, weight, demand, want, back. -> {nodes, name, tokens, ...} | {} for an old question
LEASE = Script(
    """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local me, sequence, quota, burst = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local at, buckets, seen = now, {}, {}
local rows = redis.call('HGETALL', KEYS[1])
for i = 1, #rows, 2 do
  local kind, name = string.sub(rows[i], 1, 2), string.sub(rows[i], 3)
  if kind == 'at' then at = tonumber(rows[i + 1])
  elseif kind == 'b:' then buckets[name] = tonumber(rows[i + 1])
  else seen[name] = cjson.decode(rows[i + 1]) end
end
if seen[me] and seen[me].sequence == sequence then return seen[me].reply end
if seen[me] and seen[me].sequence > sequence then return {} end

local mine = {at = now, sequence = sequence, demand = {}, weight = {}}
for i = 7, #ARGV, 5 do
  mine.weight[ARGV[i]], mine.demand[ARGV[i]] = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
end
seen[me] = mine

local nodes, demand, weight = 0, {}, {}
for name, node in pairs(seen) do
  if now - node.at > tonumber(ARGV[5]) then
    redis.call('HDEL', KEYS[1], 'n:' .. name)
  else
    nodes = nodes + 1
    for tenant, asked in pairs(node.demand) do
      demand[tenant] = (demand[tenant] or 0) + asked
      weight[tenant] = math.max(weight[tenant] or 0, node.weight[tenant])
    end
  end
end

local order, weights, left = {}, 0, quota
for tenant in pairs(demand) do
  order[#order + 1] = tenant
  weights = weights + weight[tenant]
end
table.sort(order, function(a, b)
  local one, other = demand[a] / weight[a], demand[b] / weight[b]
  if one == other then return a < b end
  return one < other
end)
local share, unfilled = {}, weights
for i, tenant in ipairs(order) do
  local due = left
  if i < #order then due = left * weight[tenant] / unfilled end
  share[tenant] = math.min(demand[tenant], due)
  left, unfilled = left - share[tenant], unfilled - weight[tenant]
end

local passed, cap = math.max(0, math.min(burst, (now - at) / 1000000)), {}
for _, tenant in ipairs(order) do
  local rate = share[tenant] + math.max(0, left) * weight[tenant] / weights
  cap[tenant] = math.max(1, rate * burst)
  buckets[tenant] = math.min(cap[tenant], (buckets[tenant] or 0) + rate * passed)
end

local reply = {tostring(nodes)}
for i = 7, #ARGV, 5 do
  local tenant, want, back = ARGV[i], tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
  local part = 1
  if demand[tenant] > 0 then part = mine.demand[tenant] / demand[tenant] end
  local held = math.max(-cap[tenant], math.min(cap[tenant], buckets[tenant] + back))
  local given = math.max(0, math.min(want, held * part))
  buckets[tenant] = held - given
  reply[#reply + 1] = tenant
  reply[#reply + 1] = string.format('%.6f', given)
end
mine.reply = reply

for tenant, held in pairs(buckets) do
  if demand[tenant] then
    redis.call('HSET', KEYS[1], 'b:' .. tenant, string.format('%.9g', held))
  else
    redis.call('HDEL', KEYS[1], 'b:' .. tenant)
  end
end
redis.call('HSET', KEYS[1], 'at', string.format('%.0f', math.max(at, now)), 'n:' .. me,
  cjson.encode(mine))
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return reply
"""
)


class LeaseCall:
    """One question, packed for a node that knows the script and for one that doesn't.

    Args:
        group: Whose quota.
        node: Who asks; a name that no other and no earlier life of this node has.
        quota_rps: Costs a second for all.
        request: What the policy asks.
    """

    __slots__ = ("_tail",)

    def __init__(self, group: str, node: str, quota_rps: float, request: LeaseRequest) -> None:
        tail: list[Argument] = [1, KEY_PREFIX + group, node, request.sequence, repr(quota_rps)]
        tail += [repr(BURST_S), round(NODE_TTL_S * 1e6), round(KEY_TTL_S * 1e3)]
        for tenant, ask in request.asks.items():
            figures = (ask.weight, ask.demand_rps, ask.want, ask.back)
            tail += [tenant, *(f"{each:.9g}" for each in figures)]
        self._tail = tail

    def by_digest(self) -> bytes:
        """Pack it for a node that knows the script."""
        return pack(("EVALSHA", LEASE.sha, *self._tail))

    def by_source(self) -> bytes:
        """Pack it for a node that has never seen the script."""
        return pack(("EVAL", LEASE.source, *self._tail))


def parse_grant(answer: Answer, sequence: int) -> LeaseGrant | None:
    """Read the answer to a question; None when it is none."""
    if not isinstance(answer, list) or len(answer) % 2 != 1:
        return None
    try:
        nodes, *pairs = (each.decode() for each in answer)
        tokens = dict(zip(pairs[::2], map(float, pairs[1::2]), strict=True))
        return LeaseGrant(sequence, int(nodes), tokens)
    except (AttributeError, ValueError):  # somebody else's data under our name
        return None
