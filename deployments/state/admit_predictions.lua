-- Takes predictions of the journal into the set of those that wait for their label.
--
-- KEYS  1 place in the journal up to which it has been read   2 waiting, by the time their label is due
--       3 what is known of those that wait   4 those whose label was made last
-- ARGV  1 the place as the caller knows it   2 the place that the caller has read to
--       3 waiting at most for each slot   4 length of a slot, microseconds
--       then for each prediction: its id, when its label is due, and what is known of it
-- Gives how many were admitted, -1 if another Monitor has read on in the meantime.

if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then
  return -1
end
local admitted = 0
for a = 5, #ARGV, 3 do
  local id, due_us = ARGV[a], ARGV[a + 1]
  local slot = math.floor(tonumber(due_us) / tonumber(ARGV[4])) * tonumber(ARGV[4])
  local from, to = string.format('%.0f', slot), string.format('(%.0f', slot + tonumber(ARGV[4]))
  if not redis.call('ZSCORE', KEYS[4], id) and redis.call('ZCOUNT', KEYS[2], from, to) < tonumber(ARGV[3]) then
    if redis.call('ZADD', KEYS[2], 'NX', due_us, id) == 1 then
      redis.call('HSET', KEYS[3], id, ARGV[a + 2])
      admitted = admitted + 1
    end
  end
end
redis.call('SET', KEYS[1], ARGV[2])
return admitted
