-- KEYS: open holds. ARGV: lease, then the holds.
local until_ms, scored = now_ms() + ARGV[1], {}
for i = 2, #ARGV do
  scored[#scored + 1] = until_ms
  scored[#scored + 1] = ARGV[i]
end
return redis.call('ZADD', KEYS[1], 'XX', unpack(scored))
