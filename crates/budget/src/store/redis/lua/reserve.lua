local settings, record = cmsgpack.unpack(ARGV[1]), cmsgpack.unpack(ARGV[2])
local hold, accounts = record[HOLD], record[ACCOUNTS]
local letter = state_of(hold)
if letter and letter ~= 'o' then return {2} end
if not letter and is_ended(hold) then return {2} end

-- What stands on each account with what is taken; or the first that lacks room, and what stands there.
local function look()
  local answer = {}
  for i, account in ipairs(accounts) do
    local spent, reserved = stands(account)
    local limit, take = struct.unpack('<dd', ARGV[3], 16 * i - 7)
    if letter then take = 0 end
    if not letter and spent + reserved + take > limit then return nil, account, spent, reserved, i end
    answer[i] = struct.pack('<dd', spent, reserved + take)
  end
  return table.concat(answer)
end

local answer, full, spent, reserved, index = look()
if not answer then
  -- Perhaps one whose lease has passed holds the room. Those that have ended are in the way until somebody looks.
  for _ = 1, 16 do
    local lost, looked = sweep(64, settings)
    for _, told in ipairs(lost) do redis.call('RPUSH', TOLD, cmsgpack.pack(told)) end
    if #lost > 0 then
      redis.call('LTRIM', TOLD, -1000, -1)
      answer, full, spent, reserved, index = look()
    end
    if answer or looked == 0 then break end
  end
end
if not answer then
  local rolls = full[STEP] ~= 0
  local field, slice = (rolls and 'y|' or 'x|') .. string.sub(place(full), 3), '.' .. full[AT]
  local first = redis.call('HGET', STATE, field) ~= slice
  if first then
    redis.call('HSET', STATE, field, slice)
    if not rolls then forget_in(full[TTL], field) end
  end
  return {0, index - 1, spent, reserved, first and 1 or 0}
end
if letter then return answer end

check(accounts)
for _, account in ipairs(accounts) do change(account, 0, account[TAKE]) end
redis.call('HSET', STATE, ARGV[5], ARGV[4], 'l:' .. hold, ARGV[2])
redis.call('ZADD', DUE, decimal(now_ms() + record[LEASE]), hold)
return answer
