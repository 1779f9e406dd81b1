// Talks to the HTTP API: reads, live reads that hold a blocking query open and report each change, and writes.

const RETRY_MS = 1000;
const WAIT = "55s";
const TOKEN_KEY = "lictor:token";

export class ApiError extends Error {
  constructor(status, text) {
    super(text || `HTTP ${status}`);
    this.status = status;
  }
}

// The ACL token that every request carries; it stays in this browser.
export const token = {
  get: () => localStorage.getItem(TOKEN_KEY) || "",
  set: (secret) => (secret ? localStorage.setItem(TOKEN_KEY, secret) : localStorage.removeItem(TOKEN_KEY)),
};

async function send(method, path, { query = {}, body, signal } = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const text = new URLSearchParams(given).toString();
  const secret = token.get();
  const headers = secret ? { "X-Consul-Token": secret } : {};
  return fetch(text ? `${path}?${text}` : path, { method, body, signal, headers });
}

// One GET; `query` values that are undefined are left out. Returns { data, index }, data null for what does not
// exist; throws ApiError.
export async function get(path, query = {}, signal = undefined) {
  const answer = await send("GET", path, { query, signal });
  if (!answer.ok && answer.status !== 404) throw new ApiError(answer.status, await answer.text());
  const data = answer.status === 404 ? null : await answer.json();
  return { data, index: Number(answer.headers.get("X-Consul-Index") || 0) };
}

// One change; `body` is sent as JSON unless it is a string or bytes. Returns what was answered (JSON where it is JSON);
// throws ApiError, too when a check-and-set did not take place.
export async function change(method, path, query = {}, body = undefined) {
  const raw = body === undefined || typeof body === "string" || body instanceof Uint8Array;
  const answer = await send(method, path, { query, body: raw ? body : JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new ApiError(answer.status, text);
  if (query.cas !== undefined && text.trim() === "false") {
    throw new ApiError(409, "Somebody else changed this meanwhile. Load it again to see what it is now.");
  }
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
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
      // What is refused is not asked for again every second.
      await pause(error instanceof ApiError && error.status < 500 ? 10 * RETRY_MS : RETRY_MS, signal);
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
