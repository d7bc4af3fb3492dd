// Chapter 4's figure: a latent cut into patches, flattened, read back, and what that costs.
import { ditCost } from "./core/counting.mjs";
import { rowsOf } from "./core/data.mjs";
import { trainedDecoder } from "./core/decoder.mjs";
import { featureIndex, featurePlace, patchifyChannels, unpatchify } from "./core/patches.mjs";
import * as ui from "./ui.mjs";

const [SIDE, CHANNELS, COST_SIDE, PICTURE] = [8, 4, 32, 32];
const LIMIT = 3;

// How many of the numbers return to their place, and where the chosen one goes.
function follow({ patch_size: p, cut_order: cut, read_order: read, row, column, channel }) {
  const features = Array.from({ length: p * p * CHANNELS }, (_, f) => f);
  const stay = features.filter(
    (f) => featureIndex(featurePlace(f, p, CHANNELS, cut), p, CHANNELS, read) === f,
  );
  const [top, left] = [Math.floor(row / p), Math.floor(column / p)];
  const feature = featureIndex({ channel, row: row % p, column: column % p }, p, CHANNELS, cut);
  const back = featurePlace(feature, p, CHANNELS, read);
  return {
    kept: (stay.length * CHANNELS * SIDE * SIDE) / features.length,
    token: (top * SIDE) / p + left,
    feature,
    back: { channel: back.channel, row: top * p + back.row, column: left * p + back.column },
  };
}

// The decoder runs when what is read back changes, not when the frames move.
let last = {};
function decode(output, decoder, key) {
  if (last.key !== key || last.decoder !== decoder) {
    const flat = Float64Array.from(output.flatMap((channel) => channel.flatMap((row) => [...row])));
    last = { key, decoder, picture: rowsOf(trainedDecoder(decoder, SIDE).decode(flat), PICTURE) };
  }
  return last.picture;
}

export function stages(state) {
  const { patch_size: p, cut_order: cut, read_order: read, decoder } = state;
  const latent = state.latents[state.digits.indexOf(state.digit)];
  const tokens = patchifyChannels(latent, p, cut);
  const output = unpatchify(tokens, p, SIDE, SIDE, read);
  const { hidden_size: hiddenSize, depth } = state.sizes[state.size];
  return {
    latent,
    tokens,
    output,
    ...follow(state),
    decoded: decoder && decode(output, decoder, `${state.digit} ${p} ${cut} ${read}`),
    costs: state.patch_sizes.map((patchSize) =>
      ditCost({ inputSize: COST_SIDE, patchSize, hiddenSize, depth })
    ),
  };
}

// The four channels of a latent, two above two, with the patches' grid; one number is framed.
const channels = (title, name, chosen, rest) =>
  ui.map({
    title,
    limit: LIMIT,
    values: (now) =>
      Array.from({ length: 2 * SIDE }, (_, y) => {
        const [left, right] = now[name].slice(y < SIDE ? 0 : 2).map((channel) => channel[y % SIDE]);
        return [...left, ...right];
      }),
    marks: (state, now) => [state.patch_size, Object.values(chosen(state, now))],
    decorate(prepared, _, { state, now, palette }) {
      const { channel, row, column } = chosen(state, now);
      const p = state.patch_size;
      const size = [2 * SIDE, 2 * SIDE];
      const y = row + SIDE * Math.floor(channel / 2);
      const x = column + SIDE * (channel % 2);
      ui.grid(prepared, [(2 * SIDE) / p, (2 * SIDE) / p], palette.data);
      ui.grid(prepared, [2, 2], palette.text, 3);
      ui.frame(prepared, size, [y - (y % p), x - (x % p), p, p], palette.shift, 1.5);
      ui.frame(prepared, size, [y, x], palette.shift, 3);
    },
    ...rest,
  });

// The token matrix; lines divide a token's features into its pixels, or into its channels.
function drawTokens(prepared, tokens, { state, now, palette }) {
  const { context, width, height } = prepared;
  const inner = state.cut_order === "C,p,p" ? state.patch_size ** 2 : CHANNELS;
  ui.grid(prepared, [1, tokens[0].length / inner], palette.data);
  ui.frame(prepared, [tokens.length, 1], [now.token, 0], palette.shift, 1.5);
  // at p = 8 a feature is narrower than a frame, so the frame is at least 6 px wide
  const [wide, high] = [width / tokens[0].length, height / tokens.length];
  const box = [Math.max(6, wide), Math.max(6, high)];
  const x = Math.max(0, Math.min(width - box[0], (now.feature + 0.5) * wide - box[0] / 2));
  const y = Math.max(0, Math.min(height - box[1], (now.token + 0.5) * high - box[1] / 2));
  context.strokeStyle = palette.shift;
  context.lineWidth = 3;
  context.strokeRect(x + 1.5, y + 1.5, box[0] - 3, box[1] - 3);
}

// Which number of the latent lies at a place of the token matrix
function pickToken(y, x, { patch_size: p, cut_order: cut }) {
  const across = SIDE / p;
  const token = Math.floor(y * across ** 2);
  const place = featurePlace(Math.floor(x * p * p * CHANNELS), p, CHANNELS, cut);
  return {
    channel: place.channel,
    row: Math.floor(token / across) * p + place.row,
    column: (token % across) * p + place.column,
  };
}

