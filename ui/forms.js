// Forms: labelled fields, a submit button, and the place where an error is said.

import { button, confirmed, element } from "./dom.js";

export function field(label, control, hint = "") {
  return element("label", { class: "field" }, element("span", {}, label), control,
    hint ? element("small", { class: "mute" }, hint) : null);
}

export function text(name, value = "", properties = {}) {
  return element("input", { name, type: "text", autocomplete: "off", spellcheck: "false", ...properties, value: value ?? "" });
}

export function area(name, value = "", rows = 10) {
  return element("textarea", { name, rows, spellcheck: "false", value: value ?? "" });
}

export function choice(name, options, value) {
  const made = element("select", { name }, options.map(([key, shown]) => element("option", { value: key }, shown)));
  made.value = value ?? options[0][0];
  return made;
}

// Ticks for some of `options` ([key, shown]); `chosen` are keys. Read with `ticked`.
export function ticks(name, options, chosen) {
  return element("div", { class: "ticks" }, options.map(([key, shown]) => element("label", {},
    element("input", { type: "checkbox", name, value: key, checked: chosen.includes(key) }), ` ${shown}`)));
}

export function ticked(form, name) {
  return [...form.querySelectorAll(`input[name="${name}"]:checked`)].map((box) => box.value);
}

export const words = (line) => line.split(/[\s,]+/).filter(Boolean);

// A form whose `save(form)` may throw: what it throws is shown above the buttons. `remove` ({ text, yes, run }) adds a
// button that asks first.
export function form(fields, save, { submit = "Save", remove = null, cancel = null } = {}) {
  const problem = element("p", { class: "error", role: "alert", hidden: true });
  const attempt = async (work) => {
    problem.hidden = true;
    try {
      await work();
    } catch (error) {
      problem.hidden = false;
      problem.textContent = error.message;
    }
  };
  const made = element("form", {
    class: "card",
    onsubmit: (event) => { event.preventDefault(); attempt(() => save(made)); },
  }, fields, problem, element("div", { class: "bar" },
    element("button", { type: "submit", class: "main" }, submit),
    cancel ? element("a", { href: cancel, class: "button" }, "Cancel") : null,
    remove ? button(remove.yes, async () => { if (await confirmed(remove.text, remove.yes)) attempt(remove.run); }, "danger") : null));
  return made;
}
