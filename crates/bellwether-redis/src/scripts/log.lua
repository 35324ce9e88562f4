-- The first part of every script: which log this is, and whether it is still the same one.
--
-- KEYS: 1 the stream, 2 the hash about it, 3 the hash of each topic's newest record, "id tag". ARGV: 1 the epoch to
-- take if a new one is due, 2 "1" for the thorough check, 3 the newest record that the caller knows of, "epoch id", or
-- nothing.
--
-- The hash holds: epoch; last, the newest record; first, the first record that this epoch ever had, empty if older
-- ones may have been before it; adopted, the newest record of earlier epochs; holes, the newest entry that was
-- deleted by hand before this epoch; forgotten, up to which topics that are not in the hash of topics may have had
-- records; listed, the newest record when that hash was last written.
local log, about, topics = KEYS[1], KEYS[2], KEYS[3]

local function is_after(a, b)
  local a_high, a_low = string.match(a, '^(%d+)-(%d+)$')
  local b_high, b_low = string.match(b, '^(%d+)-(%d+)$')
  a_high, b_high = tonumber(a_high), tonumber(b_high)
  return a_high > b_high or (a_high == b_high and tonumber(a_low) > tonumber(b_low))
end

local function value_of(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then
      return fields[i + 1]
    end
  end
  return false
end

-- An empty stream can only be made with a group.
local function make()
  redis.call('XGROUP', 'CREATE', log, 'make', '$', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', log, 'make')
end

local function look()
  local fields = redis.call('XINFO', 'STREAM', log)
  local newest = value_of(fields, 'last-entry')
  return {
    length = value_of(fields, 'length'),
    hole = value_of(fields, 'max-deleted-entry-id'),
    first = value_of(fields, 'recorded-first-entry-id'),
    newest = newest,
    last = newest and newest[1] or '0-0',
  }
end

local function begin_epoch(now)
  local first = ''
  if now.length == 0 then
    first = '0-0'
  end
  redis.call('HSET', about, 'epoch', ARGV[1], 'last', now.last, 'first', first,
    'adopted', now.last, 'holes', now.hole, 'forgotten', now.last, 'listed', now.last)
  redis.call('DEL', topics)
  return { epoch = ARGV[1], last = now.last, first = first, forgotten = now.last }
end

-- Whether the stream differs from what the hash says of it.
local function has_changed(known, now)
  if is_after(known.last, now.last) then
    return true -- It lost its end.
  end
  -- The caller has seen a record that is neither here nor trimmed: a server that writes its file late was killed, or a
  -- replica that lagged has taken over. Other nodes may have appended since, so the end alone does not show it.
  local epoch, seen = string.match(ARGV[3], '^(%x+) (%S+)$')
  if epoch == known.epoch and not is_after(now.first, seen) and not redis.call('XRANGE', log, seen, seen)[1] then
    return true
  end
  if now.hole ~= known.holes and not is_after(now.first, now.hole) then
    return true -- A record was deleted, and not at the front.
  end
  -- Its newest record was written under another epoch: another stream was put in its place.
  return now.newest and is_after(now.last, known.adopted)
    and value_of(now.newest[2], 'epoch') ~= known.epoch
end

-- Makes sure that the hash of topics lacks nothing: it was removed, or another version has appended without it.
local function with_topics(now)
  if now.listed ~= now.last
    or (now.last ~= now.forgotten and redis.call('EXISTS', topics) == 0) then
    redis.call('DEL', topics)
    now.forgotten, now.listed = now.last, now.last
    redis.call('HSET', about, 'forgotten', now.last, 'listed', now.last)
  end
  return now
end

local function state()
  local fields = redis.call('HMGET', about, 'epoch', 'last', 'first', 'adopted', 'holes', 'forgotten', 'listed')
  local known = fields[1] and fields[2] and fields[3] and fields[4] and fields[5] and {
    epoch = fields[1], last = fields[2], first = fields[3], adopted = fields[4], holes = fields[5],
    forgotten = fields[6], listed = fields[7],
  }
  if known and ARGV[2] ~= '1' and (redis.call('XLEN', log) == 0) == (known.last == '0-0') then
    return with_topics(known)
  end
  -- A server that this user may not ask counts as the primary.
  local role = redis.pcall('INFO', 'replication')
  if type(role) == 'string' and string.find(role, 'role:slave', 1, true) then
    error({ err = 'READONLY this server is a replica' })
  end
  if redis.call('EXISTS', log) == 0 then
    make()
    known = false
  end
  local now = look()
  if not now.hole then
    error({ err = 'ERR the server is older than Redis 7.0' })
  end
  if known and not has_changed(known, now) then
    return with_topics(known)
  end
  return begin_epoch(now)
end

