-- Puts a query into the queue.
-- ARGV: query id, left clip, right clip, disagreement, reward version, priority, gold ('', 'left', 'right'), overlap.
-- Returns 1 when it is queued, 2 when it was there before, asked still or not, 0 when a clip is missing or the id names
-- another pair.
though_full()
local id, left, right = ARGV[1], ARGV[2], ARGV[3]
local key = query_key(id)
if redis.call('EXISTS', key) == 1 then
  local sides = redis.call('HMGET', key, 'left', 'right')
  return (sides[1] == left and sides[2] == right) and 2 or 0
end
if redis.call('EXISTS', clip_key(left), clip_key(right)) < 2 then
  count('queries_refused', 1)
  return 0
end
redis.call('HSET', key, 'left', left, 'right', right, 'disagreement', ARGV[4], 'reward_version', ARGV[5],
  'priority', ARGV[6], 'asked_at_s', seconds(now()), 'gold', ARGV[7], 'overlap', ARGV[8],
  'state', 'open', 'counted', 0, 'leased', 0, 'kept', 0, 'held', 1)
hold(left)
hold(right)
redis.call('ZADD', OPEN, ARGV[6], id)
redis.call('SADD', PENDING, id)
count('queries', 1)
return 1
