// One function a page: what it reads live (`feeds`) and how it draws what came (`draw`).
// `draw` gets the newest answers by feed name; one that has not come yet is undefined.

import { element, link, row, status, table, tags } from "./dom.js";

const MEMBER_STATUS = { 1: "alive", 2: "leaving", 3: "left", 4: "failed" };
const ORDER = { critical: 0, warning: 1, passing: 2, none: 3 };

export const part = (text) => encodeURIComponent(text);

// The worst of some checks; "none" without any.
function worst(checks) {
  return (checks || []).map((check) => check.Status)
    .reduce((worse, word) => (ORDER[word] < ORDER[worse] ? word : worse), checks?.length ? "passing" : "none");
}

function counts(summary) {
  const words = [["critical", summary.ChecksCritical], ["warning", summary.ChecksWarning], ["passing", summary.ChecksPassing]];
  const shown = words.filter(([, number]) => number > 0);
  return shown.length ? shown.map(([word, number]) => element("span", { class: `status ${word}` }, `${number} `)) : status("none");
}

function empty(text) {
  return element("p", { class: "empty" }, text);
}

export function services(dc) {
  return {
    title: "Services",
    filter: "Search services by name or tag",
    feeds: { services: ["/v1/internal/ui/services", { dc }] },
    draw({ services }, wanted) {
      const found = services.filter((item) => [item.Name, ...(item.Tags || [])].some((text) => text.toLowerCase().includes(wanted)));
      if (!found.length) return empty("No services match.");
      return table(["Service", "Health checks", "Nodes", "Tags"], found.map((item) =>
        row(link(`#/services/${part(item.Name)}`, item.Name), counts(item), String(item.Nodes?.length ?? 0), tags(item.Tags))));
    },
  };
}

export function service(dc, name) {
  return {
    title: name,
    feeds: { instances: [`/v1/health/service/${part(name)}`, { dc }] },
    draw({ instances }) {
      if (!instances.length) return empty("This service has no instances now.");
      const rows = instances.map(({ Node, Service, Checks }) => row(
        status(worst(Checks)), Service.ID, link(`#/nodes/${part(Node.Node)}`, Node.Node),
        `${Service.Address || Node.Address}:${Service.Port}`, tags(Service.Tags)));
      return [table(["Health", "Instance", "Node", "Address", "Tags"], rows), element("h2", {}, "Checks"),
        checks(instances.flatMap((instance) => instance.Checks))];
    },
  };
}

export function nodes(dc) {
  return {
    title: "Nodes",
    filter: "Search nodes by name or address",
    feeds: { nodes: ["/v1/internal/ui/nodes", { dc }], leader: ["/v1/status/leader", { dc }] },
    draw({ nodes, leader }, wanted) {
      const found = nodes.filter((node) => `${node.Node} ${node.Address}`.toLowerCase().includes(wanted));
      if (!found.length) return empty("No nodes match.");
      const host = (leader || "").replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
      return table(["Node", "Health", "Address", "Services", ""], found.map((node) => row(
        link(`#/nodes/${part(node.Node)}`, node.Node), status(worst(node.Checks)), node.Address,
        String(node.Services?.length ?? 0), node.Address === host ? element("span", { class: "tag" }, "leader") : "")));
    },
  };
}

export function node(dc, name) {
  return {
    title: name,
    feeds: { node: [`/v1/internal/ui/node/${part(name)}`, { dc }] },
    draw({ node }) {
      if (!node) return empty("This node is not in the catalog.");
      const rows = (node.Services || []).map((item) => row(
        link(`#/services/${part(item.Service)}`, item.Service), item.ID, String(item.Port), tags(item.Tags)));
      return [element("p", { class: "mute" }, `${node.Address} · ${node.ID || "no ID"}`),
        element("h2", {}, "Services"), rows.length ? table(["Service", "ID", "Port", "Tags"], rows) : empty("No services."),
        element("h2", {}, "Checks"), checks(node.Checks)];
    },
  };
}

function checks(list) {
  if (!list?.length) return empty("No checks.");
  const seen = new Map(list.map((check) => [`${check.Node}/${check.CheckID}`, check]));
  return table(["Status", "Check", "Node", "Service", "Output"], [...seen.values()].map((check) => row(
    status(check.Status), check.Name || check.CheckID, check.Node, check.ServiceName || "", check.Output || "")));
}

export function keys(dc, prefix) {
  return {
    title: `Key/Value  ${prefix}`,
    feeds: { keys: [`/v1/kv/${prefix.split("/").map(part).join("/")}`, { dc, keys: "", separator: "/" }] },
    draw({ keys }) {
      const parent = prefix.replace(/[^/]+\/$/, "");
      const up = prefix ? [row(link(`#/kv/${parent}`, ".."))] : [];
      const rows = (keys || []).filter((key) => key !== prefix).map((key) => row(
        link(`#/${key.endsWith("/") ? "kv" : "key"}/${key.split("/").map(part).join("/")}`, key.slice(prefix.length))));
      return up.length + rows.length ? table(["Key"], [...up, ...rows]) : empty("No keys here.");
    },
  };
}

export function key(dc, path) {
  return {
    title: path,
    feeds: { entry: [`/v1/kv/${path.split("/").map(part).join("/")}`, { dc }] },
    draw({ entry }) {
      if (!entry) return empty("This key does not exist.");
      const { Value, Flags, LockIndex, Session, CreateIndex, ModifyIndex } = entry[0];
      const bytes = Uint8Array.from(atob(Value || ""), (character) => character.charCodeAt(0));
      const facts = [["Flags", Flags], ["Lock index", LockIndex], ["Session", Session || "-"], ["Created at index", CreateIndex], ["Modified at index", ModifyIndex]];
      return [element("div", { class: "scroll" }, element("pre", {}, new TextDecoder().decode(bytes))),
        element("h2", {}, "Details"), table(["", ""], facts.map(([name, value]) => row(name, String(value))))];
    },
  };
}

export function members() {
  const draw = (list, pool) => table(["Member", "Status", "Address", "Type", "Build", "Datacenter"], list
    .sort((a, b) => a.Name.localeCompare(b.Name))
    .map((member) => row(member.Name, status(MEMBER_STATUS[member.Status] || "none"), `${member.Addr}:${member.Port}`,
      member.Tags.role === "consul" ? "server" : "client", (member.Tags.build || "").split(":")[0], member.Tags.dc || pool)));
  return {
    title: "Members",
    feeds: { lan: ["/v1/agent/members", {}], wan: ["/v1/agent/members", { wan: "1" }] },
    draw({ lan, wan }) {
      return [element("h2", {}, "LAN pool of this agent"), draw(lan, ""), element("h2", {}, "WAN pool"),
        wan.length ? draw(wan, "") : empty("This agent is no server, so it is not in the WAN pool.")];
    },
  };
}
