// Chapter 13's figure: a DiT that learns to draw digits on the page.
//
// The choices say which run is shown and `until` which step; to be there takes time.  A run with
// other settings begins anew and goes to the same step, and those before it stay to compare.
import { mean, rootMeanSquare } from "./core/arrays.mjs";
import { chunksOf, CONFIG, numel, parameterShapes } from "./core/parameters.mjs";
import * as ui from "./ui.mjs";

const DIGITS = Array.from({ length: 10 }, (_, digit) => digit);
const SIDE = 32;
const WINDOW = 25; // steps of a mean loss
const SLOW = 100; // milliseconds a step
const LONG = 100; // steps: for fewer it is not worth while to take a small model
const [WARM, PACE] = [3, 10]; // steps until the code is warm, and of which the pace is the median
const RACE = 4; // runs whose curves are drawn
const [USUAL, SMALL] = [64, 32]; // widths: where a step is slow, a small model learns
const KINDS = ["shift", "scale", "gate"];
const WORDS = {
  conditioning: (design, { designs }) => designs[design],
  predicts: (target) => `the ${target}`,
  learning_rate: (rate) => `rate ${rate}`,
  embedding_init: (start) => ({ unit: "unit embeddings", paper: "small embeddings" })[start],
  modulation: (start) =>
    ({ zero: "gates shut at the start", random: "gates open at the start" })[start],
  hidden_size: (width) => `width ${width}`,
  seed: (seed) => `seed ${seed}`,
  given: (given) => given ? "given weights" : "random weights",
};

const configOf = ({ conditioning, hidden_size: hiddenSize, config: { depth } }) => ({
  ...CONFIG,
  conditioning,
  hiddenSize,
  depth,
});
// What `load_model` builds the model of, in the head of a saved file
const cardOf = ({ config }, { conditioning, hidden_size, predicts }) => ({
  model: "DiT",
  arguments: JSON.stringify({ ...config, conditioning, hidden_size }),
  predicts,
});

export function stages(state) {
  const config = configOf(state);
  const kinds = KINDS.slice(0, chunksOf(config) / 2); // each before attention and before the MLP
  const { data, predicts } = state;
  const size = data && rootMeanSquare(data.latents.data) ** 2;
  return {
    parameters: Object.values(parameterShapes(config)).reduce((sum, s) => sum + numel(s), 0),
    steering: Object.fromEntries(
      kinds.map((kind) => [kind, 2 * config.depth + (kind === "gate" ? 0 : 1)]),
    ),
    ...(data && { first_loss: { velocity: 1 + size, data: size, noise: 1 }[predicts] }),
  };
}

// --- the run ----------------------------------------------------------------------------------

// The weights that a kernel gave, while the reader asks for no other start
function givenTo({ initial, ...state }) {
  const { bytes, ...choices } = initial ?? {};
  return Object.entries(choices).every(([key, value]) => state[key] === value) ? bytes : undefined;
}
const settingsOf = (state) => ({
  ...Object.fromEntries(Object.keys(WORDS).map((key) => [key, state[key]])),
  given: Boolean(givenTo(state)),
});
const words = (state, settings, without = {}) =>
  Object.entries(WORDS)
    .filter(([key]) => settings[key] !== without[key])
    .map(([key, word]) => word(settings[key], state))
    .join(", ");

// Whether it is another run than the one that is asked for
const isOther = ({ settings, given }, state) =>
  given !== givenTo(state) ||
  Object.entries(settingsOf(state)).some(([key, value]) => settings[key] !== value);

// A run before its first step, of which pictures, file and bytes are still to come
const newRun = (state) => ({
  settings: settingsOf(state),
  given: givenTo(state), // the weights that it begins at
  ready: false,
  step: 0,
  losses: [],
  times: [],
  at: -1, // the step whose weights have drawn the pictures
});

