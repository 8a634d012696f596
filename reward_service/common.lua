-- Prelude of every script: key names and the transitions that several scripts share.
-- KEYS[1] is the run's prefix, "twoclips:<run>:". All other keys are derived from it, which one Redis node allows;
-- the service promises nothing beyond one node. The schema is the comment at the top of database.py.
local prefix = KEYS[1]
local CLIPS, DROPPABLE, REFS = prefix .. 'clips', prefix .. 'clips:droppable', prefix .. 'clips:refs'
local OPEN, PENDING = prefix .. 'queries:open', prefix .. 'queries:pending'
local LABELS, LOG, COUNTERS = prefix .. 'labels', prefix .. 'log', prefix .. 'counters'
local SNAPSHOT, SNAPSHOTS, STATUS = prefix .. 'snapshot', prefix .. 'snapshots', prefix .. 'status'
local PRACTICE = prefix .. 'practice'

local function clip_key(id) return prefix .. 'clip:' .. id end
local function query_key(id) return prefix .. 'query:' .. id end

-- tostring() would round seconds since the epoch to a tenth of a millisecond
local function seconds(x) return string.format('%.6f', x) end
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1e6
end

local function count(name, by) return redis.call('HINCRBY', COUNTERS, name, by) end
local function counter(name) return tonumber(redis.call('HGET', COUNTERS, name) or '0') end

-- A query names the clip, or the practice does: it can no longer be dropped.
local function hold(clip)
  redis.call('HINCRBY', REFS, clip, 1)
  if redis.call('ZREM', DROPPABLE, clip) == 1 then
    count('droppable_bytes', -redis.call('STRLEN', clip_key(clip)))
  end
end

-- A query without any label no longer names the clip.
local function release(clip)
  if redis.call('HINCRBY', REFS, clip, -1) > 0 then return end
  redis.call('HDEL', REFS, clip)
  local arrival = redis.call('ZSCORE', CLIPS, clip)
  if arrival then
    redis.call('ZADD', DROPPABLE, arrival, clip)
    count('droppable_bytes', redis.call('STRLEN', clip_key(clip)))
  end
end

-- Stores a clip within `budget` bytes. 1: it is there now. 0: refused, since all that is stored is named by queries.
local function put_clip(id, blob, budget)
  local key, arrival = clip_key(id), count('clip_arrivals', 1)
  if redis.call('EXISTS', key) == 1 then
    redis.call('ZADD', CLIPS, arrival, id)
    redis.call('ZADD', DROPPABLE, 'XX', arrival, id)
    return 1
  end
  local bytes = counter('clip_bytes')
  if bytes - counter('droppable_bytes') + #blob > budget then
    count('clips_refused', 1)
    return 0
  end
  while bytes + #blob > budget do
    local oldest = redis.call('ZPOPMIN', DROPPABLE)[1]
    local size = redis.call('STRLEN', clip_key(oldest))
    redis.call('DEL', clip_key(oldest))
    redis.call('ZREM', CLIPS, oldest)
    count('droppable_bytes', -size)
    count('clips_dropped', 1)
    bytes = count('clip_bytes', -size)
  end
  redis.call('SET', key, blob)
  redis.call('ZADD', CLIPS, arrival, id)
  count('clip_bytes', #blob)
  if redis.call('HEXISTS', REFS, id) == 0 then -- a late answer may name a clip that had been dropped
    redis.call('ZADD', DROPPABLE, arrival, id)
    count('droppable_bytes', #blob)
  end
  return 1
end

-- Appends one version of a label to the log and remembers it under its id. `entry` has id, query, labeler, answer
-- ('' for a retraction), retracts, surplus ('0' or '1'), left, right, evidence (JSON or ''). Returns its cursor.
local function append(entry, at)
  local cursor = redis.call('XADD', LOG, '*', 'id', entry.id, 'query', entry.query, 'labeler', entry.labeler,
    'answer', entry.answer, 'retracts', entry.retracts, 'at', seconds(at), 'surplus', entry.surplus,
    'left', entry.left, 'right', entry.right, 'evidence', entry.evidence)
  entry.cursor = cursor
  entry.evidence = nil -- the log has it; what answers a repeated call need not
  redis.call('HSET', LABELS, entry.id, cjson.encode(entry))
  if entry.retracts ~= '' then
    count('retractions', 1)
  elseif entry.surplus == '1' then
    count('labels_surplus', 1)
  end
  if entry.surplus == '0' then
    local by = 1
    local answer = entry.answer
    if entry.retracts ~= '' then
      by = -1
      answer = cjson.decode(redis.call('HGET', LABELS, entry.retracts)).answer
    end
    count('labels', by)
    if answer == 'incomparable' then count('labels_incomparable', by) end
  end
  return cursor
end
