// fetch-event-source is written for pages; the three things of one that it looks at.
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
