-- KEYS: the state, the list of rows that were written; then the rolling accounts.
-- ARGV: {settings, of each charge its `ttl` if all is plain; else its account as in a record, and the lease that it was spent
-- from with what is left of that and its row}, {of each charge actual and take} as packed numbers, what the state says of the
-- hold if nothing has happened to it, `h:` and the hold; if all is plain the name of each account in the state; the rows.
--
-- What is usual comes first, as in a reservation: nothing rolls, nothing was spent from a lease, the hold is open and as it was
-- reserved. Rows are put in a list, from which they come into stream and totals (`totals`).
do
  local call, read, pack = redis.call, struct.unpack, struct.pack
  local old = call('HMGET', KEYS[1], ARGV[4]{{, ARGV[4 + #]}})
  if old[1] == ARGV[3]{{ and old[1 + #]}} then
    local {{actual#, take#, }}_ = read('<{{dd}}', ARGV[2])
    {{local spent#, reserved# = read('<dd', old[1 + #]) spent#, reserved# = spent# + actual#, reserved# - take# }}
    if true{{ and spent# <= 9007199254740991 and reserved# >= 0}} then
      {{local now# = pack('<dd', spent#, reserved#) }}
      call('HSET', KEYS[1], ARGV[4], '!'{{, ARGV[4 + #], now#}})
      if ARGV[COUNT + 5] then call('RPUSH', KEYS[2], unpack(ARGV, COUNT + 5)) end
      return ''{{ .. now#}}
    end
  end
end
