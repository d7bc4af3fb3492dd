// Chapter 2's figure: a digit at every noise level, and what the network is asked for.
import { mix } from "./core/arrays.mjs";
import { pictureOf } from "./core/data.mjs";
import { alphaBar, linearBetas } from "./core/diffusion.mjs";
import * as ui from "./ui.mjs";

// The share of the signal that each schedule leaves at each step, and its ratio to the noise;
// computed once.
const known = {};
function curvesOf(schedules) {
  for (const [name, [steps, rescale]] of Object.entries(schedules)) {
    known[name] ??= alphaBar(linearBetas(steps, rescale));
  }
  return known;
}

export function stages(state) {
  const curve = curvesOf(state.schedules)[state.schedule];
  const step = Math.floor((state.t * curve.length) / 1000);
  const kept = curve[step];
  const data = pictureOf(state.digits[state.digit], 16);
  const { noise } = state;
  const [signal, rest] = [Math.sqrt(kept), Math.sqrt(1 - kept)];
  const flowTime = rest / (signal + rest);
  const noiseAtOne = mix(1, noise, -1, data);
  return {
    step,
    alphaBar: kept,
    snr: kept / (1 - kept),
    data,
    noise,
    mixed: mix(signal, data, rest, noise),
    target: { noise, data, velocity: noiseAtOne }[state.target],
    flowTime,
    straight: mix(1 - flowTime, data, flowTime, noise),
    noiseAtOne,
    noiseAtZero: mix(1, data, -1, noise),
  };
}

function precise(value) {
  return Number(value.toPrecision(2)).toString().replace("e-", "e−");
}

const image = (name, title, limit = 1.5) => ui.digit({ title, limit, values: (now) => now[name] });
const signed = (name, title) => ui.map({ title, limit: 2, values: (now) => now[name] });

// The three schedules as curves of the share of their steps; the chosen one is bold.
const DASHES = { full: [], short: [7, 4], rescaled: [2, 3] };
const lines = (state, height) =>
  Object.entries(curvesOf(state.schedules)).map(([name, curve]) => ({
    // a hundred heights are enough for a curve of some hundred pixels
    line: Array.from({ length: 101 }, (_, i) =>
      height(curve[Math.min(curve.length - 1, Math.floor((i * curve.length) / 100))])),
    dash: DASHES[name],
    bold: name === state.schedule,
  }));
const ratio = (kept) => Math.log10(kept / (1 - kept));
const curve = (title, height, rest) =>
  ui.plot({
    title,
    ends: ["t = 0", "T"],
    values: (_, state) => lines(state, height),
    at: (now, state) => [state.t / 1000, height(now.alphaBar)],
    ...rest,
  });

// Time from 0 to 1 with what lies at its ends, and where the mixture is.
const ruler = (title, time, ends) =>
  ui.panel({
    title,
    shape: "strip",
    values: (now) => [time(now)],
    draw(canvas, [value], { palette }) {
      const { context, width, height } = ui.prepare(canvas);
      const x = 8 + value * (width - 16);
      context.fillStyle = palette.data;
      context.fillRect(8, 8, width - 16, 2);
      context.fillStyle = palette.text;
      ends.forEach((end, i) => {
        context.textAlign = i ? "right" : "left";
        ui.write(context, `${i}: ${end}`, i ? width - 3 : 3, height - 4);
      });
      context.textAlign = "center";
      ui.write(context, value.toFixed(2), width / 2, height - 4);
      context.fillStyle = palette.condition;
      context.beginPath();
      context.arc(x, 9, 6, 0, 7);
      context.fill();
    },
  });

