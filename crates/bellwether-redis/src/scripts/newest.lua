-- The newest record of each topic, as "id tag", in one snapshot with the epoch and the newest record of all.
--
-- ARGV: 4 the first topic, and so on; at most some hundreds.
local now = state()
return { now.epoch, now.last, redis.call('HMGET', topics, unpack(ARGV, 4)) }
