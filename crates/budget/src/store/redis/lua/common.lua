-- What the scripts share. KEYS[1] is the state; the other keys of a store are named after it, with the same hash tag.
--
-- The state is a hash. Of an account in a window it has `a|`, its name, `|` and the beginning of the window: spent and reserved,
-- as two packed numbers; and `x|` with the same name if it has refused. Of a hold it has `h:` with its name: `o` and what is
-- taken of each account while it is open, `l` and the id of its row when it is lost, `!` when it has ended. `l:` with its name
-- is its record, once it has come from the list of fresh ones.
--
-- A record is {hold, when it began by this clock as far as the client knew, lease, accounts, row to write when it is lost}, an
-- account in that {name, beginning of its window or of its slice, take, if_lost, ttl, length of a slice or 0, beginning of the
-- rolling window}.
--
-- A rolling account is a hash of its own: `s<slice>` and `r<slice>`, and `S` and `R`, the sums of those from slice `b` on.
--
-- No number here is ever above MOST, up to which a Lua number is exact.
local MOST = 9007199254740991
local HOLD, BEGUN, LEASE, ACCOUNTS, ROW = 1, 2, 3, 4, 5
local NAME, AT, TAKE, IF_LOST, TTL, STEP, START = 1, 2, 3, 4, 5, 6, 7

local STATE = KEYS[1]
local PREFIX = string.sub(STATE, 1, -6)
local FRESH, DUE, WINDOWS, TOLD = PREFIX .. 'fresh', PREFIX .. 'due', PREFIX .. 'windows', PREFIX .. 'told'
local WRITTEN, ROWS, DAYS = PREFIX .. 'written', PREFIX .. 'rows', PREFIX .. 'days'

-- For so long it is remembered that a hold has ended.
local ENDED_KEPT = 86400000

-- Slices that began so many steps before the window are forgotten: a clock may be behind by that.
local BEHIND = 4

-- For so long an ended hold stays in the state, by its name's time and the server's clock; then it goes to the sets of the
-- ended, which take less room.
local RECENT = 120000

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function made_ms(hold)
  return tonumber(string.sub(hold, 1, 12), 16)
end

local function decimal(number)
  -- The sum makes a plain 0 of Lua's -0, which Redis does not read.
  return string.format('%.0f', number + 0)
end

local function within(number)
  return math.max(0, math.min(MOST, number))
end

-- Adds to one number, which stays between 0 and MOST. Says what it is now, and what it was kept from.
local function add(key, field, by)
  local now = redis.call('HINCRBY', key, field, decimal(by))
  if now >= 0 and now <= MOST then return now, nil end
  local kept = now < 0 and 0 or MOST
  redis.call('HSET', key, field, decimal(kept))
  return kept, now
end

