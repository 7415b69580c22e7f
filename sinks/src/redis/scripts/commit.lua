-- Ends a delivery: from here on the store holds its time. KEYS: sink. ARGV: epoch, from, to, channel, how many fields are
-- forgotten, these, then fields and their values.
local held = redis.call('HMGET', KEYS[1], 'epoch', 'time')
if not held[1] then return 'GAP' end
if tonumber(held[1]) > tonumber(ARGV[1]) then return 'FENCED' end
if (held[2] or '') ~= ARGV[2] then return 'GAP' end
local forgotten = tonumber(ARGV[5])
redis.call('HDEL', KEYS[1], 'pending', unpack(ARGV, 6, 5 + forgotten))
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'time', ARGV[3], unpack(ARGV, 6 + forgotten))
-- A hint only: who may not publish goes on without.
redis.pcall('PUBLISH', ARGV[4], ARGV[3])
return 'OK'