// What the worker makes of a state: a model, and a trainer of it
function trainerOf(state) {
  const { recipe, predicts, learning_rate: learningRate, modulation, seed } = state;
  const given = givenTo(state);
  return {
    config: configOf(state),
    recipe: { ...recipe, predicts, learningRate },
    options: { embeddingInit: state.embedding_init, zeroInit: modulation === "zero" },
    weights: given && new Uint8Array(given.buffer, given.byteOffset, given.byteLength),
    seed,
  };
}

// Milliseconds that a step takes on this device, once a run has shown it
function paceOf({ times }) {
  const measured = times.slice(WARM, WARM + PACE).sort((a, b) => a - b);
  return measured.length === PACE ? measured[PACE / 2] : undefined;
}

// Leads the worker by messages, and shows what comes back.  `follow` and `stop` are the figure's.
class Leader {
  state; // the last that was followed
  run; // as `newRun` made it, and what has come back since
  book; // the trained model of the book, as a run
  past = []; // the runs before, the last one at the end
  asked = 0; // the last step to which the worker was sent
  painting; // the noise and the guidance of the pictures that are waited for
  known = false; // whether this device's pace was measured
  busy; // as the page was told
  still = matchMedia("(prefers-reduced-motion: reduce)").matches;

  constructor({ files, write, show }) {
    this.files = files;
    this.write = write;
    this.show = show;
    const program = new TextDecoder().decode(files.worker);
    this.work = ui.startWork(program, (message) => this.hear(message));
    document.addEventListener("visibilitychange", this.hide);
  }

  follow(state) {
    const first = !this.state;
    this.state = state;
    if (first) this.paintBook();
    if (!this.run) return;
    if (isOther(this.run, state) || (state.until === 0 && this.run.step > 0)) this.begin();
    this.lead();
    this.tellPage();
  }

  stop() {
    document.removeEventListener("visibilitychange", this.hide);
    this.work.stop();
  }

  hide = () => {
    const step = Math.max(1, this.run?.step ?? 0); // 0 would begin anew
    if (document.hidden && this.state?.until > step) this.write({ until: step });
  };

  // --- what the worker is told

  tell(type, message = {}) {
    this.work.tell({ type, ...message });
  }

  open(message) {
    const { data, decoder: autoencoder, judge } = this.files;
    this.tell("open", { data, autoencoder, judge, ...message });
  }

  paint(predicts, trace = false) {
    const { noise, guidance, sampling } = this.state;
    this.painting = { noise, guidance };
    const options = { ...sampling, guidance, predicts };
    this.tell("sample", { labels: DIGITS, seed: noise, options, trace });
  }

  // The reader's model is made when the book's digits are there
  paintBook() {
    const { state, files: { weights } } = this;
    this.show({ busy: true });
    this.open({ config: configOf({ ...state, ...state.start }), weights });
    this.paint("velocity", !this.still);
  }

  begin() {
    this.retire();
    this.show({ failed: undefined, past: this.past, before: this.past.at(-1) ?? this.book });
    this.run = newRun(this.state);
    this.asked = 0;
    this.painting = undefined;
    this.open(trainerOf(this.state));
  }

  // The run joins those before, all of which a reset forgets
  retire() {
    const { run } = this;
    if (run?.step) {
      URL.revokeObjectURL(run.file);
      const left = run.slow ? [] : [{ ...run, file: undefined, bytes: undefined }];
      this.past = [...this.past, ...left].slice(1 - RACE);
      this.write({ trained: null });
    }
    if (this.state.until === 0) this.past = [];
  }

  // Sends the worker on, or stops it
  lead() {
    const { run, state: { until } } = this;
    if (!run.ready) return;
    if (until > run.step && until !== this.asked) {
      this.asked = until;
      this.tell("start", { until });
    } else if (until <= run.step && this.asked > run.step) {
      this.asked = run.step;
      this.tell("pause");
    }
    this.look();
  }

