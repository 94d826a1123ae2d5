"""The counter's Lua scripts: an effect and what is remembered of it, in one step.

A like with an idempotency key must leave both its effect and its answer, or neither; a crash
between two writes would make the repeat a second like or lose the answer. So both are one script.
The record begins ``in_flight``: the script has run, and nobody knows yet whether a second node has
it. The client that proved it (the write was ACKNOWLEDGED) marks it ``done``. A repeat that finds an
old ``in_flight`` record renews it, which is a write of its own, and by that proves it.
Source: Brandur Leach, "Implementing Stripe-like Idempotency Keys in Postgres" (recovery points);
draft-ietf-httpapi-idempotency-key-header (409 while in flight, 422 for another payload).
"""

from shard.script import Script

ADD_LIKE = Script(
    """
    -- KEYS: likers, views, and with an idempotency key: record
    -- ARGV: account, fingerprint, seconds to keep the record, milliseconds it counts as in flight
    -- returns: status, likes, views, liked_now, milliseconds to wait
    local now_ms = 0
    if KEYS[3] then
        local time = redis.call('TIME')
        now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
        local kept = redis.call('HMGET', KEYS[3],
            'fingerprint', 'state', 'at_ms', 'likes', 'views', 'liked_now')
        if kept[1] then
            if kept[1] ~= ARGV[2] then
                return {'reused', 0, 0, 0, 0}
            end
            if kept[2] == 'done' then
                return {'kept', kept[4], kept[5], kept[6], 0}
            end
            local age_ms = now_ms - kept[3]
            local limit_ms = tonumber(ARGV[4])
            -- below 0: the clock is another node's since a failover
            if age_ms >= 0 and age_ms < limit_ms then
                return {'in_flight', 0, 0, 0, limit_ms - age_ms}
            end
            redis.call('HSET', KEYS[3], 'at_ms', now_ms)
            return {'renewed', kept[4], kept[5], kept[6], 0}
        end
    end
    local liked_now = redis.call('SADD', KEYS[1], ARGV[1])
    local likes = redis.call('SCARD', KEYS[1])
    local views = redis.call('GET', KEYS[2]) or '0'
    if KEYS[3] then
        redis.call('HSET', KEYS[3], 'fingerprint', ARGV[2], 'state', 'in_flight', 'at_ms', now_ms,
            'likes', likes, 'views', views, 'liked_now', liked_now)
        redis.call('EXPIRE', KEYS[3], ARGV[3])
    end
    return {'added', likes, views, liked_now, 0}
    """
)

ADD_VIEW = Script(
    """
    -- KEYS: views, likers; returns: views, likes
    return {redis.call('INCR', KEYS[1]), redis.call('SCARD', KEYS[2])}
    """
)
