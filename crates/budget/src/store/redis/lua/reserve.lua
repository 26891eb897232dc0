local hold, record, rest = string.sub(ARGV[first], 3), ARGV[2], cmsgpack.unpack(ARGV[3])
local settings, starts = rest[2], rest[3]
local _, _, accounts = read(record)
local letter = read(redis.call('HGET', STATE, 'h:' .. hold))
if letter and letter ~= 'o' then return {2} end
if not letter and redis.call('SISMEMBER', ENDED, rest[1]) == 1 then return {2} end

-- What stands on each account with what is taken; or the first that lacks room, and what stands there.
local function look()
  local answer = {1}
  for i, account in ipairs(accounts) do
    local spent, reserved = stands(account[1], account[2], starts[i], account[7], true)
    local limit, take = numbers[2 * i - 1], numbers[2 * i]
    if letter then take = 0 end
    if not letter and spent + reserved + take > limit then return nil, i, spent, reserved end
    answer[2 * i], answer[2 * i + 1] = spent, reserved + take
  end
  return answer
end

local answer, place, spent, reserved = look()
if not answer then
  -- Perhaps one whose lease has passed holds the room. Those that have ended are in the way until somebody looks.
  for _ = 1, 16 do
    local lost, looked = sweep(64, settings)
    for _, told in ipairs(lost) do redis.call('RPUSH', TOLD, cmsgpack.pack(told)) end
    if #lost > 0 then
      redis.call('LTRIM', TOLD, -1000, -1)
      answer, place, spent, reserved = look()
    end
    if answer or looked == 0 then break end
  end
end
if not answer then
  local account = accounts[place]
  local key, field, slice = STATE, 'x|' .. account[1], '.' .. account[2]
  if account[2] ~= '' then key, field = account[1], 'x' end
  local first = redis.call('HGET', key, field) ~= slice
  if first then
    redis.call('HSET', key, field, slice)
    if account[2] ~= '' then
      redis.call('PEXPIRE', key, account[5])
    else
      forget_in(account[5], account[1])
    end
  end
  return {0, place - 1, spent, reserved, first and 1 or 0}
end
if letter then return answer end

for _, account in ipairs(accounts) do change(account, 0, account[3]) end
redis.call('HSET', STATE, 'h:' .. hold, record)
redis.call('ZADD', DUE, decimal(now_ms() + ARGV[1]), hold)
return answer
