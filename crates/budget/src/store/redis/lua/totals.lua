-- The totals of the rows in the stream: for each day a hash, by model, and by model and subject, of eight packed numbers.
local EIGHT = '<dddddddd'

-- Where in a row they stand (`rows.rs` writes it).
local ROW_AT, SUBJECTS, PROVIDER, MODEL, AMOUNTS = 2, 4, 8, 9, 10

-- Adds a row to sums by day and field; with a sign of -1 takes it out.
local function count(sums, packed, sign)
  local is_sound, row = pcall(cmsgpack.unpack, packed)
  if not is_sound or type(row) ~= 'table' or type(row[AMOUNTS]) ~= 'table' then return end
  local day = decimal(math.floor(row[ROW_AT] / 86400000))
  local model = string.gsub(row[MODEL], '%z', ' ')
  if row[PROVIDER] ~= '' then model = string.gsub(row[PROVIDER], '%z', ' ') .. '/' .. model end
  local fields = {[model .. '\0'] = true}
  for _, subject in ipairs(row[SUBJECTS]) do fields[model .. '\0' .. subject] = true end
  sums[day] = sums[day] or {}
  for field in pairs(fields) do
    local sum = sums[day][field] or {0, 0, 0, 0, 0, 0, 0, 0}
    for i = 1, 8 do sum[i] = sum[i] + sign * math.min(row[AMOUNTS][i], MOST) end
    sums[day][field] = sum
  end
end

-- Adds sums to the totals.
local function keep(sums, settings)
  for day, by_field in pairs(sums) do
    local key, fields = PREFIX .. 'u:' .. day, {}
    for field in pairs(by_field) do fields[#fields + 1] = field end
    for first = 1, #fields, 500 do
      local last, new = math.min(first + 499, #fields), {}
      local old = redis.call('HMGET', key, unpack(fields, first, last))
      for i = first, last do
        local sum, before = by_field[fields[i]], old[i - first + 1]
        if before and #before == 64 then
          before = {struct.unpack(EIGHT, before)}
          for n = 1, 8 do sum[n] = sum[n] + before[n] end
        end
        for n = 1, 8 do sum[n] = within(sum[n]) end
        new[#new + 1], new[#new + 2] = fields[i], struct.pack(EIGHT, unpack(sum))
      end
      redis.call('HSET', key, unpack(new))
    end
    redis.call('SADD', DAYS, key)
    redis.call('PEXPIRE', key, settings[1])
  end
end

-- Rows that were written go into the stream and the totals, at most so many; says whether there may be more.
local function collect(most, settings)
  local written, sums = redis.call('LPOP', WRITTEN, most) or {}, {}
  if #written == 0 then return 0 end
  for _, row in ipairs(written) do
    redis.call('XADD', ROWS, '*', 'r', row)
    count(sums, row, 1)
  end
  keep(sums, settings)
  redis.call('XTRIM', ROWS, 'MAXLEN', '~', settings[2])
  return #written == most and 1 or 0
end
