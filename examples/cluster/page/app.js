// The page's script: four readers, two at home on each node. A reader whose node goes moves to the other, after the
// last stroke that it had, and comes home when its node is back.

const READERS_PER_NODE = 2;
const ASK_MS = 500;
const MOVE_MS = 250;
const MAX_MARKS = 160;
const $ = (id) => document.getElementById(id);

const named = new URLSearchParams(location.search).get("nodes");
const origins = named ? named.split(",") : ["http://127.0.0.1:8001", "http://127.0.0.1:8002"];

// Which node rang in which run of its process; a node that was killed and started has several.
const runs = new Map();
const nodes = origins.map((origin, index) => makeNode(origin, index));
const readers = nodes.flatMap((node) =>
  Array.from({ length: READERS_PER_NODE }, (_, i) => makeReader(node, node.index * READERS_PER_NODE + i + 1)),
);

for (const node of nodes) ask(node);
for (const reader of readers) connect(reader, reader.home);
setInterval(draw, 100);

function makeNode(origin, index) {
  const card = $("node").content.firstElementChild.cloneNode(true);
  card.dataset.node = index;
  const name = `Node ${new URL(origin).port}`;
  card.querySelector("h2").textContent = name;
  $("nodes").append(card);
  return { origin, index, name, card, state: "asking" };
}

function makeReader(home, number) {
  const card = $("reader").content.firstElementChild.cloneNode(true);
  card.querySelector("h2").textContent = `Reader ${number}`;
  $("readers").append(card);
  // Per run: the number of its last stroke.
  return { home, card, tape: card.querySelector(".tape"), at: null, lastId: "", last: new Map(), heard: 0, missed: 0, repeated: 0, moves: 0 };
}

// Asks a node again and again who it is and how it does.
async function ask(node) {
  try {
    const answer = await fetch(`${node.origin}/node`, { signal: AbortSignal.timeout(2000) });
    const { run, pid, is_ready } = await answer.json();
    runs.set(run, node);
    node.card.querySelector("code").textContent = `kill -9 ${pid}`;
    const wasGone = node.state === "gone";
    node.state = is_ready ? "ringing" : "waiting for the broker";
    if (wasGone) readers.filter((reader) => reader.home === node).forEach((reader) => connect(reader, node));
  } catch {
    node.state = "gone";
  }
  setTimeout(() => ask(node), ASK_MS);
}

function connect(reader, node) {
  reader.source?.close();
  clearTimeout(reader.moving);
  const query = reader.lastId ? `?last_event_id=${encodeURIComponent(reader.lastId)}` : "";
  const source = new EventSource(`${node.origin}/bells${query}`);
  reader.source = source;
  source.onopen = () => {
    if (reader.at && reader.at !== node) {
      reader.moves += 1;
      mark(reader, node, "move");
    }
    reader.at = node;
    reader.card.dataset.node = node.index;
  };
  source.onmessage = (event) => hear(reader, event);
  source.addEventListener("bellwether.gap", (event) => {
    reader.lastId = event.lastEventId;
    reader.last.clear();
    mark(reader, node, "gap");
  });
  // The browser would ask the same node again; this reader asks the next one.
  source.onerror = () => {
    source.close();
    delete reader.card.dataset.node;
    const next = nodes[(node.index + 1) % nodes.length];
    reader.moving = setTimeout(() => connect(reader, next), MOVE_MS * (1 + Math.random()));
  };
}

function hear(reader, event) {
  reader.lastId = event.lastEventId;
  const { run, number } = JSON.parse(event.data);
  const last = reader.last.get(run);
  if (number <= last) {
    reader.repeated += 1;
    return;
  }
  // The first stroke of a run is where this reader has come in.
  if (last !== undefined) reader.missed += number - last - 1;
  reader.last.set(run, number);
  reader.heard += 1;
  mark(reader, runs.get(run), "stroke");
}

function mark(reader, node, kind) {
  const square = document.createElement("i");
  square.className = kind;
  if (node) square.dataset.node = node.index;
  reader.tape.append(square);
  if (reader.tape.childElementCount > MAX_MARKS) reader.tape.firstElementChild.remove();
}

function draw() {
  const sum = (key) => readers.reduce((total, reader) => total + reader[key], 0);
  for (const key of ["heard", "missed", "repeated", "moves"]) {
    $(key).textContent = sum(key).toLocaleString("en");
  }
  $("missed").dataset.wrong = sum("missed") > 0;
  $("repeated").dataset.wrong = sum("repeated") > 0;
  for (const node of nodes) {
    const here = readers.filter((reader) => reader.card.dataset.node === String(node.index)).length;
    node.card.dataset.state = node.state;
    node.card.querySelector(".state").textContent = node.state;
    node.card.querySelector(".readers").textContent = `${here} ${here === 1 ? "reader" : "readers"}`;
  }
  for (const reader of readers) {
    const isHere = reader.card.dataset.node !== undefined;
    reader.card.querySelector(".at").textContent = isHere ? `at ${reader.at.name.toLowerCase()}` : "moving";
    reader.card.querySelector(".tally").textContent =
      `${reader.heard.toLocaleString("en")} heard, ${reader.missed} missed, ${reader.repeated} twice`;
  }
  const up = nodes.filter((node) => node.state === "ringing").length;
  $("state").dataset.state = up === nodes.length ? "open" : up > 0 ? "connecting" : "closed";
  $("state").textContent = up === 0 ? "no node rings" : `${up} of ${nodes.length} nodes ring`;
}
