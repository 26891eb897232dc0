-- KEYS: the state, holds by when they are due, then the rolling accounts. ARGV: of each account its name and window or key, slice
-- or nothing, the beginning of its window and its step.
local answer = {}
for i = 1, #ARGV, 4 do
  answer[#answer + 1], answer[#answer + 2] = stands(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
end
return answer
