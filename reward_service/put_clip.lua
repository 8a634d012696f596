-- ARGV: clip id, encoded clip, budget in bytes. Returns 1 when the clip is stored, 0 when it is refused.
return put_clip(ARGV[1], ARGV[2], tonumber(ARGV[3]))
