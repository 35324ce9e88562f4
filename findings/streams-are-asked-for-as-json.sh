#!/usr/bin/env bash
# Package: openai and @anthropic-ai/sdk (npm)
# Version: 6.49.0 and 1.14.0
# Behaviour: with `stream: true` the SDKs read nothing but text/event-stream, yet ask for `Accept: application/json`. A
#   server that negotiates, and has only the stream to offer, answers them with 406.
# Standard: RFC 9110, section 12.5.1: Accept says which media types the client prefers, and a server without any of them
#   "can either honor the header field by sending a 406 (Not Acceptable) response or disregard" it.
# Seen:
#   openai: accept: application/json; read a stream of 1
#   @anthropic-ai/sdk: accept: application/json; read a stream of 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund openai@6.49.0 @anthropic-ai/sdk@1.14.0
cat >probe.mjs <<'EOF'
import http from "node:http";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

let accept;
const server = http.createServer((request, response) => {
  accept = request.headers.accept;
  response.writeHead(200, { "content-type": "text/event-stream" });
  if (request.url.includes("messages")) response.end('event: message_stop\ndata: {"type":"message_stop"}\n\n');
  else response.end('data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\ndata: [DONE]\n\n');
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const baseURL = `http://127.0.0.1:${server.address().port}`;
const common = { model: "m", messages: [{ role: "user", content: "hello" }], stream: true };

const read = async (name, stream) => {
  let count = 0;
  for await (const _ of stream) count += 1;
  console.log(`${name}: accept: ${accept}; read a stream of ${count}`);
};
const options = { apiKey: "none", baseURL, maxRetries: 0 };
await read("openai", await new OpenAI(options).chat.completions.create(common));
await read("@anthropic-ai/sdk", await new Anthropic(options).messages.create({ ...common, max_tokens: 9 }));
process.exit(0);
EOF
got=$(timeout 30 node probe.mjs)
echo "$got"
[[ $got == "openai: accept: application/json; read a stream of 1
@anthropic-ai/sdk: accept: application/json; read a stream of 1" ]] || { echo "the behaviour has changed" >&2; exit 1; }
