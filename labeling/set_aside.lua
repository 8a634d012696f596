-- Takes a query away from the labeler who holds it and cannot be shown it: it is not asked of them again. Of nobody any
-- more once a second labeler says the same; `sweep` sees to it too, where its answers are not complete in time.
-- ARGV: token, labeler, seconds until then. Returns 1, or 0 when the lease is over or somebody else's.
though_full()
local token, labeler = ARGV[1], ARGV[2]
local query, owner = holder(token)
if owner ~= labeler or not redis.call('ZSCORE', LEASES, token) then return 0 end
end_lease(token, query, labeler)
redis.call('HSET', query_key(query), 'by:' .. labeler, 'undrawn')
if redis.call('ZADD', UNDRAWN, 'NX', seconds(now() + tonumber(ARGV[3])), query) == 0 then withdraw(query) end
settle(query)
return 1
