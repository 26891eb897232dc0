-- KEYS: as in `common`, with the ended of the hold's time; then the rolling accounts.
-- ARGV: what the hold's record begins with if nothing has happened to it, its mark as an ended one, {number among the ended,
-- settings, of each charge its account as in a record, the beginning of its window, and the lease that it was spent from with
-- what is left of that and its row}, whether all is plain, {of each charge actual and take}; then `h:` and the hold, of each
-- account its `s|` and `r|`, and the rows.
--
-- The plain case first: nothing rolls, nothing was spent from a lease, the hold is open and as it was reserved. What is not
-- plain goes on below, having changed nothing. Rows are put in a list, from which they come into stream and totals (`totals`).
local numbers, first = cmsgpack.unpack(ARGV[5]), 6
local rows = first + 1 + #numbers
if ARGV[4] == '1' then
  local old = redis.call('HMGET', KEYS[1], unpack(ARGV, first, rows - 1))
  local is_plain = old[1] and string.sub(old[1], 1, #ARGV[1]) == ARGV[1]
  if is_plain then
    local new, answer = {ARGV[first], ARGV[2]}, {1}
    for i = 2, #numbers, 2 do
      local spent, reserved = old[i], old[i + 1]
      spent, reserved = spent and spent + numbers[i - 1], reserved and reserved - numbers[i]
      if not spent or not reserved or spent > 9007199254740991 or reserved < 0 then
        is_plain = false
        break
      end
      local at = 2 * i
      new[at - 1], new[at], new[at + 1], new[at + 2] = ARGV[first + i - 1], spent, ARGV[first + i], reserved
      answer[i], answer[i + 1] = spent, reserved
    end
    if is_plain then
      redis.call('HSET', KEYS[1], unpack(new))
      if ARGV[rows] then redis.call('RPUSH', KEYS[9], unpack(ARGV, rows)) end
      return answer
    end
  end
end
