-- Takes a shard over. KEYS: meta. ARGV: epoch. Answers its epoch, time, definition and generation.
local held = redis.call('HMGET', KEYS[1], 'epoch', 'time', 'def', 'gen')
if held[1] and tonumber(held[1]) < tonumber(ARGV[1]) then
    redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
    held[1] = ARGV[1]
end
return held
