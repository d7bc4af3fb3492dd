// A figure out of its mathematics and one description.
import { loader } from "./assets.mjs";
import { h, numbers, same, status } from "./dom.mjs";
import { readPalette, setBox } from "./pictures.mjs";
import { story } from "./story.mjs";
import { wiring } from "./wires.mjs";
/** @import { Part } from "./dom.mjs" */

// `stages(state)`: what is shown, from what the figure is given, its choices and its assets (a
// stage that needs an asset is undefined until it is there).  `reads`: the choices that `stages`
// looks at, if not all.
// `parts`: the parts on the stage by name, which is their area in `layout` (CSS grid templates,
// `wide` and `narrow`; `areas` names other ones; `gap` is that of the wide one, if not the usual)
// and, for a control, the choice that it sets;
// `wires` joins parts.
// `controls`: the controls beside the stage.
// `takes`: what a kernel may hand to the figure besides the choices; no control sets it.
// `presets`: [text, changes, sentence], told in order; what a preset does not change and another
// does is as at first. "reset" follows, with `opening`.
// `folded`: the controls, by name, that are seldom used: they stand behind a line that opens.
// `dense`: the controls stand close on a phone, for they are many.
// `live({ files, write, show })`: for what takes time, such as a training run. It is called when all
// files are there (the assets' bytes, and `worker`, the program of the worker), and returns
// `follow(state)`, told before each drawing, and `stop()`. What it shows stands in `now` beside the
// stages; while `now.busy` holds, more is to come.
// `sentence(state, now)` and `table(state, now)`: the numbers in words and in full.
/**
 * @typedef {{
 *   files: Record<string, Uint8Array>, write: (changes: object) => void,
 *   show: (shown: object) => void,
 * }} Host
 * @typedef {{
 *   stages: (state: any) => any, reads?: string[], takes?: string[], layout: any,
 *   parts: Record<string, Part>, controls?: Record<string, Part>, wires?: any[][],
 *   opening?: string, presets?: any[][], folded?: string[], dense?: boolean,
 *   note?: string,
 *   live?: (host: Host) => { follow: (state: any) => void, stop: () => void },
 *   sentence: (state: any, now: any) => string, table?: (state: any, now: any) => any,
 * }} Description
 */
/** @type {(description: Description) => { render: (host: { model: any, el: any }) => () => void }} */
export function figure(description) {
  return { render: ({ model, el }) => mount(description, model, el) };
}

// Puts the parts into their areas of the layouts, and the wires between them
function setStage({ areas = {}, gap, ...templates }, wires, parts) {
  const stage = h("div", { class: "dit-stage" });
  if (gap) stage.style.setProperty("--dit-gap", gap);
  for (const [kind, template] of Object.entries(templates)) {
    stage.style.setProperty(`--dit-${kind}`, template);
  }
  const lines = wiring(stage, wires, parts);
  stage.append(lines.element);
  for (const [name, { element }] of Object.entries(parts)) {
    const area = areas[name] ?? name;
    element.style.gridArea = area;
    for (const [kind, template] of Object.entries(templates)) {
      if (!template.match(/[\w-]+/g).includes(area)) element.classList.add(`dit-not-${kind}`);
    }
    stage.append(element);
  }
  return { stage, lines };
}

// The controls beside the stage, those that are folded behind a line that opens
function setControls(parts, folded, dense) {
  const elements = (names) => names.map((name) => parts[name].element);
  const box = elements(Object.keys(parts).filter((name) => !folded.includes(name)));
  if (folded.length) {
    const more = h("div", { class: "dit-group" }, ...elements(folded));
    box.push(h("details", { class: "dit-fold" }, h("summary", {}, "more controls"), more));
  }
  return h("div", { class: dense ? "dit-controls dit-dense" : "dit-controls" }, ...box);
}

// A notebook has commands on plain keys (arrows fold headings, "dd" deletes a cell), and a page
// looks for open menus at each, before the key is on its way down: what is typed into a control
// belongs to the control.  Returns what ends it.
function keepKeys(el) {
  const own = (event) => {
    const plain = !(event.ctrlKey || event.metaKey || event.altKey);
    if (plain && event.composedPath().includes(el)) event.stopImmediatePropagation();
  };
  const keys = ["keydown", "keyup"];
  for (const kind of keys) globalThis.addEventListener(kind, own, true);
  return () => {
    for (const kind of keys) globalThis.removeEventListener(kind, own, true);
  };
}

