// Nodes, and one node with its services, checks, sessions and distances.

import { change } from "../api.js";
import { HEALTH_CHOICES, byHealth, checks, worst } from "../checks.js";
import { button, confirmed, element, empty, facts, link, note, part, row, section, status, table, tags } from "../dom.js";

export function list(dc) {
  return {
    title: "Nodes",
    filter: "Search nodes by name, address or metadata",
    only: HEALTH_CHOICES,
    feeds: { nodes: ["/v1/internal/ui/nodes", {}], leader: ["/v1/status/leader", {}] },
    draw({ nodes, leader }, wanted, only) {
      const found = nodes
        .filter((node) => [node.Node, node.Address, ...Object.entries(node.Meta || {}).flat()].join(" ").toLowerCase().includes(wanted))
        .filter((node) => !only || worst(node.Checks) === only)
        .sort((a, b) => byHealth(worst(a.Checks), worst(b.Checks)) || a.Node.localeCompare(b.Node));
      if (!found.length) return empty("No nodes match.");
      const host = (leader || "").replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
      return table(["Node", "Health", "Address", "Services", ""], found.map((node) => row(
        link(`${dc}/nodes/${part(node.Node)}`, node.Node), status(worst(node.Checks)), node.Address,
        String(node.Services?.length ?? 0), node.Address === host ? element("span", { class: "tag" }, "leader") : "")));
    },
  };
}

export function node(dc, name) {
  return {
    title: name,
    crumbs: [[`${dc}/nodes`, "Nodes"]],
    feeds: {
      node: [`/v1/internal/ui/node/${part(name)}`, {}],
      sessions: [`/v1/session/node/${part(name)}`, {}],
      coordinates: ["/v1/coordinate/nodes", {}],
    },
    optional: ["sessions", "coordinates"],
    draw({ node, sessions, coordinates }) {
      if (!node) return empty("This node is not in the catalog.");
      const rows = (node.Services || []).map((item) => row(
        link(`${dc}/services/${part(item.Service)}/${part(name)}/${part(item.ID)}`, item.ID),
        link(`${dc}/services/${part(item.Service)}`, item.Service), String(item.Port), tags(item.Tags)));
      return [
        facts([
          ["Health", status(worst(node.Checks))],
          ["Address", node.Address],
          ["ID", node.ID],
          ...Object.entries(node.TaggedAddresses || {}).map(([key, value]) => [`Address ${key}`, value]),
          ...Object.entries(node.Meta || {}),
        ]),
        section("Checks", checks(dc, node.Checks)),
        section("Services", rows.length ? table(["Instance", "Service", "Port", "Tags"], rows) : empty("No services.")),
        section("Round trip time", distances(dc, name, coordinates || [])),
        section("Lock sessions", locks(dc, sessions || [])),
      ];
    },
  };
}

function locks(dc, sessions) {
  if (!sessions.length) return empty("No sessions.");
  return table(["Session", "Name", "Lock delay", "Behaviour", "TTL", ""], sessions.map((session) => row(
    session.ID, session.Name, `${session.LockDelay / 1e9} s`, session.Behavior, session.TTL || "-",
    button("Invalidate", async () => {
      if (await confirmed(`Invalidate the session ${session.ID}? Its locks are released.`, "Invalidate")) {
        await change("PUT", `/v1/session/destroy/${part(session.ID)}`, { dc });
      }
    }, "danger small"))));
}

// Seconds between two Vivaldi coordinates.
export function roundTrip(a, b) {
  const flat = Math.hypot(...a.Vec.map((value, axis) => value - b.Vec[axis])) + a.Height + b.Height;
  const adjusted = flat + a.Adjustment + b.Adjustment;
  return adjusted > 0 ? adjusted : flat;
}

function distances(dc, name, coordinates) {
  const own = coordinates.find((item) => item.Node === name);
  const others = coordinates.filter((item) => item.Node !== name && item.Segment === own?.Segment);
  if (!own || !others.length) return note("No other node with a coordinate is known yet.");
  const found = others.map((item) => [item.Node, roundTrip(own.Coord, item.Coord) * 1000]).sort((a, b) => a[1] - b[1]);
  const half = found[Math.floor(found.length / 2)][1];
  const shown = (milliseconds) => `${milliseconds.toFixed(2)} ms`;
  return [
    facts([["Least", shown(found[0][1])], ["Median", shown(half)], ["Most", shown(found.at(-1)[1])]]),
    table(["To", "Estimate"], found.slice(0, 20).map(([to, time]) => row(link(`${dc}/nodes/${part(to)}`, to), shown(time)))),
  ];
}
