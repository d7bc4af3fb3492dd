// A training run that is led by messages, in a worker or, where there is none, behind a
// MessageChannel on the page.  It works in slices, so that it hears what it is told in between.
//
// In:  { type: "open", config, recipe, options, seed, data, autoencoder, judge, weights,
//        plain }   data, autoencoder, judge: bytes of files as assets.py packs them, the judge if
//        wanted; options: the model's start, or weights: of a model that has learned already, as
//        such a file or as `save` gives it
//      { type: "start", until }   runs, or goes on, to this step, or to the last of the recipe
//      { type: "pause" }   answered by "paused"
//      { type: "sample", labels, seed, options, trace }   draws with the averaged weights
//      { type: "save", metadata }    answered by "weights": the averaged weights as a safetensors
//        file with these texts in its head
// Out: { type: "ready", plain, parameters, names }   names: of the vectors in `steering`
//      { type: "progress", step, losses, times, steering }  losses, times: of the steps since the
//        last one, and the milliseconds that each took
//      { type: "paused", step }  { type: "done", step }
//      { type: "sampled", u, trained, pictures, read }   with trace after every step, else at the
//        end, where u is 0; trained: the steps of the run that the model had done; read: the
//        classes that the judge reads in the pictures
//      { type: "weights", bytes }  { type: "error", message }

import { Engine } from "./engine.mjs";
import { Random } from "./random.mjs";
import { readTensors, writeTensors } from "./safetensors.mjs";
import { Run } from "./training.mjs";

const SLICE = 40; // milliseconds of work between two looks at the messages
const WATCHED = 60; // the first steps, in which the gates open, are told one by one

// port: whatever has `postMessage` and `onmessage`
/** @param {{postMessage: (message: any, transfer?: any) => void, onmessage: any}} port */
export function serve(port) {
  /** @type {Engine} */ let engine;
  /** @type {Run} */ let run;
  /** @type {{until: number} | null} */ let running = null; // what the loop at work is for
  let last = Promise.resolve(); // messages are answered one after the other

  const acts = {
    async open({ config, recipe, options, seed = 0, data, autoencoder, judge, weights, plain }) {
      running = null;
      const { latents, labels } = readTensors(data);
      engine = await Engine.open({
        config,
        autoencoder: readTensors(autoencoder),
        judge: judge && readTensors(judge),
        capacity: Math.max(20, recipe?.batchSize ?? 32),
        plain,
      });
      if (weights) engine.model.load(readTensors(weights));
      else engine.model.initialize(new Random(seed), options);
      run = new Run(engine.model, { latents: latents.data, labels: labels.data }, recipe, seed + 1);
      const { model, arena } = engine;
      port.postMessage({
        type: "ready",
        plain: arena.plain,
        parameters: Object.keys(model.shapes).reduce(
          (sum, name) => sum + model.tensor(name).length,
          0,
        ),
        names: model.vectors().map(({ name, kind }) => ({ name, kind })),
      });
    },
    start({ until = run.recipe.steps }) {
      if (running) running.until = until;
      else work(running = { until });
    },
    pause() {
      running = null;
      port.postMessage({ type: "paused", step: run.stepsDone });
    },
    sample({ labels, seed = 0, options, trace = false }) {
      const noise = new Random(seed).normals(labels.length * engine.model.sampleSize);
      const { recipe: { predicts }, stepsDone: trained } = run;
      run.withAverage(() => {
        for (const { u, x, x0 } of engine.sample(labels, noise, { predicts, ...options })) {
          if (u > 0 && !trace) continue;
          const pictures = engine.pictures(u > 0 ? x0 : x);
          const read = engine.judge?.read(pictures);
          port.postMessage({ type: "sampled", u, trained, pictures, read });
        }
      });
    },
    save({ metadata = {} }) {
      const bytes = writeTensors(engine.model.stateDict(run.average), {
        ...metadata,
        step: String(run.stepsDone),
      });
      port.postMessage({ type: "weights", bytes }, [bytes.buffer]);
    },
  };

  function advance(most) {
    const { model } = engine;
    const [losses, times] = [[], []];
    const end = Math.min(run.recipe.steps, run.stepsDone + most);
    const start = performance.now();
    let now = start;
    while (run.stepsDone < end && now - start < SLICE) {
      losses.push(run.step());
      times.push(performance.now() - now);
      now += times.at(-1);
      if (run.stepsDone <= WATCHED) break;
    }
    const message = { type: "progress", step: run.stepsDone, losses, times };
    port.postMessage({ ...message, steering: steering(model) });
    if (!losses.every(Number.isFinite)) {
      throw new Error("the loss is not finite: a smaller learning rate helps");
    }
  }

  async function work(task) {
    const left = () => Math.min(task.until, run.recipe.steps) - run.stepsDone;
    while (running === task && left() > 0) {
      try {
        advance(left());
      } catch (error) {
        running = null;
        port.postMessage({ type: "error", message: error.message });
      }
      await nextTask();
    }
    if (running !== task) return;
    port.postMessage({ type: "done", step: run.stepsDone });
    running = null;
  }

  port.onmessage = ({ data }) => {
    last = last.then(() => acts[data.type](data)).catch((error) =>
      port.postMessage({ type: "error", message: error.message })
    );
  };
}

// The root mean square of each vector of `vectors()` over the batch: what steers the blocks
function steering(model) {
  return model.vectors().map(({ of }) => {
    let squares = 0;
    for (let sample = 0; sample < model.batch; sample += 1) {
      for (const value of of(sample)) squares += value * value;
    }
    return Math.sqrt(squares / (model.batch * model.config.hiddenSize));
  });
}

// Lets waiting messages in; a timer would wait for 4 ms, and longer in a hidden tab
function nextTask() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve(undefined);
    };
    port2.postMessage(null);
  });
}
