-- KEYS: as in `common`. ARGV: at most so many, settings.
gather(ARGV[1])
return collect(ARGV[1], cmsgpack.unpack(ARGV[2]))
