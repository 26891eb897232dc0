-- KEYS: the state. ARGV: of each account its name in the state, the beginning of its window and its step, which is 0 if it does not
-- roll.
local answer = {}
for i = 1, #ARGV, 3 do
  local spent, reserved
  if ARGV[i + 2] == '0' then
    spent, reserved = counted(ARGV[i])
  else
    spent, reserved = rolling_stands(string.sub(ARGV[i], 3), tonumber(ARGV[i + 1]))
  end
  answer[#answer + 1], answer[#answer + 2] = spent, reserved
end
return answer
