-- Prelude of every script: key names and the transitions that several scripts share.
-- KEYS[1] is the run's prefix, "twoclips:<run>:". All other keys are derived from it, which one Redis node allows;
-- the service promises nothing beyond one node. The schema is the comment at the top of database.py.
local prefix = KEYS[1]
local CLIPS, DROPPABLE, REFS = prefix .. 'clips', prefix .. 'clips:droppable', prefix .. 'clips:refs'
local OPEN, PENDING = prefix .. 'queries:open', prefix .. 'queries:pending'
local LABELS, LOG, COUNTERS = prefix .. 'labels', prefix .. 'log', prefix .. 'counters'
local SNAPSHOT, SNAPSHOTS, STATUS = prefix .. 'snapshot', prefix .. 'snapshots', prefix .. 'status'
local PRACTICE, GOLD = prefix .. 'practice', prefix .. 'gold'
local KNOWN_S = 7 * 86400 -- that a token stays known after its lease has ended unanswered: longer nobody is offline
local WITHDRAWN_S = 2 * KNOWN_S -- that a query is kept which was withdrawn and has no label: no token names it longer

local function clip_key(id) return prefix .. 'clip:' .. id end
local function query_key(id) return prefix .. 'query:' .. id end

-- A Redis whose `maxmemory` is reached refuses a script at the first command that may take memory (deny-oom), unless the
-- script has written before: then it lets it go on. Clips are to be refused then, labels and what belongs to them are
-- not: whoever calls this first writes, and changes nothing.
local function though_full() redis.call('HDEL', LABELS, '') end

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

-- Stores a clip within `budget` bytes. 1: it is there now. 0: refused, since all that is stored is named by queries, or
-- Redis itself is full.
local function put_clip(id, blob, budget)
  local key, arrival = clip_key(id), redis.pcall('HINCRBY', COUNTERS, 'clip_arrivals', 1)
  if type(arrival) == 'table' then
    if not string.find(arrival.err, 'OOM', 1, true) then return arrival end
    though_full()
    count('clips_refused', 1)
    return 0
  end
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

local function field(query, name) return redis.call('HGET', query_key(query), name) end
local function overlap_of(query) return tonumber(field(query, 'overlap') or '1') end

-- In the queue exactly while more answers are wanted than there are labels and leases; gives back a withdrawn query's
-- clips, and in a while the query, once nobody holds it and no label names it. What is asked of one labeler only never
-- waits: see gold.lua.
local function settle(query)
  local v = redis.call('HMGET', query_key(query), 'state', 'counted', 'leased', 'kept', 'held', 'priority', 'left',
    'right', 'only')
  local counted, leased, overlap = tonumber(v[2]), tonumber(v[3]), overlap_of(query)
  if v[9] and counted + leased == 0 then
    v[1] = 'withdrawn'
    redis.call('HSET', query_key(query), 'state', 'withdrawn')
  end
  if v[1] == 'open' and counted >= overlap then
    v[1] = 'done'
    redis.call('HSET', query_key(query), 'state', 'done')
  elseif v[1] == 'done' and counted < overlap then
    v[1] = 'open'
    redis.call('HSET', query_key(query), 'state', 'open')
  end
  redis.call(v[1] == 'open' and 'SADD' or 'SREM', PENDING, query)
  if v[1] == 'open' and counted + leased < overlap then
    redis.call('ZADD', OPEN, v[6], query)
  else
    redis.call('ZREM', OPEN, query)
  end
  if v[1] == 'withdrawn' and leased == 0 and v[4] == '0' and v[5] == '1' then
    redis.call('HSET', query_key(query), 'held', 0)
    redis.call('EXPIRE', query_key(query), WITHDRAWN_S)
    release(v[7])
    release(v[8])
  end
end

-- Holds a query's clips once more where they had been given back, and keeps the query itself.
local function hold_again(query, left, right)
  if field(query, 'held') ~= '0' then return end
  redis.call('HSET', query_key(query), 'held', 1)
  redis.call('PERSIST', query_key(query))
  hold(left)
  hold(right)
end

-- Whether this labeler has a label on the query that stands.
local function has_answered(query, labeler)
  return string.sub(field(query, 'by:' .. labeler) or '', 1, 6) == 'label:'
end

-- An answer enters the log and its query; `entry` as in `append`. Returns its cursor.
local function take_in(entry, at)
  local key = query_key(entry.query)
  if not has_answered(entry.query, entry.labeler) then
    redis.call('HSET', key, 'by:' .. entry.labeler, 'label:' .. entry.id)
  end
  if entry.surplus == '0' then redis.call('HINCRBY', key, 'counted', 1) end
  redis.call('HINCRBY', key, 'kept', 1)
  hold_again(entry.query, entry.left, entry.right)
  local query, cursor = entry.query, append(entry, at)
  settle(query)
  return cursor
end

-- A retraction enters the log, and its `target`, the label as LABELS has it, stands no longer; nor does a mark as gold
-- that was its word. The query may be asked again. Returns the cursor.
local function take_back(entry, target, at)
  local query, key, label = target.query, query_key(target.query), target.id
  if redis.call('HGET', GOLD, query) == label then redis.call('HDEL', GOLD, query) end
  if field(query, 'by:' .. target.labeler) == 'label:' .. label then redis.call('HDEL', key, 'by:' .. target.labeler) end
  if target.surplus == '0' then redis.call('HINCRBY', key, 'counted', -1) end
  local cursor = append(entry, at)
  target.retracted_by = entry.id
  redis.call('HSET', LABELS, label, cjson.encode(target))
  hold_again(query, target.left, target.right)
  settle(query)
  return cursor
end
