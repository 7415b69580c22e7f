-- Puts all rows of a shard beside those it has; with the last chunk they take their place. KEYS: meta, new rows, old rows, log.
-- ARGV: epoch, to, definition, new generation, number of the chunk, '1' if it is the last, length of the log, then keys with rows.
local held = redis.call('HMGET', KEYS[1], 'epoch', 'gen', 'loading')
local to, chunk, last, length = ARGV[2], tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7]
if held[1] and tonumber(held[1]) > tonumber(ARGV[1]) then return 'FENCED' end
if held[2] == ARGV[4] then return 'DUP' end
local mark = ARGV[4] .. '/' .. to .. '/'
if chunk == 1 then
    redis.call('UNLINK', KEYS[2])
elseif held[3] ~= mark .. string.format('%.0f', chunk - 1) then
    return 'ORDER'
end
if #ARGV > 7 then redis.call('HSET', KEYS[2], unpack(ARGV, 8)) end
if not last then
    redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'loading', mark .. ARGV[5])
    return 'OK'
end
if length ~= '0' then
    if redis.call('EXISTS', KEYS[4]) == 1 then
        local about = redis.call('XINFO', 'STREAM', KEYS[4])
        for i = 1, #about, 2 do
            -- A log that is ahead of these rows cannot be gone on with.
            if about[i] == 'last-generated-id' and tonumber(string.match(about[i + 1], '^%d+')) >= tonumber(to) then
                redis.call('UNLINK', KEYS[4])
            end
        end
    end
    redis.call('XADD', KEYS[4], 'MAXLEN', '~', length, to .. '-1', 'op', 'reload', 'gen', ARGV[4], 'from', '')
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'time', to, 'def', ARGV[3], 'gen', ARGV[4], 'logged', to)
redis.call('HDEL', KEYS[1], 'chunk', 'loading')
redis.call('UNLINK', KEYS[3])
return 'OK'
