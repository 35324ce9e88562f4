// The page's script: one EventSource, what it says, and what became of it.

const MAX_LINES = 200;
const $ = (id) => document.getElementById(id);

let source = null;
let messages = 0;
let isFirst = true;
let reconnects = 0;
let openedAt = null;
let lastAt = null;

function connect() {
  show("connecting");
  $("toggle").textContent = "Disconnect";
  source = new EventSource("/events");

  source.onopen = () => {
    openedAt = Date.now();
    if (!isFirst) reconnects += 1;
    show("open");
    note(isFirst ? "connected" : "connected again");
    isFirst = false;
  };

  source.onmessage = (event) => {
    messages += 1;
    lastAt = Date.now();
    const { message } = JSON.parse(event.data);
    $("latest").textContent = message;
    $("latest").dataset.filled = "";
    line(message);
    mark();
  };

  // The browser reconnects by itself unless the server said no; then the state is CLOSED.
  source.onerror = () => {
    const wasOpen = openedAt !== null;
    openedAt = null;
    if (source.readyState === EventSource.CLOSED) {
      disconnect("closed by the server");
    } else {
      show("connecting", "reconnecting");
      if (wasOpen) {
        note("connection lost, the browser reconnects");
        mark("break");
      }
    }
  };

  // An error inside the stream has a name of its own; "error" above is the browser's.
  source.addEventListener("bellwether.error", (event) => note(`error: ${event.data}`));
}

function disconnect(reason) {
  source?.close();
  source = null;
  openedAt = null;
  isFirst = true;
  show("closed");
  note(reason);
  $("toggle").textContent = "Connect";
}

function show(state, text = state) {
  $("state").dataset.state = state;
  $("state").textContent = text;
}

function line(text, kind = "message") {
  const item = document.createElement("li");
  const time = document.createElement("time");
  const now = new Date();
  time.dateTime = now.toISOString();
  time.textContent = now.toLocaleTimeString([], { hour12: false });
  const span = document.createElement("span");
  span.className = kind;
  span.textContent = text;
  item.append(time, span);
  $("log").prepend(item);
  while ($("log").children.length > MAX_LINES) $("log").lastElementChild.remove();
  count();
}

function note(text) {
  line(text, "note");
}

function mark(kind = "") {
  const mark = document.createElement("i");
  mark.className = kind;
  mark.addEventListener("animationend", () => mark.remove());
  $("marks").append(mark);
}

function seconds(since) {
  const total = Math.max(0, Math.floor((Date.now() - since) / 1000));
  if (total < 60) return `${total} s`;
  const minutes = Math.floor(total / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function count() {
  $("messages").textContent = messages;
  $("reconnects").textContent = reconnects;
  $("uptime").textContent = openedAt === null ? "–" : seconds(openedAt);
  $("since").textContent = lastAt === null ? "–" : seconds(lastAt);
}

$("toggle").addEventListener("click", () => (source ? disconnect("disconnected by you") : connect()));
$("clear").addEventListener("click", () => $("log").replaceChildren());
setInterval(count, 250);
connect();