  // Asks for new digits if those on the page are too old, or were asked for in other words
  look() {
    const { run, state } = this;
    if (this.painting || !run.ready) return;
    const age = run.step - run.at;
    const patience = this.still ? 50 : run.step < 60 ? 6 : 25;
    const asAsked = !unlike(run, state).length;
    if (asAsked && (run.step < this.asked ? age < patience : age === 0)) return;
    this.paint(state.predicts);
  }

  // At rest the weights are fetched, those of each step once
  save() {
    const { run, state } = this;
    if (!this.resting() || !run.step || run.saved === run.step) return;
    run.saved = run.step;
    this.tell("save", { metadata: cardOf(state, run.settings) });
  }

  // A small model takes the place of one that is slow on this device
  shrink(pace) {
    this.run.slow = true;
    this.show({ pace });
    this.write({ hidden_size: SMALL });
  }

  // --- what it answers

  hear(message) {
    const { run } = this;
    // an answer to what was asked of a run that is over
    if (run && !run.ready && message.type !== "ready" && message.type !== "error") return;
    this[message.type](message);
    if (!this.run) return;
    this.save();
    this.tellPage(true);
  }

  ready({ plain, names }) {
    if (!this.run) return; // the trained model, which is only to paint
    Object.assign(this.run, { ready: true, names, plain });
    this.lead();
  }

  progress({ step, losses, times, steering }) {
    const { run, state, asked } = this;
    run.losses.push(...losses);
    run.times.push(...times);
    Object.assign(run, { step, vectors: steering });
    const pace = paceOf(run);
    if (!this.known && asked - step > LONG && pace !== undefined) {
      this.known = true;
      if (pace > SLOW && state.hidden_size === USUAL && !run.given) return this.shrink(pace);
    }
    this.look();
  }

  paused({ step }) {
    if (this.state.until > step) return; // it was told to go on meanwhile
    this.asked = step; // some more than were on the page
    this.write({ until: step });
    this.look();
  }

  done() {
    this.look();
  }

  sampled({ u, trained, pictures, read }) {
    const drawn = this.painting;
    if (!this.run) {
      this.book = { pictures, read, drawn, losses: [] };
      this.show({ before: this.book });
      if (u === 0) this.begin();
      return;
    }
    Object.assign(this.run, { at: trained, pictures, read, drawn });
    this.painting = undefined;
    this.look();
  }

  weights({ bytes }) {
    const { run } = this;
    URL.revokeObjectURL(run.file);
    Object.assign(run, { bytes, file: URL.createObjectURL(new Blob([bytes])) });
    const { conditioning, hidden_size } = run.settings;
    this.write({ trained: { conditioning, hidden_size, bytes } });
  }

  error({ message }) {
    this.show({ failed: message, busy: false });
    if (!this.run) return;
    this.asked = this.run.step;
    this.write({ until: this.run.step });
  }

  // --- what the page is told

  resting() {
    return this.run.ready && this.run.step >= this.asked && !this.painting;
  }

  // `news`: the run has changed, and not only what is asked of it
  tellPage(news = false) {
    const busy = !this.resting();
    if (!news && this.busy === busy) return;
    this.busy = busy;
    this.show({ run: { ...this.run, onPage: this.work.onPage() }, busy });
  }
}

// --- what is drawn ----------------------------------------------------------------------------

// Ten pictures as one, two rows of five
const sheet = (pictures) =>
  pictures &&
  Array.from({ length: 2 * SIDE }, (_, y) =>
    Float32Array.from({ length: 5 * SIDE }, (_, x) => {
      const digit = 5 * Math.floor(y / SIDE) + Math.floor(x / SIDE);
      return pictures[digit * SIDE * SIDE + (y % SIDE) * SIDE + x % SIDE];
    }));

