// Chapter 15's figure: the runs of the race, seed by seed, and what the seeds can tell apart.
import { mean, sum } from "./core/arrays.mjs";
import * as ui from "./ui.mjs";

const deviation = (values) => {
  const middle = mean(values);
  return Math.sqrt(sum(values.map((value) => (value - middle) ** 2)) / (values.length - 1));
};
// Of the mean of each row; nothing for a single column, which has no spread
const standardErrors = (rows) =>
  rows[0].length > 1 ? rows.map((row) => deviation(row) / Math.sqrt(row.length)) : [];
const against = (rows, rival) => rows.map((row) => row.map((value, n) => value - rows[rival][n]));

export function stages({ results, race, measure, rival, seeds }) {
  const values = results[race][measure].map((row) => row.slice(0, seeds));
  const differences = against(values, rival);
  const errors = standardErrors(values);
  return {
    values,
    means: values.map(mean),
    errors,
    differences,
    gaps: differences.map(mean),
    paired: standardErrors(differences),
    unpaired: errors.map((error) => Math.hypot(error, errors[rival])),
  };
}

// Numbers of one row, one dot each, in the shape of its seed
const SHAPES = [
  (context, x, y) => context.arc(x, y, 4, 0, 7),
  (context, x, y) => polygon(context, x, y, [[0, -5], [4.5, 4], [-4.5, 4]]),
  (context, x, y) => context.rect(x - 3.5, y - 3.5, 7, 7),
  (context, x, y) => polygon(context, x, y, [[0, -5], [4.5, 0], [0, 5], [-4.5, 0]]),
  (context, x, y) => polygon(context, x, y, [[0, 5], [4.5, -4], [-4.5, -4]]),
];
function polygon(context, x, y, corners) {
  corners.forEach(([dx, dy]) => context.lineTo(x + dx, y + dy));
  context.closePath();
}

const LEFT = 118; // px for the names
const places = (measure) => (measure === "accuracy" ? 2 : measure === "distance" ? 0 : 3);

// Rows of dots between the ends of the axis, with a bar of one standard error around the mean
function dots({ title, read, ends, zero = false }) {
  return ui.panel({
    title,
    shape: "plot",
    pick: (y) => ({ rival: Math.floor(4 * y) }),
    values: (now) => read(now).rows,
    marks: (state, now) => {
      const { means, errors, faint = [] } = read(now);
      return [state.race, state.rival, means, errors, faint, ends(state)];
    },
    draw(canvas, rows, { state, now, palette }) {
      const { means, errors, faint = [] } = read(now);
      const { context, width, height } = ui.prepare(canvas);
      const [low, high] = ends(state);
      const x = (value) => LEFT + 14 + ((value - low) / (high - low)) * (width - LEFT - 24);
      const step = (height - 16) / rows.length;
      context.fillStyle = palette.data;
      const digits = places(state.measure);
      [[low, "left"], [high, "right"]].forEach(([value, align]) => {
        if (zero && value === 0) return; // it has its own mark
        context.textAlign = align;
        ui.write(context, ui.format(value, digits), x(value), height - 4);
      });
      if (zero) {
        context.textAlign = "center";
        const isFar = (end) => end === 0 || Math.abs(x(end) - x(0)) > 50;
        if ([low, high].every(isFar)) ui.write(context, "0", x(0), height - 4);
        context.fillRect(x(0) - 0.5, 0, 1, height - 16);
      }
      context.textAlign = "right";
      rows.forEach((row, i) => {
        const y = (i + 0.5) * step;
        context.fillStyle = palette.text;
        context.font = `${i === state.rival ? "bold " : ""}12px sans-serif`;
        ui.write(context, state.entrants[state.race][i], LEFT, y + 4);
        const bar = (error, colour, thick, up) => {
          context.fillStyle = colour;
          const wide = Math.max(2, x(means[i] + error) - x(means[i] - error));
          context.fillRect(x(means[i]) - wide / 2, y + up - thick / 2, wide, thick);
        };
        if (faint.length && i !== state.rival) bar(faint[i], palette.data, 2, 8);
        if (errors.length) bar(errors[i], palette.condition, 6, 0);
        context.strokeStyle = palette.text;
        context.lineWidth = 1.25;
        row.forEach((value, seed) => {
          context.beginPath();
          SHAPES[seed](context, x(value), y);
          context.stroke();
        });
      });
      context.font = "12px sans-serif";
    },
  });
}

