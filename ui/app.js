// Lictor's web page: routes the address after `#` to a view, keeps its feeds open, redraws when one brings news.

import { get, live } from "./api.js";
import { element } from "./dom.js";
import * as views from "./views.js";

const view = document.getElementById("view");
const datacenter = document.getElementById("datacenter");
const leader = document.getElementById("leader");
const liveSign = document.getElementById("live");

let current = new AbortController();

function route() {
  const [section, ...rest] = location.hash.replace(/^#\//, "").split("/");
  const path = rest.map(decodeURIComponent).join("/");
  const dc = datacenter.value;
  switch (section) {
    case "services": return [section, path ? views.service(dc, path) : views.services(dc)];
    case "nodes": return [section, path ? views.node(dc, path) : views.nodes(dc)];
    case "kv": return [section, views.keys(dc, path)];
    case "key": return ["kv", views.key(dc, path)];
    case "members": return [section, views.members()];
    default: return ["services", views.services(dc)];
  }
}

function sign(on, text) {
  liveSign.className = `live ${on ? "on" : "off"}`;
  liveSign.textContent = text;
}

function open() {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  const [section, shown] = route();
  for (const item of document.querySelectorAll("nav a")) {
    if (item.dataset.section === section) item.setAttribute("aria-current", "page");
    else item.removeAttribute("aria-current");
  }
  const answers = {};
  const body = element("div", {}, element("p", { class: "mute" }, "Loading…"));
  const search = shown.filter
    ? element("input", { type: "search", placeholder: shown.filter, "aria-label": shown.filter, oninput: () => draw() })
    : null;
  view.replaceChildren(element("h1", {}, shown.title), element("div", { class: "bar" }, search), body);

  function draw() {
    if (Object.keys(shown.feeds).some((name) => !(name in answers))) return;
    body.replaceChildren(...[shown.draw(answers, (search?.value || "").toLowerCase())].flat());
  }

  for (const [name, [path, query]] of Object.entries(shown.feeds)) {
    live(path, query, signal, (data) => {
      answers[name] = data;
      sign(true, "live");
      draw();
    }, (error) => {
      sign(false, "not connected");
      if (!(name in answers)) body.replaceChildren(element("p", { class: "error" }, error.message));
    });
  }
  live("/v1/status/leader", { dc: datacenter.value }, signal, (address) => {
    leader.textContent = address ? `leader ${address}` : "no leader";
  }, (error) => { leader.textContent = error.message; });
}

async function followDatacenters() {
  try {
    const [{ data: self }, { data: names }] = await Promise.all([get("/v1/agent/self"), get("/v1/catalog/datacenters")]);
    const chosen = datacenter.value || self.Config.Datacenter;
    const known = [...datacenter.options].map((option) => option.value);
    if (names.join() !== known.join()) {
      datacenter.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
      datacenter.value = names.includes(chosen) ? chosen : names[0];
      if (!known.length) open();
    }
  } catch (error) {
    sign(false, "not connected");
    if (!datacenter.options.length) view.replaceChildren(element("p", { class: "error" }, error.message));
  }
  setTimeout(followDatacenters, 5000);
}

addEventListener("hashchange", open);
datacenter.addEventListener("change", open);
followDatacenters();
