-- Uses an invite up and begins a session. ARGV: digest of the invite, digest of the new session.
-- Returns the labeler, or nil when the invite is unknown, used or expired.
local value = redis.call('HGET', prefix .. 'invites', ARGV[1])
if not value then return nil end
redis.call('HDEL', prefix .. 'invites', ARGV[1])
local expires, labeler = string.match(value, '^(%S+) (%S+)$')
local at = now()
if tonumber(expires) < at then return nil end
redis.call('HSET', prefix .. 'sessions', ARGV[2], seconds(at) .. ' ' .. seconds(at) .. ' ' .. labeler)
return labeler
