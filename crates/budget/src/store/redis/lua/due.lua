-- Fresh holds that are open go among the due, with their records; those that are there already were renewed meanwhile.
local function gather(most)
  local fresh, holds, now = redis.call('LPOP', FRESH, most) or {}, {}, now_ms()
  if #fresh == 0 then
    redis.call('HSET', STATE, 'gathered', decimal(now))
    return 0
  end
  local since, fields, scored = tonumber(redis.call('HGET', STATE, 'gathered') or 0), {}, {}
  for i, raw in ipairs(fresh) do
    local is_sound, record = pcall(cmsgpack.unpack, raw)
    holds[i] = is_sound and type(record) == 'table' and record or {''}
    fields[i] = 'h:' .. holds[i][HOLD]
  end
  local states = redis.call('HMGET', STATE, unpack(fields))
  for i, record in ipairs(holds) do
    local letter, due = string.sub(states[i] or '', 1, 1), nil
    if letter == 'o' then
      redis.call('HSETNX', STATE, 'l:' .. record[HOLD], fresh[i])
      -- However wrong the client was about this clock: the hold began after the list was last empty, and before now.
      due = math.max(since, math.min(now, record[BEGUN])) + record[LEASE]
    elseif letter == '!' then
      due = made_ms(record[HOLD]) + RECENT
    end
    if due then scored[#scored + 1], scored[#scored + 2] = decimal(due), record[HOLD] end
  end
  if #scored > 0 then redis.call('ZADD', DUE, 'NX', unpack(scored)) end
  if #fresh < most then redis.call('HSET', STATE, 'gathered', decimal(now)) end
  return #fresh
end

local function gather_all()
  while gather(500) == 500 do end
end

-- The record of a hold that is open or lost.
local function record_of(hold)
  local raw = redis.call('HGET', STATE, 'l:' .. hold)
  if not raw then
    gather_all()
    raw = redis.call('HGET', STATE, 'l:' .. hold)
  end
  return cmsgpack.unpack(raw or error('a hold without a record'))
end

-- Ends an open hold whose lease has passed: books what its record says for that case and writes its row. Gives what there is
-- to tell of it: {hold, row, then name, booked, spent, reserved of each account}.
local function lose(record, now, settings)
  -- Those that were written before it stand before it.
  while collect(1000, settings) == 1 do end
  local told, sums = {record[HOLD], record[ROW]}, {}
  for _, account in ipairs(record[ACCOUNTS]) do
    local spent, reserved = change(account, account[IF_LOST], -account[TAKE])
    for _, value in ipairs({account[NAME], account[IF_LOST], spent, reserved}) do told[#told + 1] = value end
  end
  count(sums, record[ROW], 1)
  keep(sums, settings)
  redis.call('HSET', STATE, 'h:' .. record[HOLD], 'l' .. redis.call('XADD', ROWS, '*', 'r', record[ROW]))
  -- For so long a late settlement may correct it.
  redis.call('ZADD', DUE, decimal(now + 7 * 86400000), record[HOLD])
  return told
end

local function forget(hold)
  redis.call('HDEL', STATE, 'h:' .. hold, 'l:' .. hold)
  redis.call('ZREM', DUE, hold)
end

-- Goes to the sets of the ended. What was made later than `retired` is not in them: a usual reservation relies on that.
local function retire(hold)
  local key, number = among_ended(hold)
  redis.call('SADD', key, number)
  redis.call('PEXPIRE', key, ENDED_KEPT)
  if made_ms(hold) > tonumber(redis.call('HGET', STATE, 'retired') or 0) then
    redis.call('HSET', STATE, 'retired', decimal(made_ms(hold)))
  end
  forget(hold)
end

-- Does what is due of up to so many holds; gives those that are lost, and how many others it has looked at.
local function sweep(most, settings)
  local fresh, now, lost = gather(most), now_ms(), {}
  local due = redis.call('ZRANGEBYSCORE', DUE, '-inf', decimal(now), 'LIMIT', 0, most)
  for _, hold in ipairs(due) do
    -- What cannot be read must not keep the others from being lost.
    local is_sound, letter = pcall(state_of, hold)
    local is_open, record = false, nil
    if is_sound and letter == 'o' then is_open, record = pcall(record_of, hold) end
    if is_open then
      lost[#lost + 1] = lose(record, now, settings)
    elseif is_sound and letter == '!' and now < made_ms(hold) + RECENT then
      redis.call('ZADD', DUE, decimal(made_ms(hold) + RECENT), hold)
    elseif is_sound and letter == '!' then
      retire(hold)
    elseif is_sound then
      forget(hold)
    else
      redis.call('ZREM', DUE, hold)
    end
  end
  return lost, #due + fresh
end
