-- KEYS: the state, the list of fresh holds; then the rolling accounts.
-- ARGV: settings, record, {when the hold was made, of each charge limit and take} as packed numbers, `o` and the takes as they
-- will stand in the state, `h:` and the hold; if all is plain the name of each account in the state.
--
-- What is usual comes first and stops there: nothing rolls, the hold is new, its accounts are not, and all have room. What is
-- not goes on below, having changed nothing. What stands between double braces stands there once for each account, with its
-- number in the place of #: a loop and its tables would cost as much as two commands.
--
-- The record goes to a list, the quickest thing to write, from which it comes among the due later (`due`).
do
  local call, read, pack = redis.call, struct.unpack, struct.pack
  local old = call('HMGET', KEYS[1], ARGV[5], 'retired'{{, ARGV[5 + #]}})
  if not old[1]{{ and old[2 + #]}} then
    local made{{, limit#, take#}} = read('<d{{dd}}', ARGV[3])
    {{local spent#, reserved# = read('<dd', old[2 + #]) reserved# = reserved# + take# }}
    if made > (old[2] or 0) + 0{{ and spent# + reserved# <= limit#}} then
      {{local now# = pack('<dd', spent#, reserved#) }}
      call('HSET', KEYS[1], ARGV[5], ARGV[4]{{, ARGV[5 + #], now#}})
      call('RPUSH', KEYS[2], ARGV[2])
      return ''{{ .. now#}}
    end
  end
end
