-- ARGV: at most so many, settings. Answers with the time, and whether there is more.
local most = tonumber(ARGV[1])
gather(most)
return {now_ms(), collect(most, cmsgpack.unpack(ARGV[2]))}
