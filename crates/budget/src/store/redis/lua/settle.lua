local hold, rest = string.sub(ARGV[4], 3), cmsgpack.unpack(ARGV[1])
local settings, details = rest[1], rest[2]
local letter, line = state_of(hold)
if letter == '!' or not letter and is_ended(hold) then return {0} end
local record = letter and record_of(hold)

-- What was spent from a lease is no longer reserved there.
local function draw(lease, left, row)
  local is_sound, state = pcall(state_of, lease)
  if not is_sound or state ~= 'o' then return end
  local of_lease = record_of(lease)
  local account = of_lease[ACCOUNTS][1]
  if #of_lease[ACCOUNTS] ~= 1 or account[TAKE] <= left then return end
  change(account, 0, left - account[TAKE])
  account[TAKE], account[IF_LOST], of_lease[ROW] = left, left, row
  redis.call('HSET', STATE, 'h:' .. lease, 'o' .. decimal(left), 'l:' .. lease, cmsgpack.pack(of_lease))
end

-- The accounts: those of the hold, and of one that nobody knows here those of the settlement.
local accounts = record and record[ACCOUNTS] or {}
local places = 16 * COUNT + 1
for i, charge in ipairs(details) do
  local account = charge
  if COUNT == 0 then
    account = charge[1]
  elseif type(charge) == 'number' then
    account = {[TTL] = charge, [STEP] = 0, field = ARGV[4 + i]}
  else
    account = {[NAME] = string.sub(ARGV[4 + i], 3), [TTL] = charge[1], [STEP] = charge[2], [START] = charge[3]}
    account[AT], places = struct.unpack('<d', ARGV[2], places)
  end
  accounts[i] = accounts[i] or account
  -- The window may have rolled on since.
  accounts[i][START] = account[START]
end
check(accounts)

for _, charge in ipairs(details) do
  if COUNT == 0 and charge[2] then draw(charge[2], charge[3], charge[4]) end
end

if letter == 'l' then
  local sums = {}
  redis.call('XDEL', ROWS, line)
  count(sums, record[ROW], -1)
  keep(sums, settings)
end

local answer = {}
for i, account in ipairs(accounts) do
  local actual = details[i] and struct.unpack('<d', ARGV[2], 16 * i - 15) or 0
  local spent, reserved
  if letter == 'l' then
    spent, reserved = change(account, actual - account[IF_LOST], 0)
  else
    spent, reserved = change(account, actual, letter and -account[TAKE] or 0)
  end
  if account[STEP] ~= 0 and details[i] then spent, reserved = stands(account, account[AT]) end
  if details[i] then answer[i] = struct.pack('<dd', spent, reserved) end
end
answer = table.concat(answer)

for i = COUNT + SLICES + 5, #ARGV do redis.call('RPUSH', WRITTEN, ARGV[i]) end
redis.call('HDEL', STATE, 'l:' .. hold)
redis.call('HSET', STATE, ARGV[4], '!')
-- From there it goes to the sets of the ended; at once if nobody takes it for a new one.
local now = now_ms()
if now >= made_ms(hold) + RECENT then
  retire(hold)
else
  redis.call('ZADD', DUE, decimal(made_ms(hold) + RECENT), hold)
end
return letter == 'l' and {2, answer} or answer
