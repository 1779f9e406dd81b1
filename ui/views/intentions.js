// Intentions: which service may call which.

import { change } from "../api.js";
import { empty, link, part, row, table } from "../dom.js";
import { choice, field, form, text } from "../forms.js";

export function list(dc) {
  return {
    title: "Intentions",
    filter: "Search by source or destination",
    only: [["", "All"], ["allow", "Allow"], ["deny", "Deny"]],
    actions: [link(`${dc}/intentions/create`, "New intention")],
    feeds: { intentions: ["/v1/connect/intentions", {}] },
    draw({ intentions }, wanted, only) {
      const found = (intentions || [])
        .filter((item) => `${item.SourceName} ${item.DestinationName}`.toLowerCase().includes(wanted))
        .filter((item) => !only || item.Action === only);
      if (!found.length) return empty("No intentions match.");
      return table(["Source", "", "Destination", "Precedence", "Description"], found.map((item) => row(
        shown(item.SourceName), link(`${dc}/intentions/${part(item.ID)}`, item.Action), shown(item.DestinationName),
        String(item.Precedence), item.Description)));
    },
  };
}

function shown(name) {
  return name === "*" ? "* (all services)" : name;
}

export function edit(dc, id, go) {
  return {
    title: id ? "Intention" : "New intention",
    crumbs: [[`${dc}/intentions`, "Intentions"]],
    once: true,
    feeds: id ? { intention: [`/v1/connect/intentions/${part(id)}`, {}] } : {},
    draw({ intention }) {
      if (id && !intention) return empty("This intention does not exist.");
      const { SourceName = "*", DestinationName = "*", Action = "allow", Description = "" } = intention || {};
      return form([
        field("Source service", text("source", SourceName, { required: true }), "* is every service"),
        field("Destination service", text("destination", DestinationName, { required: true })),
        field("Connections are", choice("action", [["allow", "allowed"], ["deny", "denied"]], Action)),
        field("Description", text("description", Description)),
      ], async ({ elements }) => {
        await change(id ? "PUT" : "POST", `/v1/connect/intentions${id ? `/${part(id)}` : ""}`, { dc }, {
          SourceName: elements.source.value, DestinationName: elements.destination.value, SourceType: "consul",
          Action: elements.action.value, Description: elements.description.value, Meta: intention?.Meta,
        });
        go(`${dc}/intentions`);
      }, {
        cancel: `${dc}/intentions`,
        remove: id ? {
          text: `Delete the intention ${SourceName} → ${DestinationName}?`,
          yes: "Delete",
          run: async () => { await change("DELETE", `/v1/connect/intentions/${part(id)}`, { dc }); go(`${dc}/intentions`); },
        } : null,
      });
    },
  };
}
