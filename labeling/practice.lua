-- Keeps the run's practice pairs, unless it has some: later calls, with whatever clips, change nothing.
-- ARGV: the better and the worse clip of each pair. Returns what is kept, in this order; nothing where a clip is not
-- stored (any more) or a query names it.
though_full()
if redis.call('EXISTS', PRACTICE) == 0 then
  for _, clip in ipairs(ARGV) do
    if redis.call('EXISTS', clip_key(clip)) == 0 or redis.call('HEXISTS', REFS, clip) == 1 then return {} end
  end
  for _, clip in ipairs(ARGV) do
    redis.call('RPUSH', PRACTICE, clip)
    hold(clip)
  end
end
return redis.call('LRANGE', PRACTICE, 0, -1)
