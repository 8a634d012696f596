-- Gives the most wanted query that this labeler has not `seen`, after sweeping back expired leases.
-- ARGV: labeler, lease in seconds, token made by the caller, '1' for a marked gold pair first, if there is one, most
-- leases of this labeler at a time (0: any number).
-- Returns {query, left, right, deadline}, or nil. The same token again gives the same query again.
though_full()
local labeler, lease_s, token = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local at = now()

local function answer(query, deadline)
  return {query, field(query, 'left'), field(query, 'right'), seconds(deadline)}
end

local deadline = redis.call('ZSCORE', LEASES, token)
if deadline then
  local query, owner = holder(token)
  if owner ~= labeler then return nil end
  return answer(query, tonumber(deadline))
end
sweep(at)
local most = tonumber(ARGV[5])
if most > 0 and tonumber(redis.call('HGET', HELD, labeler) or '0') >= most then return nil end
local function lease(query)
  redis.call('HSET', query_key(query), 'by:' .. labeler, token)
  redis.call('HINCRBY', query_key(query), 'leased', 1)
  redis.call('HINCRBY', HELD, labeler, 1)
  redis.call('HSET', TOKENS, token, query .. ' ' .. labeler)
  redis.call('ZREM', ENDED, token) -- which may have been good for another lease before
  redis.call('HSET', BEGUN, token, seconds(at))
  redis.call('ZADD', LEASES, seconds(at + lease_s), token)
  settle(query)
  return answer(query, at + lease_s)
end
local gold = ARGV[4] == '1' and gold_query(labeler, at)
if gold then return lease(gold) end
local start, page = 0, 64
while true do
  local queries = redis.call('ZREVRANGE', OPEN, start, start + page - 1)
  for _, query in ipairs(queries) do
    if not seen(query, labeler) then return lease(query) end
  end
  if #queries < page then return nil end
  start = start + page
end