// Calls `repaint` when the page's colours change.  Returns what ends it.
function watchTheme(repaint) {
  const theme = new MutationObserver(repaint);
  for (const root of [document.documentElement, document.body]) {
    theme.observe(root, { attributeFilter: ["data-theme", "data-jp-theme-light", "class"] });
  }
  const preference = matchMedia("(prefers-color-scheme: dark)");
  preference.addEventListener("change", repaint);
  return () => {
    theme.disconnect();
    preference.removeEventListener("change", repaint);
  };
}

function mount(description, model, el) {
  const { stages, reads, takes = [], presets = [], opening = "", note } = description;
  const { folded = [], dense = false } = description;
  const given = model.get("given");
  const names = Object.keys(given.start);
  const followed = [...names, ...takes];
  const read = () => ({
    ...given,
    ...loading.assets,
    ...Object.fromEntries(followed.map((name) => [name, model.get(name)])),
  });
  const write = (changes) => {
    for (const [name, value] of Object.entries(changes ?? {})) {
      if (model.get(name) !== value) model.set(name, value);
    }
    try {
      model.save_changes();
    } catch {
      // a host without a kernel may refuse; the view's own state is already set
    }
  };
  const build = (factories = {}) =>
    Object.fromEntries(
      Object.entries(factories).map(([name, factory]) => [
        name,
        factory({ name, domain: given.domains[name], read, write }),
      ]),
    );

  let palette;
  let staged = {};
  let shown = {};
  let now = {};
  let work;
  let last;
  let present = "";
  let resized = true;
  const sentence = status();
  const details = description.table && numbers(() => description.table(read(), now));
  const loading = loader(
    [...Object.keys(given.assets), ...(description.live ? ["worker"] : [])],
    {
      model,
      sizes: given.assets,
      say: sentence.say,
      ready(files) {
        work = description.live?.({ files, write, show });
        ask();
      },
    },
  );
  const onStage = build(description.parts);
  const beside = build(description.controls);
  const every = [...Object.values(onStage), ...Object.values(beside)];
  const { stage, lines } = setStage(description.layout, description.wires ?? [], onStage);
  const controls = setControls(beside, folded, dense);
  const tale = story(presets, opening, { start: given.start, read, write });
  el.classList.add("dit-live");
  el.append(
    ...tale.elements,
    stage,
    ...(controls.firstChild ? [controls] : []),
    h("div", { class: "dit-waiting" }, sentence.element, loading.retry),
    ...(note ? [h("p", { class: "dit-note" }, note)] : []),
    ...(details ? [details.element] : []),
  );

  const draw = () => {
    const state = read();
    const inputs = [loading.missing(), ...(reads ?? names).map((name) => state[name])];
    const handed = takes.map((name) => state[name]); // not compared by what they hold: it is much
    const others = handed.some((value, i) => value !== last?.handed[i]);
    if (others || !same(inputs, last?.inputs)) staged = stages(state);
    last = { inputs, handed };
    work?.follow(state);
    now = { ...staged, ...shown };
    if (work) el.setAttribute("aria-busy", String(Boolean(now.busy)));
    palette ??= readPalette(el);
    for (const part of every) part.draw(state, now, palette);
    const seen = every.map(({ element }) => Number(element.hidden)).join("");
    if (resized || seen !== present) lines.measure();
    if (resized) {
      tale.keepRoom();
      // on a phone they stay at the edge of the screen: what is focused above them keeps clear
      el.style.setProperty("--dit-edge", `${controls.offsetHeight}px`);
    }
    present = seen;
    resized = false;
    lines.draw(state, now);
    tale.draw(state);
    if (!loading.missing()) sentence.say(description.sentence(state, now));
    details?.draw();
  };
  let asked = 0;
  const ask = () => {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      if (el.isConnected) draw();
    });
  };
  const show = (changes) => {
    shown = { ...shown, ...changes };
    ask();
  };

  for (const name of followed) model.on(`change:${name}`, ask);
  globalThis.addEventListener("storage", ask); // weights that another page keeps, kept.mjs
  const size = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) setBox(target, contentRect);
    resized = true;
    ask();
  });
  for (const element of [el, stage, ...el.querySelectorAll("canvas")]) size.observe(element);
  const ends = [
    loading.whenNear(el),
    keepKeys(el),
    watchTheme(() => {
      palette = undefined;
      ask();
    }),
  ];
  return () => {
    cancelAnimationFrame(asked);
    work?.stop();
    size.disconnect();
    for (const end of ends) end();
    globalThis.removeEventListener("storage", ask);
    try {
      for (const name of followed) model.off(`change:${name}`, ask);
    } catch {
      // a host that cannot unsubscribe drops its listeners with the view
    }
  };
}
