-- Gives queries that wait what a newer reward model makes of them, and stops asking the stale ones.
-- ARGV: reward version, then for each query: its id, its disagreement, '1' to withdraw it or '0'. Of a gold query,
-- whose worth is not its disagreement, only the place is changed, and it is never withdrawn.
-- Returns for each 'ranked', 'withdrawn' or 'left': left as it is, since it is unknown, in somebody's hands or
-- answered. What this version, or a newer one, has scored already is not changed: the call may be repeated.
--
-- Timeline: the actor reads what waits, a labeler claims one of them, the actor writes: that one is left.
though_full()
local version = tonumber(ARGV[1])
local results = {}
for at = 2, #ARGV, 3 do
  local query, key = ARGV[at], query_key(ARGV[at])
  local v = redis.call('HMGET', key, 'state', 'leased', 'kept', 'reward_version', 'gold')
  local result = 'left'
  if v[1] then
    local is_gold = v[5] and v[5] ~= ''
    if tonumber(v[4]) >= version then
      if v[1] == 'open' then result = 'ranked' elseif v[1] == 'withdrawn' then result = 'withdrawn' end
    elseif v[1] == 'open' and v[2] == '0' and v[3] == '0' then
      redis.call('HSETNX', key, 'asked_version', v[4])
      redis.call('HSET', key, 'priority', ARGV[at + 1], 'reward_version', version)
      if not is_gold then redis.call('HSET', key, 'disagreement', ARGV[at + 1]) end
      result = 'ranked'
      if ARGV[at + 2] == '1' and not is_gold then
        redis.call('HSET', key, 'state', 'withdrawn')
        result = 'withdrawn'
      end
      settle(query)
    end
  end
  results[#results + 1] = result
end
return results
