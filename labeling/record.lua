-- Adds a point to the history. ARGV: its place (agent steps), JSON, most points to keep. Returns how many there are.
-- Whatever was further on is taken back: the run went on from an older checkpoint. The same point again changes nothing.
-- Points are at least `spacing` apart, the newest excepted. Where they become too many, spacing grows until half remain.
though_full()
local HISTORY, SPACING = prefix .. 'history', prefix .. 'history:spacing'
local at, most = tonumber(ARGV[1]), tonumber(ARGV[3])
local function place(point) return point and tonumber(string.match(point, '^%S+')) end

while (place(redis.call('LINDEX', HISTORY, -1)) or -1) >= at do redis.call('RPOP', HISTORY) end
local spacing = tonumber(redis.call('GET', SPACING) or '0')
local before, last = place(redis.call('LINDEX', HISTORY, -2)), place(redis.call('LINDEX', HISTORY, -1))
if before and last - before < spacing then redis.call('RPOP', HISTORY) end
redis.call('RPUSH', HISTORY, ARGV[1] .. ' ' .. ARGV[2])

local count = redis.call('LLEN', HISTORY)
if count <= most then return count end
local points = redis.call('LRANGE', HISTORY, 0, -1)
spacing = (at - place(points[1])) / (most / 2)
redis.call('SET', SPACING, string.format('%.17g', spacing))
local kept, at_last = {}, nil
for index, point in ipairs(points) do
  if not at_last or index == #points or place(point) - at_last >= spacing then
    kept[#kept + 1] = point
    at_last = place(point)
  end
end
redis.call('DEL', HISTORY)
for _, point in ipairs(kept) do redis.call('RPUSH', HISTORY, point) end
return #kept
