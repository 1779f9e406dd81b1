// The key/value store: folders, one key, a new key.

import { change, get } from "../api.js";
import { button, confirmed, element, empty, facts, link, note, parts, row, section, table } from "../dom.js";
import { area, choice, field, form, text } from "../forms.js";

const STRICT_TEXT = new TextDecoder("utf-8", { fatal: true });

function crumbs(dc, path) {
  const found = [[`${dc}/kv/`, "Key/Value"]];
  const folders = path.split("/").slice(0, -1);
  folders.forEach((name, depth) => found.push([`${dc}/kv/${parts(folders.slice(0, depth + 1).join("/"))}/`, name]));
  return found;
}

export function folder(dc, prefix, go) {
  return {
    title: prefix || "Key/Value",
    crumbs: prefix ? crumbs(dc, prefix.replace(/\/$/, "")) : [],
    filter: "Search keys here",
    actions: [
      link(`${dc}/kv/${parts(prefix)}create`, "New key"),
      prefix ? button("Delete folder", async () => {
        if (await confirmed(`Delete every key under ${prefix}?`, "Delete")) {
          await change("DELETE", `/v1/kv/${parts(prefix)}`, { dc, recurse: "" });
          go(`${dc}/kv/${parts(prefix.replace(/[^/]+\/$/, ""))}`);
        }
      }, "danger small") : null,
    ],
    feeds: { keys: [`/v1/kv/${parts(prefix)}`, { keys: "", separator: "/" }] },
    draw({ keys }, wanted) {
      const found = (keys || []).filter((key) => key !== prefix && key.slice(prefix.length).toLowerCase().includes(wanted));
      if (!found.length) return empty("No keys here.");
      return table(["Key"], found.map((key) => row(
        link(key.endsWith("/") ? `${dc}/kv/${parts(key)}` : `${dc}/kv/${parts(key)}/edit`, key.slice(prefix.length)))));
    },
  };
}

// A value's bytes as text, or as base64 where they are none.
function shown(base64) {
  const bytes = Uint8Array.from(atob(base64 || ""), (character) => character.charCodeAt(0));
  try {
    return [STRICT_TEXT.decode(bytes), "text"];
  } catch {
    return [base64, "base64"];
  }
}

function bytesOf(value, kind) {
  if (kind === "text") return new TextEncoder().encode(value);
  return Uint8Array.from(atob(value), (character) => character.charCodeAt(0));
}

const KINDS = [["text", "text"], ["base64", "base64 (bytes that are no text)"]];

export function key(dc, path, go) {
  const parent = `${dc}/kv/${parts(path.replace(/[^/]*$/, ""))}`;
  return {
    title: path,
    crumbs: crumbs(dc, path),
    once: true,
    feeds: { entry: [`/v1/kv/${parts(path)}`, {}] },
    draw({ entry }) {
      if (!entry) return empty("This key does not exist.");
      const { Value, Flags, LockIndex, Session, CreateIndex, ModifyIndex } = entry[0];
      const [value, kind] = shown(Value);
      return [
        form([
          field("Value", area("value", value)),
          field("Written as", choice("kind", KINDS, kind)),
          field("Flags", text("flags", String(Flags))),
        ], async ({ elements }) => {
          const query = { dc, cas: ModifyIndex, flags: elements.flags.value };
          await change("PUT", `/v1/kv/${parts(path)}`, query, bytesOf(elements.value.value, elements.kind.value));
          go(parent);
        }, {
          cancel: parent,
          remove: {
            text: `Delete the key ${path}?`,
            yes: "Delete",
            run: async () => { await change("DELETE", `/v1/kv/${parts(path)}`, { dc, cas: ModifyIndex }); go(parent); },
          },
        }),
        section("Details", facts([["Lock index", String(LockIndex)], ["Created at index", String(CreateIndex)],
          ["Modified at index", String(ModifyIndex)]])),
        Session ? section("Lock", holder(dc, Session)) : null,
      ];
    },
  };
}

// Who holds the lock on a key, and the way to take it from them.
function holder(dc, session) {
  const place = element("div", {}, note(session));
  get(`/v1/session/info/${session}`, { dc }).then(({ data }) => {
    const [found] = data || [];
    if (!found) return;
    place.replaceChildren(facts([["Session", found.ID], ["Name", found.Name], ["Node", link(`${dc}/nodes/${found.Node}`, found.Node)],
      ["Behaviour", found.Behavior], ["TTL", found.TTL]]), button("Invalidate session", async () => {
      if (await confirmed(`Invalidate the session ${session}? Its locks are released.`, "Invalidate")) {
        await change("PUT", `/v1/session/destroy/${session}`, { dc });
        place.replaceChildren(note("The session is gone."));
      }
    }, "danger"));
  }, (error) => place.append(note(error.message)));
  return place;
}

export function create(dc, prefix, go) {
  return {
    title: "New key",
    crumbs: crumbs(dc, `${prefix}x`),
    once: true,
    draw: () => form([
      field("Key", text("key", "", { required: true }), `Under ${prefix || "the root"}. A slash at the end makes a folder.`),
      field("Value", area("value")),
      field("Written as", choice("kind", KINDS, "text")),
    ], async ({ elements }) => {
      const path = prefix + elements.key.value;
      await change("PUT", `/v1/kv/${parts(path)}`, { dc, cas: 0 }, bytesOf(elements.value.value, elements.kind.value));
      go(`${dc}/kv/${parts(path.replace(/[^/]+$/, ""))}`);
    }, { cancel: `${dc}/kv/${parts(prefix)}` }),
  };
}
