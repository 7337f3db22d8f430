-- Adds what one process counted since its last flush, once: a flush that is sent again is known by its number.
--
-- KEYS  1 the figures   2 the number of the process's last flush
-- ARGV  1 number of this flush   2 TTL of the number, seconds   3 keys of the label sets begin with
--       then for each figure: metric, cap of its label sets, labels, labels of "other", part, operation, value
--       (operations: i adds an integer, f adds a float, s sets)
-- Gives 1 if the figures were added and 0 if they had been before.

local FIXED, EACH = 3, 7
local OPERATIONS = {i = 'HINCRBY', f = 'HINCRBYFLOAT', s = 'HSET'}

if tonumber(redis.call('GET', KEYS[2]) or '0') >= tonumber(ARGV[1]) then
  return 0
end

local function admitted(metric, cap, labels, other)
  local known = ARGV[3] .. metric
  if redis.call('SISMEMBER', known, labels) == 1 then
    return labels
  end
  if redis.call('SCARD', known) >= tonumber(cap) then
    return other
  end
  redis.call('SADD', known, labels)
  return labels
end

for a = FIXED + 1, #ARGV, EACH do
  local labels = admitted(ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3])
  local field = ARGV[a] .. ' ' .. labels .. ' ' .. ARGV[a + 4]
  redis.call(OPERATIONS[ARGV[a + 5]], KEYS[1], field, ARGV[a + 6])
end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
return 1
