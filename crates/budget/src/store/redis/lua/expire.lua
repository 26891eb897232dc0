-- ARGV: at most so many lost holds, how many holds, windows and rows to look at besides, settings. Answers with the time and the
-- lost holds.
local most_lost, most, settings, lost = tonumber(ARGV[1]), tonumber(ARGV[2]), cmsgpack.unpack(ARGV[3]), {now_ms()}
for _, packed in ipairs(redis.call('LPOP', TOLD, most_lost) or {}) do lost[#lost + 1] = cmsgpack.unpack(packed) end
local looked = 0
while #lost <= most_lost and looked < most do
  local found, count = sweep(most_lost + 1 - #lost, settings)
  for _, told in ipairs(found) do lost[#lost + 1] = told end
  if count == 0 then break end
  looked = looked + count
end

local over = redis.call('ZRANGEBYSCORE', WINDOWS, '-inf', decimal(now_ms()), 'LIMIT', 0, most)
for _, window in ipairs(over) do
  local is_sound, spent, reserved = pcall(counted, 'a|' .. window)
  -- A window that begins with time has no end.
  if string.sub(window, -2) == '|0' and not (is_sound and spent + reserved == 0) then
    redis.call('ZADD', WINDOWS, decimal(now_ms() + DAY), window)
  else
    redis.call('HDEL', STATE, 'a|' .. window, 'x|' .. window)
    redis.call('ZREM', WINDOWS, window)
  end
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', ROLLING, '-inf', decimal(now_ms()), 'LIMIT', 0, most)) do
  forget_rolling(name)
end
gather(most)
collect(most, settings)
return lost
