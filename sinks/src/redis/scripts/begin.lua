-- Notes that a delivery begins. KEYS: sink. ARGV: epoch, from, to.
local held = redis.call('HMGET', KEYS[1], 'epoch', 'time')
if not held[1] then return 'GAP' end
if tonumber(held[1]) > tonumber(ARGV[1]) then return 'FENCED' end
if (held[2] or '') ~= ARGV[2] then return 'GAP' end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'pending', ARGV[3])
return 'OK'
