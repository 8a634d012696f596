-- Stops asking a query. ARGV: query, overlap. Returns 1, or 0 when it is unknown, answered or withdrawn already.
if field(ARGV[1], 'state') ~= 'open' then return 0 end
redis.call('HSET', query_key(ARGV[1]), 'state', 'withdrawn')
settle(ARGV[1], tonumber(ARGV[2]))
return 1
