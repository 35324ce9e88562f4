//! The page around a stream: put away and brought back, shown, online.

export interface PageListener {
  /** The page is put away, perhaps into the page cache, which no open connection allows. */
  hide(): void;
  /** The page came back from the page cache. */
  show(): void;
  /** The page may have slept, or the network may have changed: look at the clock. */
  check?(): void;
  /** The network is back. */
  online?(): void;
}

/** Listens to the page, where there is one. Returns how to stop that. */
export function watchPage({ hide, show, check = () => {}, online = check }: PageListener): () => void {
  const { addEventListener: add, removeEventListener: remove } = globalThis;
  // A document's `visibilitychange` bubbles up to its window.
  const all: Array<[string, (event: Event) => void]> = [
    ["pagehide", hide],
    ["pageshow", (event) => ((event as PageTransitionEvent).persisted ? show() : check())],
    ["visibilitychange", check],
    ["resume", check],
    ["online", online],
  ];
  for (const [name, listener] of all) add?.(name, listener);
  return () => {
    for (const [name, listener] of all) remove?.(name, listener);
  };
}

/** The whole address of what a page may write relative to itself. */
export function resolved(url: string | URL): string {
  return new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
}

/** Only a clear no counts. */
export function isOffline(): boolean {
  return globalThis.navigator?.onLine === false;
}

/** The id that an earlier load of this page has kept, `""` if it has none. */
export function recall(key: string | undefined): string {
  try {
    return (key && sessionStorage.getItem(key)) || "";
  } catch {
    // Storage may be forbidden; the page then works without.
    return "";
  }
}

export function keep(key: string | undefined, id: string): void {
  try {
    if (key) sessionStorage.setItem(key, id);
  } catch {
    // As above, or it is full.
  }
}
