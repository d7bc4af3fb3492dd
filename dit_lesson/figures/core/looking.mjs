// What the figures of who looks at whom share, as in looking.py.

export const MEAN = -1; // in the place of a head: the mean over all heads

// A latent (C, H, W) noised to step t on the straight path, flat
/** @type {(latent: number[][][], noise: number[][][], t: number) => number[]} */
export function noised(latent, noise, t) {
  const eps = noise.flat(2);
  return latent.flat(2).map((value, i) => (1 - t / 1000) * value + (t / 1000) * eps[i]);
}

// The map of a head, or the mean of all
/** @type {(maps: Float32Array[], head: number) => Float32Array} */
export function sharesOf(maps, head) {
  if (head !== MEAN) return maps[head].slice();
  return maps[0].map((_, i) => maps.reduce((sum, map) => sum + map[i], 0) / maps.length);
}
