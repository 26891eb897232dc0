-- The totals of the rows in the stream: for each day a hash, by model, and by model and subject, of eight packed numbers.
local EIGHT = '<dddddddd'
local NAMES = {'requests', 'input', 'output', 'cache_read', 'cache_write', 'cache_write_long', 'reasoning', 'cost'}

-- Adds a row to sums by day and field; with a sign of -1 takes it out.
local function count(sums, json, sign)
  local is_sound, row = pcall(cjson.decode, json)
  if not is_sound or type(row) ~= 'table' then return end
  local day = string.format('%.0f', math.floor((tonumber(row.at) or 0) / 86400000))
  local model = string.gsub(row.model or '', '%z', ' ')
  if row.provider and row.provider ~= '' then model = string.gsub(row.provider, '%z', ' ') .. '/' .. model end
  local fields = {[model .. '\0'] = true}
  for _, subject in ipairs(row.subjects or {}) do fields[model .. '\0' .. subject] = true end
  sums[day] = sums[day] or {}
  for field in pairs(fields) do
    local sum = sums[day][field] or {0, 0, 0, 0, 0, 0, 0, 0}
    for i = 1, 8 do sum[i] = sum[i] + sign * math.min(tonumber(row[NAMES[i]]) or 0, MOST) end
    sums[day][field] = sum
  end
end

-- Adds sums to the totals.
local function keep(sums, settings)
  for day, by_field in pairs(sums) do
    local key, fields = settings[4] .. day, {}
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
        for n = 1, 8 do sum[n] = math.max(0, math.min(MOST, sum[n])) end
        new[#new + 1], new[#new + 2] = fields[i], struct.pack(EIGHT, unpack(sum))
      end
      redis.call('HSET', key, unpack(new))
    end
    redis.call('SADD', DAYS, key)
    redis.call('PEXPIRE', key, settings[2])
  end
end

-- Rows that were written go into the stream and the totals, at most so many; says whether there may be more.
local function collect(most, settings)
  local written, sums = redis.call('LPOP', WRITTEN, most) or {}, {}
  if #written == 0 then return 0 end
  for _, json in ipairs(written) do
    redis.call('XADD', ROWS, '*', 'r', json)
    count(sums, json, 1)
  end
  keep(sums, settings)
  redis.call('XTRIM', ROWS, 'MAXLEN', '~', settings[3])
  return #written == tonumber(most) and 1 or 0
end
