-- The first call of a slice moves the windows on, and may be usual then.
for _, account in ipairs(cmsgpack.unpack(ARGV[2])[ACCOUNTS]) do
  if account[STEP] ~= 0 then roll(account) end
end
