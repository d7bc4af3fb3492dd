// Chapter 2's figure: a digit at every noise level, and what the network is asked for.
import { alphaBar, linearBetas, mix } from "./core.mjs";
import { colours, group, h, heatmap, menu, numbers, prepare, presets, redraw, say, show, slider, status, table } from "./ui.mjs";

const LIMIT = 2;
const SCHEDULES = [
  ["full", "1000 steps", 1000, true],
  ["short", "100 steps, not rescaled", 100, false],
  ["rescaled", "100 steps, rescaled", 100, true],
];
const TARGETS = [
  ["noise", "the noise ε"],
  ["data", "the data x₀"],
  ["velocity", "the velocity ε − x₀"],
];
const NAMES = ["t", "schedule", "target", "digit", "digits", "noise"];
const CURVES = Object.fromEntries(
  SCHEDULES.map(([name, , steps, rescale]) => [name, alphaBar(linearBetas(steps, rescale))]),
);

export function stages(state) {
  const curve = CURVES[state.schedule];
  const step = Math.floor((state.t * curve.length) / 1000);
  const kept = curve[step];
  const data = state.digits[state.digit].map((row) => row.map((value) => value / 127.5 - 1));
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

// Curves over the share of the steps; the chosen one is bold and marked at `progress`.
function drawCurves(canvas, { curves, chosen, progress, bottom, top, marks, palette }) {
  const { context, width, height } = prepare(canvas);
  const [left, low] = [36, height - 20];
  const x = (share) => left + share * (width - left - 6);
  const y = (value) => low - ((value - bottom) / (top - bottom)) * (low - 6);
  context.fillStyle = palette.text;
  context.strokeStyle = palette.data;
  context.lineWidth = 1;
  for (const [value, text] of marks) {
    context.fillText(text, 2, y(value) + 4);
    context.strokeRect(left, y(value), width - left - 6, 0);
  }
  context.fillText("0", left, height - 5);
  context.fillText("T", width - 14, height - 5);
  const dashes = { full: [], short: [7, 4], rescaled: [2, 3] };
  for (const [name, values] of Object.entries(curves)) {
    context.strokeStyle = name === chosen ? palette.text : palette.data;
    context.lineWidth = name === chosen ? 3 : 1.5;
    context.setLineDash(dashes[name]);
    context.beginPath();
    const skip = values.length / 100;
    for (let t = 0; t < values.length; t += skip) context.lineTo(x(t / values.length), y(values[t]));
    context.lineTo(x(1), y(values.at(-1)));
    context.stroke();
  }
  context.setLineDash([]);
  const now = curves[chosen][Math.floor(progress * curves[chosen].length)];
  context.strokeStyle = palette.text;
  context.lineWidth = 1;
  context.strokeRect(x(progress), 6, 0, low - 6);
  context.beginPath();
  context.arc(x(progress), y(now), 5, 0, 7);
  context.fill();
}

// Time from 0 to 1 with what lies at its ends, and where the mixture is.
function drawRuler(canvas, time, ends, palette) {
  const { context, width, height } = prepare(canvas);
  const [left, right, middle] = [10, width - 10, height / 2];
  const x = left + time * (right - left);
  context.strokeStyle = palette.data;
  context.fillStyle = palette.text;
  context.lineWidth = 2;
  context.strokeRect(left, middle, right - left, 0);
  context.fillText(`0: ${ends[0]}`, 2, height - 5);
  context.textAlign = "right";
  context.fillText(`1: ${ends[1]}`, width - 2, height - 5);
  context.textAlign = time < 0.5 ? "left" : "right";
  context.fillText(`t = ${time.toFixed(2)}`, x, 13);
  context.textAlign = "left";
  context.beginPath();
  context.arc(x, middle, 6, 0, 7);
  context.fill();
}

function render({ model, el }) {
  const square = () => h("canvas", { style: "aspect-ratio: 1", "aria-hidden": "true" });
  const flat = (height) => h("canvas", { style: `height: ${height}`, "aria-hidden": "true" });
  const panel = (title, ...parts) =>
    h("div", { class: "dit-panel" }, h("div", { class: "dit-title" }, title), ...parts);
  const images = ["data", "noise", "mixed", "target", "straight", "noiseAtOne", "noiseAtZero"];
  const canvases = Object.fromEntries(images.map((name) => [name, square()]));
  const asked = h("span");
  const [signalCurve, ratioCurve, rulerOne, rulerZero] = ["9rem", "9rem", "3.5rem", "3.5rem"].map(flat);

  const controls = [
    slider(model, { name: "t", label: "time step", symbol: "t", min: 0, max: 999, step: 1 }),
    menu(model, { name: "schedule", label: "schedule", options: SCHEDULES.map((s) => s.slice(0, 2)) }),
    menu(model, { name: "target", label: "asked for", options: TARGETS }),
    menu(model, { name: "digit", label: "digit", options: Array.from({ length: 10 }, (_, i) => [i, String(i)]) }),
  ];
  const start = { t: 300, schedule: "full", target: "noise", digit: 3 };
  const buttons = presets(model, "presets", [
    ["equal parts", { schedule: "full", t: 259 }],
    ["end of the short schedule", { schedule: "short", t: 999 }],
    ["end, rescaled", { schedule: "rescaled", t: 999 }],
    ["reset", start],
  ]);
  const sentence = status();
  const read = () => Object.fromEntries(NAMES.map((name) => [name, model.get(name)]));
  const details = numbers("The numbers at this step", (box) => {
    const { step, alphaBar: kept, snr, flowTime, data, noise, mixed } = stages(read());
    table(box, {
      caption: `Step ${step}; the pixel in row 8, column 8`,
      columns: ["", "value"],
      rows: [
        ["signal left", kept],
        ["factor of the data", Math.sqrt(kept)],
        ["factor of the noise", Math.sqrt(1 - kept)],
        ["signal-to-noise ratio", snr],
        ["flow time, noise at 1", flowTime],
        ["flow time, noise at 0", 1 - flowTime],
        ["pixel, data", data[8][8]],
        ["pixel, noise", noise[8][8]],
        ["pixel, mixture", mixed[8][8]],
      ],
    });
  });

  const ratios = Object.fromEntries(
    Object.entries(CURVES).map(([name, kept]) => [name, kept.map((a) => Math.log10(a / (1 - a)))]),
  );
  const draw = () => {
    const state = read();
    const now = stages(state);
    const palette = colours(el);
    for (const name of images) {
      redraw(canvases[name], [now[name], palette], () => heatmap(canvases[name], now[name], { limit: LIMIT, palette }));
    }
    const common = { chosen: state.schedule, progress: state.t / 1000, palette };
    drawCurves(signalCurve, { ...common, curves: CURVES, bottom: 0, top: 1, marks: [[0, "0"], [0.5, "0.5"], [1, "1"]] });
    drawCurves(ratioCurve, { ...common, curves: ratios, bottom: -5, top: 4, marks: [[3, "1000"], [0, "1"], [-3, "0.001"]] });
    drawRuler(rulerOne, now.flowTime, ["data", "noise"], palette);
    drawRuler(rulerZero, 1 - now.flowTime, ["noise", "data"], palette);
    say(asked, `asked for: ${TARGETS.find(([name]) => name === state.target)[1]}`);
    sentence.say(
      `t = ${state.t} of 1000 is step ${now.step} of ${SCHEDULES.find(([name]) => name === state.schedule)[1]}: ` +
      `${precise(100 * now.alphaBar)}% of the digit's variance is left, a signal-to-noise ratio of ${precise(now.snr)}.`,
    );
    details.draw();
  };

  return show({
    model,
    el,
    names: NAMES,
    controls,
    draw,
    parts: [
      group(...controls),
      buttons,
      sentence.element,
      h(
        "div",
        { class: "dit-panels" },
        panel("data x₀", canvases.data),
        panel("noise ε", canvases.noise),
        panel("their mixture at t", canvases.mixed),
        panel(asked, canvases.target),
      ),
      h(
        "div",
        { class: "dit-panels" },
        panel("signal left ᾱ", signalCurve),
        panel("signal-to-noise ratio", ratioCurve),
      ),
      h("p", { class: "dit-note" }, "Solid: 1000 steps. Dashed: 100 steps, not rescaled. Dotted: 100 steps, rescaled. The chosen one is bold. On the straight path of flow matching the same proportions are:"),
      h(
        "div",
        { class: "dit-panels" },
        panel("the mixture on the straight path", canvases.straight),
        panel("noise at t = 1: velocity ε − x₀", rulerOne, canvases.noiseAtOne),
        panel("noise at t = 0: velocity x₀ − ε", rulerZero, canvases.noiseAtZero),
      ),
      details.element,
    ],
  });
}

export default { render };
