// Access control: tokens, roles and policies, as lists and as forms.

import { change } from "../api.js";
import { button, confirmed, element, empty, facts, link, note, part, row, table } from "../dom.js";
import { area, choice, field, form, text, ticked, ticks, words } from "../forms.js";

const BUILTIN = "00000000-0000-0000-0000-00000000000";

const KINDS = [["tokens", "Tokens"], ["policies", "Policies"], ["roles", "Roles"]];

function tabs(dc, shown) {
  return KINDS.map(([kind, title]) => element("a", { href: `${dc}/acls/${kind}`, "aria-current": kind === shown ? "page" : undefined, class: "tab" }, title));
}

function listView(dc, kind, title, one, headings, cells) {
  return {
    title,
    filter: "Search by name, description or ID",
    actions: [...tabs(dc, kind), link(`${dc}/acls/${kind}/create`, `New ${one}`)],
    feeds: { found: [`/v1/acl/${kind}`, {}] },
    draw({ found }, wanted) {
      const matching = (found || []).filter((item) =>
        [item.Name, item.Description, item.AccessorID, item.ID].join(" ").toLowerCase().includes(wanted));
      return matching.length ? table(headings, matching.map(cells)) : empty("Nothing matches.");
    },
  };
}

const names = (links) => (links || []).map((item) => item.Name || item.ID).join(", ");
const identities = (list) => (list || []).map((item) => [item.ServiceName, ...(item.Datacenters || [])].join("@")).join(" ");

// `web@bj@sh db` → service identities with the datacenters that each is limited to.
function readIdentities(line) {
  return words(line).map((word) => {
    const [ServiceName, ...Datacenters] = word.split("@");
    return Datacenters.length ? { ServiceName, Datacenters } : { ServiceName };
  });
}

export const tokens = (dc) => listView(dc, "tokens", "Tokens", "token", ["Accessor", "Scope", "Description", "Policies", "Roles", "Services"],
  (item) => row(link(`${dc}/acls/tokens/${part(item.AccessorID)}`, item.AccessorID), item.Legacy ? "legacy" : item.Local ? "local" : "global",
    item.Description, names(item.Policies), names(item.Roles), identities(item.ServiceIdentities)));

export const policies = (dc) => listView(dc, "policies", "Policies", "policy", ["Policy", "Description", "Datacenters"],
  (item) => row(link(`${dc}/acls/policies/${part(item.ID)}`, item.Name), item.Description, (item.Datacenters || ["all"]).join(", ")));

export const roles = (dc) => listView(dc, "roles", "Roles", "role", ["Role", "Description", "Policies", "Services"],
  (item) => row(link(`${dc}/acls/roles/${part(item.ID)}`, item.Name), item.Description, names(item.Policies), identities(item.ServiceIdentities)));

const links = (ids) => ids.map((ID) => ({ ID }));
const options = (list) => (list || []).map((item) => [item.ID, item.Name]);
const chosen = (list) => (list || []).map((item) => item.ID);

// What the three forms have in common: where they lead, how they save and delete.
function editor(dc, kind, id, go, title, feeds, fields, read, { extra = () => null, fixed = false } = {}) {
  const home = `${dc}/acls/${kind}`;
  const one = { tokens: "token", policies: "policy", roles: "role" }[kind];
  return {
    title,
    crumbs: [[home, KINDS.find(([key]) => key === kind)[1]]],
    once: true,
    feeds: { ...feeds, ...(id ? { item: [`/v1/acl/${one}/${part(id)}`, {}] } : {}) },
    draw(answers) {
      if (id && !answers.item) return empty("This does not exist any more.");
      const item = answers.item || {};
      return [
        form(fields(item, answers), async (made) => {
          await change("PUT", `/v1/acl/${one}${id ? `/${part(id)}` : ""}`, { dc }, { ...read(made, item) });
          go(home);
        }, {
          cancel: home,
          remove: id && !fixed ? {
            text: `Delete this ${one}? What uses it loses its rights at once.`,
            yes: "Delete",
            run: async () => { await change("DELETE", `/v1/acl/${one}/${part(id)}`, { dc }); go(home); },
          } : null,
        }),
        extra(item),
      ];
    },
  };
}

