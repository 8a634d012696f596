-- ARGV: version, payload, cursor in the log up to which it was fitted. Keeps the newest snapshot only, and of the latest
-- 256 that saw more of the log than those before: version, cursor, time.
-- Returns 1 when stored, 0 when the version is not newer.
if tonumber(ARGV[1]) <= tonumber(redis.call('HGET', SNAPSHOT, 'version') or '0') then return 0 end
local at = seconds(now())
redis.call('LTRIM', SNAPSHOTS, -256, -1) -- first, so that a full Redis does not refuse the rest; see common.lua
redis.call('HSET', SNAPSHOT, 'version', ARGV[1], 'payload', ARGV[2], 'at_s', at)

local function place(cursor)
  local ms, number = string.match(cursor, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(number)
end
local last = string.match(redis.call('LINDEX', SNAPSHOTS, -1) or '0 0-0 0', '^%S+ (%S+)')
local ms, number = place(ARGV[3])
local last_ms, last_number = place(last)
if ms > last_ms or (ms == last_ms and number > last_number) then
  redis.call('RPUSH', SNAPSHOTS, ARGV[1] .. ' ' .. ARGV[3] .. ' ' .. at)
  redis.call('LTRIM', SNAPSHOTS, -256, -1)
end
return 1
