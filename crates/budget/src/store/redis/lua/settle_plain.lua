-- KEYS: the state, the list of rows that were written.
-- ARGV: {settings, of each charge what its account is besides, or, if this is not for so many accounts, its account as in a
-- record, and the lease that it was spent from with what is left of that and its row}, {of each charge actual and take, of each
-- that rolls the beginning of its slice} as packed numbers, what the state says of the hold if nothing has happened to it, `h:` and
-- the hold; the names as in a reservation; the rows. What an account is besides is its `ttl`; if it rolls {ttl, length of a slice,
-- beginning of its window}.
--
-- What is usual comes first, as in a reservation: nothing was spent from a lease, the hold is open and as it was reserved, and its
-- slices are in their windows. Rows are put in a list, from which they come into stream and totals (`totals`).
do
  local call, sub, ARGV = redis.call, string.sub, ARGV
  local old = call('HMGET', KEYS[1], ARGV[4]{{, ARGV[4 + #]}}{r{, ARGV[4 + @]}})
  if old[1] == ARGV[3]{{ and old[1 + #]}}{r{ and old[1 + @]}} then
    local all = ARGV[2]{c{ .. old[1 + #]}}{r{ .. old[1 + #]}}{r{ .. old[1 + @]}}
    local {{actual#, take#, }}{r{at#, }}{c{spent#, reserved#, }}{r{spent#, reserved#, base#, latest#, }}{r{spent@, reserved@, }}past
      = struct.unpack('<{{dd}}{r{d}}{c{dd}}{r{dddd}}{r{dd}}', all)
    {{spent#, reserved# = spent# + actual#, reserved# - take# }}
    {r{spent@, reserved@ = spent@ + actual#, reserved@ - take# }}
    if past > #all{{ and spent# <= 9007199254740991 and reserved# >= 0}}{r{ and at# >= base# and reserved@ >= 0}} then
      local now = struct.pack('<{{dd}}{r{dd}}'{{, spent#, reserved#}}{r{, spent@, reserved@}})
      call('HSET', KEYS[1], ARGV[4], '!'{c{, ARGV[4 + #], sub(now, 16 * # - 15, 16 * #)}}
        {r{, ARGV[4 + #], sub(now, 16 * # - 15, 16 * #) .. sub(old[1 + #], 17), ARGV[4 + @], sub(now, 16 * @ - 15, 16 * @)}})
      if ARGV[COUNT + SLICES + 5] then call('RPUSH', KEYS[2], unpack(ARGV, COUNT + SLICES + 5)) end
      return SLICES == 0 and now or sub(now, 1, 16 * COUNT)
    end
  end
end
