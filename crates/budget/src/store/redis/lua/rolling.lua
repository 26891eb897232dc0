-- Accounts, and those of rolling windows, which are counted in slices.
--
-- Of a rolling account the state has `w|` and its name: four packed numbers, what was spent and what is reserved in all slices
-- from `base` on, `base`, and its latest slice; `s|`, its name, `|` and the beginning of a slice: spent and reserved in that, as
-- two packed numbers; `i|` and its name: the beginnings of its slices in their order, packed; and `y|` and its name if it has
-- refused: in which slice. The sums are not there where they would be above MOST.

-- Slices that began so many steps before the window are forgotten: a clock may be behind by that.
local BEHIND = 4

local function slice_name(name, slice)
  return 's|' .. name .. '|' .. decimal(slice)
end

-- The names of the slices in an index that begin at `from` or later and before `to`, and where in it those come that are later.
local function slices_in(index, name, from, to)
  local found, place = {}, 1
  while place < #index do
    local slice = struct.unpack('<d', index, place)
    if slice >= to then break end
    if slice >= from then found[#found + 1] = slice_name(name, slice) end
    place = place + 8
  end
  return found, place
end

-- Does a command with some of the fields after the other.
local function with_fields(command, fields, each)
  for first = 1, #fields, 500 do
    local answer = redis.call(command, STATE, unpack(fields, first, math.min(first + 499, #fields)))
    if each then for _, packed in ipairs(answer) do each(packed) end end
  end
end

-- What slices come to.
local function sum_of(fields)
  local spent, reserved = 0, 0
  with_fields('HMGET', fields, function(packed)
    local in_s, in_r = struct.unpack('<dd', packed)
    spent, reserved = spent + in_s, reserved + in_r
  end)
  return spent, reserved
end

local function read_rolling(name)
  local head, index = unpack(redis.call('HMGET', STATE, 'w|' .. name, 'i|' .. name))
  if head then return index, struct.unpack('<dddd', head) end
  return index or ''
end

-- Spent and reserved in the window that begins at `from`, from what `read_rolling` has told.
local function sum(name, from, index, spent, reserved, base)
  if not base then return sum_of((slices_in(index, name, from, math.huge))) end
  if from == base then return spent, reserved end
  local between_s, between_r = sum_of((slices_in(index, name, math.min(from, base), math.max(from, base))))
  local sign = from > base and -1 or 1
  return spent + sign * between_s, reserved + sign * between_r
end

-- Sees to it that the sums of an account are of its window, or of a later one, and that its slice is there: after this the usual
-- way can be gone. What is too old is forgotten.
local function roll(account)
  local name, at, from, step = account[NAME], account[AT], account[START], account[STEP]
  local index, spent, reserved, base, latest = read_rolling(name)
  if base and from <= base and latest == at then return end
  if not base or from > base then
    spent, reserved = sum(name, from, index, spent, reserved, base)
    base = from
  end
  local fields, packed, place = {}, struct.pack('<d', at), #index + 1
  if not latest or at <= latest then
    local _, found = slices_in(index, name, at, at)
    place = found
  end
  if string.sub(index, place, place + 7) ~= packed then
    if at < base - BEHIND * step then return end -- nobody asks for it any more
    index = string.sub(index, 1, place - 1) .. packed .. string.sub(index, place)
    fields = {slice_name(name, at), struct.pack('<dd', 0, 0)}
    redis.call('ZADD', ROLLING, decimal(now_ms() + account[TTL]), name)
  end
  local old, kept = slices_in(index, name, 0, base - BEHIND * step)
  with_fields('HDEL', old)
  index = string.sub(index, kept)
  if spent <= MOST and reserved <= MOST and index ~= '' then
    local head = struct.pack('<ddd', spent, reserved, base) .. string.sub(index, -8)
    fields[#fields + 1], fields[#fields + 2] = 'w|' .. name, head
  end
  redis.call('HSET', STATE, 'i|' .. name, index, unpack(fields))
end

-- Changes what stands on an account of a rolling window in one slice; tells what stands in that slice then.
local function change_slice(account, spent, reserved)
  local head, slice = 'w|' .. account[NAME], slice_name(account[NAME], account[AT])
  local packed = redis.call('HGET', STATE, slice)
  if not packed then
    roll(account)
    packed = redis.call('HGET', STATE, slice)
    if not packed then return 0, 0 end
  end
  local before_s, before_r = struct.unpack('<dd', packed)
  local in_s, in_r = within(before_s + spent), within(before_r + reserved)
  redis.call('HSET', STATE, slice, struct.pack('<dd', in_s, in_r))
  local sums = redis.call('HGET', STATE, head)
  if sums then
    local sum_s, sum_r, base, latest = struct.unpack('<dddd', sums)
    if account[AT] >= base then
      sum_s, sum_r = sum_s + in_s - before_s, sum_r + in_r - before_r
      if sum_s <= MOST and sum_r <= MOST then
        redis.call('HSET', STATE, head, struct.pack('<dddd', sum_s, sum_r, base, latest))
      else
        redis.call('HDEL', STATE, head)
      end
    end
  end
  return in_s, in_r
end

-- Spent and reserved of an account in the window that begins at `from`; if there is a later one that has the slice `at` too, in
-- that.
local function rolling_stands(name, from, at)
  local index, spent, reserved, base = read_rolling(name)
  if at and base and at >= base then from = math.max(from, base) end
  spent, reserved = sum(name, from, index, spent, reserved, base)
  return within(spent), within(reserved)
end

-- An account of which nobody has asked for anything for longer than its window.
local function forget_rolling(name)
  local fields = slices_in(redis.call('HGET', STATE, 'i|' .. name) or '', name, 0, math.huge)
  for _, letter in ipairs({'w|', 'i|', 'y|'}) do fields[#fields + 1] = letter .. name end
  with_fields('HDEL', fields)
  redis.call('ZREM', ROLLING, name)
end

-- What an account is called in the state.
local function place(account)
  if account[STEP] ~= 0 then return 'w|' .. account[NAME] end
  return account.field or 'a|' .. account[NAME] .. '|' .. decimal(account[AT])
end

-- Spent and reserved of an account in its window; `at` as above.
local function stands(account, at)
  if account[STEP] ~= 0 then return rolling_stands(account[NAME], account[START], at) end
  return counted(place(account))
end

-- What cannot be read is an error before anything has changed.
local function check(accounts)
  for _, account in ipairs(accounts) do
    stands(account)
    if account[STEP] ~= 0 then counted(slice_name(account[NAME], account[AT])) end
  end
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
