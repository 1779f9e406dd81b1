// Talks to the HTTP API: single reads, and live reads that hold a blocking query open and report each change.

const RETRY_MS = 1000;
const WAIT = "55s";

// The page lives under ui_content_path on the same origin as the API.
const BASE = "";

export class ApiError extends Error {
  constructor(status, text) {
    super(text || `HTTP ${status}`);
    this.status = status;
  }
}

// One GET; `query` values that are undefined are left out. Returns { data, index } and throws ApiError.
export async function get(path, query = {}, signal = undefined) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const text = new URLSearchParams(given).toString();
  const answer = await fetch(`${BASE}${path}${text ? "?" + text : ""}`, { signal });
  if (!answer.ok && answer.status !== 404) throw new ApiError(answer.status, await answer.text());
  const data = answer.status === 404 ? null : await answer.json();
  return { data, index: Number(answer.headers.get("X-Consul-Index") || 0) };
}

// Reads now and again whenever the answer's index moves, until `signal` aborts. Endpoints without an index
// are read again after `pollMs`. `show(data)` gets each answer, `fail(error)` each failure.
export async function live(path, query, signal, show, fail, pollMs = 2000) {
  let index = 0;
  while (!signal.aborted) {
    try {
      const blocking = index > 0 ? { index, wait: WAIT } : {};
      const answer = await get(path, { ...query, ...blocking }, signal);
      if (signal.aborted) return;
      show(answer.data);
      // An index that went backwards starts over, as the API documents.
      index = answer.index < index ? 0 : answer.index;
      if (answer.index === 0) await pause(pollMs, signal);
    } catch (error) {
      if (signal.aborted) return;
      index = 0;
      fail(error);
      await pause(RETRY_MS, signal);
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
