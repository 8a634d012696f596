-- Remembers an invite. ARGV: its digest, labeler, lifetime in seconds. Returns 1.
redis.call('HSET', prefix .. 'invites', ARGV[1], seconds(now() + tonumber(ARGV[3])) .. ' ' .. ARGV[2])
return 1
