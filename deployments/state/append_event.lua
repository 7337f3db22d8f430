-- Stores events, each one wholly or, when its id is known, not at all: the user's window, the counts of its day, the
-- index of purchases and the outcomes of experiments move together, so that sending an event again changes nothing.
--
-- KEYS  1 days that have counts   2 revision of past days
--       then for each event: its id, and the user's window, day, purchases and exposures
-- ARGV  1 event ids' TTL      2 window cap     3 window TTL     4 days cap      5 day TTL     6 cap of a day's fields
--       7 purchases' cap      8 purchases' TTL 9 today          10 day keys begin with        11 sums' keys begin with
--       then for each event: time_us, member of the window, day, kind, cents, and its seven keys of the day
--       (TTLs in seconds; the first of the seven is the product's, "p:" and its id)
-- Gives 1 for each event that was stored and 0 for each that had been stored before.

local FIXED_KEYS, KEYS_EACH = 2, 5
local FIXED_ARGS, ARGS_EACH, DAY_KEYS = 11, 12, 7
local PURCHASE = '3'

local function keep_newest(key, cap, ttl)
  local extra = redis.call('ZCARD', key) - cap
  if extra > 0 then
    redis.call('ZREMRANGEBYRANK', key, 0, extra - 1)
  end
  redis.call('EXPIRE', key, ttl)
end

-- Whether the day is among the newest days, which alone are counted.
local function open_day(day)
  if redis.call('ZADD', KEYS[1], day, day) == 0 or redis.call('ZCARD', KEYS[1]) <= tonumber(ARGV[4]) then
    return true
  end
  local oldest = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, 0)
  redis.call('DEL', ARGV[10] .. oldest)
  return oldest ~= day
end

-- A day with too many products counts on for those that it knows; the shop's and the categories' figures stay whole.
local function count(day_key, kind, cents, first)
  local is_full = redis.call('HLEN', day_key) >= tonumber(ARGV[6])
  for i = first, first + DAY_KEYS - 1 do
    local column, high = ARGV[i] .. '|' .. kind, ARGV[i] .. '|5'
    local highest = redis.call('HGET', day_key, high)
    if highest or not is_full then
      redis.call('HINCRBY', day_key, column, 1)
      if kind == '0' then
        redis.call('HINCRBY', day_key, ARGV[i] .. '|4', cents)
      end
      if not highest or tonumber(cents) > tonumber(highest) then
        redis.call('HSET', day_key, high, cents)
      end
    end
  end
  redis.call('EXPIRE', day_key, ARGV[5])
end

-- An exposure is "variant|phase|since|until|orders|cents"; a purchase joins it once, by being stored once.
local function join_outcomes(exposures_key, time_us, cents)
  local exposures = redis.call('HGETALL', exposures_key)
  for i = 1, #exposures, 2 do
    local variant, phase, since, ends, orders, spent =
      string.match(exposures[i + 1], '^([^|]*)|(%d+)|(%d+)|(%d+)|(%d+)|(%d+)$')
    if tonumber(since) < tonumber(time_us) and tonumber(time_us) <= tonumber(ends) then
      local sums, field = ARGV[11] .. exposures[i], phase .. '|' .. variant .. '|'
      local before, now = tonumber(spent), tonumber(spent) + tonumber(cents)
      if orders == '0' then
        redis.call('HINCRBY', sums, field .. 'conversions', 1)
      end
      redis.call('HINCRBY', sums, field .. 'orders', 1)
      redis.call('HINCRBY', sums, field .. 'cents', cents)
      redis.call('HINCRBYFLOAT', sums, field .. 'cents_squared', string.format('%.0f', now * now - before * before))
      local exposure = string.format('%s|%s|%s|%s|%d|%.0f', variant, phase, since, ends, tonumber(orders) + 1, now)
      redis.call('HSET', exposures_key, exposures[i], exposure)
    end
  end
end

local function store(k, a)
  local seen, window, day_key, bought, exposures = KEYS[k], KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4]
  local time_us, member, day, kind, cents = ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4]
  if not redis.call('SET', seen, '1', 'NX', 'EX', ARGV[1]) then
    return 0
  end
  redis.call('ZADD', window, time_us, member)
  keep_newest(window, tonumber(ARGV[2]), ARGV[3])
  if open_day(day) then
    count(day_key, kind, cents, a + 5)
  end
  if tonumber(day) < tonumber(ARGV[9]) then
    redis.call('INCR', KEYS[2])
  end
  if kind == PURCHASE then
    redis.call('ZADD', bought, time_us, string.sub(ARGV[a + 5], 3) .. '|' .. time_us)
    keep_newest(bought, tonumber(ARGV[7]), ARGV[8])
    join_outcomes(exposures, time_us, cents)
  end
  return 1
end

local stored = {}
for i = 0, (#KEYS - FIXED_KEYS) / KEYS_EACH - 1 do
  stored[i + 1] = store(FIXED_KEYS + i * KEYS_EACH + 1, FIXED_ARGS + i * ARGS_EACH + 1)
end
return stored
