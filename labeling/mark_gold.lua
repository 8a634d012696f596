-- Marks the pair of a query as gold, or no longer: what this labeler answered is known to be right.
-- ARGV: labeler, query, '1' to mark or '0'. Returns the better side; '' where it is marked no longer, or was not; nil
-- where the labeler has no standing answer that names a side, or the query asks a marked pair again itself.
though_full()
local labeler, query = ARGV[1], ARGV[2]
if ARGV[3] == '0' then
  redis.call('HDEL', GOLD, query)
  return ''
end
local v = redis.call('HMGET', query_key(query), 'by:' .. labeler, 'only')
local label = v[1] and string.match(v[1], '^label:(.+)$')
if not label or v[2] then return nil end
local answer = cjson.decode(redis.call('HGET', LABELS, label)).answer
if answer ~= 'left' and answer ~= 'right' then return nil end
redis.call('HSET', GOLD, query, label)
return answer