export function policy(dc, id, go) {
  return editor(dc, "policies", id, go, id ? "Policy" : "New policy", {}, (item) => [
    field("Name", text("name", item.Name, { required: true, pattern: "[A-Za-z0-9\\-_]{1,128}" }), "Letters, digits, - and _"),
    field("Description", text("description", item.Description)),
    field("Rules", area("rules", item.Rules, 14), 'For example: key_prefix "app/" { policy = "read" }'),
    field("Datacenters", text("datacenters", (item.Datacenters || []).join(" ")), "Empty: valid in all"),
  ], ({ elements }, item) => ({
    ID: item.ID, Name: elements.name.value, Description: elements.description.value, Rules: elements.rules.value,
    Datacenters: words(elements.datacenters.value),
  }), { fixed: id.startsWith(BUILTIN) });
}

export function role(dc, id, go) {
  return editor(dc, "roles", id, go, id ? "Role" : "New role", { policies: ["/v1/acl/policies", {}] }, (item, { policies }) => [
    field("Name", text("name", item.Name, { required: true, pattern: "[A-Za-z0-9\\-_]{1,256}" }), "Letters, digits, - and _"),
    field("Description", text("description", item.Description)),
    field("Policies", ticks("policies", options(policies), chosen(item.Policies))),
    field("Service identities", text("services", identities(item.ServiceIdentities)), "web@bj db: the service web in bj, db everywhere"),
  ], (made, item) => ({
    ID: item.ID, Name: made.elements.name.value, Description: made.elements.description.value,
    Policies: links(ticked(made, "policies")), ServiceIdentities: readIdentities(made.elements.services.value),
  }));
}

export function token(dc, id, go) {
  const feeds = { policies: ["/v1/acl/policies", {}], roles: ["/v1/acl/roles", {}] };
  return editor(dc, "tokens", id, go, id || "New token", feeds, (item, { policies, roles }) => [
    item.Rules ? note("A token of the earlier system; its rules are: ", element("pre", {}, item.Rules)) : null,
    field("Description", text("description", item.Description)),
    id ? null : field("Valid in", choice("local", [["", "all datacenters"], ["yes", `${dc} only`]], "")),
    field("Policies", ticks("policies", options(policies), chosen(item.Policies))),
    field("Roles", ticks("roles", options(roles), chosen(item.Roles))),
    field("Service identities", text("services", identities(item.ServiceIdentities)), "web@bj db: the service web in bj, db everywhere"),
    id ? null : field("Expires after", text("ttl", "", { placeholder: "never" }), "For example 8h"),
  ], (made, item) => ({
    ...(id ? { AccessorID: item.AccessorID, SecretID: item.SecretID, Local: item.Local } : { Local: made.elements.local.value !== "" }),
    ...(made.elements.ttl?.value ? { ExpirationTTL: made.elements.ttl.value } : {}),
    Description: made.elements.description.value, Policies: links(ticked(made, "policies")), Roles: links(ticked(made, "roles")),
    ServiceIdentities: readIdentities(made.elements.services.value),
  }), {
    fixed: id.startsWith(BUILTIN),
    extra: (item) => (id ? [
      facts([["Secret", secret(item.SecretID)], ["Scope", item.Local ? "local" : "global"], ["Created", item.CreateTime],
        ["Expires", item.ExpirationTime], ["Made by login through", item.AuthMethod]]),
      button("Clone", async () => {
        if (await confirmed("Make another token with the same rights?", "Clone")) {
          const made = await change("PUT", `/v1/acl/token/${part(id)}/clone`, { dc }, {});
          go(`${dc}/acls/tokens/${part(made.AccessorID)}`);
        }
      }),
    ] : null),
  });
}

// Shown when asked for, not to whoever looks over the shoulder.
function secret(id) {
  const place = element("span", {}, button("Show", () => place.replaceChildren(element("code", {}, id)), "small"));
  return place;
}
