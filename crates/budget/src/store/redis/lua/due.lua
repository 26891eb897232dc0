-- Ends an open hold whose lease has passed: books what it says for that case and writes its row. Gives what there is to
-- tell of it: {hold, JSON, then name, booked, spent, reserved of each account}.
local function lose(hold, accounts, json, now, settings)
  -- Those that were written before it stand before it.
  while collect(1000, settings) == 1 do end
  local told = {hold, json}
  for _, account in ipairs(accounts) do
    local spent, reserved = change(account, account[4], -account[3])
    for _, value in ipairs({account[6], account[4], spent, reserved}) do told[#told + 1] = value end
  end
  local sums = {}
  count(sums, json, 1)
  keep(sums, settings)
  write(hold, 'l', redis.call('XADD', ROWS, '*', 'r', json), accounts, json)
  -- For so long a late settlement may correct it.
  redis.call('ZADD', DUE, decimal(now + 7 * 86400000), hold)
  return told
end

-- Goes to the sets of the ended.
local function retire(hold, mark, kept)
  local key, number = string.match(mark, '^!(.*) (%-?%d+)$')
  if key then
    redis.call('SADD', key, number)
    redis.call('PEXPIRE', key, kept)
  end
  redis.call('HDEL', STATE, 'h:' .. hold)
  redis.call('ZREM', DUE, hold)
end

-- Open holds go among the due; those that are there already were renewed meanwhile.
local function gather(most)
  local fresh, scored = redis.call('LPOP', FRESH, most) or {}, {}
  for _, entry in ipairs(fresh) do
    local at = string.find(entry, 'h:', 1, true)
    scored[#scored + 1], scored[#scored + 2] = string.sub(entry, 1, at - 1), string.sub(entry, at + 2)
  end
  if #scored > 0 then redis.call('ZADD', DUE, 'NX', unpack(scored)) end
  return #fresh
end

-- Does what is due of up to so many holds; gives those that are lost, and how many others it has looked at.
local function sweep(most, settings)
  local fresh, now, lost = gather(most), now_ms(), {}
  local due = redis.call('ZRANGEBYSCORE', DUE, '-inf', decimal(now), 'LIMIT', 0, most)
  for _, hold in ipairs(due) do
    local raw = redis.call('HGET', STATE, 'h:' .. hold)
    -- What cannot be read must not keep the others from being lost.
    local is_sound, letter, line, accounts, json = pcall(read, raw)
    if is_sound and letter == 'o' then
      lost[#lost + 1] = lose(hold, accounts, json, now, settings)
    elseif is_sound and letter == '!' and now < made_ms(hold) + RECENT then
      redis.call('ZADD', DUE, decimal(made_ms(hold) + RECENT), hold)
    elseif is_sound and letter == '!' then
      retire(hold, raw, settings[1])
    else
      if is_sound and letter then redis.call('HDEL', STATE, 'h:' .. hold) end
      redis.call('ZREM', DUE, hold)
    end
  end
  return lost, #due + fresh
end
