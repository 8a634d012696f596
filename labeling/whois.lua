-- Whose a session is, which is seen thereby if a person has done something. ARGV: its digest, idle and absolute lifetime
-- in seconds, whether somebody did ('1', or '0' where a page asks by itself).
-- Returns {labeler, role}, or nil when the session is unknown, over or revoked.
local value = redis.call('HGET', prefix .. 'sessions', ARGV[1])
if not value then return nil end
local begun, seen, labeler, role = string.match(value, '^(%S+) (%S+) (%S+) (%S+)$')
local at = now()
if at - tonumber(seen) > tonumber(ARGV[2]) or at - tonumber(begun) > tonumber(ARGV[3]) then
  redis.call('HDEL', prefix .. 'sessions', ARGV[1])
  return nil
end
if redis.call('SISMEMBER', prefix .. 'labelers:revoked', labeler) == 1 then return nil end
-- at human speed a write each minute is enough, and reading stays cheap
if ARGV[4] == '1' and at - tonumber(seen) > 60 then
  local session = begun .. ' ' .. seconds(at) .. ' ' .. labeler .. ' ' .. role
  though_full()
  redis.call('HSET', prefix .. 'sessions', ARGV[1], session)
end
return {labeler, role}
