// The straight path from data to noise, x_u = (1 - u) x0 + u eps, what a network may predict on it
// and the walk back: the parts of diffusion.py and sampling.py that flow matching needs.  u is 0 at
// the data and 1 at the noise; the model is told t = 1000 u.

/** @typedef {"noise" | "data" | "velocity"} Prediction */
/** @typedef {(x: Float32Array, t: Float32Array) => Float32Array} Model */

export const TIME_SCALE = 1000;

// x_u for a batch: x0 and noise one sample after the other, u one number for each
/** @type {(x0: ArrayLike<number>, noise: ArrayLike<number>, u: ArrayLike<number>) => Float32Array} */
export function mixStraight(x0, noise, u) {
  const size = x0.length / u.length;
  return Float32Array.from(x0, (value, i) => {
    const share = u[Math.floor(i / size)];
    return (1 - share) * value + share * noise[i];
  });
}

// What the network should answer
/** @type {(x0: ArrayLike<number>, noise: ArrayLike<number>, predicts: Prediction) => Float32Array} */
export function target(x0, noise, predicts) {
  return Float32Array.from(x0, (value, i) => ({
    noise: noise[i],
    data: value,
    velocity: noise[i] - value,
  }[predicts]));
}

// Data and noise in x at u, from an answer of any kind, so that x = (1 - u) x0 + u eps holds
/** @type {(answer: Float32Array, x: Float32Array, u: number, predicts: Prediction) => [Float32Array, Float32Array]} */
export function dataAndNoise(answer, x, u, predicts) {
  if (predicts === "data") return [answer, x.map((value, i) => (value - (1 - u) * answer[i]) / u)];
  if (predicts === "noise") return [x.map((value, i) => (value - u * answer[i]) / (1 - u)), answer];
  return [
    x.map((value, i) => value - u * answer[i]),
    x.map((value, i) => value + (1 - u) * answer[i]),
  ];
}

// The times of a walk in equal steps from noise to data.  A predicted noise says nothing about the
// data where there is no data in x, so its walk begins a thousandth later.
/** @type {(steps: number, predicts: Prediction) => number[]} */
export function timesOf(steps, predicts) {
  const first = predicts === "noise" ? 0.999 : 1;
  return Array.from({ length: steps + 1 }, (_, i) => first * (1 - i / steps));
}

// Yields { u, x, x0 } after every step from noise to data: where it is, and the data that the
// model's last answer sees in it.  heun: the model is asked again at the end of each step but the
// last, and the mean of both answers counts.
/** @type {(model: Model, noise: ArrayLike<number>, batch: number, options?: {steps?: number, heun?: boolean, predicts?: Prediction}) => Generator<{u: number, x: Float32Array, x0: Float32Array}>} */
export function* walk(model, noise, batch, options = {}) {
  const { steps = 20, heun = false, predicts = "velocity" } = options;
  const times = timesOf(steps, predicts);
  const ask = (x, u) =>
    dataAndNoise(model(x, new Float32Array(batch).fill(TIME_SCALE * u)), x, u, predicts);
  const blend = ([x0, noise], u) => x0.map((value, i) => (1 - u) * value + u * noise[i]);
  let x = Float32Array.from(noise);
  for (let step = 0; step < steps; step += 1) {
    const [u, next] = [times[step], times[step + 1]];
    const answer = ask(x, u);
    let end = blend(answer, next);
    if (heun && next > 0) {
      const back = blend(ask(end, next), u); // where the second answer comes from
      end = end.map((value, i) => value + (x[i] - back[i]) / 2);
    }
    x = end;
    yield { u: next, x, x0: answer[0] };
  }
}

// Classifier-free guidance, v_null + scale (v_y - v_null): both answers from one call with a
// doubled batch; at scale 1, and outside of the interval of t, y alone is asked.
/** @type {(model: (x: Float32Array, t: Float32Array, y: number[]) => Float32Array, y: number[], nullClass: number, scale: number, interval?: [number, number] | null) => Model} */
export function guided(model, y, nullClass, scale, interval = null) {
  const twice = (values) => {
    const both = new Float32Array(2 * values.length);
    both.set(values);
    both.set(values, values.length);
    return both;
  };
  return (x, t) => {
    const inForce = !interval || (interval[0] <= t[0] && t[0] <= interval[1]);
    if (scale === 1 || !inForce) return model(x, t, y);
    const answers = model(twice(x), twice(t), [...y, ...y.map(() => nullClass)]);
    const untold = answers.subarray(x.length);
    return answers.subarray(0, x.length).map((told, i) => untold[i] + scale * (told - untold[i]));
  };
}
