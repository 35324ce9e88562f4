// The page's script: the state at one place of the log, then the stream from there on, drawn ten times a second.

import { connect } from "./bellwether-client.js";

const KEPT = 1200;
const DRAW_MS = 100;
// Of so many prices, one is drawn: a line of 1,200 points is no finer on a screen.
const STEP = 6;
const WIDTH = 240;
const HEIGHT = 64;
const $ = (id) => document.getElementById(id);

// Per good: its card, its prices as [number, price], and what became of them.
const goods = new Map();
let made = 0;
let read = 0;
let skipped = 0;
let isStale = false;
let recent = [];

start();
setInterval(draw, DRAW_MS);

async function start() {
  const after = await load();
  const prices = connect("/prices", { lastEventId: after });
  prices.when("open", () => show("open", "live"));
  prices.when("waiting", () => show("connecting", "reconnecting"));
  prices.when("end", (error) => error && show("closed", "refused"));
  prices.on("message", (event) => take(JSON.parse(event.data)));
  // The stream cannot go on where we were: begin anew, from the state as it is now.
  prices.when("gap", () => {
    prices.close();
    start();
  });
}

// Reads the state, and tells the place in the log up to which it goes at least.
async function load() {
  for (;;) {
    try {
      const { after, number, prices } = await (await fetch("/snapshot")).json();
      for (const [good, line] of Object.entries(prices)) {
        const first = number - line.length + 1;
        const known = goodOf(good);
        known.prices = line.map((price, i) => [first + i, price]);
        known.number = number;
      }
      isStale = true;
      return after;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

function take({ good, price, number }) {
  const known = goodOf(good);
  // The snapshot may be newer than the first events after its place.
  if (number <= known.number) return;
  made += number - known.number;
  skipped += number - known.number - 1;
  read += 1;
  known.number = number;
  known.prices.push([number, price]);
  while (known.prices[0][0] <= number - KEPT) known.prices.shift();
  isStale = true;
}

function goodOf(name) {
  if (!goods.has(name)) {
    const card = $("card").content.cloneNode(true).firstElementChild;
    card.id = name;
    card.querySelector("h2").textContent = name;
    $("goods").append(card);
    const find = (selector) => card.querySelector(selector);
    goods.set(name, { card, price: find(".price"), change: find(".change"), line: find(".line"), area: find(".area"), prices: [], number: 0 });
  }
  return goods.get(name);
}

function draw() {
  recent = [...recent, read].slice(-1000 / DRAW_MS - 1);
  $("made").textContent = made.toLocaleString("en");
  $("read").textContent = read.toLocaleString("en");
  $("skipped").textContent = skipped.toLocaleString("en");
  $("rate").textContent = (read - recent[0]).toLocaleString("en");
  if (!isStale || document.hidden) return;
  isStale = false;
  for (const good of goods.values()) if (good.prices.length) drawGood(good);
}

function drawGood({ card, price, change, line, area, prices, number }) {
  const [, now] = prices.at(-1);
  const percent = (now / prices[0][1] - 1) * 100;
  price.textContent = now.toFixed(2);
  change.textContent = `${percent < 0 ? "−" : "+"}${Math.abs(percent).toFixed(2)} %`;
  card.dataset.way = percent < 0 ? "down" : "up";

  // Always the same prices are drawn, so that the line moves without trembling.
  const drawn = prices.filter(([i], at) => i % STEP === 0 || at === 0 || at === prices.length - 1);
  const low = Math.min(...drawn.map(([, price]) => price));
  const high = Math.max(...drawn.map(([, price]) => price));
  const first = prices[0][0];
  const x = (i) => (((i - first) * WIDTH) / (number - first || 1)).toFixed(1);
  const y = (price) => (HEIGHT - 6 - ((price - low) / (high - low || 1)) * (HEIGHT - 10)).toFixed(1);
  const points = drawn.map(([i, price]) => `${x(i)} ${y(price)}`).join("L");
  line.setAttribute("d", `M${points}`);
  area.setAttribute("d", `M${points}V${HEIGHT}H0Z`);
}

function show(state, text) {
  $("state").dataset.state = state;
  $("state").textContent = text;
}
