// Health checks as every view shows them, with the history that this agent keeps of its own.

import { get } from "./api.js";
import { button, element, empty, link, note, part, row, status, table } from "./dom.js";

const ORDER = { critical: 0, warning: 1, passing: 2, none: 3 };

// The worst of some checks; "none" without any.
export function worst(checks) {
  return (checks || []).map((check) => check.Status)
    .reduce((worse, word) => (ORDER[word] < ORDER[worse] ? word : worse), checks?.length ? "passing" : "none");
}

export function byHealth(a, b) {
  return ORDER[a] - ORDER[b];
}

export const HEALTH_CHOICES = [["", "All"], ["passing", "Passing"], ["warning", "Warning"], ["critical", "Critical"]];

async function history(check, place) {
  try {
    const { data } = await get(`/v1/agent/check/history/${part(check.CheckID)}`);
    if (!data) throw new Error("Only the agent of the check's own node keeps its history.");
    place.replaceChildren(data.length
      ? table(["When", "From", "To", "Why"], data.map((change) => row(
        new Date(change.Time).toLocaleString(), status(change.From || "none"), status(change.To), change.Output || change.Reason || "")))[0]
      : note("No changes yet."));
  } catch (error) {
    place.replaceChildren(note(error.message));
  }
}

export function checks(dc, list) {
  if (!list?.length) return empty("No checks.");
  const seen = new Map(list.map((check) => [`${check.Node}/${check.CheckID}`, check]));
  const sorted = [...seen.values()].sort((a, b) => byHealth(a.Status, b.Status) || a.Name.localeCompare(b.Name));
  return table(["Status", "Check", "Node", "Service", "Output"], sorted.map((check) => {
    const place = element("div", {});
    return row(
      status(check.Status),
      [check.Name || check.CheckID, check.CheckID !== check.Name ? element("small", { class: "mute" }, ` ${check.CheckID}`) : null, check.Notes ? note(check.Notes) : null],
      link(`${dc}/nodes/${part(check.Node)}`, check.Node),
      check.ServiceName ? link(`${dc}/services/${part(check.ServiceName)}`, check.ServiceName) : "",
      [element("pre", { class: "inline" }, check.Output || ""), button("History", () => history(check, place), "small"), place]);
  }));
}
