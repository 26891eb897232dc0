-- What the scripts share. All keys come from the caller, ready made and under one hash tag; those of other holds stand in
-- their records. A record is {state (0 open, 1 lost), accounts, row, id of its `lost` row in the stream}; an account in it
-- {key, slice, take, if_lost, ttl, name, step}; a row {JSON, eight amounts, key of its day, its fields there}.
--
-- An account is a hash with `s` (spent) and `r` (reserved), or, if it rolls, `s<slice>` and `r<slice>` for each slice, and
-- `S` and `R`: the sums of those from slice `b` on. `x` is the slice of its last refusal. No number here is ever above MOST,
-- up to which a Lua number is exact.
local MOST = 9007199254740991

-- Slices that began so many steps before the window are forgotten: a clock may be behind by that.
local BEHIND = 4

-- Adds to one number of an account, which stays between 0 and MOST. Says what it is now, and what it was kept from.
local function add(key, field, by)
  -- The sum makes a plain 0 of Lua's -0, which Redis does not read.
  local now = redis.call('HINCRBY', key, field, string.format('%.0f', by + 0))
  if now >= 0 and now <= MOST then return now, nil end
  local kept = now < 0 and 0 or MOST
  redis.call('HSET', key, field, string.format('%.0f', kept))
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
  return math.min(spent, MOST), math.min(reserved, MOST), all[1]
end

-- The same from the sums that are kept: only the slices between are looked at.
local function sum(key, from, step, keep)
  local kept = redis.call('HMGET', key, 'b', 'S', 'R')
  if not kept[1] then return sum_all(key, from, step, keep) end
  local base, spent, reserved = tonumber(kept[1]), tonumber(kept[2]), tonumber(kept[3])
  if base == from then return spent, reserved, kept[1] end
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
  return math.min(spent, MOST), math.min(reserved, MOST), kept[1]
end

-- Spent and reserved of an account, or of its slices that begin at `start` or later; the third is nil if there is nothing yet.
local function stands(key, start, step, keep)
  if start ~= '' then return sum(key, tonumber(start), tonumber(step), keep) end
  local both = redis.call('HMGET', key, 's', 'r')
  return tonumber(both[1] or 0), tonumber(both[2] or 0), both[1] or both[2] or nil
end

-- Changes what stands in a slice; tells what stands there then.
local function change(account, spent, reserved)
  local key, slice, ttl, step = account[1], account[2], account[5], account[7]
  local base = slice ~= '' and tonumber(redis.call('HGET', key, 'b') or '')
  -- Nobody asks for it any more.
  if base and slice < base - BEHIND * step then return 0, 0 end
  local in_r, missed_r = add(key, 'r' .. slice, reserved)
  local in_s, missed_s = add(key, 's' .. slice, spent)
  if base and slice >= base then
    local _, missed_R = add(key, 'R', reserved)
    local _, missed_S = add(key, 'S', spent)
    if missed_r or missed_s or missed_R or missed_S then redis.call('HDEL', key, 'b') end
  end
  -- It is new, or had been forgotten.
  if ttl > 0 and (missed_r or in_s == spent) then redis.call('PEXPIRE', key, ttl) end
  if ttl == 0 and in_s == 0 and in_r == 0 then redis.call('HDEL', key, 's', 'r') end
  return in_s, in_r
end

local EIGHT = '<dddddddd'

-- Adds a row to the totals of its day; with a sign of -1 takes it out.
local function total(row, sign, days, kept)
  local amounts, day, fields = row[2], row[3], row[4]
  local A, B, C, D = sign * amounts[1], sign * amounts[2], sign * amounts[3], sign * amounts[4]
  local E, F, G, H = sign * amounts[5], sign * amounts[6], sign * amounts[7], sign * amounts[8]
  local old, new = redis.call('HMGET', day, unpack(fields)), {}
  for i = 1, #fields do
    local a, b, c, d, e, f, g, h = 0, 0, 0, 0, 0, 0, 0, 0
    if old[i] and #old[i] == 64 then a, b, c, d, e, f, g, h = struct.unpack(EIGHT, old[i]) end
    a, b, c, d, e, f, g, h = a + A, b + B, c + C, d + D, e + E, f + F, g + G, h + H
    if sign < 0 or a + b + c + d + e + f + g + h > MOST then
      local most, least = math.min, math.max
      a, b, c, d = least(most(a, MOST), 0), least(most(b, MOST), 0), least(most(c, MOST), 0), least(most(d, MOST), 0)
      e, f, g, h = least(most(e, MOST), 0), least(most(f, MOST), 0), least(most(g, MOST), 0), least(most(h, MOST), 0)
    end
    new[2 * i - 1] = fields[i]
    new[2 * i] = struct.pack(EIGHT, a, b, c, d, e, f, g, h)
  end
  redis.call('HSET', day, unpack(new))
  if not old[1] then
    redis.call('SADD', days, day)
    redis.call('PEXPIRE', day, kept)
  end
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
