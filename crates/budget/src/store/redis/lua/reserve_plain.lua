-- KEYS: as in `common`, with the ended of the hold's time; then the rolling accounts.
-- ARGV: lease, record, {number among the ended, settings, of each charge the beginning of its window}, whether all is plain,
-- {of each charge limit and take}; then `h:` and the hold, and of each account its `s|` and `r|`.
--
-- The plain case first: nothing rolls, the hold is new, its accounts are not, and all have room. What is not plain goes on
-- below, having changed nothing. Lists take what others put in its place later (`due`): they are the quickest to write.
local numbers, first = cmsgpack.unpack(ARGV[5]), 6
if ARGV[4] == '1' then
  local old = redis.call('HMGET', KEYS[1], unpack(ARGV, first))
  if not old[1] then
    local hold, time = ARGV[first], redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local is_plain = now < tonumber(string.sub(hold, 3, 14), 16) + 60000
    local new, answer = {hold, ARGV[2]}, {1}
    for i = 2, #numbers, 2 do
      local spent, reserved = old[i], old[i + 1]
      local after = spent and reserved and reserved + numbers[i]
      if not after or spent + after > numbers[i - 1] then
        is_plain = false
        break
      end
      new[i + 1], new[i + 2] = ARGV[first + i], after
      answer[i], answer[i + 1] = spent, after
    end
    if is_plain then
      redis.call('HSET', KEYS[1], unpack(new))
      redis.call('RPUSH', KEYS[8], (now + ARGV[1]) .. hold)
      return answer
    end
  end
end
