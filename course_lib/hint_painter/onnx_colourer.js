// What colours on a web page: the course's networks as ONNX files, run by onnxruntime-web in a
// worker, with nothing behind it. It answers the questions at the top of hint_painter.js.
import { inGamut, join, labFromRgb, lightnessOf, rgbFromLab } from "./hint_painter.js";

// ---------------------------------------------------------------------------- the network's view

// Python's round: halves go to the even number.
function roundHalfEven(value) {
  const low = Math.floor(value);
  const rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2) ? low + 1 : low;
}

// As course_lib.inference.network_size.
export function networkSize(height, width, size) {
  const scale = size / Math.min(height, width);
  return [height, width].map((side) => Math.max(8, Math.min(4 * size, roundHalfEven((side * scale) / 8) * 8)));
}

// Pillow's bicubic resampling: which pixels count for each new one, and how much.
function taps(large, small) {
  const scale = large / small;
  const stretch = Math.max(scale, 1);
  const support = 2 * stretch;
  const cubic = (x) => {
    const t = Math.abs(x);
    if (t < 1) return (1.5 * t - 2.5) * t * t + 1;
    return t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
  };
  return Array.from({ length: small }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(large, Math.trunc(centre + support + 0.5));
    const weights = Array.from({ length: last - first }, (_, k) => cubic((k + first - centre + 0.5) / stretch));
    const sum = weights.reduce((a, b) => a + b, 0);
    // whole numbers, as Pillow has them: then every level comes out as Pillow's
    return { first, weights: weights.map((w) => Math.round((w / sum) * 2 ** 22)) };
  });
}

export function resize({ height, width, data }, newHeight, newWidth) {
  const shrink = (source, tap, count, stride, step, target, start) => {
    for (let i = 0; i < count; i++) {
      const { first, weights } = tap[i];
      for (let channel = 0; channel < 3; channel++) {
        let sum = 2 ** 21;
        for (let k = 0; k < weights.length; k++) sum += source[start.from + (first + k) * stride + channel] * weights[k];
        target[start.to + i * step + channel] = Math.floor(sum / 2 ** 22); // clamped by the array
      }
    }
  };
  const [across, down] = [taps(width, newWidth), taps(height, newHeight)];
  const rows = new Uint8ClampedArray(4 * height * newWidth);
  for (let y = 0; y < height; y++) shrink(data, across, newWidth, 4, 4, rows, { from: 4 * y * width, to: 4 * y * newWidth });
  const out = new Uint8ClampedArray(4 * newHeight * newWidth);
  for (let x = 0; x < newWidth; x++) shrink(rows, down, newHeight, 4 * newWidth, 4 * newWidth, out, { from: 4 * x, to: 4 * x });
  return out;
}

// ------------------------------------------------------------------------------------- hints

// As course_lib.hints.hint_tensors.
export function hintTensors(hints, photo, [height, width], patch) {
  const ab = new Float32Array(2 * height * width);
  const mask = new Float32Array(height * width);
  for (const [row, column, rgb] of hints) {
    const [, a, b] = labFromRgb(rgb);
    const y = Math.trunc(((row + 0.5) * height) / photo[0]) - (patch >> 1);
    const x = Math.trunc(((column + 0.5) * width) / photo[1]) - (patch >> 1);
    for (let i = Math.max(0, y); i < Math.min(height, y + patch); i++) {
      for (let j = Math.max(0, x); j < Math.min(width, x + patch); j++) {
        const k = i * width + j;
        [ab[k], ab[k + height * width], mask[k]] = [a, b, 1];
      }
    }
  }
  return { hint_ab: ab, mask };
}

const GRID = Array.from({ length: 529 }, (_, i) => [10 * Math.floor(i / 23) - 110, 10 * (i % 23) - 110]);
const ROUNDS = 50;

