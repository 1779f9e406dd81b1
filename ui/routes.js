// Which view an address shows. Addresses are Consul's own (`<datacenter>/services/<name>`), so links people keep go on working.

import * as access from "./views/access.js";
import * as cluster from "./views/cluster.js";
import * as intentions from "./views/intentions.js";
import * as kv from "./views/kv.js";
import * as nodes from "./views/nodes.js";
import * as services from "./views/services.js";
import * as settings from "./views/settings.js";

export const SECTIONS = [
  ["services", "Services"],
  ["nodes", "Nodes"],
  ["kv", "Key/Value"],
  ["acls", "Access"],
  ["intentions", "Intentions"],
  ["members", "Cluster"],
  ["settings", "Settings"],
];

// The view of `path` (what follows the datacenter); `go(href)` shows another one.
export function find(dc, path, go) {
  const [section, ...rest] = path;
  const [first, second] = rest;
  switch (section) {
    case "services":
      if (rest.length >= 3) return services.instance(dc, first, rest[1], rest.slice(2).join("/"));
      return first ? services.service(dc, first) : services.list(dc);
    case "nodes": return first ? nodes.node(dc, first) : nodes.list(dc);
    case "kv": return key(dc, rest, go);
    case "acls": return acl(dc, first, second, go);
    case "intentions":
      return first ? intentions.edit(dc, first === "create" ? "" : first, go) : intentions.list(dc);
    case "members": return cluster.members(dc);
    case "settings": return settings.settings(dc);
    default: return services.list(dc);
  }
}

// `…/edit` shows a key, `…/create` makes one in a folder, all else is a folder.
function key(dc, rest, go) {
  const path = rest.slice(0, -1).join("/");
  switch (rest.at(-1)) {
    case "edit": return kv.key(dc, path, go);
    case "create": return kv.create(dc, path ? `${path.replace(/\/$/, "")}/` : "", go);
    default: {
      const folder = rest.join("/");
      return kv.folder(dc, folder && !folder.endsWith("/") ? `${folder}/` : folder, go);
    }
  }
}

function acl(dc, kind, id, go) {
  const editing = id === "create" ? "" : id;
  switch (kind) {
    case "policies": return id ? access.policy(dc, editing, go) : access.policies(dc);
    case "roles": return id ? access.role(dc, editing, go) : access.roles(dc);
    default: return id ? access.token(dc, editing, go) : access.tokens(dc);
  }
}
