-- Reads a page. The reply has the epoch; the newest record; the first one ("0-0" if none was ever removed before it);
-- the entries: the one at the start, if it exists, and those after it; and the last removed record of the wanted
-- topics, or nothing if that is not known.
--
-- ARGV: 4 where to start; 5 the most records after it, 0 to read only the one there, which then comes without its
-- event; 6 the most bytes of events; then the wanted topics, none for all.
local now = state()
local from, max_records, max_bytes = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local wanted = false
for i = 7, #ARGV do
  wanted = wanted or {}
  wanted[ARGV[i]] = true
end

local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]

-- An entry of a wanted topic. One of ours that has lost its topic may be of any topic, so every reader gets a gap.
local function is_of_wanted(fields)
  if not wanted then
    return true
  end
  local topic = value_of(fields, 'topic')
  if topic then
    return wanted[topic]
  end
  return value_of(fields, 'epoch')
end

-- The number of records that are looked up, newest first, before reading all entries is better.
local MAX_LISTED = 128
local MAX_LISTED_BYTES = 262144

-- The records of the wanted topics after the start: from the newest of each topic back to the record that each names as
-- the one before it. Returns them newest first within each topic, and the last removed record of any, as "id tag", or
-- as "id" if the tag is not known; nothing if reading all entries is better.
local function listed()
  local found, bytes = {}, 0
  local lost, lost_id = '0-0', '0-0'
  for topic in pairs(wanted) do
    local value = redis.call('HGET', topics, topic) or now.forgotten
    while true do
      local id, tag = string.match(value, '^(%S+) ?(.*)$')
      local is_gone = not oldest or is_after(oldest[1], id)
      if is_gone and is_after(id, lost_id) then
        lost, lost_id = value, id
      end
      if is_gone or not is_after(id, from) then
        break
      end
      local entry = tag ~= '' and redis.call('XRANGE', log, id, id)[1]
      local before = entry and value_of(entry[2], 'before')
      if not before then
        return nil
      end
      if value_of(entry[2], 'topic') ~= topic then
        -- The record after it shows its topic. Without its event, it counts as damaged.
        entry = { id, { 'epoch', now.epoch, 'tag', tag, 'topic', topic } }
      end
      bytes = bytes + #(value_of(entry[2], 'event') or '')
      found[#found + 1] = entry
      if #found > MAX_LISTED or bytes > MAX_LISTED_BYTES then
        return nil
      end
      value = before
    end
  end
  table.sort(found, function(a, b) return is_after(b[1], a[1]) end)
  return found, lost
end

-- The number of entries that are read to find the wanted ones, so that no call holds up the server.
local MAX_SCANNED = 2048
local MAX_SCANNED_BYTES = 1048576

local entries, start, step = {}, from, 8
local records, bytes, scanned, scanned_bytes = 0, 0, 0, 0
local last, is_last_in, is_full = false, true, max_records == 0

if is_full then
  local entry = redis.call('XRANGE', log, from, from)[1]
  if entry then
    entries[1] = { from, { 'tag', value_of(entry[2], 'tag') } }
  end
end

local lost = ''
if wanted and not is_full then
  local found, found_lost = listed()
  if found then
    lost, is_full = found_lost, true
    entries[1] = redis.call('XRANGE', log, from, from)[1]
    for _, entry in ipairs(found) do
      local size = #(value_of(entry[2], 'event') or '')
      if records >= max_records or (records > 0 and bytes + size > max_bytes) then
        break
      end
      entries[#entries + 1] = entry
      records, bytes = records + 1, bytes + size
    end
  end
end

while not is_full do
  local run = redis.call('XRANGE', log, start, '+', 'COUNT', step)
  for _, entry in ipairs(run) do
    if entry[1] == from then
      entries[#entries + 1] = entry
    else
      local size = #(value_of(entry[2], 'event') or '')
      local is_wanted = is_of_wanted(entry[2])
      if is_wanted and records > 0 and bytes + size > max_bytes then
        is_full = true
        break
      end
      last, is_last_in = entry, is_wanted
      scanned, scanned_bytes = scanned + 1, scanned_bytes + size
      if is_wanted then
        entries[#entries + 1] = entry
        records, bytes = records + 1, bytes + size
      end
      if records >= max_records or scanned >= MAX_SCANNED or scanned_bytes >= MAX_SCANNED_BYTES then
        is_full = true
        break
      end
    end
  end
  if #run < step then
    break
  end
  start = '(' .. run[#run][1]
  -- About as many as there is room for, by the size of those before.
  local room = max_bytes - bytes
  if wanted then
    room = MAX_SCANNED_BYTES - scanned_bytes
  end
  step = math.max(1, math.min(256, math.floor(room * scanned / math.max(scanned_bytes, 1))))
end
if not is_last_in then
  entries[#entries + 1] = last
end

local first = '0-0'
if now.first ~= '0-0' then
  if oldest and oldest[1] ~= now.first then
    first = oldest[1]
  end
end
return { now.epoch, now.last, first, entries, lost }