// As course_lib.hints.suggest_colours: weighted k-means over what a screen can show.
export function suggestColours(logits, L, count = 5) {
  const cells = GRID.map((ab, i) => i).filter((i) => (!GRID[i][0] && !GRID[i][1]) || inGamut(L, ...GRID[i]));
  const points = cells.map((i) => GRID[i]);
  const top = Math.max(...cells.map((i) => logits[i]));
  const chances = cells.map((i) => Math.exp(logits[i] - top));
  const total = chances.reduce((a, b) => a + b, 0);
  const weights = chances.map((chance) => chance / total);
  const square = (p, q) => (p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2;
  const least = (values) => values.reduce((best, value, i) => (value < values[best] ? i : best), 0);
  const nearest = (centres) => points.map((point) => least(centres.map((centre) => square(point, centre))));
  let centres = [points[least(weights.map((w) => -w))]];
  while (centres.length < Math.min(count, points.length)) {
    const worth = points.map((point, i) => {
      const gap = Math.min(...centres.map((centre) => square(point, centre)));
      return gap > 0 ? -weights[i] * gap : 1;
    });
    centres.push(points[least(worth)]);
  }
  const sums = (member) => {
    const found = centres.map(() => [0, 0, 0]);
    member.forEach((k, i) => {
      found[k][0] += weights[i];
      found[k][1] += weights[i] * points[i][0];
      found[k][2] += weights[i] * points[i][1];
    });
    return found;
  };
  for (let round = 0; round < ROUNDS; round++) {
    const moved = sums(nearest(centres)).map(([mass, a, b], k) => (mass > 0 ? [a / mass, b / mass] : centres[k]));
    if (JSON.stringify(moved) === JSON.stringify(centres)) break;
    centres = moved;
  }
  return sums(nearest(centres))
    .map(([share], k) => ({ rgb: rgbFromLab(L, ...centres[k]), share }))
    .sort((one, other) => other.share - one.share);
}

// ------------------------------------------------------------------------------------- engine

// The worker's whole program; it is sent as text, since files on a stick cannot start workers.
function work() {
  const sessions = {};
  let runtime;
  const start = async ({ module, wasm }) => {
    const ort = await import(URL.createObjectURL(new Blob([module], { type: "text/javascript" })));
    ort.env.wasm.numThreads = 1; // more need headers that no plain folder sends
    ort.env.wasm.wasmBinary = wasm;
    return ort;
  };
  const answer = {
    start: async (message) => void (await (runtime = start(message))),
    async open({ name, model }) {
      const ort = await runtime;
      sessions[name] = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
    },
    async run({ name, inputs }) {
      const ort = await runtime;
      const feed = {};
      for (const [key, { data, dims }] of Object.entries(inputs)) feed[key] = new ort.Tensor("float32", data, dims);
      const outputs = await sessions[name].run(feed);
      return Object.fromEntries(Object.entries(outputs).map(([key, { data, dims }]) => [key, { data, dims }]));
    },
  };
  let last = Promise.resolve(); // one at a time: a session cannot run twice at once
  onmessage = ({ data: { id, kind, ...message } }) => {
    last = last.then(async () => {
      try {
        postMessage({ id, content: await answer[kind](message) });
      } catch (error) {
        postMessage({ id, error: error?.message || String(error) });
      }
    });
  };
}

// One for the page. What fails, as a file on a bad connection, is tried again when next asked for.
// load(name) brings a file's bytes (a Uint8Array). Networks are opened when
// they are first asked for.
export function createEngine(load) {
  const url = URL.createObjectURL(new Blob([`(${work})()`], { type: "text/javascript" }));
  const worker = new Worker(url);
  const waiting = new Map();
  let number = 0;
  let broken = null; // why the worker answers no more
  worker.onmessage = ({ data: { id, content, error } }) => {
    const { done, fail } = waiting.get(id);
    waiting.delete(id);
    if (error) fail(new Error(error));
    else done(content);
  };
  worker.onerror = (event) => {
    broken = new Error(`This browser cannot run the networks (${event.message || "it starts no worker"}).`);
    for (const { fail } of waiting.values()) fail(broken);
    waiting.clear();
  };
  const ask = (message, transfer = []) =>
    new Promise((done, fail) => {
      if (broken) throw broken;
      waiting.set(++number, { done, fail });
      worker.postMessage({ id: number, ...message }, transfer);
    });
  const ready = {};
  const once = (name, begin) =>
    (ready[name] ||= begin().catch((error) => {
      delete ready[name];
      throw error;
    }));
  const start = async () => {
    const [module, wasm] = await Promise.all([load("runtime"), load("wasm")]);
    await ask({ kind: "start", module, wasm });
  };
  return {
    async run(name, inputs) {
      await once("runtime", start);
      await once(name, async () => {
        const model = await load(name);
        await ask({ kind: "open", name, model }, [model.buffer]);
      });
      return ask({ kind: "run", name, inputs });
    },
  };
}

// ------------------------------------------------------------------------------------- colourer

const VIEW_PIXELS = 1e6;
const BAND_ROWS = 256;
const KEPT = 8;

function canvasOf({ height, width, data }) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
  return canvas;
}

