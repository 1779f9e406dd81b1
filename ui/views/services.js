// Services, one service with its instances, one instance.

import { HEALTH_CHOICES, byHealth, checks, worst } from "../checks.js";
import { element, empty, facts, link, part, row, section, status, table, tags } from "../dom.js";


function counts(summary) {
  const words = [["critical", summary.ChecksCritical], ["warning", summary.ChecksWarning], ["passing", summary.ChecksPassing]];
  const shown = words.filter(([, number]) => number > 0);
  return shown.length ? shown.map(([word, number]) => element("span", { class: `status ${word}` }, `${number} `)) : status("none");
}

function health(summary) {
  if (summary.ChecksCritical) return "critical";
  if (summary.ChecksWarning) return "warning";
  return summary.ChecksPassing ? "passing" : "none";
}

export function list(dc) {
  return {
    title: "Services",
    filter: "Search services by name or tag",
    only: HEALTH_CHOICES,
    feeds: { services: ["/v1/internal/ui/services", {}] },
    draw({ services }, wanted, only) {
      const found = services
        .filter((item) => [item.Name, ...(item.Tags || [])].some((text) => text.toLowerCase().includes(wanted)))
        .filter((item) => !only || health(item) === only)
        .sort((a, b) => byHealth(health(a), health(b)) || a.Name.localeCompare(b.Name));
      if (!found.length) return empty("No services match.");
      return table(["Service", "Health checks", "Nodes", "Kind", "Tags"], found.map((item) => row(
        link(`${dc}/services/${part(item.Name)}`, item.Name), counts(item), String(item.Nodes?.length ?? 0),
        [item.Kind || "", ...(item.ExternalSources || []).map((source) => ` ${source}`)], tags(item.Tags))));
    },
  };
}

export function service(dc, name) {
  return {
    title: name,
    crumbs: [[`${dc}/services`, "Services"]],
    filter: "Search instances by ID, node, address or tag",
    only: HEALTH_CHOICES,
    feeds: {
      instances: [`/v1/health/service/${part(name)}`, {}],
      intentions: ["/v1/connect/intentions", {}],
      chain: [`/v1/discovery-chain/${part(name)}`, {}],
    },
    optional: ["intentions", "chain"],
    draw({ instances, intentions, chain }, wanted, only) {
      if (!instances.length) return empty("This service has no instances now.");
      const found = instances
        .filter(({ Node, Service }) => [Service.ID, Node.Node, address(Node, Service), ...(Service.Tags || [])]
          .some((text) => text.toLowerCase().includes(wanted)))
        .filter(({ Checks }) => !only || worst(Checks) === only)
        .sort((a, b) => byHealth(worst(a.Checks), worst(b.Checks)) || a.Service.ID.localeCompare(b.Service.ID));
      const rows = found.map(({ Node, Service, Checks }) => row(
        status(worst(Checks)), link(`${dc}/services/${part(name)}/${part(Node.Node)}/${part(Service.ID)}`, Service.ID),
        link(`${dc}/nodes/${part(Node.Node)}`, Node.Node), address(Node, Service),
        `${Service.Weights?.Passing ?? 1}`, tags(Service.Tags)));
      const related = (intentions || []).filter((item) => [item.SourceName, item.DestinationName].some((end) => end === name || end === "*"));
      return [
        rows.length ? table(["Health", "Instance", "Node", "Address", "Weight", "Tags"], rows) : empty("No instances match."),
        section("Checks", checks(dc, found.flatMap((instance) => instance.Checks))),
        related.length ? section("Intentions", table(["Source", "", "Destination"], related.map((item) => row(
          item.SourceName, link(`${dc}/intentions/${item.ID}`, item.Action), item.DestinationName)))) : null,
        chain?.Chain && !chain.Chain.Default ? section("Routing", routing(chain.Chain)) : null,
      ];
    },
  };
}

function address(node, service) {
  return `${service.Address || node.Address}:${service.Port}`;
}

// The discovery chain from its start node on, as a nested list.
function routing(chain) {
  const shown = (name) => {
    const node = chain.Nodes[name];
    if (!node) return element("li", {}, name);
    const next = [
      ...(node.Routes || []).map((route) => [described(route.Definition?.Match?.HTTP), route.NextNode]),
      ...(node.Splits || []).map((split) => [`${split.Weight} %`, split.NextNode]),
    ];
    return element("li", {}, `${node.Type} ${node.Name}`,
      next.length ? element("ul", {}, next.map(([why, to]) => element("li", {}, why, element("ul", {}, shown(to))))) : null);
  };
  return element("ul", { class: "card" }, shown(chain.StartNode));
}

function described(match) {
  if (!match) return "otherwise";
  const { PathExact, PathPrefix, PathRegex, Methods } = match;
  const path = PathExact || (PathPrefix && `${PathPrefix}*`) || (PathRegex && `~ ${PathRegex}`) || "any path";
  return [...(Methods || []), path].join(" ");
}

export function instance(dc, name, nodeName, id) {
  return {
    title: id,
    crumbs: [[`${dc}/services`, "Services"], [`${dc}/services/${part(name)}`, name]],
    feeds: { instances: [`/v1/health/service/${part(name)}`, { filter: `Service.ID == ${JSON.stringify(id)}` }] },
    draw({ instances }) {
      const found = instances.find((item) => item.Node.Node === nodeName && item.Service.ID === id);
      if (!found) return empty("This instance is gone.");
      const { Node, Service, Checks } = found;
      const { Proxy } = Service;
      return [
        facts([
          ["Health", status(worst(Checks))],
          ["Node", link(`${dc}/nodes/${part(Node.Node)}`, Node.Node)],
          ["Address", address(Node, Service)],
          ["Kind", Service.Kind],
          ["Tags", Service.Tags?.length ? tags(Service.Tags) : ""],
          ["Weights", `passing ${Service.Weights.Passing}, warning ${Service.Weights.Warning}`],
          ...Object.entries(Service.TaggedAddresses || {}).map(([key, value]) => [`Address ${key}`, `${value.Address}:${value.Port}`]),
          ...Object.entries(Service.Meta || {}).map(([key, value]) => [key, value]),
        ]),
        section("Checks", checks(dc, Checks)),
        Proxy?.DestinationServiceName ? section("Proxy", facts([
          ["For", link(`${dc}/services/${part(Proxy.DestinationServiceName)}`, Proxy.DestinationServiceName)],
          ["Instance", Proxy.DestinationServiceID],
          ["Local address", Proxy.LocalServicePort ? `${Proxy.LocalServiceAddress || "127.0.0.1"}:${Proxy.LocalServicePort}` : ""],
        ])) : null,
        Proxy?.Upstreams?.length ? section("Upstreams", table(["Destination", "Type", "Datacenter", "Local address"],
          Proxy.Upstreams.map((item) => row(item.DestinationName, item.DestinationType, item.Datacenter || "",
            `${item.LocalBindAddress || "127.0.0.1"}:${item.LocalBindPort}`)))) : null,
      ];
    },
  };
}
