-- Uses an invite up and begins a session. ARGV: digest of the invite, digest of the new session, seconds.
-- Returns the labeler, or nil when the invite is unknown, used or expired.
-- Timeline: the reply is lost, the browser sends the same again, which makes the same session: that one is there, and is
-- given again for so many seconds.
though_full()
local value, at = redis.call('HGET', prefix .. 'invites', ARGV[1]), now()
if not value then
  local session = redis.call('HGET', prefix .. 'sessions', ARGV[2])
  local begun, labeler = string.match(session or '', '^(%S+) %S+ (%S+)')
  return begun and at - tonumber(begun) <= tonumber(ARGV[3]) and labeler or nil
end
redis.call('HDEL', prefix .. 'invites', ARGV[1])
local expires, labeler, role = string.match(value, '^(%S+) (%S+) (%S+)$')
if tonumber(expires) < at then return nil end
local session = seconds(at) .. ' ' .. seconds(at) .. ' ' .. labeler .. ' ' .. role
redis.call('HSET', prefix .. 'sessions', ARGV[2], session)
return labeler
