-- Takes a label back: appends a retraction, and asks the query again, also of the same labeler. A mark as gold that was
-- this label's word goes with it.
-- ARGV: labeler, label id, retraction id.
-- Returns {status, cursor, surplus}: 'stored'; 'repeated', with the first result, also when another retraction came
-- first; 'conflict', the retraction id was used for something else; 'lost', there is no such label of this labeler.
though_full()
local labeler, label, retraction = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', LABELS, retraction)
if known then
  known = cjson.decode(known)
  local same = known.retracts == label and known.labeler == labeler
  return {same and 'repeated' or 'conflict', known.cursor, known.surplus}
end
local target = redis.call('HGET', LABELS, label)
if not target then return {'lost', '', '0'} end
target = cjson.decode(target)
if target.labeler ~= labeler or target.retracts ~= '' then return {'lost', '', '0'} end
if target.retracted_by then
  local first = cjson.decode(redis.call('HGET', LABELS, target.retracted_by))
  return {'repeated', first.cursor, first.surplus}
end
local entry = {id = retraction, query = target.query, labeler = labeler, answer = '', retracts = label,
  surplus = target.surplus, left = target.left, right = target.right, evidence = ''}
return {'stored', take_back(entry, target, now()), target.surplus}
