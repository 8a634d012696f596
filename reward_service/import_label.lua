-- Takes in one version of a label from another run, as it was there; its clips are stored in the same transaction.
-- ARGV: query id, left clip, right clip, label id, labeler, answer ('' for a retraction), retracts, answered at,
--       surplus ('0' or '1'), evidence, gold ('', 'left' or 'right').
-- Returns {status, cursor}: 'stored', 'repeated', 'conflict' (the id is used for something else, or what is retracted
-- is not here).
local id, left, right = ARGV[1], ARGV[2], ARGV[3]
local entry = {id = ARGV[4], query = id, labeler = ARGV[5], answer = ARGV[6], retracts = ARGV[7], surplus = ARGV[9],
  left = left, right = right, evidence = ARGV[10]}
local key = query_key(id)
local known = redis.call('HGET', LABELS, entry.id)
if known then
  known = cjson.decode(known)
  local same = known.query == id and known.labeler == entry.labeler and known.answer == entry.answer
    and known.retracts == entry.retracts
  return {same and 'repeated' or 'conflict', known.cursor}
end
local sides = redis.call('HMGET', key, 'left', 'right')
if sides[1] and (sides[1] ~= left or sides[2] ~= right) then return {'conflict', ''} end
local target
if entry.retracts ~= '' then
  target = redis.call('HGET', LABELS, entry.retracts)
  if not target then return {'conflict', ''} end
  target = cjson.decode(target)
  if target.retracted_by then return {'conflict', ''} end
  entry.surplus = target.surplus
end
if not sides[1] then
  redis.call('HSET', key, 'left', left, 'right', right, 'disagreement', 'nan', 'reward_version', 0, 'priority', 0,
    'asked_at_s', ARGV[8], 'gold', ARGV[11], 'overlap', 1, 'state', 'done', 'counted', 0, 'leased', 0, 'kept', 0,
    'held', 1)
  hold(left)
  hold(right)
  count('queries', 1)
end
local by = 'by:' .. entry.labeler
if target then
  target.retracted_by = entry.id
  redis.call('HSET', LABELS, target.id, cjson.encode(target))
  if redis.call('HGET', key, by) == 'label:' .. target.id then redis.call('HDEL', key, by) end
  if entry.surplus == '0' then redis.call('HINCRBY', key, 'counted', -1) end
else
  redis.call('HINCRBY', key, 'kept', 1)
  if entry.surplus == '0' then
    redis.call('HINCRBY', key, 'counted', 1)
    redis.call('HSET', key, by, 'label:' .. entry.id)
  end
end
return {'stored', append(entry, tonumber(ARGV[8]))}