export default ui.figure({
  stages,
  layout: {
    narrow: `"data plus noise equals mixed asked_for" auto "signal signal signal snr snr snr" auto
      "greys greys greys t t t" auto "straight . noise_at_one . noise_at_zero legend" auto
      "one one one zero zero zero" auto / 1fr auto 1fr auto 1fr 1fr`,
    wide:
      `"data plus noise equals mixed asked_for signal snr" auto ". . greys greys greys . t t" auto
      "straight . noise_at_one . noise_at_zero legend one one" auto
      "straight . noise_at_one . noise_at_zero legend zero zero" auto
      / 1fr auto 1fr auto 1fr 1fr 10rem 10rem`,
  },
  parts: {
    data: image("data", "data x₀", 1),
    plus: ui.node({ text: "+" }),
    noise: image("noise", "noise ε"),
    equals: ui.node({ text: "=" }),
    mixed: image("mixed", "mixture xₜ"),
    t: ui.slider({ label: "time step", symbol: "t", role: "condition" }),
    signal: curve("signal left ᾱ", (kept) => kept, {
      bottom: 0,
      top: 1,
      ticks: [[0, "0"], [0.5, "0.5"], [1, "1"]],
    }),
    snr: curve("signal to noise", ratio, {
      bottom: -5,
      top: 4,
      ticks: [[3, "1000"], [0, "1"], [-3, "0.001"]],
    }),
    straight: image("straight", "straight path"),
    one: ruler("noise at t = 1", (now) => now.flowTime, ["data", "noise"]),
    zero: ruler("noise at t = 0", (now) => 1 - now.flowTime, ["noise", "data"]),
    noise_at_one: signed("noiseAtOne", "ε − x₀"),
    noise_at_zero: signed("noiseAtZero", "x₀ − ε"),
    asked_for: ui.panel({
      title: "asked for",
      values: (now) => now.target,
      marks: ({ target }) => [target],
      draw(canvas, rows, { state: { target }, palette }) {
        const ends = target === "velocity" ? palette.signed : palette.digit;
        ui.cells(canvas, rows, { limit: target === "velocity" ? 2 : 1.5, ends });
      },
    }),
    greys: ui.legend({ kind: "ink", low: "−1.5", high: "1.5" }),
    legend: ui.legend({ low: "−2", high: "2" }),
  },
  controls: {
    schedule: ui.menu({
      label: "schedule",
      text: (name) =>
        ({ full: "1000 steps", short: "100, not rescaled", rescaled: "100, rescaled" })[name],
    }),
    target: ui.menu({
      label: "asked for",
      text: (name) => ({ noise: "noise ε", data: "data x₀", velocity: "velocity ε − x₀" })[name],
    }),
    digit: ui.menu({ label: "digit" }),
  },
  opening: "The mixture holds less of the digit and more of the noise as t grows. " +
    "What the network is asked for does not depend on t.",
  presets: [
    [
      "almost clean",
      { schedule: "full", t: 40 },
      "Early: nearly all of the variance is the digit's.",
    ],
    [
      "equal parts",
      { schedule: "full", t: 259 },
      "Signal and noise have equal weight, a ratio of 1: both rulers of flow matching stand at 0.5.",
    ],
    [
      "end of the short schedule",
      { schedule: "short", t: 999 },
      "A hundred of the thousand steps, not rescaled: at the end the digit still shows through.",
    ],
    [
      "end, rescaled",
      { schedule: "rescaled", t: 999 },
      "A hundred steps, each with ten times the noise: at the end nothing is left of the digit.",
    ],
  ],
  sentence: (state, now) =>
    `t = ${state.t} of 1000 is step ${now.step} of ${state.names[state.schedule]}: ` +
    `${precise(100 * now.alphaBar)}% of the digit's variance is left, ` +
    `a signal-to-noise ratio of ${precise(now.snr)}.`,
  note: "Solid: 1000 steps. Dashed: 100 steps, not rescaled. Dotted: 100 steps, rescaled. " +
    "The straight path of flow matching has the same proportions, with time running both ways.",
  table: (_, now) => ({
    caption: `Step ${now.step}; the pixel in row 8, column 8`,
    columns: ["", "value"],
    rows: [
      ["signal left", now.alphaBar],
      ["factor of the data", Math.sqrt(now.alphaBar)],
      ["factor of the noise", Math.sqrt(1 - now.alphaBar)],
      ["signal-to-noise ratio", now.snr],
      ["flow time, noise at 1", now.flowTime],
      ["flow time, noise at 0", 1 - now.flowTime],
      ["pixel, data", now.data[8][8]],
      ["pixel, noise", now.noise[8][8]],
      ["pixel, mixture", now.mixed[8][8]],
    ],
  }),
});
