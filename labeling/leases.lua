-- Prelude of the queue's scripts, after reward_service/common.lua: leases, and what ends the asking of a query.
local LEASES, TOKENS, BEGUN = prefix .. 'leases', prefix .. 'leases:tokens', prefix .. 'leases:begun'
local HELD, ENDED = prefix .. 'leases:held', prefix .. 'leases:ended'
local UNDRAWN = prefix .. 'queries:undrawn'

-- Stops asking a query; false where it is not asked.
local function withdraw(query)
  if field(query, 'state') ~= 'open' then return false end
  redis.call('HSET', query_key(query), 'state', 'withdrawn')
  settle(query)
  return true
end

-- Ends a lease if it is still one. The token stays known for a while, for a late answer.
local function end_lease(token, query, labeler)
  if redis.call('ZREM', LEASES, token) == 0 then return end
  redis.call('HDEL', BEGUN, token)
  redis.call('ZADD', ENDED, seconds(now()), token)
  -- below 0 where a lease began before they were counted
  if redis.call('HINCRBY', HELD, labeler, -1) <= 0 then redis.call('HDEL', HELD, labeler) end
  redis.call('HINCRBY', query_key(query), 'leased', -1)
  if field(query, 'by:' .. labeler) == token then redis.call('HDEL', query_key(query), 'by:' .. labeler) end
end

local function holder(token)
  local value = redis.call('HGET', TOKENS, token)
  if not value then return nil, nil end
  return string.match(value, '^(%S+) (%S+)$')
end

local function forget(token)
  redis.call('HDEL', TOKENS, token)
  redis.call('ZREM', ENDED, token)
end

-- Brings back what lies in nobody's hands any more. What one labeler could not be shown is withdrawn where by its time
-- its answers are not complete and nobody holds it: with one labeler it would wait, and the run with it, for ever.
local function sweep(at)
  for _, token in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', seconds(at), 'LIMIT', 0, 100)) do
    local query, labeler = holder(token)
    end_lease(token, query, labeler)
    count('leases_expired', 1)
    settle(query)
  end
  for _, token in ipairs(redis.call('ZRANGEBYSCORE', ENDED, '-inf', seconds(at - KNOWN_S), 'LIMIT', 0, 100)) do
    forget(token)
  end
  for _, query in ipairs(redis.call('ZRANGEBYSCORE', UNDRAWN, '-inf', seconds(at), 'LIMIT', 0, 100)) do
    if field(query, 'state') ~= 'open' or field(query, 'leased') == '0' then
      redis.call('ZREM', UNDRAWN, query)
      withdraw(query)
    end
  end
end
