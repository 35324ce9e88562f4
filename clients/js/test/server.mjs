//! A scripted HTTP server on a port that the system picks, and what it has seen.

import { once } from "node:events";
import { createServer } from "node:http";

/** Answers the requests in turn, each with a function of request and response; the last one answers all that follow. */
export async function scripted(t, ...answers) {
  const requests = [];
  const waiting = [];
  const server = createServer((request, response) => {
    const answer = answers[Math.min(requests.length, answers.length - 1)];
    const seen = { method: request.method, headers: request.headers, at: Date.now(), body: "", closed: once(response, "close") };
    requests.push(seen);
    request.on("data", (chunk) => (seen.body += chunk));
    answer(response, request);
    for (const check of waiting.splice(0)) check();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${server.address().port}/events`,
    requests,
    /** Waits for the request of this number, from 1. */
    async request(number) {
      while (requests.length < number) await new Promise((resolve) => waiting.push(resolve));
      return requests[number - 1];
    },
  };
}

/** Writes an event stream and ends it. */
export const events = (text) => (response) => {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  response.end(text);
};

/** Writes the beginning of an event stream and holds it. */
export const held = (text) => (response) => {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  response.flushHeaders();
  response.write(text);
};

export const cut = (text) => (response) => {
  held(text)(response);
  setImmediate(() => response.destroy());
};

export const status = (code, headers = {}) => (response) => response.writeHead(code, headers).end();

/** Reads a stream to its end: the data of its events, and the error by which it ended. */
export async function drained(stream) {
  const data = [];
  try {
    for await (const event of stream) data.push(event.data);
  } catch (error) {
    return { data, error };
  }
  return { data, error: undefined };
}

/** Everything that a stream tells from now on, by name. */
export function told(stream) {
  const log = [];
  for (const name of ["open", "waiting", "gap", "finished", "failed", "stopping", "unauthorized", "end"]) {
    stream.when(name, (value) => log.push(name === "waiting" || name === "end" ? [name, (name === "end" ? value : value.error)?.kind] : [name, value]));
  }
  return log;
}

/** Waits for the next time that the stream tells this. */
export const next = (stream, name) => new Promise((resolve) => {
  const stop = stream.when(name, (value) => {
    stop();
    resolve(value);
  });
});
