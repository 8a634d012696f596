-- Uses an invite up and begins a session. ARGV: digest of the invite, digest of the new session.
-- Returns the labeler, or nil when the invite is unknown, used or expired.
local value = redis.call('HGET', prefix .. 'invites', ARGV[1])
if not value then return nil end
redis.call('HDEL', prefix .. 'invites', ARGV[1])
local expires, labeler, role = string.match(value, '^(%S+) (%S+) ?(%S*)$') -- before there were roles there was none
local at = now()
if tonumber(expires) < at then return nil end
local session = seconds(at) .. ' ' .. seconds(at) .. ' ' .. labeler .. ' ' .. role
redis.call('HSET', prefix .. 'sessions', ARGV[2], session)
return labeler
