// Builds elements. Text always goes in as text, never as HTML: names and values come from anybody.

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export function table(headings, rows) {
  return element("div", { class: "scroll" },
    element("table", {},
      element("thead", {}, element("tr", {}, headings.map((heading) => element("th", { scope: "col" }, heading)))),
      element("tbody", {}, rows)));
}

export function row(...cells) {
  return element("tr", {}, cells.map((cell) => element("td", { class: "wide" }, cell)));
}

export function status(word) {
  return element("span", { class: `status ${word}` }, word);
}

export function link(hash, text) {
  return element("a", { href: hash }, text);
}

export function tags(list) {
  return (list || []).map((tag) => element("span", { class: "tag" }, tag));
}
