-- Ends a lease before its time. ARGV: token, labeler. Returns 1, or 0 when it is over or somebody else's.
local query, owner = holder(ARGV[1])
if owner ~= ARGV[2] or not redis.call('ZSCORE', LEASES, ARGV[1]) then return 0 end
end_lease(ARGV[1], query, owner)
settle(query)
return 1
