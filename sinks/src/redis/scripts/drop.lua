-- Forgets a shard. KEYS: meta, rows, rows that were being loaded, log. ARGV: epoch.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[1]) then return 'FENCED' end
redis.call('UNLINK', unpack(KEYS))
return 'OK'
