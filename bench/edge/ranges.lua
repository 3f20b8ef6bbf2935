-- wrk: each request asks for another 16 MiB of a file of 1 GiB.
local part, parts = 16 * 1024 * 1024, 64

function request()
    local first = math.random(0, parts - 1) * part
    local range = string.format("bytes=%d-%d", first, first + part - 1)
    return wrk.format("GET", nil, { ["Host"] = wrk.host, ["Range"] = range })
end
