-- Remembers an invite. ARGV: its digest, labeler, lifetime in seconds, role. Returns 1.
though_full()
redis.call('HSET', prefix .. 'invites', ARGV[1], seconds(now() + tonumber(ARGV[3])) .. ' ' .. ARGV[2] .. ' ' .. ARGV[4])
return 1
