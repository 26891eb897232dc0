-- KEYS: the hold, the ended of its time, open holds, lost holds to tell, rows, days, then the account of each charge.
-- ARGV: lease, record, the hold's number among the ended, how long to keep rows, totals and lost holds, then of each
-- charge: limit, take, slice, start, step, ttl.
local hold, open, told = KEYS[1], KEYS[3], KEYS[4]
local now = now_ms()
local due = redis.call('ZRANGEBYSCORE', open, '-inf', now, 'LIMIT', 0, 4)
for i = 1, #due do
  local lost = lose(due[i], open, KEYS[5], KEYS[6], {rows = ARGV[4], totals = ARGV[5], lost = ARGV[6]})
  if lost then
    redis.call('RPUSH', told, cmsgpack.pack(lost))
    redis.call('LTRIM', told, -1000, -1)
  end
end

local held = redis.call('GET', hold)
if held and cmsgpack.unpack(held)[1] ~= 0 then return {2} end
if not held and redis.call('SISMEMBER', KEYS[2], ARGV[3]) == 1 then return {2} end

local answer, is_new = {1}, {}
for i = 1, #KEYS - 6 do
  local key, at = KEYS[6 + i], 6 * i
  local take, slice = tonumber(ARGV[at + 2]), ARGV[at + 3]
  local spent, reserved, known = stands(key, ARGV[at + 4], ARGV[at + 5], true)
  if held then
    take = 0
  elseif spent + reserved + take > tonumber(ARGV[at + 1]) then
    local first = redis.call('HGET', key, 'x') ~= '.' .. slice
    if first then
      redis.call('HSET', key, 'x', '.' .. slice)
      if ARGV[at + 6] ~= '0' then redis.call('PEXPIRE', key, ARGV[at + 6]) end
    end
    return {0, i - 1, spent, reserved, first and 1 or 0}
  end
  is_new[i] = not known
  answer[2 * i], answer[2 * i + 1] = spent, reserved + take
end
if held then return answer end

for i = 1, #KEYS - 6 do
  local key, at = KEYS[6 + i], 6 * i
  local slice, ttl = ARGV[at + 3], ARGV[at + 6]
  redis.call('HINCRBY', key, 'r' .. slice, ARGV[at + 2])
  if slice ~= '' then
    local base = redis.call('HGET', key, 'b')
    if base and tonumber(slice) >= tonumber(base) then redis.call('HINCRBY', key, 'R', ARGV[at + 2]) end
  end
  if ttl ~= '0' and (is_new[i] or slice ~= '') then redis.call('PEXPIRE', key, ttl) end
end
redis.call('SET', hold, ARGV[2])
redis.call('ZADD', open, now + ARGV[1], hold)
return answer
