"""The video service's Lua scripts: steps of a write that may be taken again and always prove.

A write takes several steps on several shards, and any of them may end unproven. So each step may be
repeated without harm, and each repeat is a write again: the WAIT behind it proves what came before
(a script that changes nothing is not replicated, and its WAIT would prove nothing).
Source: Brandur Leach, "Implementing Stripe-like Idempotency Keys in Postgres" (recovery points).
"""

from shard.script import Script

CLAIM = Script(
    """
    -- KEYS: claim; ARGV: what is claimed, seconds to keep it
    -- returns: what is claimed under this key, ours or an earlier one
    local kept = redis.call('GET', KEYS[1])
    redis.call('SET', KEYS[1], kept or ARGV[1], 'EX', ARGV[2])
    return kept or ARGV[1]
    """
)

ADD = Script(
    """
    -- KEYS: video; ARGV: its record
    -- keeps what is there: somebody may have changed it since the first time
    redis.call('SET', KEYS[1], redis.call('GET', KEYS[1]) or ARGV[1])
    return 1
    """
)

EDIT = Script(
    """
    -- KEYS: video, and with an idempotency key: record
    -- ARGV: new video, its revision, fingerprint, seconds to keep the record
    -- returns: status, video
    if KEYS[2] then
        local kept = redis.call('HMGET', KEYS[2], 'fingerprint', 'video')
        if kept[1] then
            if kept[1] ~= ARGV[3] then
                return {'reused', ''}
            end
            redis.call('EXPIRE', KEYS[2], ARGV[4])
            return {'kept', kept[2]}
        end
    end
    local current = redis.call('GET', KEYS[1])
    if not current or (cjson.decode(current).revision or 0) + 1 ~= tonumber(ARGV[2]) then
        return {'changed', ''}
    end
    redis.call('SET', KEYS[1], ARGV[1])
    if KEYS[2] then
        redis.call('HSET', KEYS[2], 'fingerprint', ARGV[3], 'video', ARGV[1])
        redis.call('EXPIRE', KEYS[2], ARGV[4])
    end
    return {'written', ARGV[1]}
    """
)

LIST = Script(
    """
    -- KEYS: newest; ARGV: id, record, its revision
    -- returns: 1, or 0 when a later revision is listed already
    for _, listed in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[1], 'BYSCORE')) do
        if (cjson.decode(listed).revision or 0) > tonumber(ARGV[3]) then
            return 0
        end
        redis.call('ZREM', KEYS[1], listed)
    end
    redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
    return 1
    """
)