// One quantity of the cost for every patch size, on one scale
const cost = (title, read, words) =>
  ui.rows({
    title,
    short: true,
    values: ({ costs }, state) =>
      costs.map((each, i) => ({
        name: `p = ${state.patch_sizes[i]}`,
        value: words(read(each)),
        pieces: [["data", read(each) / Math.max(...costs.map(read)), title]],
        chosen: state.patch_sizes[i] === state.patch_size,
      })),
  });

const order = (label) => ui.menu({ label, text: (name) => name.replaceAll(",", ", ") });
const wrong = { cut_order: "C,p,p", read_order: "p,p,C" };
const right = { cut_order: "p,p,C", read_order: "p,p,C" };

export default ui.figure({
  stages,
  layout: {
    narrow:
      `"latent tokens legend" auto "output decoded ." auto "cost_tokens cost_macs cost_macs" auto
      / minmax(0, 1fr) minmax(0, 1fr) 4.5rem`,
    wide: `"latent cut tokens read output decode decoded" auto "legend . . . . . ." auto
      "cost_tokens cost_tokens cost_parameters cost_parameters cost_parameters cost_macs cost_macs" auto
      / 1fr auto 1fr auto 1fr auto 1fr`,
  },
  parts: {
    latent: channels("1. the latent", "latent", (state) => state, {
      note: "channels 0 to 3",
      pick: (y, x) => ({
        column: Math.floor(2 * SIDE * x) % SIDE,
        row: Math.floor(2 * SIDE * y) % SIDE,
        channel: Math.floor(2 * x) + 2 * Math.floor(2 * y),
      }),
    }),
    cut: ui.node({ text: "cut", round: false }),
    tokens: ui.map({
      title: "2. the tokens",
      limit: LIMIT,
      values: (now) => now.tokens,
      marks: (state, now) => [state.cut_order, now.token, now.feature],
      decorate: drawTokens,
      note: (_, { tokens }) => `N = ${tokens.length}, p·p·C = ${tokens[0].length}`,
      pick: pickToken,
    }),
    read: ui.node({ text: "read", round: false }),
    output: channels("3. read back", "output", (_, now) => now.back, {
      note: (_, { kept }) => `${kept} of ${CHANNELS * SIDE * SIDE} in their place`,
    }),
    decode: ui.node({ text: "decode", round: false }),
    decoded: ui.digit({
      title: "4. decoded",
      values: (now) => now.decoded,
      note: "32 × 32 pixels",
    }),
    legend: ui.legend({ low: "−3", high: "3" }),
    cost_tokens: cost("tokens N", ({ tokens }) => tokens, String),
    cost_parameters: cost("million parameters", (c) => c.parameters / 1e6, (v) => ui.format(v)),
    cost_macs: cost("GMAC", (c) => c.macs / 1e9, (v) => ui.format(v)),
  },
  wires: [
    ["latent", "cut"],
    ["cut", "tokens"],
    ["tokens", "read"],
    ["read", "output"],
    ["output", "decode"],
    ["decode", "decoded"],
  ],
  controls: {
    patch_size: ui.menu({ label: "patch size p", text: (p) => `${p} × ${p}` }),
    cut_order: order("cut as"),
    read_order: order("read as"),
    digit: ui.menu({ label: "digit" }),
    row: ui.slider({ label: "row", symbol: "y" }),
    column: ui.slider({ label: "column", symbol: "x" }),
    channel: ui.slider({ label: "channel", symbol: "c" }),
    size: ui.menu({ label: "cost of", text: (size) => `DiT-${size}` }),
  },
  folded: ["digit", "size"],
  dense: true,
  opening: "256 numbers, cut into patches, laid out as tokens, and read back. " +
    "Click a number in panel 1 or 2 to follow it through.",
  presets: [
    ["one token", { ...right, patch_size: 8 }, "At p = 8 the whole latent is one long token."],
    [
      "a token for each position",
      { ...right, patch_size: 1 },
      "At p = 1 a token has the four channels of one position, and the model pays for 64 tokens.",
    ],
    [
      "wrong order",
      { ...wrong, patch_size: 2 },
      "Written channel first, read channel last: every token is shuffled, and no shape is wrong.",
    ],
    ["wrong order, p = 4", { ...wrong, patch_size: 4 }, "Larger patches are shuffled further."],
    [
      "wrong order, p = 1",
      { ...wrong, patch_size: 1 },
      "At p = 1 both orders are the same, so this mistake does no harm.",
    ],
  ],
  sentence(state, { latent, feature, token, back }) {
    const { channel, row, column } = state;
    return `Channel ${channel}, row ${row}, column ${column} holds ` +
      `${ui.format(latent[channel][row][column])}. Cut as (${state.cut_order}) it is feature ` +
      `${feature} of token ${token}; read as (${state.read_order}) it lands in channel ` +
      `${back.channel}, row ${back.row}, column ${back.column}.`;
  },
  note: "The thin frame is the number's patch, or its token. DiT's tokens are p, p, C, a " +
    "convolution's weights C, p, p. The costs are those of one 256×256 picture, a latent of 32×32×4.",
  table: ({ patch_size: p, cut_order: cut }, { tokens }) => ({
    caption:
      `N = ${tokens.length} tokens; above each feature f the (channel, row, column) of its ` +
      "patch that it holds",
    columns: [
      "token",
      ...Array.from(tokens[0], (_, f) => {
        const { channel, row, column } = featurePlace(f, p, CHANNELS, cut);
        return `${f} (${channel}, ${row}, ${column})`;
      }),
    ],
    rows: tokens.map((token, n) => [String(n), ...token]),
  }),
});
