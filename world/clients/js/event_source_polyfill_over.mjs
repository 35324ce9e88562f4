// event-source-polyfill takes 204 for a failure and asks again: here it is closed when the stream says that it is whole.
import polyfill from "event-source-polyfill";
import { names, tell, tellEvent, url } from "./tell.mjs";

const source = new polyfill.EventSourcePolyfill(url);
for (const name of names) source.addEventListener(name, (event) => tellEvent(event, name));
source.addEventListener("bellwether.finished", () => {
  source.close();
  tell({ end: "closed" });
});
