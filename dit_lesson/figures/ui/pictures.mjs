// What figures draw on canvases: signed maps, ink on paper, bars, curves.
import { h, reveal, say } from "./dom.mjs";
/** @import { Part, When, Words } from "./dom.mjs" */

/**
 * @typedef {{
 *   title?: Words, note?: Words, role?: string, shape?: string, when?: When,
 *   values: (now: any, state: any) => any, marks?: (state: any, now: any) => any[],
 *   more?: boolean, pick?: (y: number, x: number, state: any) => object,
 * }} PanelOptions
 * @typedef {(prepared: any, rows: any, context: any) => void} Decorate
 */

// The palette in force: figures.css holds the values for light and dark.
export function readPalette(element) {
  const style = getComputedStyle(element);
  const value = (name) => style.getPropertyValue(`--dit-${name}`).trim();
  const names = ["shift", "scale", "gate", "condition", "data", "text", "ground", "ink", "paper"];
  const rgb = (name) => value(name).match(/[\da-f]{2}/gi).map((byte) => parseInt(byte, 16));
  return {
    ...Object.fromEntries(names.map((name) => [name, value(name)])),
    signed: [rgb("negative"), rgb("zero"), rgb("positive")],
    digit: [rgb("paper"), rgb("grey"), rgb("ink")],
  };
}

// Each canvas's box on the screen, as the browser reports it: to ask for it between two panels
// would lay the page out again for each of them.
const boxes = new WeakMap();
const NO_BOX = { width: 0, height: 0 };
export function setBox(canvas, box) {
  boxes.set(canvas, box);
}

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

