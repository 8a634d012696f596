-- Takes in one version of a label from another run; its clips are stored in the same transaction.
-- ARGV: query id, left clip, right clip, label id, labeler, answer ('' for a retraction), retracts, answered at,
--       surplus ('0' or '1'), evidence, gold ('', 'left' or 'right').
-- Returns {status, cursor}: 'stored', 'repeated', 'conflict' (the id is used for something else, or what is retracted
-- is not here), 'full' (a clip was refused, since Redis is full).
--
-- A query that is not here is made, with the overlap 0: all that counted where it was asked counts, and nobody is asked.
-- One that is here (ids follow from the clips, and two runs of one seed act alike) has been asked in this run, or will
-- be: a label that it has no room for is kept as surplus, and the rest is as if it had been answered here. Whose labeler
-- has a label on it that stands is surplus in any case: a name is one labeler, whatever the run.
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
if redis.call('EXISTS', clip_key(left), clip_key(right)) < 2 then return {'full', ''} end
if entry.retracts ~= '' then
  local target = redis.call('HGET', LABELS, entry.retracts)
  if not target then return {'conflict', ''} end
  target = cjson.decode(target)
  if target.retracted_by or target.retracts ~= '' or target.query ~= id then return {'conflict', ''} end
  entry.surplus = target.surplus
  return {'stored', take_back(entry, target, tonumber(ARGV[8]))}
end
if not sides[1] then
  redis.call('HSET', key, 'left', left, 'right', right, 'disagreement', 'nan', 'reward_version', 0, 'priority', 0,
    'asked_at_s', ARGV[8], 'gold', ARGV[11], 'overlap', 0, 'state', 'done', 'counted', 0, 'leased', 0, 'kept', 0,
    'held', 1)
  hold(left)
  hold(right)
  count('queries', 1)
end
local overlap = overlap_of(id)
if has_answered(id, entry.labeler) or (overlap > 0 and tonumber(field(id, 'counted')) >= overlap) then
  entry.surplus = '1'
end
return {'stored', take_in(entry, tonumber(ARGV[8]))}
