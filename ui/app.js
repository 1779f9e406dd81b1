// Lictor's web page: routes the address to a view, keeps its feeds open, redraws when one brings news.
//
// Addresses are those of Consul's page, under the content path: `<datacenter>/services/<name>` and so on.

import { ApiError, get, live } from "./api.js";
import { element, link } from "./dom.js";
import { SECTIONS, find } from "./routes.js";

const view = document.getElementById("view");
const datacenter = document.getElementById("datacenter");
const leader = document.getElementById("leader");
const liveSign = document.getElementById("live");
const sections = document.getElementById("sections");
const BASE = new URL(document.baseURI).pathname;

let current = new AbortController();
let home = "";

function sign(on, text) {
  liveSign.className = `live ${on ? "on" : "off"}`;
  liveSign.textContent = text;
}

// The address below the content path, each part decoded.
function address() {
  return location.pathname.slice(BASE.length).split("/").map(decodeURIComponent);
}

export function go(href, replace = false) {
  history[replace ? "replaceState" : "pushState"](null, "", new URL(href, document.baseURI));
  open();
}

function explained(error) {
  if (error instanceof ApiError && error.status === 403) {
    return [element("p", { class: "error", role: "alert" }, `Access denied: ${error.message}. `,
      link(`${datacenter.value}/settings`, "Give a token that may see this"), ".")];
  }
  return [element("p", { class: "error", role: "alert" }, error.message)];
}

function open() {
  const [dc, ...path] = address();
  if (!dc) return go(`${datacenter.value || home}/services`, true);
  if (datacenter.value !== dc && [...datacenter.options].some((option) => option.value === dc)) datacenter.value = dc;
  current.abort();
  current = new AbortController();
  const { signal } = current;
  const shown = find(dc, path, go);
  document.title = `${shown.title} · Lictor`;
  sections.replaceChildren(...SECTIONS.map(([name, title]) => element("a", {
    href: `${dc}/${name}`, "aria-current": path[0] === name ? "page" : undefined }, title)));

  const answers = {};
  const refused = {};
  const body = element("div", {}, element("p", { class: "mute" }, "Loading…"));
  const search = shown.filter
    ? element("input", { type: "search", placeholder: shown.filter, "aria-label": shown.filter, oninput: () => draw() })
    : null;
  const only = shown.only
    ? element("select", { "aria-label": "Show", onchange: () => draw() },
      shown.only.map(([key, text]) => element("option", { value: key }, text)))
    : null;
  view.replaceChildren(
    element("div", { class: "crumbs" }, (shown.crumbs || []).map(([href, text]) => [link(href, text), " / "])),
    element("div", { class: "title" }, element("h1", {}, shown.title), element("span", { class: "actions" }, shown.actions || [])),
    element("div", { class: "bar" }, search, only), body);

  const feeds = Object.entries(shown.feeds || {});
  const required = feeds.filter(([name]) => !shown.optional?.includes(name)).map(([name]) => name);
  let drawn = false;

  function draw() {
    const failed = required.find((name) => refused[name] && !(name in answers));
    if (failed) return body.replaceChildren(...explained(refused[failed]));
    if (feeds.some(([name]) => !(name in answers) && !refused[name])) return;
    // A form is not taken away from under somebody who fills it in.
    if (shown.once && drawn) return;
    drawn = true;
    body.replaceChildren(...[shown.draw(answers, (search?.value || "").toLowerCase(), only?.value || "")].flat(Infinity).filter(Boolean));
  }

  for (const [name, [path, query]] of feeds) {
    live(path, { dc, ...query }, signal, (data) => {
      answers[name] = data;
      delete refused[name];
      sign(true, "live");
      draw();
    }, (error) => {
      refused[name] = error;
      if (!(error instanceof ApiError)) sign(false, "not connected");
      draw();
    });
  }
  if (!feeds.length) draw();
  live("/v1/status/leader", { dc }, signal, (address) => {
    leader.textContent = address ? `leader ${address}` : "no leader";
    sign(true, "live");
  }, (error) => {
    leader.textContent = error instanceof ApiError ? error.message : "";
    sign(false, "not connected");
  });
}

async function followDatacenters() {
  try {
    const { data: names } = await get("/v1/catalog/datacenters");
    const known = [...datacenter.options].map((option) => option.value);
    if (names.join() !== known.join()) {
      const chosen = address()[0] || (await ownDatacenter(names));
      datacenter.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
      datacenter.value = names.includes(chosen) ? chosen : names[0];
      home = datacenter.value;
      if (!known.length) open();
    }
  } catch (error) {
    sign(false, "not connected");
    if (!datacenter.options.length) view.replaceChildren(...explained(error));
  }
  setTimeout(followDatacenters, 5000);
}

// The nearest datacenter comes first in the list, but only the agent knows its own when there is no distance yet.
async function ownDatacenter(names) {
  try {
    return (await get("/v1/agent/self")).data.Config.Datacenter;
  } catch {
    return names[0];
  }
}

addEventListener("popstate", open);
addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || event.button || event.metaKey || event.ctrlKey || event.shiftKey || anchor.target) return;
  if (anchor.origin !== location.origin || !anchor.pathname.startsWith(BASE)) return;
  event.preventDefault();
  go(anchor.href);
});
datacenter.addEventListener("change", () => {
  const [, section] = address();
  go(`${datacenter.value}/${section || "services"}`);
});
followDatacenters();
