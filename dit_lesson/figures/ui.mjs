// What every figure is drawn with: labelled native controls bound to the model,
// a canvas heatmap, a table of the numbers, and the redraw loop.  Nothing here
// knows a particular figure.

// An element with attributes, properties (value, checked, ...) and children.
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined)
      element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

let lastId = 0;
function freshId(name) {
  lastId += 1;
  return `dit-control-${name}-${lastId}`;
}

// Writes traits and tells the kernel, where there is one.
export function write(model, changes) {
  for (const [name, value] of Object.entries(changes)) {
    if (model.get(name) !== value) model.set(name, value);
  }
  try {
    model.save_changes();
  } catch {
    // a host without a kernel may refuse; the page's own state is already set
  }
}

// Calls `listener` on each change of the named traits; the returned function stops that.
function listen(model, names, listener) {
  for (const name of names) model.on(`change:${name}`, listener);
  return () => {
    try {
      for (const name of names) model.off(`change:${name}`, listener);
    } catch {
      // a host that cannot unsubscribe drops its listeners with the view
    }
  };
}

// A range input with its label and a number box, both bound to the trait `name`.
// `symbol` is the letter of the equations, `role` its colour: shift, scale, gate,
// condition or data.
export function slider(model, { name, label, symbol = "", role = "data", min, max, step }) {
  const id = freshId(name);
  const range = h("input", { type: "range", id, min, max, step });
  const number = h("input", { type: "number", min, max, step, "aria-label": `${label}, number` });
  const show = () => {
    range.value = model.get(name);
    if (number.ownerDocument.activeElement !== number || Number(number.value) !== model.get(name))
      number.value = model.get(name);
  };
  const take = (event) => {
    const value = Number(event.target.value);
    if (event.target.value === "" || !Number.isFinite(value)) return;
    write(model, { [name]: Math.min(max, Math.max(min, value)) });
  };
  range.addEventListener("input", take);
  number.addEventListener("input", take);
  number.addEventListener("change", show);
  const caption = h("label", { for: id, class: `dit-${role}` }, label);
  if (symbol) caption.append(" ", h("i", {}, symbol));
  const element = h("div", { class: "dit-control" }, caption, range, number);
  show();
  return { element, stop: listen(model, [name], show) };
}

// A menu bound to the trait `name`; `options` is a list of [value, text].
export function menu(model, { name, label, role = "data", options }) {
  const id = freshId(name);
  const select = h(
    "select",
    { id },
    ...options.map(([value, text]) => h("option", { value: JSON.stringify(value) }, text)),
  );
  const show = () => {
    select.value = JSON.stringify(model.get(name));
  };
  select.addEventListener("change", () => write(model, { [name]: JSON.parse(select.value) }));
  const element = h(
    "div",
    { class: "dit-control" },
    h("label", { for: id, class: `dit-${role}` }, label),
    select,
  );
  show();
  return { element, stop: listen(model, [name], show) };
}

// Buttons that set several traits at once; `presets` is a list of [text, changes].
export function presets(model, label, list) {
  return h(
    "div",
    { class: "dit-presets", role: "group", "aria-label": label },
    ...list.map(([text, changes]) =>
      h("button", { type: "button", onclick: () => write(model, changes) }, text),
    ),
  );
}

// Controls side by side where there is room, below each other where there is not.
export function group(...controls) {
  return h("div", { class: "dit-controls" }, ...controls.map(({ element }) => element));
}

// The palette in force: figures.css holds the values for light and dark.
export function colours(element) {
  const style = getComputedStyle(element);
  const value = (name) => style.getPropertyValue(`--dit-${name}`).trim();
  const names = ["shift", "scale", "gate", "condition", "data", "text", "ground"];
  const palette = Object.fromEntries(names.map((name) => [name, value(name)]));
  const rgb = (name) => value(name).match(/[\da-f]{2}/gi).map((byte) => parseInt(byte, 16));
  palette.ends = [rgb("negative"), rgb("zero"), rgb("positive")];
  return palette;
}

// A signed value's colour: `zero` is the page's background, `limit` is full colour.
export function signedColour([negative, zero, positive], value, limit) {
  const end = value < 0 ? negative : positive;
  const share = Math.min(1, Math.abs(value) / limit);
  return zero.map((z, i) => Math.round(z + (end[i] - z) * share));
}

