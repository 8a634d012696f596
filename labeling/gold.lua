-- Prelude of the scripts that know gold pairs: those that an admin has marked, asked again of everybody else.
-- A labeler is asked about one by a query of its own, `only` theirs, so that nobody sees a pair twice and nobody's
-- counted answers are taken. It never waits in the queue: it is made when it is claimed, and withdrawn if its lease
-- ends without an answer.

-- The side that is known to be better; nil once the answer that said so was taken back.
local function gold_side(label)
  local found = cjson.decode(redis.call('HGET', LABELS, label))
  return not found.retracted_by and found.answer or nil
end

-- What this labeler's own query about a marked pair is called: as long as all others, for an id must not tell what is
-- asked.
local function gold_id(source, labeler) return string.sub(redis.sha1hex(source .. ' ' .. labeler), 1, 32) end

-- Whether this labeler holds or has answered the pair of a query, or could not be shown it: as that query, or as gold.
local function seen(query, labeler)
  for _, id in ipairs({query, gold_id(query, labeler)}) do
    if redis.call('HEXISTS', query_key(id), 'by:' .. labeler) == 1 then return true end
  end
  return false
end

-- A query about a marked pair for this labeler, put into the queue, which it must leave in the same call; nil where
-- there is none that they have not seen.
local function gold_query(labeler, at)
  local marked = redis.call('HGETALL', GOLD)
  for i = 1, #marked, 2 do
    local source, side = marked[i], gold_side(marked[i + 1])
    local id = gold_id(source, labeler)
    local key = query_key(id)
    local v = redis.call('HMGET', query_key(source), 'left', 'right', 'state')
    -- while the marked query itself is open they may be given that one
    if side and not seen(source, labeler) and v[3] ~= 'open' then
      if redis.call('HEXISTS', key, 'state') == 0 then
        redis.call('HSET', key, 'left', v[1], 'right', v[2], 'disagreement', 'nan', 'reward_version', 0, 'priority', 0,
          'asked_at_s', seconds(at), 'only', labeler, 'overlap', 1, 'counted', 0, 'leased', 0, 'kept', 0, 'held', 0)
        count('queries', 1)
      end
      redis.call('HSET', key, 'gold', side, 'state', 'open')
      hold_again(id, v[1], v[2])
      return id
    end
  end
  return nil
end
