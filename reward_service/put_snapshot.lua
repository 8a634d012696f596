-- ARGV: version, payload. Keeps the newest snapshot only. Returns 1 when stored, 0 when the version is not newer.
if tonumber(ARGV[1]) <= tonumber(redis.call('HGET', SNAPSHOT, 'version') or '0') then return 0 end
redis.call('HSET', SNAPSHOT, 'version', ARGV[1], 'payload', ARGV[2], 'at_s', seconds(now()))
return 1
