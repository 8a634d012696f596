-- Stops asking a query. ARGV: query, overlap. Returns 1, or 0 when it is unknown, answered or withdrawn already.
return withdraw(ARGV[1], tonumber(ARGV[2])) and 1 or 0
