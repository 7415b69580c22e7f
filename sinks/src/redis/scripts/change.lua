-- Changes rows of a shard. KEYS: meta, rows, log. ARGV: epoch, from, to, definition, generation, number of the chunk, '1' if it is
-- the last, length of the log, then keys with their rows, '' where none is.
local held = redis.call('HMGET', KEYS[1], 'epoch', 'time', 'def', 'gen', 'chunk', 'logged')
local to, chunk, last, length = ARGV[3], tonumber(ARGV[6]), ARGV[7] == '1', ARGV[8]
if not held[2] then return 'GAP' end
if tonumber(held[1]) > tonumber(ARGV[1]) then return 'FENCED' end
if held[3] ~= ARGV[4] or held[4] ~= ARGV[5] then return 'DEFINITION' end
if tonumber(held[2]) >= tonumber(to) then return 'DUP' end
if held[2] ~= ARGV[2] then return 'GAP' end
local at, done, entry = string.match(held[5] or '', '^(%d+)/(%d+)/(%d+)$')
if chunk > 1 and (at ~= to or tonumber(done) ~= chunk - 1) then return 'ORDER' end
-- Entries that an interrupted delivery to the same time made stay, and are followed.
entry = at == to and tonumber(entry) or 0

local keys = {}
for i = 9, #ARGV, 2 do keys[#keys + 1] = ARGV[i] end
local before = #keys > 0 and redis.call('HMGET', KEYS[2], unpack(keys)) or {}
local set, gone, entries = {}, {}, {}
for i, key in ipairs(keys) do
    local row = ARGV[8 + 2 * i]
    if row == '' then
        if before[i] then
            gone[#gone + 1] = key
            entries[#entries + 1] = { 'op', 'del', 'key', key }
        end
    elseif before[i] ~= row then
        set[#set + 1] = key
        set[#set + 1] = row
        entries[#entries + 1] = { 'op', 'set', 'key', key, 'row', row }
    end
end
if length ~= '0' then
    if last and (#entries > 0 or entry > 0) then
        -- The last entry of a change says where it began: readers see whether they have all.
        if #entries == 0 then entries[1] = { 'op', 'none' } end
        local closing = entries[#entries]
        closing[#closing + 1] = 'from'
        closing[#closing + 1] = held[6] or held[2]
        held[6] = to
    end
    for _, fields in ipairs(entries) do
        entry = entry + 1
        redis.call('XADD', KEYS[3], 'MAXLEN', '~', length, to .. '-' .. string.format('%.0f', entry), unpack(fields))
    end
end
if #set > 0 then redis.call('HSET', KEYS[2], unpack(set)) end
if #gone > 0 then redis.call('HDEL', KEYS[2], unpack(gone)) end
if last then
    redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'time', to, 'logged', held[6] or held[2])
    redis.call('HDEL', KEYS[1], 'chunk')
else
    redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'chunk', to .. '/' .. ARGV[6] .. '/' .. string.format('%.0f', entry))
end
return 'OK'
