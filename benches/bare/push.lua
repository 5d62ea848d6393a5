-- wrk -s push.lua URL -- BODY_FILE SIGNATURE: posts one signed GitHub push again and again, over kept connections, and
-- prints `requests microseconds p99_microseconds bad_answers socket_errors`.

function init(arguments)
   local file = assert(io.open(arguments[1], "rb"))
   wrk.method = "POST"
   wrk.body = file:read("*a")
   file:close()
   wrk.headers["Content-Type"] = "application/json"
   wrk.headers["User-Agent"] = "GitHub-Hookshot/044aadd"
   wrk.headers["X-GitHub-Event"] = "push"
   wrk.headers["X-GitHub-Delivery"] = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
   wrk.headers["X-Hub-Signature-256"] = arguments[2]
   -- Put together once: wrk measures the server, not Lua.
   local whole = wrk.format()
   request = function() return whole end
end

function done(summary, latency)
   local failed = summary.errors
   print(string.format("RESULT %d %d %d %d %d", summary.requests, summary.duration, latency:percentile(99),
      failed.status, failed.connect + failed.read + failed.write + failed.timeout))
end
