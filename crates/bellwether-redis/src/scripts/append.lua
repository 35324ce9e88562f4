-- Appends records, all or none. The reply has the epoch and, for each record, its id, or "id tag" if its idempotency
-- key is known.
--
-- ARGV: 4 how long idempotency keys are remembered, in milliseconds; 5 "=" or "~" for trimming; 6 the most records and
-- 7 the greatest age in milliseconds, 0 for no bound; then five of each record: topic, tag, event, "" or "+" and the
-- conflation key, and the index of its idempotency key in KEYS or 0.
local now = state()
local answers, last = { now.epoch }, false

-- The number of topics without a record left that are remembered: about 100 bytes each, and their names.
local MAX_TOPICS = 65536

-- Forgets some topics whose newest record is gone, when there are too many. Some other topics then count as trimmed up
-- to the same id.
local function forget()
  local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1][1]
  local some = redis.call('HRANDFIELD', topics, 64, 'WITHVALUES')
  for i = 1, #some, 2 do
    local id = string.match(some[i + 1], '^%S+')
    if is_after(first, id) then
      redis.call('HDEL', topics, some[i])
      if is_after(id, now.forgotten) then
        now.forgotten = id
      end
    end
  end
  redis.call('HSET', about, 'forgotten', now.forgotten)
end

for i = 8, #ARGV, 5 do
  local tag, once = ARGV[i + 1], tonumber(ARGV[i + 4])
  local found = once > 0 and redis.call('GET', KEYS[once])
  if found and string.sub(found, 1, 16) == now.epoch then
    answers[#answers + 1] = string.sub(found, 18)
  else
    local id
    local before = redis.call('HGET', topics, ARGV[i]) or now.forgotten
    if ARGV[i + 3] == '' then
      id = redis.call('XADD', log, '*', 'epoch', now.epoch, 'tag', tag,
        'topic', ARGV[i], 'event', ARGV[i + 2], 'before', before)
    else
      id = redis.call('XADD', log, '*', 'epoch', now.epoch, 'tag', tag,
        'topic', ARGV[i], 'event', ARGV[i + 2], 'before', before,
        'key', string.sub(ARGV[i + 3], 2))
    end
    redis.call('HSET', topics, ARGV[i], id .. ' ' .. tag)
    if once > 0 then
      redis.call('SET', KEYS[once], now.epoch .. ' ' .. id .. ' ' .. tag, 'PX', ARGV[4])
    end
    if now.first == '0-0' then
      now.first = id
      redis.call('HSET', about, 'first', id)
    end
    answers[#answers + 1] = id
    last = id
  end
end

if last then
  redis.call('HSET', about, 'last', last, 'listed', last)
  -- The newest record is within any age and any number, so it stays.
  if ARGV[6] ~= '0' then
    redis.call('XTRIM', log, 'MAXLEN', ARGV[5], ARGV[6])
  end
  if ARGV[7] ~= '0' then
    local time = redis.call('TIME')
    local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[7])
    redis.call('XTRIM', log, 'MINID', ARGV[5], string.format('%.0f', math.max(oldest, 0)))
  end
  if redis.call('HLEN', topics) > MAX_TOPICS then
    forget()
  end
end
return answers
