-- KEYS: open holds, lost holds to tell, rows, days.
-- ARGV: at most so many, how long to keep rows, totals and lost holds.
local lost = {}
for _, packed in ipairs(redis.call('LPOP', KEYS[2], ARGV[1]) or {}) do lost[#lost + 1] = cmsgpack.unpack(packed) end
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms(), 'LIMIT', 0, ARGV[1] - #lost)
for _, key in ipairs(due) do
  lost[#lost + 1] = lose(key, KEYS[1], KEYS[3], KEYS[4], {rows = ARGV[2], totals = ARGV[3], lost = ARGV[4]})
end
return lost
