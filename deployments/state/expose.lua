-- Records that a user was shown a variant, once for each experiment, and adds the user to the variant's sums.
--
-- KEYS  1 definitions   2 the user's exposures   3 users exposed before (one shard)   4 the experiment's sums
-- ARGV  1 experiment   2 variant   3 phase   4 since_us   5 until_us   6 the user as a 64-bit number
--       7 probability   8 its square   9 TTL of the exposure, seconds   10 TTL of the users, seconds
-- Gives 1 if the exposure is new, 0 if the user had been exposed before, -1 if there is no such experiment.

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return -1
end
local is_new = redis.call('SADD', KEYS[3], ARGV[6])
redis.call('EXPIRE', KEYS[3], ARGV[10])
if is_new == 0 then
  return 0
end
-- "variant|phase|since|until|orders|cents", read by append_event.lua when the user buys
redis.call('HSET', KEYS[2], ARGV[1], table.concat({ARGV[2], ARGV[3], ARGV[4], ARGV[5], '0', '0'}, '|'))
redis.call('EXPIRE', KEYS[2], ARGV[9])
local field = ARGV[3] .. '|' .. ARGV[2] .. '|'
redis.call('HINCRBY', KEYS[4], field .. 'users', 1)
redis.call('HINCRBYFLOAT', KEYS[4], field .. 'probability', ARGV[7])
redis.call('HINCRBYFLOAT', KEYS[4], field .. 'probability_squared', ARGV[8])
return 1
