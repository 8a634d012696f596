-- Stops asking a query. ARGV: query. Returns 1, or 0 when it is unknown, answered or withdrawn already.
though_full()
return withdraw(ARGV[1]) and 1 or 0
