-- Ends an open hold whose lease has passed: books what it says for that case and writes its row. Gives what there is to
-- tell of it: {key of the hold, JSON, then name, booked, spent, reserved of each account}.
local function lose(key, open, rows, days, keep)
  redis.call('ZREM', open, key)
  -- What cannot be read must not keep the others from being lost.
  local is_sound, held = pcall(cmsgpack.unpack, redis.call('GET', key) or '')
  if not is_sound or type(held) ~= 'table' or held[1] ~= 0 then return nil end
  local row = held[3]
  local told = {key, row[1]}
  for _, account in ipairs(held[2]) do
    local spent, reserved = change(account, account[4], -account[3])
    for _, value in ipairs({account[6], account[4], spent, reserved}) do told[#told + 1] = value end
  end
  held[1] = 1
  held[4] = redis.call('XADD', rows, 'MAXLEN', '~', keep.rows, '*', 'r', row[1])
  total(row, 1, days, keep.totals)
  redis.call('SET', key, cmsgpack.pack(held), 'PX', keep.lost)
  return told
end
