-- Prelude of the queue's scripts, after reward_service/common.lua: leases, and when a query may be asked.
local LEASES, TOKENS, BEGUN = prefix .. 'leases', prefix .. 'leases:tokens', prefix .. 'leases:begun'
local HELD, ENDED = prefix .. 'leases:held', prefix .. 'leases:ended'
local KNOWN_S = 7 * 86400 -- that a token stays known after its lease has ended unanswered: longer nobody is offline
local WITHDRAWN_S = 2 * KNOWN_S -- that a query is kept which was withdrawn and has no label: no token names it longer
local UNDRAWN = prefix .. 'queries:undrawn'

local function field(query, name) return redis.call('HGET', query_key(query), name) end
local function overlap_of(query) return tonumber(field(query, 'overlap') or '1') end

-- In the queue exactly while more answers are wanted than there are labels and leases; gives back a withdrawn query's
-- clips, and in a while the query, once nobody holds it and no label names it. What is asked of one labeler only never
-- waits: see gold.lua.
local function settle(query)
  local v = redis.call('HMGET', query_key(query), 'state', 'counted', 'leased', 'kept', 'held', 'priority', 'left',
    'right', 'only')
  local counted, leased, overlap = tonumber(v[2]), tonumber(v[3]), overlap_of(query)
  if v[9] and counted + leased == 0 then
    v[1] = 'withdrawn'
    redis.call('HSET', query_key(query), 'state', 'withdrawn')
  end
  if v[1] == 'open' and counted >= overlap then
    v[1] = 'done'
    redis.call('HSET', query_key(query), 'state', 'done')
  elseif v[1] == 'done' and counted < overlap then
    v[1] = 'open'
    redis.call('HSET', query_key(query), 'state', 'open')
  end
  redis.call(v[1] == 'open' and 'SADD' or 'SREM', PENDING, query)
  if v[1] == 'open' and counted + leased < overlap then
    redis.call('ZADD', OPEN, v[6], query)
  else
    redis.call('ZREM', OPEN, query)
  end
  if v[1] == 'withdrawn' and leased == 0 and v[4] == '0' and v[5] == '1' then
    redis.call('HSET', query_key(query), 'held', 0)
    redis.call('EXPIRE', query_key(query), WITHDRAWN_S)
    release(v[7])
    release(v[8])
  end
end

-- Holds a query's clips once more where they had been given back, and keeps the query itself.
local function hold_again(query, left, right)
  if field(query, 'held') ~= '0' then return end
  redis.call('HSET', query_key(query), 'held', 1)
  redis.call('PERSIST', query_key(query))
  hold(left)
  hold(right)
end

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
