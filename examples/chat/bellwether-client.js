// bellwether-client, all modules in one file. MIT OR Apache-2.0
class ClientError extends Error {
kind;
status;
retryAfter;
name = "ClientError";
constructor(kind, message, status, retryAfter = 0) {
super(message);
this.kind = kind;
this.status = status;
this.retryAfter = retryAfter;
}
}
function refusal({ status, headers }) {
const after = headers.get("retry-after") ?? "";
const ms = /^\d+$/.test(after) ? Number(after) * 1000 : Date.parse(after) - Date.now();
const kind = status === 401 || status === 403 ? "unauthorized" : "status";
return new ClientError(kind, `the server answered with status ${status}`, status, ms > 0 ? ms : 0);
}
function isFinal({ kind, status = 0 }) {
if (kind === "status")
return status !== 429 && status < 500;
return kind === "unauthorized" || kind === "content-type" || kind === "limit";
}
function watchPage({ hide, show, check = () => { }, online = check }) {
const { addEventListener: add, removeEventListener: remove } = globalThis;
const all = [
["pagehide", hide],
["pageshow", (event) => (event.persisted ? show() : check())],
["visibilitychange", check],
["resume", check],
["online", online],
];
for (const [name, listener] of all)
add?.(name, listener);
return () => {
for (const [name, listener] of all)
remove?.(name, listener);
};
}
function resolved(url) {
return new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
}
function isOffline() {
return globalThis.navigator?.onLine === false;
}
function recall(key) {
try {
return (key && sessionStorage.getItem(key)) || "";
}
catch {
return "";
}
}
function keep(key, id) {
try {
if (key)
sessionStorage.setItem(key, id);
}
catch {
}
}
class LimitError extends Error {
limit;
constructor(limit, max) {
super(`${limit} longer than the limit of ${max}`);
this.limit = limit;
}
}
const LF = 10;
const SPACE = 32;
const COLON = 58;
const DEFAULT_MAX = 1 << 20;
const MAX_RETRY_MS = 2 ** 53;
class Decoder {
lastEventId = "";
retry;
onComment;
endsInRetry = false;
#utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
#wide = new TextDecoder("utf-8", { ignoreBOM: true });
#isAscii = true;
#isStart = true;
#cut;
#line = "";
#isAfterCr = false;
#data;
#event = "";
#id;
#maxLine;
#maxEvent;
#onEvent;
constructor(onEvent, limits = {}) {
this.#onEvent = onEvent;
this.#maxLine = limits.maxLineLength ?? DEFAULT_MAX;
this.#maxEvent = limits.maxEventLength ?? DEFAULT_MAX;
}
push(bytes) {
if (this.#cut) {
const joined = new Uint8Array(this.#cut.length + bytes.length);
joined.set(this.#cut);
joined.set(bytes, this.#cut.length);
bytes = joined;
this.#cut = undefined;
}
const end = wholeCharacters(bytes);
if (end < bytes.length) {
this.#cut = bytes.slice(end);
bytes = bytes.subarray(0, end);
}
if (!bytes.length)
return;
let text = this.#isAscii ? this.#utf8.decode(bytes) : this.#wide.decode(bytes, { stream: true });
this.#isAscii = text.length === bytes.length;
if (this.#isStart) {
this.#isStart = false;
if (text.charCodeAt(0) === 0xfeff)
text = text.slice(1);
}
this.#read(text);
}
reset() {
this.#isStart = true;
this.#cut = undefined;
this.#line = "";
this.#isAfterCr = this.endsInRetry = false;
this.#data = this.#id = undefined;
this.#event = "";
}
#read(text) {
let at = 0;
if (this.#isAfterCr && text) {
this.#isAfterCr = false;
if (text.charCodeAt(0) === LF)
at = 1;
}
let cr = text.indexOf("\r", at);
let lf = text.indexOf("\n", at);
if (this.#line && (cr >= 0 || lf >= 0)) {
const end = cr < 0 || (lf >= 0 && lf < cr) ? lf : cr;
const line = this.#line + text.slice(at, end);
this.#line = "";
text = line + text.slice(end);
at = 0;
if (cr >= 0)
cr += line.length - end;
if (lf >= 0)
lf += line.length - end;
}
for (;;) {
let end = lf;
let next = lf + 1;
if (cr >= 0 && (lf < 0 || cr < lf)) {
end = cr;
next = cr + 1;
if (next === text.length)
this.#isAfterCr = true;
else if (next === lf)
lf = text.indexOf("\n", ++next);
cr = text.indexOf("\r", next);
}
else if (lf < 0)
break;
else if (text.charCodeAt(next) === LF)
lf = next;
else
lf = text.indexOf("\n", next);
if (at === end)
this.#dispatch();
else {
if (end - at > this.#maxLine)
this.#refuse("line", this.#maxLine);
if (isData(text, at))
this.#append(text.slice(text.charCodeAt(at + 5) === SPACE ? at + 6 : at + 5, end));
else
this.#field(text, at, end);
if (lf === next) {
this.#dispatch();
lf = text.indexOf("\n", ++next);
}
}
at = next;
}
if (at < text.length)
this.#line += at ? text.slice(at) : text;
if (this.#line.length > this.#maxLine)
this.#refuse("line", this.#maxLine);
}
#field(text, at, end) {
this.endsInRetry = false;
switch (text.charCodeAt(at)) {
case 100:
return this.#append(valueOf(text, at, end, "data"));
case 101: {
const value = valueOf(text, at, end, "event");
if (value !== undefined)
this.#event = value;
return this.#measure();
}
case 105: {
const value = valueOf(text, at, end, "id");
if (value !== undefined && !value.includes("\0"))
this.#id = value;
return this.#measure();
}
case 114: {
const value = valueOf(text, at, end, "retry");
if (!value || !/^[0-9]+$/.test(value))
return;
this.retry = Math.min(Number(value), MAX_RETRY_MS);
this.endsInRetry = true;
return;
}
case COLON:
this.onComment?.(text.slice(at + 1, end));
}
}
#append(value) {
if (value === undefined)
return;
this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
this.#measure();
}
#measure() {
const length = (this.#data?.length ?? 0) + this.#event.length + (this.#id?.length ?? 0);
if (length > this.#maxEvent)
this.#refuse("event", this.#maxEvent);
}
#refuse(limit, max) {
this.reset();
throw new LimitError(limit, max);
}
#dispatch() {
const data = this.#data;
const event = this.#event || "message";
this.endsInRetry = false;
if (this.#id !== undefined)
this.lastEventId = this.#id;
this.#data = this.#id = undefined;
this.#event = "";
if (data !== undefined)
this.#onEvent({ event, data, id: this.lastEventId });
}
}
function isData(text, at) {
return (text.charCodeAt(at + 4) === COLON &&
text.charCodeAt(at) === 100 &&
text.charCodeAt(at + 1) === 97 &&
text.charCodeAt(at + 2) === 116 &&
text.charCodeAt(at + 3) === 97);
}
function valueOf(text, at, end, name) {
const colon = at + name.length;
if (colon < end && text.charCodeAt(colon) !== COLON)
return undefined;
if (colon > end || !text.startsWith(name, at))
return undefined;
if (colon === end)
return "";
return text.slice(text.charCodeAt(colon + 1) === SPACE && colon + 1 < end ? colon + 2 : colon + 1, end);
}
function wholeCharacters(bytes) {
const { length } = bytes;
for (let back = 1; back <= 3 && back <= length; back++) {
const byte = bytes[length - back];
if (byte < 0x80)
break;
if (byte >= 0xc2)
return byte < 0xf5 && back < (byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4) ? length - back : length;
}
return length;
}
const sse = async (link) => {
const response = await link.request("text/event-stream", link.signal);
link.opened();
const reader = response.body?.getReader();
if (!reader)
return;
const cancel = () => reader.cancel().catch(() => { });
link.signal.addEventListener("abort", cancel);
if (link.signal.aborted)
cancel();
const decoder = new Decoder((event) => link.take(event), link.limits);
decoder.lastEventId = link.lastEventId;
try {
for (;;) {
const { done, value } = await reader.read();
if (done)
break;
link.heard();
try {
decoder.push(value);
}
finally {
link.retry = decoder.retry ?? link.retry;
}
link.lastEventId = decoder.lastEventId;
await link.room();
}
if (decoder.endsInRetry && !link.signal.aborted)
link.stopping();
}
catch (error) {
if (error instanceof LimitError)
throw new ClientError("limit", error.message);
throw error;
}
finally {
link.signal.removeEventListener("abort", cancel);
cancel();
}
};
const MAX_WAITING = 256;
class EventStream {
state = "connecting";
lastEventId = "";
#on = new Map();
#when = new Map();
#waiting;
#takers = [];
#taken;
#error;
on(name, listener) {
return add(this.#on, name, listener);
}
onTell;
when(name, listener) {
return add(this.#when, name, listener);
}
close() {
this.finish();
}
[Symbol.asyncIterator]() {
this.#waiting ??= [];
return this;
}
async next() {
const waiting = (this.#waiting ??= []);
while (!waiting.length && this.state !== "closed")
await new Promise((resolve) => this.#takers.push(resolve));
const value = waiting.shift();
if (waiting.length < MAX_WAITING)
this.#taken?.();
if (value)
return { done: false, value };
const error = this.#error;
this.#error = undefined;
if (error)
throw error;
return { done: true, value: undefined };
}
async return() {
this.#waiting = [];
this.close();
return { done: true, value: undefined };
}
give(event) {
this.#waiting?.push(event);
this.#takers.shift()?.();
call(this.#on, event.event, event);
call(this.#on, "", event);
}
tell(name, value) {
this.onTell?.(name, value);
call(this.#when, name, value);
}
get behind() {
return this.#waiting?.length ?? 0;
}
room() {
if (this.behind < MAX_WAITING || this.state === "closed")
return undefined;
return new Promise((resolve) => (this.#taken = resolve));
}
finish(error) {
if (this.state === "closed")
return false;
this.state = "closed";
this.#error = error;
this.#taken?.();
for (const take of this.#takers.splice(0))
take();
this.tell("end", error);
return true;
}
}
function add(all, name, listener) {
let listeners = all.get(name);
if (!listeners)
all.set(name, (listeners = new Set()));
listeners.add(listener);
return () => listeners.delete(listener);
}
function call(all, name, value) {
for (const listener of all.get(name) ?? []) {
try {
listener(value);
}
catch (error) {
queueMicrotask(() => {
throw error;
});
}
}
}
const MAX_BACKOFF_MS = 60_000;
const MIN_BACKOFF_MS = 500;
const TICK_MS = 5_000;
function delay(retry, failures, random = Math.random()) {
const most = failures && Math.min(MAX_BACKOFF_MS, Math.max(retry, MIN_BACKOFF_MS) * 2 ** failures);
return retry + random * Math.max(most - retry, retry / 10);
}
function alarm(due, ring) {
let timer;
const stop = () => clearTimeout(timer);
const check = () => {
stop();
const left = due() - Date.now();
if (left <= 0)
ring();
else
timer = setTimeout(check, Math.min(left, TICK_MS));
};
check();
return { check, stop };
}
const SILENCE_MS = 60_000;
const FIRST_BYTE_MS = 5_000;
const RETRY_MS = 3_000;
const loadedPoll = async (link) => poll(link);
const OWN = "bellwether.";
class Connection extends EventStream {
#url;
#options;
#leave;
#retry;
#failures = 0;
#silence = SILENCE_MS;
#heard = 0;
#transport;
#isAuto;
#isSecondAsk = false;
#isHidden = false;
#wasHidden = false;
#isFailed = false;
#ending;
#alarm;
#wake;
#due = 0;
#soonest = 0;
constructor(url, options = {}) {
super();
this.#url = resolved(url);
this.#options = options;
this.#retry = options.retry ?? RETRY_MS;
this.#transport = options.transport === "poll" ? loadedPoll : sse;
this.#isAuto = options.transport === "auto";
this.lastEventId = recall(options.remember) || (options.lastEventId ?? "");
options.signal?.addEventListener("abort", () => this.close(), { once: true });
queueMicrotask(() => (options.signal?.aborted ? this.close() : void this.#start()));
}
async #start() {
if (this.#options.shared && globalThis.navigator?.locks && globalThis.BroadcastChannel) {

if (!this.#isClosed())
this.#leave = share(this, this.#url, this.#options);
return;
}
this.#leave = watchPage({
hide: () => {
this.#isHidden = this.#wasHidden = true;
this.#ending?.abort();
},
show: () => {
this.#isHidden = false;
this.#wake?.();
},
check: () => this.#alarm?.check(),
online: () => {
this.#due = this.#soonest;
this.#alarm?.check();
},
});
await this.#run();
}
async #run() {
let again = false;
while (this.state !== "closed") {
if (!again)
this.state = "connecting";
const ending = (this.#ending = new AbortController());
let error;
this.#wasHidden = again = false;
try {
again = await this.#connect(ending);
}
catch (thrown) {
error = thrown instanceof ClientError ? thrown : new ClientError("network", String(thrown?.message ?? thrown));
}
this.#alarm?.stop();
ending.abort();
keep(this.#options.remember, this.lastEventId);
if (this.#isClosed())
return;
if (again)
this.#failures = 0;
else if (!this.#wasHidden)
await this.#wait(error);
while (this.#isHidden && !this.#isClosed())
await new Promise((resolve) => (this.#wake = resolve));
}
}
async #connect(ending) {
const { watchdog, limits = {}, firstByteTimeout = FIRST_BYTE_MS } = this.#options;
const { signal } = ending;
let reason;
let isOpen = false;
let isHeard = false;
this.#heard = Date.now();
this.#isFailed = false;
const began = this.#heard;
const isFirst = () => this.#isAuto && this.#transport === sse && !isHeard;
const due = () => {
const silence = watchdog === false ? Infinity : (watchdog ?? (isOpen ? this.#silence : SILENCE_MS));
return Math.min(this.#heard + silence, isFirst() ? began + firstByteTimeout : Infinity);
};
let isSwitch = false;
this.#alarm = alarm(due, () => {
isSwitch = isFirst();
if (isSwitch)
this.#transport = loadedPoll;
reason = new ClientError("silent", "nothing came for too long");
ending.abort();
});
const stream = this;
const link = {
limits,
signal,
get lastEventId() {
return stream.lastEventId;
},
set lastEventId(id) {
if (id !== stream.lastEventId && !signal.aborted)
stream.#mark(id);
},
get retry() {
return stream.#retry;
},
set retry(ms) {
stream.#retry = ms;
},
request: (accept) => this.#request(accept, signal),
opened: () => {
this.#isSecondAsk = false;
this.#heard = Date.now();
isOpen = true;
if (this.state === "open")
return;
this.state = "open";
this.tell("open", undefined);
},
heard: () => {
isHeard = true;
this.#heard = Date.now();
},
take: (event) => {
if (!signal.aborted)
this.#take(event);
},
room: async () => {
const room = this.room();
if (room) {
this.#heard = Infinity;
await room;
this.#heard = Date.now();
this.#alarm?.check();
}
keep(this.#options.remember, this.lastEventId);
},
stopping: () => this.tell("stopping", undefined),
};
try {
const again = await this.#transport(link);
if (!signal.aborted) {
if (this.#isFailed)
throw new ClientError("failed", "the server has failed");
return again;
}
}
catch (error) {
if (!signal.aborted)
throw error;
}
if (isSwitch)
return true;
if (reason)
throw reason;
}
async #request(accept, signal) {
const { credentials = "same-origin", fetch = globalThis.fetch, token, method } = this.#options;
let request;
try {
const headers = new Headers(await ask(this.#options.headers));
headers.set("accept", accept);
if (this.lastEventId)
headers.set("last-event-id", bytesAsText(this.lastEventId));
const bearer = await ask(token);
if (bearer)
headers.set("authorization", `Bearer ${bearer}`);
const body = await ask(this.#options.body);
request = { headers, credentials, signal, cache: "no-store", method: method ?? (body === undefined ? "GET" : "POST") };
if (body !== undefined)
request.body = body;
}
catch (error) {
throw new ClientError("request", `no request could be made: ${error?.message ?? error}`);
}
signal.throwIfAborted();
const response = await fetch(this.#url, request);
const { status, headers } = response;
const type = headers.get("content-type") ?? "";
const isEmptyPoll = status === 204 && headers.has("bellwether-cursor");
if (status === 200 && type.split(";")[0].trim().toLowerCase() === accept)
return response;
if (isEmptyPoll)
return response;
void response.body?.cancel().catch(() => { });
if (signal.aborted)
throw signal.reason;
if (status === 204) {
this.tell("finished", undefined);
this.finish();
throw signal.reason;
}
if (status !== 200)
throw refusal(response);
throw new ClientError("content-type", `the answer is ${type || "of no type"}, not ${accept}`, status);
}
async #wait(error) {
if (error?.kind === "unauthorized") {
this.tell("unauthorized", { status: error.status });
const { token, headers } = this.#options;
if (!this.#isSecondAsk && (typeof token === "function" || typeof headers === "function")) {
this.#isSecondAsk = true;
return;
}
}
if (error && this.#isAuto && this.#transport === loadedPoll && isFinal(error) && error.kind !== "unauthorized") {
this.#isAuto = false;
this.#transport = sse;
return;
}
if (error && isFinal(error))
return void this.finish(error);
if (this.#isClosed())
return;
const wait = Math.max(delay(this.#retry, error ? ++this.#failures : this.#failures++), error?.retryAfter ?? 0);
const now = Date.now();
this.#soonest = now + Math.max(this.#retry, error?.retryAfter ?? 0);
this.#due = now + wait;
if (isOffline())
this.#due = Math.max(this.#due, now + SILENCE_MS);
this.state = "waiting";
this.tell("waiting", { delay: wait, error });
if (this.#isClosed())
return;
await new Promise((resolve) => {
this.#wake = resolve;
this.#alarm = alarm(() => this.#due, resolve);
});
this.#alarm?.stop();
}
#take(event) {
this.#failures = 0;
const { event: name, data, id } = event;
if (!name.startsWith(OWN)) {
this.lastEventId = id;
return this.give(event);
}
this.#mark(id);
const value = json(data);
switch (name.slice(OWN.length)) {
case "open": {
const ms = value?.keep_alive_ms;
this.#silence = typeof ms === "number" && ms > 0 ? 2 * ms : ms === null ? Infinity : SILENCE_MS;
break;
}
case "gap":
this.tell("gap", (value ?? { reason: "unknown" }));
break;
case "error":
this.#isFailed = true;
this.tell("failed", value);
break;
case "stopping":
this.tell("stopping", undefined);
break;
case "finished":
this.tell("finished", value);
this.finish();
}
}
#mark(id) {
this.lastEventId = id;
this.tell("place", id);
}
finish(error) {
if (!super.finish(error))
return false;
this.#leave?.();
this.#alarm?.stop();
this.#ending?.abort();
this.#wake?.();
keep(this.#options.remember, this.lastEventId);
return true;
}
#isClosed() {
return this.state === "closed";
}
}
async function ask(asked) {
return typeof asked === "function" ? await asked() : asked;
}
function bytesAsText(text) {
return String.fromCharCode(...new TextEncoder().encode(text));
}
function json(text) {
try {
return JSON.parse(text);
}
catch {
return undefined;
}
}
function connect(url, options = {}) {
return new Connection(url, options);
}
class EventSource extends EventTarget {
static CONNECTING = 0;
static OPEN = 1;
static CLOSED = 2;
CONNECTING = 0;
OPEN = 1;
CLOSED = 2;
url;
withCredentials;
onopen = null;
onmessage = null;
onerror = null;
#stream;
#isClosed = false;
constructor(url, options = {}) {
super();
this.url = resolved(url);
const { origin } = new URL(this.url);
this.withCredentials = options.withCredentials ?? false;
const credentials = this.withCredentials ? "include" : "same-origin";
const stream = (this.#stream = connect(this.url, { credentials, ...options }));
const message = (type, data, lastEventId) => this.#send(new MessageEvent(type, { data, lastEventId, origin }));
stream.on("", ({ event, data, id }) => message(event, data, id));
stream.when("open", () => this.#send(new Event("open")));
stream.when("waiting", () => this.#send(new Event("error")));
stream.when("end", () => this.#send(new Event("error")));
for (const [name, type] of [["gap", "gap"], ["failed", "error"], ["finished", "finished"]]) {
stream.when(name, (value) => message(`bellwether.${type}`, JSON.stringify(value ?? {}), stream.lastEventId));
}
}
get readyState() {
const { state } = this.#stream;
return state === "open" ? 1 : state === "closed" ? 2 : 0;
}
close() {
this.#isClosed = true;
this.#stream.close();
}
#send(event) {
if (this.#isClosed)
return;
this.dispatchEvent(event);
const handler = { open: this.onopen, message: this.onmessage, error: this.onerror }[event.type];
handler?.call(this, event);
}
}
const HELD_MS = 1_000;
const poll = async (link) => {
const began = Date.now();
const response = await link.request("application/json", link.signal);
link.opened();
let answer = { cursor: response.headers.get("bellwether-cursor") ?? "" };
if (response.status !== 204) {
const text = await response.text();
try {
answer = JSON.parse(text);
}
catch {
throw new ClientError("content-type", "the answer to a poll is not JSON", response.status);
}
}
link.heard();
const { events = [], cursor } = answer;
for (const { id = link.lastEventId, event = "message", data } of events) {
if (link.signal.aborted)
return;
link.lastEventId = id;
link.take({ event, data, id });
await link.room();
}
if (link.signal.aborted)
return;
link.lastEventId = cursor || link.lastEventId;
return events.length > 0 || Date.now() - began >= HELD_MS;
};
const MAX_KNOWN = 1024;
const MAX_BEHIND = 16_384;
function share(page, url, options) {
const { shared, remember, ...rest } = options;
const name = `bellwether-client:${shared}`;
const me = String(Math.random());
let channel;
let connection;
let leaving;
let isJoining = true;
let leader = "";
const known = new Set();
let mayKnow = false;
const post = (message) => channel?.postMessage(message);
const tellPlace = (to) => post({ kind: "lead", from: me, to, id: page.lastEventId, state: page.state });
const mark = (id) => {
page.lastEventId = id;
keep(remember, id);
};
function join() {
if (leaving)
return;
isJoining = true;
const { signal } = (leaving = new AbortController());
channel = new BroadcastChannel(name);
channel.onmessage = ({ data }) => hear(data);
post({ kind: "hello", from: me });
const hold = () => {
if (!signal.aborted)
lead();
return new Promise((resolve) => (signal.aborted ? resolve() : signal.addEventListener("abort", () => resolve())));
};
navigator.locks.request(name, { signal }, hold).catch(() => {
});
}
function leave() {
const own = connection;
connection = undefined;
own?.close();
channel?.close();
leaving?.abort();
leaving = undefined;
}
function lead() {
let last = page.lastEventId;
const own = (connection = new Connection(url, { ...rest, lastEventId: last }));
isJoining = false;
hearLeader(me);
tellPlace();
own.on("", (event) => {
const hasId = event.id !== last;
last = event.id;
post({ kind: "event", from: me, event, hasId });
receive(event, hasId);
});
own.onTell = (name, value) => {
const { lastEventId: id, state } = own;
last = id;
if (connection !== own)
return;
post({ kind: "signal", from: me, id, name, value: plain(value), state });
signal(name, value, id, state);
};
}
function hear(message) {
const { kind, from } = message;
if (kind === "hello")
return connection && tellPlace(from);
if (connection)
return;
if (kind === "lead") {
hearLeader(from);
if (!isJoining || (message.to ?? me) !== me)
return;
isJoining = false;
const asked = page.lastEventId;
mark(message.id);
page.state = message.state;
if (page.state === "open")
page.tell("open", undefined);
if (asked && asked !== message.id)
page.tell("gap", { reason: "away", asked });
}
else if (!isJoining) {
hearLeader(from);
if (kind === "event")
receive(message.event, message.hasId);
else
signal(message.name, revived(message.value), message.id, message.state);
}
}
function hearLeader(from) {
mayKnow ||= from !== leader;
leader = from;
}
function receive(event, hasId) {
const { id } = event;
if (hasId) {
if (mayKnow && known.has(id))
return;
mayKnow = false;
known.delete(id);
known.add(id);
if (known.size > MAX_KNOWN)
known.delete(known.values().next().value);
}
mark(id);
if (page.behind < MAX_BEHIND)
page.give(event);
else
page.finish(new ClientError("limit", `${MAX_BEHIND} events wait for the loop that reads them`));
}
function signal(name, value, id, state) {
if (name === "end")
return void page.finish(value);
if (!mayKnow || name === "gap")
mark(id);
page.state = state;
page.tell(name, value);
}
const unwatch = watchPage({ hide: leave, show: join });
join();
return () => {
unwatch();
leave();
};
}
function plain(value) {
const { error = value, delay } = (value ?? {});
if (!(error instanceof ClientError))
return value;
const { kind, message, status } = error;
return { delay, refused: { kind, message, status } };
}
function revived(value) {
const { delay, refused } = (value ?? {});
if (!refused)
return value;
const error = new ClientError(refused.kind, refused.message, refused.status);
return delay === undefined ? error : { delay, error };
}
export { connect, Decoder, LimitError, ClientError, EventSource };
