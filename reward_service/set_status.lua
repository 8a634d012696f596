-- ARGV: component, JSON object. Stored with the server's time before it, so that clocks need not agree.
redis.call('LTRIM', SNAPSHOTS, -256, -1) -- first, so that a full Redis does not refuse the rest; see common.lua
redis.call('HSET', STATUS, ARGV[1], seconds(now()) .. ' ' .. ARGV[2])
return 1
