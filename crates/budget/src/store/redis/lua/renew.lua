-- ARGV: lease, then the holds.
gather_all()
local fields, scored = {}, {}
for i = 2, #ARGV do fields[i - 1] = 'h:' .. ARGV[i] end
local states, until_ms = redis.call('HMGET', STATE, unpack(fields)), decimal(now_ms() + ARGV[1])
for i = 2, #ARGV do
  if states[i - 1] and string.sub(states[i - 1], 1, 1) == 'o' then
    scored[#scored + 1], scored[#scored + 2] = until_ms, ARGV[i]
  end
end
if #scored == 0 then return 0 end
return redis.call('ZADD', DUE, unpack(scored))