function pixelsOf(source, height, width) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  [context.fillStyle] = ["#fff"]; // transparent pixels are laid over white, as in course_lib.image
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return { height, width, data: context.getImageData(0, 0, width, height).data };
}

// A photograph from a file: {height, width, data, reduced}, or an Error that says what is wrong.
export async function readPhoto(blob, largest = 16e6) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    throw new Error("This file is no picture that the browser can read. JPEG, PNG and WebP work.");
  }
  const { height, width } = bitmap;
  const scale = Math.min(1, Math.sqrt(largest / (height * width)));
  const photo = pixelsOf(bitmap, Math.max(1, Math.floor(height * scale)), Math.max(1, Math.floor(width * scale)));
  bitmap.close();
  return { ...photo, reduced: scale < 1 };
}

// network: {name, label, input_size, inputs, suggestions}, as the page's list has them.
export function createOnnxColourer(photo, network, engine) {
  const size = [photo.height, photo.width];
  const [height, width] = networkSize(...size, network.input_size);
  const small = { height, width, L: lightnessOf(resize(photo, height, width)) };
  const takesHints = network.inputs.includes("mask");
  const kept = new Map();
  const run = ({ hints, patch }) => {
    const key = JSON.stringify([hints, hints.length ? patch : 0]);
    if (!kept.has(key)) {
      const data = { L: small.L, ...(takesHints ? hintTensors(hints, size, [height, width], patch) : {}) };
      const inputs = network.inputs.map((name) => [name, { data: data[name], dims: [1, name === "hint_ab" ? 2 : 1, height, width] }]);
      if (kept.size >= KEPT) kept.delete(kept.keys().next().value);
      kept.set(key, engine.run(network.name, Object.fromEntries(inputs)));
      kept.get(key).catch(() => kept.delete(key));
    }
    return kept.get(key);
  };
  return {
    name: network.label,
    waiting: "Still at work: the first answer takes longest, since the network is being read.",
    async open() {
      const scale = Math.min(1, Math.sqrt(VIEW_PIXELS / (size[0] * size[1])));
      const view = scale < 1
        ? pixelsOf(canvasOf(photo), ...size.map((side) => Math.max(1, Math.floor(side * scale))))
        : { height: size[0], width: size[1], data: photo.data };
      return { photo: size, view, small, hints: takesHints, suggestions: network.suggestions };
    },
    colour: async (question) => (await run(question)).ab.data,
    async suggest({ row, column, hints, patch }) {
      const { data, dims } = (await run({ hints, patch })).logits;
      const y = Math.trunc(((row + 0.5) * dims[2]) / size[0]);
      const x = Math.trunc(((column + 0.5) * dims[3]) / size[1]);
      const logits = Float64Array.from({ length: dims[1] }, (_, i) => data[(i * dims[2] + y) * dims[3] + x]);
      const at = 4 * (Math.trunc(row) * size[1] + Math.trunc(column));
      const [L] = labFromRgb(photo.data.subarray(at, at + 3));
      return suggestColours(logits, Math.min(100, Math.max(0, L)));
    },
    async exportPng(question) {
      const ab = await this.colour(question);
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [size[1], size[0]];
      const context = canvas.getContext("2d");
      for (let top = 0; top < size[0]; top += BAND_ROWS) {
        const rows = Math.min(BAND_ROWS, size[0] - top); // a band at a time bounds the memory
        const band = new ImageData(size[1], rows);
        const L = lightnessOf(photo.data.subarray(4 * top * size[1], 4 * (top + rows) * size[1]));
        join(L, size[0], size[1], small, ab, band.data, top, rows);
        context.putImageData(band, 0, top);
      }
      return new Promise((done, fail) => {
        const failure = new Error("The picture is too large for this browser to save.");
        canvas.toBlob((blob) => (blob ? done(blob) : fail(failure)), "image/png");
      });
    },
  };
}
