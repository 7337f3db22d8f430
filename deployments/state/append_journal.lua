-- Appends a batch of records to the journal, once: a batch that its writer sends again is known by its number.
--
-- KEYS  1 the stream   2 the number of the writer's last batch
-- ARGV  1 number of this batch, 0 if it has none   2 records to keep   3 TTL of the number, seconds   then the records
-- Gives 1 if the batch was appended and 0 if it had been before.

local number = tonumber(ARGV[1])
if number > 0 and tonumber(redis.call('GET', KEYS[2]) or '0') >= number then
  return 0
end
for i = 4, #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'record', ARGV[i])
end
if number > 0 then
  redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[3])
end
return 1
