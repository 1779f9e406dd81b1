// Builds elements. Text always goes in as text, never as HTML: names and values come from anybody.

const MOST_ROWS = 400;

export const part = (text) => encodeURIComponent(text);
export const parts = (path) => path.split("/").map(part).join("/");

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name === "value") made.value = value;
    else if (name === "checked") made.checked = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

// `rows` beyond what a browser draws quickly are counted, not drawn.
export function table(headings, rows) {
  const hidden = rows.length - MOST_ROWS;
  return [
    element("div", { class: "scroll" },
      element("table", {},
        element("thead", {}, element("tr", {}, headings.map((heading) => element("th", { scope: "col" }, heading)))),
        element("tbody", {}, rows.slice(0, MOST_ROWS)))),
    hidden > 0 ? note(`${hidden} more are not shown: search to narrow the list.`) : null,
  ];
}

export function row(...cells) {
  return element("tr", {}, cells.map((cell) => element("td", { class: "wide" }, cell)));
}

export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return element("dl", {}, known.map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

export function section(title, ...content) {
  return [element("h2", {}, title), content];
}

export function status(word, text = word) {
  return element("span", { class: `status ${word}` }, text);
}

export function link(href, text) {
  return element("a", { href }, text);
}

export function tags(list) {
  return (list || []).map((tag) => element("span", { class: "tag" }, tag));
}

export function empty(text) {
  return element("p", { class: "empty" }, text);
}

export function note(...content) {
  return element("p", { class: "mute" }, content);
}

export function button(text, onclick, kind = "") {
  return element("button", { type: "button", class: kind, onclick }, text);
}

// Asks before something that cannot be undone; true when the answer is yes.
export function confirmed(text, yes) {
  const dialog = document.getElementById("question");
  return new Promise((resolve) => {
    const close = (answer) => () => { dialog.close(); resolve(answer); };
    dialog.oncancel = () => resolve(false);
    dialog.replaceChildren(element("p", {}, text),
      element("div", { class: "bar" }, button(yes, close(true), "danger"), button("Cancel", close(false))));
    dialog.showModal();
  });
}
