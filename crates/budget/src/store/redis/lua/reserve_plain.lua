-- KEYS: the state, the list of fresh holds.
-- ARGV: settings, record, {when the hold was made, of each charge limit and take, of each that rolls the beginnings of its window
-- and of its slice} as packed numbers, `o` and the takes as they will stand in the state, `h:` and the hold; if this is for so
-- many accounts, the name of each in the state, and of each that rolls that of its slice.
--
-- What is usual comes first and stops there: the hold is new, its accounts are not, all have room, and those that roll have been
-- asked for in this slice before. What is not goes on below, having changed nothing.
--
-- What stands between double braces stands there once for each account, with its number in the place of #; with a `c` between
-- the braces for those that do not roll, with an `r` for those that do, with the number of its slice in the place of @: slices are
-- numbered on after the accounts. A loop and its tables would cost as much as two commands; and all numbers are read and written
-- in one go, as to call a function costs more than what it does.
--
-- The record goes to a list, the quickest thing to write, from which it comes among the due later (`due`).
do
  local call, sub, ARGV = redis.call, string.sub, ARGV
  local old = call('HMGET', KEYS[1], ARGV[5], 'retired'{{, ARGV[5 + #]}}{r{, ARGV[5 + @]}})
  if not old[1]{{ and old[2 + #]}}{r{ and old[2 + @]}} then
    local all = ARGV[3]{c{ .. old[2 + #]}}{r{ .. old[2 + #]}}{r{ .. old[2 + @]}}
    local made{{, limit#, take#}}{r{, window#}}{c{, spent#, reserved#}}{r{, spent#, reserved#, of#}}{r{, spent@, reserved@}}, past
      = struct.unpack('<d{{dd}}{r{c16}}{c{dd}}{r{ddc16}}{r{dd}}', all)
    {{reserved# = reserved# + take# }}
    if past > #all and made > (old[2] or 0) + 0{{ and spent# + reserved# <= limit#}}{r{ and of# == window#}} then
      local now = struct.pack('<{{dd}}{r{dd}}'{{, spent#, reserved#}}{r{, spent@, reserved@ + take#}})
      call('HSET', KEYS[1], ARGV[5], ARGV[4]{c{, ARGV[5 + #], sub(now, 16 * # - 15, 16 * #)}}
        {r{, ARGV[5 + #], sub(now, 16 * # - 15, 16 * #) .. window#, ARGV[5 + @], sub(now, 16 * @ - 15, 16 * @)}})
      call('RPUSH', KEYS[2], ARGV[2])
      return SLICES == 0 and now or sub(now, 1, 16 * COUNT)
    end
  end
end
