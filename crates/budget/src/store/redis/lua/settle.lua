-- KEYS: the hold, the ended of its time, open holds, rows, days, then the account of each charge, then the leases that
-- charges were spent from.
-- ARGV: the hold's number among the ended, how long to keep it, rows and totals, the number of charges, of each: actual,
-- slice, start, step, ttl, place of the lease it was spent from (0: none), what is left of that, its row; then of each row:
-- JSON, its day, eight amounts, the number of its fields, and they.
local hold, open, rows, days = KEYS[1], KEYS[3], KEYS[4], KEYS[5]
local held = redis.call('GET', hold)
if held then
  held = cmsgpack.unpack(held)
elseif redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1 then
  return {0}
end
local is_late, charges, at = held and held[1] == 1, tonumber(ARGV[5]), 5

-- What was spent from a lease is no longer reserved there.
local function draw(key, left, row)
  local lease = redis.call('GET', key)
  lease = lease and cmsgpack.unpack(lease)
  if not lease or lease[1] ~= 0 or #lease[2] ~= 1 then return end
  local account = lease[2][1]
  if account[3] <= left then return end
  change(account, 0, left - account[3])
  account[3], account[4] = left, left
  lease[3] = cmsgpack.unpack(row)
  redis.call('SET', key, cmsgpack.pack(lease))
end

for i = 1, charges do
  local p = at + 8 * (i - 1)
  local lease = tonumber(ARGV[p + 6])
  if lease > 0 then draw(KEYS[lease], tonumber(ARGV[p + 7]), ARGV[p + 8]) end
end

if is_late then
  redis.call('XDEL', rows, held[4])
  total(held[3], -1, days, ARGV[4])
end

local answer = {is_late and 2 or 1}
for i = 1, math.max(charges, held and #held[2] or 0) do
  local p = at + 8 * (i - 1)
  local actual = i <= charges and tonumber(ARGV[p + 1]) or 0
  local account = held and held[2][i] or {KEYS[5 + i], tonumber(ARGV[p + 2]) or '', 0, 0, tonumber(ARGV[p + 5]), '', tonumber(ARGV[p + 4]) or 0}
  local spent, reserved
  if is_late then
    spent, reserved = change(account, actual - account[4], 0)
  else
    spent, reserved = change(account, actual, -account[3])
  end
  if i <= charges then
    if ARGV[p + 3] ~= '' then spent, reserved = stands(account[1], ARGV[p + 3], ARGV[p + 4]) end
    answer[2 * i], answer[2 * i + 1] = spent, reserved
  end
end

at = at + 8 * charges
while at < #ARGV do
  local amounts, fields, count = {}, {}, tonumber(ARGV[at + 11])
  for i = 1, 8 do amounts[i] = tonumber(ARGV[at + 2 + i]) end
  for i = 1, count do fields[i] = ARGV[at + 11 + i] end
  redis.call('XADD', rows, 'MAXLEN', '~', ARGV[3], '*', 'r', ARGV[at + 1])
  total({'', amounts, ARGV[at + 2], fields}, 1, days, ARGV[4])
  at = at + 11 + count
end

redis.call('SADD', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
if held then
  redis.call('DEL', hold)
  redis.call('ZREM', open, hold)
end
return answer
