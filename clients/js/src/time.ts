//! When to connect again, and alarms that a machine's sleep does not put off.

const MAX_BACKOFF_MS = 60_000;
const MIN_BACKOFF_MS = 500;
/** How late a wake-up from sleep may be noticed. */
const TICK_MS = 5_000;

/**
 * The wait before the next connection: the server's `retry` or longer, never shorter.
 *
 * After a clean end, up to a tenth comes on top. After failures, the top of the range doubles with each, up to a minute.
 */
export function delay(retry: number, failures: number, random = Math.random()): number {
  const most = failures && Math.min(MAX_BACKOFF_MS, Math.max(retry, MIN_BACKOFF_MS) * 2 ** failures);
  return retry + random * Math.max(most - retry, retry / 10);
}

/** A watch on the wall clock. */
export interface Alarm {
  /** Looks at the clock now. */
  check(): void;
  stop(): void;
}

/** Rings once `due()` has passed by the wall clock, which goes on while a machine sleeps and its timers stand. */
export function alarm(due: () => number, ring: () => void): Alarm {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = (): void => clearTimeout(timer);
  const check = (): void => {
    stop();
    const left = due() - Date.now();
    if (left <= 0) ring();
    else timer = setTimeout(check, Math.min(left, TICK_MS));
  };
  check();
  return { check, stop };
}