-- All slices that begin at `from` or later. With `keep`, older ones are forgotten and the sums kept.
local function sum_all(key, from, step, keep)
  local spent, reserved, old = 0, 0, {}
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local kind, slice = string.sub(all[i], 1, 1), tonumber(string.sub(all[i], 2))
    if slice and slice >= from then
      if kind == 's' then spent = spent + all[i + 1] else reserved = reserved + all[i + 1] end
    elseif slice and slice < from - BEHIND * step then
      old[#old + 1] = all[i]
    end
  end
  if keep then
    if #old > 0 then redis.call('HDEL', key, unpack(old, 1, math.min(#old, 1000))) end
    if spent <= MOST and reserved <= MOST then redis.call('HSET', key, 'b', from, 'S', spent, 'R', reserved) end
  end
  return math.min(spent, MOST), math.min(reserved, MOST)
end

-- The same from the sums that are kept: only the slices between are looked at.
local function sum(key, from, step, keep)
  local kept = redis.call('HMGET', key, 'b', 'S', 'R')
  if not kept[1] then return sum_all(key, from, step, keep) end
  local base, spent, reserved = tonumber(kept[1]), tonumber(kept[2]), tonumber(kept[3])
  if base == from then return spent, reserved end
  local apart = (from - base) / step
  if math.abs(apart) > 30 or apart ~= math.floor(apart) then return sum_all(key, from, step, keep) end
  local fields, old, sign = {}, {}, apart > 0 and -1 or 1
  for slice = math.min(from, base), math.max(from, base) - 1, step do
    fields[#fields + 1], fields[#fields + 2] = 's' .. slice, 'r' .. slice
    local before = slice - BEHIND * step
    old[#old + 1], old[#old + 2] = 's' .. before, 'r' .. before
  end
  local between = redis.call('HMGET', key, unpack(fields))
  for i = 1, #fields, 2 do
    spent, reserved = spent + sign * (between[i] or 0), reserved + sign * (between[i + 1] or 0)
  end
  if keep and apart > 0 then
    redis.call('HDEL', key, unpack(old))
    redis.call('HSET', key, 'b', from, 'S', spent, 'R', reserved)
  end
  return math.min(spent, MOST), math.min(reserved, MOST)
end

-- What the state has of an account and window under this name: spent, reserved, and whether it has anything.
local function counted(field)
  local packed = redis.call('HGET', STATE, field)
  if not packed then return 0, 0, false end
  local spent, reserved = struct.unpack('<dd', packed)
  return spent, reserved, true
end

-- Where an account is: its name in the state, or if its window rolls a key.
local function place(account)
  if account[STEP] ~= 0 then return PREFIX .. 'w:' .. account[NAME] end
  return account.field or 'a|' .. account[NAME] .. '|' .. decimal(account[AT])
end

-- Spent and reserved of an account in its window.
local function stands(account, keep)
  if account[STEP] ~= 0 then return sum(place(account), account[START], account[STEP], keep) end
  return counted(place(account))
end

-- Changes what stands on an account of a rolling window in one slice.
local function change_slice(account, spent, reserved)
  local key, slice, step = place(account), account[AT], account[STEP]
  local base = tonumber(redis.call('HGET', key, 'b') or '')
  -- Nobody asks for it any more.
  if base and slice < base - BEHIND * step then return 0, 0 end
  local in_r, missed_r = add(key, 'r' .. slice, reserved)
  local in_s, missed_s = add(key, 's' .. slice, spent)
  if base and slice >= base then
    local _, missed_R = add(key, 'R', reserved)
    local _, missed_S = add(key, 'S', spent)
    if missed_r or missed_s or missed_R or missed_S then redis.call('HDEL', key, 'b') end
  end
  if reserved > 0 or missed_r or in_s == spent then redis.call('PEXPIRE', key, account[TTL]) end
  return in_s, in_r
end

-- A window without an end is looked at after a day, and forgotten when nothing stands in it: a place for a call that was given
-- back, for instance.
local DAY = 86400000

local function forget_in(ttl, field)
  redis.call('ZADD', WINDOWS, 'NX', decimal(now_ms() + (ttl > 0 and ttl or DAY)), string.sub(field, 3))
end

-- Changes what stands on an account; tells what stands there then, in its slice if it rolls.
local function change(account, spent, reserved)
  if account[STEP] ~= 0 then return change_slice(account, spent, reserved) end
  local field = place(account)
  local before_s, before_r, is_there = counted(field)
  spent, reserved = within(before_s + spent), within(before_r + reserved)
  redis.call('HSET', STATE, field, struct.pack('<dd', spent, reserved))
  if not is_there then forget_in(account[TTL], field) end
  return spent, reserved
end

-- The letter of a hold and what stands after it; of none nothing.
local function state_of(hold)
  local raw = redis.call('HGET', STATE, 'h:' .. hold)
  if not raw then return nil end
  local letter, rest = string.match(raw, '^([ol!])(.*)$')
  return letter or error('a hold that cannot be read'), rest
end

-- The set of the ended that a hold is or will be in, and its number there. A set of up to 512 whole numbers takes 8 bytes for
-- each: holds of four seconds are spread over 16 of them.
local function among_ended(hold)
  local key = PREFIX .. 'e:' .. decimal(math.floor(made_ms(hold) / 4000)) .. ':' .. string.sub(hold, 13, 13)
  return key, decimal(tonumber(string.sub(hold, -13), 16))
end

local function is_ended(hold)
  return redis.call('SISMEMBER', among_ended(hold)) == 1
end