// Sizes a canvas to its box on the screen and returns a context in CSS pixels.
export function prepare(canvas) {
  const ratio = globalThis.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

// Rows of signed numbers as coloured cells that fill the canvas; the chosen row is framed.
export function heatmap(canvas, rows, { limit, palette, row = -1, column = -1 }) {
  const { context, width, height } = prepare(canvas);
  const [high, wide] = [rows.length, rows[0].length];
  const image = new ImageData(wide, high);
  rows.forEach((values, y) =>
    values.forEach((value, x) => {
      image.data.set([...signedColour(palette.ends, value, limit), 255], 4 * (y * wide + x));
    }),
  );
  const buffer = h("canvas", { width: wide, height: high });
  buffer.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(buffer, 0, 0, width, height);
  context.strokeStyle = palette.text;
  context.lineWidth = 2;
  const cell = [width / wide, height / high];
  if (row >= 0) context.strokeRect(1, row * cell[1] + 1, width - 2, cell[1] - 2);
  if (column >= 0) context.strokeRect(column * cell[0] + 1, 1, cell[0] - 2, height - 2);
}

// How the values are spread: a histogram from -limit to limit, zero marked.
export function histogram(canvas, rows, { limit, palette, bins = 32, colour = palette.data }) {
  const { context, width, height } = prepare(canvas);
  const counts = new Array(bins).fill(0);
  let total = 0;
  for (const row of rows) {
    for (const value of row) {
      const bin = Math.floor(((value + limit) / (2 * limit)) * bins);
      counts[Math.min(bins - 1, Math.max(0, bin))] += 1;
      total += 1;
    }
  }
  // a square root keeps a lone spike (blank patches) from flattening the rest
  const top = Math.sqrt(Math.max(...counts) / total);
  context.fillStyle = colour;
  counts.forEach((count, bin) => {
    const tall = top > 0 ? (Math.sqrt(count / total) / top) * (height - 2) : 0;
    context.fillRect((bin * width) / bins, height - tall, width / bins - 1, tall);
  });
  context.fillStyle = palette.text;
  context.fillRect(width / 2 - 0.5, 0, 1, height);
}

export function format(value) {
  const text = value.toFixed(2);
  return text === "-0.00" ? "0.00" : text.replace("-", "−");
}

// The numbers as a table: each cell shows two decimals and carries the exact value.
export function table(element, { caption, columns, rows }) {
  const cells = (values) =>
    values.map((value) => h("td", {}, h("data", { value: String(value) }, format(value))));
  element.replaceChildren(
    h(
      "table",
      {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, ...columns.map((text) => h("th", { scope: "col" }, text)))),
      h(
        "tbody",
        {},
        ...rows.map(([head, ...values]) =>
          h("tr", {}, h("th", { scope: "row" }, head), ...cells(values)),
        ),
      ),
    ),
  );
}

// A folded box with the numbers, filled only while it is open.
export function numbers(title, fill) {
  const box = h("div", { class: "dit-table", tabindex: "0", role: "region", "aria-label": title });
  const element = h("details", { class: "dit-numbers" }, h("summary", {}, title), box);
  const draw = () => element.open && fill(box);
  element.addEventListener("toggle", draw);
  return { element, draw };
}

// Puts the parts into `el` and draws: at once, then once a frame after any change of a
// trait in `names`, of the size or of the theme.  Returns the clean-up that hosts call;
// it stops the controls too.
export function show({ model, el, names, controls, parts, draw }) {
  el.classList.add("dit-live");
  el.append(...parts);
  // a notebook has commands on plain keys (arrows fold headings, "dd" deletes a cell): what is
  // typed into a control belongs to the control
  el.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey || event.altKey)) event.stopPropagation();
  });
  let frame = 0;
  const paint = () => {
    frame = 0;
    if (el.isConnected) draw();
  };
  const ask = () => {
    frame ||= requestAnimationFrame(paint);
  };
  const stops = [listen(model, names, ask), ...controls.map((control) => control.stop)];
  const size = new ResizeObserver(ask);
  size.observe(el);
  const theme = new MutationObserver(ask);
  for (const root of [document.documentElement, document.body]) {
    theme.observe(root, { attributeFilter: ["data-theme", "data-jp-theme-light", "class"] });
  }
  const preference = matchMedia("(prefers-color-scheme: dark)");
  preference.addEventListener("change", ask);
  ask();
  return () => {
    cancelAnimationFrame(frame);
    size.disconnect();
    theme.disconnect();
    preference.removeEventListener("change", ask);
    stops.forEach((stop) => stop());
  };
}
