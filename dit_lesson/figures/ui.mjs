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

// The palette in force: figures.css holds the values for light and dark.  Kept for each figure
// until `show` hears of another theme, since to ask for a style lays the page out.
const palettes = new WeakMap();
export function colours(element) {
  if (!palettes.has(element)) palettes.set(element, readPalette(element));
  return palettes.get(element);
}

function readPalette(element) {
  const style = getComputedStyle(element);
  const value = (name) => style.getPropertyValue(`--dit-${name}`).trim();
  const names = ["shift", "scale", "gate", "condition", "data", "text", "ground"];
  const palette = Object.fromEntries(names.map((name) => [name, value(name)]));
  const rgb = (name) => value(name).match(/[\da-f]{2}/gi).map((byte) => parseInt(byte, 16));
  palette.ends = [rgb("negative"), rgb("zero"), rgb("positive")];
  return palette;
}

// Each canvas's box on the screen, as the browser reports it to `show`: to ask for it between
// two panels would lay the page out again for each of them.
const boxes = new WeakMap();
const NO_BOX = { width: 0, height: 0 };

// Fits a canvas to its box; returns an empty context and the size, both in CSS pixels.
export function prepare(canvas) {
  const ratio = globalThis.devicePixelRatio || 1;
  const { width, height } = boxes.get(canvas) ?? NO_BOX;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    // a new size forgets the font; to set it at each frame would compute the page's styles again
    canvas.getContext("2d").font = "12px sans-serif";
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

// The map of a canvas at one pixel a cell, to be enlarged; made again when its size changes.
const maps = new WeakMap();
function mapOf(canvas, wide, high) {
  let map = maps.get(canvas);
  if (map?.image.width !== wide || map.image.height !== high) {
    const small = h("canvas", { width: wide, height: high });
    map = { small, context: small.getContext("2d"), image: new ImageData(wide, high) };
    maps.set(canvas, map);
  }
  return map;
}

// Rows of signed numbers as coloured cells that fill the canvas: zero is the page's background,
// `limit` full colour.  The chosen row and column are framed; returns what `prepare` does.
export function heatmap(canvas, rows, { limit, palette, row = -1, column = -1 }) {
  const prepared = prepare(canvas);
  const { context, width, height } = prepared;
  const [high, wide] = [rows.length, rows[0].length];
  const map = mapOf(canvas, wide, high);
  const pixels = map.image.data;
  const [negative, zero, positive] = palette.ends;
  let at = 0;
  for (const values of rows) {
    for (const value of values) {
      const end = value < 0 ? negative : positive;
      const share = Math.min(1, Math.abs(value) / limit);
      for (let i = 0; i < 3; i += 1) pixels[at + i] = zero[i] + (end[i] - zero[i]) * share;
      pixels[at + 3] = 255;
      at += 4;
    }
  }
  map.context.putImageData(map.image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(map.small, 0, 0, width, height);
  context.strokeStyle = palette.text;
  context.lineWidth = 2;
  const cell = [width / wide, height / high];
  if (row >= 0) context.strokeRect(1, row * cell[1] + 1, width - 2, cell[1] - 2);
  if (column >= 0) context.strokeRect(column * cell[0] + 1, 1, cell[0] - 2, height - 2);
  return prepared;
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

// Runs `draw` if one of `inputs` (numbers, strings, arrays of them, the palette), or the element's
// box, is not what it was: while one slider moves, most panels stay as they are.
const drawn = new WeakMap();
export function redraw(element, inputs, draw) {
  const now = [boxes.get(element), ...inputs];
  if (same(now, drawn.get(element))) return;
  drawn.set(element, now);
  draw();
}

function same(a, b) {
  if (a === b) return true;
  if (!(a?.length > 0) || typeof a === "string" || a.length !== b?.length) return false;
  for (let i = 0; i < a.length; i += 1) if (!same(a[i], b[i])) return false;
  return true;
}

// Puts a text into an element in the place of the last one, if it is another.
export function say(element, text) {
  if (!element.firstChild) element.append(text);
  else if (element.firstChild.data !== text) element.firstChild.data = text;
}

// One sentence with the numbers, for every reader and read aloud by a screen reader: after the
// first it waits until the hand rests, since nobody hears a sentence for each step of a drag.
export function status() {
  const element = h("p", { class: "dit-note", role: "status" });
  let timer = 0;
  return {
    element,
    say(text) {
      clearTimeout(timer);
      if (element.firstChild) timer = setTimeout(() => say(element, text), 150);
      else say(element, text);
    },
  };
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

// Puts the parts into `el` and draws: when the browser has laid them out, then once a frame
// after any change of a trait in `names`, of the size or of the theme.  Returns the clean-up that hosts call;
// it stops the controls too.
export function show({ model, el, names, controls, parts, draw }) {
  el.classList.add("dit-live");
  el.append(...parts);
  // a notebook has commands on plain keys (arrows fold headings, "dd" deletes a cell), and a page
  // looks for open menus after each: what is typed into a control belongs to the control
  for (const kind of ["keydown", "keyup"]) {
    el.addEventListener(kind, (event) => {
      if (!(event.ctrlKey || event.metaKey || event.altKey)) event.stopPropagation();
    });
  }
  let frame = 0;
  const paint = () => {
    frame = 0;
    if (el.isConnected) draw();
  };
  const ask = () => {
    frame ||= requestAnimationFrame(paint);
  };
  const stops = [listen(model, names, ask), ...controls.map((control) => control.stop)];
  const size = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) boxes.set(target, contentRect);
    ask();
  });
  for (const element of [el, ...el.querySelectorAll("canvas")]) size.observe(element);
  const repaint = () => {
    palettes.delete(el);
    ask();
  };
  const theme = new MutationObserver(repaint);
  for (const root of [document.documentElement, document.body]) {
    theme.observe(root, { attributeFilter: ["data-theme", "data-jp-theme-light", "class"] });
  }
  const preference = matchMedia("(prefers-color-scheme: dark)");
  preference.addEventListener("change", repaint);
  return () => {
    cancelAnimationFrame(frame);
    size.disconnect();
    theme.disconnect();
    preference.removeEventListener("change", repaint);
    stops.forEach((stop) => stop());
  };
}
