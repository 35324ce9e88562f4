// The page's script: one stream, which brings what is said and who is here, and a POST for each line.

import { connect } from "./bellwether-client.js";

const MAX_LINES = 500;
const RETRY_MS = 2000;
const $ = (id) => document.getElementById(id);

let me = "";
// Lines that this page has said and not yet heard back, by their key.
const waiting = new Map();

$("door").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  enter($("name").value.trim());
});
$("say").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  const text = $("text").value.trim();
  $("text").value = "";
  if (text) say({ name: me, text, at: Date.now(), key: newKey() });
});
$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("say").requestSubmit();
});
// A name after the # enters at once, and a reload keeps it.
if (location.hash.length > 1) enter(decodeURIComponent(location.hash.slice(1)));
else $("name").focus();

function enter(name) {
  if (!name) return;
  me = name;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  $("me").textContent = name;
  $("door").hidden = true;
  $("room").hidden = false;
  $("text").focus();

  const room = connect(`/room/${encodeURIComponent(name)}`);
  room.when("open", () => show("open", "connected"));
  room.when("waiting", () => show("connecting", "reconnecting"));
  room.when("end", () => show("closed", "refused"));
  room.on("message", (event) => hear(JSON.parse(event.data)));
  room.on("here", (event) => list(JSON.parse(event.data)));
  // The server cannot give all that came after our last event, and says so.
  room.when("gap", () => note("The room has forgotten what was said before. It goes on here."));
}

// Sends until the server has answered. The key makes it one line, however often it arrives.
async function say(line) {
  waiting.set(line.key, draw(line, "waiting"));
  for (;;) {
    const response = await fetch("/room", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(line),
    }).catch(() => null);
    if (response?.ok) return;
    if (response && response.status < 500) {
      waiting.get(line.key)?.classList.add("refused");
      return note(`The line was refused: ${response.status}`);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function hear(line) {
  // Our own line takes its place in the order of the room.
  waiting.get(line.key)?.remove();
  waiting.delete(line.key);
  draw(line);
}

function draw(line, state = "") {
  const item = document.createElement("li");
  item.className = state;
  item.dataset.name = line.name;
  const who = document.createElement("p");
  who.className = "who";
  const name = document.createElement("b");
  name.textContent = line.name;
  const time = new Date(line.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (line.name === me) who.append(time);
  else who.append(name, ` ${time}`);
  const text = document.createElement("p");
  text.className = "text";
  text.textContent = line.text;
  if (line.name === me) item.classList.add("mine");
  else item.append(face(line.name));
  item.append(who, text);
  add(item, state === "waiting");
  return item;
}

function note(text) {
  const item = document.createElement("li");
  item.className = "note";
  item.textContent = text;
  add(item, false);
}

// What waits stays below what was said.
function add(item, isWaiting) {
  const lines = $("lines");
  const isAtEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 80;
  const before = isWaiting ? null : lines.querySelector(".waiting:not(.refused)");
  lines.insertBefore(item, before);
  item.classList.toggle("again", Boolean(item.dataset.name) && item.previousElementSibling?.dataset.name === item.dataset.name);
  while (lines.children.length > MAX_LINES) lines.firstElementChild.remove();
  if (isAtEnd || item.classList.contains("mine")) lines.scrollTop = lines.scrollHeight;
}

function list(names) {
  $("count").textContent = names.length;
  $("here").replaceChildren(
    ...names.map((name) => {
      const item = document.createElement("li");
      const text = document.createElement("span");
      text.className = "name";
      text.textContent = name;
      item.append(face(name), text);
      return item;
    }),
  );
}

function face(name) {
  const face = document.createElement("span");
  face.className = "face";
  face.ariaHidden = "true";
  face.textContent = [...name][0].toUpperCase();
  let hue = 0;
  for (const letter of name) hue = (hue * 31 + letter.codePointAt(0)) % 360;
  face.style.setProperty("--hue", hue);
  return face;
}

function show(state, text) {
  $("state").dataset.state = state;
  $("state").textContent = text;
}

// Not randomUUID, which pages without TLS have on localhost only.
function newKey() {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join("-");
}
