-- Extends a lease. ARGV: token, labeler, lease in seconds. Returns the new deadline, or nil when the lease is over.
though_full()
local _, owner = holder(ARGV[1])
if owner ~= ARGV[2] or not redis.call('ZSCORE', LEASES, ARGV[1]) then return nil end
local deadline = seconds(now() + tonumber(ARGV[3]))
redis.call('ZADD', LEASES, deadline, ARGV[1])
return deadline