// In the corner of each of the ten a tick, or the class that the judge reads instead of it
function mark({ context, width, height }, read, { ink, paper }) {
  const [wide, high] = [width / 5, height / 2];
  const size = 13; // where a digit has room for it
  const scale = Math.min(1, 0.3 * wide / size);
  context.textAlign = "center";
  context.strokeStyle = ink;
  context.lineWidth = 1.5;
  read.forEach((digit, asked) => {
    context.save();
    context.translate((asked % 5 + 1) * wide, (Math.floor(asked / 5) + 1) * high);
    context.scale(scale, scale);
    context.translate(-size, -size);
    context.fillStyle = digit === asked ? paper : ink;
    context.fillRect(0, 0, size, size);
    context.beginPath();
    if (digit === asked) {
      for (const [x, y] of [[3, 7], [5.5, 10], [10, 3]]) context.lineTo(x, y);
    }
    context.stroke();
    context.fillStyle = paper;
    if (digit !== asked) context.fillText(String(digit), size / 2, size - 2.5);
    context.restore();
  });
}

// Ten digits of a run
const ten = (title, runOf) =>
  ui.digit({
    shape: "ten",
    title,
    values: (now) => sheet(runOf(now)?.pictures),
    marks: (_, now) => [runOf(now)?.read],
    decorate: (prepared, _, { now, palette }) => mark(prepared, runOf(now).read, palette),
  });

const lastLoss = (losses) => mean(losses.slice(-WINDOW));

// Mean losses of the last steps, at its place among all steps of a run
function curve(losses, { recipe: { steps } }) {
  const line = new Array(steps + 1);
  let sum = 0;
  losses.forEach((loss, i) => {
    sum += loss - (losses[i - WINDOW] ?? 0);
    line[i + 1] = sum / Math.min(i + 1, WINDOW);
  });
  return line;
}

// What a sheet was drawn with, where it is not what is asked for now
const unlike = ({ drawn = {} }, state) =>
  ["noise", "guidance"].filter((name) => drawn[name] !== state[name])
    .map((name) => `${name} ${drawn[name]}`);

const stepOf = (now) => now.run?.step ?? 0;
const going = ({ until }, now) => until > stepOf(now);
// Some steps more than are done or asked for; a run to the end stops there
const further = (count) => ({ until, recipe: { steps } }, now) => {
  const done = stepOf(now);
  if (done >= steps) return null;
  return { until: Math.min(steps, count + (until < steps ? Math.max(until, done) : done)) };
};

// The file of the trained weights, as a link
const save = () => {
  const element = ui.h("a", { download: "dit.safetensors" }, "save the weights");
  const draw = (_, now) => {
    element.hidden = !now.run?.file || now.busy;
    if (!element.hidden) element.href = now.run.file;
  };
  return { element, draw };
};

// Keeps them in this browser, if the figures of chapters 12 and 14 can take such a model
const keep = () => {
  let run;
  const element = ui.h("button", {
    type: "button",
    onclick() {
      element.textContent = ui.keep(run.bytes)
        ? "kept for chapters 12 and 14"
        : "this browser keeps nothing";
    },
  });
  const draw = ({ conditioning, predicts }, now) => {
    const fits = conditioning === "adaln-zero" && predicts === "velocity";
    element.hidden = !now.run?.file || now.busy || !fits;
    if (now.run?.file !== run?.file) element.textContent = "keep for chapters 12 and 14";
    run = now.run;
  };
  return { element, draw };
};

const usual = {
  conditioning: "adaln-zero",
  predicts: "velocity",
  learning_rate: 0.01,
  embedding_init: "unit",
  modulation: "zero",
};

