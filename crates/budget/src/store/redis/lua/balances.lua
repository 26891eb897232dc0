-- KEYS: accounts. ARGV: of each the beginning of its window and its step, if it rolls.
local answer = {}
for i = 1, #KEYS do
  answer[2 * i - 1], answer[2 * i] = stands(KEYS[i], ARGV[2 * i - 1], ARGV[2 * i])
end
return answer
