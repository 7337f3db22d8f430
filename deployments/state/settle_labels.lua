-- Counts predictions whose label is known, each once, and forgets them.
--
-- KEYS  1 waiting, by the time their label is due   2 what is known of those that wait
--       3 those whose label was made last           4 the counts
-- ARGV  1 how many of the last to know   2 cap of the counts' fields   3 now
--       then for each prediction: its id, "tp", "fp", "tn" or "fn" ("" if its label cannot be known), bundle version
-- Gives how many were counted.

local counted = 0
for a = 4, #ARGV, 3 do
  local id, outcome, version = ARGV[a], ARGV[a + 1], ARGV[a + 2]
  if redis.call('ZREM', KEYS[1], id) == 1 then
    redis.call('HDEL', KEYS[2], id)
    redis.call('ZADD', KEYS[3], ARGV[3], id)
    if outcome ~= '' then
      local field = version .. '|' .. outcome
      if redis.call('HEXISTS', KEYS[4], field) == 0 and redis.call('HLEN', KEYS[4]) >= tonumber(ARGV[2]) then
        field = 'other|' .. outcome
      end
      redis.call('HINCRBY', KEYS[4], field, 1)
      counted = counted + 1
    end
  end
end
local extra = redis.call('ZCARD', KEYS[3]) - tonumber(ARGV[1])
if extra > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, extra - 1)
end
return counted
