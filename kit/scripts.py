"""The control plane's scripts: what must happen in one piece inside the control server.

Why: a version is only worth something when the change, its number and its announcement are one
step, and a new incarnation must take one snapshot, not a mixture. Everything else stays in Python.

Keys, all of one server (the control plane is not a cluster):

    squall:meta    hash: version, settled, offer_run, offer_since, offer_version
    squall:state   hash: field -> "<written ms> <JSON>"
    squall:offer   hash: the best snapshot offered to an incarnation that has not settled
    squall:leases  hash: instance -> "<expires ms> <JSON>"

The *incarnation* is the server's run_id, so a restart that lost its last second of appends is as
new as one that lost everything; what it still has counts as one more offer.
Source: design.md, "Control plane". Time is the server's (TIME), once per script.
"""

META = "squall:meta"
STATE = "squall:state"
OFFER = "squall:offer"
LEASES = "squall:leases"
KEYS = (META, STATE, OFFER, LEASES)

HINT_CHANNEL = "squall:hint"
ASK_CHANNEL = "squall:ask"

# Numbers pass through '%.0f': Lua prints milliseconds since 1970 as 1.7e+12 otherwise.
_PRELUDE = """
local META, STATE, OFFER, LEASES = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function int(n) return string.format('%.0f', n) end
local function meta(name) return redis.call('HGET', META, name) end
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')

-- Whether this incarnation is to be believed; ends the window when its time has come.
local function settled(window_ms)
  if meta('settled') == run then return true end
  if meta('offer_run') ~= run then
    redis.call('DEL', OFFER)
    redis.call('HSET', META, 'offer_run', run, 'offer_since', int(now), 'offer_version', '-1')
  end
  if now - tonumber(meta('offer_since')) < window_ms then return false end
  local offered = tonumber(meta('offer_version'))
  if offered > tonumber(meta('version') or '0') then
    redis.call('DEL', STATE)
    if redis.call('EXISTS', OFFER) == 1 then redis.call('RENAME', OFFER, STATE) end
    redis.call('HSET', META, 'version', int(offered))
  end
  redis.call('DEL', OFFER)
  redis.call('HSET', META, 'settled', run)
  redis.call('PUBLISH', '__HINT__', 'state')
  return true
end

local function live_leases()
  local live = {}
  local all = redis.call('HGETALL', LEASES)
  for i = 1, #all, 2 do
    local expires, json = string.match(all[i + 1], '^(%d+) (.*)$')
    if tonumber(expires) > now then
      live[#live + 1] = json
    else
      redis.call('HDEL', LEASES, all[i])
    end
  end
  return live
end
""".replace("__HINT__", HINT_CHANNEL)

# ARGV: window ms, known incarnation, known version, want members (0/1),
#       instance ("" only reads), lease ms, lease JSON, announce (0/1)
# Returns: incarnation, settled, version, now ms, state (flat, or nil when known), members (or nil)
SYNC = (
    _PRELUDE
    + """
local is_settled = settled(tonumber(ARGV[1]))
if ARGV[5] ~= '' then
  redis.call('HSET', LEASES, ARGV[5], int(now + tonumber(ARGV[6])) .. ' ' .. ARGV[7])
  if ARGV[8] == '1' then redis.call('PUBLISH', '__HINT__', 'members') end
end
local version = meta('version') or '0'
local state = false
if ARGV[2] ~= run or ARGV[3] ~= version then state = redis.call('HGETALL', STATE) end
local members = false
if ARGV[4] == '1' then members = live_leases() end
return {run, is_settled and 1 or 0, version, int(now), state, members}
""".replace("__HINT__", HINT_CHANNEL)
)

# ARGV: window ms, then field, JSON ("" deletes), ...
# Returns: the new version, or -1 while the incarnation is unsettled (nothing was written)
WRITE = (
    _PRELUDE
    + """
if not settled(tonumber(ARGV[1])) then return -1 end
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', STATE, ARGV[i])
  else
    redis.call('HSET', STATE, ARGV[i], int(now) .. ' ' .. ARGV[i + 1])
  end
end
local all = redis.call('HGETALL', STATE)
for i = 1, #all, 2 do
  local kind = string.match(all[i], '^[^/]*')
  if kind == 'fault' or kind == 'eject' or kind == 'overlay' then
    local written, json = string.match(all[i + 1], '^(%d+) (.*)$')
    local ttl_ms = (tonumber(cjson.decode(json)['ttl_s']) or 3) * 1000
    if tonumber(written) + ttl_ms <= now then redis.call('HDEL', STATE, all[i]) end
  end
end
local version = redis.call('HINCRBY', META, 'version', 1)
redis.call('PUBLISH', '__HINT__', 'state')
return version
""".replace("__HINT__", HINT_CHANNEL)
)

# ARGV: window ms, version, then field, age ms, JSON, ...
# Returns: 1 when the incarnation has settled, else 0
TAKE_OFFER = (
    _PRELUDE
    + """
if settled(tonumber(ARGV[1])) then return 1 end
if tonumber(ARGV[2]) > tonumber(meta('offer_version')) then
  redis.call('DEL', OFFER)
  for i = 3, #ARGV, 3 do
    redis.call('HSET', OFFER, ARGV[i], int(now - tonumber(ARGV[i + 1])) .. ' ' .. ARGV[i + 2])
  end
  redis.call('HSET', META, 'offer_version', ARGV[2])
end
return 0
"""
)

# ARGV: instance. Returns 1 when there was a lease.
LEAVE = (
    _PRELUDE
    + """
local had = redis.call('HDEL', LEASES, ARGV[1])
if had == 1 then redis.call('PUBLISH', '__HINT__', 'members') end
return had
""".replace("__HINT__", HINT_CHANNEL)
)
