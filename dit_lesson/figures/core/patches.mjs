// Images as rows of patches and back, as in patches.py.

/** @import { Rows } from "./arrays.mjs" */
/** @typedef {{ channel: number, row: number, column: number }} Place */

// (H, W) -> (N, p * p): row-major patches, each read row by row
/** @type {(image: Rows, patchSize: number) => Float64Array[]} */
export function patchify(image, patchSize) {
  const tokens = [];
  for (let top = 0; top < image.length; top += patchSize) {
    for (let left = 0; left < image[0].length; left += patchSize) {
      const token = [];
      for (let y = 0; y < patchSize; y += 1) {
        for (let x = 0; x < patchSize; x += 1) token.push(image[top + y][left + x]);
      }
      tokens.push(Float64Array.from(token));
    }
  }
  return tokens;
}

// Where a token keeps channel, row and column of its patch: the channel counts fastest in the
// order "p,p,C", slowest in "C,p,p"
/** @type {(place: Place, patchSize: number, numChannels: number, order: string) => number} */
export function featureIndex({ channel, row, column }, patchSize, numChannels, order) {
  const pixel = row * patchSize + column;
  return order === "C,p,p" ? channel * patchSize ** 2 + pixel : pixel * numChannels + channel;
}

// featureIndex undone
/** @type {(feature: number, patchSize: number, numChannels: number, order: string) => Place} */
export function featurePlace(feature, patchSize, numChannels, order) {
  const channelFirst = order === "C,p,p";
  const inner = channelFirst ? patchSize ** 2 : numChannels;
  const [outside, inside] = [Math.floor(feature / inner), feature % inner];
  const [channel, pixel] = channelFirst ? [outside, inside] : [inside, outside];
  return { channel, row: Math.floor(pixel / patchSize), column: pixel % patchSize };
}

// (C, H, W) -> (N, p * p * C): the patches of all channels, the features in the given order
/** @type {(channels: Rows[], patchSize: number, order?: string) => Float64Array[]} */
export function patchifyChannels(channels, patchSize, order = "p,p,C") {
  const each = channels.map((channel) => patchify(channel, patchSize));
  return each[0].map((pixels, n) =>
    Float64Array.from({ length: pixels.length * channels.length }, (_, feature) => {
      const { channel, row, column } = featurePlace(feature, patchSize, channels.length, order);
      return each[channel][n][row * patchSize + column];
    })
  );
}

// (N, p * p * C) -> (C, H, W): the inverse of patchifyChannels with the same order
/** @type {(tokens: Rows, patchSize: number, height: number, width: number, order?: string) => Rows[]} */
export function unpatchify(tokens, patchSize, height, width, order = "p,p,C") {
  const numChannels = tokens[0].length / patchSize ** 2;
  return Array.from(
    { length: numChannels },
    (_, channel) =>
      Array.from({ length: height }, (_, y) =>
        Float64Array.from({ length: width }, (_, x) => {
          const token = Math.floor(y / patchSize) * (width / patchSize) + Math.floor(x / patchSize);
          const place = { channel, row: y % patchSize, column: x % patchSize };
          return tokens[token][featureIndex(place, patchSize, numChannels, order)];
        })),
  );
}
