// What this browser remembers: the ACL token.

import { get, token } from "../api.js";
import { element, facts, link, note, part } from "../dom.js";
import { field, form, text } from "../forms.js";

export function settings(dc) {
  return {
    title: "Settings",
    once: true,
    draw() {
      const place = element("div", {});
      const show = () => whose(dc, place);
      show();
      return [
        form([field("ACL token", text("token", token.get(), { type: "password" }),
          "The SecretID that requests of this page carry. It is kept in this browser only; empty means anonymous.")],
        async ({ elements }) => {
          token.set(elements.token.value.trim());
          await show();
        }),
        place,
      ];
    },
  };
}

// Which token this is and what it is linked to.
async function whose(dc, place) {
  try {
    const { data } = await get("/v1/acl/token/self", { dc });
    place.replaceChildren(facts([
      ["Accessor", link(`${dc}/acls/tokens/${part(data.AccessorID)}`, data.AccessorID)],
      ["Description", data.Description],
      ["Policies", (data.Policies || []).map((policy) => policy.Name).join(", ")],
      ["Roles", (data.Roles || []).map((role) => role.Name).join(", ")],
    ]));
  } catch (error) {
    place.replaceChildren(note(error.status === 401 ? "Access control is off: every request may do everything." : error.message));
  }
}
