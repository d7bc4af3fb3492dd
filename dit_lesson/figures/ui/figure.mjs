// A figure out of its mathematics and one description.
import { readTensors } from "../core/safetensors.mjs";
import { h, numbers, say, status } from "./dom.mjs";
import { readPalette, setBox } from "./pictures.mjs";
import { wiring } from "./wires.mjs";
/** @import { Part } from "./dom.mjs" */

// The bytes of an asset: from the page that hosts the figure, else from the kernel.
function fetchAsset(model, name) {
  if (model.asset) return model.asset(name);
  return new Promise((resolve, reject) => {
    const take = (content, [buffer] = []) => {
      if (content.asset !== name) return;
      clearTimeout(timer);
      model.off("msg:custom", take);
      resolve(new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength));
    };
    const timer = setTimeout(() => {
      model.off("msg:custom", take);
      reject(new Error(`no kernel sends ${name}`));
    }, 20_000);
    model.on("msg:custom", take);
    model.send({ asset: name });
  });
}

// Packed tensors are unpacked, other bytes (a WebAssembly module) stay bytes: the header of a
// safetensors file opens with a brace after its length.
const unpack = (bytes) => (bytes[8] === "{".charCodeAt(0) ? readTensors(bytes) : bytes);

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// `stages(state)`: what is shown, from what the figure is given, its choices and its assets (a
// stage that needs an asset is undefined until it is there).  `reads`: the choices that `stages`
// looks at, if not all.
// `parts`: the parts on the stage by name, which is their area in `layout` (CSS grid templates,
// `wide` and `narrow`; `areas` names other ones) and, for a control, the choice that it sets;
// `wires` joins parts.
// `controls`: the controls beside the stage.
// `takes`: what a kernel may hand to the figure besides the choices; no control sets it.
// `presets`: [text, changes, sentence], told in order; what a preset does not change and another
// does is as at first. "reset" follows, with `opening`.
// `folded`: the controls, by name, that are seldom used: they stand behind a line that opens.
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
 *   opening?: string, presets?: any[][], folded?: string[], note?: string,
 *   live?: (host: Host) => { follow: (state: any) => void, stop: () => void },
 *   sentence: (state: any, now: any) => string, table?: (state: any, now: any) => any,
 * }} Description
 */
/** @type {(description: Description) => { render: (host: { model: any, el: any }) => () => void }} */
export function figure(description) {
  return { render: ({ model, el }) => mount(description, model, el) };
}

