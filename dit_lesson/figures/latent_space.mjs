// Chapter 3's figure: a walk between two digits, in pixels and in latents.
import { mix } from "./core/arrays.mjs";
import { pictureOf, rowsOf } from "./core/data.mjs";
import { trainedDecoder } from "./core/decoder.mjs";
import * as ui from "./ui.mjs";

const [SIDE, PICTURE] = [8, 32];

// The mean of 1 - |x|: 0 for ink and paper alone, 1 for grey.
function greyness(picture) {
  let sum = 0;
  for (const row of picture) for (const value of row) sum += 1 - Math.min(1, Math.abs(value));
  return sum / (PICTURE * PICTURE);
}

export function stages(state) {
  const { position, latents, images, decoder } = state;
  const [first, second] = [state.first, state.second].map((n) => pictureOf(images[n], PICTURE));
  const pixels = mix(1 - position, first, position, second);
  const [one, other] = [latents[state.first], latents[state.second]];
  const [latent] = mix(1 - position, [one], position, [other]);
  const decoded = decoder && rowsOf(trainedDecoder(decoder, SIDE).decode(latent), PICTURE);
  return {
    first,
    second,
    pixels,
    latent: rowsOf(latent, SIDE),
    decoded,
    grey: decoded && [greyness(pixels), greyness(decoded)],
  };
}

// The four channels, two above two.
const block = (latent) =>
  Array.from({ length: 2 * SIDE }, (_, y) => {
    const left = y < SIDE ? y : y + SIDE;
    return [...latent[left], ...latent[left + SIDE]];
  });

const image = (name, title, note) => ui.digit({ title, note, values: (now) => now[name] });

export default ui.figure({
  stages,
  layout: {
    narrow: `"first position second" auto "pixels latent decoded" auto "legend legend legend" auto
      / minmax(0, 1fr) minmax(0, 1fr) minmax(0, 1fr)`,
    wide: `"first position position position second" auto "first pixels latent decoded second" auto
      ". . legend . ." auto / 8rem 1fr 1fr 1fr 8rem`,
  },
  parts: {
    first: image("first", "from"),
    position: ui.slider({ label: "position", symbol: "a", step: 0.01 }),
    second: image("second", "to"),
    pixels: image("pixels", "mixed in pixel space", "1,024 numbers mixed"),
    latent: ui.map({
      title: "mixed in latent space",
      note: "256 numbers mixed",
      limit: 3,
      values: (now) => block(now.latent),
      decorate: (prepared, _, { palette }) => ui.grid(prepared, [2, 2], palette.text),
    }),
    decoded: image("decoded", "the latent, decoded", "by the decoder, in this page"),
    legend: ui.legend({ label: "latent", low: "−3", high: "3" }),
  },
  wires: [
    ["latent", "decoded"],
  ],
  controls: {
    first: ui.menu({ label: "from" }),
    second: ui.menu({ label: "to" }),
  },
  opening:
    "Halfway from a 4 to a 9. Mixed pixels are a double exposure in grey; the mixed latent " +
    "is decoded into strokes, most of them ink or paper.",
  presets: [
    ["the first digit", { position: 0 }, "At position 0 nothing is mixed: a digit and its copy."],
    ["a quarter", { position: 0.25 }, "A quarter of the way: the second digit begins to show."],
    ["the second digit", { position: 1 }, "At position 1 the walk has arrived."],
    [
      "0 and 1, halfway",
      { first: 0, second: 1, position: 0.5 },
      "Between a 0 and a 1 there is no digit, and the decoder draws something that is none.",
    ],
  ],
  sentence: ({ first, second, position }, { grey }) =>
    `${ui.percent(1 - position)} of a ${first} and ${ui.percent(position)} of a ${second}: ` +
    `mixed as pixels the picture is ${ui.percent(grey[0], 1)} grey, ` +
    `mixed as latents and decoded ${ui.percent(grey[1], 1)}.`,
  table(_, { latent, decoded = [] }) {
    const columns = (count) => ["row", ...Array.from({ length: count }, (_, x) => String(x))];
    const place = (y) => `channel ${Math.floor(y / SIDE)}, row ${y % SIDE}`;
    return [
      {
        caption: "The mixed latent, channel below channel",
        columns: columns(SIDE),
        rows: latent.map((row, y) => [place(y), ...row]),
      },
      {
        caption: "The picture decoded from it",
        columns: columns(PICTURE),
        rows: decoded.map((row, y) => [String(y), ...row]),
      },
    ];
  },
});
