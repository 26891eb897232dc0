-- KEYS: as in `common`. ARGV: at most so many lost holds, how many holds, windows and rows to look at besides, settings.
local lost, most, settings = {}, tonumber(ARGV[2]), cmsgpack.unpack(ARGV[3])
for _, packed in ipairs(redis.call('LPOP', TOLD, ARGV[1]) or {}) do lost[#lost + 1] = cmsgpack.unpack(packed) end
local looked = 0
while #lost < tonumber(ARGV[1]) and looked < most do
  local found, count = sweep(ARGV[1] - #lost, settings)
  for _, told in ipairs(found) do lost[#lost + 1] = told end
  if count == 0 then break end
  looked = looked + count
end

local over = redis.call('ZRANGEBYSCORE', WINDOWS, '-inf', decimal(now_ms()), 'LIMIT', 0, most)
for _, window in ipairs(over) do
  local stands = redis.call('HMGET', STATE, 's|' .. window, 'r|' .. window)
  -- A window that begins with time has no end.
  if string.sub(window, -2) == '|0' and ((stands[1] or '0') ~= '0' or (stands[2] or '0') ~= '0') then
    redis.call('ZADD', WINDOWS, decimal(now_ms() + DAY), window)
  else
    redis.call('HDEL', STATE, 's|' .. window, 'r|' .. window, 'x|' .. window)
    redis.call('ZREM', WINDOWS, window)
  end
end
gather(most)
collect(most, settings)
return lost