function mount(description, model, el) {
  const { stages, reads, takes = [], parts, wires = [], controls = {}, presets = [], layout } =
    description;
  const given = model.get("given");
  const names = Object.keys(given.start);
  const followed = [...names, ...takes];
  const files = {};
  const assets = {};
  const wanted = [...Object.keys(given.assets), ...(description.live ? ["worker"] : [])];
  const read = () => ({
    ...given,
    ...assets,
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
  const build = (factories) =>
    Object.fromEntries(
      Object.entries(factories).map(([name, factory]) => [
        name,
        factory({ name, domain: given.domains[name], read, write }),
      ]),
    );

  const onStage = build(parts);
  const beside = build(controls);
  const stage = h("div", { class: "dit-stage" });
  const { areas = {}, ...templates } = layout;
  for (const [kind, template] of Object.entries(templates)) {
    stage.style.setProperty(`--dit-${kind}`, template);
  }
  const lines = wiring(stage, wires, onStage);
  stage.append(lines.element);
  for (const [name, { element }] of Object.entries(onStage)) {
    const area = areas[name] ?? name;
    element.style.gridArea = area;
    for (const [kind, template] of Object.entries(templates)) {
      if (!template.match(/[\w-]+/g).includes(area)) element.classList.add(`dit-not-${kind}`);
    }
    stage.append(element);
  }

  const story = h("p", { class: "dit-story", role: "status" }, description.opening ?? "");
  // a preset takes back what others have changed, so that its sentence says what is seen
  const turned = new Set(presets.flatMap(([, changes]) => Object.keys(changes)));
  const first = Object.fromEntries([...turned].map((name) => [name, given.start[name]]));
  const told = [
    ...presets.map(([text, changes, sentence]) => [text, { ...first, ...changes }, sentence]),
    ["reset", given.start, description.opening],
  ];
  const buttons = told.map(([text, changes], i) =>
    h("button", {
      type: "button",
      onclick() {
        write(changes);
        chosen = inForce = i;
        mark();
      },
    }, text)
  );
  let chosen = told.length - 1; // the last that was pressed
  let inForce = chosen;
  // Room for the longest of the sentences: the pictures stay where they are from one to the next
  const keepRoom = () => {
    const probe = h("p", { class: "dit-story dit-probe", "aria-hidden": "true" });
    story.after(probe);
    const heights = told.map(([, , sentence = ""]) => {
      say(probe, sentence);
      return probe.offsetHeight;
    });
    probe.remove();
    story.style.minHeight = `${Math.max(...heights)}px`;
  };
  const mark = () => {
    const state = read();
    const holds = ([, changes]) =>
      Object.entries(changes).every(([name, value]) => same(state[name], value));
    const found = holds(told[inForce]) ? inForce : told.findIndex(holds);
    // whoever moves a slider through another's values is told of it there, and not beyond
    inForce = found < 0 ? chosen : found;
    say(story, told[inForce][2] ?? "");
    buttons.forEach((button, i) => {
      const pressed = String(i === found);
      // to set what is set would cost the page a look at its styles
      if (button.ariaPressed !== pressed) button.ariaPressed = pressed;
    });
  };
  const sentence = status();
  let now = {};
  const details = description.table && numbers(() => description.table(read(), now));

  const retry = h("button", { type: "button", hidden: true, onclick: () => load() }, "try again");
  const waiting = h("div", { class: "dit-waiting" }, sentence.element, retry);
  el.classList.add("dit-live");
  const { folded = [] } = description;
  const elements = (names) => names.map((name) => beside[name].element);
  const box = elements(Object.keys(beside).filter((name) => !folded.includes(name)));
  if (folded.length) {
    const more = h("div", { class: "dit-group" }, ...elements(folded));
    box.push(h("details", { class: "dit-fold" }, h("summary", {}, "more controls"), more));
  }
  const panel = h(
    "div",
    { class: box.length > 6 ? "dit-controls dit-many" : "dit-controls" },
    ...box,
  );
  el.append(
    h("div", { class: "dit-presets", role: "group", "aria-label": "presets" }, ...buttons),
    story,
    stage,
    ...(box.length ? [panel] : []),
    waiting,
    ...(description.note ? [h("p", { class: "dit-note" }, description.note)] : []),
    ...(details ? [details.element] : []),
  );
  // a notebook has commands on plain keys (arrows fold headings, "dd" deletes a cell), and a page
  // looks for open menus at each, before the key is on its way down: what is typed into a control
  // belongs to the control
  const own = (event) => {
    const plain = !(event.ctrlKey || event.metaKey || event.altKey);
    if (plain && event.composedPath().includes(el)) event.stopImmediatePropagation();
  };
  const keys = ["keydown", "keyup"];
  for (const kind of keys) globalThis.addEventListener(kind, own, true);

  const every = [...Object.values(onStage), ...Object.values(beside)];
  let palette;
  let staged = {};
  let shown = {};
  let work;
  let last;
  let present = "";
  let resized = true;
  const draw = () => {
    const state = read();
    const missing = wanted.some((name) => !files[name]);
    const inputs = [missing, ...(reads ?? names).map((name) => state[name])];
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
      keepRoom();
      // on a phone they stay at the edge of the screen: what is focused above them keeps clear
      el.style.setProperty("--dit-edge", `${panel.offsetHeight}px`);
    }
    present = seen;
    resized = false;
    lines.draw(state, now);
    mark();
    if (!missing) sentence.say(description.sentence(state, now));
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

  // Assets are asked for when the figure comes near the screen; the first picture does not wait.
  const load = async () => {
    const size = wanted.reduce((sum, name) => sum + (files[name] ? 0 : given.assets[name] ?? 0), 0);
    retry.hidden = true;
    sentence.say(`Loading the trained model (${Math.round(size / 1000)} kB) …`);
    try {
      await Promise.all(
        wanted.filter((name) => !files[name]).map(async (name) => {
          const bytes = await fetchAsset(model, name);
          assets[name] = unpack(bytes);
          files[name] = bytes;
        }),
      );
      work = description.live?.({ files, write, show });
      ask();
    } catch {
      sentence.say("The trained model could not be loaded, so part of this figure stays empty.");
      retry.hidden = false;
    }
  };
  const near = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    near.disconnect();
    // Safari has no idle callback
    (globalThis.requestIdleCallback ?? setTimeout)(() => load());
  }, { rootMargin: "100%" });
  if (wanted.length) near.observe(el);

  for (const name of followed) model.on(`change:${name}`, ask);
  const size = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) setBox(target, contentRect);
    resized = true;
    ask();
  });
  for (const element of [el, stage, ...el.querySelectorAll("canvas")]) size.observe(element);
  const repaint = () => {
    palette = undefined;
    ask();
  };
  const theme = new MutationObserver(repaint);
  for (const root of [document.documentElement, document.body]) {
    theme.observe(root, { attributeFilter: ["data-theme", "data-jp-theme-light", "class"] });
  }
  const preference = matchMedia("(prefers-color-scheme: dark)");
  preference.addEventListener("change", repaint);
  globalThis.addEventListener("storage", ask); // weights that another page keeps, kept.mjs
  return () => {
    cancelAnimationFrame(asked);
    work?.stop();
    for (const observer of [near, size, theme]) observer.disconnect();
    preference.removeEventListener("change", repaint);
    globalThis.removeEventListener("storage", ask);
    for (const kind of keys) globalThis.removeEventListener(kind, own, true);
    try {
      for (const name of followed) model.off(`change:${name}`, ask);
    } catch {
      // a host that cannot unsubscribe drops its listeners with the view
    }
  };
}
