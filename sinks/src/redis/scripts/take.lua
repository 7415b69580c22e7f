-- Takes the sink over. KEYS: sink. ARGV: least epoch, pipeline. Answers the new epoch and all fields.
local held = redis.call('HMGET', KEYS[1], 'epoch', 'pipeline')
local epoch = math.max(tonumber(held[1] or '0') + 1, tonumber(ARGV[1]))
epoch = string.format('%.0f', epoch)
redis.call('HSET', KEYS[1], 'epoch', epoch, 'pipeline', ARGV[2])
if held[2] and held[2] ~= ARGV[2] then
    -- What another pipeline wrote is nothing of this one's.
    redis.call('HDEL', KEYS[1], 'time', 'positions', 'pending')
    for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
        if string.sub(field, 1, 4) == 'def:' then redis.call('HSET', KEYS[1], field, '0') end
    end
end
return redis.call('HGETALL', KEYS[1])