export default ui.figure({
  stages,
  live: (host) => new Leader(host),
  reads: ["conditioning", "hidden_size", "predicts"],
  takes: ["initial"],
  layout: {
    narrow: `"digits digits digits before before before" auto
      "train train one one more more" auto "loss loss loss loss loss loss" auto
      "steering steering steering steering steering steering" auto
      "seed seed again again guidance guidance" minmax(2.7rem, auto) / 1fr 1fr 1fr 1fr 1fr 1fr`,
    wide: `"train one more seed again guidance" minmax(2.9rem, auto)
      "digits digits digits before before before" auto
      "loss loss loss steering steering steering" auto / 1fr 1fr 1fr 1fr 1fr 1fr`,
  },
  parts: {
    train: ui.button({
      role: "main",
      text: (state, now) =>
        going(state, now)
          ? "pause"
          : stepOf(now) >= state.recipe.steps
          ? "trained"
          : stepOf(now)
          ? "go on"
          : "train it here",
      changes: (state, now) =>
        going(state, now) ? { until: Math.max(1, stepOf(now)) } : further(Infinity)(state, now),
    }),
    one: ui.button({ text: () => "one step", changes: further(1) }),
    more: ui.button({ text: () => "50 steps", changes: further(50) }),
    seed: ui.button({
      text: () => "another seed",
      changes: ({ seed, until, recipe }) => ({
        seed: (seed + 1) % 100,
        until: until || recipe.steps,
      }),
    }),
    again: ui.button({
      text: () => "other noise",
      changes: ({ noise }) => ({ noise: (noise + 1) % 100 }),
    }),
    guidance: ui.slider({ label: "guidance", step: 0.25, when: ({ until }) => until > 0 }),
    digits: ten(
      (state, now) =>
        `${
          ["this run", words(state, settingsOf(state), { ...state.start, given: false })]
            .filter(Boolean).join(", ")
        }: step ${stepOf(now)}`,
      ({ run }) => run,
    ),
    before: ten(
      (state, { run, before }) => {
        const name = before?.settings
          ? `the run before, ${
            words(state, before.settings, run?.settings) ||
            (before.given === run?.given ? "the same" : "other weights")
          }: step ${before.step}`
          : `the DiT of this book, ${ui.format(state.book_steps, 0)} steps`;
        return before ? [name, ...unlike(before, state)].join(", ") : name;
      },
      ({ before }) => before,
    ),
    loss: ui.plot({
      title: (state, now) => `loss, step ${stepOf(now)} of ${state.recipe.steps}`,
      bottom: 0,
      top: 2.2,
      ticks: [[0, "0"], [1, "1"], [2, "2"]],
      values: (now, state) =>
        now.first_loss && [
          { line: [now.first_loss, now.first_loss], dash: [3, 3], bold: false },
          ...(now.past ?? []).map(({ losses }) => ({ line: curve(losses, state), bold: false })),
          { line: curve(now.run?.losses ?? [], state) },
        ],
    }),
    steering: ui.bars({
      title: (_, { steering: { gate, shift } }) =>
        gate
          ? "shifts, scales and gates, from the first block on"
          : shift
          ? "shifts and scales, from the first block on"
          : "this design has no shifts, scales and gates",
      shape: "plot",
      limit: 1,
      signed: false,
      // square roots, or the first and the small would not be seen
      values: (now) => (now.run?.vectors ?? now.run?.names?.map(() => 0))?.map(Math.sqrt),
      colour: (i, { conditioning }) => KINDS[i % (conditioning === "adaln-zero" ? 3 : 2)],
    }),
  },
  controls: {
    conditioning: ui.menu({
      label: "design",
      text: (design, { designs }) => designs[design],
    }),
    predicts: ui.menu({ label: "predicts" }),
    learning_rate: ui.menu({ label: "learning rate" }),
    embedding_init: ui.menu({
      label: "embeddings",
      text: (start) => ({ unit: "unit size", paper: "small, 0.02" })[start],
    }),
    modulation: ui.menu({
      label: "gates",
      text: (start) => ({ zero: "shut at first", random: "open at first" })[start],
      when: ({ conditioning }) => conditioning === "adaln-zero",
    }),
    hidden_size: ui.menu({
      label: "width",
      text: (width) => width === 32 ? "32 (phone)" : String(width),
    }),
    save,
    keep,
  },
  folded: ["predicts", "learning_rate", "embedding_init", "modulation", "hidden_size"],
  opening:
    "Two sheets of ten digits from the same noise: one by random weights, one by the trained " +
    "DiT of this book. Press the button, and the first model learns.",
  presets: [
    [
      "small embeddings",
      { ...usual, embedding_init: "paper" },
      "Time and class begin as small as in DiT. Watch when the ten digits become ten classes.",
    ],
    [
      "open gates",
      { ...usual, modulation: "random" },
      "The modulations begin at random: this adaLN-Zero is not the identity at its first step.",
    ],
    [
      "a tenth of the rate",
      { ...usual, learning_rate: 0.001 },
      "Everything as before, at a tenth of the learning rate.",
    ],
    [
      "cross-attention",
      { ...usual, conditioning: "cross-attention" },
      "Time and class are two rows to look up: there is no shift, scale or gate to watch.",
    ],
  ],
  sentence(state, { run, before, busy, failed, parameters, first_loss, pace }) {
    if (failed) return `The run has ended: ${failed}.`;
    if (!run || (busy && !run.step)) return "The model is being made ready.";
    const where = run.plain
      ? " This browser has no WebAssembly SIMD, so it takes about ten times as long."
      : run.onPage
      ? " This browser has no workers, so the page itself trains and may be slow to answer."
      : "";
    const small = pace && state.hidden_size === SMALL
      ? ` A step of the model of width ${USUAL} takes ${Math.round(pace)} ms on this device, so ` +
        `one of width ${SMALL} learns here.`
      : "";
    if (busy) return `The model is in training.${small}${where}`;
    const right = run.read.filter((digit, asked) => digit === asked).length;
    const judged = ` The judge reads ${right} of the ten digits as asked.`;
    if (!run.step) {
      const first = run.given
        ? "it begins at the weights that were given"
        : `the model answers 0, and its loss is ${ui.format(first_loss)}`;
      return `${ui.format(parameters, 0)} parameters, no step yet: ${first}.${judged}${where}`;
    }
    const comparable = before?.losses.length >= run.step &&
      before.settings.predicts === run.settings.predicts;
    const compared = comparable
      ? `, against ${ui.format(lastLoss(before.losses.slice(0, run.step)))} in the run before`
      : "";
    const loss = ui.format(lastLoss(run.losses));
    return `After ${run.step} of ${state.recipe.steps} steps the loss of the last ` +
      `${Math.min(WINDOW, run.step)} is ${loss}${compared}.${judged}${where}`;
  },
  note: "The curves are means of 25 steps, this run's thick and those of up to three before it " +
    "thin; the dashed line is the loss of the answer 0. A bar is the root mean square of a shift (blue), a scale " +
    "(orange) or a gate (green) over a batch; heights are roots, up to 1. In the corner of a digit " +
    "stands a tick if the judge reads the class that was asked for, else the number that it reads.",
  table(_, { run, before, past = [], parameters }) {
    const runs = [
      ["this run", run],
      ...past.toReversed().map((each, i) => [i ? `${i + 1} runs before` : "the run before", each]),
    ];
    const read = [["this run", run], ["the sheet beside it", before]].filter(([, r]) => r?.read);
    return [
      {
        caption: "The runs",
        columns: ["", "steps", "loss of the last 25"],
        rows: runs
          .filter(([, { losses } = { losses: [] }]) => losses.length)
          .map(([name, { step, losses }]) => [name, step, lastLoss(losses)]),
      },
      {
        caption: "What the judge reads",
        columns: ["asked for", ...read.map(([name]) => name)],
        rows: DIGITS.map((digit) => [digit, ...read.map(([, { read }]) => read[digit])]),
        places: 0,
      },
      {
        caption: `What steers the blocks, of ${ui.format(parameters, 0)} parameters in all`,
        columns: ["", "root mean square"],
        rows: (run?.vectors ?? []).map((size, i) => [
          `${run.names[i].name}, ${run.names[i].kind}`,
          size,
        ]),
      },
    ];
  },
});
