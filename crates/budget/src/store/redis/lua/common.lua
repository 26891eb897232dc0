-- What the scripts share. Their KEYS begin alike: the state, holds by when they are due, the ended of some time, windows by their
-- end, lost holds to tell, rows, days, open holds that are not among the due yet, rows that are not among the rows yet.
-- Settings are {how long ended holds and totals are kept, how many rows, what the keys of days begin with}.
--
-- The state is a hash. Of an account in a window it has `s|` (spent), `r|` (reserved) and `x|` (refused) with its name and the
-- beginning of the window. Of a hold it has `h:` with its name: `!` with its place among the ended, if it has ended; else a
-- record: `o` (open) and what is taken of each account, or `l` (lost) and the id of its row; a line's end; and
-- {accounts, JSON of the row to write when it is lost}. An account in that is {name and window, or key if it rolls; slice or
-- nothing; take; if_lost; ttl; name; step}.
--
-- A rolling account is a hash of its own: `s<slice>` and `r<slice>`, and `S` and `R`, the sums of those from slice `b` on.
--
-- No number here is ever above MOST, up to which a Lua number is exact.
local MOST = 9007199254740991
local STATE, DUE, ENDED, WINDOWS, TOLD = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local ROWS, DAYS, FRESH, WRITTEN = KEYS[6], KEYS[7], KEYS[8], KEYS[9]

-- Slices that began so many steps before the window are forgotten: a clock may be behind by that.
local BEHIND = 4

-- For so long an ended hold stays in the state, by its name's time and the server's clock; then it goes to the sets of the
-- ended, which take less room. A reservation looks there if its hold is older than half of that.
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

-- Spent and reserved of an account: in its window, or if it rolls in its slices that begin at `start` or later.
local function stands(key, slice, start, step, keep)
  if slice ~= '' then return sum(key, tonumber(start), tonumber(step), keep) end
  local both = redis.call('HMGET', STATE, 's|' .. key, 'r|' .. key)
  return tonumber(both[1] or 0), tonumber(both[2] or 0)
end

-- Changes what stands on an account of a rolling window in one slice.
local function change_slice(account, spent, reserved)
  local key, slice, step = account[1], tonumber(account[2]), account[7]
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
  if reserved > 0 or missed_r or in_s == spent then redis.call('PEXPIRE', key, account[5]) end
  return in_s, in_r
end

-- A window without an end is looked at after a day, and forgotten when nothing stands in it: a place for a call that was given
-- back, for instance.
local DAY = 86400000

local function forget_in(ttl, window)
  redis.call('ZADD', WINDOWS, 'NX', decimal(now_ms() + (ttl > 0 and ttl or DAY)), window)
end

-- Changes what stands on an account; tells what stands there then, in its slice if it rolls.
local function change(account, spent, reserved)
  if account[2] ~= '' then return change_slice(account, spent, reserved) end
  local key, ttl = account[1], account[5]
  local in_r, missed_r = add(STATE, 'r|' .. key, reserved)
  local in_s = add(STATE, 's|' .. key, spent)
  -- It may be new, or have been forgotten.
  if missed_r or in_s == spent or in_r == reserved then forget_in(ttl, key) end
  return in_s, in_r
end

-- State letter, what the first line has besides, accounts, JSON; of a hold that has ended only the letter, of none nothing.
local function read(raw)
  if not raw then return nil end
  local letter = string.sub(raw, 1, 1)
  if letter == '!' then return letter end
  local line = string.find(raw, '\n', 1, true)
  local rest = cmsgpack.unpack(string.sub(raw, line + 1))
  return letter, string.sub(raw, 2, line - 1), rest[1], rest[2]
end

local function write(hold, letter, line, accounts, json)
  redis.call('HSET', STATE, 'h:' .. hold, letter .. line .. '\n' .. cmsgpack.pack({accounts, json}))
end
