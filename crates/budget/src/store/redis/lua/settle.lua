local hold, rest = string.sub(ARGV[first], 3), cmsgpack.unpack(ARGV[3])
local number, settings, details = rest[1], rest[2], rest[3]
local letter, line, accounts, json = read(redis.call('HGET', STATE, 'h:' .. hold))
if letter == '!' then return {0} end
if not letter and redis.call('SISMEMBER', ENDED, number) == 1 then return {0} end

-- What was spent from a lease is no longer reserved there.
local function draw(lease, left, row)
  local is_sound, state, _, of_lease = pcall(read, redis.call('HGET', STATE, 'h:' .. lease))
  if not is_sound or state ~= 'o' or #of_lease ~= 1 then return end
  local account = of_lease[1]
  if account[3] <= left then return end
  change(account, 0, left - account[3])
  account[3], account[4] = left, left
  write(lease, 'o', decimal(left), of_lease, row)
end
for _, charge in ipairs(details) do
  if charge[3] then draw(charge[3], charge[4], charge[5]) end
end

if letter == 'l' then
  local sums = {}
  redis.call('XDEL', ROWS, line)
  count(sums, json, -1)
  keep(sums, settings)
end

local answer = {letter == 'l' and 2 or 1}
for i = 1, math.max(#details, accounts and #accounts or 0) do
  local charge = details[i]
  local actual = charge and numbers[2 * i - 1] or 0
  local account = accounts and accounts[i] or charge[1]
  local spent, reserved
  if letter == 'l' then
    spent, reserved = change(account, actual - account[4], 0)
  else
    spent, reserved = change(account, actual, letter and -account[3] or 0)
  end
  if charge then
    if account[2] ~= '' then
      spent, reserved = stands(account[1], account[2], charge[2], account[7])
    end
    answer[2 * i], answer[2 * i + 1] = spent, reserved
  end
end

for i = rows, #ARGV do redis.call('RPUSH', WRITTEN, ARGV[i]) end
redis.call('HSET', STATE, 'h:' .. hold, ARGV[2])
-- From there it goes to the sets of the ended; at once if nobody takes it for a new one.
local now = now_ms()
if now >= made_ms(hold) + RECENT then
  retire(hold, ARGV[2], settings[1])
else
  redis.call('ZADD', DUE, decimal(made_ms(hold) + RECENT), hold)
end
return answer
