-- Appends an answer to the log and ends its lease.
-- ARGV: token, query, labeler, label id, answer, evidence.
-- Returns {status, cursor, surplus}: 'stored'; 'repeated', with the first result; 'conflict', the label id was used for
-- something else; 'lost', the token was never given for this, or was used up.
--
-- Timelines: (a) the reply is lost, the browser sends again: the label id is known, the first result is returned.
-- (b) the lease expires, another labeler answers, the first one's answer arrives late: it is kept, as surplus.
-- (c) the lease expires, the same labeler holds the query again, the first answer arrives: it counts, and ends the
-- second lease with it, so that the second answer finds its token gone.
though_full()
local token, query, labeler, label, answer = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local known = redis.call('HGET', LABELS, label)
if known then
  known = cjson.decode(known)
  local same = known.query == query and known.labeler == labeler and known.answer == answer
  return {same and 'repeated' or 'conflict', known.cursor, known.surplus}
end
local held, owner = holder(token)
if held ~= query or owner ~= labeler or not field(query, 'state') then return {'lost', '', '0'} end
end_lease(token, query, labeler)
forget(token)

local v = redis.call('HMGET', query_key(query), 'state', 'counted', 'left', 'right', 'by:' .. labeler)
local by, answered = v[5], has_answered(query, labeler)
local surplus = v[1] == 'withdrawn' or tonumber(v[2]) >= overlap_of(query) or answered
if by and not answered then
  end_lease(by, query, labeler)
  forget(by)
end
local entry = {id = label, query = query, labeler = labeler, answer = answer, retracts = '',
  surplus = surplus and '1' or '0', left = v[3], right = v[4], evidence = ARGV[6]}
return {'stored', take_in(entry, now()), entry.surplus}
