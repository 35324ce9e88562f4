// What all drivers here share: a line of JSON for each event that the client handed over, and one for its end.

export const url = process.argv[2];

export const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");

export const tellEvent = (event, name) =>
  tell({ id: event.lastEventId ?? event.id, event: name ?? event.event ?? "message", data: event.data });

// The last word of a client whose end is a promise.
export const tellEnd = (error) => tell({ end: error ? error.name || String(error) : "over" });

// The names that an EventSource has to be asked for.
export const names = ["message", "bellwether.gap", "bellwether.error", "bellwether.finished"];