// The axes do not move with the number of seeds
const valueEnds = ({ results, race, measure }) => {
  const all = results[race][measure].flat();
  return [Math.min(...all), Math.max(...all)];
};
const differenceEnds = ({ results, race, measure, rival }) => {
  const all = against(results[race][measure], rival).flat();
  return [Math.min(0, ...all), Math.max(0, ...all)];
};
const name = ({ race, entrants }, i) => entrants[race][i];

export default ui.figure({
  stages,
  layout: {
    narrow: `"values" auto "differences" auto "seeds" auto / minmax(0, 1fr)`,
    wide: `"values differences" auto "seeds seeds" auto / minmax(0, 1fr) minmax(0, 1fr)`,
  },
  parts: {
    values: dots({
      title: ({ measure, signs }) =>
        `${measure}, ${signs[measure] > 0 ? "less" : "more"} is better`,
      read: ({ values, means, errors }) => ({ rows: values, means, errors }),
      ends: valueEnds,
    }),
    differences: dots({
      title: (state) => `the same seed, less ${name(state, state.rival)}`,
      read: ({ differences, gaps, paired, unpaired }) => ({
        rows: differences,
        means: gaps,
        errors: paired,
        faint: unpaired,
      }),
      ends: differenceEnds,
      zero: true,
    }),
    seeds: ui.slider({ label: "seeds", symbol: "n", role: "condition" }),
  },
  controls: {
    race: ui.menu({ label: "race" }),
    measure: ui.menu({ label: "measure" }),
    rival: ui.menu({ label: "compared with", text: (row, state) => name(state, row) }),
  },
  opening: "Three seeds of each design. Take one away, or add one, and see which order stays.",
  presets: [
    [
      "one seed",
      { race: "the four designs", measure: "distance", rival: 1, seeds: 1 },
      "With one seed, cross-attention paints better than adaLN.",
    ],
    [
      "five seeds",
      { race: "the four designs", measure: "distance", rival: 1, seeds: 5 },
      "With five seeds adaLN is ahead of cross-attention, in four of the five.",
    ],
    [
      "gate or zeros",
      { race: "gate or zero start", measure: "accuracy", rival: 0, seeds: 5 },
      "Gates alone, in the third row, do nearly all; zeros alone, in the second, little.",
    ],
  ],
  sentence(state, { means, gaps, paired }) {
    const order = means.map((_, i) => i).sort((i, j) =>
      state.signs[state.measure] * (means[i] - means[j])
    );
    const digits = places(state.measure);
    const list = order.map((i) => `${name(state, i)} ${ui.format(means[i], digits)}`).join(", ");
    if (!paired.length) return `One seed, best first: ${list}. One seed has no spread.`;
    const others = order.filter((i) => i !== state.rival);
    const said = others.map((i) =>
      `${name(state, i)} ${ui.format(gaps[i], digits + 1)} ± ${ui.format(paired[i], digits + 1)}`
    );
    return `Best first: ${list}. Less ${name(state, state.rival)}: ${said.join(", ")}.`;
  },
  note: "A shape is a seed. Thick bar: one standard error to both sides of the mean; thin bar " +
    "below: the same, had the seeds not been paired. A click on a row compares with it.",
  table: (state, { values, means, errors, gaps, paired }) => ({
    caption: `${state.measure}, seeds: ${values[0].length}`,
    columns: ["entrant", "mean", "standard error", "difference", "its standard error"],
    rows: means.map((value, i) => [
      name(state, i),
      value,
      errors[i] ?? 0,
      gaps[i],
      paired[i] ?? 0,
    ]),
  }),
});