// A word in the context's colour and alignment, from a picture of it that is kept: to set words
// anew in each frame takes longer than all else that a plot draws (measured).
const written = new Map();
/** @type {(context: any, text: string, x: number, y: number) => void} */
export function write(context, text, x, y) {
  const ratio = globalThis.devicePixelRatio || 1;
  const key = [text, context.fillStyle, context.font, ratio].join();
  let word = written.get(key);
  if (!word) {
    const { width } = context.measureText(text);
    const [wide, high] = [width + 4, 16].map((size) => Math.ceil(size * ratio));
    const picture = h("canvas", { width: wide, height: high });
    const pen = picture.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = context.font;
    pen.fillStyle = context.fillStyle;
    pen.fillText(text, 2, 12);
    word = { picture, width };
    written.set(key, word);
  }
  const { picture, width } = word;
  const left = x - { left: 0, center: width / 2, right: width }[context.textAlign];
  const whole = (at) => Math.round(at * ratio) / ratio; // a pixel of the word is one of the screen
  const size = [picture.width / ratio, picture.height / ratio];
  context.drawImage(picture, whole(left - 2), whole(y - 12), ...size);
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

// Rows of numbers as coloured cells that fill the canvas.  `ends` are the colours of -limit, 0 and
// limit: the palette's `signed` or `digit`.  Returns what `prepare` does.
export function cells(canvas, rows, { limit, ends: [low, middle, high] }) {
  const prepared = prepare(canvas);
  const map = mapOf(canvas, rows[0].length, rows.length);
  const pixels = map.image.data;
  let at = 0;
  for (const values of rows) {
    for (const value of values) {
      const end = value < 0 ? low : high;
      const share = Math.min(1, Math.abs(value) / limit);
      for (let i = 0; i < 3; i += 1) pixels[at + i] = middle[i] + (end[i] - middle[i]) * share;
      pixels[at + 3] = 255;
      at += 4;
    }
  }
  map.context.putImageData(map.image, 0, 0);
  prepared.context.imageSmoothingEnabled = false;
  prepared.context.drawImage(map.small, 0, 0, prepared.width, prepared.height);
  return prepared;
}

// A frame inside the box of a cell, or of a block of cells, [row, column, rows, columns], on a
// grid of `rows` by `columns`.
/** @type {(prepared: any, size: number[], cell: number[], colour: string, line?: number) => void} */
export function frame({ context, width, height }, [rows, columns], cell, colour, line = 2) {
  const [wide, high] = [width / columns, height / rows];
  const [row, column, down = 1, across = 1] = cell;
  context.strokeStyle = colour;
  context.lineWidth = line;
  context.strokeRect(
    column * wide + line / 2,
    row * high + line / 2,
    across * wide - line,
    down * high - line,
  );
}

// Lines between the cells of a grid of `rows` by `columns`
/** @type {(prepared: any, size: number[], colour: string, line?: number) => void} */
export function grid({ context, width, height }, [rows, columns], colour, line = 1) {
  context.fillStyle = colour;
  for (let i = 1; i < columns; i += 1) {
    context.fillRect((i * width) / columns - line / 2, 0, line, height);
  }
  for (let i = 1; i < rows; i += 1) {
    context.fillRect(0, (i * height) / rows - line / 2, width, line);
  }
}

// Runs `draw` if one of `inputs` (numbers, strings, arrays of them, the palette), or the canvas's
// box, is not what it was: while one slider moves, most panels stay as they are.
const drawn = new WeakMap();
export function redraw(canvas, inputs, draw) {
  const now = [boxes.get(canvas), ...inputs];
  if (same(now, drawn.get(canvas))) return;
  drawn.set(canvas, now);
  draw();
}

function same(a, b) {
  if (a === b) return true;
  if (!(a?.length > 0) || typeof a === "string" || a.length !== b?.length) return false;
  for (let i = 0; i < a.length; i += 1) if (!same(a[i], b[i])) return false;
  return true;
}

// A canvas with a title and a note.  `values(now, state)` is what is drawn, undefined while it
// still loads; `marks(state)` what the drawing depends on besides; `draw(canvas, values, context)`
// draws it; `pick(y, x, state)` makes changes of a point in the picture, both from 0 to 1;
// `shape` is one of the classes of figures.css; `more` says that it may be out of sight.
/** @type {(options: PanelOptions & { draw: (canvas: any, values: any, context: any) => void }) => Part} */
export function panel(
  {
    title,
    values,
    draw,
    note,
    marks = () => [],
    pick,
    shape = "square",
    role = "text",
    when = () => true,
    more = false,
  },
) {
  return ({ read, write }) => {
    const canvas = h("canvas", { class: `dit-${shape}`, "aria-hidden": "true" });
    const heading = title && h("div", { class: `dit-title dit-${role}` });
    const below = note && h("p", { class: "dit-note" });
    if (pick) {
      canvas.classList.add("dit-pick");
      const inside = (value) => Math.min(0.9999, Math.max(0, value));
      canvas.addEventListener("pointerdown", (event) => {
        const box = canvas.getBoundingClientRect();
        const y = inside((event.clientY - box.top) / box.height);
        const x = inside((event.clientX - box.left) / box.width);
        write(pick(y, x, read()));
      });
    }
    const element = h(
      "div",
      { class: more ? "dit-panel dit-more" : "dit-panel" },
      ...[heading, canvas, below].filter(Boolean),
    );
    return {
      element,
      canvas,
      anchor: canvas,
      draw(state, now, palette) {
        reveal(element, when(state));
        if (heading) say(heading, title, state, now);
        const all = values(now, state);
        if (all === undefined) return;
        redraw(canvas, [all, marks(state, now), palette], () => {
          draw(canvas, all, { state, now, palette });
        });
        if (below) say(below, note, state, now);
      },
    };
  };
}

// Rows of numbers, zero the page, `limit` full colour: violet below, ochre above.
/** @type {(options: PanelOptions & { limit: number, decorate?: Decorate }) => Part} */
export function map({ limit, decorate = () => {}, ...rest }) {
  return panel({
    ...rest,
    draw(canvas, rows, context) {
      canvas.classList.add("dit-signed");
      const prepared = cells(canvas, rows, { limit, ends: context.palette.signed });
      decorate(prepared, rows, context);
    },
  });
}

// An image from -1 (paper) to 1 (ink), the same in the light and in the dark theme.
/** @type {(options: PanelOptions & { limit?: number, decorate?: Decorate }) => Part} */
export function digit({ limit = 1, decorate = () => {}, ...rest }) {
  return panel({
    ...rest,
    draw(canvas, rows, context) {
      const prepared = cells(canvas, rows, { limit, ends: context.palette.digit });
      decorate(prepared, rows, context);
    },
  });
}

// One bar a value around a zero line, or up from the floor if nothing is negative.
/**
 * @type {(options: PanelOptions & {
 *   limit: number, signed?: boolean, names?: string[], colour?: (i: number, state: any) => string,
 * }) => Part}
 */
export function bars({ limit, signed = true, names = [], colour = () => "data", ...rest }) {
  return panel({
    shape: "low",
    ...rest,
    draw(canvas, values, { state, palette }) {
      const { context, width, height } = prepare(canvas);
      const bottom = names.length ? height - 16 : height;
      const zero = signed ? bottom / 2 : bottom;
      const step = width / values.length;
      for (let i = 0; i < values.length; i += 1) {
        const share = Math.max(-1, Math.min(1, values[i] / limit));
        context.fillStyle = palette[colour(i, state)];
        context.fillRect(i * step + 1, zero, Math.max(1, step - 2), -share * (zero - 2));
      }
      context.fillStyle = palette.text;
      context.fillRect(0, zero - 0.5, width, 1);
      context.textAlign = "center";
      names.forEach((name, i) => write(context, name, (i + 0.5) * step, height - 3));
    },
  });
}

// How the numbers of some rows are spread: a histogram from -limit to limit, zero marked.  Heights
// are square roots, or a lone spike (blank patches) would flatten the rest.
/** @type {(options: PanelOptions & { limit: number, numBins?: number }) => Part} */
export function spread({ limit, numBins = 32, ...rest }) {
  return panel({
    shape: "low",
    ...rest,
    draw(canvas, rows, { palette }) {
      const { context, width, height } = prepare(canvas);
      const counts = new Array(numBins).fill(0);
      for (const row of rows) {
        for (const value of row) {
          const bin = Math.floor(((value + limit) / (2 * limit)) * numBins);
          counts[Math.min(numBins - 1, Math.max(0, bin))] += 1;
        }
      }
      const top = Math.sqrt(Math.max(...counts));
      context.fillStyle = palette.data;
      counts.forEach((count, bin) => {
        const tall = (Math.sqrt(count) / top) * (height - 2);
        context.fillRect((bin * width) / numBins, height - tall, width / numBins - 1, tall);
      });
      context.fillStyle = palette.text;
      context.fillRect(width / 2 - 0.5, 0, 1, height);
    },
  });
}

// Curves over [0, 1] from `bottom` to `top`.  `values` gives [{ line, dash, bold }, ...], a line
// being its heights in equal steps; `ticks` are [height, text]; `at(now, state)` is the marked
// place, [share, height].
/**
 * @type {(options: PanelOptions & {
 *   bottom: number, top: number, ticks?: any[][], ends?: string[],
 *   at?: (now: any, state: any) => number[],
 * }) => Part}
 */
export function plot({ bottom, top, ticks = [], ends = [], at, ...rest }) {
  return panel({
    shape: "plot",
    ...rest,
    marks: (state, now) => [at?.(now, state)],
    draw(canvas, curves, { state, now, palette }) {
      const { context, width, height } = prepare(canvas);
      const [left, low] = [ticks.length ? 40 : 1, height - (ends.length ? 18 : 8)];
      const x = (share) => left + share * (width - left - 4);
      const y = (value) => low - ((value - bottom) / (top - bottom)) * (low - 6);
      context.fillStyle = palette.text;
      context.strokeStyle = palette.data;
      context.lineWidth = 1;
      context.textAlign = "left";
      for (const [value, text] of ticks) {
        write(context, text, 2, y(value) + 4);
        context.strokeRect(left, y(value), width - left - 4, 0);
      }
      ends.forEach((text, i) => {
        context.textAlign = i ? "right" : "left";
        write(context, text, x(i), height - 4);
      });
      for (const { line, dash = [], bold = true } of curves) {
        context.strokeStyle = bold ? palette.text : palette.data;
        context.lineWidth = bold ? 2.5 : 1.5;
        context.setLineDash(dash);
        context.beginPath();
        line.forEach((value, i) => context.lineTo(x(i / (line.length - 1)), y(value)));
        context.stroke();
      }
      context.setLineDash([]);
      if (!at) return;
      const [share, value] = at(now, state);
      context.fillStyle = palette.condition;
      context.fillRect(x(share) - 1, 6, 2, low - 6);
      context.beginPath();
      context.arc(x(share), y(value), 5, 0, 7);
      context.fill();
    },
  });
}
